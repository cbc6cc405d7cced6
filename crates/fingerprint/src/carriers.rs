//! Columns that could carry a mark of places or of categories.

use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::dependency::Values;
use crate::laid::DEGREE_METRES;
use crate::marking::Encoding;
use crate::propose::{ColumnProposal, Finding};

/// What the names of coordinates have in them.
const LATITUDE_NAMES: [&str; 2] = ["lat", "纬"];
const LONGITUDE_NAMES: [&str; 3] = ["lon", "lng", "经"];
/// A mark moves a place by so many steps of the last decimal at least.
const STEPS_LEAST: f64 = 3.0;
/// The farthest that places may be moved.
const METRES_MAX: f64 = 100_000.0;
/// A column with more different texts names things rather than sorts them.
const TEXTS_MAX: u32 = 1_024;
/// The most columns of texts that sets are sought for, and the most sets of one.
const TEXT_COLUMNS_MAX: usize = 16;
const SETS_MAX: usize = 16;
/// Fewer rows than this tell little of a text.
const TEXT_ROWS_MIN: u32 = 50;
/// Columns with more different values are compared by tenths, if they are numbers.
const BUCKETS_MAX: u32 = 64;
const TENTHS: usize = 10;

/// Pairs of columns that read as latitude and longitude.
pub(crate) fn places(batch: &RecordBatch, columns: &[ColumnProposal]) -> Vec<Finding> {
    let of = |names: &[&str], degrees: i64| -> Vec<&ColumnProposal> {
        let is_one = |column: &&ColumnProposal| {
            let name = column.column.to_lowercase();
            let is_float = batch.column_by_name(&column.column).is_some_and(|array| array.data_type().is_floating());
            let Encoding::Lattice(step) = column.encoding else { return false };
            let most = degrees.saturating_mul(10_i64.pow(u32::from(step.decimals)));
            let within = column.domain.0 >= -most && column.domain.1 <= most;
            is_float && step.decimals > 0 && within && names.iter().any(|part| name.contains(part))
        };
        columns.iter().filter(is_one).collect()
    };
    let longitudes = of(&LONGITUDE_NAMES, 180);
    let mut found = Vec::new();
    for latitude in of(&LATITUDE_NAMES, 90) {
        let place = |column: &ColumnProposal| batch.schema_ref().index_of(&column.column).unwrap_or(0);
        // The next to it in the table; each once.
        let free = longitudes.iter().filter(|longitude| {
            !found
                .iter()
                .any(|found| matches!(found, Finding::Place { longitude: other, .. } if *other == longitude.column))
        });
        let Some(longitude) = free.min_by_key(|longitude| place(longitude).abs_diff(place(latitude))) else { continue };
        let decimals = [latitude, longitude].map(|column| match column.encoding {
            Encoding::Lattice(step) => step.decimals,
            _ => 0,
        });
        let decimals = decimals[0].max(decimals[1]);
        let metres_least = (STEPS_LEAST * DEGREE_METRES * 10f64.powi(-i32::from(decimals))).ceil();
        if metres_least > METRES_MAX {
            continue;
        }
        found.push(Finding::Place {
            latitude: latitude.column.clone(),
            longitude: longitude.column.clone(),
            decimals,
            metres_least,
        });
    }
    found
}

/// Columns of texts that sort rows, each with pairs of texts that are equally frequent and that no other column tells apart.
pub(crate) fn categories(batch: &RecordBatch, columns: &[Values<'_>]) -> Vec<Finding> {
    let is_text = |column: &&Values<'_>| {
        let kind = batch.column_by_name(column.name).map(|array| array.data_type().clone());
        matches!(kind, Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
            && (2..=TEXTS_MAX).contains(&column.distinct)
    };
    let texts: Vec<&Values<'_>> = columns.iter().filter(is_text).take(TEXT_COLUMNS_MAX).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let buckets: Vec<(&str, Vec<u8>)> =
        columns.iter().filter_map(|column| Some((column.name, bucketed(batch, column)?))).collect();
    let category = |column: &&Values<'_>| Finding::Category {
        column: column.name.to_string(),
        sets: sets(batch, column, &buckets),
    };
    texts.iter().map(category).collect()
}

/// A column's values in few groups: tenths of numbers and times; of others the most frequent ones, and what is left.
pub(crate) fn bucketed(batch: &RecordBatch, column: &Values<'_>) -> Option<Vec<u8>> {
    if column.distinct <= BUCKETS_MAX {
        return column.ids.iter().map(|id| u8::try_from(*id).ok()).collect();
    }
    let array = batch.column_by_name(column.name)?;
    if !(array.data_type().is_numeric() || array.data_type().is_temporal()) {
        return Some(most_frequent(column));
    }
    let floats = cast(array, &DataType::Int64).or_else(|_| cast(array, &DataType::Float64)).ok()?;
    let floats = cast(&floats, &DataType::Float64).ok()?;
    let floats = floats.as_primitive::<arrow::datatypes::Float64Type>();
    let mut sorted: Vec<f64> = floats.iter().flatten().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let bounds: Vec<f64> = (1..TENTHS).filter_map(|tenth| sorted.get(sorted.len() * tenth / TENTHS).copied()).collect();
    let bucket = |value: Option<f64>| match value {
        Some(value) if value.is_finite() => 1 + bounds.partition_point(|bound| *bound <= value) as u8,
        _ => 0,
    };
    Some(floats.iter().map(bucket).collect())
}

