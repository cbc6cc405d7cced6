//! An accusation by one column alone: a place, a moment or a spelling, and under both profiles of ciphers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, TimestampMillisecondType};
use lingqu_fingerprint::{
    BiasTable, Carrier, Effect, Encoding, HalfKey, KeyUse, Mark, MarkKey, Marker, Marking, Member, MomentBounds,
    PositionSecrets, Profile, Provenance, RATE_ONE, RecipientCode, Settings, Source, Verdict, Watch, accuse, align,
    effects, observe, score_each,
};

const ROWS: u64 = 12_000;
const RECIPIENTS: usize = 300;
const LEAKER: usize = 41;
const LOG_ODDS_MIN: f64 = 7.0;
const PROFILES: [Profile; 2] = [Profile::Aes, Profile::Sm4];
/// Spellings that are taken for each other; the last stands in no set.
const SPELLINGS: [&str; 5] = ["路", "道", "Road", "Rd", "弄"];

fn key(profile: Profile, key_use: &KeyUse<'_>) -> MarkKey {
    MarkKey::of_halves(&HalfKey::from_bytes([1; 32]), &HalfKey::from_bytes([2; 32]), profile, key_use)
}

fn code(profile: Profile, recipient: usize) -> RecipientCode {
    let recipient = format!("consumer {recipient}");
    RecipientCode::new(&key(profile, &KeyUse::Recipient { table: "stops", recipient: &recipient }))
}

/// A number that looks drawn: SplitMix64.
fn mixed(row: u64, salt: u64) -> u64 {
    let z = row.wrapping_add(salt << 32).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Stops with a place, a moment, a spelling, and two exact columns.
fn stops() -> RecordBatch {
    let drawn = |salt, below: u64| (0..ROWS).map(move |row| mixed(row, salt) % below);
    let degrees = |from: f64, salt| Float64Array::from_iter_values(drawn(salt, 200_000).map(|d| from + d as f64 / 1e6));
    let moments = drawn(3, 31_536_000).map(|second| (1_700_000_000 + second as i64) * 1_000);
    let spellings = drawn(4, 5).map(|which| SPELLINGS[which as usize]);
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row as i64 * 3))) as ArrayRef),
        ("lat", Arc::new(degrees(22.7, 1))),
        ("lon", Arc::new(degrees(108.2, 2))),
        ("at", Arc::new(TimestampMillisecondArray::from_iter_values(moments))),
        ("street", Arc::new(StringArray::from_iter_values(spellings))),
        ("fare", Arc::new(Int64Array::from_iter_values(drawn(5, 100_000).map(|fare| fare as i64)))),
        ("line", Arc::new(StringArray::from_iter_values(drawn(6, 900).map(|line| format!("L{line}"))))),
    ])
    .unwrap()
}

fn marking() -> Marking {
    let at = Member {
        column: "at".to_string(),
        encoding: Encoding::Time { nanoseconds: 1_000_000_000 },
        coefficient: 1,
        domain: None,
    };
    let mark = |name: &str, carrier| Mark { name: name.to_string(), rate: RATE_ONE, by: Vec::new(), carrier };
    Marking {
        key: vec!["id".to_string()],
        marks: vec![
            mark(
                "place",
                Carrier::Place { latitude: "lat".to_string(), longitude: "lon".to_string(), decimals: 6, metres: 8.0 },
            ),
            mark("at", Carrier::Number { members: vec![at], amplitude: 20, tolerance: 20 }),
            mark(
                "street",
                Carrier::Category {
                    column: "street".to_string(),
                    sets: [["路", "道"], ["Road", "Rd"]].map(|set| set.map(str::to_string).to_vec()).to_vec(),
                },
            ),
        ],
        order_share: 0,
        biases: BiasTable::default(),
        presence: None,
    }
}

struct Desk {
    profile: Profile,
    marking: Marking,
    secrets: PositionSecrets,
    originals: RecordBatch,
}

impl Desk {
    fn open(profile: Profile) -> Desk {
        let secrets = PositionSecrets::new(&key(profile, &KeyUse::Positions { table: "stops", epoch: 0 }));
        Desk { profile, marking: marking(), secrets, originals: stops() }
    }

    fn copy(&self, recipient: usize, rows: &[u64]) -> RecordBatch {
        let own = code(self.profile, recipient);
        let order = RecipientCode::new(&key(self.profile, &KeyUse::Order { table: "stops", order: "one" }));
        let marker = Marker::new(&self.marking, &self.secrets, own, order).unwrap();
        marker.mark(&self.rows(rows)).unwrap()
    }

    fn rows(&self, rows: &[u64]) -> RecordBatch {
        take_record_batch(&self.originals, &UInt64Array::from(rows.to_vec())).unwrap()
    }

    /// Who is accused by leaked columns that are laid beside these originals.
    fn accuse(&self, rows: &[u64], leaked: &RecordBatch) -> Verdict {
        let observations = observe(&self.marking, &self.secrets, &self.rows(rows), leaked).unwrap();
        let codes: Vec<RecipientCode> = (0..RECIPIENTS).map(|recipient| code(self.profile, recipient)).collect();
        accuse(&observations, &codes, &Settings::of_recipients(10_000), &score_each).unwrap()
    }
}

