//! What pirates do with the copies that they hold.

use crate::chance::Chance;
use crate::goal::Goal;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    Average,
    Majority,
    Minority,
    Least,
    Greatest,
    RandomPick,
    Rows,
    /// Cells on which they differ are left empty.
    Agreed,
}

impl Mixing {
    pub const ALL: [Mixing; 8] = [
        Mixing::Average,
        Mixing::Majority,
        Mixing::Minority,
        Mixing::Least,
        Mixing::Greatest,
        Mixing::RandomPick,
        Mixing::Rows,
        Mixing::Agreed,
    ];

    fn name(self) -> &'static str {
        match self {
            Mixing::Average => "average",
            Mixing::Majority => "majority",
            Mixing::Minority => "minority",
            Mixing::Least => "least",
            Mixing::Greatest => "greatest",
            Mixing::RandomPick => "random pick",
            Mixing::Rows => "interleaved rows",
            Mixing::Agreed => "only what agrees",
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Change {
    Nothing,
    /// To multiples of the reach times this.
    Rounded(f64),
    /// Normal noise of the reach times this.
    Noise(f64),
    /// Times the first, and as many reaches as the second says added.
    OnLine(f64, f64),
    /// This share of cells takes the value of another row.
    Replaced(f64),
    /// This share of cells flips by twice the reach, up or down.
    Flipped(f64),
    /// Of the cells that fit a regression on the other columns worst, this share takes the predicted value.
    Regressed(f64),
    /// Of the cells that fit the mean of neighbours in the order of the other columns worst, this share takes that mean.
    Neighbours(f64),
}

/// What is left beside the marked columns, when rows have to be found first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    NoKey,
    /// No key, and beside each column the same one in another order.
    AmongShuffled,
    /// Neither the key nor other columns that tell a row nearly alone.
    NothingTelling,
    KeyAndOne,
    OneAlone,
}

pub struct Attack {
    pub name: String,
    /// None where rows come aligned.
    pub kept: Option<Kept>,
    pub coalition: usize,
    pub mixing: Mixing,
    pub share: f64,
    pub goal: Goal,
    pub change: Change,
}

/// The share of rows that is kept where values are attacked, and where rows have to be found first.
const SHARE_OF_VALUES: f64 = 0.1;
const SHARE_FOUND: f64 = 0.01;

/// Rows of the largest fragment whose rows have to be found: what `make bench ONLY=trace` is held to.
const ROWS_FOUND_MAX: f64 = 100_000.0;

/// The most rows by which innocents are scored, but where rows are all there is to an attack.
const INNOCENT_ROWS_MAX: usize = 300;

impl Attack {
    /// All lines of a table with so many rows, of which the test of Neyman and Pearson needs so many.
    pub fn all(rows: usize, needed: f64, coalition_shares: &[(usize, f64)]) -> Vec<Self> {
        let mut all = Vec::new();
        for share in [1.0, 0.1, 0.01, 0.003] {
            // Below one and a half times what the test itself needs nothing is promised.
            let goal = if share * (rows as f64) < 1.5 * needed - 1.0 { Goal::None } else { Goal::Share(0.995) };
            all.push(Self { goal, ..Self::kept(format!("{} % of rows", 100.0 * share), share) });
        }
        all.push(Self::kept(
            "rows: 1.5 times what the test of Neyman and Pearson needs".to_owned(),
            1.5 * needed / rows as f64,
        ));
        all.extend(Self::on_values());
        all.extend(Self::unaligned(rows as f64));
        for (size, share) in coalition_shares {
            all.extend(Mixing::ALL.into_iter().map(|mixing| Self::coalition(*size, mixing, *share)));
        }
        all
    }

    pub fn kept(name: String, share: f64) -> Self {
        Self {
            name,
            kept: None,
            coalition: 1,
            mixing: Mixing::Rows,
            share,
            goal: Goal::Share(0.995),
            change: Change::Nothing,
        }
    }

    fn coalition(size: usize, mixing: Mixing, share: f64) -> Self {
        let goal = if mixing == Mixing::Agreed { Goal::None } else { Goal::Share(0.99) };
        Self { coalition: size, mixing, goal, ..Self::kept(format!("{size} collude, {}", mixing.name()), share) }
    }

