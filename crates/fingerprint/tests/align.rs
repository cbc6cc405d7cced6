//! Fragments of the flights of the demo, put through what pirates do, beside their originals again.

use std::collections::HashMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use lingqu_fingerprint::{
    Alignment, BiasTable, Carrier, Deed, Encoding, FingerprintError, HalfKey, KeyUse, Mark, MarkKey, Marker, Marking,
    Member, OtherWay, PositionSecrets, Profile, Provenance, RATE_ONE, Reading, RecipientCode, Settings, Step, Watch,
    accuse, align, align_by_way, observe, score_each,
};

const LOG_ODDS_MIN: f64 = 7.0;

fn flights() -> &'static RecordBatch {
    static FLIGHTS: OnceLock<RecordBatch> = OnceLock::new();
    FLIGHTS.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo/data/flights.csv.zst");
        let mut text = Vec::new();
        zstd::Decoder::new(std::fs::File::open(path).unwrap()).unwrap().read_to_end(&mut text).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_slice());
        let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_string).collect();
        let mut cells: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        for record in reader.records() {
            for (column, cell) in cells.iter_mut().zip(&record.unwrap()) {
                column.push(cell.to_string());
            }
        }
        let rows = cells[0].len() as i64;
        let mut arrays: Vec<(String, ArrayRef)> =
            vec![("id".to_string(), Arc::new(Int64Array::from_iter_values((0..rows).map(|row| 700_000 + row * 3))))];
        for (name, cells) in names.into_iter().zip(cells) {
            let is_number = cells.iter().all(|cell| cell.is_empty() || cell == "NA" || cell.parse::<i64>().is_ok());
            let array: ArrayRef = if is_number {
                Arc::new(cells.iter().map(|cell| cell.parse::<i64>().ok()).collect::<Int64Array>())
            } else {
                Arc::new(StringArray::from(cells))
            };
            arrays.push((name, array));
        }
        RecordBatch::try_from_iter_with_nullable(arrays.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    })
}

/// The flights in batches, as a file would give them.
fn batches(batch: &RecordBatch) -> Vec<RecordBatch> {
    (0..batch.num_rows()).step_by(8_192).map(|from| batch.slice(from, 8_192.min(batch.num_rows() - from))).collect()
}

fn marking() -> Marking {
    let whole = Encoding::Lattice(Step { unscaled: 1, decimals: 0 });
    let member = |column: &str, encoding| Member { column: column.to_string(), encoding, coefficient: 1, domain: None };
    let mark = |name: &str, members| Mark {
        name: name.to_string(),
        rate: RATE_ONE,
        by: Vec::new(),
        carrier: Carrier::Number { members, amplitude: 1, tolerance: 1 },
    };
    Marking {
        key: vec!["id".to_string()],
        marks: vec![
            mark("departure", vec![member("dep_time", Encoding::HoursMinutes), member("dep_delay", whole)]),
            mark("arrival", vec![member("arr_time", Encoding::HoursMinutes), member("arr_delay", whole)]),
            mark("air", vec![member("air_time", whole)]),
        ],
        order_share: 6_554,
        biases: BiasTable::default(),
        presence: None,
    }
}

fn key(key_use: &KeyUse<'_>) -> MarkKey {
    MarkKey::of_halves(&HalfKey::from_bytes([1; 32]), &HalfKey::from_bytes([2; 32]), Profile::Aes, key_use)
}

fn secrets() -> PositionSecrets {
    PositionSecrets::new(&key(&KeyUse::Positions { table: "flights", epoch: 0 }))
}

fn code(recipient: &str) -> RecipientCode {
    RecipientCode::new(&key(&KeyUse::Recipient { table: "flights", recipient }))
}

fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// Some rows of a recipient's copy in any order, with where they come from.
fn leak(recipient: &str, rows: usize, seed: u64) -> (RecordBatch, Vec<u64>) {
    let (marking, secrets) = (marking(), secrets());
    let marker = Marker::new(&marking, &secrets, code(recipient), code("order")).unwrap();
    let mut below = numbers(seed);
    let truth: Vec<u64> = (0..rows).map(|_| below(flights().num_rows() as u64)).collect();
    let chosen = take_record_batch(flights(), &UInt64Array::from(truth.clone())).unwrap();
    (marker.mark(&chosen).unwrap(), truth)
}

fn without(batch: &RecordBatch, dropped: &[&str]) -> RecordBatch {
    let schema = batch.schema();
    let kept: Vec<usize> =
        (0..batch.num_columns()).filter(|at| !dropped.contains(&schema.field(*at).name().as_str())).collect();
    batch.project(&kept).unwrap()
}

