//! What a sample of a table says, held against all of its rows: ties and dependencies that one row breaks are none, and what is
//! said of a column is said of all its values.
//!
//! The table is read batch by batch and never held. Of a dependency is kept what each value of its determinants had; where there
//! are too many of these, those of an even part of the values are kept, and of them all rows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::dependency::{Seen, Shown, values};
use crate::effect::{Distinct, Moments};
use crate::error::FingerprintError;
use crate::marking::Encoding;
use crate::propose::{ColumnProposal, Finding, gcd, natural_encoding};
use crate::sample::scattered;
use crate::units::{ABSENT, Units};

/// Most dependencies that are held against all rows. Further ones stay as the sample has them.
const HELD_MAX: usize = 1_000;
/// Most values of determinants that are kept for all dependencies together, and for one at most.
const KEPT_MAX: usize = 8_000_000;
const KEPT_EACH_MAX: usize = 1_000_000;
/// Most different values that are kept of all columns together, to find the smallest distance of each.
const DISTINCT_MAX: usize = 16_000_000;

/// Findings of a sample that are held against all rows.
pub struct Holding {
    ties: Vec<Tie>,
    dependencies: Vec<Held>,
    columns: Vec<Column>,
    others: Vec<Finding>,
    unheld: usize,
}

/// A tie of numeric columns.
struct Tie {
    finding: Finding,
    columns: Vec<(String, Encoding)>,
    constant: i64,
    modulus: Option<i64>,
    holds: bool,
}

/// What one value of a dependency's determinants had.
#[derive(Clone, Copy)]
struct Had {
    value: u64,
    rows: u64,
}

/// A dependency.
struct Held {
    by: Vec<String>,
    column: String,
    /// The probability that two rows agree in the column, by the sample.
    agreement: f64,
    had: HashMap<u64, Had>,
    /// Only values with a number up to this are kept.
    threshold: u64,
    most: usize,
    holds: bool,
}

/// A column that could carry marks.
struct Column {
    /// As the sample has it.
    proposal: ColumnProposal,
    lattice: u64,
    domain: Option<(i64, i64)>,
    values: Moments,
    distinct: Distinct,
}

impl Holding {
    /// What was found in a sample, to be held against all rows. Dependencies about none of the columns that are asked for are left as they were found.
    pub(crate) fn of(findings: Vec<Finding>, sample: &RecordBatch, is_asked: impl Fn(&str) -> bool) -> Self {
        let agreements: HashMap<&str, f64> =
            values(sample).iter().map(|column| (column.name, column.agreement)).collect();
        let is_held = |finding: &Finding| match finding {
            Finding::Dependency { .. } => finding.columns().into_iter().any(&is_asked),
            _ => false,
        };
        let asked = findings.iter().filter(|finding| is_held(finding)).count();
        let most = (KEPT_MAX / asked.clamp(1, HELD_MAX)).min(KEPT_EACH_MAX);
        let described = findings.iter().filter(|finding| matches!(finding, Finding::Column(_))).count().max(1);
        let mut holding = Self {
            ties: Vec::new(),
            dependencies: Vec::new(),
            columns: Vec::new(),
            others: Vec::new(),
            unheld: asked.saturating_sub(HELD_MAX),
        };
        for finding in findings {
            if holding.dependencies.len() < HELD_MAX
                && is_held(&finding)
                && let Finding::Dependency { by, column, .. } = finding
            {
                let agreement = agreements.get(column.as_str()).copied().unwrap_or(1.0);
                let (had, threshold) = (HashMap::new(), u64::MAX);
                holding.dependencies.push(Held { by, column, agreement, had, threshold, most, holds: true });
            } else if let Some(tie) = Tie::of(&finding, sample) {
                holding.ties.push(tie);
            } else if let Finding::Column(proposal) = finding {
                let (distinct, values) = (Distinct::up_to(DISTINCT_MAX / described), Moments::default());
                holding.columns.push(Column { proposal, lattice: 0, domain: None, values, distinct });
            } else {
                holding.others.push(finding);
            }
        }
        holding
    }

