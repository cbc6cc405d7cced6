//! Rows that are found by way of other originals. Who joins a marked column to another table's rows and leaves the key out leaves
//! nothing by which the marked table's rows could be told. Where that other table's rows are known its originals are too, and
//! they have the key.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};

use super::{Alignment, COLUMNS_MAX, Deed, MatchedColumn, MatchedRow, Originals, Provenance, Watch, align, provenance};
use crate::error::FingerprintError;
use crate::marking::Marking;

/// Another table that rows of a fragment were laid beside.
pub struct OtherWay<'a> {
    /// How the fragment lies beside it.
    pub alignment: &'a Alignment,
    /// Its rows.
    pub originals: &'a dyn Originals,
    /// Its columns that the originals which are looked for have as well, each with its name there.
    pub same: &'a [(String, String)],
    /// Places of columns of the fragment that may be those originals'.
    pub open: &'a [usize],
}

/// Aligns a fragment with originals by what other originals say of its rows. The answer has columns of the fragment alone, and
/// is none unless a marked one is among them and agrees, row by row, beyond chance: the others agree because both tables are
/// of one source, which tells nothing.
///
/// # Errors
/// As [`align`], and [`FingerprintError::ColumnMissing`] where the other originals lack one of the columns.
pub fn align_by_way(
    marking: &Marking,
    fragment: &RecordBatch,
    way: &OtherWay<'_>,
    originals: &dyn Originals,
    log_odds_min: f64,
    watch: &mut Watch<'_>,
) -> Result<Option<Alignment>, FingerprintError> {
    if way.alignment.rows.is_empty() {
        return Ok(None);
    }
    let completed = completed(fragment, way, watch)?;
    let found = align(marking, &completed, originals, log_odds_min, watch)?;
    let marked: HashSet<&str> = marking.marks.iter().flat_map(|mark| mark.columns()).collect();
    let (own, helpers): (Vec<MatchedColumn>, Vec<MatchedColumn>) =
        found.columns.into_iter().partition(|column| column.place < way.open.len());
    let agreements: Vec<_> =
        own.iter().filter(|column| marked.contains(column.original.as_str())).map(|column| column.agreement).collect();
    let verified = provenance(&agreements);
    if !matches!(verified, Provenance::Inside(_)) {
        return Ok(None);
    }
    let helpers: BTreeSet<String> = helpers.into_iter().map(|column| column.original).collect();
    let place_of = |column: MatchedColumn| {
        let place = way.open.get(column.place).copied()?;
        Some(MatchedColumn { place, ..column })
    };
    let row_of = |row: &MatchedRow| {
        let leaked = way.alignment.rows.get(row.leaked as usize)?.leaked;
        Some(MatchedRow { leaked, ..*row })
    };
    let rows: Vec<MatchedRow> = found.rows.iter().filter_map(row_of).collect();
    let mut deeds = vec![Deed::Joined];
    deeds.extend(helpers.iter().map(|column| Deed::Dropped { column: column.clone() }));
    deeds.extend(found.deeds.into_iter().filter(|deed| deed.column().is_none_or(|column| !helpers.contains(column))));
    Ok(Some(Alignment {
        columns: own.into_iter().filter_map(place_of).collect(),
        unmatched: fragment.num_rows() as u64 - rows.len() as u64,
        rows,
        provenance: verified,
        deeds,
        originals: found.originals,
    }))
}

/// The rows of the fragment that lie beside the other originals: its open columns, and what these originals say of the rows under
/// the names that are looked for.
fn completed(
    fragment: &RecordBatch,
    way: &OtherWay<'_>,
    watch: &mut Watch<'_>,
) -> Result<RecordBatch, FingerprintError> {
    let whole = || FingerprintError::Assembly { column: "*".to_string() };
    let same = &way.same[..way.same.len().min(COLUMNS_MAX.saturating_sub(way.open.len()))];
    let known = Known { of: way.originals, names: same.iter().map(|(known, _)| known.as_str()).collect() };
    let known = way.alignment.gather(&known, watch)?;
    let rows = UInt32Array::from_iter_values(way.alignment.rows.iter().map(|row| row.leaked));
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for place in way.open {
        let (array, field) = (fragment.columns().get(*place), fragment.schema_ref().fields().get(*place));
        let (array, field) = array.zip(field).ok_or_else(whole)?;
        let array = take(array, &rows, None).map_err(|_| whole())?;
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        columns.push(array);
    }
    for ((_, name), array) in same.iter().zip(known.columns()) {
        fields.push(Field::new(name, array.data_type().clone(), true));
        columns.push(Arc::clone(array));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|_| whole())
}

/// Some columns of originals, in their order.
pub(crate) struct Known<'a> {
    pub(crate) of: &'a dyn Originals,
    pub(crate) names: Vec<&'a str>,
}

impl Originals for Known<'_> {
    fn visit(
        &self,
        visitor: &mut dyn FnMut(&RecordBatch) -> Result<(), FingerprintError>,
    ) -> Result<(), FingerprintError> {
        self.of.visit(&mut |batch: &RecordBatch| {
            let place = |name: &&str| {
                batch
                    .schema_ref()
                    .index_of(name)
                    .map_err(|_| FingerprintError::ColumnMissing { column: (*name).to_string() })
            };
            let places: Vec<usize> = self.names.iter().map(place).collect::<Result<_, _>>()?;
            let whole = |_| FingerprintError::Assembly { column: "*".to_string() };
            visitor(&batch.project(&places).map_err(whole)?)
        })
    }
}