fn only(batch: &RecordBatch, kept: &[&str]) -> RecordBatch {
    let kept: Vec<usize> = kept.iter().map(|name| batch.schema().index_of(name).unwrap()).collect();
    batch.project(&kept).unwrap()
}

/// Columns in the other direction, with names that say nothing.
fn anonymous(batch: &RecordBatch) -> (RecordBatch, HashMap<String, String>) {
    let (mut names, mut columns) = (HashMap::new(), Vec::new());
    for (at, (field, array)) in batch.schema().fields().iter().zip(batch.columns()).enumerate().rev() {
        names.insert(format!("f{at}"), field.name().clone());
        columns.push((format!("f{at}"), array.clone(), true));
    }
    (RecordBatch::try_from_iter_with_nullable(columns).unwrap(), names)
}

fn changed(batch: &RecordBatch, column: &str, change: impl FnMut(Option<i64>) -> ArrayCell) -> RecordBatch {
    let index = batch.schema().index_of(column).unwrap();
    let cells: Vec<ArrayCell> = batch.column(index).as_primitive::<Int64Type>().iter().map(change).collect();
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).enumerate().map(|(at, (field, array))| {
        let array = if at == index { Arc::new(StringArray::from(cells.clone())) as ArrayRef } else { array.clone() };
        (field.name().clone(), array, true)
    });
    RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap()
}

type ArrayCell = Option<String>;

fn aligned(fragment: &RecordBatch, originals: &RecordBatch) -> Alignment {
    let originals = batches(originals);
    align(&marking(), fragment, &originals, LOG_ODDS_MIN, &mut Watch(&mut |_, _| ControlFlow::Continue(()))).unwrap()
}

/// Precision of at least 0.999 and the recall asked for; prints both.
fn assert_right(what: &str, alignment: &Alignment, truth: &[u64], recall_min: f64) {
    let right = alignment.rows.iter().filter(|row| truth[row.leaked as usize] == row.original).count();
    let precision = right as f64 / alignment.rows.len().max(1) as f64;
    let recall = right as f64 / truth.len() as f64;
    println!("{what}: {} rows matched, precision {precision:.5}, recall {recall:.4}", alignment.rows.len());
    assert!(matches!(alignment.provenance, Provenance::Inside(_)), "{what}: {:?}", alignment.provenance);
    assert!(precision >= 0.999, "{what}: {precision}");
    assert!(recall >= recall_min, "{what}: {recall}");
}

fn assert_columns(alignment: &Alignment, names: &HashMap<String, String>) {
    for column in &alignment.columns {
        assert_eq!(names.get(&column.leaked), Some(&column.original), "{:?}", alignment.columns);
    }
    assert_eq!(alignment.columns.len(), names.len());
}

#[test]
fn a_renamed_reordered_shuffled_sample_without_keys_is_found_and_names_its_recipient() {
    let (copy, truth) = leak("a", 3_368, 1);
    let (fragment, names) = anonymous(&without(&copy, &["id"]));
    let alignment = aligned(&fragment, flights());
    assert_columns(&alignment, &names);
    assert_right("no key, names gone, shuffled, 1 %", &alignment, &truth, 0.95);
    assert!(alignment.deeds.contains(&Deed::Dropped { column: "id".to_string() }), "{:?}", alignment.deeds);
    assert!(alignment.deeds.contains(&Deed::Shuffled));
    assert!(alignment.deeds.contains(&Deed::Renamed { column: "air_time".to_string() }));
    // From here to an accusation by what the alignment answers alone.
    let parts = batches(flights());
    let originals = alignment.gather(&parts, &mut Watch(&mut |_, _| ControlFlow::Continue(()))).unwrap();
    let leaked = alignment.leaked(&fragment, &originals).unwrap();
    let observations = observe(&marking(), &secrets(), &originals, &leaked).unwrap();
    let candidates: Vec<RecipientCode> = ["b", "c", "a", "d"].map(code).into();
    let verdict = accuse(&observations, &candidates, &Settings::of_recipients(10_000), &score_each).unwrap();
    let accused: Vec<usize> = verdict.accused.iter().map(|accusation| accusation.candidate).collect();
    assert_eq!(accused, [2]);
}

