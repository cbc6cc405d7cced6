//! From leaked values to an accusation: leakers are named, innocents are not, and the bound is one.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take_record_batch;
use lingqu_fingerprint::{
    BiasTable, Carrier, DECODERS, Encoding, FingerprintError, Mark, MarkKey, Marker, Marking, Member, Observation,
    PositionSecrets, Possibility, Presence, Profile, RATE_ONE, RecipientCode, RowKeys, Settings, Sheet, Source, Step,
    Verdict, accuse, observe, observe_presence, score_each,
};

const ROWS: i64 = 20_000;
const RECIPIENTS: usize = 400;
const REGISTERED: u64 = 10_000;

/// What a coalition leaks of a row, from the values that its members have and the row's number.
type Mix<'a> = &'a dyn Fn(&[f64], usize) -> f64;

struct Desk {
    marking: Marking,
    secrets: PositionSecrets,
    batch: RecordBatch,
    codes: Vec<RecipientCode>,
}

fn code(recipient: usize, order: bool) -> RecipientCode {
    let mut bytes = [if order { 9 } else { 5 }; 32];
    bytes[..8].copy_from_slice(&(recipient as u64).to_le_bytes());
    RecipientCode::new(&MarkKey::from_bytes(Profile::Aes, bytes))
}

impl Desk {
    fn open() -> Self {
        let member = Member {
            column: "value".to_string(),
            encoding: Encoding::Lattice(Step { unscaled: 1, decimals: 0 }),
            coefficient: 1,
            domain: None,
        };
        let carrier = Carrier::Number { members: vec![member], amplitude: 3, tolerance: 3 };
        let values = (0..ROWS).map(|i| i * 7_919 % 100_003);
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(0..ROWS)) as ArrayRef),
            ("value", Arc::new(Int64Array::from_iter_values(values))),
        ])
        .unwrap();
        Self {
            marking: Marking {
                key: vec!["id".to_string()],
                marks: vec![Mark { name: "value".to_string(), rate: RATE_ONE, by: Vec::new(), carrier }],
                order_share: 6_554,
                biases: BiasTable::default(),
                presence: None,
            },
            secrets: PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [4; 32])),
            batch,
            codes: (0..RECIPIENTS).map(|recipient| code(recipient, false)).collect(),
        }
    }

    /// The first rows, as a recipient has them for one of his orders.
    fn copy(&self, recipient: usize, order: usize, rows: usize) -> Vec<f64> {
        let marker = Marker::new(&self.marking, &self.secrets, code(recipient, false), code(order, true)).unwrap();
        let copy = marker.mark(&self.batch.slice(0, rows)).unwrap();
        let values = copy.column_by_name("value").unwrap();
        let values = arrow::compute::cast(values, &arrow::datatypes::DataType::Float64).unwrap();
        values.as_any().downcast_ref::<Float64Array>().unwrap().values().to_vec()
    }

    fn observe(&self, leaked: Vec<f64>) -> Vec<Observation> {
        let rows = leaked.len();
        let leaked = RecordBatch::try_from_iter([("value", Arc::new(Float64Array::from(leaked)) as ArrayRef)]).unwrap();
        observe(&self.marking, &self.secrets, &self.batch.slice(0, rows), &leaked).unwrap()
    }

    /// Of rows in any order, as often as they stand there.
    fn observe_rows(&self, rows: &[u64], leaked: Vec<f64>) -> Vec<Observation> {
        let originals = take_record_batch(&self.batch, &UInt64Array::from(rows.to_vec())).unwrap();
        let leaked = RecordBatch::try_from_iter([("value", Arc::new(Float64Array::from(leaked)) as ArrayRef)]).unwrap();
        observe(&self.marking, &self.secrets, &originals, &leaked).unwrap()
    }

    fn accuse(&self, observations: &[Observation]) -> Verdict {
        accuse(observations, &self.codes, &Settings::of_recipients(REGISTERED), &score_each).unwrap()
    }
}