fn names(verdict: &Verdict) -> Vec<usize> {
    verdict.accused.iter().map(|accusation| accusation.candidate).collect()
}

fn only(batch: &RecordBatch, columns: &[&str]) -> RecordBatch {
    let places: Vec<usize> = columns.iter().map(|name| batch.schema().index_of(name).unwrap()).collect();
    batch.project(&places).unwrap()
}

fn column(name: &str, array: impl arrow::array::Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter([(name, Arc::new(array) as ArrayRef)]).unwrap()
}

#[test]
fn one_column_of_any_kind_names_the_leaker_and_nobody_else_under_both_profiles() {
    for profile in PROFILES {
        let desk = Desk::open(profile);
        let rows: Vec<u64> = (0..900).map(|row| row * 13 % ROWS).collect();
        let copy = desk.copy(LEAKER, &rows);
        // The two coordinates of a place are one mark: either alone still carries a part of it.
        for (columns, mark) in [(&["lat", "lon"][..], 0), (&["lat"], 0), (&["lon"], 0), (&["at"], 1), (&["street"], 2)]
        {
            let verdict = desk.accuse(&rows, &only(&copy, columns));
            assert_eq!(names(&verdict), [LEAKER], "{profile:?} {columns:?}");
            assert!(verdict.accused[0].log_p_value <= 1e-6f64.ln(), "{profile:?} {columns:?}");
            let support: Vec<Source> = verdict.accused[0].support.keys().copied().collect();
            assert_eq!(support, [Source::Mark(mark)], "{profile:?} {columns:?}");
            // What is nobody's copy accuses nobody, and neither do copies of a consumer whose code is not asked.
            let innocent = desk.accuse(&rows, &only(&desk.rows(&rows), columns));
            assert!(names(&innocent).is_empty(), "{profile:?} {columns:?}: the originals");
            let stranger = desk.accuse(&rows, &only(&desk.copy(RECIPIENTS + 7, &rows), columns));
            assert!(names(&stranger).is_empty(), "{profile:?} {columns:?}: a stranger's copy");
        }
    }
}

#[test]
fn a_copy_of_one_profile_says_nothing_under_the_other() {
    let rows: Vec<u64> = (0..900).collect();
    let [aes, sm4] = PROFILES.map(Desk::open);
    for (one, other) in [(&aes, &sm4), (&sm4, &aes)] {
        let copy = one.copy(LEAKER, &rows);
        assert_eq!(names(&one.accuse(&rows, &copy)), [LEAKER]);
        assert!(names(&other.accuse(&rows, &copy)).is_empty());
    }
}

#[test]
fn places_moments_and_spellings_survive_what_is_done_to_them() {
    for profile in PROFILES {
        let desk = Desk::open(profile);
        let rows: Vec<u64> = (0..4_000).map(|row| row * 7 % ROWS).collect();
        let copy = desk.copy(LEAKER, &rows);
        let degrees = |name: &str| copy.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
        let noise = |row: usize, salt: u64| mixed(row as u64, salt) as f64 / u64::MAX as f64 * 2.0 - 1.0;
        // Ten metres to either side, which is more than a place moves, and five decimals of six.
        let moved = |name, salt| {
            let moved =
                degrees(name).into_iter().enumerate().map(move |(row, degree)| degree + noise(row, salt) * 9e-5);
            Arc::new(Float64Array::from_iter_values(moved)) as ArrayRef
        };
        let places = RecordBatch::try_from_iter([("lat", moved("lat", 11)), ("lon", moved("lon", 12))]).unwrap();
        let cut = |name| {
            let cut = degrees(name).into_iter().map(|degree| (degree * 1e5).round() / 1e5);
            Arc::new(Float64Array::from_iter_values(cut)) as ArrayRef
        };
        let rounded = RecordBatch::try_from_iter([("lat", cut("lat")), ("lon", cut("lon"))]).unwrap();
        let moments = copy.column_by_name("at").unwrap().as_primitive::<TimestampMillisecondType>().values().to_vec();
        let minutes = moments.iter().map(|at| (at + 30_000).div_euclid(60_000) * 60_000);
        let minutes = column("at", TimestampMillisecondArray::from_iter_values(minutes));
        // As a text, the way a program that knows no moments hands them on.
        let texts = cast(copy.column_by_name("at").unwrap(), &DataType::Utf8).unwrap();
        let texts = texts.as_string::<i32>().iter().flatten().map(|text| text.replace('T', " "));
        let texts = column("at", StringArray::from_iter_values(texts));
        let spellings: Vec<&str> = copy.column_by_name("street").unwrap().as_string::<i32>().iter().flatten().collect();
        // Of five cells two are any spelling of the set.
        let flipped = spellings.iter().enumerate().map(|(row, text)| {
            let place = SPELLINGS.iter().position(|spelling| spelling == text).unwrap();
            match (mixed(row as u64, 13) % 5, place) {
                (0, 0..4) => SPELLINGS[place ^ 1],
                _ => text,
            }
        });
        let flipped = column("street", StringArray::from_iter_values(flipped));
        for (what, leaked) in [
            ("places moved about", places),
            ("places with a decimal less", rounded),
            ("moments rounded to minutes", minutes),
            ("moments as texts", texts),
            ("a fifth of the spellings turned", flipped),
        ] {
            assert_eq!(names(&desk.accuse(&rows, &leaked)), [LEAKER], "{profile:?}: {what}");
        }
    }
}

