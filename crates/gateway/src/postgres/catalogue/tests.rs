//! What tools ask when they look around, and what must not be had by asking.

use arrow::array::AsArray;
use arrow::datatypes::{Field, Schema, TimeUnit};

use super::*;
use crate::postgres::statement::{self, Statement};
use crate::postgres::version;

const TABLE: &str = "trip_records";

fn schema() -> SchemaRef {
    let fields = vec![
        Field::new("trip_id", DataType::Int64, true),
        Field::new("line", DataType::Utf8, true),
        Field::new("day", DataType::Date32, true),
        Field::new("late", DataType::Boolean, true),
        Field::new("price", DataType::Decimal128(12, 2), true),
        Field::new("score", DataType::Float64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ];
    Arc::new(Schema::new(fields))
}

fn table() -> OrderTable {
    let columns = [("trip_id", "行程编号"), ("day", "出行日期"), ("hidden", "未授权的字段")];
    let meanings = Meanings::new("出行记录：逐条", columns);
    OrderTable { name: TABLE.to_owned(), schema: schema(), key: vec!["trip_id".to_owned()], meanings }
}

struct Asked {
    catalogues: Catalogues,
    catalogue: Arc<Catalogue>,
}

impl Asked {
    async fn new() -> Asked {
        Asked::about(table()).await
    }

    async fn about(table: OrderTable) -> Asked {
        let catalogues = Catalogues::new().unwrap();
        let catalogue = catalogues.of("ord_1", table).await.unwrap();
        Asked { catalogues, catalogue }
    }

    async fn ask(&self, sql: &str) -> Result<Vec<RecordBatch>, Refused> {
        Ok(self.catalogues.answer(&self.catalogue, sql, Vec::new()).await?.1)
    }

    /// The first column as text.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for batch in self.ask(sql).await.unwrap_or_else(|refused| panic!("{sql}: {refused:?}")) {
            let column = arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
            texts.extend(column.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_owned()));
        }
        texts
    }
}