#[test]
fn keys_in_other_clothes_are_found() {
    let (copy, truth) = leak("a", 2_000, 2);
    let few = only(&copy, &["air_time", "id"]);
    let wide = |value: i64| -> String {
        let text = format!("{},{:03},{:03}", value / 1_000_000, value / 1_000 % 1_000, value % 1_000);
        text.trim_start_matches("0,")
            .chars()
            .map(|c| if c.is_ascii_digit() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c })
            .collect()
    };
    let (fragment, names) = anonymous(&changed(&few, "id", |value| value.map(wide)));
    let alignment = aligned(&fragment, flights());
    assert_columns(&alignment, &names);
    assert_right("key in full width with separators, one marked column", &alignment, &truth, 0.9);
}

/// A column of whole numbers with one empty cell is one of floating point to many tools, and a key in a database is often a decimal.
#[test]
fn a_long_key_is_found_whatever_type_it_has() {
    const MORE: i64 = 13_800_000_000;
    let (copy, truth) = leak("a", 300, 71);
    let with_key = |batch: &RecordBatch, typed: &dyn Fn(Vec<i64>) -> ArrayRef| {
        let keys = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        let key = typed(keys.values().iter().map(|key| key + MORE).collect());
        RecordBatch::try_from_iter_with_nullable([
            ("id", key, true),
            ("air_time", batch.column_by_name("air_time").unwrap().clone(), true),
        ])
        .unwrap()
    };
    let whole = |keys: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(keys)) };
    let float =
        |keys: Vec<i64>| -> ArrayRef { Arc::new(keys.iter().map(|key| Some(*key as f64)).collect::<Float64Array>()) };
    let decimal = |keys: Vec<i64>| -> ArrayRef {
        let keys: Decimal128Array = keys.iter().map(|key| Some(i128::from(*key))).collect();
        Arc::new(keys.with_precision_and_scale(18, 0).unwrap())
    };
    let written = |keys: Vec<i64>| -> ArrayRef {
        Arc::new(keys.iter().map(|key| Some(format!("{key}.0"))).collect::<StringArray>())
    };
    let (of_whole, of_decimal) = (with_key(flights(), &whole), with_key(flights(), &decimal));
    for (what, fragment, originals) in [
        ("a whole key as floating point", with_key(&copy, &float), &of_whole),
        ("a whole key written as floating point", with_key(&copy, &written), &of_whole),
        ("a decimal key as a whole number", with_key(&copy, &whole), &of_decimal),
    ] {
        let (fragment, names) = anonymous(&fragment);
        let alignment = aligned(&fragment, originals);
        assert_columns(&alignment, &names);
        assert_right(what, &alignment, &truth, 0.9);
    }
}

/// Of few rows too each key that is there is believed once nearly all are, and one marked column beside it is enough.
#[test]
fn a_few_rows_of_a_key_and_one_marked_column_are_found() {
    for (rows, recall_min) in [(40, 0.8), (300, 0.9)] {
        let (copy, truth) = leak("a", rows, 60);
        let (fragment, names) = anonymous(&only(&copy, &["id", "air_time"]));
        let alignment = aligned(&fragment, flights());
        assert_columns(&alignment, &names);
        assert_right(&format!("{rows} rows of a key and one marked column"), &alignment, &truth, recall_min);
    }
}

/// An hour more, thirty minutes added, a unit of nobody's: beside the originals of rows that others found the numbers lie on a line.
#[test]
fn marked_columns_that_were_shifted_or_scaled_are_found_and_name_their_recipient() {
    let (copy, truth) = leak("a", 1_500, 67);
    let copy = without(&copy, &["id", "dep_time", "dep_delay", "arr_time"]);
    let copy = changed(&copy, "arr_delay", |value| value.map(|v| (v + 3_000).to_string()));
    let copy = changed(&copy, "air_time", |value| value.map(|v| format!("{:.2}", v as f64 * 1.37 - 9.0)));
    let (fragment, names) = anonymous(&copy);
    let alignment = aligned(&fragment, flights());
    assert_columns(&alignment, &names);
    assert_right("shifted and scaled", &alignment, &truth, 0.95);
    let of = |name: &str| alignment.columns.iter().find(|column| column.original == name).unwrap();
    assert_eq!((of("arr_delay").factor, of("arr_delay").offset), (1.0, -3_000.0));
    assert!((of("air_time").factor * 1.37 - 1.0).abs() < 1e-9 && (of("air_time").offset * 1.37 - 9.0).abs() < 0.3);
    assert!(alignment.deeds.contains(&Deed::Shifted { column: "arr_delay".to_string(), offset: -3_000.0 }));
    let parts = batches(flights());
    let originals = alignment.gather(&parts, &mut Watch(&mut |_, _| ControlFlow::Continue(()))).unwrap();
    let leaked = alignment.leaked(&fragment, &originals).unwrap();
    let observations = observe(&marking(), &secrets(), &originals, &leaked).unwrap();
    let candidates: Vec<RecipientCode> = ["b", "c", "a", "d"].map(code).into();
    let verdict = accuse(&observations, &candidates, &Settings::of_recipients(10_000), &score_each).unwrap();
    let accused: Vec<(usize, usize)> =
        verdict.accused.iter().map(|found| (found.candidate, found.support.len())).collect();
    // By both marks, each by a column that was shifted.
    assert_eq!(accused, [(2, 2)]);
}

