//! Which of the delivered versions a fragment comes from: each is compared with a sample, those that explain rows then with all.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use lingqu_engine::ProductOriginals;
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{Alignment, FingerprintError, Marking, Provenance, Stage, Watch, align};
use roaring::RoaringTreemap;

use super::TraceWatch;
use super::versions::DeliveredVersion;

/// Rows of the sample that versions are tried with.
pub(super) const SAMPLE_ROWS: usize = 4_000;
/// Logarithm of the odds that a match has: by the model one in a thousand is wrong.
const LOG_ODDS_MIN: f64 = 7.0;
/// A further version is taken when it explains so many rows of the sample that no other does, and such a share of it.
const FURTHER_ROWS_MIN: usize = 5;
const FURTHER_SHARE_MIN: f64 = 0.01;
/// A fragment with so many rows and columns, of which such a share differ from each other, would have rows in common with a
/// version that it comes from.
const TELLING_ROWS_MIN: usize = 100;
const TELLING_COLUMNS_MIN: usize = 2;
const TELLING_SHARE_MIN: f64 = 0.5;
/// Most versions that one fragment is taken to come from.
const MATCHED_MAX: usize = 16;
/// Of versions that explain as many rows but for so many in a thousand, the one that explains most columns is taken: rows of one
/// resource stand in several products, and which one leaked shows by what only it has.
const EQUAL_PER_MILLE: usize = 5;
/// Every so many originals the progress is told.
const TELL_EVERY: u64 = 1 << 20;

/// A version that can be compared.
pub(super) struct Comparable {
    pub(super) version: DeliveredVersion,
    pub(super) originals: ProductOriginals,
    /// The numbers of those originals that are decoys.
    pub(super) decoys: RoaringTreemap,
    /// The product's marking, or one without marks.
    pub(super) marking: Marking,
}

/// A table that a fragment is laid beside.
pub(super) struct Beside<'c> {
    pub(super) originals: &'c ProductOriginals,
    pub(super) marking: &'c Marking,
    /// What it is called where progress is told.
    pub(super) name: String,
}

impl Comparable {
    fn beside(&self) -> Beside<'_> {
        let Comparable { version, originals, marking, .. } = self;
        Beside { originals, marking, name: version.name.0.to_string() }
    }
}

/// A version that rows of the fragment are of. Each row is of one version at most.
pub(super) struct Matched {
    /// Its place among those that were compared.
    pub(super) place: usize,
    pub(super) alignment: Alignment,
}

/// The rows of a fragment that are rows of one version.
pub(super) struct RowsOf {
    /// The version's place among those that were compared.
    pub(super) place: usize,
    /// Number of the original, and place of the row in the fragment.
    pub(super) rows: Vec<(u64, u32)>,
}

/// Where a fragment comes from.
pub(super) struct Searched {
    /// The versions, the one with most rows first.
    pub(super) matched: Vec<Matched>,
    /// Of every version of these products that has rows of it, these or the same in another version: the numbers of the
    /// originals with the rows of the fragment. Who had a row in any version had it.
    pub(super) rows: Vec<RowsOf>,
    /// Versions of these products that have rows of it and are not among them, being too many.
    pub(super) versions_more: usize,
    /// Whether nothing matched though much should; otherwise, with nothing matched, the fragment is too small to tell.
    pub(super) is_foreign: bool,
}

/// Compares a fragment with all versions, on as many threads as are given. Memory: as [`align`] states, for each thread.
pub(super) fn search(
    fragment: &Fragment,
    candidates: &[Comparable],
    threads: usize,
    watch: &TraceWatch,
) -> Result<Searched, FingerprintError> {
    let sample_places = fragment.sample(SAMPLE_ROWS);
    let sample = fragment.rows(&sample_places);
    let beside: Vec<Beside<'_>> = candidates.iter().map(Comparable::beside).collect();
    let all: Vec<usize> = (0..candidates.len()).collect();
    let tried = align_each(&sample, &beside, &all, threads, watch)?;
    let is_foreign = tried.iter().all(|alignment| matches!(alignment.provenance, Provenance::Outside(_)))
        || (tried.iter().all(|alignment| alignment.rows.is_empty()) && is_telling(&sample));
    let chosen = chosen(&tried, candidates, sample.row_count());
    let mut further = further(&tried, candidates, &chosen);
    let versions_more = (chosen.len() + further.len()).saturating_sub(MATCHED_MAX);
    further.truncate(MATCHED_MAX - chosen.len());
    let places: Vec<usize> = chosen.iter().chain(&further).copied().collect();
    // What was compared with the whole fragment need not be compared again.
    let whole: Vec<Alignment> = if sample_places.len() == fragment.row_count() {
        let mut tried: Vec<Option<Alignment>> = tried.into_iter().map(Some).collect();
        places.iter().filter_map(|place| tried.get_mut(*place)?.take()).collect()
    } else {
        align_each(fragment, &beside, &places, threads, watch)?
    };
    let rows_of = |(place, alignment): (&usize, &Alignment)| {
        let rows = alignment.rows.iter().map(|row| (row.original, row.leaked)).collect();
        RowsOf { place: *place, rows }
    };
    let rows = places.iter().zip(&whole).map(rows_of).collect();
    let mut matched: Vec<Matched> =
        chosen.into_iter().zip(whole).map(|(place, alignment)| Matched { place, alignment }).collect();
    matched.sort_by_key(|matched| std::cmp::Reverse(matched.alignment.rows.len()));
    let mut taken: HashSet<u32> = HashSet::new();
    for matched in &mut matched {
        let rows = &mut matched.alignment.rows;
        rows.retain(|row| !taken.contains(&row.leaked));
        taken.extend(rows.iter().map(|row| row.leaked));
    }
    matched.retain(|matched| !matched.alignment.rows.is_empty());
    Ok(Searched { matched, rows, versions_more, is_foreign })
}