#[test]
fn places_and_spellings_are_found_among_the_originals_without_key_and_order() {
    for profile in PROFILES {
        let desk = Desk::open(profile);
        let rows: Vec<u64> = (0..1_500).map(|row| mixed(row, 21) % ROWS).collect();
        let copy = desk.copy(LEAKER, &rows);
        for kept in [&["lat", "lon"][..], &["at"], &["street"]] {
            // The exact columns tell which row it is; the marked one tells whose.
            let leaked = only(&copy, &[&["fare", "line"], kept].concat());
            let names_of: Vec<String> = (0..leaked.num_columns()).map(|at| format!("f{at}")).collect();
            let anonymous = names_of.iter().map(String::as_str).zip(leaked.columns().iter().cloned());
            let anonymous = RecordBatch::try_from_iter(anonymous).unwrap();
            let watch = &mut |_, _| ControlFlow::Continue(());
            let originals = vec![desk.originals.clone()];
            let alignment = align(&desk.marking, &anonymous, &originals, LOG_ODDS_MIN, &mut Watch(watch)).unwrap();
            assert!(matches!(alignment.provenance, Provenance::Inside(_)), "{kept:?}: {:?}", alignment.provenance);
            let right = alignment.rows.iter().filter(|row| rows[row.leaked as usize] == row.original).count();
            // A row that leaked twice is found once.
            let distinct = rows.iter().collect::<BTreeSet<_>>().len();
            assert!(right == alignment.rows.len() && right * 100 >= distinct * 99, "{kept:?}: {right} of {distinct}");
            for name in kept {
                let found = alignment.columns.iter().find(|column| column.original == *name);
                let place = leaked.schema().index_of(name).unwrap();
                assert_eq!(found.map(|found| found.place), Some(place), "{name}: {:?}", alignment.columns);
            }
            let pairs = alignment.rows.iter();
            let (found, at): (Vec<u64>, Vec<u64>) = pairs.map(|row| (row.original, u64::from(row.leaked))).unzip();
            let shown = take_record_batch(&only(&leaked, kept), &UInt64Array::from(at)).unwrap();
            assert_eq!(names(&desk.accuse(&found, &shown)), [LEAKER], "{profile:?} {kept:?}");
        }
    }
}

/// Mean and standard deviation of a column.
fn moments(batch: &RecordBatch, name: &str) -> (f64, f64) {
    let numbers = batch.column_by_name(name).unwrap();
    // Moments become milliseconds first.
    let numbers = if name == "at" { cast(numbers, &DataType::Int64).unwrap() } else { Arc::clone(numbers) };
    let numbers = cast(&numbers, &DataType::Float64).unwrap();
    let values = numbers.as_primitive::<Float64Type>().values();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

#[test]
fn copies_are_off_by_no_more_than_was_told_and_by_that_order() {
    let desk = Desk::open(Profile::Aes);
    let rows: Vec<u64> = (0..ROWS).collect();
    let told = effects(&desk.marking, &desk.originals, MomentBounds::default()).unwrap();
    let columns: Vec<&str> = told.iter().map(|effect| effect.column.as_str()).collect();
    assert_eq!(columns, ["lat", "lon", "at"]);
    let copies: Vec<RecordBatch> = (0..20).map(|recipient| desk.copy(recipient, &rows)).collect();
    for Effect { column, moments: bounds, .. } in &told {
        let (mean, deviation) = moments(&desk.originals, column);
        let (mut mean_most, mut deviation_most) = (0.0, 0.0_f64);
        for copy in &copies {
            let (copied_mean, copied_deviation) = moments(copy, column);
            mean_most = f64::max(mean_most, (copied_mean - mean).abs() / deviation);
            deviation_most = deviation_most.max((copied_deviation / deviation - 1.0).abs());
        }
        // The bounds are 3.9 deviations of what copies are off by; of 20 one is off by more than one.
        assert!(mean_most <= bounds.mean_shift && mean_most > bounds.mean_shift / 3.9, "{column}: {mean_most}");
        assert!(deviation_most <= bounds.deviation_change, "{column}: {deviation_most} {bounds:?}");
    }
    for name in ["id", "fare", "line"] {
        assert!(copies.iter().all(|copy| copy.column_by_name(name) == desk.originals.column_by_name(name)), "{name}");
    }
}
