//! Marks that hang on what determines their column: the dependency goes on holding in each copy, a value of the determinant is
//! one position however many rows it stands in, and the bounds of mean and deviation hold for bits that move many rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, FingerprintError, Mark, MarkKey, Marker, Marking, Member, MomentBounds,
    PositionSecrets, Profile, RATE_ONE, RecipientCode, Settings, Step, Verdict, accuse, effects, observe, score_each,
};

const ROWS: u64 = 12_000;
const CODES: u64 = 900;
const RECIPIENTS: u16 = 200;
const LEAKER: u16 = 31;

/// A number that looks drawn: SplitMix64.
fn drawn(row: u64, salt: u64) -> u64 {
    let mut z = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn numbers(of: impl Fn(u64) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| of(row).cast_signed())))
}

/// Sales of articles: the code tells the fare, and nothing tells the count.
fn sales() -> RecordBatch {
    let code = |row: u64| drawn(row, 1) % CODES;
    RecordBatch::try_from_iter([
        ("id", numbers(|row| row * 3)),
        ("code", numbers(code)),
        ("fare", numbers(move |row| 20_000 + drawn(code(row), 2) % 60_000)),
        ("count", numbers(|row| drawn(row, 3) % 500)),
    ])
    .unwrap()
}

fn marking(by: &[&str]) -> Marking {
    let member = Member {
        column: "fare".to_owned(),
        encoding: Encoding::Lattice(Step { unscaled: 1, decimals: 0 }),
        coefficient: 1,
        domain: None,
    };
    let carrier = Carrier::Number { members: vec![member], amplitude: 40, tolerance: 40 };
    let by = by.iter().map(|column| (*column).to_owned()).collect();
    Marking {
        key: vec!["id".to_owned()],
        marks: vec![Mark { name: "fare".to_owned(), rate: RATE_ONE, by, carrier }],
        order_share: 0,
        biases: BiasTable::default(),
        presence: None,
    }
}

fn key(what: u8, whose: u16) -> MarkKey {
    let mut bytes = [what; 32];
    bytes[..2].copy_from_slice(&whose.to_le_bytes());
    MarkKey::from_bytes(Profile::Aes, bytes)
}

fn code(recipient: u16) -> RecipientCode {
    RecipientCode::new(&key(5, recipient))
}

fn secrets() -> PositionSecrets {
    PositionSecrets::new(&key(4, 0))
}

fn copy(marking: &Marking, recipient: u16, batch: &RecordBatch) -> RecordBatch {
    let order = RecipientCode::new(&key(9, 0));
    Marker::new(marking, &secrets(), code(recipient), order).unwrap().mark(batch).unwrap()
}

