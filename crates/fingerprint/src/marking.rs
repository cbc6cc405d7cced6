//! The declaration of what may be changed in a table: chosen by the provider, bounded by the permit, stated in the contract.

use std::collections::BTreeSet;

use crate::code::BiasTable;
use crate::error::FingerprintError;
use crate::presence::Presence;

/// The most marks of one table.
pub const MARKS_MAX: usize = 256;

/// The most columns that one position holds together.
pub const MEMBERS_MAX: usize = 16;

/// The most members of one confusion set, and the most sets of one column.
const CONFUSION_SET_MAX: usize = 256;

/// The finest step of a time in nanoseconds: what detection, which calculates in floating point, can still tell.
const TIME_STEP_NANOSECONDS_MIN: i64 = 1_000;

/// A rate of one: every eligible cell.
pub const RATE_ONE: u32 = u32::MAX;

/// The last minute of the day in the encoding of [`Encoding::HoursMinutes`]: 2400.
pub const HOURS_MINUTES_LAST: i64 = 1_440;

/// Every column that no mark names is exact: it leaves as it is.
#[derive(Debug, Clone)]
pub struct Marking {
    /// The columns that identify a row. They are never marked.
    pub key: Vec<String>,
    /// The marks in values. None for a product that is declared exact.
    pub marks: Vec<Mark>,
    /// Which share of the positions (times 2^16) is drawn by the order's code instead of the recipient's; a tenth is 6,554.
    pub order_share: u16,
    /// The code's biases.
    pub biases: BiasTable,
    /// Rows that are left out, if the contract says so.
    pub presence: Option<Presence>,
}

/// One kind of position: a column, or columns that one bit moves together.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its name within the table. It enters the positions, so it never changes once copies are out.
    pub name: String,
    /// Which share of the eligible cells is marked, times 2^32; [`RATE_ONE`] is all.
    pub rate: u32,
    /// The columns that positions hang on instead of the row's key: rows that agree in them and in the value are marked alike,
    /// so that what these columns determine they go on determining. None of them is marked. Empty: the row's key.
    pub by: Vec<String>,
    /// What carries the bit.
    pub carrier: Carrier,
}

/// What carries a bit.
#[derive(Debug, Clone, PartialEq)]
pub enum Carrier {
    /// Numbers or times that move by a fixed number of steps, up or down. Several members are tied: they move together by
    /// their coefficients, so that a linear constraint between them (a difference, a total of a row) goes on holding.
    Number {
        /// The columns, the anchor first: its value is the version of the position.
        members: Vec<Member>,
        /// By how many steps a coefficient of one moves; at most the tolerance.
        amplitude: u32,
        /// By how many steps the contract allows a value to be off.
        tolerance: u32,
    },
    /// Geographic coordinates in degrees (floating point) that move by some metres in a secret direction.
    Place {
        /// Column of the latitude.
        latitude: String,
        /// Column of the longitude.
        longitude: String,
        /// Digits after the point that the coordinates keep.
        decimals: u8,
        /// How far at most, in metres.
        metres: f64,
    },
    /// Texts that are taken for each other within declared sets (spellings of one address, codes that mean the same).
    Category {
        /// The column.
        column: String,
        /// The sets; a text stands in one of them at most.
        sets: Vec<Vec<String>>,
    },
}

/// One column of a number mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub column: String,
    /// How its values are numbers, and the step of its lattice.
    pub encoding: Encoding,
    /// By how much it moves when the anchor moves by one; not zero, the anchor's is one.
    pub coefficient: i32,
    /// The least and greatest value that may be delivered, in the encoding's units (see [`Encoding`]). A cell that either
    /// bit would move out of it isn't marked.
    pub domain: Option<(i64, i64)>,
}

/// How a column's values are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Integers, floating-point numbers or decimals on a lattice. Units of the domain: 10^-decimals of the step.
    Lattice(Step),
    /// Timestamps, dates and times of day. Units of the domain: the column's own.
    Time {
        /// The step in nanoseconds.
        nanoseconds: i64,
    },
    /// Integers that read as hours and minutes, 5:17 as 517, midnight at the end of the day as 2400. Step and unit: a minute.
    HoursMinutes,
}

