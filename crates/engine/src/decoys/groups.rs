//! Which columns of a table hang together, so that a decoy has them from one row.

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use lingqu_fingerprint::{Finding, FingerprintError, Originals, propose};

use super::assembly;

/// Rows that are looked at for what hangs together.
const LOOKED_AT_MAX: u64 = 50_000;

/// The columns of a table in groups, each named by the place of its first column.
pub(super) struct Groups {
    /// For each column its group.
    pub(super) of: Vec<usize>,
    /// Groups that have a column of the key.
    pub(super) keyed: Vec<usize>,
    /// The others.
    pub(super) free: Vec<usize>,
}

impl Groups {
    /// Groups the columns of a table of so many rows. Where it can't be told what hangs together, all columns do.
    pub(super) fn of(
        originals: &dyn Originals,
        schema: &SchemaRef,
        key: &[String],
        rows: u64,
    ) -> Result<Groups, FingerprintError> {
        let findings = propose(&looked_at(originals, schema, rows)?);
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut of: Vec<usize> = (0..names.len()).collect();
        match &findings {
            Ok(findings) => findings.iter().for_each(|finding| join(&mut of, &names, &together(finding))),
            Err(_) => of.fill(0),
        }
        let is_key = |column: usize| key.iter().any(|part| part == names[column]);
        let mut keyed: Vec<usize> =
            (0..names.len()).filter(|column| is_key(*column)).map(|column| of[column]).collect();
        keyed.sort_unstable();
        keyed.dedup();
        let mut free: Vec<usize> = of.iter().copied().filter(|group| !keyed.contains(group)).collect();
        free.sort_unstable();
        free.dedup();
        Ok(Groups { of, keyed, free })
    }
}

/// The columns that a finding says hang together.
fn together(finding: &Finding) -> Vec<&str> {
    match finding {
        Finding::Sum { first, second, third, .. } => vec![first, second, third],
        Finding::Copy { first, second, .. } => vec![first, second],
        Finding::Dependency { by, column, .. } => by.iter().chain([column]).map(String::as_str).collect(),
        Finding::Place { latitude, longitude, .. } => vec![latitude, longitude],
        Finding::Column(_) | Finding::PairsLeftOut(_) | Finding::Category { .. } => Vec::new(),
    }
}

/// Makes one group of the groups of some columns.
fn join(of: &mut [usize], names: &[&str], columns: &[&str]) {
    let groups: Vec<usize> =
        columns.iter().filter_map(|column| names.iter().position(|name| name == column)).map(|at| of[at]).collect();
    let Some(least) = groups.iter().copied().min() else { return };
    of.iter_mut().filter(|group| groups.contains(group)).for_each(|group| *group = least);
}

/// Rows from all over a table.
fn looked_at(originals: &dyn Originals, schema: &SchemaRef, rows: u64) -> Result<RecordBatch, FingerprintError> {
    let stride = rows.div_ceil(LOOKED_AT_MAX).max(1);
    let (mut pieces, mut from) = (Vec::new(), 0_u64);
    originals.visit(&mut |batch: &RecordBatch| {
        let to = from + batch.num_rows() as u64;
        let first = from.next_multiple_of(stride);
        let chosen: Vec<u64> =
            (first..to).step_by(usize::try_from(stride).unwrap_or(usize::MAX)).map(|row| row - from).collect();
        pieces.push(take_record_batch(batch, &UInt64Array::from(chosen)).map_err(|_| assembly())?);
        from = to;
        Ok(())
    })?;
    let first = pieces.first().map_or_else(|| SchemaRef::clone(schema), RecordBatch::schema);
    concat_batches(&first, &pieces).map_err(|_| assembly())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn what_hangs_together_is_one_group() {
        let rows = 0..2_000_i64;
        let text = |prefix: &str, of: &dyn Fn(i64) -> i64| -> ArrayRef {
            Arc::new(rows.clone().map(|row| Some(format!("{prefix}{}", of(row)))).collect::<StringArray>())
        };
        let whole =
            |of: &dyn Fn(i64) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.clone().map(of))) };
        // A station has its name, arrival is departure and delay, and the load hangs on nothing.
        let scattered = |row: i64, by: i64| (row * 7_919 + row * row % 101 * 37) % by;
        let batch = RecordBatch::try_from_iter([
            ("id", whole(&|row| row * 3)),
            ("station", text("S", &|row| scattered(row, 17))),
            ("name", text("站", &|row| scattered(row, 17) % 13)),
            ("departs", whole(&|row| scattered(row, 977))),
            ("delay", whole(&|row| scattered(row * 31 + 7, 61))),
            ("arrives", whole(&|row| scattered(row, 977) + scattered(row * 31 + 7, 61))),
            ("load", whole(&|row| scattered(row * 13 + 5, 400))),
        ])
        .unwrap();
        let schema = batch.schema();
        let groups = Groups::of(&vec![batch], &schema, &["id".to_owned()], 2_000).unwrap();
        assert_eq!(groups.of[1], groups.of[2], "{:?}", groups.of);
        assert!(groups.of[3] == groups.of[4] && groups.of[3] == groups.of[5], "{:?}", groups.of);
        assert_eq!(groups.of.iter().filter(|group| **group == groups.of[6]).count(), 1, "{:?}", groups.of);
        assert_eq!((groups.keyed.as_slice(), groups.free.contains(&0)), ([0].as_slice(), false));
    }

    #[test]
    fn groups_that_share_a_column_become_one() {
        let names = ["a", "b", "c", "d"];
        let mut of = vec![0, 1, 2, 3];
        join(&mut of, &names, &["b", "c"]);
        join(&mut of, &names, &["d", "c"]);
        assert_eq!(of, [0, 1, 1, 1]);
        join(&mut of, &names, &["nowhere"]);
        assert_eq!(of, [0, 1, 1, 1]);
    }
}
