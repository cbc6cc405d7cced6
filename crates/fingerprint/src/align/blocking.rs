//! Which pairs of rows are looked at: those that agree in a combination of columns. Several combinations are tried, each
//! leaving out a third of the columns, so that no single altered cell hides a row and each third is a check of the rest.

use super::by_digest::ByDigest;
use super::cell::{Cells, EMPTY, mix};
use super::rows::Column;

/// Combinations leave out one of so many groups of columns.
pub(crate) const GROUPS: usize = 3;

/// The most marked columns of a combination: each doubles the places where a leaked row is looked for.
const MARKED_MAX: usize = 3;

/// The most combinations that are tried to find out which columns belong together, of one column, of two and of three, and how many
/// nats more than a row needs they tell.
const TOGETHER_MAX: [usize; 3] = [16, 32, 144];
const TOGETHER_NATS: f64 = 3.0;

/// What a column of which every value is another tells in nats at least, where the originals' sample is full (16,384 rows of it or more).
const SAMPLED_NATS: f64 = 9.7;

/// When more originals than this share a combination it tells too little and is given up.
const SHARED_MAX: u32 = 16;

/// Bits by which an original without a run is told: they fit in the second cache.
const TAKEN_BITS: usize = 1 << 20;

/// One combination of columns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Combination {
    exact: Vec<usize>,
    /// Numbers within a tolerance.
    marked: Vec<usize>,
}

impl Combination {
    /// Those that are tried. Columns that tell most come first in every group.
    pub(crate) fn choose(columns: &[Column]) -> Vec<Self> {
        let by_worth = |wanted: &dyn Fn(&Column) -> bool| -> Vec<usize> {
            let mut chosen: Vec<usize> = (0..columns.len()).filter(|at| wanted(&columns[*at])).collect();
            chosen.sort_by(|a, b| columns[*b].worth.total_cmp(&columns[*a].worth));
            chosen
        };
        let exact = by_worth(&|column| column.is_exact);
        let marked = by_worth(&|column| !column.is_exact && column.cell_width() > 0.0);
        // Marked columns go on where the exact ones stopped, so that groups are of like size.
        let group = |place: usize| place % GROUPS;
        let without = |list: &[usize], offset: usize, left_out: usize| -> Vec<usize> {
            let kept = list.iter().enumerate().filter(|(place, _)| group(place + offset) != left_out);
            kept.map(|(_, column)| *column).collect()
        };
        let mut out: Vec<Self> = Vec::new();
        for left_out in 0..GROUPS {
            let of_exact = without(&exact, 0, left_out);
            let mut of_marked = without(&marked, exact.len(), left_out);
            of_marked.truncate(MARKED_MAX);
            for combination in
                [Self { exact: of_exact.clone(), marked: Vec::new() }, Self { exact: of_exact, marked: of_marked }]
            {
                let is_empty = combination.exact.is_empty() && combination.marked.len() < 2;
                if !is_empty && !out.contains(&combination) {
                    out.push(combination);
                }
            }
        }
        out
    }

    /// Few exact columns at a time, of several originals, that tell a row among so many: some of each size and of all columns.
    pub(crate) fn few_together(columns: &[Column], rows: u64) -> Vec<Self> {
        let mut exact: Vec<usize> = (0..columns.len()).filter(|at| columns[*at].is_exact).collect();
        exact.sort_by(|a, b| columns[*b].worth.total_cmp(&columns[*a].worth));
        let needed = (rows.max(1) as f64).ln();
        let mut out: Vec<Self> = Vec::new();
        let mut begun: Vec<Vec<usize>> = vec![Vec::new()];
        for (size, most) in (1..).zip(TOGETHER_MAX) {
            let longer = |list: &Vec<usize>| -> Vec<Vec<usize>> {
                let from = list.last().map_or(0, |last| exact.iter().position(|at| at == last).map_or(0, |at| at + 1));
                let is_new = |at: &&usize| list.iter().all(|of| columns[*of].original != columns[**at].original);
                exact[from..].iter().filter(is_new).map(|at| [list.as_slice(), &[*at]].concat()).collect()
            };
            begun = begun.iter().flat_map(longer).collect();
            // What a key tells is seen in a sample; several columns hang together and tell less than their sum.
            let least = if size == 1 { needed.min(SAMPLED_NATS) - 1.0 } else { needed + TOGETHER_NATS };
            let telling = |list: &&Vec<usize>| list.iter().map(|at| columns[*at].worth).sum::<f64>() >= least;
            let telling: Vec<&Vec<usize>> = begun.iter().filter(telling).collect();
            let stride = telling.len().div_ceil(most).max(1);
            let some = telling.into_iter().step_by(stride);
            out.extend(some.map(|exact| Self { exact: exact.clone(), marked: Vec::new() }));
        }
        out
    }

    /// How much it tells in nats, if its columns were independent.
    pub(crate) fn worth(&self, columns: &[Column]) -> f64 {
        self.exact.iter().chain(&self.marked).map(|at| columns[*at].worth).sum()
    }

    pub(crate) fn has(&self, column: usize) -> bool {
        self.exact.contains(&column) || self.marked.contains(&column)
    }