/// The questions of psql, DBeaver, pgcli and Metabase, as they were recorded.
#[tokio::test(flavor = "multi_thread")]
async fn tools_get_answers_when_they_look_around() {
    let asked = Asked::new().await;
    let mut count = 0;
    let mut failed = Vec::new();
    for question in include_str!("clients.sql").split("\n----").skip(1) {
        let (tool, sql) = question.split_once('\n').unwrap();
        count += 1;
        match statement::read_one(sql, TABLE) {
            Ok(Statement::Catalogue(sql)) => {
                if let Err(refused) = asked.catalogues.answer(&asked.catalogue, &sql, Vec::new()).await {
                    failed.push(format!("{tool}: {sql}\n{refused:?}"));
                }
                if let Err(refused) = asked.catalogues.describe(&asked.catalogue, &sql).await {
                    failed.push(format!("{tool}, described: {sql}\n{refused:?}"));
                }
            }
            Ok(Statement::Command(_)) => {}
            other => failed.push(format!("{tool}: {sql}\n{other:?}")),
        }
    }
    assert_eq!(count, 86);
    assert!(failed.is_empty(), "{} of {count} failed\n{}", failed.len(), failed.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_orders_table_and_its_columns_are_shown_and_no_other() {
    let asked = Asked::new().await;
    let tables = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' ORDER BY 1";
    assert_eq!(asked.texts(tables).await, [TABLE, "trip_records_pkey"]);
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(asked.texts(tables).await, [TABLE]);
    let tables = "SELECT table_schema || '.' || table_name || ' ' || table_comment FROM information_schema.tables";
    assert_eq!(asked.texts(tables).await, ["public.trip_records 出行记录：逐条"]);
    let columns = "SELECT column_name || ' ' || data_type FROM INFORMATION_SCHEMA.COLUMNS ORDER BY ordinal_position";
    let expected = [
        "trip_id bigint",
        "line text",
        "day date",
        "late boolean",
        "price numeric",
        "score double precision",
        "at timestamp with time zone",
    ];
    assert_eq!(asked.texts(columns).await, expected);
    let comments = "SELECT column_comment FROM information_schema.columns WHERE column_comment IS NOT NULL";
    assert_eq!(asked.texts(comments).await, ["行程编号", "出行日期"]);
    let key = "SELECT k.column_name FROM information_schema.table_constraints c JOIN information_schema.key_column_usage k \
        ON c.constraint_name = k.constraint_name WHERE c.constraint_type = 'PRIMARY KEY'";
    assert_eq!(asked.texts(key).await, ["trip_id"]);
    for empty in ["views", "routines", "parameters", "triggers", "sequences", "referential_constraints"] {
        assert!(asked.texts(&format!("SELECT * FROM information_schema.{empty}")).await.is_empty(), "{empty}");
    }
    assert!(asked.ask("SELECT * FROM information_schema.df_settings").await.is_err());
    let types = "SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
        JOIN pg_class c ON c.oid = a.attrelid WHERE c.relname = 'trip_records' ORDER BY a.attnum";
    let expected = [
        "trip_id bigint",
        "line text",
        "day date",
        "late boolean",
        "price numeric",
        "score double precision",
        "at timestamp with time zone",
    ];
    assert_eq!(asked.texts(types).await, expected);
    assert_eq!(asked.texts("SELECT current_database()").await, ["lingqu"]);
    assert_eq!(asked.texts("SELECT current_schema()").await, ["public"]);
    assert_eq!(asked.texts("SELECT current_user").await, ["ord_1"]);
    assert_eq!(asked.texts("SELECT version()").await, [version::long()]);
}

/// The comments stand where each tool looks for them, those of the table's own columns alone.
#[tokio::test(flavor = "multi_thread")]
async fn comments_are_found_by_every_way_that_tools_know() {
    let asked = Asked::new().await;
    let questions: Vec<(&str, &[&str])> = vec![
        // psql's `\\dt+` and `\\d+`.
        (
            "SELECT pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c ORDER BY c.oid",
            &["出行记录：逐条", "NULL"][..],
        ),
        (
            "SELECT pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a \
             ORDER BY a.attrelid, a.attnum",
            &["行程编号", "NULL", "出行日期", "NULL", "NULL", "NULL", "NULL", "NULL"],
        ),
        // The JDBC driver's tables.
        (
            "SELECT d.description FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_description d \
             ON (c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass) ORDER BY c.oid",
            &["出行记录：逐条", "NULL"],
        ),
        // Its columns.
        (
            "SELECT dsc.description FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) \
             LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid) \
             WHERE c.relkind = 'r' ORDER BY a.attnum",
            &["行程编号", "NULL", "出行日期", "NULL", "NULL", "NULL", "NULL"],
        ),
        ("SELECT obj_description('trip_records'::regclass)", &["出行记录：逐条"]),
        ("SELECT col_description('public.trip_records'::regclass, 3)", &["出行日期"]),
        ("SELECT obj_description('trip_records'::regclass, 'pg_proc')", &["NULL"]),
        ("SELECT col_description('trip_records'::regclass, 0)", &["NULL"]),
        ("SELECT col_description(1259, 1)", &["NULL"]),
        ("SELECT col_description(NULL, NULL)", &["NULL"]),
        ("SELECT description FROM pg_description WHERE description LIKE '%未授权%'", &[]),
        (
            "SELECT description FROM pg_description WHERE objoid >= 16384 ORDER BY objsubid",
            &["出行记录：逐条", "行程编号", "出行日期"],
        ),
    ];
    for (sql, expected) in questions {
        assert_eq!(asked.texts(sql).await, expected, "{sql}");
    }
}

/// The key of the table, of one column or of two, by each way that tools know; none where not all of it is granted.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_found_by_every_way_that_tools_know() {
    let question = |tool: &str, part: &str| {
        let mut questions =
            include_str!("clients.sql").split("\n----").skip(1).filter_map(|text| text.split_once('\n'));
        questions
            .find(|(known, sql)| known.trim() == tool && sql.contains(part))
            .expect("it is among them")
            .1
            .to_owned()
    };
    let of_driver = question("jdbc", "AS KEY_SEQ");
    let indexes = question("jdbc", "AS ASC_OR_DESC").replacen(
        "SELECT",
        "SELECT tmp.COLUMN_NAME || ' ' || tmp.ASC_OR_DESC FROM (SELECT",
        1,
    );
    let indexes = format!("{} ) tmp", indexes.split(" ORDER BY NON_UNIQUE").next().unwrap());
    let questions: [(String, [&[&str]; 3]); 10] = [
        (
            "SELECT conname || ' ' || contype FROM pg_constraint WHERE conrelid = 'trip_records'::regclass".to_owned(),
            [&["trip_records_pkey p"], &["trip_records_pkey p"], &[]],
        ),
        (
            "SELECT pg_get_constraintdef(oid, true) FROM pg_constraint WHERE conrelid = 'trip_records'::regclass".to_owned(),
            [&["PRIMARY KEY (trip_id)"], &["PRIMARY KEY (day, trip_id)"], &[]],
        ),
        (
            "SELECT a.attname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) \
             WHERE c.contype = 'p' AND c.conrelid = 'trip_records'::regclass ORDER BY a.attnum"
                .to_owned(),
            [&["trip_id"], &["trip_id", "day"], &[]],
        ),
        (
            "SELECT i.indkey FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relname = 'trip_records_pkey'".to_owned(),
            [&["1"], &["3 1"], &[]],
        ),
        (
            "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = 'trip_records'::regclass".to_owned(),
            [
                &["CREATE UNIQUE INDEX trip_records_pkey ON public.trip_records USING btree (trip_id)"],
                &["CREATE UNIQUE INDEX trip_records_pkey ON public.trip_records USING btree (day, trip_id)"],
                &[],
            ],
        ),
        ("SELECT relhasindex FROM pg_class WHERE relname = 'trip_records'".to_owned(), [&["true"], &["true"], &["false"]]),
        (
            "SELECT attname FROM pg_attribute WHERE attnotnull ORDER BY attnum".to_owned(),
            [&["trip_id"], &["trip_id", "day"], &[]],
        ),
        (
            format!("SELECT k.COLUMN_NAME || ' ' || k.KEY_SEQ || ' ' || k.PK_NAME FROM ({of_driver}) k ORDER BY k.KEY_SEQ"),
            [&["trip_id 1 trip_records_pkey"], &["day 1 trip_records_pkey", "trip_id 2 trip_records_pkey"], &[]],
        ),
        (indexes, [&["trip_id A"], &["day A", "trip_id A"], &[]]),
        (question("jdbc", "AS keys"), [&["trip_id"], &["trip_id", "day"], &[]]),
    ];
    let keys: [&[&str]; 3] = [&["trip_id"], &["day", "trip_id"], &[]];
    for (at, key) in keys.into_iter().enumerate() {
        let key = key.iter().map(|part| (*part).to_owned()).collect();
        let asked = Asked::about(OrderTable { key, ..table() }).await;
        for (sql, expected) in &questions {
            assert_eq!(asked.texts(sql).await, expected[at], "{sql}");
        }
    }
    let for_people = "SELECT pg_get_indexdef(i.indexrelid, 0, true) FROM pg_index i WHERE i.indrelid >= 16384";
    let told = Asked::new().await.texts(for_people).await;
    assert_eq!(told, ["CREATE UNIQUE INDEX trip_records_pkey ON trip_records USING btree (trip_id)"]);
    // A name that is none of SQL's own is quoted, as in PostgreSQL.
    let fields = vec![Field::new("编号", DataType::Utf8, true)];
    let named = OrderTable { schema: Arc::new(Schema::new(fields)), key: vec!["编号".to_owned()], ..table() };
    let told = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conrelid >= 16384";
    assert_eq!(Asked::about(named).await.texts(told).await, ["PRIMARY KEY (\"编号\")"]);
}

/// What PostgreSQL makes of a table by itself: lines in its views, and types of its rows and of their arrays.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_its_line_in_the_views_and_its_rows_a_type() {
    let keyed = Asked::new().await;
    let keyless = Asked::about(OrderTable { key: Vec::new(), ..table() }).await;
    let tables = "SELECT schemaname || ' ' || tablename || ' ' || tableowner || ' ' || hasindexes::text FROM pg_tables";
    assert_eq!(keyed.texts(tables).await, ["public trip_records lingqu true"]);
    assert_eq!(keyless.texts(tables).await, ["public trip_records lingqu false"]);
    let indexes =
        "SELECT schemaname || ' ' || tablename || ' ' || indexname || ': ' || indexdef FROM pg_catalog.pg_indexes";
    let made = "CREATE UNIQUE INDEX trip_records_pkey ON public.trip_records USING btree (trip_id)";
    assert_eq!(keyed.texts(indexes).await, [format!("public trip_records trip_records_pkey: {made}")]);
    assert!(keyless.texts(indexes).await.is_empty());
    for asked in [&keyed, &keyless] {
        let by_relation = "SELECT t.typname || ' ' || t.typtype || ' ' || n.nspname FROM pg_class c \
            JOIN pg_type t ON t.oid = c.reltype AND t.typrelid = c.oid JOIN pg_namespace n ON n.oid = t.typnamespace";
        assert_eq!(asked.texts(by_relation).await, ["trip_records c public"]);
        let array = "SELECT a.typname FROM pg_type t JOIN pg_type a ON a.oid = t.typarray AND a.typelem = t.oid \
            WHERE t.typname = 'trip_records'";
        assert_eq!(asked.texts(array).await, ["_trip_records"]);
    }
}