    /// Dependencies that are asked for and not held, being too many: they stay as they were found.
    pub fn unheld(&self) -> usize {
        self.unheld
    }

    /// Takes in further rows of the table.
    ///
    /// # Errors
    /// [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`].
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        let mut units: HashMap<(String, u8), Vec<i64>> = HashMap::new();
        for tie in self.ties.iter_mut().filter(|tie| tie.holds) {
            for (name, encoding) in &tie.columns {
                read(batch, name, *encoding, &mut units)?;
            }
            tie.holds = tie.holds_in(batch.num_rows(), &units);
        }
        for column in &mut self.columns {
            let ColumnProposal { column: name, encoding, .. } = &column.proposal;
            read(batch, name, *encoding, &mut units)?;
            let values = units.get(&key_of(name, *encoding)).map(Vec::as_slice).unwrap_or_default();
            column.add(values);
        }
        let mut numbers: HashMap<String, Vec<u64>> = HashMap::new();
        for held in self.dependencies.iter_mut().filter(|held| held.holds) {
            for name in held.by.iter().chain([&held.column]) {
                if let Entry::Vacant(free) = numbers.entry(name.clone()) {
                    free.insert(numbers_of(batch, name)?);
                }
            }
            held.add(batch.num_rows(), &numbers);
        }
        Ok(())
    }

    /// What holds in all rows that were taken in.
    pub fn finish(self) -> Vec<Finding> {
        let ties = self.ties.into_iter().filter(|tie| tie.holds).map(|tie| tie.finding);
        let dependencies = self.dependencies.into_iter().filter_map(Held::finish);
        let columns = self.columns.into_iter().map(|column| Finding::Column(column.finish()));
        ties.chain(dependencies).chain(self.others).chain(columns).collect()
    }
}

/// What names a column's values in an encoding: clock times are the one that a column may have beside its own.
fn key_of(name: &str, encoding: Encoding) -> (String, u8) {
    (name.to_owned(), u8::from(encoding == Encoding::HoursMinutes))
}

fn read(
    batch: &RecordBatch,
    name: &str,
    encoding: Encoding,
    units: &mut HashMap<(String, u8), Vec<i64>>,
) -> Result<(), FingerprintError> {
    if let Entry::Vacant(free) = units.entry(key_of(name, encoding)) {
        let array = column_of(batch, name)?;
        free.insert(Units::of(name, array.data_type(), encoding)?.read(array));
    }
    Ok(())
}

fn column_of<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, FingerprintError> {
    batch.column_by_name(name).ok_or_else(|| FingerprintError::ColumnMissing { column: name.to_owned() })
}

/// A number for each value of a column, zero where there is none.
fn numbers_of(batch: &RecordBatch, name: &str) -> Result<Vec<u64>, FingerprintError> {
    let array = column_of(batch, name)?;
    let texts = cast(array, &DataType::LargeUtf8).map_err(|_| FingerprintError::ColumnType {
        column: name.to_owned(),
        found: array.data_type().to_string(),
        expected: "a type that reads as text",
    })?;
    let number = |text: &str| {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        hasher.finish().max(1)
    };
    Ok(texts.as_string::<i64>().iter().map(|text| text.map_or(0, number)).collect())
}

impl Tie {
    /// None of what is no tie.
    fn of(finding: &Finding, sample: &RecordBatch) -> Option<Tie> {
        let (names, constant, modulus) = match finding {
            Finding::Copy { first, second, constant } => (vec![first, second], *constant, None),
            Finding::Sum { first, second, third, constant, modulus } => {
                (vec![first, second, third], *constant, *modulus)
            }
            _ => return None,
        };
        let mut columns = Vec::with_capacity(names.len());
        for (place, name) in names.into_iter().enumerate() {
            // Of a tie modulo a day the sum and the first part are clock times.
            let is_clock = modulus.is_some() && place < 2;
            let encoding =
                if is_clock { Encoding::HoursMinutes } else { natural_encoding(sample.column_by_name(name)?)? };
            columns.push((name.clone(), encoding));
        }
        Some(Tie { finding: finding.clone(), columns, constant, modulus, holds: true })
    }

