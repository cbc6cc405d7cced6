use std::collections::BTreeSet;

use jiff::SignedDuration;
use lingqu_domain::predicate::Literal;
use tempfile::TempDir;

use super::*;
use crate::engine::EngineSettings;

struct Place {
    directory: TempDir,
    engine: Arc<Engine>,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let spill = directory.path().join("spill");
        fs::create_dir_all(&spill).unwrap();
        let engine = Arc::new(Engine::new(&EngineSettings::moderate(spill)).unwrap());
        Place { directory, engine }
    }

    fn open(&self) -> ReceiptTable {
        ReceiptTable::open(&self.directory.path().join("receipts")).unwrap()
    }

    async fn ask(&self, table: &ReceiptTable, rows: Option<Predicate>, sql: &str) -> Result<Vec<Value>, EngineError> {
        let limits = Limits { rows_max: 100, ..Limits::default() };
        query_receipts(&self.engine, table.files(), rows, sql, limits).await.map(|answer| answer.rows)
    }
}

/// A delivery that ended some hours after the first of December.
fn row(position: u64, hours: i64, order: &str) -> ReceiptRow {
    let begin: Timestamp = "2026-12-01T00:30:00Z".parse().unwrap();
    let closed_at = begin + SignedDuration::from_hours(hours);
    ReceiptRow {
        position,
        first_position: position - 1,
        receipt: format!("rcp_{position}"),
        at: closed_at - SignedDuration::from_secs(5),
        closed_at,
        order: order.to_owned(),
        consumer: "pty_1".to_owned(),
        mode: "rows".to_owned(),
        outcome: "delivered".to_owned(),
        rows: position * 10,
        columns: vec!["line".to_owned(), "day".to_owned()],
        row_set: Some(vec![1, 2, 3]),
        ..ReceiptRow::default()
    }
}

fn of_order(order: &str) -> Predicate {
    let column = ColumnName::new("order_id").unwrap();
    Predicate::In { column, values: vec![Literal::Text(order.to_owned())] }
}

#[tokio::test]
async fn deliveries_are_asked_for_in_sql_and_only_those_that_one_may_see() {
    let place = Place::new();
    let mut table = place.open();
    assert_eq!(place.ask(&table, None, "SELECT receipt FROM receipts").await.unwrap(), Vec::<Value>::new());
    table.append(&[row(2, 0, "ord_a"), row(4, 1, "ord_b"), row(6, 30, "ord_a")], 7, "digest").unwrap();
    let count =
        "SELECT order_id, count(*) AS count, sum(rows_left) AS rows FROM receipts GROUP BY order_id ORDER BY order_id";
    let all = place.ask(&table, None, count).await.unwrap();
    let expected = serde_json::json!([
        {"order_id": "ord_a", "count": 2, "rows": 80}, {"order_id": "ord_b", "count": 1, "rows": 40}
    ]);
    assert_eq!(Value::Array(all), expected);
    let own = place.ask(&table, Some(of_order("ord_b")), count).await.unwrap();
    assert_eq!(own.len(), 1);
    let whole = place.ask(&table, Some(of_order("ord_b")), "SELECT * FROM receipts").await.unwrap();
    assert_eq!((&whole[0]["receipt"], &whole[0]["columns"]), (&"rcp_4".into(), &"line,day".into()));
    assert_eq!((&whole[0]["day"], &whole[0]["code_id"]), (&"2026-12-01".into(), &Value::Null));
    let names: BTreeSet<&str> = whole[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, COLUMNS.iter().map(|(name, _)| *name).collect());
    let nothing = Predicate::In { column: ColumnName::new("order_id").unwrap(), values: Vec::new() };
    assert_eq!(place.ask(&table, Some(nothing), "SELECT * FROM receipts").await.unwrap().len(), 0);
    for refused in [
        "SELECT row_set FROM receipts",
        "SELECT __row FROM receipts",
        "SELECT * FROM information_schema.tables",
        "DELETE FROM receipts",
        "COPY receipts TO '/tmp/x.csv'",
        "SELECT * FROM receipts, generate_series(1, 1000000)",
        "SELECT 1/(CASE WHEN order_id = 'ord_a' THEN 0 ELSE 1 END) FROM receipts; SELECT 1",
    ] {
        assert!(place.ask(&table, Some(of_order("ord_b")), refused).await.is_err(), "{refused}");
    }
    // What is left out is not computed with either.
    let divides = "SELECT 1/(rows_left - 20) AS x FROM receipts";
    assert!(place.ask(&table, None, divides).await.is_err());
    assert_eq!(place.ask(&table, Some(of_order("ord_b")), divides).await.unwrap().len(), 1);
}

