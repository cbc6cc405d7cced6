//! Which leaked row is which original: the record linkage of Fellegi and Sunter (1969), with what columns are worth learned
//! from the pairs themselves (Winkler 1988) and one original for each leaked row or none.

use std::collections::{HashMap, HashSet};

use arrow::array::RecordBatch;

use super::blocking::{Combination, Index};
use super::by_digest::ByDigest;
use super::cell::{Cells, EMPTY, Reading};
use super::columns::{Agreement, MatchedColumn};
use super::tolerance::Tolerance;
use super::{MatchedRow, Originals, Stage, Watch};
use crate::error::FingerprintError;

/// A column is exact enough to look rows up by when so many of its sampled values occur in the originals.
const FOUND_MIN: f64 = 0.9;

/// Numbers that are apart by at most so many times what is allowed are near.
const NEAR_TIMES: f64 = 5.0;

/// The most pairs that are kept.
const PAIRS_MAX: usize = 16_000_000;

/// Values that are in the sample less often than this are counted in all originals.
const RARE_MAX: u32 = 16;

/// How often weights are learned again.
const ROUNDS: usize = 8;

/// Weights are learned from leaked rows whose best pair has at least this probability.
const LEARNED_FROM_MIN: f64 = 0.99;
const LEARNED_FROM_SHARE: f64 = 0.7;

/// A level's probability among matches before anything was learned, as if so many rows had been seen.
const PRIOR: [f64; 3] = [0.9, 0.06, 0.04];
const PRIOR_ROWS: f64 = 20.0;

/// The probability that a leaked row is in the originals at all, before anything was learned, as if so many rows had been seen, and
/// the most that is learned. One row is what Jeffreys' prior counts for: with more a few dozen rows of which every one is from
/// here would not be believed to be, and a key beside one marked column needs that.
const INSIDE: f64 = 0.5;
const INSIDE_ROWS: f64 = 1.0;
const INSIDE_MAX: f64 = 0.999;

/// The share of foreign rows among the matches that is put up with, and how much better strangers may be than those seen.
const MISTAKEN_MAX: f64 = 0.001;
const MISFIT_MARGIN: f64 = 3.0;

/// How a pair's cells compare.
const SAME: u8 = 0;
const NEAR: u8 = 1;
const FAR: u8 = 2;
const UNKNOWN: u8 = 3;

/// A matched column with all leaked cells.
pub(crate) struct Column {
    pub(crate) original: usize,
    pub(crate) cells: Cells,
    /// Whether rows can be looked up by its digests.
    pub(crate) is_exact: bool,
    /// How much it tells, in nats: minus the logarithm of the probability that two rows agree.
    pub(crate) worth: f64,
    tolerance: Tolerance,
    within: f64,
    /// For each leaked row the probability that a stranger is the same, and that he is near.
    chance: Vec<[f32; 2]>,
    /// Of an exact column the values that are too rare for the sample, with how often they occur in all originals.
    rare: ByDigest<u32>,
}

impl Column {
    pub(crate) fn read(
        fragment: &RecordBatch,
        matched: &MatchedColumn,
        original: usize,
        tolerance: Tolerance,
        sample: &Cells,
    ) -> Self {
        let mut cells = fragment
            .columns()
            .get(matched.place)
            .map(|array| Cells::read(array, matched.reading, matched.factor))
            .unwrap_or_default();
        tolerance.settle(&mut cells);
        let mut sample = sample.clone();
        tolerance.settle(&mut sample);
        let within = tolerance.within + matched.rounded_to;
        let mut column = Self {
            original,
            is_exact: within == 0.0 && matched.found >= FOUND_MIN,
            worth: 0.0,
            within,
            chance: Vec::new(),
            rare: ByDigest::default(),
            tolerance,
            cells,
        };
        column.learn_chance(&sample);
        column
    }

    /// The width of the cells of a grid in which rows are looked up; zero where there is none.
    pub(crate) fn cell_width(&self) -> f64 {
        2.0 * self.within
    }

