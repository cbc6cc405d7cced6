//! The marking of a product in the terms of the room that draws marks.

use lingqu_domain::marking::{self as chosen, Marking as ChosenMarking};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::scope::ColumnName;
use lingqu_fingerprint::{BiasTable, Carrier, Encoding, Mark, Marking, Member, Presence, RATE_ONE, Step};

/// Which share of the positions is drawn by the order's code, times 2^16: a tenth.
const ORDER_SHARE: u16 = 6_554;
/// Decimals of a nanosecond in seconds.
const NANOSECOND_DECIMALS: u32 = 9;

/// A share per million as a share of 2^32.
fn of_million(count: u32) -> u32 {
    if count >= chosen::RATE_PER_MILLION_MAX {
        return RATE_ONE;
    }
    u32::try_from((u64::from(count) << 32) / u64::from(chosen::RATE_PER_MILLION_MAX)).unwrap_or(RATE_ONE)
}

/// The marking of a product with this key. The same for the same product for ever: its numbers enter the positions. Error:
/// `invalid` for what that room can't draw; the domain refuses it before.
pub(crate) fn marking_of(key: &[ColumnName], chosen: &ChosenMarking) -> Result<Marking, Refusal> {
    let mut marks = Vec::with_capacity(chosen.marks.len());
    for mark in &chosen.marks {
        let carrier = carrier_of(&mark.carrier).ok_or_else(|| unreadable(mark.name.as_str()))?;
        marks.push(Mark {
            name: mark.name.to_string(),
            rate: of_million(mark.rate_per_million),
            by: mark.by.iter().map(ToString::to_string).collect(),
            carrier,
        });
    }
    let omitted = of_million(chosen.omitted_per_million);
    let marking = Marking {
        key: key.iter().map(ToString::to_string).collect(),
        marks,
        order_share: ORDER_SHARE,
        biases: BiasTable::default(),
        presence: (omitted > 0).then_some(Presence { omitted }),
    };
    marking.check().map_err(|error| Refusal::invalid("marking", &error, &error))?;
    Ok(marking)
}

fn unreadable(mark: &str) -> Refusal {
    Refusal::invalid(
        "marking",
        format!("{mark}：步长或上下限超出范围"),
        format!("{mark}: a step or a bound is out of range"),
    )
}

fn carrier_of(carrier: &chosen::Carrier) -> Option<Carrier> {
    Some(match carrier {
        chosen::Carrier::Number { members, amplitude } => Carrier::Number {
            members: members.iter().map(member_of).collect::<Option<_>>()?,
            amplitude: *amplitude,
            // What the contract allows beyond what is used says nothing about where a value can have come from.
            tolerance: *amplitude,
        },
        chosen::Carrier::Place { latitude, longitude, decimals, metres } => Carrier::Place {
            latitude: latitude.to_string(),
            longitude: longitude.to_string(),
            decimals: *decimals,
            metres: f64::from(*metres),
        },
        chosen::Carrier::Category { column, sets } => Carrier::Category {
            column: column.to_string(),
            sets: sets.iter().map(|set| set.iter().cloned().collect()).collect(),
        },
    })
}