fn column(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// The fare of each code; none where rows of one code differ.
fn fares(batch: &RecordBatch) -> Option<BTreeMap<i64, i64>> {
    let mut fares = BTreeMap::new();
    let mut rows = column(batch, "code").into_iter().zip(column(batch, "fare"));
    rows.all(|(code, fare)| *fares.entry(code).or_insert(fare) == fare).then_some(fares)
}

fn rows(batch: &RecordBatch, rows: &[u64]) -> RecordBatch {
    take_record_batch(batch, &UInt64Array::from(rows.to_vec())).unwrap()
}

#[test]
fn a_dependency_holds_in_every_copy_and_every_part_of_it() {
    let (sales, marking) = (sales(), marking(&["code"]));
    let original = fares(&sales).unwrap();
    let mut told = Vec::new();
    for recipient in 0..5 {
        let copied = copy(&marking, recipient, &sales);
        let copied_fares = fares(&copied).unwrap();
        assert!(copied_fares.iter().all(|(code, fare)| (fare - original[code]).abs() == 40));
        for exact in ["id", "code", "count"] {
            assert_eq!(column(&copied, exact), column(&sales, exact));
        }
        // Batch by batch and row by row it is the same copy.
        let parts: Vec<RecordBatch> =
            (0..6).map(|part| copy(&marking, recipient, &sales.slice(part * 2_000, 2_000))).collect();
        assert_eq!(concat_batches(&sales.schema(), &parts).unwrap(), copied);
        let some: Vec<u64> = (0..300).map(|row| drawn(row, 7) % ROWS).collect();
        assert_eq!(copy(&marking, recipient, &rows(&sales, &some)), rows(&copied, &some));
        told.push(copied_fares);
    }
    // Each recipient has fares of his own.
    for (one, other) in [(0, 1), (2, 4)] {
        let differ = told[one].iter().filter(|(code, fare)| told[other][code] != **fare).count();
        assert!(differ > CODES as usize / 20, "{differ}");
    }
    // Row by row the dependency is lost.
    assert_eq!(fares(&copy(&self::marking(&[]), 0, &sales)), None);
}

#[test]
fn what_marks_hang_on_has_to_be_there() {
    let sales = sales();
    let bare = sales.project(&[0, 2]).unwrap();
    let marker = |marking: &Marking| {
        let (secrets, order) = (secrets(), RecipientCode::new(&key(9, 0)));
        Marker::new(marking, &secrets, code(0), order).and_then(|marker| marker.mark(&bare))
    };
    assert_eq!(marker(&marking(&["code"])), Err(FingerprintError::ColumnMissing { column: "code".to_owned() }));
    assert!(matches!(marker(&marking(&["fare"])), Err(FingerprintError::Declaration { .. })));
    assert!(marker(&marking(&[])).is_ok());
}

fn verdict(marking: &Marking, originals: &RecordBatch, leaked: &RecordBatch) -> Verdict {
    let leaked = leaked.project(&[2]).unwrap();
    let observations = observe(marking, &secrets(), originals, &leaked).unwrap();
    let codes: Vec<RecipientCode> = (0..RECIPIENTS).map(code).collect();
    accuse(&observations, &codes, &Settings::of_recipients(10_000), &score_each).unwrap()
}

#[test]
fn a_code_is_one_position_however_many_rows_it_stands_in() {
    let (sales, marking) = (sales(), marking(&["code"]));
    let copied = copy(&marking, LEAKER, &sales);
    let whole = verdict(&marking, &sales, &copied);
    let accused: Vec<usize> = whole.accused.iter().map(|accusation| accusation.candidate).collect();
    assert_eq!(accused, [usize::from(LEAKER)]);
    // One row of each code says as much as all.
    let mut first: BTreeMap<i64, u64> = BTreeMap::new();
    column(&sales, "code").into_iter().zip(0..).for_each(|(code, row)| {
        first.entry(code).or_insert(row);
    });
    let first: Vec<u64> = first.into_values().collect();
    let once = verdict(&marking, &rows(&sales, &first), &rows(&copied, &first));
    assert_eq!((once.positions, whole.positions), (first.len(), first.len()));
    let (once, whole) = (once.accused[0].log_p_value, whole.accused[0].log_p_value);
    assert!((once / whole - 1.0).abs() < 0.05, "{once} {whole}");
}

/// Forty codes in hundreds of rows each: few positions, which accuse nobody, and nobody who is innocent.
#[test]
fn many_rows_of_few_codes_accuse_nobody() {
    let (sales, marking) = (sales(), marking(&["code"]));
    let few: Vec<u64> =
        column(&sales, "code").into_iter().zip(0..).filter(|(code, _)| *code < 40).map(|(_, row)| row).collect();
    let often: Vec<u64> = few.iter().flat_map(|row| std::iter::repeat_n(*row, 20)).collect();
    assert!(often.len() > 5_000);
    let originals = rows(&sales, &often);
    for outsider in RECIPIENTS..RECIPIENTS + 30 {
        let verdict = verdict(&marking, &originals, &copy(&marking, outsider, &originals));
        assert!(verdict.accused.is_empty() && verdict.positions == 40, "{outsider}");
    }
}

/// Codes stand in some thirteen rows, so a mean moves by far more than if each row moved by itself.
#[test]
fn bounds_are_of_bits_and_not_of_rows() {
    let sales = sales();
    let bounds = MomentBounds { mean_shift: 1.0, deviation_change: 1.0 };
    let stated = |by: &[&str]| effects(&marking(by), &sales, bounds).unwrap().remove(0).moments;
    let (by_code, by_row) = (stated(&["code"]), stated(&[]));
    let moments = |values: &[i64]| {
        let count = values.len() as f64;
        let mean = values.iter().map(|value| *value as f64).sum::<f64>() / count;
        (mean, (values.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / count).sqrt())
    };
    let (mean, deviation) = moments(&column(&sales, "fare"));
    let (mut beyond_rows, marking) = (0, marking(&["code"]));
    for recipient in 0..300 {
        let (copied_mean, copied_deviation) = moments(&column(&copy(&marking, recipient, &sales), "fare"));
        let shift = (copied_mean - mean).abs() / deviation;
        assert!(shift <= by_code.mean_shift, "{recipient}: {shift} {by_code:?}");
        let change = (copied_deviation / deviation - 1.0).abs();
        assert!(change <= by_code.deviation_change, "{recipient}: {change} {by_code:?}");
        beyond_rows += usize::from(shift > by_row.mean_shift);
    }
    assert!(beyond_rows > 0, "by rows it would have been stated too narrow: {by_row:?}");
    assert!(by_code.mean_shift < 2.0 * by_row.mean_shift * 13f64.sqrt(), "{by_code:?} {by_row:?}");
}