    fn learn_chance(&mut self, sample: &Cells) {
        let mut numbers: Vec<f64> = sample.numbers.iter().copied().filter(|number| number.is_finite()).collect();
        numbers.sort_by(f64::total_cmp);
        let mut counts: ByDigest<u32> = ByDigest::default();
        sample.digests.iter().for_each(|digest| *counts.entry(*digest).or_default() += 1);
        let all = sample.digests.len() as f64 + 2.0;
        let between = |from: f64, to: f64| {
            let from = numbers.partition_point(|value| *value < from);
            (numbers.partition_point(|value| *value <= to) - from) as f64
        };
        self.chance = (self.cells.digests.iter().zip(&self.cells.numbers))
            .map(|(digest, number)| {
                let equal = f64::from(counts.get(digest).copied().unwrap_or(0));
                if !number.is_finite() {
                    return [((equal + 1.0) / all) as f32, (1.0 / all) as f32];
                }
                let slack = self.slack(*number);
                let same = between(number - slack, number + slack).max(equal);
                let near = between(number - NEAR_TIMES * slack, number + NEAR_TIMES * slack) - same;
                [((same + 1.0) / all) as f32, ((near.max(0.0) + 1.0) / all) as f32]
            })
            .collect();
        if self.is_exact {
            let is_rare = |digest: &&u64| counts.get(digest).is_none_or(|count| *count < RARE_MAX);
            self.rare = self.cells.digests.iter().filter(is_rare).map(|digest| (*digest, 0)).collect();
        }
        let pairs: f64 = self.chance.iter().map(|[same, _]| f64::from(*same)).sum();
        self.worth = -(pairs / self.chance.len().max(1) as f64).max(1e-12).ln();
    }