/// A decimal step: 0.25 is 25 with two decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its digits as a whole number.
    pub unscaled: u32,
    /// How many of them stand after the point.
    pub decimals: u8,
}

impl Step {
    /// The most digits after the point.
    pub const DECIMALS_MAX: u8 = 12;
}

/// A rate as a share between zero and one.
pub(crate) fn rate_to_share(rate: u32) -> f64 {
    f64::from(rate) / 4_294_967_296.0
}

/// A share between zero and one as a rate.
pub fn share_to_rate(share: f64) -> u32 {
    // The conversion saturates: below zero is none, above one is all.
    (share * 4_294_967_296.0) as u32
}

impl Mark {
    /// The columns that the mark changes.
    pub fn columns(&self) -> Vec<&str> {
        match &self.carrier {
            Carrier::Number { members, .. } => members.iter().map(|member| member.column.as_str()).collect(),
            Carrier::Place { latitude, longitude, .. } => vec![latitude, longitude],
            Carrier::Category { column, .. } => vec![column],
        }
    }

    /// The same columns, to be given other names: those of a batch that holds them under names of its own. Nothing about a
    /// position depends on the name of a column.
    pub fn columns_mut(&mut self) -> Vec<&mut String> {
        match &mut self.carrier {
            Carrier::Number { members, .. } => members.iter_mut().map(|member| &mut member.column).collect(),
            Carrier::Place { latitude, longitude, .. } => vec![latitude, longitude],
            Carrier::Category { column, .. } => vec![column],
        }
    }

    fn refused(&self, reason: &'static str) -> FingerprintError {
        FingerprintError::Declaration { subject: self.name.clone(), reason }
    }