    /// Whether it holds in all rows that have all of its columns.
    fn holds_in(&self, rows: usize, units: &HashMap<(String, u8), Vec<i64>>) -> bool {
        let columns: Vec<&[i64]> = self
            .columns
            .iter()
            .filter_map(|(name, encoding)| units.get(&key_of(name, *encoding)).map(Vec::as_slice))
            .collect();
        (0..rows).all(|row| {
            let mut values = columns.iter().map(|column| column[row]);
            let Some(first) = values.next().filter(|_| columns.iter().all(|column| column[row] != ABSENT)) else {
                return true;
            };
            let rest = values.fold(first, i64::wrapping_sub);
            self.modulus.map_or(rest, |modulus| rest.rem_euclid(modulus)) == self.constant
        })
    }
}

impl Held {
    fn add(&mut self, rows: usize, numbers: &HashMap<String, Vec<u64>>) {
        let by: Vec<&[u64]> = self.by.iter().filter_map(|name| numbers.get(name).map(Vec::as_slice)).collect();
        let Some(column) = numbers.get(&self.column) else { return };
        for row in 0..rows {
            let value = column[row];
            if value == 0 || by.iter().any(|by| by[row] == 0) {
                continue;
            }
            let determinants = by.iter().fold(0, |number, by| scattered(number ^ by[row]));
            if determinants > self.threshold {
                continue;
            }
            let had = self.had.entry(determinants).or_insert(Had { value, rows: 0 });
            if had.value != value {
                // Nothing that was kept is needed any more.
                (self.holds, self.had) = (false, HashMap::new());
                return;
            }
            had.rows += 1;
            while self.had.len() > self.most {
                self.threshold /= 2;
                let threshold = self.threshold;
                self.had.retain(|determinants, _| *determinants <= threshold);
            }
        }
    }

    fn finish(self) -> Option<Finding> {
        let rows: u64 = self.had.values().map(|had| had.rows).sum();
        let repeated = rows - self.had.len() as u64;
        // Of an even part of the values there is as large a part of the rows.
        let whole = u64::MAX as f64 / (self.threshold as f64).max(1.0);
        let scaled = |count: u64| (count as f64 * whole) as u64;
        let seen = Seen { rows: scaled(rows), repeated: scaled(repeated) };
        let Self { by, column, .. } = self;
        let is_shown = self.holds && Shown::WHOLE.by(seen, self.agreement);
        is_shown.then_some(Finding::Dependency { by, column, repeated: seen.repeated })
    }
}

impl Column {
    fn add(&mut self, units: &[i64]) {
        let present: Vec<i64> = units.iter().copied().filter(|value| *value != ABSENT).collect();
        let (Some(least), Some(greatest)) = (present.iter().min(), present.iter().max()) else { return };
        let (had_least, had_greatest) = self.domain.unwrap_or((*least, *greatest));
        self.domain = Some((had_least.min(*least), had_greatest.max(*greatest)));
        self.lattice = present.iter().fold(self.lattice, |step, value| gcd(step, value.unsigned_abs()));
        let values: Vec<f64> = present.iter().map(|value| *value as f64).collect();
        self.values.add(&values);
        self.distinct.add(&values);
    }

