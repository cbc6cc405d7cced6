//! Which of the delivered versions a fragment comes from: each is compared with a sample, those that explain rows then with all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use lingqu_domain::id::ProductId;
use lingqu_domain::product::SourceColumn;
use lingqu_engine::ProductOriginals;
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{Alignment, FingerprintError, Marking, Provenance, Stage, Watch, align};
use roaring::{RoaringBitmap, RoaringTreemap};

use super::TraceWatch;
use super::joined::{self, Ways};
use super::versions::DeliveredVersion;

/// Rows of the sample that versions are tried with.
pub(super) const SAMPLE_ROWS: usize = 4_000;
/// Logarithm of the odds that a match has: by the model one in a thousand is wrong.
pub(super) const LOG_ODDS_MIN: f64 = 7.0;
/// A further version is taken when it explains something of so many rows of the sample that no other does, and of such a share of
/// it: the row, one of its cells, or the marks of its product in it.
const FURTHER_ROWS_MIN: usize = 5;
const FURTHER_SHARE_MIN: f64 = 0.01;
/// A fragment with so many rows and columns, of which such a share differ from each other, would have rows in common with a
/// version that it comes from.
const TELLING_ROWS_MIN: usize = 100;
const TELLING_COLUMNS_MIN: usize = 2;
const TELLING_SHARE_MIN: f64 = 0.5;
/// Most versions that one fragment is taken to come from, and most where the further ones are of marked products: who joins many
/// copies keeps none of them from being tested.
const MATCHED_MAX: usize = 16;
const MATCHED_MARKED_MAX: usize = 64;
/// Of versions that explain as many rows but for so many in a thousand, the one that explains most columns is taken: rows of one
/// resource stand in several products, and which one leaked shows by what only it has.
const EQUAL_PER_MILLE: u64 = 5;
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
    /// The product's columns that are a resource's as they stand, each with that one.
    pub(super) plain: BTreeMap<String, SourceColumn>,
}

/// A table that a fragment is laid beside.
pub(super) struct Beside<'c> {
    pub(super) originals: &'c ProductOriginals,
    pub(super) marking: &'c Marking,
    /// What it is called where progress is told.
    pub(super) name: String,
}

impl Comparable {
    pub(super) fn beside(&self) -> Beside<'_> {
        let Comparable { version, originals, marking, .. } = self;
        Beside { originals, marking, name: version.name.0.to_string() }
    }

    /// Whether its copies bear marks of any kind.
    fn is_marked(&self) -> bool {
        !self.marking.marks.is_empty() || self.marking.presence.is_some() || !self.decoys.is_empty()
    }
}

/// A version that rows of the fragment are of. Each row is of one version of a product at most; of several products where each
/// explains something of it that those before do not: somebody may have joined their copies.
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
    let mut tried = align_each(&sample, &beside, &all, threads, watch)?;
    let is_foreign = tried.iter().all(|alignment| matches!(alignment.provenance, Provenance::Outside(_)))
        || (tried.iter().all(|alignment| alignment.rows.is_empty()) && is_telling(&sample));
    let by_themselves = chosen(&tried, candidates, sample.row_count());
    let ways = joined::by_way_of_others(&sample, candidates, &by_themselves, &mut tried, threads, watch)?;
    let chosen = if ways.is_empty() { by_themselves } else { chosen(&tried, candidates, sample.row_count()) };
    let mut further = further(&tried, candidates, &chosen);
    let versions_more = (chosen.len() + further.len()).saturating_sub(MATCHED_MAX.max(chosen.len()));
    further.truncate(MATCHED_MAX.saturating_sub(chosen.len()));
    let places: Vec<usize> = chosen.iter().chain(&further).copied().collect();
    // What was compared with the whole fragment need not be compared again.
    let whole: Vec<Alignment> = if sample_places.len() == fragment.row_count() {
        let mut tried: Vec<Option<Alignment>> = tried.into_iter().map(Some).collect();
        places.iter().filter_map(|place| tried.get_mut(*place)?.take()).collect()
    } else {
        whole_of(fragment, candidates, &places, &ways, threads, watch)?
    };
    let rows_of = |(place, alignment): (&usize, &Alignment)| {
        let rows = alignment.rows.iter().map(|row| (row.original, row.leaked)).collect();
        RowsOf { place: *place, rows }
    };
    let rows = places.iter().zip(&whole).map(rows_of).collect();
    let mut matched: Vec<Matched> =
        chosen.into_iter().zip(whole).map(|(place, alignment)| Matched { place, alignment }).collect();
    matched.sort_by_key(|matched| std::cmp::Reverse(matched.alignment.rows.len()));
    let mut explained = Explained::default();
    let mut taken: HashMap<&ProductId, RoaringBitmap> = HashMap::new();
    for matched in &mut matched {
        let candidate = &candidates[matched.place];
        let claims = claims(candidate, &matched.alignment);
        let own = taken.entry(&candidate.version.name.0).or_default();
        let mut kept = explained.beyond(&rows_in(&matched.alignment), &claims);
        kept -= &*own;
        matched.alignment.rows.retain(|row| kept.contains(row.leaked));
        *own |= &kept;
        explained.add(&kept, &claims);
    }
    matched.retain(|matched| !matched.alignment.rows.is_empty());
    Ok(Searched { matched, rows, versions_more, is_foreign })
}