fn member_of(member: &chosen::Member) -> Option<Member> {
    let encoding = match &member.encoding {
        chosen::Encoding::Lattice { step } => {
            let step = step.normalize();
            Encoding::Lattice(Step {
                unscaled: u32::try_from(step.mantissa()).ok()?,
                decimals: u8::try_from(step.scale()).ok()?,
            })
        }
        chosen::Encoding::Time { step } => {
            let step = step.normalize();
            let ones = 10_i128.checked_pow(NANOSECOND_DECIMALS.checked_sub(step.scale())?)?;
            Encoding::Time { nanoseconds: i64::try_from(step.mantissa().checked_mul(ones)?).ok()? }
        }
        chosen::Encoding::HoursMinutes => Encoding::HoursMinutes,
    };
    let domain = match (&encoding, member.least, member.greatest) {
        (_, None, None) => None,
        (Encoding::Lattice(step), least, greatest) => {
            let units = 10_i128.checked_pow(u32::from(step.decimals))?;
            // Rounded inwards: up for the least, down for the greatest.
            let least = match least {
                Some(least) => {
                    let (count, one) = (least.mantissa().checked_mul(units)?, 10_i128.checked_pow(least.scale())?);
                    i64::try_from(-(-count).div_euclid(one)).ok()?
                }
                None => i64::MIN + 1,
            };
            let greatest = match greatest {
                Some(greatest) => {
                    let (count, one) =
                        (greatest.mantissa().checked_mul(units)?, 10_i128.checked_pow(greatest.scale())?);
                    i64::try_from(count.div_euclid(one)).ok()?
                }
                None => i64::MAX,
            };
            Some((least, greatest))
        }
        _ => return None,
    };
    Some(Member { column: member.column.to_string(), encoding, coefficient: member.coefficient, domain })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::str::FromStr;

    use lingqu_domain::marking::MarkProfile;

    use super::*;

    fn name(text: &str) -> ColumnName {
        ColumnName::new(text).unwrap()
    }

    fn chosen(carrier: chosen::Carrier, rate_per_million: u32, omitted_per_million: u32) -> ChosenMarking {
        let mark = chosen::Mark { name: name("m"), rate_per_million, by: BTreeSet::new(), carrier };
        ChosenMarking {
            profile: MarkProfile::Aes,
            marks: vec![mark],
            omitted_per_million,
            decoys_per_million: 0,
            keeps: None,
        }
    }

    fn decimal<D: FromStr<Err: std::fmt::Debug>>(text: &str) -> D {
        text.parse().unwrap()
    }

    fn number(encoding: chosen::Encoding, least: Option<&str>, greatest: Option<&str>) -> chosen::Carrier {
        let member = chosen::Member {
            column: name("v"),
            encoding,
            coefficient: 1,
            least: least.map(decimal),
            greatest: greatest.map(decimal),
        };
        chosen::Carrier::Number { members: vec![member], amplitude: 2 }
    }

    #[test]
    fn shares_keep_their_size() {
        assert_eq!((of_million(0), of_million(500_000), of_million(1_000_000)), (0, 1 << 31, RATE_ONE));
        // The largest share of rows is still allowed on the other side.
        assert_eq!(of_million(chosen::RATE_PER_MILLION_MAX / 10), Presence::OMITTED_MAX);
        let category = chosen::Carrier::Category {
            column: name("v"),
            sets: BTreeSet::from([BTreeSet::from(["a".to_owned(), "b".to_owned()])]),
        };
        let marking = marking_of(&[name("id")], &chosen(category, 1, 100_000)).unwrap();
        assert_eq!(marking.presence, Some(Presence { omitted: Presence::OMITTED_MAX }));
        assert_eq!(marking.marks[0].rate, 4_294);
    }

    #[test]
    fn steps_and_bounds_become_units() {
        let member = |carrier| match marking_of(&[name("id")], &chosen(carrier, 1, 0)).unwrap().marks.remove(0).carrier
        {
            Carrier::Number { members, .. } => members.into_iter().next().unwrap(),
            other => panic!("{other:?}"),
        };
        let lattice = |step: &str| chosen::Encoding::Lattice { step: decimal(step) };
        let quarter = member(number(lattice("0.250"), Some("-1.001"), Some("9.999")));
        assert_eq!(quarter.encoding, Encoding::Lattice(Step { unscaled: 25, decimals: 2 }));
        assert_eq!(quarter.domain, Some((-100, 999)), "bounds are rounded inwards");
        let half_open = member(number(lattice("5"), None, Some("100")));
        assert_eq!(half_open.domain, Some((i64::MIN + 1, 100)));
        let time = member(number(chosen::Encoding::Time { step: decimal("0.001") }, None, None));
        assert_eq!((time.encoding, time.domain), (Encoding::Time { nanoseconds: 1_000_000 }, None));
        let far = number(lattice("0.000000000001"), Some("100000000000000000"), None);
        let far = marking_of(&[name("id")], &chosen(far, 1, 0)).map(|_| ());
        assert_eq!(far.unwrap_err().subject, "marking", "a bound that no column holds is refused, not wrapped");
    }
}
