//! A session that answers what there is: the views of an `information_schema` and nothing else.
//!
//! The views are given as rows; they are made of names, types and comments, and no row of any governed table can be reached
//! from here, whatever is asked: none is in the session's catalogue. So its answers name no rows and need no receipt. A
//! statement passes the same allow-list as one over governed data, takes one of the same places, and is bounded in the same
//! way.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::sql::resolve::resolve_table_references;
use lingqu_domain::lineage::AnswerLineage;
use tokio::time::Instant;

use crate::allow::{self, Granted, Parameters, Refusal, RefusalCode};
use crate::answer::Answer;
use crate::engine::{CATALOG, Engine, register};
use crate::execution::{EngineError, LimitedBatches, Limits, timed_out};
use crate::parameters;
use crate::rows_left::{RowsExactness, RowsLeft};
use crate::session::{Described, start, told};

/// The schema of the views.
pub const INFORMATION_SCHEMA: &str = "information_schema";
/// Rows of a batch: comments are long, and what a join puts into a batch lies outside the pool that bounds the operators.
const BATCH_ROWS: usize = 256;

/// A view by its name in [`INFORMATION_SCHEMA`], with its rows.
pub type View = (&'static str, RecordBatch);

/// What a statement asks for, by the tables that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// Data; or it can't be told, and whoever answers for data says why.
    Data,
    /// Views of the information schema and nothing else.
    Schema,
    /// Both.
    Both,
}

/// What a statement asks for. It is no guard: a session of data knows no view, and this one no data.
pub fn concern_of(engine: &Engine, sql: &str) -> Concern {
    // Most statements are told by this alone. One that spells the name in another way is one about data, which has no such table.
    let name = INFORMATION_SCHEMA.as_bytes();
    if !sql.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name)) {
        return Concern::Data;
    }
    let Ok((statement, false)) = allow::parse(&engine.governed_state(1), sql) else { return Concern::Data };
    let Ok((references, _)) = resolve_table_references(&statement, true) else { return Concern::Data };
    let is_view = |schema: Option<&str>, catalog: Option<&str>| {
        schema == Some(INFORMATION_SCHEMA) && catalog.is_none_or(|catalog| catalog == CATALOG)
    };
    let views = references.iter().filter(|named| is_view(named.schema(), named.catalog())).count();
    match (views, references.len() - views) {
        (0, _) => Concern::Data,
        (_, 0) => Concern::Schema,
        _ => Concern::Both,
    }
}

/// The views of one order.
pub struct SchemaSession {
    engine: Arc<Engine>,
    views: Granted,
    limits: Limits,
    state: SessionState,
}

impl SchemaSession {
    /// A session over views. Errors: [`EngineError::Settings`].
    pub fn new(engine: &Arc<Engine>, views: Vec<View>, limits: Limits) -> Result<SchemaSession, EngineError> {
        let state = engine.governed_state(1);
        let config = state.config().clone().with_batch_size(BATCH_ROWS);
        let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
        let mut known = Granted::new();
        let unfit = |error: DataFusionError| EngineError::Settings { reason: error.strip_backtrace() };
        for (name, rows) in views {
            let columns = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
            let view = MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(unfit)?;
            register(&state, name, Arc::new(view)).map_err(unfit)?;
            known.insert(name.to_owned(), columns);
        }
        Ok(SchemaSession { engine: Arc::clone(engine), views: known, limits, state })
    }

    /// What a statement would answer, without answering it. `values` stand in the places of its parameters; without them the
    /// types of the parameters are told as far as the statement tells them.
    pub async fn describe(&self, sql: &str, values: Option<&[ScalarValue]>) -> Result<Described, EngineError> {
        let planned = self.planned(sql, values.map_or(Parameters::Open, Parameters::Values)).await?;
        let parameters = parameters::types_of(&planned.analysed)?;
        Ok(Described { schema: told(planned.analysed.schema().as_arrow()), parameters })
    }

    /// Answers a statement, with `values` in the places of its parameters. The answer names no rows.
    pub async fn query_with(&self, sql: &str, values: &[ScalarValue]) -> Result<Answer, EngineError> {
        let place = self.engine.place().await?;
        let deadline = Instant::now() + self.limits.time_max;
        let left = RowsLeft::default();
        let started = async {
            let planned = self.planned(sql, Parameters::Values(values)).await?;
            let task = self.engine.task(&self.state, self.limits.memory_bytes_max, &left)?;
            let stream = start(&self.engine, &self.state, &planned.plan, task).await?;
            Ok::<_, EngineError>((stream, planned.canonical))
        };
        let (stream, canonical) = match tokio::time::timeout_at(deadline, started).await {
            Ok(started) => started?,
            Err(_) => return Err(timed_out(&self.limits)),
        };
        Ok(Answer {
            schema: stream.schema(),
            exactness: RowsExactness::Exact,
            groups_suppressed: 0,
            rho_spent: None,
            lineage: AnswerLineage::default(),
            canonical,
            is_explained: false,
            batches: Some(LimitedBatches::new(stream, self.limits, deadline)),
            left,
            carried_from: None,
            sampling_weight: None,
            threads: self.engine.threads().clone(),
            _place: place,
        })
    }

    async fn planned(&self, sql: &str, parameters: Parameters<'_>) -> Result<allow::Planned, EngineError> {
        let planned = allow::plan_in(&self.state, sql, parameters, &self.views, &[INFORMATION_SCHEMA]).await?;
        match planned.explained {
            None => Ok(planned),
            Some(_) => {
                let what = "EXPLAIN is of statements over data; ask for the views themselves";
                Err(Refusal::new(RefusalCode::StatementNotAllowed, what).into())
            }
        }
    }
}