/// Names of WITH are written out before anything is planned here too: each of these is short, and what is a little too large or too
/// deep would be answered if nobody reckoned it.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_measured_as_it_is_written_out() {
    let asked = Asked::new().await;
    let levels = |from: &str, count: usize| {
        let mut sql = "WITH c0 AS (SELECT oid AS v FROM pg_catalog.pg_namespace WHERE nspname = 'public')".to_owned();
        for level in 1..=count {
            let from = from.replace('#', &format!("c{}", level - 1));
            sql.push_str(&format!(", c{level} AS (SELECT x.v AS v FROM {from})"));
        }
        sql + &format!(" SELECT count(v) FROM c{count}")
    };
    // On the catalogue's own threads, whose stack is made for it, and however long it takes.
    let threads = asked.catalogues.threads.as_ref().expect("they are there until it is dropped").handle();
    let planned = async |sql: &str| {
        let (catalogue, statement) = (Arc::clone(&asked.catalogue), asked.catalogues.parse(sql).unwrap());
        threads.spawn(async move { plan(&catalogue.state, statement).await.map(|_| ()) }).await.unwrap()
    };
    for (from, count) in [("# x", 29), ("# x, # y", 2)] {
        planned(&levels(from, count)).await.unwrap_or_else(|error| panic!("{from} {count}: {error}"));
    }
    for (from, count) in [("# x", 31), ("# x, # y", 6), ("# x, # y", 60)] {
        let sql = levels(from, count);
        assert_eq!(statement::read_one(&sql, TABLE).unwrap(), Statement::Catalogue(sql.clone()));
        let error = planned(&sql).await.expect_err(&sql).to_string();
        assert!(error.contains("the size of a question to the catalogue"), "{from} {count}: {error}");
        let mut outbox = crate::postgres::frame::Outbox::default();
        asked.ask(&sql).await.expect_err(&sql).put(&mut outbox);
        let said = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert!(said.contains("54000") && said.contains("the question to the catalogue takes too long"), "{said}");
    }
}

