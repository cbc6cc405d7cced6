//! Recipients' copies: what may change changes, nothing else does, and batches make no difference.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Float64Type, Int64Type};
use lingqu_fingerprint::{
    BiasTable, Carrier, Encoding, FingerprintError, HalfKey, KeyUse, Mark, MarkKey, Marker, Marking, Member,
    PositionSecrets, Presence, Profile, RATE_ONE, RecipientCode, Step, observe, share_to_rate,
};
use proptest::prelude::*;

const ROWS: usize = 3_000;

fn key(profile: Profile, key_use: &KeyUse<'_>) -> MarkKey {
    MarkKey::of_halves(&HalfKey::from_bytes([1; 32]), &HalfKey::from_bytes([2; 32]), profile, key_use)
}

fn secrets(profile: Profile) -> PositionSecrets {
    PositionSecrets::new(&key(profile, &KeyUse::Positions { table: "t", epoch: 0 }))
}

fn marker<'a>(
    marking: &'a Marking,
    secrets: &'a PositionSecrets,
    profile: Profile,
    recipient: &str,
    order: &str,
) -> Marker<'a> {
    let own = RecipientCode::new(&key(profile, &KeyUse::Recipient { table: "t", recipient }));
    let order = RecipientCode::new(&key(profile, &KeyUse::Order { table: "t", order }));
    Marker::new(marking, secrets, own, order).unwrap()
}

fn member(column: &str, encoding: Encoding, coefficient: i32, domain: Option<(i64, i64)>) -> Member {
    Member { column: column.to_string(), encoding, coefficient, domain }
}

fn lattice(unscaled: u32, decimals: u8) -> Encoding {
    Encoding::Lattice(Step { unscaled, decimals })
}

fn number(name: &str, amplitude: u32, members: Vec<Member>) -> Mark {
    let carrier = Carrier::Number { members, amplitude, tolerance: amplitude };
    Mark { name: name.to_string(), rate: RATE_ONE, by: Vec::new(), carrier }
}

/// One mark of every kind, over ties, lattices and domains.
fn marking() -> Marking {
    let place = Carrier::Place { latitude: "lat".to_string(), longitude: "lon".to_string(), decimals: 6, metres: 5.0 };
    let spellings = [["路", "道"], ["Road", "Rd"]].map(|set| set.map(str::to_string).to_vec()).to_vec();
    Marking {
        key: vec!["id".to_string()],
        marks: vec![
            number(
                "time",
                1,
                vec![
                    member("clock", Encoding::HoursMinutes, 1, None),
                    member("delay", lattice(1, 0), 1, None),
                    member("rest", lattice(1, 0), -1, None),
                ],
            ),
            number("price", 2, vec![member("price", lattice(5, 2), 1, Some((0, 5_000)))]),
            number("at", 3, vec![member("at", Encoding::Time { nanoseconds: 1_000_000_000 }, 1, None)]),
            Mark { name: "place".to_string(), rate: share_to_rate(0.5), by: Vec::new(), carrier: place },
            Mark {
                name: "street".to_string(),
                rate: RATE_ONE,
                by: Vec::new(),
                carrier: Carrier::Category { column: "street".to_string(), sets: spellings },
            },
        ],
        order_share: 6_554,
        biases: BiasTable::default(),
        presence: None,
    }
}

fn batch() -> RecordBatch {
    let rows = || (0..ROWS as i64).map(|i| i * 7_919 % 100_003);
    let clock = rows().map(|i| (i % 1_440) / 60 * 100 + i % 60).map(|v| if v == 0 { 2_400 } else { v });
    let delay = rows().map(|i| (i % 17 != 0).then_some(i % 200 - 50));
    let streets = ["路", "道", "Road", "Rd", "弄"];
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64)) as ArrayRef, false),
        ("clock", Arc::new(Int64Array::from_iter_values(clock)), false),
        ("delay", Arc::new(Int64Array::from_iter(delay)), true),
        ("rest", Arc::new(Int64Array::from_iter_values(rows().map(|i| 500 - i % 211))), false),
        ("price", Arc::new(Float64Array::from_iter_values(rows().map(|i| (i % 1_001) as f64 * 5.0 / 100.0))), false),
        ("at", Arc::new(TimestampMillisecondArray::from_iter_values(rows().map(|i| i * 1_000 + 123))), false),
        ("lat", Arc::new(Float64Array::from_iter_values(rows().map(|i| (22_800_000 + i) as f64 / 1e6))), false),
        ("lon", Arc::new(Float64Array::from_iter_values(rows().map(|i| (108_300_000 - i) as f64 / 1e6))), false),
        ("street", Arc::new(StringArray::from_iter_values(rows().map(|i| streets[i as usize % 5]))), false),
        ("exact", Arc::new(Int64Array::from_iter_values(rows().map(|i| i * i))), false),
    ])
    .unwrap()
}