    fn on_values() -> Vec<Self> {
        let changed = |name: &str, goal, change| Self { change, goal, ..Self::kept(name.to_owned(), SHARE_OF_VALUES) };
        let goal = Goal::Share(0.99);
        vec![
            changed("rounded to the tolerance", goal, Change::Rounded(1.0)),
            // Where values are whole and may move by one the line above changes nothing.
            changed("rounded to twice the tolerance", goal, Change::Rounded(2.0)),
            changed("rounded to five times the tolerance", Goal::None, Change::Rounded(5.0)),
            changed("noise of the tolerance", goal, Change::Noise(1.0)),
            changed("noise of three times the tolerance", Goal::None, Change::Noise(3.0)),
            changed("half of the cells replaced", goal, Change::Replaced(0.5)),
            changed("half of the cells moved by twice the reach", goal, Change::Flipped(0.5)),
            changed("column correlation, 14.2 % of cells", goal, Change::Regressed(0.142)),
            changed("row correlation, 14.2 % of cells", goal, Change::Neighbours(0.142)),
        ]
    }

    /// Fragments in any order under names that say nothing, whose rows have to be found.
    fn unaligned(rows: f64) -> Vec<Self> {
        let kept = |name: &str, kept, goal| Self {
            kept: Some(kept),
            goal,
            ..Self::kept(format!("found: {name}"), SHARE_FOUND)
        };
        let goal = Goal::Share(0.99);
        let noisy = kept("keys dropped, noise of the tolerance", Kept::NoKey, goal);
        let bare =
            kept("key and all telling columns dropped, noise of the tolerance", Kept::NothingTelling, Goal::None);
        let replaced = kept("keys dropped, half of the cells replaced", Kept::NoKey, goal);
        let mixed = kept("keys dropped, 3 collude, random pick", Kept::NoKey, goal);
        let many = kept("keys dropped, up to 100,000 rows", Kept::NoKey, Goal::None);
        let on_line =
            kept("keys dropped, marked columns times 1.37 and thirty times the reach more", Kept::NoKey, Goal::None);
        vec![
            kept("keys dropped, other columns kept", Kept::NoKey, goal),
            kept("key and one marked column", Kept::KeyAndOne, goal),
            kept("one marked column alone", Kept::OneAlone, Goal::None),
            Self { change: Change::Noise(1.0), ..noisy },
            Self { change: Change::Noise(1.0), ..bare },
            Self { change: Change::Replaced(0.5), ..replaced },
            Self { coalition: 3, mixing: Mixing::RandomPick, ..mixed },
            kept("keys dropped, a shuffled copy beside each column", Kept::AmongShuffled, Goal::None),
            Self { change: Change::OnLine(1.37, 30.0), ..on_line },
            Self { share: (ROWS_FOUND_MAX / rows).min(1.0), ..many },
        ]
    }

    pub fn rows(&self, all: usize) -> usize {
        ((self.share * all as f64).round() as usize).clamp(1, all)
    }

    /// How many rows leak where many innocents are scored by it: few are enough to attack values, and make it harder to keep the
    /// bound.
    pub fn rows_for_innocents(&self, all: usize) -> usize {
        let only_rows = self.kept.is_none() && self.coalition == 1 && self.change == Change::Nothing;
        if only_rows { self.rows(all) } else { self.rows(all).min(INNOCENT_ROWS_MAX) }
    }

    /// Whether the fragment's marked columns are something else than one copy's.
    pub fn alters(&self) -> bool {
        self.coalition > 1 || self.change != Change::Nothing
    }

    /// One column of the pirates' copy from that column in each of theirs. `picks` says whose row it is.
    pub fn mix(&self, copies: &[Vec<f64>], picks: &[usize], chance: &mut Chance) -> Vec<f64> {
        if let [alone] = copies {
            return alone.clone();
        }
        let rows = copies[0].len();
        let mut out = Vec::with_capacity(rows);
        let mut values = Vec::with_capacity(copies.len());
        for row in 0..rows {
            values.clear();
            values.extend(copies.iter().map(|copy| copy[row]));
            values.sort_by(f64::total_cmp);
            let (least, greatest) = (values[0], values[values.len() - 1]);
            let high = values.iter().filter(|value| **value == greatest).count();
            out.push(match self.mixing {
                Mixing::Average => values.iter().sum::<f64>() / values.len() as f64,
                Mixing::Majority if 2 * high > values.len() => greatest,
                Mixing::Majority => least,
                Mixing::Minority if 2 * high > values.len() => least,
                Mixing::Minority => greatest,
                Mixing::Least => least,
                Mixing::Greatest => greatest,
                Mixing::RandomPick => copies[chance.below(copies.len())][row],
                Mixing::Rows => copies[picks[row]][row],
                Mixing::Agreed if least == greatest => least,
                Mixing::Agreed => f64::NAN,
            });
        }
        out
    }