/// A sign of currency, a unit, a decimal comma, a clock: by these the values are not lost.
#[test]
fn numbers_with_units_and_clocks_are_read_and_name_their_recipient() {
    let clock = |value: i64| format!("{}:{:02}", value / 100, value % 100);
    let rewritten = |copy: &RecordBatch, column: &str, spelled: &dyn Fn(i64, usize) -> String| {
        let mut row = 0;
        changed(copy, column, |value| {
            row += 1;
            value.map(|value| spelled(value, row))
        })
    };
    let (copy, truth) = leak("a", 1_500, 68);
    let copy = without(&copy, &["id", "hour", "minute"]);
    let copy = rewritten(&copy, "dep_time", &|value, _| clock(value));
    let copy = rewritten(&copy, "arr_time", &|value, row| {
        if row % 2 == 0 { format!("2013-01-15 {}:00", clock(value)) } else { format!("{}:00", clock(value)) }
    });
    let copy = rewritten(&copy, "dep_delay", &|value, row| {
        let sign = if value < 0 { "−" } else { "" };
        if row % 3 == 0 { value.to_string() } else { format!("{sign}{} 分钟", value.abs()) }
    });
    let copy = rewritten(&copy, "arr_delay", &|value, _| format!("约{value}min"));
    // Hours, and miles in thousands with a comma.
    let copy = rewritten(&copy, "air_time", &|value, _| format!("{}:{:02}", value / 60, value % 60));
    let copy = rewritten(&copy, "distance", &|value, _| {
        let digits = format!("{:.3}", value as f64 / 1_000.0);
        format!("${}", digits.trim_end_matches('0').replace('.', ","))
    });
    let (fragment, names) = anonymous(&copy);
    let alignment = aligned(&fragment, flights());
    assert_columns(&alignment, &names);
    assert_right("units, signs, commas and clocks", &alignment, &truth, 0.95);
    let reading = |name: &str| {
        let column = alignment.columns.iter().find(|column| column.original == name).unwrap();
        assert!(alignment.deeds.contains(&Deed::Rewritten { column: name.to_string(), reading: column.reading }));
        (column.reading, column.factor)
    };
    assert_eq!([reading("dep_time"), reading("arr_time")], [(Reading::Clock, 1.0); 2]);
    assert_eq!([reading("dep_delay"), reading("arr_delay")], [(Reading::Measured, 1.0); 2]);
    assert_eq!(reading("air_time"), (Reading::Duration, 1.0 / 60.0));
    assert_eq!(reading("distance").1, 1_000.0);
    let parts = batches(flights());
    let originals = alignment.gather(&parts, &mut Watch(&mut |_, _| ControlFlow::Continue(()))).unwrap();
    let leaked = alignment.leaked(&fragment, &originals).unwrap();
    let observations = observe(&marking(), &secrets(), &originals, &leaked).unwrap();
    let candidates: Vec<RecipientCode> = ["b", "c", "a", "d"].map(code).into();
    let verdict = accuse(&observations, &candidates, &Settings::of_recipients(10_000), &score_each).unwrap();
    let accused: Vec<(usize, usize)> =
        verdict.accused.iter().map(|found| (found.candidate, found.support.len())).collect();
    // By all three marks.
    assert_eq!(accused, [(2, 3)]);
}

/// A code that has a number in it stays a code, beside a number of the same digits.
#[test]
fn a_code_with_a_number_in_it_is_no_number() {
    let rows = 4_000i64;
    let number = |row: i64, factor: i64| row * factor % 1_009;
    let table = RecordBatch::try_from_iter([
        ("quantity", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| number(row, 7)))) as ArrayRef),
        ("code", Arc::new((0..rows).map(|row| Some(format!("C{} pcs", number(row, 31)))).collect::<StringArray>())),
        ("other", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 104_729 % 100_003)))),
        ("air_time", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 31 % 977)))),
    ])
    .unwrap();
    let (fragment, names) = anonymous(&without(&table.slice(0, 900), &["quantity"]));
    let alignment = aligned(&fragment, &table);
    assert_columns(&alignment, &names);
    assert!(alignment.columns.iter().all(|column| column.reading == Reading::Plain), "{:?}", alignment.columns);
}

