//! The extended protocol: statements are prepared, bound to values, described and executed, a few rows at a time.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;

use super::command::Command;
use super::frame::{Bind, Target, format_of};
use super::line::{Deadline, Stopped};
use super::parameter;
use super::refusal::Refused;
use super::rows;
use super::session::{Drawn, Session, Transaction, must_be_as_told, unknown_cursor};
use super::source::{Portal, Prepared, Progress, Shape, text_schema};
use super::statement::{self, Statement};
use crate::parameters;

/// Most prepared statements of a connection, and bytes of their texts. The JDBC driver keeps up to 256.
const PREPARED_MAX: usize = 512;
const PREPARED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most portals and cursors of a connection at a time.
const PORTALS_MAX: usize = 16;
/// Most parameters of a statement.
const PARAMETERS_MAX: usize = 1_024;

impl Session {
    pub(super) fn parse(&mut self, name: String, sql: &str, types: Vec<u32>) -> Result<(), Stopped> {
        if types.len() > PARAMETERS_MAX {
            return Err(too_many("参数", "parameters", PARAMETERS_MAX).into());
        }
        if name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains_key(&name) {
            return Err(Refused::malformed(
                "42P05",
                "已有同名的预备语句",
                "there is a prepared statement of this name",
            )
            .into());
        }
        let bytes: usize = self.statements.values().map(|prepared| prepared.bytes).sum();
        if self.statements.len() >= PREPARED_MAX || bytes + sql.len() > PREPARED_BYTES_MAX {
            return Err(too_many("预备语句", "prepared statements", PREPARED_MAX).into());
        }
        let statement = statement::read_one(sql, &self.table)?;
        self.must_be_open(&statement)?;
        self.statements.insert(name, Prepared::new(statement, types, sql.len()));
        self.line.wire.outbox.bare(b'1');
        Ok(())
    }