impl fmt::Debug for SchemaSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SchemaSession").field("views", &self.views).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use tempfile::TempDir;

    use super::*;
    use crate::EngineSettings;

    fn engine() -> (TempDir, Arc<Engine>) {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        (directory, Arc::new(engine))
    }

    fn view(columns: &[(&str, &[&str])]) -> RecordBatch {
        let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
        let arrays = columns.iter().map(|(_, values)| Arc::new(StringArray::from(values.to_vec())) as Arc<dyn Array>);
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect()).expect("columns of one length")
    }

    fn session(engine: &Arc<Engine>) -> SchemaSession {
        let views = vec![
            ("tables", view(&[("table_name", &["trips"])])),
            ("columns", view(&[("table_name", &["trips", "trips"]), ("column_name", &["id", "line"])])),
        ];
        SchemaSession::new(engine, views, Limits::default()).expect("a session")
    }

    async fn texts(session: &SchemaSession, sql: &str, values: &[ScalarValue]) -> Result<Vec<String>, EngineError> {
        let (batches, named) = session.query_with(sql, values).await?.collect().await?;
        assert!(named.is_empty(), "{sql} names rows");
        let first =
            |batch: &RecordBatch| batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect();
        Ok(batches.iter().flat_map(|batch| -> Vec<String> { first(batch) }).collect())
    }

    #[test]
    fn a_statement_is_told_by_the_tables_it_names() {
        let (_directory, engine) = engine();
        for (sql, concern) in [
            ("SELECT * FROM information_schema.tables", Concern::Schema),
            (
                "select * from INFORMATION_SCHEMA.Columns c join lingqu.information_schema.tables t on true",
                Concern::Schema,
            ),
            (
                "SELECT * FROM \"information_schema\".\"tables\" WHERE table_name IN (SELECT table_name FROM information_schema.columns)",
                Concern::Schema,
            ),
            ("WITH t AS (SELECT * FROM information_schema.tables) SELECT * FROM t", Concern::Schema),
            ("SELECT * FROM information_schema.tables, trips", Concern::Both),
            ("SELECT (SELECT count(*) FROM information_schema.tables) FROM data.trips", Concern::Both),
            ("SELECT * FROM other.information_schema.tables", Concern::Data),
            ("SELECT * FROM \"INFORMATION_SCHEMA\".tables", Concern::Data),
            ("SELECT 'information_schema.tables' FROM trips", Concern::Data),
            ("SELECT 'information_schema'", Concern::Data),
            ("SELECT 1", Concern::Data),
            ("EXPLAIN SELECT * FROM information_schema.tables", Concern::Data),
            ("DROP TABLE information_schema.tables", Concern::Data),
            ("SELECT * FROM information_schema.tables; SELECT 1", Concern::Data),
        ] {
            assert_eq!(concern_of(&engine, sql), concern, "{sql}");
        }
    }

    #[tokio::test]
    async fn views_are_answered_by_any_of_their_names() {
        let (_directory, engine) = engine();
        let session = session(&engine);
        let sql = "SELECT c.column_name FROM Information_Schema.COLUMNS c JOIN lingqu.information_schema.tables t \
                   ON c.table_name = t.table_name ORDER BY 1";
        assert_eq!(texts(&session, sql, &[]).await.expect("an answer"), ["id", "line"]);
        let sql = "SELECT column_name FROM information_schema.columns WHERE column_name LIKE $1";
        let described = session.describe(sql, None).await.expect("it is described");
        assert_eq!(described.parameters, [Some(DataType::Utf8)]);
        let value = ScalarValue::Utf8(Some("l%".to_owned()));
        assert_eq!(texts(&session, sql, &[value]).await.expect("an answer"), ["line"]);
    }

    #[tokio::test]
    async fn the_allow_list_is_that_of_data() {
        let (_directory, engine) = engine();
        let session = session(&engine);
        for (sql, code) in [
            ("SELECT * FROM information_schema.df_settings", RefusalCode::TableNotGranted),
            ("SELECT * FROM information_schema.trips", RefusalCode::TableNotGranted),
            ("SELECT * FROM trips", RefusalCode::TableNotGranted),
            ("SELECT * FROM data.tables", RefusalCode::TableNotGranted),
            ("SELECT * FROM pg_catalog.pg_class", RefusalCode::TableNotGranted),
            ("SELECT nothing FROM information_schema.tables", RefusalCode::ColumnNotGranted),
            ("SELECT repeat(table_name, 1000000) FROM information_schema.tables", RefusalCode::FunctionNotAllowed),
            ("EXPLAIN SELECT * FROM information_schema.tables", RefusalCode::StatementNotAllowed),
            ("DELETE FROM information_schema.tables", RefusalCode::StatementNotAllowed),
        ] {
            match texts(&session, sql, &[]).await {
                Err(EngineError::Refused(refusal)) => assert_eq!(refusal.code, code, "{sql}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_answer_is_bounded() {
        let (_directory, engine) = engine();
        let names: Vec<String> = (0..200).map(|number| format!("column_{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let views = vec![("columns", view(&[("column_name", &names)]))];
        let limits = Limits { rows_max: 1_000, ..Limits::default() };
        let session = SchemaSession::new(&engine, views, limits).expect("a session");
        let sql = "SELECT a.column_name FROM information_schema.columns a, information_schema.columns b";
        assert!(matches!(texts(&session, sql, &[]).await, Err(EngineError::TooManyRows { rows_max: 1_000 })));
    }
}
