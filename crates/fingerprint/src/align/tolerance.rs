//! How far a delivered value may be from its original by what the marking declares. Within that everything is equally
//! likely here, so that a match never hangs on where a mark put a value.

use std::collections::HashMap;

use super::cell::{Cells, digest_of};
use crate::laid::DEGREE_METRES;
use crate::marking::{Carrier, Encoding, Marking};

/// A day in minutes.
const DAY_MINUTES: f64 = 1_440.0;

/// By how much more metres degrees of longitude are taken for than those of latitude.
const LONGITUDE_TIMES: f64 = 12.0;

/// What is known of one original column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tolerance {
    /// By how much a number may be off; zero for a column that is declared exact.
    pub(crate) within: f64,
    /// Numbers that read as hours and minutes.
    pub(crate) is_clock: bool,
    /// Digests of texts that stand for each other, with the digest of the set.
    members: HashMap<u64, u64>,
}

impl Tolerance {
    pub(crate) fn of_columns(marking: &Marking) -> HashMap<String, Self> {
        let mut out = HashMap::new();
        for mark in &marking.marks {
            match &mark.carrier {
                Carrier::Number { members, tolerance, .. } => {
                    for member in members {
                        let steps = f64::from(*tolerance) * f64::from(member.coefficient.unsigned_abs());
                        let (step, is_clock) = match member.encoding {
                            Encoding::Lattice(step) => {
                                (f64::from(step.unscaled) / 10f64.powi(i32::from(step.decimals)), false)
                            }
                            Encoding::Time { nanoseconds } => (nanoseconds as f64 / 1e9, false),
                            Encoding::HoursMinutes => (1.0, true),
                        };
                        let within = steps * step;
                        out.insert(member.column.clone(), Self { within, is_clock, members: HashMap::new() });
                    }
                }
                Carrier::Place { latitude, longitude, metres, .. } => {
                    let degrees = metres / DEGREE_METRES;
                    out.insert(latitude.clone(), Self { within: degrees, ..Self::default() });
                    out.insert(longitude.clone(), Self { within: degrees * LONGITUDE_TIMES, ..Self::default() });
                }
                Carrier::Category { column, sets } => {
                    let mut members = HashMap::new();
                    for set in sets {
                        let name = set.first().map_or(0, |first| digest_of(first));
                        members.extend(set.iter().map(|text| (digest_of(text), name)));
                    }
                    out.insert(column.clone(), Self { members, ..Self::default() });
                }
            }
        }
        out
    }

    /// Reads a column's cells as this tolerance compares them: clock times as minutes, members of a set as the set.
    pub(crate) fn settle(&self, cells: &mut Cells) {
        if self.is_clock {
            for number in &mut cells.numbers {
                *number = (*number / 100.0).floor() * 60.0 + number.rem_euclid(100.0);
            }
        }
        if !self.members.is_empty() {
            for digest in &mut cells.digests {
                *digest = self.members.get(digest).copied().unwrap_or(*digest);
            }
        }
    }

    /// How far two settled numbers are apart.
    pub(crate) fn distance(&self, a: f64, b: f64) -> f64 {
        let apart = (a - b).abs();
        if self.is_clock && apart <= DAY_MINUTES { apart.min(DAY_MINUTES - apart) } else { apart }
    }
}
