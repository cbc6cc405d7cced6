//! One regression and one classifier, trained on the original and on a copy, both scored on the original.

use arrow::array::RecordBatch;

use crate::tables::{Table, numbers};

const ROUNDS: usize = 300;

/// The original, by which models are scored.
pub struct Models<'a> {
    table: &'a Table,
    original: Data,
}

/// What a regression explains of the original (R²), and how often a classifier is right about it.
#[derive(Clone, Copy)]
pub struct Scores {
    pub regression: f64,
    pub classifier: f64,
}

impl<'a> Models<'a> {
    pub fn of(table: &'a Table) -> Self {
        let (target, inputs, _) = table.task;
        Self { table, original: Data::read(&table.batch, target, inputs) }
    }

    /// Of models that were trained on this.
    pub fn trained_on(&self, batch: &RecordBatch) -> Scores {
        let (target, inputs, limit) = self.table.task;
        let data = Data::read(batch, target, inputs);
        Scores {
            regression: self.original.explained(&data.least_squares()),
            classifier: self.original.accuracy(&data.logistic(limit), limit),
        }
    }
}

/// Complete rows, inputs scaled by those of the data itself, with a constant in front.
struct Data {
    inputs: Vec<Vec<f64>>,
    target: Vec<f64>,
}

impl Data {
    fn read(batch: &RecordBatch, target: &str, names: &[&str]) -> Self {
        let columns: Vec<Vec<f64>> = names.iter().map(|name| numbers(batch, name)).collect();
        let mut data = Self { inputs: Vec::new(), target: Vec::new() };
        for (row, value) in numbers(batch, target).into_iter().enumerate() {
            let inputs: Vec<f64> = std::iter::once(1.0).chain(columns.iter().map(|c| c[row] / 100.0)).collect();
            if value.is_finite() && inputs.iter().all(|input| input.is_finite()) {
                data.inputs.push(inputs);
                data.target.push(value);
            }
        }
        data
    }

    fn least_squares(&self) -> Vec<f64> {
        self.newton_step(|row| (1.0, self.target[row]))
    }

    /// Solves the weighted normal equations: of each row its weight, and weight times residual.
    fn newton_step(&self, row_terms: impl Fn(usize) -> (f64, f64)) -> Vec<f64> {
        let size = self.inputs.first().map_or(0, Vec::len);
        let mut system = vec![vec![0.0; size + 1]; size];
        for (row, x) in self.inputs.iter().enumerate() {
            let (weight, right) = row_terms(row);
            for (line, a) in system.iter_mut().zip(x) {
                for (cell, b) in line.iter_mut().zip(x) {
                    *cell += weight * a * b;
                }
                line[size] += right * a;
            }
        }
        for pivot in 0..size {
            let above = system[pivot].clone();
            for (_, line) in system.iter_mut().enumerate().filter(|(at, _)| *at != pivot) {
                let factor = line[pivot] / above[pivot];
                for (cell, over) in line.iter_mut().zip(&above).skip(pivot) {
                    *cell -= factor * over;
                }
            }
        }
        (0..size).map(|i| system[i][size] / system[i][i]).collect()
    }

    /// Logistic regression by Newton's method, until it stands still.
    fn logistic(&self, limit: f64) -> Vec<f64> {
        let mut weights = vec![0.0; self.inputs.first().map_or(0, Vec::len)];
        for _ in 0..ROUNDS {
            let probability = |row: usize| 1.0 / (1.0 + (-dot(&weights, &self.inputs[row])).exp());
            let step = self.newton_step(|row| {
                let p = probability(row);
                ((p * (1.0 - p)).max(1e-9), f64::from(u8::from(self.target[row] > limit)) - p)
            });
            weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight += step);
            if step.iter().all(|step| step.abs() < 1e-9) {
                break;
            }
        }
        weights
    }

    fn explained(&self, weights: &[f64]) -> f64 {
        let mean = self.target.iter().sum::<f64>() / self.target.len() as f64;
        let all: f64 = self.target.iter().map(|y| (y - mean).powi(2)).sum();
        let left: f64 = self.inputs.iter().zip(&self.target).map(|(x, y)| (y - dot(weights, x)).powi(2)).sum();
        1.0 - left / all
    }

    fn accuracy(&self, weights: &[f64], limit: f64) -> f64 {
        let right = self.inputs.iter().zip(&self.target).filter(|(x, y)| (dot(weights, x) > 0.0) == (**y > limit));
        right.count() as f64 / self.target.len() as f64
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}