    fn check(&self) -> Result<(), FingerprintError> {
        match &self.carrier {
            Carrier::Number { members, amplitude, tolerance } => {
                if members.is_empty() || members.len() > MEMBERS_MAX {
                    return Err(self.refused("it needs between 1 and 16 columns"));
                }
                if *amplitude == 0 || amplitude > tolerance {
                    return Err(self.refused("the amplitude must be at least one step and at most the tolerance"));
                }
                if members[0].coefficient != 1 {
                    return Err(self.refused("the coefficient of the first column, the anchor, must be 1"));
                }
                for member in members {
                    if member.coefficient == 0 || member.coefficient.unsigned_abs() > 1_000 {
                        return Err(self.refused("a coefficient must be between 1 and 1000, with either sign"));
                    }
                    if member.domain.is_some_and(|(least, greatest)| least > greatest) {
                        return Err(self.refused("a domain's least value must not be above its greatest"));
                    }
                    match member.encoding {
                        Encoding::Lattice(step) if step.unscaled == 0 || step.decimals > Step::DECIMALS_MAX => {
                            return Err(self.refused("a step must be above zero and have at most 12 decimals"));
                        }
                        Encoding::Time { nanoseconds } if nanoseconds < TIME_STEP_NANOSECONDS_MIN => {
                            return Err(self.refused("a step of time must be at least a microsecond"));
                        }
                        _ => {}
                    }
                }
            }
            Carrier::Place { decimals, metres, .. } => {
                if !(metres.is_finite() && (0.01..=100_000.0).contains(metres)) {
                    return Err(self.refused("the distance must be between a centimetre and 100 kilometres"));
                }
                if *decimals > Step::DECIMALS_MAX {
                    return Err(self.refused("coordinates may have at most 12 decimals"));
                }
                if *metres < 3.0 * 111_320.0 * 10f64.powi(-i32::from(*decimals)) {
                    return Err(
                        self.refused("the distance must be at least three steps of the coordinates' last decimal")
                    );
                }
            }
            Carrier::Category { sets, .. } => {
                if sets.is_empty() || sets.len() > CONFUSION_SET_MAX {
                    return Err(self.refused("it needs between 1 and 256 confusion sets"));
                }
                let mut seen = BTreeSet::new();
                for set in sets {
                    if set.len() < 2 || set.len() > CONFUSION_SET_MAX {
                        return Err(self.refused("a confusion set needs between 2 and 256 texts"));
                    }
                    if !set.iter().all(|text| seen.insert(text)) {
                        return Err(self.refused("a text may stand in one confusion set only, and once"));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Marking {
    /// Whether the declaration holds together.
    ///
    /// # Errors
    /// [`FingerprintError::Declaration`] with the mark and what to change.
    pub fn check(&self) -> Result<(), FingerprintError> {
        let refused =
            |subject: &str, reason| Err(FingerprintError::Declaration { subject: subject.to_string(), reason });
        if self.key.is_empty() && (!self.marks.is_empty() || self.presence.is_some()) {
            return refused("the table", "name the columns that identify a row; marks hang on them");
        }
        if self.marks.len() > MARKS_MAX {
            return refused("the table", "it may have at most 256 marks");
        }
        let (mut names, mut columns) = (BTreeSet::new(), BTreeSet::new());
        for mark in &self.marks {
            mark.check()?;
            if !names.insert(&mark.name) {
                return refused(&mark.name, "the name is there twice");
            }
            for column in mark.columns() {
                if self.key.iter().any(|key| key == column) {
                    return refused(&mark.name, "a column of the key is never marked");
                }
                if !columns.insert(column) {
                    return refused(
                        &mark.name,
                        "one of its columns is in another mark, or in it twice; tie them in one mark",
                    );
                }
            }
        }
        for mark in &self.marks {
            if mark.by.len() > MEMBERS_MAX {
                return refused(&mark.name, "it may hang on 16 columns at most");
            }
            if mark.by.iter().any(|column| columns.contains(column.as_str())) {
                return refused(&mark.name, "what it hangs on is not marked");
            }
        }
        if let Some(presence) = &self.presence {
            presence.check()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str, columns: &[&str], amplitude: u32, tolerance: u32) -> Mark {
        let member = |column: &&str| Member {
            column: (*column).to_string(),
            encoding: Encoding::Lattice(Step { unscaled: 1, decimals: 0 }),
            coefficient: 1,
            domain: None,
        };
        let members = columns.iter().map(member).collect();
        Mark {
            name: name.to_string(),
            rate: RATE_ONE,
            by: Vec::new(),
            carrier: Carrier::Number { members, amplitude, tolerance },
        }
    }

    fn marking(marks: Vec<Mark>) -> Marking {
        Marking { key: vec!["id".to_string()], marks, order_share: 6_554, biases: BiasTable::default(), presence: None }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(marking(vec![number("a", &["x", "y"], 1, 1), number("b", &["z"], 2, 3)]).check(), Ok(()));
        let category = |sets: &[&[&str]]| Mark {
            name: "c".to_string(),
            rate: RATE_ONE,
            by: Vec::new(),
            carrier: Carrier::Category {
                column: "c".to_string(),
                sets: sets.iter().map(|set| set.iter().map(|text| (*text).to_string()).collect()).collect(),
            },
        };
        let by = |columns: &[&str], mark: Mark| Mark {
            by: columns.iter().map(|column| (*column).to_string()).collect(),
            ..mark
        };
        assert_eq!(marking(vec![by(&["code"], number("a", &["x"], 1, 1))]).check(), Ok(()));
        let refused: [Vec<Mark>; 12] = [
            vec![by(&["x"], number("a", &["x"], 1, 1))],
            vec![by(&["code", "y"], number("a", &["x"], 1, 1)), number("b", &["y"], 1, 1)],
            vec![by(&["c"; 17], number("a", &["x"], 1, 1))],
            vec![number("a", &["id"], 1, 1)],
            vec![number("a", &["x"], 2, 1)],
            vec![number("a", &["x"], 0, 1)],
            vec![number("a", &[], 1, 1)],
            vec![number("a", &["x", "x"], 1, 1)],
            vec![number("a", &["x"], 1, 1), number("b", &["x"], 1, 1)],
            vec![number("a", &["x"], 1, 1), number("a", &["y"], 1, 1)],
            vec![category(&[&["one"]])],
            vec![category(&[&["one", "two"], &["two", "three"]])],
        ];
        for marks in refused {
            let marking = marking(marks);
            assert!(matches!(marking.check(), Err(FingerprintError::Declaration { .. })), "{marking:?}");
        }
    }

    #[test]
    fn shares_become_rates() {
        assert_eq!(share_to_rate(0.5), 1 << 31);
        assert_eq!(share_to_rate(1.0), RATE_ONE);
        assert_eq!(share_to_rate(-1.0), 0);
    }
}