fn names(verdict: &Verdict) -> Vec<usize> {
    let mut names: Vec<usize> = verdict.accused.iter().map(|accusation| accusation.candidate).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_single_leaker_is_named_from_little_and_from_what_is_left_after_changes() {
    let desk = Desk::open();
    let noise = |i: usize| (i as f64 * 0.618_033_989).fract() * 18.0 - 9.0;
    let copy = desk.copy(17, 3, 2_000);
    let leaks: [(&str, Vec<f64>); 6] = [
        ("as it is, 120 rows", copy[..120].to_vec()),
        ("noise of three times the mark", copy.iter().enumerate().map(|(i, v)| v + noise(i)).collect()),
        ("rounded to tens", copy.iter().map(|v| (v / 10.0).round() * 10.0).collect()),
        ("cut to tens", copy.iter().map(|v| (v / 10.0).floor() * 10.0).collect()),
        ("half replaced", copy.iter().enumerate().map(|(i, v)| if i % 2 == 0 { *v } else { copy[i / 2] }).collect()),
        ("every third missing", copy.iter().enumerate().map(|(i, v)| if i % 3 == 0 { f64::NAN } else { *v }).collect()),
    ];
    for (what, leaked) in leaks {
        let verdict = desk.accuse(&desk.observe(leaked));
        assert_eq!(names(&verdict), [17], "{what}");
        let accusation = &verdict.accused[0];
        assert!(accusation.log_p_value <= 1e-6f64.ln(), "{what}");
        let (count, score) = accusation.support[&Source::Mark(0)];
        assert!(count as usize == verdict.positions && score > 0.0, "{what}");
        assert!(matches!(verdict.possibility, Possibility::Some(power) if power.power > 0.5), "{what}");
    }
}

/// What is said to be needed is needed and is enough: a leak of that size names its leaker about as often as it says of itself, and
/// a third of it seldom does. Whichever size the plan was made by, it is the same.
#[test]
fn as_much_as_is_needed_names_the_leaker_and_a_third_of_it_seldom_does() {
    const TRIALS: usize = 60;
    let desk = Desk::open();
    // The first rows of another recipient's copy each time, under noise of up to twice the mark.
    let judged = |trial: usize, rows: usize| {
        let copy = desk.copy(trial, trial, rows);
        let leaked = copy.iter().zip(0..).map(|(value, row)| value + 6.0 * drawn((trial as u64) << 32 | row));
        let verdict = desk.accuse(&desk.observe(leaked.collect()));
        let power = match verdict.possibility {
            Possibility::Some(power) => Some(power),
            Possibility::None => None,
        };
        (names(&verdict) == [trial], power)
    };
    let planned_by = |rows: usize| {
        let needed = (0..12).map(|trial| judged(trial, rows).1.unwrap().needed.unwrap());
        rows as f64 * needed.sum::<f64>() / 12.0
    };
    let (by_few, by_many) = (planned_by(200), planned_by(2_000));
    assert!(by_few > 200.0 && by_many < 2_000.0, "one has to be more and the other less: {by_few} {by_many}");
    assert!((0.67..1.5).contains(&(by_few / by_many)), "{by_few} {by_many}");

    // How often the leaker alone is named, and how often the leaks themselves say that he would be.
    let share_of = |rows: f64| {
        let trials: Vec<_> = (0..TRIALS).map(|trial| judged(100 + trial, rows.round() as usize)).collect();
        let named = trials.iter().filter(|(is_named, _)| *is_named).count() as f64;
        let stated: f64 = trials.iter().map(|(_, power)| power.map_or(0.0, |power| power.power)).sum();
        (named / TRIALS as f64, stated / TRIALS as f64)
    };
    let (named, stated) = share_of(by_many);
    assert!(named >= 0.9 && stated >= 0.9, "of what is needed: named {named}, stated {stated}");
    let (named, stated) = share_of(by_many / 3.0);
    assert!(named <= 0.4 && stated <= named + 0.1, "of a third: named {named}, stated {stated}");
}

/// A number from -1 to 1 that looks drawn and is the same each time (SplitMix64).
fn drawn(number: u64) -> f64 {
    let mut drawn = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((drawn ^ (drawn >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

#[test]
fn the_order_of_a_recipient_is_told_by_its_share_of_positions() {
    let desk = Desk::open();
    let observations = desk.observe(desk.copy(17, 3, 3_000));
    let orders: Vec<RecipientCode> = (0..8).map(|order| code(order, true)).collect();
    let settings = Settings { orders: true, registered: 8, bound: 1e-6 };
    let verdict = accuse(&observations, &orders, &settings, &score_each).unwrap();
    assert_eq!(names(&verdict), [3]);
    assert!(verdict.positions < 3_000 / 6);
}

#[test]
fn too_little_accuses_nobody_and_says_so() {
    let desk = Desk::open();
    let verdict = desk.accuse(&desk.observe(desk.copy(17, 3, 12)));
    assert_eq!((names(&verdict), verdict.possibility), (vec![], Possibility::None));
    let verdict = desk.accuse(&[]);
    assert_eq!((names(&verdict), verdict.possibility), (vec![], Possibility::None));
    // Foreign data: the values of nobody's copy.
    let foreign: Vec<f64> = (0..5_000).map(|i| f64::from(i * 31 % 977)).collect();
    assert!(names(&desk.accuse(&desk.observe(foreign))).is_empty());
    // The originals, as the provider has them: nobody's copy either.
    let originals: Vec<f64> = (0..5_000i64).map(|i| (i * 7_919 % 100_003) as f64).collect();
    assert!(names(&desk.accuse(&desk.observe(originals))).is_empty());
}

#[test]
fn copied_rows_count_once() {
    let desk = Desk::open();
    let observations = desk.observe(desk.copy(17, 3, 30));
    let many: Vec<Observation> = observations.iter().cycle().take(observations.len() * 50).copied().collect();
    let (once, repeated) = (desk.accuse(&observations), desk.accuse(&many));
    assert_eq!(once.positions, repeated.positions);
    assert_eq!((names(&once), once.possibility), (names(&repeated), repeated.possibility));
}

/// Of finite text floating point makes infinity, and infinity less infinity is no number.
#[test]
fn rows_with_numbers_beyond_all_bounds_silence_nothing() {
    let desk = Desk::open();
    let (mut rows, mut leaked): (Vec<u64>, Vec<f64>) = ((0..400).collect(), desk.copy(17, 3, 400));
    for row in 0..40 {
        rows.extend([row, row]);
        leaked.extend([1e308, if row % 2 == 0 { 1.1e308 } else { -1.1e308 }]);
    }
    let observations = desk.observe_rows(&rows, leaked);
    assert_eq!(observations.len(), 480);
    assert!(observations.iter().all(|observation| observation.residual.is_finite()));
    let verdict = desk.accuse(&observations);
    assert_eq!(names(&verdict), [17]);
    assert!(verdict.channels.values().all(|channel| channel.sigma.is_finite()), "{:?}", verdict.channels);
}

/// Each row twice, the second time with what another one says, and the buyer is told which lines to keep.
#[test]
fn twins_with_other_rows_values_hide_nothing() {
    let desk = Desk::open();
    let copy = desk.copy(17, 3, 400);
    let rows: Vec<u64> = (0..400).flat_map(|row| [row, row]).collect();
    let other = |row: usize| copy[(row + 151) % 400];
    let behind: Vec<f64> = (0..400).flat_map(|row| [copy[row], other(row)]).collect();
    let before: Vec<f64> = (0..400).flat_map(|row| [other(row), copy[row]]).collect();
    for leaked in [behind, before] {
        let verdict = desk.accuse(&desk.observe_rows(&rows, leaked));
        assert_eq!(names(&verdict), [17]);
    }
}

#[test]
fn coalitions_are_named_whatever_they_do() {
    let desk = Desk::open();
    let rows = 6_000;
    for size in [2usize, 3, 5] {
        let copies: Vec<Vec<f64>> = (0..size).map(|i| desk.copy(20 + i, i, rows)).collect();
        let mixes: [(&str, Mix<'_>); 6] = [
            ("average", &|values, _| values.iter().sum::<f64>() / values.len() as f64),
            ("least", &|values, _| values.iter().copied().fold(f64::INFINITY, f64::min)),
            ("greatest", &|values, _| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            ("in turn", &|values, row| values[row % values.len()]),
            ("majority", &|values, _| {
                let mut sorted = values.to_vec();
                sorted.sort_by(f64::total_cmp);
                sorted[sorted.len() / 2]
            }),
            ("minority", &|values, _| {
                let rare = |v: &&f64| values.iter().filter(|other| other == v).count();
                *values.iter().min_by_key(rare).unwrap()
            }),
        ];
        for (what, mix) in mixes {
            let leaked = (0..rows).map(|row| {
                let values: Vec<f64> = copies.iter().map(|copy| copy[row]).collect();
                mix(&values, row)
            });
            let verdict = desk.accuse(&desk.observe(leaked.collect()));
            let colluders: Vec<usize> = (0..size).map(|i| 20 + i).collect();
            let named = names(&verdict);
            assert!(!named.is_empty(), "{size} {what}");
            assert!(named.iter().all(|name| colluders.contains(name)), "{size} {what} {named:?}");
            // Of two, the rarer value is always the first one's: then the second leaked nothing.
            if size == 2 && what != "minority" {
                assert_eq!(named, colluders, "{what}");
            }
        }
    }
}

#[test]
fn rows_alone_tell_where_no_value_may_change() {
    let mut desk = Desk::open();
    let presence = Presence::of_share(0.02);
    desk.marking.marks.clear();
    desk.marking.presence = Some(presence);
    let marker = Marker::new(&desk.marking, &desk.secrets, code(5, false), code(0, true)).unwrap();
    let copy = marker.mark(&desk.batch.slice(0, 3_000)).unwrap();
    let keys = |batch: &RecordBatch| RowKeys::of_columns(batch, &["id".to_string()]).unwrap();
    let verdict = desk.accuse(&observe_presence(&presence, &desk.secrets, &keys(&copy)));
    assert_eq!(names(&verdict), [5]);
    // All rows are in nobody's copy.
    let verdict = desk.accuse(&observe_presence(&presence, &desk.secrets, &keys(&desk.batch.slice(0, 3_000))));
    assert!(names(&verdict).is_empty());
}

/// Innocents' scores against the bound, at one in a hundred so that few trials say much: for every decoder, whatever the
/// pirates did, no more often than the bound with three standard deviations of room. `examples/attacks` does the same at one
/// in a thousand and a hundred thousand trials.
#[test]
fn innocents_stay_below_the_bound() {
    let desk = Desk::open();
    let copies: Vec<Vec<f64>> = (0..3).map(|i| desk.copy(i, i, 1_000)).collect();
    let least = (0..1_000).map(|row| copies.iter().map(|copy| copy[row]).fold(f64::INFINITY, f64::min));
    let average = (0..1_000).map(|row| copies.iter().map(|copy| copy[row]).sum::<f64>() / 3.0);
    // Twins of every row, with another one's value or with one that is near.
    let twin = |row: usize| match row % 2 {
        0 => copies[1][(row * 7 + 3) % 1_000],
        _ => copies[0][row] + (row * 37 % 129) as f64 - 64.0,
    };
    let twins = (0..1_000).flat_map(|row| [copies[0][row], twin(row)]).collect();
    let twice: Vec<u64> = (0..1_000).flat_map(|row| [row, row]).collect();
    let (mut trials, mut above) = (0u32, [0u32; DECODERS]);
    for observations in [
        desk.observe(copies[0][..150].to_vec()),
        desk.observe(least.collect()),
        desk.observe(average.collect()),
        desk.observe_rows(&twice, twins),
    ] {
        let sheet = Sheet::new(observations.into_iter().filter(|observation| !observation.order));
        let thresholds: Vec<Option<f64>> =
            (0..DECODERS).map(|decoder| sheet.innocent(decoder).threshold(0.01f64.ln())).collect();
        for innocent in 1_000..5_000 {
            let scores = sheet.scores(&code(innocent, false));
            trials += 1;
            for (decoder, threshold) in thresholds.iter().enumerate() {
                above[decoder] += u32::from(threshold.is_some_and(|limit| f64::from(scores[decoder]) >= limit));
            }
        }
    }
    let expected = 0.01 * f64::from(trials);
    for (decoder, above) in above.into_iter().enumerate() {
        assert!(f64::from(above) <= expected + 3.0 * expected.sqrt(), "decoder {decoder}: {above} of {trials}");
    }
}

#[test]
fn the_accuser_states_a_sensible_bound_and_counts_everybody() {
    let desk = Desk::open();
    let refused = |settings: Settings| accuse(&[], &desk.codes, &settings, &score_each).unwrap_err();
    let usual = Settings::of_recipients(REGISTERED);
    for settings in [
        Settings { bound: 0.0, ..usual },
        Settings { bound: 0.5, ..usual },
        Settings { bound: f64::NAN, ..usual },
        Settings { registered: 10, ..usual },
    ] {
        assert!(matches!(refused(settings), FingerprintError::Setting { .. }), "{settings:?}");
    }
    // More registered recipients are more tests: the same score proves less.
    let observations = desk.observe(desk.copy(17, 3, 200));
    let few = accuse(&observations, &desk.codes, &Settings::of_recipients(400), &score_each).unwrap();
    let many = accuse(&observations, &desk.codes, &Settings::of_recipients(400_000_000), &score_each).unwrap();
    assert!((many.accused[0].log_p_value - few.accused[0].log_p_value - 1e6f64.ln()).abs() < 1e-6);
}

#[test]
fn columns_come_back_in_other_types_and_orders() {
    let desk = Desk::open();
    let copy = desk.copy(17, 3, 400);
    let order: Vec<u64> = (0..400u64).map(|row| row * 7 % 400).collect();
    let originals = take_record_batch(&desk.batch, &UInt64Array::from(order.clone())).unwrap();
    let texts = order.iter().map(|row| format!("{}", copy[*row as usize]));
    let leaked = RecordBatch::try_from_iter([
        ("more", Arc::new(Int64Array::from_iter_values(0..400)) as ArrayRef),
        ("value", Arc::new(StringArray::from_iter_values(texts))),
    ])
    .unwrap();
    let observations = observe(&desk.marking, &desk.secrets, &originals, &leaked).unwrap();
    assert_eq!(names(&desk.accuse(&observations)), [17]);
}
