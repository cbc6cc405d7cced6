//! Marked columns that somebody joined to another product's rows, without the key or anything else of their own product.
//!
//! Nothing in such a file tells the rows of the marked product. But the rows of the other one are known, and with them what its
//! originals say of each: its key and whatever columns both products have from one resource. By these the rows of the marked
//! product are found. All of it comes from the file and from originals, and nobody's code is asked.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{Alignment, FingerprintError, OtherWay, Watch, align_by_way};

use super::TraceWatch;
use super::search::{Comparable, LOG_ODDS_MIN, further_min, on_threads, telling};

/// Most versions whose rows are looked for by way of another one's.
const WAYS_MAX: usize = 64;
/// Agreement beyond chance from which on a column is what an alignment takes it for.
const TAKEN_MIN: f64 = 0.5;

/// By way of which version the rows of another one are found.
pub(super) struct Way {
    /// Its place among those that are compared.
    pub(super) by: usize,
    /// Places of columns in the fragment that no version explains.
    open: Vec<usize>,
    /// Columns of it that the other one has as well, each with its name there.
    same: Vec<(String, String)>,
}

/// The versions that are found so, by their places.
pub(super) type Ways = BTreeMap<usize, Way>;

/// Looks for versions of marked products by way of those that were chosen, where the fragment has columns that these don't explain.
/// What is found takes the place of what was tried.
pub(super) fn by_way_of_others(
    sample: &Fragment,
    candidates: &[Comparable],
    chosen: &[usize],
    tried: &mut [Alignment],
    threads: usize,
    watch: &TraceWatch,
) -> Result<Ways, FingerprintError> {
    let open = open_columns(sample.column_names().len(), chosen.iter().filter_map(|place| tried.get(*place)));
    if open.is_empty() {
        return Ok(Ways::new());
    }
    let mut ways = Ways::new();
    for (place, candidate) in candidates.iter().enumerate() {
        if ways.len() == WAYS_MAX {
            break;
        }
        if chosen.contains(&place) || candidate.marking.marks.is_empty() {
            continue;
        }
        let others = chosen.iter().filter(|by| candidates[**by].version.name.0 != candidate.version.name.0);
        let by =
            others.map(|by| (*by, same_columns(&candidates[*by], candidate))).rev().max_by_key(|(_, same)| same.len());
        if let Some((by, same)) = by.filter(|(_, same)| !same.is_empty()) {
            ways.insert(place, Way { by, open: open.clone(), same });
        }
    }
    let places: Vec<usize> = ways.keys().copied().collect();
    let found =
        on_threads(&places, threads, |place| match ways.get(&place).and_then(|way| Some((way, tried.get(way.by)?))) {
            Some(way) => aligned(sample, candidates, place, way, watch),
            None => Ok(None),
        })?;
    let rows_min = further_min(sample.row_count());
    for (place, found) in places.into_iter().zip(found) {
        match (found.filter(|found| found.rows.len() as u64 >= rows_min), tried.get_mut(place)) {
            (Some(found), Some(tried)) => *tried = found,
            _ => {
                ways.remove(&place);
            }
        }
    }
    Ok(ways)
}

/// Aligns a fragment with one version by way of another one, of which the alignment is given; none where that tells nothing.
pub(super) fn aligned(
    fragment: &Fragment,
    candidates: &[Comparable],
    place: usize,
    (way, by): (&Way, &Alignment),
    watch: &TraceWatch,
) -> Result<Option<Alignment>, FingerprintError> {
    let (Some(candidate), Some(other)) = (candidates.get(place), candidates.get(way.by)) else { return Ok(None) };
    let beside = candidate.beside();
    let mut tell = telling(&beside, watch);
    let other = OtherWay { alignment: by, originals: &other.originals, same: &way.same, open: &way.open };
    align_by_way(&candidate.marking, &fragment.batch, &other, &candidate.originals, LOG_ODDS_MIN, &mut Watch(&mut tell))
}

/// Places of columns that none of these alignments explains.
fn open_columns<'a>(columns: usize, alignments: impl Iterator<Item = &'a Alignment>) -> Vec<usize> {
    let taken: BTreeSet<usize> = alignments
        .flat_map(|alignment| &alignment.columns)
        .filter(|column| column.agreement.beyond_chance().is_none_or(|agreement| agreement >= TAKEN_MIN))
        .map(|column| column.place)
        .collect();
    (0..columns).filter(|place| !taken.contains(place)).collect()
}

/// The columns that two versions have from one column of a resource, as it stands and unmarked by the second.
fn same_columns(one: &Comparable, other: &Comparable) -> Vec<(String, String)> {
    let marked: BTreeSet<&str> = other.marking.marks.iter().flat_map(|mark| mark.columns()).collect();
    let exact = other.plain.iter().filter(|(column, _)| !marked.contains(column.as_str()));
    let same = exact.filter_map(|(column, source)| {
        let (known, _) = one.plain.iter().find(|(_, of_one)| *of_one == source)?;
        Some((known.clone(), column.clone()))
    });
    same.collect()
}