/// Columns with the values of others in another order look like these by themselves, and are borne out by nothing.
#[test]
fn columns_that_were_added_to_hide_the_true_ones_hide_nothing() {
    let (copy, truth) = leak("a", 1_500, 63);
    let copy = without(&copy, &["id", "year"]);
    let mut below = numbers(64);
    let mut columns: Vec<(String, ArrayRef, bool)> = Vec::new();
    let mut names = HashMap::new();
    for (at, (field, array)) in copy.schema_ref().fields().iter().zip(copy.columns()).enumerate() {
        let rows = UInt64Array::from_iter_values((0..array.len()).map(|_| below(array.len() as u64)));
        let turned = arrow::compute::take(array, &rows, None).unwrap();
        names.insert(format!("f{at}"), field.name().clone());
        let both = [(format!("f{at}"), array.clone(), true), (format!("g{at}"), turned, true)];
        // Before or after the true one.
        let (first, second) = if below(2) == 0 { (0, 1) } else { (1, 0) };
        columns.extend([both[first].clone(), both[second].clone()]);
    }
    let fragment = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let alignment = aligned(&fragment, flights());
    assert_right("among as many columns of the same values", &alignment, &truth, 0.9);
    for column in &alignment.columns {
        assert_eq!(names.get(&column.leaked), Some(&column.original), "{:?}", alignment.columns);
    }
    assert!(alignment.columns.len() >= names.len() - 1, "{:?}", alignment.columns);
}

/// Rows that somebody made up, of values that occur nowhere, hide none of the others, however many there are.
#[test]
fn rows_that_were_made_up_hide_none_of_the_others() {
    let (copy, truth) = leak("a", 1_000, 65);
    let copy = without(&copy, &["id"]);
    let mut below = numbers(66);
    // Two for each true one, behind it.
    let columns = copy.schema_ref().fields().iter().zip(copy.columns()).map(|(field, array)| {
        let texts = arrow::compute::cast(array, &arrow::datatypes::DataType::Utf8).unwrap();
        let cells = texts.as_string::<i32>().iter().flat_map(|text| {
            let mut made_up = || Some((50_000_000 + below(40_000_000)).to_string());
            [text.map(str::to_string), made_up(), made_up()]
        });
        (field.name().clone(), Arc::new(cells.collect::<StringArray>()) as ArrayRef, true)
    });
    let fragment = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
    let (fragment, names) = anonymous(&fragment);
    let alignment = aligned(&fragment, flights());
    for column in &alignment.columns {
        assert_eq!(names.get(&column.leaked), Some(&column.original), "{:?}", alignment.columns);
    }
    assert!(matches!(alignment.provenance, Provenance::Inside(_)), "{:?}", alignment.provenance);
    let is_right = |row: &&lingqu_fingerprint::MatchedRow| {
        row.leaked.is_multiple_of(3) && truth[row.leaked as usize / 3] == row.original
    };
    let right = alignment.rows.iter().filter(is_right).count();
    println!("among 2,000 rows that were made up: {right} of {} right", alignment.rows.len());
    assert!(right >= 900 && right as f64 >= 0.999 * alignment.rows.len() as f64, "{right} {}", alignment.rows.len());
}

/// A dozen rows are too few to say that they come from elsewhere, wherever they come from.
#[test]
fn a_dozen_rows_are_too_few_to_come_from_elsewhere() {
    let (copy, _) = leak("a", 12, 61);
    let copy = without(&copy, &["id"]);
    let columns = copy.schema_ref().fields().iter().zip(copy.columns()).enumerate().map(|(at, (field, array))| {
        let rows = UInt64Array::from_iter_values((0..12).map(|row| (row * 5 + at as u64) % 12));
        (field.name().clone(), arrow::compute::take(array, &rows, None).unwrap(), true)
    });
    let strangers = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
    for fragment in [copy, strangers] {
        let alignment = aligned(&anonymous(&fragment).0, flights());
        assert!(!matches!(alignment.provenance, Provenance::Outside(_)), "{:?}", alignment.provenance);
    }
}

