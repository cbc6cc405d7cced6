//! Whether the data bears what a marking promises: looked at when a product is drafted, over the rows that its permits allow.

use lingqu_domain::marking::{Dependency, Keeps, Marking};
use lingqu_domain::refusal::Refusal;
use lingqu_fingerprint::{Effect, Finding, MomentBounds};

/// A million, in which rates and bounds are stated.
const MILLION: f64 = 1e6;

fn refused(zh: String, en: String) -> Refusal {
    Refusal::invalid("marking", zh, en)
}

/// The bounds as the room that draws marks takes them.
pub(super) fn bounds_of(keeps: &Keeps) -> MomentBounds {
    MomentBounds {
        mean_shift: f64::from(keeps.moments.mean_per_million) / MILLION,
        deviation_change: f64::from(keeps.moments.deviation_per_million) / MILLION,
    }
}

/// How far the share of a text may be off, of all rows.
pub(super) fn share_change_of(keeps: &Keeps) -> f64 {
    f64::from(keeps.moments.share_per_million) / MILLION
}

/// Refuses a marking whose marks do more to the data than it promises, or that takes a dependency apart. `effects` are of the
/// marking's marks within its bounds, `whole` the columns that have a value in every row. Error: `invalid` with the column and how
/// to mend it.
pub(super) fn check(
    marking: &Marking,
    findings: &[Finding],
    effects: &[Effect],
    whole: &[String],
) -> Result<(), Refusal> {
    let keeps = marking.keeps.clone().unwrap_or_default();
    let data = Data { findings, effects, whole };
    if let Some((by, column)) = findings.iter().find_map(|finding| taken_apart(marking, &keeps, finding, &data)) {
        return Err(taken_apart_refusal(by, column));
    }
    for effect in effects {
        let rate =
            marking.marks.iter().find(|mark| mark.name.as_str() == effect.mark).map(|mark| mark.rate_per_million);
        check_moments(effect, rate.unwrap_or_default(), &keeps)?;
        check_reach(effect, findings, &keeps)?;
        if keeps.order.iter().any(|column| column.as_str() == effect.column) && !effect.keeps_order() {
            return Err(refused(
                format!(
                    "{}：须保持 {} 的排序，而标记的移动达到相邻值最小间距的一半；请减小步长或幅度，或从 keeps.order 中去掉",
                    effect.mark, effect.column
                ),
                format!(
                    "{}: the order by {} is to be kept, and the mark reaches half of the smallest distance between two of its values; make step or amplitude smaller, or take the column out of keeps.order",
                    effect.mark, effect.column
                ),
            ));
        }
    }
    Ok(())
}

/// The determinants and the column of a dependency that holds in the data, is not given up in the contract, and of which marks move
/// a column.
fn taken_apart<'f>(
    marking: &Marking,
    keeps: &Keeps,
    finding: &'f Finding,
    data: &Data<'_>,
) -> Option<(&'f [String], &'f str)> {
    let Finding::Dependency { by, column, .. } = finding else { return None };
    let columns = marking.columns();
    let is_marked = |name: &String| columns.iter().any(|column| column.as_str() == name);
    let is_given_up = |broken: &Dependency| {
        broken.column.as_str() == column
            && broken.by.len() == by.len()
            && broken.by.iter().all(|name| by.iter().any(|by| by == name.as_str()))
    };
    // Values that stay apart under a mark tell the original, and with it what it determines.
    let mut determinants = by.iter().filter(|name| is_marked(name));
    let is_kept = determinants.all(|name| data.stays_apart(name)) && data.goes_on(marking, by, column);
    (!is_kept && !keeps.breaks.iter().any(is_given_up)).then_some((by, column))
}

/// What was seen in the data.
struct Data<'d> {
    findings: &'d [Finding],
    effects: &'d [Effect],
    /// Columns that have a value in every row.
    whole: &'d [String],
}

impl Data<'_> {
    /// Whether two values of a marked column that differ go on differing in every copy.
    fn stays_apart(&self, column: &str) -> bool {
        self.effects.iter().any(|effect| effect.column == column && effect.keeps_order())
    }

    /// Whether rows that agree in these columns agree in this one in every copy too: no mark moves it, or one that hangs on what
    /// these columns determine and moves nothing but what that determines.
    fn goes_on(&self, marking: &Marking, by: &[String], column: &str) -> bool {
        let mut marks = marking.marks.iter();
        let Some(mark) = marks.find(|mark| mark.columns().iter().any(|marked| marked.as_str() == column)) else {
            return true;
        };
        let hangs_on: Vec<String> = mark.by.iter().map(ToString::to_string).collect();
        let is_same = hangs_on.len() == by.len() && hangs_on.iter().all(|name| by.contains(name));
        // Where what it hangs on is missing, a row may be marked otherwise than those that it agrees with.
        let is_told = || hangs_on.iter().all(|name| self.whole.contains(name) && self.tells(by, name));
        !hangs_on.is_empty()
            && (is_same || is_told())
            && mark.columns().iter().all(|marked| self.tells(&hangs_on, marked.as_str()))
    }

    /// Whether these columns determine this one.
    fn tells(&self, by: &[String], column: &str) -> bool {
        by.iter().any(|name| name == column)
            || self.findings.iter().any(|finding| match finding {
                Finding::Dependency { by: known, column: told, .. } => {
                    told == column && known.iter().all(|name| by.contains(name))
                }
                _ => false,
            })
    }
}