fn integers<'a>(batch: &'a RecordBatch, name: &str) -> &'a [i64] {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values()
}

fn floats<'a>(batch: &'a RecordBatch, name: &str) -> &'a [f64] {
    batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().values()
}

#[test]
fn declared_constraints_hold_in_every_copy() {
    let (marking, secrets, batch) = (marking(), secrets(Profile::Aes), batch());
    for recipient in ["a", "b", "c"] {
        let copy = marker(&marking, &secrets, Profile::Aes, recipient, "o").mark(&batch).unwrap();
        assert_eq!(copy.schema(), batch.schema());
        for exact in ["id", "exact"] {
            assert_eq!(copy.column_by_name(exact), batch.column_by_name(exact));
        }
        assert_eq!(copy.column_by_name("delay").unwrap().nulls(), batch.column_by_name("delay").unwrap().nulls());
        let minutes = |value: i64| value / 100 * 60 + value % 100;
        let mut moved = 0;
        for row in 0..ROWS {
            // Tied: what the clock moves by, the delay moves by too, and their total with the rest stays.
            let by = minutes(integers(&copy, "clock")[row]) - minutes(integers(&batch, "clock")[row]);
            let delay =
                |batch: &RecordBatch| batch.column_by_name("delay").unwrap().as_primitive::<Int64Type>().clone();
            let (old, new) = (delay(&batch), delay(&copy));
            if old.is_valid(row) {
                assert_eq!(new.value(row) - old.value(row), by);
                assert_eq!(
                    new.value(row) + integers(&copy, "rest")[row],
                    old.value(row) + integers(&batch, "rest")[row]
                );
            } else {
                assert_eq!(by, 0);
            }
            assert!(by.abs() <= 1 && integers(&copy, "clock")[row] % 100 < 60);
            moved += i64::from(by != 0);
            // On its lattice, in its domain, within its tolerance.
            let price = floats(&copy, "price")[row];
            let steps = (price * 20.0).round();
            assert_eq!(price, steps * 5.0 / 100.0);
            assert!((0.0..=50.0).contains(&price) && (price - floats(&batch, "price")[row]).abs() <= 0.1 + 1e-9);
            // Within five metres.
            let north = (floats(&copy, "lat")[row] - floats(&batch, "lat")[row]) * 111_320.0;
            let scale = floats(&batch, "lat")[row].to_radians().cos();
            let east = (floats(&copy, "lon")[row] - floats(&batch, "lon")[row]) * 111_320.0 * scale;
            assert!(north.hypot(east) <= 5.2, "{north} {east}");
        }
        assert!(moved > ROWS as i64 * 9 / 10, "{moved}");
        let streets = |batch: &RecordBatch| -> Vec<String> {
            batch.column_by_name("street").unwrap().as_string::<i32>().iter().flatten().map(str::to_string).collect()
        };
        let swaps = streets(&batch).into_iter().zip(streets(&copy)).filter(|(old, new)| old != new).collect::<Vec<_>>();
        assert!(swaps.len() > ROWS / 4);
        let sets = [["路", "道"], ["Road", "Rd"]];
        assert!(swaps.iter().all(|(a, b)| sets.iter().any(|s| s.contains(&a.as_str()) && s.contains(&b.as_str()))));
    }
}