/// A marked column that was joined to another table's rows, without its key: these rows are known, and by them the key.
#[test]
fn a_marked_column_that_was_joined_without_its_key_is_found_by_way_of_the_other_table() {
    const MARKED: [&str; 5] = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"];
    let watch = &mut |_, _| ControlFlow::Continue(());
    let mut of_air = marking();
    of_air.marks.retain(|mark| mark.name == "air");
    let exact = Marking { marks: Vec::new(), ..marking() };
    let (copy, truth) = leak("a", 2_000, 62);
    let (fragment, names) = anonymous(&without(&copy, &["id", "dep_time", "dep_delay", "arr_time", "arr_delay"]));
    let (others, own) = (batches(&without(flights(), &MARKED)), batches(&only(flights(), &["id", "air_time"])));
    let by = align(&exact, &fragment, &others, LOG_ODDS_MIN, &mut Watch(watch)).unwrap();
    assert_right("rows of the other table", &by, &truth, 0.95);
    let air = fragment.schema().fields().iter().position(|field| names[field.name()] == "air_time").unwrap();
    assert!(by.columns.iter().all(|column| column.place != air), "{:?}", by.columns);
    let same = [("id".to_string(), "id".to_string())];
    let way = OtherWay { alignment: &by, originals: &others, same: &same, open: &[air] };
    let found = align_by_way(&of_air, &fragment, &way, &own, LOG_ODDS_MIN, &mut Watch(watch)).unwrap().unwrap();
    assert_right("by way of it", &found, &truth, 0.9);
    let columns: Vec<_> = found.columns.iter().map(|column| (column.place, column.original.as_str())).collect();
    assert_eq!(columns, [(air, "air_time")]);
    assert_eq!(found.unmatched, 2_000 - found.rows.len() as u64);
    assert!(found.deeds.contains(&Deed::Joined) && found.deeds.contains(&Deed::Dropped { column: "id".to_string() }));
    // From here to an accusation.
    let originals = found.gather(&own, &mut Watch(watch)).unwrap();
    let leaked = found.leaked(&fragment, &originals).unwrap();
    let observations = observe(&of_air, &secrets(), &originals, &leaked).unwrap();
    assert!(observations.len() > 1_500, "{}", observations.len());

    // Another row's values beside the same rows are nobody's copy: that both tables have the key says nothing.
    let turned = UInt64Array::from_iter_values((0..2_000).map(|row| (row + 7) % 2_000));
    let columns =
        fragment.schema_ref().fields().iter().zip(fragment.columns()).enumerate().map(|(at, (field, array))| {
            let array = if at == air { arrow::compute::take(array, &turned, None).unwrap() } else { array.clone() };
            (field.name().clone(), array, true)
        });
    let fragment = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
    let by = align(&exact, &fragment, &others, LOG_ODDS_MIN, &mut Watch(watch)).unwrap();
    let way = OtherWay { alignment: &by, originals: &others, same: &same, open: &[air] };
    assert!(align_by_way(&of_air, &fragment, &way, &own, LOG_ODDS_MIN, &mut Watch(watch)).unwrap().is_none());
}

#[test]
fn rounded_and_noised_and_rescaled_columns_are_found() {
    let (copy, truth) = leak("a", 3_000, 3);
    let copy = without(&copy, &["id"]);
    let mut below = numbers(33);
    let round = |value: Option<i64>| value.map(|v| ((v as f64 / 10.0).round() * 10.0).to_string());
    let copy = changed(&copy, "air_time", round);
    let copy = changed(&copy, "distance", |value| value.map(|v| format!("{:.6}", v as f64 * 1.609_344)));
    // A tenth of the flight numbers is wrong, and delays carry noise of several minutes.
    let copy = changed(&copy, "flight", |value| {
        value.map(|v| if below(10) == 0 { below(6_000).to_string() } else { v.to_string() })
    });
    let mut below = numbers(34);
    let copy = changed(&copy, "arr_delay", |value| value.map(|v| (v + below(9) as i64 - 4).to_string()));
    let (fragment, names) = anonymous(&copy);
    let alignment = aligned(&fragment, flights());
    assert_columns(&alignment, &names);
    assert_right("rounded, noised, other unit, wrong cells", &alignment, &truth, 0.9);
    assert!(alignment.deeds.contains(&Deed::Rounded { column: "air_time".to_string(), step: 10.0 }));
    let is_scaled = |deed: &Deed| matches!(deed, Deed::Scaled { column, factor } if column == "distance" && (factor * 1.609_344 - 1.0).abs() < 1e-9);
    assert!(alignment.deeds.iter().any(is_scaled), "{:?}", alignment.deeds);
}