fn taken_apart_refusal(by: &[String], column: &str) -> Refusal {
    let by = by.join(" + ");
    refused(
        format!(
            "数据中 {by} 决定 {column}，逐格改动会暴露标记并可被还原：请以 by 写明标记所依的列使同值的行一致改动，或不标记这些列，或从产品中去掉其中一列；若双方接受副本中该依赖不再成立，请在 keeps.breaks 中写明"
        ),
        format!(
            "in the data {by} determines {column}, so a mark on one of them shows where rows no longer agree and is undone by the others: let the mark hang on what determines its column (`by`), mark none of these columns, or leave one of them out of the product; where both sides accept that it no longer holds in copies, name it in keeps.breaks"
        ),
    )
}

fn check_moments(effect: &Effect, rate_per_million: u32, keeps: &Keeps) -> Result<(), Refusal> {
    let Effect { mark, column, .. } = effect;
    if effect.cells == 0 {
        return Err(refused(
            format!("{mark}：{column} 没有可承载标记的值（步长、上下限或类型不合）"),
            format!(
                "{mark}: no value of {column} can bear the mark; its step, its bounds or its encoding don't fit the data"
            ),
        ));
    }
    let fits = (effect.rate_within * MILLION).floor();
    if f64::from(rate_per_million) <= fits {
        return Ok(());
    }
    let (mean, deviation) = (keeps.moments.mean_per_million, keeps.moments.deviation_per_million);
    Err(refused(
        format!(
            "{mark}：{column} 的均值偏移不超过标准差的百万分之 {mean}、标准差变化不超过百万分之 {deviation} 时，标记率至多每百万 {fits}；请降低标记率或幅度，或由提供方放宽界限后在 keeps.moments 中写明"
        ),
        format!(
            "{mark}: with the mean of {column} at most {mean} and its deviation at most {deviation} millionths off, at most {fits} cells of a million can be marked; lower the rate or the amplitude, or state wider bounds in keeps.moments as far as the provider declares them"
        ),
    ))
}