/// The most frequent values each by itself, from one on; zero where there is none, and the last number for all others.
fn most_frequent(column: &Values<'_>) -> Vec<u8> {
    let mut counts = vec![0u32; column.distinct as usize + 1];
    for id in &column.ids {
        counts[*id as usize] += 1;
    }
    let mut sorted: Vec<usize> = (1..counts.len()).collect();
    sorted.sort_by_key(|id| (std::cmp::Reverse(counts[*id]), *id));
    let others = BUCKETS_MAX as u8;
    let mut buckets = vec![others; counts.len()];
    buckets[0] = 0;
    for (bucket, id) in (1..others).zip(sorted) {
        buckets[id] = bucket;
    }
    column.ids.iter().map(|id| buckets[*id as usize]).collect()
}

/// Texts in pairs.
fn sets(batch: &RecordBatch, column: &Values<'_>, buckets: &[(&str, Vec<u8>)]) -> Vec<Vec<String>> {
    let mut counts = vec![0u32; column.distinct as usize + 1];
    for id in &column.ids {
        counts[*id as usize] += 1;
    }
    let mut sorted: Vec<u32> = (1..=column.distinct).filter(|id| counts[*id as usize] >= TEXT_ROWS_MIN).collect();
    sorted.sort_by_key(|id| (std::cmp::Reverse(counts[*id as usize]), *id));
    let tables: Vec<Vec<u32>> = buckets
        .iter()
        .filter(|(name, _)| *name != column.name)
        .map(|(_, buckets)| {
            let mut table = vec![0u32; counts.len() << 8];
            for (id, bucket) in column.ids.iter().zip(buckets) {
                table[(*id as usize) << 8 | usize::from(*bucket)] += 1;
            }
            table
        })
        .collect();
    let (mut sets, mut at) = (Vec::new(), 0);
    while at + 1 < sorted.len() && sets.len() < SETS_MAX {
        let (one, other) = (sorted[at], sorted[at + 1]);
        let (few, many) = (f64::from(counts[other as usize]), f64::from(counts[one as usize]));
        let are_alike = (many - few).powi(2) <= 4.0 * (many + few)
            && tables.iter().all(|table| are_drawn_alike(row_of(table, one), row_of(table, other)));
        if are_alike {
            sets.extend(text_of(batch, column, one).zip(text_of(batch, column, other)).map(|(a, b)| vec![a, b]));
            at += 1;
        }
        at += 1;
    }
    sets
}

fn row_of(table: &[u32], id: u32) -> &[u32] {
    &table[(id as usize) << 8..(id as usize + 1) << 8]
}

/// Pearson's chi-square of two rows of counts, held to its mean and three of its deviations.
fn are_drawn_alike(one: &[u32], other: &[u32]) -> bool {
    let sum = |counts: &[u32]| counts.iter().map(|count| f64::from(*count)).sum::<f64>();
    let (ones, others) = (sum(one), sum(other));
    let (mut square, mut cells) = (0.0, 0.0_f64);
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (f64::from(*one), f64::from(*other));
        if one + other > 0.0 {
            cells += 1.0;
            square += (one * others - other * ones).powi(2) / (ones * others * (one + other));
        }
    }
    let freedom = (cells - 1.0).max(0.0);
    square <= freedom + 3.0 * (2.0 * freedom).sqrt()
}

fn text_of(batch: &RecordBatch, column: &Values<'_>, id: u32) -> Option<String> {
    let row = column.ids.iter().position(|other| *other == id)?;
    let array = cast(batch.column_by_name(column.name)?, &DataType::LargeUtf8).ok()?;
    Some(array.as_string::<i64>().value(row).to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;
    use crate::dependency::values;
    use crate::propose::propose;

    #[test]
    fn places_and_texts_that_nothing_tells_apart_are_found() {
        let rows = || (0..6_000i64).map(|i| i * 7_919 % 6_007);
        // 甲 and 乙 are alike; 丙 stands with small numbers only; 丁 is seldom.
        let kind = |i: i64| match i % 100 {
            99 => "丁",
            i if i % 3 == 0 => "甲",
            i if i % 3 == 1 => "乙",
            _ => "丙",
        };
        let size = rows().map(|i| if kind(i) == "丙" { i / 100 % 7 } else { 50 + i / 100 % 53 });
        let batch = RecordBatch::try_from_iter([
            ("kind", Arc::new(StringArray::from_iter_values(rows().map(kind))) as ArrayRef),
            ("size", Arc::new(Int64Array::from_iter_values(size))),
            ("Lat", Arc::new(Float64Array::from_iter_values(rows().map(|i| (228_000 + i) as f64 / 1e4)))),
            ("Lng", Arc::new(Float64Array::from_iter_values(rows().map(|i| (1_083_000 - i) as f64 / 1e4)))),
            ("platform", Arc::new(Float64Array::from_iter_values(rows().map(|i| (i % 7) as f64)))),
        ])
        .unwrap();
        let categories = categories(&batch, &values(&batch));
        let texts = |set: &[&str]| set.iter().map(|text| (*text).to_string()).collect::<Vec<_>>();
        let sets = match &categories[..] {
            [Finding::Category { column, sets }] if column == "kind" => sets,
            other => panic!("{other:?}"),
        };
        let mut set = sets.first().cloned().unwrap_or_default();
        set.sort();
        assert_eq!((sets.len(), set), (1, texts(&["乙", "甲"])), "{sets:?}");
        let places: Vec<Finding> =
            propose(&batch).unwrap().into_iter().filter(|found| matches!(found, Finding::Place { .. })).collect();
        let (latitude, longitude) = ("Lat".to_string(), "Lng".to_string());
        // Three steps of 11.132 metres.
        assert_eq!(places, [Finding::Place { latitude, longitude, decimals: 4, metres_least: 34.0 }]);
    }
}