#[test]
fn a_copy_is_the_recipients_and_only_a_share_the_orders() {
    let (marking, batch) = (marking(), batch());
    let profiles = [Profile::Aes, Profile::Sm4];
    let [aes, sm4] = profiles.map(secrets);
    let copy = |profile, recipient: &str, order: &str| {
        let secrets = if profile == Profile::Aes { &aes } else { &sm4 };
        marker(&marking, secrets, profile, recipient, order).mark(&batch).unwrap()
    };
    let first = copy(Profile::Aes, "a", "1");
    assert_eq!(first, copy(Profile::Aes, "a", "1"));
    let differing = |other: &RecordBatch| {
        integers(&first, "clock").iter().zip(integers(other, "clock")).filter(|(a, b)| a != b).count()
    };
    // Two orders differ at a part of a tenth of the positions, two recipients at about a quarter (2p(1-p) on average).
    let (orders, recipients) = (differing(&copy(Profile::Aes, "a", "2")), differing(&copy(Profile::Aes, "b", "1")));
    assert!((20..160).contains(&orders), "{orders}");
    assert!((500..1_000).contains(&recipients), "{recipients}");
    assert!(differing(&copy(Profile::Sm4, "a", "1")) > 500);
}

#[test]
fn a_changed_value_is_another_position() {
    let (marking, secrets) = (marking(), secrets(Profile::Aes));
    let (before, marker) = (batch(), marker(&marking, &secrets, Profile::Aes, "a", "o"));
    let index = before.schema().index_of("price").unwrap();
    let mut columns = before.columns().to_vec();
    let raised = floats(&before, "price").iter().map(|price| ((price * 100.0).round() + 500.0) / 100.0);
    columns[index] = Arc::new(Float64Array::from_iter_values(raised));
    let after = RecordBatch::try_new(before.schema(), columns).unwrap();
    let (old, new) = (marker.mark(&before).unwrap(), marker.mark(&after).unwrap());
    let moved = |copy: &RecordBatch, original: &RecordBatch, row: usize| {
        (floats(copy, "price")[row] - floats(original, "price")[row]).signum()
    };
    let changed = (0..ROWS).filter(|row| moved(&old, &before, *row) != moved(&new, &after, *row)).count();
    assert!(changed > ROWS / 3, "{changed}");
    // Columns whose values did not change are the same in both copies.
    assert_eq!(old.column_by_name("clock"), new.column_by_name("clock"));
}

#[test]
fn rows_are_left_out_by_their_key_alone() {
    let mut marking = marking();
    marking.presence = Some(Presence::of_share(0.05));
    let (secrets, batch) = (secrets(Profile::Aes), batch());
    let copy = marker(&marking, &secrets, Profile::Aes, "a", "1").mark(&batch).unwrap();
    assert!((ROWS * 93 / 100..ROWS * 97 / 100).contains(&copy.num_rows()));
    let again = marker(&marking, &secrets, Profile::Aes, "a", "2").mark(&batch).unwrap();
    assert_eq!(copy.column_by_name("id"), again.column_by_name("id"));
    let other = marker(&marking, &secrets, Profile::Aes, "b", "1").mark(&batch).unwrap();
    assert_ne!(copy.column_by_name("id"), other.column_by_name("id"));
}

#[test]
fn what_does_not_fit_is_refused_and_names_the_column() {
    let (secrets, batch) = (secrets(Profile::Aes), batch());
    let refused = |change: &dyn Fn(&mut Marking)| {
        let mut marking = marking();
        change(&mut marking);
        marker(&marking, &secrets, Profile::Aes, "a", "o").mark(&batch).unwrap_err()
    };
    let missing = refused(&|marking| marking.key = vec!["nothing".to_string()]);
    assert_eq!(missing, FingerprintError::ColumnMissing { column: "nothing".to_string() });
    let wrong =
        refused(&|marking| marking.marks = vec![number("x", 1, vec![member("street", lattice(1, 0), 1, None)])]);
    assert!(matches!(wrong, FingerprintError::ColumnType { column, .. } if column == "street"));
}