    /// What is done to the column afterwards. `others` are the columns beside it, unmarked and marked.
    pub fn change(&self, values: &mut [f64], reach: f64, others: &[Vec<f64>], chance: &mut Chance) {
        match self.change {
            Change::Nothing => {}
            Change::Rounded(times) => {
                let step = reach * times;
                values.iter_mut().for_each(|value| *value = (*value / step).round() * step);
            }
            Change::OnLine(times, reaches) => {
                values.iter_mut().for_each(|value| *value = *value * times + reach * reaches);
            }
            Change::Noise(times) => values.iter_mut().for_each(|value| *value += reach * times * chance.normal()),
            Change::Replaced(share) => {
                let old = values.to_vec();
                for value in values.iter_mut() {
                    if chance.uniform() < share {
                        *value = old[chance.below(old.len())];
                    }
                }
            }
            Change::Flipped(share) => {
                for value in values.iter_mut() {
                    if chance.uniform() < share {
                        *value += if chance.uniform() < 0.5 { 2.0 * reach } else { -2.0 * reach };
                    }
                }
            }
            Change::Regressed(share) => replace_worst(values, &regression(values, others), share),
            Change::Neighbours(share) => replace_worst(values, &neighbours(values, others), share),
        }
    }
}

fn replace_worst(values: &mut [f64], predicted: &[f64], share: f64) {
    let mut off: Vec<f64> = values.iter().zip(predicted).map(|(value, fit)| (value - fit).abs()).collect();
    off.retain(|off| off.is_finite());
    off.sort_by(f64::total_cmp);
    let Some(limit) = off.get(((1.0 - share) * off.len() as f64) as usize).copied() else {
        return;
    };
    for (value, fit) in values.iter_mut().zip(predicted) {
        if (*value - fit).abs() >= limit {
            *value = fit.round();
        }
    }
}

/// Least squares on all other columns, by the normal equations.
fn regression(values: &[f64], others: &[Vec<f64>]) -> Vec<f64> {
    let size = others.len() + 1;
    let read = |row: usize, inputs: &mut [f64]| {
        inputs[0] = 1.0;
        for (input, column) in inputs[1..].iter_mut().zip(others) {
            *input = if column[row].is_finite() { column[row] } else { 0.0 };
        }
    };
    let mut x = vec![0.0; size];
    let mut normal = vec![vec![0.0; size + 1]; size];
    for (row, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        read(row, &mut x);
        for i in 0..size {
            for j in i..size {
                normal[i][j] += x[i] * x[j];
            }
            normal[i][size] += x[i] * value;
        }
    }
    for i in 1..size {
        let (above, below) = normal.split_at_mut(i);
        below[0].iter_mut().zip(above).for_each(|(cell, row)| *cell = row[i]);
    }
    for i in 0..size {
        let scale = if normal[i][i].abs() > 1e-9 { normal[i][i] } else { 1e-9 };
        for j in 0..size {
            if i != j {
                let factor = normal[j][i] / scale;
                let pivot = normal[i].clone();
                for (cell, above) in normal[j].iter_mut().zip(pivot).skip(i) {
                    *cell -= factor * above;
                }
            }
        }
    }
    let solution: Vec<f64> =
        (0..size).map(|i| normal[i][size] / normal[i][i].abs().max(1e-9) * normal[i][i].signum()).collect();
    let predicted = |row| {
        read(row, &mut x);
        x.iter().zip(&solution).map(|(x, b)| x * b).sum()
    };
    (0..values.len()).map(predicted).collect()
}

/// The mean of the three rows before and after, in the order of the other columns.
fn neighbours(values: &[f64], others: &[Vec<f64>]) -> Vec<f64> {
    // Numbers in the order of `total_cmp`, two columns in one; the others where these are the same, and rows where all are.
    let ordered = |number: f64| {
        let bits = number.to_bits();
        u128::from(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
    };
    let two = |row: usize, from: usize| {
        let of = |place: usize| others.get(place).map_or(0, |column| ordered(column[row]));
        of(from) << 64 | of(from + 1)
    };
    let mut keys: Vec<(u128, usize)> = (0..values.len()).map(|row| (two(row, 0), row)).collect();
    let rest = |row: usize| (2..others.len()).step_by(2).map(move |from| two(row, from));
    keys.sort_unstable_by(|(key, row), (other_key, other)| {
        key.cmp(other_key).then_with(|| rest(*row).cmp(rest(*other))).then(row.cmp(other))
    });
    let order: Vec<usize> = keys.into_iter().map(|(_, row)| row).collect();
    let mut out = vec![f64::NAN; values.len()];
    for at in 0..order.len() {
        let near = at.saturating_sub(3)..(at + 4).min(order.len());
        let near: Vec<f64> = near.filter(|i| *i != at).map(|i| values[order[i]]).filter(|v| v.is_finite()).collect();
        out[order[at]] = near.iter().sum::<f64>() / near.len() as f64;
    }
    out
}