/// Whether a fragment says so much that where it matches nothing it comes from elsewhere.
fn is_telling(fragment: &Fragment) -> bool {
    let rows = fragment.row_count();
    rows >= TELLING_ROWS_MIN
        && fragment.column_names().len() >= TELLING_COLUMNS_MIN
        && fragment.distinct_rows() as f64 >= TELLING_SHARE_MIN * rows as f64
}

/// The versions that explain rows of the sample, the one that explains most first; a confirmed one goes before any that is not.
/// Of equals the one that was delivered last.
fn chosen(tried: &[Alignment], candidates: &[Comparable], rows: usize) -> Vec<usize> {
    let is_confirmed = |place: usize| matches!(tried[place].provenance, Provenance::Inside(_));
    let any_confirmed = (0..tried.len()).any(is_confirmed);
    let mut left: Vec<(usize, HashSet<u32>)> = tried
        .iter()
        .enumerate()
        .filter(|(place, alignment)| !alignment.rows.is_empty() && (is_confirmed(*place) || !any_confirmed))
        .map(|(place, alignment)| (place, alignment.rows.iter().map(|row| row.leaked).collect()))
        .collect();
    let mut chosen = Vec::new();
    let further_min = FURTHER_ROWS_MIN.max((rows as f64 * FURTHER_SHARE_MIN).ceil() as usize);
    while chosen.len() < MATCHED_MAX {
        let most = left.iter().map(|(_, rows)| rows.len()).max().unwrap_or_default();
        let is_equal = |rows: usize| rows * 1_000 >= most * (1_000 - EQUAL_PER_MILLE);
        let best = left
            .iter()
            .filter(|(_, rows)| is_equal(rows.len()))
            .max_by_key(|(place, rows)| (tried[*place].columns.len(), rows.len(), candidates[*place].version.last_at));
        let Some((place, explained)) = best.cloned() else { break };
        if explained.is_empty() || (!chosen.is_empty() && explained.len() < further_min) {
            break;
        }
        chosen.push(place);
        left.retain(|(other, _)| *other != place);
        left.iter_mut().for_each(|(_, rows)| rows.retain(|row| !explained.contains(row)));
    }
    chosen
}

/// Further versions of the chosen products that have rows of the sample, those with most first: an unchanged row stands in many
/// versions, and whoever had it in one of them had it.
fn further(tried: &[Alignment], candidates: &[Comparable], chosen: &[usize]) -> Vec<usize> {
    let is_of_chosen = |place: usize| {
        chosen.iter().any(|chosen| candidates[*chosen].version.name.0 == candidates[place].version.name.0)
    };
    let mut further: Vec<usize> = (0..tried.len())
        .filter(|place| !chosen.contains(place) && is_of_chosen(*place) && !tried[*place].rows.is_empty())
        .collect();
    further.sort_by_key(|place| std::cmp::Reverse((tried[*place].rows.len(), candidates[*place].version.last_at)));
    further
}

/// Aligns a fragment with some of the tables, in the order of `places`.
pub(super) fn align_each(
    fragment: &Fragment,
    candidates: &[Beside<'_>],
    places: &[usize],
    threads: usize,
    watch: &TraceWatch,
) -> Result<Vec<Alignment>, FingerprintError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Alignment, FingerprintError>>>> =
        Mutex::new(places.iter().map(|_| None).collect());
    let work = || {
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(candidate) = places.get(turn).map(|place| &candidates[*place]) else { return };
            let result = align_one(fragment, candidate, watch);
            let has_failed = result.is_err();
            if let Some(slot) = done.lock().unwrap_or_else(PoisonError::into_inner).get_mut(turn) {
                *slot = Some(result);
            }
            if has_failed {
                next.store(places.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, places.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = done.iter().flatten().find_map(|result| result.as_ref().err()) {
        return Err(error.clone());
    }
    Ok(done.into_iter().flatten().filter_map(Result::ok).collect())
}

fn align_one(fragment: &Fragment, candidate: &Beside<'_>, watch: &TraceWatch) -> Result<Alignment, FingerprintError> {
    let all = candidate.originals.rows();
    let mut told = 0;
    let mut tell = |stage: Stage, rows: u64| {
        if rows < told {
            told = 0;
        }
        if rows - told >= TELL_EVERY {
            told = rows;
            let doing = match stage {
                Stage::Columns => "columns",
                Stage::Rows => "rows",
                Stage::Gathering => "originals",
            };
            watch.tell(&format!("{} of {all} rows of {}: {doing}", rows, candidate.name));
        }
        if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    align(candidate.marking, &fragment.batch, candidate.originals, LOG_ODDS_MIN, &mut Watch(&mut tell))
}