/// Aligns the whole fragment with some versions: by their own columns, or by way of another one's.
fn whole_of(
    fragment: &Fragment,
    candidates: &[Comparable],
    places: &[usize],
    ways: &Ways,
    threads: usize,
    watch: &TraceWatch,
) -> Result<Vec<Alignment>, FingerprintError> {
    let beside: Vec<Beside<'_>> = candidates.iter().map(Comparable::beside).collect();
    let mut direct: Vec<usize> = places.iter().map(|place| ways.get(place).map_or(*place, |way| way.by)).collect();
    direct.sort_unstable();
    direct.dedup();
    let aligned = align_each(fragment, &beside, &direct, threads, watch)?;
    let aligned: HashMap<usize, Alignment> = direct.into_iter().zip(aligned).collect();
    on_threads(places, threads, |place| {
        let way = ways.get(&place).and_then(|way| Some((way, aligned.get(&way.by)?)));
        match way {
            Some((way, by)) => {
                let found = joined::aligned(fragment, candidates, place, (way, by), watch)?;
                Ok(found.unwrap_or_else(|| nothing_of(&candidates[place], fragment)))
            }
            None => aligned.get(&place).cloned().map_or_else(|| align_one(fragment, &beside[place], watch), Ok),
        }
    })
}

/// An alignment of which nothing is known.
fn nothing_of(candidate: &Comparable, fragment: &Fragment) -> Alignment {
    Alignment {
        columns: Vec::new(),
        rows: Vec::new(),
        unmatched: fragment.row_count() as u64,
        provenance: Provenance::Unverified,
        deeds: Vec::new(),
        originals: candidate.originals.rows(),
    }
}

/// Whether a fragment says so much that where it matches nothing it comes from elsewhere.
fn is_telling(fragment: &Fragment) -> bool {
    let rows = fragment.row_count();
    rows >= TELLING_ROWS_MIN
        && fragment.column_names().len() >= TELLING_COLUMNS_MIN
        && fragment.distinct_rows() as f64 >= TELLING_SHARE_MIN * rows as f64
}

/// What a version can say of a row.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Claim<'c> {
    /// That it is there.
    Row,
    /// What stands in a column of the fragment, by its place.
    Column(usize),
    /// How its product marks that column; without a column, which rows its copies have. No other product's version says that.
    Marks(&'c ProductId, Option<usize>),
}

/// What a version says of each of its rows.
fn claims<'c>(candidate: &'c Comparable, alignment: &Alignment) -> Vec<Claim<'c>> {
    let Comparable { version, marking, decoys, .. } = candidate;
    let product = &version.name.0;
    let marked: HashSet<&str> = marking.marks.iter().flat_map(|mark| mark.columns()).collect();
    let mut claims = vec![Claim::Row];
    if marking.presence.is_some() || !decoys.is_empty() {
        claims.push(Claim::Marks(product, None));
    }
    for column in &alignment.columns {
        claims.push(Claim::Column(column.place));
        if marked.contains(column.original.as_str()) {
            claims.push(Claim::Marks(product, Some(column.place)));
        }
    }
    claims
}

fn rows_in(alignment: &Alignment) -> RoaringBitmap {
    alignment.rows.iter().map(|row| row.leaked).collect()
}

/// What is said already, and of which rows of the fragment.
#[derive(Default)]
struct Explained<'c>(HashMap<Claim<'c>, RoaringBitmap>);