/// A mark that reaches beyond what the other columns leave open is found by a regression on them.
fn check_reach(effect: &Effect, findings: &[Finding], keeps: &Keeps) -> Result<(), Refusal> {
    let found = findings.iter().find_map(|finding| match finding {
        Finding::Column(found) if found.column == effect.column && found.deviation > 0.0 => Some(found),
        _ => None,
    });
    // The share that is left does not hang on the unit, which may be another than the mark's.
    let left = found.map_or(1.0, |found| found.deviation_given_others / found.deviation);
    let most = effect.deviation * left * f64::from(keeps.reach_per_million) / MILLION;
    if effect.reach <= most {
        return Ok(());
    }
    let Effect { mark, column, .. } = effect;
    let share = keeps.reach_per_million;
    Err(refused(
        format!(
            "{mark}：标记对 {column} 的移动超过其他列已知时剩余标准差的百万分之 {share}，可由列间相关性找出；请减小幅度，或在 keeps.reach_per_million 中写明更大的值并承担风险"
        ),
        format!(
            "{mark}: it moves {column} by more than {share} millionths of the deviation that is left when the other columns are known, so whoever knows how they hang together finds it; make the amplitude smaller, or state a larger keeps.reach_per_million and bear the risk"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lingqu_domain::marking::{Carrier, Encoding, Mark, MarkProfile, Member};
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn name(text: &str) -> ColumnName {
        ColumnName::new(text).unwrap()
    }

    fn marking(keeps: Keeps) -> Marking {
        let encoding = Encoding::Lattice { step: "1".parse().unwrap() };
        let member = Member { column: name("fare"), encoding, coefficient: 1, least: None, greatest: None };
        let carrier = Carrier::Number { members: vec![member], amplitude: 1 };
        let mark = Mark { name: name("m"), rate_per_million: 300_000, by: Default::default(), carrier };
        Marking {
            profile: MarkProfile::Aes,
            marks: vec![mark],
            omitted_per_million: 0,
            decoys_per_million: 0,
            keeps: Some(keeps),
        }
    }

    fn effect() -> Effect {
        Effect {
            mark: "m".to_owned(),
            column: "fare".to_owned(),
            cells: 100_000,
            deviation: 40.0,
            reach: 1.0,
            gap: Some(3.0),
            moments: MomentBounds { mean_shift: 0.0, deviation_change: 0.0 },
            rate_within: 0.3,
        }
    }

    fn refusal(keeps: Keeps, findings: &[Finding], effect: Effect) -> Option<String> {
        check(&marking(keeps), findings, &[effect], &[]).err().map(|refusal| refusal.en)
    }

    #[test]
    fn a_marking_that_does_more_than_it_promises_is_refused() {
        let none = Keeps::default;
        assert_eq!(refusal(none(), &[], effect()), None);
        let told = refusal(none(), &[], Effect { rate_within: 0.299, ..effect() }).unwrap();
        assert!(told.contains("at most 299000 cells"), "{told}");
        let told = refusal(none(), &[], Effect { cells: 0, ..effect() }).unwrap();
        assert!(told.contains("no value of fare"), "{told}");
        // A fifth of the deviation is 8.
        assert_eq!(refusal(none(), &[], Effect { reach: 8.0, ..effect() }), None);
        let told = refusal(none(), &[], Effect { reach: 8.1, ..effect() }).unwrap();
        assert!(told.contains("keeps.reach_per_million"), "{told}");
        let wider = Keeps { reach_per_million: 300_000, ..none() };
        assert_eq!(refusal(wider, &[], Effect { reach: 8.1, ..effect() }), None);
        // Twice the reach has to stay below the smallest distance.
        let order = || Keeps { order: BTreeSet::from([name("fare")]), ..none() };
        assert_eq!(refusal(order(), &[], effect()), None);
        let told = refusal(order(), &[], Effect { gap: Some(2.0), ..effect() }).unwrap();
        assert!(told.contains("the order by fare"), "{told}");
    }

    #[test]
    fn a_dependency_of_a_marked_column_is_kept_or_given_up_by_name() {
        let holds = |by: &[&str], column: &str| Finding::Dependency {
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            column: column.to_owned(),
            repeated: 1_000,
        };
        let none = Keeps::default;
        assert_eq!(refusal(none(), &[holds(&["code"], "name")], effect()), None);
        for finding in [holds(&["from", "to"], "fare"), holds(&["fare"], "class")] {
            let told = refusal(none(), &[finding], Effect { gap: Some(2.0), ..effect() }).unwrap();
            assert!(told.contains("determines") && told.contains("keeps.breaks"), "{told}");
        }
        let given_up = |by: &[&str]| {
            let by = by.iter().map(|text| name(text)).collect();
            Keeps { breaks: BTreeSet::from([Dependency { by, column: name("fare") }]), ..none() }
        };
        // A determinant whose values stay apart goes on determining.
        assert_eq!(refusal(none(), &[holds(&["fare"], "class")], effect()), None);
        let found = [holds(&["from", "to"], "fare")];
        assert_eq!(refusal(given_up(&["to", "from"]), &found, effect()), None);
        assert!(refusal(given_up(&["from"]), &found, effect()).is_some());
    }

    /// A mark that hangs on what determines its column keeps the dependency; on anything else it doesn't.
    #[test]
    fn a_mark_by_what_determines_its_column_keeps_the_dependency() {
        let holds = |by: &[&str], column: &str| Finding::Dependency {
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            column: column.to_owned(),
            repeated: 1_000,
        };
        let refused = |by: &[&str], findings: &[Finding], whole: &[&str]| {
            let mut marking = marking(Keeps::default());
            marking.marks[0].by = by.iter().map(|text| name(text)).collect();
            let whole: Vec<String> = whole.iter().map(|text| (*text).to_owned()).collect();
            check(&marking, findings, &[Effect { gap: Some(1.0), ..effect() }], &whole).is_err()
        };
        let route = [holds(&["from", "to"], "fare")];
        assert!(!refused(&["to", "from"], &route, &[]) && refused(&[], &route, &[]));
        assert!(refused(&["from"], &route, &[]) && refused(&["from", "to", "day"], &route, &[]));
        // By way of a code that a name tells, where the code is never missing.
        let chain = [holds(&["code"], "fare"), holds(&["name"], "code"), holds(&["name"], "fare")];
        assert!(!refused(&["code"], &chain, &["code"]) && refused(&["code"], &chain, &[]));
        let apart = [holds(&["code"], "fare"), holds(&["name"], "fare")];
        assert!(refused(&["code"], &apart, &["code"]), "rows of one name have several codes");
        // What the fare tells is told no more.
        assert!(refused(&["code"], &[holds(&["code"], "fare"), holds(&["fare"], "class")], &["code"]));
        // Another column of the mark that it does not determine takes rows apart where it can't be moved.
        let mut tied = marking(Keeps::default());
        tied.marks[0].by = BTreeSet::from([name("code")]);
        let Carrier::Number { members, .. } = &mut tied.marks[0].carrier else { panic!("fares are numbers") };
        members.push(Member { column: name("paid"), ..members[0].clone() });
        let found = [holds(&["code"], "fare")];
        assert!(check(&tied, &found, &[effect()], &[]).is_err());
        assert_eq!(check(&tied, &[found[0].clone(), holds(&["code"], "paid")], &[effect()], &[]), Ok(()));
    }
}
