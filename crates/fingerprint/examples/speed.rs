//! Marking in cells per second and scoring in positions per second, for both profiles, by seconds of one processor (not by the
//! clock, where the system tells them apart).
//!
//! ```text
//! cargo run --release -p lingqu-fingerprint --example speed
//! ```

use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, Mark, MarkKey, Marker, Marking, Member, PositionSecrets, Profile, RecipientCode,
    Settings, Step, accuse, observe, score_each, share_to_rate,
};

const ROWS: i64 = 1 << 16;
const COLUMNS: usize = 10;
const ROUNDS: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    for (profile, rounds, recipients) in [(Profile::Aes, ROUNDS, 2_000), (Profile::Sm4, 2, 20)] {
        let key = |byte| MarkKey::from_bytes(profile, [byte; 32]);
        let secrets = PositionSecrets::new(&key(1));
        let mut columns: Vec<(String, ArrayRef)> =
            vec![("id".to_string(), Arc::new(Int64Array::from_iter_values(0..ROWS)))];
        for column in 0..COLUMNS {
            let values = (0..ROWS).map(|row| row * 7_919 % (10_007 + column as i64));
            columns.push((format!("c{column}"), Arc::new(Int64Array::from_iter_values(values))));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        let mark = |column: usize, rate: f64| {
            let member = Member {
                column: format!("c{column}"),
                encoding: Encoding::Lattice(Step { unscaled: 1, decimals: 0 }),
                coefficient: 1,
                domain: None,
            };
            let carrier = Carrier::Number { members: vec![member], amplitude: 1, tolerance: 1 };
            Mark { name: format!("m{column}"), rate: share_to_rate(rate), by: Vec::new(), carrier }
        };
        for rate in [0.1, 0.3, 1.0] {
            let marking = Marking {
                key: vec!["id".to_string()],
                marks: (0..COLUMNS).map(|column| mark(column, rate)).collect(),
                order_share: 6_554,
                biases: BiasTable::default(),
                presence: None,
            };
            let marker = Marker::new(&marking, &secrets, RecipientCode::new(&key(2)), RecipientCode::new(&key(3)))?;
            let begun = processor_seconds();
            for _ in 0..rounds {
                marker.mark(&batch)?;
            }
            let cells = rounds as f64 * ROWS as f64 * COLUMNS as f64;
            let million = cells / (processor_seconds() - begun) / 1e6;
            println!("{}: {million:.1} million cells/s marked at a rate of {rate}", profile.name());
            if rate == 0.1 {
                let copy = marker.mark(&batch)?;
                let begun = processor_seconds();
                let observations = observe(&marking, &secrets, &batch, &copy)?;
                println!("  {} positions observed in {:.2} s", observations.len(), (processor_seconds() - begun));
                let codes: Vec<RecipientCode> = (0..recipients)
                    .map(|i| RecipientCode::new(&MarkKey::from_bytes(profile, [10 + (i % 200) as u8; 32])))
                    .collect();
                let begun = processor_seconds();
                let settings = Settings::of_recipients(10_000);
                let verdict = accuse(&observations, &codes, &settings, &score_each)?;
                let seconds = processor_seconds() - begun;
                let draws = verdict.positions as f64 * recipients as f64;
                println!(
                    "  {} positions × {recipients} recipients in {seconds:.2} s: {:.0} million a second",
                    verdict.positions,
                    draws / seconds / 1e6
                );
            }
        }
    }
    Ok(())
}

/// Seconds that this process ran on a processor: Linux tells nanoseconds, elsewhere the clock has to do.
fn processor_seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok()));
    nanoseconds.map_or_else(
        || std::time::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64()),
        |nanoseconds| nanoseconds / 1e9,
    )
}