/// Texts lie outside the pool: what gathers, repeats or doubles them is bounded by itself, and what is planned for ever is not planned.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_gathers_little_and_repeats_nothing_without_end() {
    let asked = Asked::new().await;
    let long = "x".repeat(1_000);
    for sql in [
        format!("SELECT s FROM (SELECT string_agg('{long}', '') AS s FROM generate_series(1, 30000)) a, pg_type"),
        format!("SELECT string_agg('{long}', '') AS s FROM generate_series(1, 5)"),
        "SELECT string_agg('0123456789', '') OVER () AS s FROM generate_series(1, 30000)".to_owned(),
        "SELECT array_agg(a.oid) FROM pg_type a, pg_type b".to_owned(),
        "WITH RECURSIVE t (a) AS (SELECT 'x' UNION ALL SELECT a || a FROM t) SELECT a FROM t".to_owned(),
        format!("SELECT count(*) FROM {}", (0..40).map(|n| format!("pg_class c{n}")).collect::<Vec<_>>().join(", ")),
        format!("SELECT {}1{} FROM pg_class", "abs(".repeat(13), ")".repeat(13)),
        format!("SELECT {}1{} FROM pg_class", "abs(".repeat(40), ")".repeat(40)),
        // Compiled for each of its rows, and kept until the end of its batch.
        "SELECT attname FROM pg_attribute WHERE 'x' ~ (attname || attrelid || '\\w{100}')".to_owned(),
        "SELECT regexp_like('x', p) FROM (SELECT attname || '\\w{100}' AS p FROM pg_attribute) t".to_owned(),
        "SELECT regexp_match('x', 'x', attname) FROM pg_attribute".to_owned(),
        format!("SELECT oid FROM pg_class WHERE {}", vec!["relname ~ '\\w{100}'"; 65].join(" OR ")),
        format!("SELECT attname FROM pg_attribute WHERE 'x' LIKE (attname || '{}')", "_".repeat(9_000)),
        format!(
            "SELECT attname FROM pg_attribute JOIN (SELECT attname || '{}' AS p FROM pg_attribute) t ON 'x' ILIKE p",
            "_".repeat(9_000)
        ),
    ] {
        let mut outbox = crate::postgres::frame::Outbox::default();
        asked.ask(&sql).await.expect_err(&sql).put(&mut outbox);
        let said = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert!(said.contains("C5400"), "{sql}: {said}");
    }
    let sql = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attnum BETWEEN 1 AND 2 AND attrelid = \
        (SELECT oid FROM pg_class WHERE relname = 'trip_records')";
    assert_eq!(asked.texts(sql).await, ["trip_id,line"]);
    let sql = "SELECT relname FROM pg_class WHERE relname LIKE relname ORDER BY oid";
    assert_eq!(asked.texts(sql).await, ["trip_records", "trip_records_pkey"]);
}