    /// The places of a leaked row: one, and twice as many for each marked column.
    fn places(&self, number: u64, columns: &[Column], row: usize, out: &mut Vec<u64>) {
        out.clear();
        let Some(seed) = self.seed(number, |column| columns[column].cells.digests[row]) else {
            return;
        };
        out.push(seed);
        for at in &self.marked {
            let (width, value) = (columns[*at].cell_width(), columns[*at].cells.numbers[row]);
            // An empty cell and a value without a place are looked for as such.
            let cell = (value / width).floor();
            let beside = if value / width - cell < 0.5 { cell - 1.0 } else { cell + 1.0 };
            let count = out.len();
            for place in 0..count {
                out.push(mix(out[place], beside.to_bits()));
                out[place] = mix(out[place], cell.to_bits());
            }
        }
    }

    /// The places of so many original rows, as [`Combination::places`] of a leaked one; nothing where most exact columns are empty.
    fn places_of_originals(
        &self,
        number: u64,
        columns: &[Column],
        originals: &[Cells],
        rows: usize,
    ) -> Vec<Option<u64>> {
        // Column by column, since a row's next number waits for the one before.
        let (mut places, mut empty) = (vec![mix(7, number); rows], vec![0usize; rows]);
        for at in &self.exact {
            for ((place, empty), digest) in places.iter_mut().zip(&mut empty).zip(&originals[*at].digests) {
                *place = mix(*place, *digest);
                *empty += usize::from(*digest == EMPTY);
            }
        }
        for at in &self.marked {
            let width = columns[*at].cell_width();
            for (place, value) in places.iter_mut().zip(&originals[*at].numbers) {
                *place = mix(*place, (value / width).floor().to_bits());
            }
        }
        let exact = self.exact.len();
        let place = |(place, empty)| (empty == 0 || 2 * empty < exact).then_some(place);
        places.into_iter().zip(empty).map(place).collect()
    }

    /// Of the exact columns; nothing where most of them are empty.
    fn seed(&self, number: u64, digest: impl Fn(usize) -> u64) -> Option<u64> {
        let empty = self.exact.iter().filter(|at| digest(**at) == EMPTY).count();
        if empty > 0 && 2 * empty >= self.exact.len() {
            return None;
        }
        Some(self.exact.iter().fold(mix(7, number), |seed, at| mix(seed, digest(*at))))
    }
}

/// The leaked rows by the places at which originals are looked for.
pub(crate) struct Index {
    pub(crate) combinations: Vec<Combination>,
    runs: ByDigest<u32>,
    /// A bit for each of so many remainders of places, set where there is a run: nearly all originals are of none.
    taken: Vec<u64>,
    /// For each run: where its rows stand, its combination, and how many originals came by.
    starts: Vec<u32>,
    numbers: Vec<u8>,
    shared: Vec<u32>,
    rows: Vec<u32>,
}

impl Index {
    pub(crate) fn new(columns: &[Column], rows: usize) -> Self {
        Self::with(Combination::choose(columns), columns, rows)
    }

    pub(crate) fn with(combinations: Vec<Combination>, columns: &[Column], rows: usize) -> Self {
        let mut entries: Vec<(u64, u8, u32)> = Vec::new();
        let mut places = Vec::new();
        for (number, combination) in combinations.iter().enumerate() {
            for row in 0..rows {
                combination.places(number as u64, columns, row, &mut places);
                entries.extend(places.iter().map(|place| (*place, number as u8, row as u32)));
            }
        }
        entries.sort_unstable();
        entries.dedup();
        let mut index = Self {
            combinations,
            runs: ByDigest::default(),
            taken: vec![0; TAKEN_BITS / 64],
            starts: Vec::new(),
            numbers: Vec::new(),
            shared: Vec::new(),
            rows: Vec::with_capacity(entries.len()),
        };
        let mut before = None;
        for (place, number, row) in entries {
            if before != Some(place) {
                index.runs.insert(place, index.starts.len() as u32);
                let bit = place as usize % TAKEN_BITS;
                index.taken[bit / 64] |= 1 << (bit % 64);
                index.starts.push(index.rows.len() as u32);
                index.numbers.push(number);
                index.shared.push(0);
                before = Some(place);
            }
            index.rows.push(row);
        }
        index.starts.push(index.rows.len() as u32);
        index
    }

    /// The places of so many originals by the combination with this number.
    pub(crate) fn places(
        &self,
        number: usize,
        columns: &[Column],
        originals: &[Cells],
        rows: usize,
    ) -> Vec<Option<u64>> {
        self.combinations[number].places_of_originals(number as u64, columns, originals, rows)
    }

    /// The run and the leaked rows that may be the original with this place.
    pub(crate) fn find(&mut self, place: u64) -> Option<(u32, &[u32])> {
        let bit = place as usize % TAKEN_BITS;
        if self.taken[bit / 64] >> (bit % 64) & 1 == 0 {
            return None;
        }
        let run = *self.runs.get(&place)?;
        let at = run as usize;
        self.shared[at] = self.shared[at].saturating_add(1);
        if self.shared[at] > SHARED_MAX {
            return None;
        }
        Some((run, &self.rows[self.starts[at] as usize..self.starts[at + 1] as usize]))
    }

    /// Whether all originals of a run were looked at.
    pub(crate) fn is_whole(&self, run: u32) -> bool {
        self.shared[run as usize] <= SHARED_MAX
    }

    pub(crate) fn combination(&self, run: u32) -> &Combination {
        &self.combinations[usize::from(self.numbers[run as usize])]
    }

    pub(crate) fn number(&self, run: u32) -> u8 {
        self.numbers[run as usize]
    }
}