impl<'c> Explained<'c> {
    /// Of some rows those of which not all of these claims are explained.
    fn beyond(&self, rows: &RoaringBitmap, claims: &[Claim<'c>]) -> RoaringBitmap {
        let mut explained = rows.clone();
        for claim in claims {
            let Some(rows_of_claim) = self.0.get(claim) else { return rows.clone() };
            explained &= rows_of_claim;
        }
        rows - explained
    }

    fn add(&mut self, rows: &RoaringBitmap, claims: &[Claim<'c>]) {
        for claim in claims {
            *self.0.entry(claim.clone()).or_default() |= rows;
        }
    }
}

/// The versions that explain the sample, the one that explains most rows first; a confirmed one goes before any that is not.
/// Of equals the one that was delivered last.
///
/// A version goes on for as long as it says anything of enough rows that no chosen one does. So whoever joins the columns of an
/// exact product to those of a marked one hides no marks by it: the marked one is tested whichever explains more.
fn chosen(tried: &[Alignment], candidates: &[Comparable], rows: usize) -> Vec<usize> {
    let is_confirmed = |place: usize| matches!(tried[place].provenance, Provenance::Inside(_));
    let any_confirmed = (0..tried.len()).any(is_confirmed);
    let rows_of: Vec<RoaringBitmap> = tried.iter().map(rows_in).collect();
    let claims_of: Vec<Vec<Claim<'_>>> =
        candidates.iter().zip(tried).map(|(candidate, alignment)| claims(candidate, alignment)).collect();
    let further_min = further_min(rows);
    let (mut chosen, mut explained): (Vec<usize>, Explained<'_>) = (Vec::new(), Explained::default());
    while chosen.len() < MATCHED_MARKED_MAX {
        let has_place = |place: usize| chosen.len() < MATCHED_MAX || candidates[place].is_marked();
        let left: Vec<(usize, u64)> = (0..tried.len())
            .filter(|place| !chosen.contains(place) && has_place(*place) && (is_confirmed(*place) || !any_confirmed))
            .map(|place| (place, explained.beyond(&rows_of[place], &claims_of[place]).len()))
            .collect();
        let most = left.iter().map(|(_, rows)| *rows).max().unwrap_or_default();
        let best = left
            .iter()
            .filter(|(_, rows)| *rows > 0 && rows * 1_000 >= most * (1_000 - EQUAL_PER_MILLE))
            .max_by_key(|(place, rows)| (tried[*place].columns.len(), *rows, candidates[*place].version.last_at));
        let Some(&(place, beyond)) = best else { break };
        if !chosen.is_empty() && beyond < further_min {
            break;
        }
        explained.add(&rows_of[place], &claims_of[place]);
        chosen.push(place);
    }
    // One that nothing confirms is tested all the same where it alone knows a column that its product marks.
    for place in (0..tried.len()).filter(|place| any_confirmed && !is_confirmed(*place)) {
        let mut marked = claims_of[place].iter().filter_map(|claim| match claim {
            Claim::Marks(_, Some(column)) => Some([Claim::Column(*column)]),
            _ => None,
        });
        let is_alone = marked.any(|column| explained.beyond(&rows_of[place], &column).len() >= further_min);
        if is_alone && chosen.len() < MATCHED_MARKED_MAX {
            explained.add(&rows_of[place], &claims_of[place]);
            chosen.push(place);
        }
    }
    chosen
}

/// Of how many rows of a sample something has to be explained that no other version explains.
pub(super) fn further_min(rows: usize) -> u64 {
    FURTHER_ROWS_MIN.max((rows as f64 * FURTHER_SHARE_MIN).ceil() as usize) as u64
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
    on_threads(places, threads, |place| align_one(fragment, &candidates[place], watch))
}

/// Does something with each of some places, on so many threads, and hands back what came of it in their order.
pub(super) fn on_threads<T: Send>(
    places: &[usize],
    threads: usize,
    each: impl Fn(usize) -> Result<T, FingerprintError> + Sync,
) -> Result<Vec<T>, FingerprintError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<T, FingerprintError>>>> = Mutex::new(places.iter().map(|_| None).collect());
    let work = || {
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = places.get(turn) else { return };
            let result = each(*place);
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
    let mut tell = telling(candidate, watch);
    align(candidate.marking, &fragment.batch, candidate.originals, LOG_ODDS_MIN, &mut Watch(&mut tell))
}

/// Tells how much of a table was read, and ends it when the trace is stopped.
pub(super) fn telling<'w>(
    candidate: &'w Beside<'_>,
    watch: &'w TraceWatch,
) -> impl FnMut(Stage, u64) -> ControlFlow<()> + 'w {
    let all = candidate.originals.rows();
    let mut told = 0;
    move |stage: Stage, rows: u64| {
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
    }
}