    fn finish(self) -> ColumnProposal {
        let ColumnProposal { deviation: seen, deviation_given_others, heaping, .. } = self.proposal;
        let (deviation, gap) = (self.values.deviation(), self.distinct.gap().unwrap_or_default());
        let left = if seen > 0.0 { deviation_given_others / seen } else { 1.0 };
        ColumnProposal {
            rows: self.values.count() as u64,
            lattice: i64::try_from(self.lattice.max(1)).unwrap_or(1),
            domain: self.domain.unwrap_or(self.proposal.domain),
            gap: gap as i64,
            mean: self.values.mean(),
            deviation,
            deviation_given_others: deviation * left,
            heaping,
            ..self.proposal
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;
    use crate::propose::{propose, propose_from_sample};
    use crate::sample::Sample;

    /// Numbers that look drawn, below a limit.
    fn drawn(row: i64, salt: u64, below: u64) -> i64 {
        let mixed = scattered(scattered(row.unsigned_abs()) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03));
        (mixed % below).cast_signed()
    }

    fn clock(minutes: i64) -> i64 {
        let minutes = minutes.rem_euclid(1_440);
        minutes / 60 * 100 + minutes % 60
    }

    /// Trips: a code and its name, a delay between two clock times, and a sum. In the last row what `breaks` names is otherwise.
    fn trips(rows: i64, breaks: &str) -> RecordBatch {
        let is_broken = |row: i64, what: &str| row == rows - 1 && breaks == what;
        let numbers =
            |of: &dyn Fn(i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..rows).map(of))) };
        let (code, planned) = (|row| drawn(row, 1, 40), |row| drawn(row, 2, 1_440));
        let (delay, net, tax) = (|row| drawn(row, 3, 90), |row| drawn(row, 4, 900), |row| drawn(row, 5, 90));
        let name = |row: i64| format!("站{}", if is_broken(row, "name") { 99 } else { code(row) % 7 });
        RecordBatch::try_from_iter([
            ("id", numbers(&|row| row * 3)),
            ("code", numbers(&code)),
            ("name", Arc::new(StringArray::from_iter_values((0..rows).map(name))) as ArrayRef),
            ("planned", numbers(&|row| clock(planned(row)))),
            ("delay", numbers(&delay)),
            ("actual", numbers(&|row| clock(planned(row) + delay(row) + i64::from(is_broken(row, "actual"))))),
            ("net", numbers(&net)),
            ("tax", numbers(&tax)),
            ("gross", numbers(&|row| net(row) + tax(row) + i64::from(is_broken(row, "gross")))),
            ("twin", numbers(&|row| net(row) + 5 + i64::from(is_broken(row, "twin")))),
        ])
        .unwrap()
    }

    /// What is found in a sample of a tenth and held against all rows, in batches.
    fn held(table: &RecordBatch) -> Vec<Finding> {
        let parts =
            || (0..table.num_rows()).step_by(1_000).map(|from| table.slice(from, 1_000.min(table.num_rows() - from)));
        let mut sample = Sample::of(table.num_rows() / 8);
        parts().for_each(|part| sample.add(&part).unwrap());
        let (sample, share) = sample.finish().unwrap().unwrap();
        assert!(share < 0.2, "{share}");
        let mut holding = Holding::of(propose_from_sample(&sample, share).unwrap(), &sample, |_| true);
        parts().for_each(|part| holding.add(&part).unwrap());
        holding.finish()
    }

    fn dependency<'f>(findings: &'f [Finding], by: &str, column: &str) -> Option<&'f Finding> {
        findings.iter().find(|finding| {
            matches!(finding, Finding::Dependency { by: found, column: told, .. } if found[..] == [by] && told == column)
        })
    }

    fn ties(findings: &[Finding]) -> Vec<&Finding> {
        findings.iter().filter(|finding| matches!(finding, Finding::Sum { .. } | Finding::Copy { .. })).collect()
    }

    #[test]
    fn what_holds_in_all_rows_is_said_as_of_the_whole_table() {
        let table = trips(16_000, "");
        let (whole, held) = (propose(&table).unwrap(), held(&table));
        assert!(!ties(&whole).is_empty() && dependency(&whole, "code", "name").is_some());
        for finding in ties(&whole) {
            assert!(held.contains(finding), "{finding:?}");
        }
        assert_eq!(dependency(&held, "code", "name"), dependency(&whole, "code", "name"));
        let column = |findings: &[Finding], name: &str| {
            findings.iter().find_map(|finding| match finding {
                Finding::Column(column) if column.column == name => Some(column.clone()),
                _ => None,
            })
        };
        for name in ["id", "delay", "planned", "net"] {
            let (one, other) = (column(&whole, name).unwrap(), column(&held, name).unwrap());
            assert_eq!(
                (one.rows, one.domain, one.gap, one.lattice),
                (other.rows, other.domain, other.gap, other.lattice)
            );
            assert!((one.deviation - other.deviation).abs() < 1e-6 * one.deviation, "{one:?} {other:?}");
            assert!((one.deviation_given_others / other.deviation_given_others - 1.0).abs() < 0.1, "{one:?} {other:?}");
        }
    }

    /// One row of sixteen thousand is enough, whether the sample has it or not.
    #[test]
    fn what_one_row_breaks_is_not_said() {
        for (breaks, column) in [("actual", "actual"), ("gross", "gross"), ("twin", "twin")] {
            let found = held(&trips(16_000, breaks));
            assert!(!ties(&found).iter().any(|tie| tie.columns().contains(&column)), "{breaks}: {found:?}");
            assert!(!ties(&found).is_empty());
        }
        assert!(dependency(&held(&trips(16_000, "name")), "code", "name").is_none());
    }

    /// A pair of rows that agree is hardly ever in the sample together, and the dependency is found all the same.
    #[test]
    fn what_repeats_seldom_in_the_sample_is_found() {
        let rows = 16_000;
        let numbers =
            |of: &dyn Fn(i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..rows).map(of))) };
        let table = RecordBatch::try_from_iter([
            ("id", numbers(&|row| row)),
            ("number", numbers(&|row| row % 8_000)),
            ("told", numbers(&|row| drawn(row % 8_000, 1, 50))),
        ])
        .unwrap();
        let found = held(&table);
        assert_eq!(
            dependency(&found, "number", "told"),
            Some(&Finding::Dependency { by: vec!["number".to_owned()], column: "told".to_owned(), repeated: 8_000 })
        );
    }

    /// Each dependency that is held costs memory and time for every row, so there is a limit, and what is beyond it is told.
    #[test]
    fn no_more_dependencies_are_held_than_the_limit() {
        let dependencies = |count: usize| -> Vec<Finding> {
            let of =
                |number| Finding::Dependency { by: vec![format!("c{number}")], column: "told".to_owned(), repeated: 9 };
            (0..count).map(of).collect()
        };
        let told: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4));
        let sample = RecordBatch::try_from_iter([("told", told)]).unwrap();
        for (count, unheld) in [(HELD_MAX, 0), (HELD_MAX + 250, 250)] {
            let holding = Holding::of(dependencies(count), &sample, |_| true);
            assert_eq!((holding.dependencies.len(), holding.unheld()), (HELD_MAX, unheld));
            let kept: usize = holding.dependencies.iter().map(|held| held.most).sum();
            assert!(kept <= KEPT_MAX, "{kept}");
            // Those beyond are said as they were found.
            assert_eq!(holding.others, dependencies(count)[HELD_MAX..]);
        }
        let holding = Holding::of(dependencies(HELD_MAX + 250), &sample, |column| column == "c7");
        assert_eq!((holding.dependencies.len(), holding.unheld()), (1, 0), "nobody asks for the others");
    }

    /// Of more values than are kept an even part is, with all of its rows.
    #[test]
    fn too_many_values_are_held_in_part() {
        let held = |exceptions: u64| {
            let mut held = Held {
                by: vec!["number".to_owned()],
                column: "told".to_owned(),
                agreement: 0.02,
                had: HashMap::new(),
                threshold: u64::MAX,
                most: 100,
                holds: true,
            };
            for round in 0..4u64 {
                let number = (0..2_000u64).map(scattered).collect();
                let told = (0..2_000).map(|row| 1 + row % 50 + u64::from(row < exceptions && round == 3)).collect();
                let numbers = HashMap::from([("number".to_owned(), number), ("told".to_owned(), told)]);
                held.add(2_000, &numbers);
                assert!(held.had.len() <= 100);
            }
            held.finish()
        };
        let Some(Finding::Dependency { repeated, .. }) = held(0) else { panic!("it holds") };
        assert!((3_000..9_500).contains(&repeated), "{repeated}");
        assert!(held(2_000).is_none(), "an exception in each value is seen in those that are kept");
    }
}