/// pgcli asks for the types of columns by their numbers.
#[tokio::test(flavor = "multi_thread")]
async fn types_are_told_by_their_names() {
    let asked = Asked::new().await;
    let sql = "SELECT a.attname || ' ' || (a.atttypid::regtype::text) FROM pg_attribute a \
        WHERE a.attnum < 4 ORDER BY a.attrelid, a.attnum";
    assert_eq!(asked.texts(sql).await, ["trip_id bigint", "line text", "day date", "trip_id bigint"]);
    let sql = "SELECT atttypid::pg_catalog.regtype::pg_catalog.text FROM pg_attribute WHERE attnum = 5";
    assert_eq!(asked.texts(sql).await, ["numeric"]);
}

/// A catalogue that was kept is not given for another grant, or for other words of the catalogue.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_catalogue_is_of_its_table_and_its_words() {
    let catalogues = Catalogues::new().unwrap();
    let kept = catalogues.of("ord_1", table()).await.unwrap();
    assert!(Arc::ptr_eq(&kept, &catalogues.of("ord_1", table()).await.unwrap()));
    let others = [
        OrderTable { meanings: Meanings::new("别的", []), ..table() },
        OrderTable { schema: Arc::new(Schema::empty()), ..table() },
        OrderTable { name: "other".to_owned(), ..table() },
    ];
    for other in others {
        let made = catalogues.of("ord_1", other.clone()).await.unwrap();
        assert!(!Arc::ptr_eq(&kept, &made), "{other:?}");
    }
}

