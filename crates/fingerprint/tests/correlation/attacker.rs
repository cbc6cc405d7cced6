//! The attacker of Ji, Yilmaz, Ayday and Li (RAID 2021; with Vaidya and others TDSC 2023): he holds one copy, and knows how the
//! columns hang together from other rows of the same kind that carry no marks. He suspects cells and changes those that he
//! suspects most, so that marks are gone and the data is still worth something.
//!
//! *Column by column* he holds the joint distribution of each pair of columns in the copy against the one that he knows: cells in
//! places where the copy has more than it should are suspected. *Row by row* he holds each row against its community, the rows
//! that should be like it. *Both* is the one after the other. And, stronger than what was published, he takes the whole
//! conditional mean of a column when all others are known.

use std::collections::BTreeMap;

/// Cells of a hundred that the published attack changes: 14.2.
pub const CHANGED_SHARE: f64 = 0.142;
/// In how many places of equal share a column's values are put.
const PLACES: usize = 20;
/// Rows of a community that a row is compared with.
const PEERS_MAX: usize = 200;

/// Columns by name, as numbers; not a number where there is none.
pub type Columns = BTreeMap<&'static str, Vec<f64>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Columns,
    Rows,
    RowsThenColumns,
    AllOthers,
}

impl Way {
    pub const ALL: [Way; 4] = [Way::Columns, Way::Rows, Way::RowsThenColumns, Way::AllOthers];
}

/// What the attacker knows, and what he asks.
pub struct Attacker<'a> {
    /// Rows of the same kind without marks, and none of those that he has a copy of.
    pub known: &'a Columns,
    /// The column whose marks he is after.
    pub target: &'static str,
    /// The column whose equal values make a community.
    pub community: &'static str,
}

/// Cells of the target, the most suspected first, and what to put in their place.
pub struct Suspicion {
    pub rows: Vec<usize>,
    pub instead: Vec<f64>,
}

impl Attacker<'_> {
    /// So many cells as the published attack changes.
    pub fn suspects(&self, copy: &Columns, way: Way) -> Suspicion {
        let fit = self.fitted(copy);
        let suspicion: Vec<f64> = match way {
            Way::Columns => self.by_columns(copy),
            Way::Rows => self.by_rows(copy),
            Way::RowsThenColumns => {
                let (rows, columns) = (ranks(&self.by_rows(copy)), ranks(&self.by_columns(copy)));
                rows.iter().zip(&columns).map(|(row, column)| row.max(*column)).collect()
            }
            Way::AllOthers => copy[self.target].iter().zip(&fit).map(|(value, fit)| (value - fit).abs()).collect(),
        };
        let target = &copy[self.target];
        let mut rows: Vec<usize> = (0..suspicion.len()).filter(|row| target[*row].is_finite()).collect();
        rows.sort_by(|a, b| suspicion[*b].total_cmp(&suspicion[*a]));
        rows.truncate((rows.len() as f64 * CHANGED_SHARE) as usize);
        Suspicion { instead: rows.iter().map(|row| fit[*row]).collect(), rows }
    }

    /// How much more often the copy has the row's places than they should be there, over all pairs of the target with another.
    fn by_columns(&self, copy: &Columns) -> Vec<f64> {
        let places = |name: &str| {
            let bounds = bounds(&self.known[name]);
            (placed(&self.known[name], &bounds), placed(&copy[name], &bounds))
        };
        let (known_target, copy_target) = places(self.target);
        let mut suspicion = vec![0.0; copy_target.len()];
        for other in self.known.keys().filter(|name| **name != self.target) {
            let (known, copied) = places(other);
            let shares = |target: &[usize], other: &[usize]| {
                // Half a row more in each place, since nothing is impossible.
                let mut table = vec![0.5; (PLACES + 1) * (PLACES + 1)];
                target.iter().zip(other).for_each(|(a, b)| table[a * (PLACES + 1) + b] += 1.0);
                let all: f64 = table.iter().sum();
                table.iter_mut().for_each(|count| *count /= all);
                table
            };
            let (should, has) = (shares(&known_target, &known), shares(&copy_target, &copied));
            for (row, (a, b)) in copy_target.iter().zip(&copied).enumerate() {
                let place = a * (PLACES + 1) + b;
                suspicion[row] += (has[place] / should[place]).ln();
            }
        }
        suspicion
    }

    /// How unlike a row is to the rows of its community.
    fn by_rows(&self, copy: &Columns) -> Vec<f64> {
        let key = |value: f64| value.to_bits();
        let mut peers: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for (community, value) in self.known[self.community].iter().zip(&self.known[self.target]) {
            let peers = peers.entry(key(*community)).or_default();
            if value.is_finite() && peers.len() < PEERS_MAX {
                peers.push(*value);
            }
        }
        let scale = deviation(&self.known[self.target]);
        let rows = copy[self.community].iter().zip(&copy[self.target]);
        rows.map(|(community, value)| match peers.get(&key(*community)).filter(|peers| !peers.is_empty()) {
            Some(peers) => {
                let alike: f64 = peers.iter().map(|peer| (-(value - peer).abs() / scale).exp()).sum();
                1.0 - alike / peers.len() as f64
            }
            // Of a community that he does not know he can tell nothing.
            None => 0.0,
        })
        .collect()
    }

    /// The mean of the target when all other columns are known, by least squares on what he knows.
    fn fitted(&self, copy: &Columns) -> Vec<f64> {
        let others: Vec<&str> = self.known.keys().copied().filter(|name| *name != self.target).collect();
        let inputs = |columns: &Columns, row: usize| -> Vec<f64> {
            let other =
                others.iter().map(|name| columns[name][row]).map(|value| if value.is_finite() { value } else { 0.0 });
            std::iter::once(1.0).chain(other).collect()
        };
        let size = others.len() + 1;
        let mut normal = vec![vec![0.0; size + 1]; size];
        for (row, value) in self.known[self.target].iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let x = inputs(self.known, row);
            for i in 0..size {
                for j in 0..size {
                    normal[i][j] += x[i] * x[j];
                }
                normal[i][size] += x[i] * value;
            }
        }
        for pivot in 0..size {
            let above = normal[pivot].clone();
            for (_, below) in normal.iter_mut().enumerate().filter(|(at, _)| *at != pivot) {
                let factor = below[pivot] / above[pivot];
                below.iter_mut().zip(&above).skip(pivot).for_each(|(cell, over)| *cell -= factor * over);
            }
        }
        let solution: Vec<f64> = (0..size).map(|i| normal[i][size] / normal[i][i]).collect();
        let fit = |row: usize| inputs(copy, row).iter().zip(&solution).map(|(x, by)| x * by).sum();
        (0..copy[self.target].len()).map(fit).collect()
    }
}

fn bounds(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    (1..PLACES).map(|place| sorted[sorted.len() * place / PLACES]).collect()
}

/// The place of each value, from one on; zero of none.
fn placed(values: &[f64], bounds: &[f64]) -> Vec<usize> {
    let place = |value: &f64| if value.is_finite() { 1 + bounds.partition_point(|bound| bound <= value) } else { 0 };
    values.iter().map(place).collect()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![f64::NAN; values.len()];
    order
        .iter()
        .enumerate()
        .filter(|(_, row)| values[**row].is_finite())
        .for_each(|(rank, row)| ranks[*row] = rank as f64);
    ranks
}

pub fn deviation(values: &[f64]) -> f64 {
    let present: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let count = present.len() as f64;
    let mean = present.iter().sum::<f64>() / count;
    (present.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}