    fn count_rare(&mut self, originals: &Cells) {
        if self.rare.is_empty() {
            return;
        }
        for digest in &originals.digests {
            if let Some(count) = self.rare.get_mut(digest) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// After all originals were counted.
    fn settle_rare(&mut self, count: u64) {
        let all = count.max(1) as f64;
        for (digest, chance) in self.cells.digests.iter().zip(&mut self.chance) {
            if let Some(count) = self.rare.get(digest) {
                *chance = [(f64::from((*count).max(1)) / all) as f32, (1.0 / all) as f32];
            }
        }
    }

    /// By how much a number may be off, with room for how it was written.
    fn slack(&self, number: f64) -> f64 {
        self.within * (1.0 + 1e-9) + number.abs() * 1e-9
    }

    fn level(&self, leaked: usize, originals: &Cells, row: usize) -> u8 {
        let (digest, other) = (self.cells.digests[leaked], originals.digests[row]);
        if digest == other {
            return SAME;
        }
        if digest == EMPTY || other == EMPTY {
            return UNKNOWN;
        }
        let (number, original) = (self.cells.numbers[leaked], originals.numbers[row]);
        let (apart, slack) = (self.tolerance.distance(number, original), self.slack(number));
        match apart {
            apart if apart <= slack => SAME,
            apart if apart <= NEAR_TIMES * slack => NEAR,
            _ => FAR,
        }
    }
}

/// A leaked row and an original that share a combination of columns.
#[derive(Clone, Copy)]
struct Pair {
    leaked: u32,
    run: u32,
    original: u64,
    /// Two bits for each column.
    levels: u128,
}

impl Pair {
    fn level(&self, column: usize) -> u8 {
        (self.levels >> (2 * column) & 3) as u8
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Linked {
    pub(crate) rows: Vec<MatchedRow>,
    pub(crate) agreements: Vec<Agreement>,
    /// Leaked rows that share a combination of columns with any original; nothing when the combinations tell too little.
    pub(crate) found: Option<u64>,
}

/// Reads the originals a second time and matches rows. `odds_min` is the logarithm of the odds that a match must have.
pub(crate) fn link(
    originals: &dyn Originals,
    columns: &mut [Column],
    rows: usize,
    count: u64,
    odds_min: f64,
    watch: &mut Watch<'_>,
) -> Result<Linked, FingerprintError> {
    let mut index = Index::new(columns, rows);
    let pairs = pairs(originals, columns, &mut index, watch)?;
    columns.iter_mut().for_each(|column| column.settle_rare(count));
    let columns = &*columns;
    let mut linked = Linked { agreements: agreements(columns, &index, &pairs), ..Linked::default() };
    if index.combinations.iter().any(|combination| combination.worth(columns) >= (count.max(1) as f64).ln()) {
        let found: HashSet<u32> = pairs.iter().map(|pair| pair.leaked).collect();
        linked.found = Some(found.len() as u64);
    }
    let pairs = once_each(&index, pairs);
    let groups: Vec<&[Pair]> = pairs.chunk_by(|a, b| a.leaked == b.leaked).collect();
    let mut weights = vec![PRIOR; columns.len()];
    let mut inside = INSIDE;
    for _ in 0..ROUNDS {
        let mut seen = vec![PRIOR.map(|share| share * PRIOR_ROWS); columns.len()];
        let of_groups: Vec<_> = groups.iter().map(|group| best(columns, &weights, group, inside, count)).collect();
        let inside_rows: f64 = of_groups.iter().map(|(_, _, row_inside)| row_inside).sum();
        let learned_from = learned_from(of_groups.iter().map(|(_, odds, _)| *odds));
        for (best, odds, _) in of_groups {
            if odds >= learned_from {
                for (column, seen) in seen.iter_mut().enumerate() {
                    if let Some(seen) = seen.get_mut(usize::from(best.level(column))) {
                        *seen += 1.0;
                    }
                }
            }
        }
        for (weights, seen) in weights.iter_mut().zip(&seen) {
            let all: f64 = seen.iter().sum();
            *weights = seen.map(|seen| seen / all);
        }
        inside = ((inside_rows + INSIDE_ROWS * INSIDE) / (rows as f64 + INSIDE_ROWS)).min(INSIDE_MAX);
    }
    let mut sure: Vec<Sure> = Vec::new();
    for group in &groups {
        let (pair, log_odds, _) = best(columns, &weights, group, inside, count);
        if log_odds >= odds_min {
            let strangers = group.iter().filter(|other| other.original != pair.original);
            sure.push(Sure {
                row: MatchedRow { leaked: pair.leaked, original: pair.original, log_odds },
                misfit: misfit(&weights, pair),
                stranger: strangers.map(|other| misfit(&weights, other)).fold(f64::INFINITY, f64::min),
            });
        }
    }
    let limit = misfit_max(&sure, (1.0 - inside) * rows as f64);
    linked.rows = sure.iter().filter(|sure| sure.misfit <= limit).map(|sure| sure.row).collect();
    Ok(linked)
}

/// The odds from which on weights are learned: high, and not far below those of the best tenth, since a foreign row that hit
/// upon a stranger must not teach what matches are like.
fn learned_from(odds: impl Iterator<Item = f64>) -> f64 {
    let least = (LEARNED_FROM_MIN / (1.0 - LEARNED_FROM_MIN)).ln();
    let mut high: Vec<f64> = odds.filter(|odds| *odds >= least).collect();
    high.sort_by(f64::total_cmp);
    high.get(high.len() * 9 / 10).map_or(least, |best| least.max(LEARNED_FROM_SHARE * best))
}

/// A leaked row with high odds, how badly its original fits by what matches are like, and how badly the best stranger.
struct Sure {
    row: MatchedRow,
    misfit: f64,
    stranger: f64,
}

/// Up to which misfit matches are taken. Columns hang together, so a row that is not from here may find a stranger whose odds
/// are high. What strangers are like shows in the second best originals of rows that are matched: so many of the foreign rows
/// are expected to do as well. (As decoys are used to tell false discoveries: Elias and Gygi 2007.)
fn misfit_max(sure: &[Sure], foreign: f64) -> f64 {
    let ordered = |of: &dyn Fn(&Sure) -> f64| {
        let mut list: Vec<f64> = sure.iter().map(of).collect();
        list.sort_by(f64::total_cmp);
        list
    };
    let (matches, strangers) = (ordered(&|sure| sure.misfit), ordered(&|sure| sure.stranger));
    for (place, limit) in matches.iter().enumerate().rev() {
        let as_good = strangers.partition_point(|stranger| *stranger <= limit + MISFIT_MARGIN);
        let mistaken = foreign * as_good as f64 / sure.len() as f64;
        if mistaken <= MISTAKEN_MAX * (place + 1) as f64 {
            return *limit;
        }
    }
    f64::NEG_INFINITY
}

/// How much less likely a pair's levels are among matches than the likeliest ones, in nats.
fn misfit(weights: &[[f64; 3]], pair: &Pair) -> f64 {
    let misfit = |(column, weights): (usize, &[f64; 3])| {
        let likeliest = weights.iter().copied().fold(0.0, f64::max);
        weights.get(usize::from(pair.level(column))).map_or(0.0, |level| (likeliest / level).ln())
    };
    weights.iter().enumerate().map(misfit).sum()
}

fn pairs(
    originals: &dyn Originals,
    columns: &mut [Column],
    index: &mut Index,
    watch: &mut Watch<'_>,
) -> Result<Vec<Pair>, FingerprintError> {
    let mut pairs = Vec::new();
    let mut from = 0u64;
    originals.visit(&mut |batch: &RecordBatch| {
        let mut cells = Vec::with_capacity(columns.len());
        for column in columns.iter_mut() {
            let array = batch.columns().get(column.original);
            let mut read = array.map(|array| Cells::read(array, Reading::Plain, 1.0)).unwrap_or_default();
            column.tolerance.settle(&mut read);
            column.count_rare(&read);
            cells.push(read);
        }
        let columns = &*columns;
        for number in 0..index.combinations.len() {
            let places = index.places(number, columns, &cells, batch.num_rows());
            for (row, place) in places.into_iter().enumerate() {
                let Some((run, found)) = place.and_then(|place| index.find(place)) else {
                    continue;
                };
                for leaked in found {
                    let mut levels = 0u128;
                    for (at, column) in columns.iter().enumerate() {
                        levels |= u128::from(column.level(*leaked as usize, &cells[at], row)) << (2 * at);
                    }
                    pairs.push(Pair { leaked: *leaked, run, original: from + row as u64, levels });
                }
                if pairs.len() > PAIRS_MAX {
                    let what = "pairs of rows that may match";
                    return Err(FingerprintError::TooMany { what, count_max: PAIRS_MAX });
                }
            }
        }
        from += batch.num_rows() as u64;
        watch.tell(Stage::Rows, from)
    })?;
    Ok(pairs)
}

/// How each column fares in pairs that were found without it and are the only ones of their leaked row.
fn agreements(columns: &[Column], index: &Index, pairs: &[Pair]) -> Vec<Agreement> {
    let mut out = vec![Agreement::default(); columns.len()];
    for of_combination in agreements_of_each(columns, index, pairs) {
        for (all, agreement) in out.iter_mut().zip(of_combination) {
            all.agreeing += agreement.agreeing;
            all.rows += agreement.rows;
            all.by_chance += agreement.by_chance;
        }
    }
    out
}

/// Reads the originals and says of each combination how all columns fare in what it finds.
pub(crate) fn borne_out(
    originals: &dyn Originals,
    columns: &mut [Column],
    combinations: Vec<Combination>,
    (rows, count): (usize, u64),
    watch: &mut Watch<'_>,
) -> Result<Vec<(Combination, Vec<Agreement>)>, FingerprintError> {
    let mut index = Index::with(combinations, columns, rows);
    let pairs = pairs(originals, columns, &mut index, watch)?;
    columns.iter_mut().for_each(|column| column.settle_rare(count));
    let each = agreements_of_each(columns, &index, &pairs);
    Ok(index.combinations.into_iter().zip(each).collect())
}

/// The same for each combination by itself.
fn agreements_of_each(columns: &[Column], index: &Index, pairs: &[Pair]) -> Vec<Vec<Agreement>> {
    let mut alone: HashMap<(u8, u32), (u32, usize)> = HashMap::new();
    for (at, pair) in pairs.iter().enumerate() {
        let entry = alone.entry((index.number(pair.run), pair.leaked)).or_insert((0, at));
        entry.0 += if index.is_whole(pair.run) { 1 } else { 2 };
    }
    // In one order, so that sums of fractions are the same each time.
    let mut alone: Vec<((u8, u32), (u32, usize))> = alone.into_iter().collect();
    alone.sort_unstable_by_key(|(of, _)| *of);
    let mut out = vec![vec![Agreement::default(); columns.len()]; index.combinations.len()];
    for ((number, _), (count, at)) in &alone {
        let pair = &pairs[*at];
        if *count != 1 {
            continue;
        }
        for (column, agreement) in out[usize::from(*number)].iter_mut().enumerate() {
            let level = pair.level(column);
            if level == UNKNOWN || index.combination(pair.run).has(column) {
                continue;
            }
            agreement.rows += 1;
            agreement.agreeing += u64::from(level == SAME);
            agreement.by_chance += f64::from(columns[column].chance[pair.leaked as usize][0]);
        }
    }
    out
}

/// Each pair of whole runs once, those of a leaked row together.
fn once_each(index: &Index, mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.retain(|pair| index.is_whole(pair.run));
    pairs.sort_unstable_by_key(|pair| (pair.leaked, pair.original));
    pairs.dedup_by_key(|pair| (pair.leaked, pair.original));
    pairs
}

/// The likeliest original of one leaked row, the logarithm of its odds against all others and against none, and the
/// probability that it is any of them.
fn best<'a>(
    columns: &[Column],
    weights: &[[f64; 3]],
    group: &'a [Pair],
    inside: f64,
    count: u64,
) -> (&'a Pair, f64, f64) {
    let each = (inside / count.max(1) as f64).ln();
    let (mut best, mut top, mut others) = (&group[0], f64::NEG_INFINITY, f64::NEG_INFINITY);
    for pair in group {
        let nats = each + score(columns, weights, pair);
        if nats > top {
            others = sum_of_logs(others, top);
            (best, top) = (pair, nats);
        } else {
            others = sum_of_logs(others, nats);
        }
    }
    let none = (1.0 - inside).ln();
    let row_inside = 1.0 / (1.0 + (none - sum_of_logs(top, others)).exp());
    (best, top - sum_of_logs(others, none), row_inside)
}

fn score(columns: &[Column], weights: &[[f64; 3]], pair: &Pair) -> f64 {
    let mut nats = 0.0;
    for (at, column) in columns.iter().enumerate() {
        let [same, near] = column.chance[pair.leaked as usize].map(f64::from);
        let [of_same, of_near, of_far] = weights[at];
        nats += match pair.level(at) {
            SAME => (of_same / same.min(1.0)).ln(),
            NEAR => (of_near / near.min(1.0)).ln(),
            FAR => (of_far / (1.0 - same - near).clamp(of_far, 1.0)).ln(),
            _ => 0.0,
        };
    }
    nats
}

fn sum_of_logs(a: f64, b: f64) -> f64 {
    let (more, less) = if a > b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
}
