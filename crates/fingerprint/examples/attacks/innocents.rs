//! How often an innocent's tail, by the bound, is below one in a thousand: it may be once in a thousand, no more.

use std::error::Error;
use std::time::{Duration, Instant};

use lingqu_fingerprint::{DECODER_NAMES, DECODERS};

use crate::attack::{Attack, Mixing};
use crate::chance::Chance;
use crate::copies::Office;
use crate::tables;

const BOUND: f64 = 1e-3;
const TRIALS: u64 = 100_000;

pub fn measure(budget: Duration) -> Result<(), Box<dyn Error>> {
    let office = Office::open(tables::census()?)?;
    println!("innocents whose score by one decoder reaches the threshold of a bound of {BOUND}:");
    let attacks = [
        Attack::kept(0.003),
        Attack::coalition(3, Mixing::Minority, 0.01),
        Attack::coalition(5, Mixing::Average, 0.01),
        Attack::coalition(2, Mixing::Greatest, 0.003),
    ];
    let begun = Instant::now();
    let mut counts = [(0u64, 0u64); DECODERS];
    let mut round = 0;
    while counts[0].0 < TRIALS && begun.elapsed() < budget {
        let attack = &attacks[round % attacks.len()];
        let mut chance = Chance::new(&format!("innocents {round}"));
        let colluders: Vec<usize> = (0..attack.coalition).collect();
        let sheet = office.sheet(attack, &colluders, &mut chance)?;
        let thresholds: Vec<Option<f64>> =
            (0..DECODERS).map(|decoder| sheet.innocent(decoder).threshold(BOUND.ln())).collect();
        for code in office.innocents() {
            let scores = sheet.scores(code);
            for decoder in 0..DECODERS {
                let (trials, above) = &mut counts[decoder];
                *trials += 1;
                *above += u64::from(thresholds[decoder].is_some_and(|limit| f64::from(scores[decoder]) >= limit));
            }
        }
        round += 1;
    }
    println!("decoder | trials | above | rate | upper 99 % confidence limit");
    println!("---|---|---|---|---");
    for (name, (trials, above)) in DECODER_NAMES.iter().zip(counts) {
        let rate = above as f64 / trials as f64;
        println!("{name} | {trials} | {above} | {rate:.2e} | {:.2e}", upper_limit(above, trials));
    }
    Ok(())
}

/// The one-sided upper 99 % confidence limit of a rate (Clopper and Pearson 1934; the Poisson limit of few events).
fn upper_limit(events: u64, trials: u64) -> f64 {
    let at_most = |mean: f64| -> f64 {
        let mut term = (-mean).exp();
        let mut sum = term;
        for i in 1..=events {
            term *= mean / i as f64;
            sum += term;
        }
        sum
    };
    let (mut low, mut high) = (events as f64, 10.0 * events as f64 + 10.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at_most(middle) > 0.01 { low = middle } else { high = middle }
    }
    high / trials as f64
}