#[test]
fn what_is_observed_is_what_was_drawn() {
    let (marking, secrets, batch) = (marking(), secrets(Profile::Sm4), batch());
    let copy = marker(&marking, &secrets, Profile::Sm4, "a", "o").mark(&batch).unwrap();
    let own = RecipientCode::new(&key(Profile::Sm4, &KeyUse::Recipient { table: "t", recipient: "a" }));
    let order = RecipientCode::new(&key(Profile::Sm4, &KeyUse::Order { table: "t", order: "o" }));
    let observations = observe(&marking, &secrets, &batch, &copy).unwrap();
    assert!(observations.len() > 4 * ROWS);
    for observation in &observations {
        let code = if observation.order { &order } else { &own };
        let bit = code.bits(&[observation.point], &[observation.threshold])[0];
        assert!((observation.residual - if bit { 1.0 } else { -1.0 }).abs() < 1e-3, "{observation:?}");
    }
    // The originals show nothing: every residual lies between the bits.
    let nothing = observe(&marking, &secrets, &batch, &batch).unwrap();
    assert!(nothing.iter().filter(|o| o.residual.abs() > 1e-3).all(|o| {
        matches!(o.source, lingqu_fingerprint::Source::Mark(4)) // A category keeps one of its two texts.
    }));
    assert!(matches!(
        observe(&marking, &secrets, &batch, &copy.slice(1, 5)),
        Err(FingerprintError::NotAligned { originals: ROWS, leaked: 5 })
    ));
}

/// Where all marks are in numbers, two bits a row and mark make the same copy again.
#[test]
fn what_was_told_of_a_copy_makes_it_again() {
    for profile in [Profile::Aes, Profile::Sm4] {
        let (mut marking, secrets, batch) = (marking(), secrets(profile), batch());
        let all_kinds = marking.clone();
        marking.marks.retain(|mark| matches!(mark.carrier, Carrier::Number { .. }));
        (marking.marks[0].rate, marking.marks[1].by) = (share_to_rate(0.4), vec!["street".to_string()]);
        let one = marker(&marking, &secrets, profile, "a", "o");
        assert!(one.is_told_by_moves());
        let (copy, moves) = one.mark_and_tell(&batch).unwrap();
        assert_eq!((moves.len(), moves[0].rows()), (3, ROWS));
        assert_eq!(copy, one.mark(&batch).unwrap());
        assert_eq!(Some(&copy), one.mark_by(&batch, &moves).unwrap().as_ref());
        assert_ne!(copy, batch);
        assert_eq!(one.mark_by(&batch, &moves[1..]).unwrap(), None, "they are of other marks");
        let (_, moves) = one.mark_and_tell(&batch.slice(0, ROWS - 1)).unwrap();
        for others in [batch.slice(1, ROWS - 1), batch.slice(0, ROWS - 2), batch.slice(0, 0)] {
            assert_eq!(one.mark_by(&others, &moves).unwrap(), None, "they are of other rows");
        }
        let others = marker(&all_kinds, &secrets, profile, "a", "o");
        assert!(!others.is_told_by_moves());
        marking.presence = Some(Presence::of_share(0.02));
        assert!(!marker(&marking, &secrets, profile, "a", "o").is_told_by_moves());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batches_and_their_order_make_no_difference(seed: u64, cuts in prop::collection::vec(1..ROWS, 0..6), omit: bool) {
        let mut marking = marking();
        marking.presence = omit.then(|| Presence::of_share(0.02));
        let (secrets, batch) = (secrets(Profile::Aes), batch());
        let marker = marker(&marking, &secrets, Profile::Aes, "a", "o");
        let whole = marker.mark(&batch).unwrap();
        // The rows in another order and in pieces, put back in order by their key.
        let mut order: Vec<u64> = (0..ROWS as u64).collect();
        order.sort_by_key(|row| (row ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shuffled = take_record_batch(&batch, &UInt64Array::from(order)).unwrap();
        let mut cuts = cuts;
        cuts.extend([0, ROWS]);
        cuts.sort_unstable();
        let pieces: Vec<RecordBatch> = cuts
            .windows(2)
            .map(|cut| marker.mark(&shuffled.slice(cut[0], cut[1] - cut[0])).unwrap())
            .collect();
        let joined = concat_batches(&batch.schema(), &pieces).unwrap();
        let mut back: Vec<u64> = (0..joined.num_rows() as u64).collect();
        back.sort_by_key(|row| integers(&joined, "id")[*row as usize]);
        prop_assert_eq!(take_record_batch(&joined, &UInt64Array::from(back)).unwrap(), whole);
    }
}