#[test]
fn copied_rows_count_once_and_several_leaks_stay_apart() {
    let (first, mut truth) = leak("a", 1_000, 4);
    let (second, _) = leak("b", 1_000, 4);
    truth.extend(truth.clone());
    truth.extend(truth.clone());
    let joined = arrow::compute::concat_batches(&first.schema(), [&first, &second, &first, &second]).unwrap();
    let alignment = aligned(&without(&joined, &["id"]), flights());
    assert!(alignment.deeds.iter().any(|deed| matches!(deed, Deed::Duplicated { rows } if *rows > 2_000)));
    // Each leak's rows once; where both copies say the same in all columns, in about two of five rows, one of them.
    assert!((1_400..=1_750).contains(&alignment.rows.len()), "{}", alignment.rows.len());
    let right = alignment.rows.iter().filter(|row| truth[row.leaked as usize] == row.original).count();
    assert!(right as f64 >= 0.999 * alignment.rows.len() as f64);
}

#[test]
fn another_table_of_the_same_shape_does_not_come_from_here() {
    let (copy, _) = leak("a", 3_000, 5);
    // The same columns, each with another row's cell: every column is told, and no row is.
    let mut below = numbers(55);
    let schema = copy.schema();
    let columns = schema.fields().iter().zip(copy.columns()).map(|(field, array)| {
        let rows = UInt64Array::from_iter_values((0..array.len()).map(|_| below(array.len() as u64)));
        (field.name().clone(), arrow::compute::take(array, &rows, None).unwrap(), true)
    });
    let strangers = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap();
    for fragment in [strangers.clone(), without(&strangers, &["id"]), only(&strangers, &["id", "air_time"])] {
        let alignment = aligned(&fragment, flights());
        println!("another table, {} columns: {:?}", fragment.num_columns(), alignment.provenance);
        assert!(alignment.rows.is_empty(), "{} rows", alignment.rows.len());
        assert!(
            matches!(alignment.provenance, Provenance::Outside(odds) if odds < -50.0),
            "{:?}",
            alignment.provenance
        );
    }
    // Real data of the same kind: the originals are the first half of the year, the fragment is of the second.
    let half = flights().num_rows() / 2;
    let other = flights().slice(half, 3_000);
    let alignment = aligned(&without(&other, &["id"]), &flights().slice(0, half));
    println!("the other half of the year: {:?}", alignment.provenance);
    assert!(alignment.rows.is_empty(), "{:?} {}", alignment.provenance, alignment.rows.len());
}

#[test]
fn foreign_rows_among_the_leaked_ones_are_left_out() {
    let half = flights().num_rows() as u64 / 2;
    let mut below = numbers(8);
    let mut rows: Vec<u64> = (0..1_000).map(|_| below(half)).collect();
    rows.extend((0..3_000).map(|_| half + below(half)));
    let secrets = secrets();
    let marking = marking();
    let marker = Marker::new(&marking, &secrets, code("a"), code("order")).unwrap();
    let mixed = marker.mark(&take_record_batch(flights(), &UInt64Array::from(rows.clone())).unwrap()).unwrap();
    let alignment = aligned(&without(&mixed, &["id"]), &flights().slice(0, half as usize));
    let right = alignment.rows.iter().filter(|row| rows[row.leaked as usize] == row.original).count();
    println!(
        "1,000 rows among 3,000 foreign ones: {right} of {} right, {:?}",
        alignment.rows.len(),
        alignment.provenance
    );
    assert!(matches!(alignment.provenance, Provenance::Inside(_)), "{:?}", alignment.provenance);
    // The months of the foreign rows hide which column the month is, and without it some of them have perfect twins here.
    assert!(right >= 950 && right as f64 >= 0.99 * alignment.rows.len() as f64, "{right} {}", alignment.rows.len());
}