    pub(super) async fn bind(&mut self, bind: Bind) -> Result<(), Stopped> {
        let Some(prepared) = self.statements.get(&bind.statement).cloned() else {
            return Err(unknown_statement().into());
        };
        self.must_be_open(&prepared.statement)?;
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&bind.portal) {
            return Err(
                Refused::malformed("42P03", "已有同名的游标", "there is a cursor or portal of this name").into()
            );
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(too_many("游标", "cursors and portals", PORTALS_MAX).into());
        }
        let has_known_types = bind.values.len() <= prepared.declared.len() && !prepared.declared.contains(&0);
        let types = if bind.values.is_empty() || has_known_types {
            prepared.declared.clone()
        } else {
            self.shape(&prepared).await?.parameters
        };
        if types.len() != bind.values.len() {
            return Err(Refused::malformed(
                "08P01",
                format!("语句有 {} 个参数，给出了 {} 个值", types.len(), bind.values.len()),
                format!("the statement has {} parameters and {} values were given", types.len(), bind.values.len()),
            )
            .into());
        }
        let mut values = Vec::with_capacity(types.len());
        for (at, (oid, value)) in types.iter().zip(&bind.values).enumerate() {
            let format = format_of(&bind.value_formats, at);
            values.push(parameter::read(at + 1, *oid, format, value.as_deref())?);
        }
        parameters::must_fit(&values)?;
        self.portals.insert(bind.portal, Portal::new(prepared, values, bind.result_formats));
        self.line.wire.outbox.bare(b'2');
        Ok(())
    }

    pub(super) async fn describe(&mut self, target: Target, name: &str) -> Result<(), Stopped> {
        let (schema, formats) = match target {
            Target::Statement => {
                let Some(prepared) = self.statements.get(name).cloned() else { return Err(unknown_statement().into()) };
                let shape = self.shape(&prepared).await?;
                self.line.wire.outbox.parameter_description(&shape.parameters);
                (shape.schema, Vec::new())
            }
            Target::Portal => {
                let Some(portal) = self.portals.get(name) else { return Err(unknown_cursor().into()) };
                let (prepared, formats) = (Arc::clone(&portal.prepared), portal.formats.clone());
                let schema = match &portal.progress {
                    Progress::Begun(source) => Some(Arc::clone(&source.schema)),
                    Progress::Ready | Progress::Over => {
                        let values = portal.values.clone();
                        self.bound_schema(&prepared, &values).await?
                    }
                };
                if let Some(portal) = self.portals.get_mut(name) {
                    portal.told.clone_from(&schema);
                }
                (schema, formats)
            }
        };
        match schema {
            Some(schema) => {
                let fields = rows::fields(&schema, &formats)?;
                self.line.wire.outbox.row_description(&fields);
            }
            None => self.line.wire.outbox.bare(b'n'),
        }
        Ok(())
    }

    /// What a prepared statement takes and gives, made when it is first asked for.
    async fn shape(&mut self, prepared: &Arc<Prepared>) -> Result<Shape, Stopped> {
        if let Some(shape) = prepared.shape.get() {
            return Ok(shape.clone());
        }
        let (inferred, schema) = match &prepared.statement {
            Statement::Governed(sql) => {
                let admission = self.admit().await?;
                let mode = admission.batch_mode(None).map_err(Refused::from)?;
                let described = self.server.deliveries.describe(&admission, mode, sql).await.map_err(Refused::from)?;
                (described.parameters, Some(described.schema))
            }
            Statement::Catalogue(sql) => {
                let catalogue = self.catalogue().await?;
                let described = self.server.catalogues().await?.describe(&catalogue, sql).await?;
                (described.parameters, Some(described.schema))
            }
            Statement::Command(Command::Declare { query, .. }) => {
                let query = Prepared::new((**query).clone(), prepared.declared.clone(), 0);
                let shape = Box::pin(self.shape(&query)).await?;
                return Ok(prepared.shape.get_or_init(|| async { Shape { schema: None, ..shape } }).await.clone());
            }
            // Of a cursor that may be another one by the next time.
            Statement::Command(Command::Fetch { cursor, .. }) => {
                return Ok(Shape { parameters: Vec::new(), schema: Some(self.cursor_schema(cursor).await?) });
            }
            Statement::Command(Command::Show(name)) => (Vec::new(), Some(text_schema(name))),
            Statement::Command(_) | Statement::Empty => (Vec::new(), None),
        };
        let count = inferred.len().max(prepared.declared.len());
        if count > PARAMETERS_MAX {
            return Err(too_many("参数", "parameters", PARAMETERS_MAX).into());
        }
        let mut parameters = Vec::with_capacity(count);
        for at in 0..count {
            let declared = prepared.declared.get(at).copied().unwrap_or(0);
            parameters.push(parameter::type_of(declared, inferred.get(at).and_then(Option::as_ref)));
        }
        // The client's own types may make another result than those that the statement lets guess.
        let schema = match (&prepared.statement, parameters.is_empty()) {
            (Statement::Governed(sql), false) => {
                let mut nulls = Vec::with_capacity(count);
                for (at, oid) in parameters.iter().enumerate() {
                    nulls.push(parameter::read(at + 1, *oid, format_of(&[], at), None)?);
                }
                self.governed_schema(sql, &nulls).await.ok().or(schema)
            }
            _ => schema,
        };
        Ok(prepared.shape.get_or_init(|| async { Shape { parameters, schema } }).await.clone())
    }

    /// The columns of a statement whose parameters have values.
    async fn bound_schema(
        &mut self,
        prepared: &Arc<Prepared>,
        values: &[ScalarValue],
    ) -> Result<Option<SchemaRef>, Stopped> {
        match &prepared.statement {
            Statement::Governed(sql) if !values.is_empty() => Ok(Some(self.governed_schema(sql, values).await?)),
            _ => Ok(self.shape(prepared).await?.schema),
        }
    }

    async fn governed_schema(&mut self, sql: &str, values: &[ScalarValue]) -> Result<SchemaRef, Stopped> {
        let admission = self.admit().await?;
        let mode = admission.batch_mode(None).map_err(Refused::from)?;
        let described = self.server.deliveries.describe_bound(&admission, mode, sql, values).await;
        Ok(described.map_err(Refused::from)?)
    }

    async fn cursor_schema(&mut self, cursor: &str) -> Result<SchemaRef, Stopped> {
        let Some(portal) = self.portals.get(cursor).filter(|portal| portal.is_cursor()) else {
            return Err(unknown_cursor().into());
        };
        if let Progress::Begun(source) = &portal.progress {
            return Ok(Arc::clone(&source.schema));
        }
        let (prepared, values) = (Arc::clone(&portal.prepared), portal.values.clone());
        let schema = Box::pin(self.bound_schema(&prepared, &values)).await?.unwrap_or_else(rows::no_columns);
        if let Some(portal) = self.portals.get_mut(cursor) {
            portal.told = Some(Arc::clone(&schema));
        }
        Ok(schema)
    }

    pub(super) async fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Stopped> {
        let deadline = Deadline::after(self.settings.statement_timeout);
        self.line.begin();
        // A portal that fails is gone; one that ends well or pauses is put back.
        let Some(mut portal) = self.portals.remove(name) else { return Err(unknown_cursor().into()) };
        let statement = portal.prepared.statement.clone();
        self.must_be_open(&statement)?;
        match &statement {
            Statement::Empty => self.line.wire.outbox.bare(b'I'),
            Statement::Command(Command::Fetch { cursor, rows }) => {
                let tag = self.fetch(cursor, *rows, Some(&portal.formats), deadline).await?;
                self.line.wire.outbox.command_complete(&tag);
            }
            Statement::Command(command) if !matches!(command, Command::Show(_)) => {
                let tag = self.command(command, &portal.values).await?;
                self.line.wire.outbox.command_complete(&tag);
            }
            _ => {
                self.run_portal(&mut portal, rows_max, deadline).await?;
                self.portals.insert(name.to_owned(), portal);
            }
        }
        Ok(())
    }

    async fn run_portal(&mut self, portal: &mut Portal, rows_max: u32, deadline: Deadline) -> Result<(), Stopped> {
        let statement = portal.prepared.statement.clone();
        let mut source = match std::mem::replace(&mut portal.progress, Progress::Over) {
            Progress::Ready => self.open(&statement, &portal.values, deadline).await?,
            Progress::Begun(source) => self.gone_on_with(source, deadline).await?,
            Progress::Over => {
                self.line.wire.outbox.command_complete("SELECT 0");
                return Ok(());
            }
        };
        let told = portal.told.clone().or_else(|| portal.prepared.shape.get().and_then(|shape| shape.schema.clone()));
        must_be_as_told(told.as_ref(), &source.schema)?;
        let fields = rows::fields(&source.schema, &portal.formats)?;
        let rows_max = if rows_max == 0 { u64::MAX } else { u64::from(rows_max) };
        match self.draw(&mut source, &fields, rows_max, deadline).await? {
            Drawn::Enough(_) => {
                portal.progress = Progress::Begun(source);
                self.line.wire.outbox.bare(b's');
            }
            Drawn::All(_) if matches!(statement, Statement::Command(_)) => {
                self.line.wire.outbox.command_complete("SHOW");
            }
            Drawn::All(count) => self.line.wire.outbox.command_complete(&format!("SELECT {count}")),
        }
        Ok(())
    }

    pub(super) fn close(&mut self, target: Target, name: &str) {
        match target {
            Target::Statement => drop(self.statements.remove(name)),
            Target::Portal => drop(self.portals.remove(name)),
        }
        self.line.wire.outbox.bare(b'3');
    }

    /// Does what a command says and answers its tag.
    pub(super) async fn command(&mut self, command: &Command, values: &[ScalarValue]) -> Result<String, Stopped> {
        Ok(match command {
            Command::Set { name, value } => {
                if self.settings.set(name, value.as_deref())? {
                    self.settings.tell_application_name(&mut self.line.wire.outbox);
                }
                "SET".to_owned()
            }
            Command::Begin => {
                self.transaction = Transaction::Begun;
                "BEGIN".to_owned()
            }
            Command::Commit | Command::Rollback => {
                let is_kept = *command == Command::Commit && self.transaction != Transaction::Failed;
                self.transaction = Transaction::None;
                self.portals.clear();
                if is_kept { "COMMIT".to_owned() } else { "ROLLBACK".to_owned() }
            }
            Command::RollbackTo => {
                if self.transaction == Transaction::Failed {
                    self.transaction = Transaction::Begun;
                }
                "ROLLBACK".to_owned()
            }
            Command::Forget(tag) => {
                self.statements.clear();
                self.portals.clear();
                (*tag).to_owned()
            }
            Command::Deallocate(name) => match self.statements.remove(name) {
                Some(_) => "DEALLOCATE".to_owned(),
                None => return Err(unknown_statement().into()),
            },
            Command::Declare { cursor, query } => self.declare(cursor, query, values).await?,
            Command::Close(None) => {
                self.portals.clear();
                "CLOSE CURSOR ALL".to_owned()
            }
            Command::Close(Some(cursor)) => match self.portals.remove(cursor) {
                Some(_) => "CLOSE CURSOR".to_owned(),
                None => return Err(unknown_cursor().into()),
            },
            Command::Ignored(tag) => (*tag).to_owned(),
            Command::Show(_) | Command::Fetch { .. } => {
                return Err(Refused::malformed("0A000", "该语句有结果", "this statement has a result").into());
            }
        })
    }

    async fn declare(&mut self, cursor: &str, query: &Statement, values: &[ScalarValue]) -> Result<String, Stopped> {
        if self.transaction != Transaction::Begun {
            return Err(Refused::malformed(
                "25P01",
                "游标须在事务中声明，请先执行 BEGIN",
                "a cursor lives in a transaction; BEGIN one first",
            )
            .into());
        }
        if self.portals.contains_key(cursor) {
            return Err(Refused::malformed("42P03", "已有同名的游标", "there is a cursor of this name").into());
        }
        if self.portals.len() >= PORTALS_MAX {
            return Err(too_many("游标", "cursors and portals", PORTALS_MAX).into());
        }
        let prepared = Prepared::new(query.clone(), Vec::new(), 0);
        // What can't be asked is refused here; what it answers is drawn when rows are fetched.
        let schema = self.bound_schema(&prepared, values).await?;
        let mut portal = Portal::new(prepared, values.to_vec(), Vec::new());
        portal.told = schema;
        self.portals.insert(cursor.to_owned(), portal);
        Ok("DECLARE CURSOR".to_owned())
    }
}

fn unknown_statement() -> Refused {
    Refused::malformed("26000", "没有此预备语句", "there is no prepared statement of this name")
}

fn too_many(zh: &str, en: &str, most: usize) -> Refused {
    Refused::malformed(
        "53400",
        format!("{zh}过多，上限为 {most}，请关闭部分后再试"),
        format!("there are too many {en}, at most {most}; close some first"),
    )
}