#[tokio::test]
async fn how_many_rows_a_statistic_was_made_of_is_not_told() {
    let place = Place::new();
    let mut table = place.open();
    let statistic = ReceiptRow { mode: "statistics".to_owned(), ..row(4, 1, "ord_a") };
    table.append(&[row(2, 0, "ord_a"), statistic], 5, "digest").unwrap();
    for (sql, expected) in [
        ("SELECT rows_left FROM receipts WHERE mode = 'statistics'", serde_json::json!([{"rows_left": null}])),
        ("SELECT sum(rows_left) AS rows FROM receipts", serde_json::json!([{"rows": 20}])),
        ("SELECT receipt FROM receipts WHERE rows_left > 30", serde_json::json!([])),
    ] {
        assert_eq!(Value::Array(place.ask(&table, None, sql).await.unwrap()), expected, "{sql}");
    }
}

#[tokio::test]
async fn each_finished_day_becomes_one_file_and_nothing_is_lost_by_a_crash() {
    let place = Place::new();
    let mut table = place.open();
    for step in 1..=20 {
        table.append(&[row(step * 2, (step as i64) * 2 - 2, "ord_a")], step * 2, "digest").unwrap();
    }
    // One that ended before midnight is written after it.
    table.append(&[row(42, 23, "ord_b")], 43, "digest").unwrap();
    let days: Vec<usize> = table.days().into_values().collect();
    assert_eq!(days, [12, 9], "{:?}", table.days());
    let sum = "SELECT count(*) AS count, sum(rows_left) AS rows FROM receipts";
    let before = place.ask(&table, None, sum).await.unwrap();
    let (files, folder) = (table.files(), place.directory.path().join("receipts"));
    assert_eq!(table.settle().unwrap(), 1);
    assert_eq!(table.settle().unwrap(), 0);
    assert_eq!(table.days().into_values().collect::<Vec<_>>(), [1, 9]);
    assert_eq!(place.ask(&table, None, sum).await.unwrap(), before);
    assert!(files.files().len() > table.files().files().len());
    // A stop between a file and the manifest that would name it: the file is nobody's.
    let manifest = fs::read(folder.join(MANIFEST)).unwrap();
    table.append(&[row(44, 50, "ord_c")], 45, "digest").unwrap();
    fs::write(folder.join(MANIFEST), manifest).unwrap();
    fs::write(folder.join(".half.unfinished"), b"half").unwrap();
    let mut table = place.open();
    assert_eq!((table.position(), table.rows()), (43, 21));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1 + table.files().files().len());
    assert_eq!(place.ask(&table, None, sum).await.unwrap(), before);
    // Taken in again it is there once.
    table.append(&[row(44, 50, "ord_c")], 45, "digest").unwrap();
    assert_eq!(table.settle().unwrap(), 1);
    assert_eq!(place.open().rows(), 22);
    let mut other = place.open();
    assert_eq!(other.last_digest(), "digest");
    other.clear().unwrap();
    assert_eq!((other.position(), other.rows(), other.files().files().len()), (0, 0, 0));
    other.append(&[row(2, 0, "ord_a")], 3, "other").unwrap();
    let mut table = place.open();
    assert_eq!((table.position(), table.rows()), (3, 1));
    table.append(&[row(4, 0, "ord_a")], 4, "other").unwrap();
    // Made anew from the same receipts, as after a backup was restored, files have the names that they had, and stay.
    let names = |table: &ReceiptTable| table.files().files().iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let before = names(&table);
    table.clear().unwrap();
    table.append(&[row(2, 0, "ord_a")], 3, "other").unwrap();
    table.append(&[row(4, 0, "ord_a")], 4, "other").unwrap();
    assert_eq!(names(&table), before);
    table.settle().unwrap();
    table.files().check_presence().unwrap();
    assert_eq!(place.open().rows(), 2);
    // A file that is gone is noticed.
    fs::remove_file(folder.join(&table.files().files()[0].path)).unwrap();
    assert!(ReceiptTable::open(&folder).is_err());
}

#[tokio::test]
async fn files_with_other_columns_are_made_anew() {
    let place = Place::new();
    let mut table = place.open();
    table.append(&[row(2, 0, "ord_a")], 3, "digest").unwrap();
    let folder = place.directory.path().join("receipts");
    let manifest = fs::read_to_string(folder.join(MANIFEST)).unwrap();
    // As a program wrote it that did not number its columns.
    let mut older: Value = serde_json::from_str(&manifest).unwrap();
    older.as_object_mut().unwrap().remove("columns_version").unwrap();
    fs::write(folder.join(MANIFEST), older.to_string()).unwrap();
    let mut table = place.open();
    assert_eq!((table.position(), table.rows(), table.files().files().len()), (0, 0, 0));
    table.append(&[row(2, 0, "ord_a")], 3, "digest").unwrap();
    assert_eq!((place.open().position(), place.open().rows()), (3, 1));
    let masked = ReceiptRow { masks: vec!["day=month".to_owned(), "line=hidden".to_owned()], ..row(4, 1, "ord_a") };
    table.append(&[masked], 5, "digest").unwrap();
    let told = place.ask(&table, None, "SELECT masks, answer_sha256 FROM receipts ORDER BY receipt").await.unwrap();
    assert_eq!(told[0]["masks"], Value::Null);
    assert_eq!((&told[1]["masks"], &told[1]["answer_sha256"]), (&"day=month,line=hidden".into(), &Value::Null));
}