#[test]
fn an_ambiguous_row_is_left_out() {
    // Rows come in pairs that agree in all that leaks, or differ by less than marks may move them; every tenth is alone.
    let rows = 4_000i64;
    let table = |apart: i64| {
        let pair = |row: i64| if row % 10 == 0 { 500_000 + row } else { row / 2 };
        let value = |row: i64, factor: i64| pair(row) * factor % 1_000_003;
        let air = (0..rows).map(|row| value(row, 31) + if row % 2 == 0 { 0 } else { apart });
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef),
            ("one", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| value(row, 7_919))))),
            ("two", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| value(row, 104_729))))),
            ("three", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| value(row, 3_571))))),
            ("air_time", Arc::new(Int64Array::from_iter_values(air))),
        ])
        .unwrap()
    };
    let mut marking = marking();
    marking.marks.retain(|mark| mark.name == "air");
    for apart in [0, 1] {
        let originals = vec![table(apart)];
        let fragment = without(&originals[0], &["id"]);
        let watch = &mut Watch(&mut |_, _| ControlFlow::Continue(()));
        let alignment = align(&marking, &fragment, &originals, LOG_ODDS_MIN, watch).unwrap();
        // Who has no twin is found; row 10k has its twin at 10k + 1 made alone too, so both are.
        let is_alone = |row: u64| row % 10 <= 1;
        let wrong = alignment.rows.iter().filter(|row| u64::from(row.leaked) != row.original).count();
        let twins = alignment.rows.iter().filter(|row| !is_alone(row.original)).count();
        assert_eq!((wrong, twins), (0, 0), "{apart}: {} rows", alignment.rows.len());
        assert!(alignment.rows.len() > 700, "{apart}: {}", alignment.rows.len());
    }
}

#[test]
fn columns_of_one_name_are_told_apart() {
    let (copy, truth) = leak("a", 1_000, 9);
    let columns: Vec<ArrayRef> = without(&copy, &["id"]).columns().to_vec();
    let fields: Vec<arrow::datatypes::Field> =
        columns.iter().map(|array| arrow::datatypes::Field::new("x", array.data_type().clone(), true)).collect();
    let fragment = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
    assert_right("all columns of one name", &aligned(&fragment, flights()), &truth, 0.95);
}

#[test]
fn one_marked_column_alone_matches_nothing() {
    let (copy, _) = leak("a", 3_000, 6);
    let alignment = aligned(&only(&copy, &["air_time"]), flights());
    assert_eq!((alignment.rows.len(), alignment.provenance), (0, Provenance::Unverified));
    assert_eq!(alignment.columns[0].original, "air_time");
}

/// Nothing that is known is an answer too.
#[test]
fn a_file_of_which_no_column_is_told_shows_nothing() {
    let strange: ArrayRef = Arc::new(StringArray::from(vec!["nobody's"; 500]));
    let fragment = RecordBatch::try_from_iter([("strange", strange)]).unwrap();
    let alignment = aligned(&fragment, flights());
    assert!(alignment.columns.is_empty());
    let originals = alignment.gather(&batches(flights()), &mut Watch(&mut |_, _| ControlFlow::Continue(()))).unwrap();
    let leaked = alignment.leaked(&fragment, &originals).unwrap();
    assert_eq!((leaked.num_columns(), leaked.num_rows()), (0, alignment.rows.len()));
    assert!(observe(&marking(), &secrets(), &originals, &leaked).unwrap().is_empty());
}

#[test]
fn dates_in_another_order_are_read() {
    let days: Vec<i64> = (0..4_000).map(|row| row * 7_919 % 3_000).collect();
    let date = |day: i64| (day % 28 + 1, day / 28 % 12 + 1, 2_000 + day / 336);
    let with = |dates: Vec<String>, name: &str| {
        RecordBatch::try_from_iter([
            (name, Arc::new(StringArray::from(dates)) as ArrayRef),
            ("value", Arc::new(Int64Array::from_iter_values(days.iter().map(|day| day * day % 10_007)))),
            ("other", Arc::new(Int64Array::from_iter_values(days.iter().map(|day| day * 31 % 977)))),
        ])
        .unwrap()
    };
    let iso = days.iter().map(|day| date(*day)).map(|(d, m, y)| format!("{y}-{m:02}-{d:02}")).collect();
    let local = days.iter().map(|day| date(*day)).map(|(d, m, y)| format!("{d}/{m}/{y}")).collect();
    let alignment = aligned(&with(local, "when"), &with(iso, "date"));
    let column = alignment.columns.iter().find(|column| column.original == "date").unwrap();
    assert_eq!((column.leaked.as_str(), column.reading), ("when", Reading::DayFirst));
}

#[test]
fn it_can_be_stopped() {
    let (copy, _) = leak("a", 100, 7);
    let mut calls = 0;
    let mut stop = |_, _| {
        calls += 1;
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let parts = batches(flights());
    let stopped = align(&marking(), &copy, &parts, LOG_ODDS_MIN, &mut Watch(&mut stop));
    assert_eq!(stopped.unwrap_err(), FingerprintError::Stopped);
    assert_eq!(calls, 3);
}