/// A client keeps the numbers of objects over statements and connections, and asks by them.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_objects_stay_when_a_catalogue_is_made_anew() {
    let asked = Asked::new().await;
    let sql = "SELECT oid FROM pg_class ORDER BY oid";
    let before = asked.texts(sql).await;
    asked.ask("SELECT * FROM pg_attribute").await.unwrap();
    asked.ask("SELECT * FROM pg_namespace").await.unwrap();
    assert_eq!(asked.texts(sql).await, before);
    assert_eq!(Asked::new().await.texts(sql).await, before);
    assert_eq!(asked.texts("SELECT 'trip_records'::regclass::oid").await, before[..1]);
    assert_eq!(asked.texts("SELECT 'trip_records_pkey'::regclass::oid").await, before[1..]);
}

/// The order's table has columns here and no rows, whatever is asked of it.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_row_to_be_reached() {
    let asked = Asked::new().await;
    for sql in
        ["SELECT * FROM trip_records", "SELECT * FROM public.trip_records", "SELECT * FROM lingqu.public.trip_records"]
    {
        assert_eq!(asked.ask(sql).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_read_from_outside_or_used_up() {
    let asked = Asked::new().await;
    let doubled = |levels: usize| {
        let mut sql = "SELECT 'xxxxxxxx' || version() AS a".to_owned();
        for _ in 0..levels {
            sql = format!("SELECT a || a AS a FROM ({sql}) t");
        }
        sql
    };
    for sql in [
        "CREATE TABLE t (a int)",
        "CREATE EXTERNAL TABLE t (a int) STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x.csv'",
        "INSERT INTO trip_records VALUES (1)",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT 1; SELECT 2",
        "SELECT repeat('a', 1000000000)",
        "SELECT lpad('a', 1000000000)",
        "SELECT array_repeat('a', 1000000000)",
        "SELECT range(1000000000)",
        "SELECT replace(replace(replace(version(), 'a', 'xxxxxxxxxxxxxxxxxxxxxxxx'), 'x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyy'), 'y', 'zzzzzzzz')",
        "SELECT replace(relname, 'a', nspname) FROM pg_class, pg_namespace",
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 1000) c",
        "SELECT * FROM generate_series(1, 1000000)",
        &doubled(40),
        &format!("SELECT {} FROM pg_attribute", vec!["col_description(attrelid, attnum)"; 40].join(", ")),
    ] {
        assert!(asked.ask(sql).await.is_err(), "{sql}");
    }
    assert!(asked.ask(&doubled(3)).await.is_ok());
    // It answers all the same afterwards.
    assert_eq!(asked.texts("SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_have_types_and_values() {
    let asked = Asked::new().await;
    let sql = "SELECT relname FROM pg_class WHERE relname = $1 AND oid > $2";
    let described = asked.catalogues.describe(&asked.catalogue, sql).await.unwrap();
    assert_eq!(described.parameters, [Some(DataType::Utf8), Some(DataType::Int32)]);
    let values = vec![ScalarValue::Utf8(Some(TABLE.to_owned())), ScalarValue::Int64(Some(1))];
    let (_, batches) = asked.catalogues.answer(&asked.catalogue, sql, values).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

/// A refusal says nothing in the engine's words.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_in_words_of_ours() {
    let asked = Asked::new().await;
    for sql in ["SELECT nothing FROM pg_class", "SELECT nothing()", "SELECT 'x'::int", "SELECT 1/0"] {
        let mut outbox = crate::postgres::frame::Outbox::default();
        asked.ask(sql).await.unwrap_err().put(&mut outbox);
        let said = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert!(said.contains("the catalogue does not answer this question"), "{said}");
    }
}
