//! A session: one statement after the other, each answered by who knows its answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use lingqu_crypto::Sha256Digest;
use lingqu_engine::SchemaView;
use tokio::sync::watch;

use super::catalogue::{Catalogue, OrderTable};
use super::command::Command;
use super::frame::Request;
use super::line::{Deadline, Line, Stopped};
use super::refusal::Refused;
use super::rows::{self, Row};
use super::running::Entry;
use super::settings::Settings;
use super::source::{Portal, Prepared, Progress, Source};
use super::startup::Begun;
use super::statement::{self, Statement};
use super::wire::WireError;
use super::{PROTOCOL, Server};
use crate::delivery::{Admission, memory_of};
use crate::error::GatewayError;

/// How long a connection may be open without a message.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// Bytes that wait at most before they are sent.
const OUTBOX_BYTES_MAX: usize = 64 * 1024;

/// The state of the client's transaction. Nothing can be changed here, so it is a state of the conversation alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transaction {
    None,
    Begun,
    Failed,
}

/// A client's session.
pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) line: Line,
    pub(super) key: Sha256Digest,
    order: String,
    /// The name of the order's table. By it statements are told apart; whether one is answered the grant says.
    pub(super) table: String,
    pub(super) settings: Settings,
    pub(super) statements: BTreeMap<String, Arc<Prepared>>,
    /// Portals and cursors, which share their names as in PostgreSQL.
    pub(super) portals: BTreeMap<String, Portal>,
    pub(super) transaction: Transaction,
    /// After a refusal in the extended protocol: messages are passed over up to the next Sync.
    pub(super) is_skipping: bool,
    row: Row,
    _entry: Entry,
}

/// How the rows of one request ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Drawn {
    /// There are no more; so many were written.
    All(u64),
    /// As many were written as were asked for.
    Enough(u64),
}

impl Session {
    pub(super) fn new(server: Arc<Server>, begun: Begun) -> Session {
        let Begun { wire, entry, key, order, table, settings } = begun;
        Session {
            server,
            line: Line::new(wire, entry.cancels.clone()),
            key,
            order,
            table,
            settings,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            transaction: Transaction::None,
            is_skipping: false,
            row: Row::default(),
            _entry: entry,
        }
    }

    /// Answers until the client leaves, is silent for too long, or the node stops.
    pub(super) async fn run(mut self, mut node_stopped: watch::Receiver<bool>) {
        loop {
            let request = tokio::select! {
                request = tokio::time::timeout(IDLE_MAX, self.line.wire.request()) => request,
                () = told_to_stop(&mut node_stopped) => return self.end(GatewayError::NodeStopping).await,
            };
            let request = match request {
                Ok(Ok(Some(Request::Terminate) | None)) => return,
                Ok(Ok(Some(request))) => request,
                Ok(Err(error)) => return self.end_after(&error).await,
                Err(_) => return self.end(GatewayError::ConnectionIdle { minutes: IDLE_MAX.as_secs() / 60 }).await,
            };
            let is_simple = matches!(request, Request::Query(_));
            match self.answer(request).await {
                Ok(()) => {}
                Err(Stopped::Gone) => return,
                Err(Stopped::Refused(refused)) => self.refuse(&refused, is_simple),
            }
            if self.line.wire.flush().await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, request: Request) -> Result<(), Stopped> {
        match request {
            Request::Query(text) => {
                self.is_skipping = false;
                self.simple(&text).await
            }
            Request::Sync => {
                self.is_skipping = false;
                self.end_group();
                Ok(())
            }
            _ if self.is_skipping => Ok(()),
            Request::Parse { name, sql, types } => self.parse(name, &sql, types),
            Request::Bind(bind) => self.bind(bind).await,
            Request::Describe { target, name } => self.describe(target, &name).await,
            Request::Execute { portal, rows_max } => self.execute(&portal, rows_max).await,
            Request::Close { target, name } => {
                self.close(target, &name);
                Ok(())
            }
            Request::Flush | Request::CopyData | Request::Terminate => Ok(()),
            Request::Password(_) => {
                Err(Refused::malformed("08P01", "此处不应有登录消息", "you are logged in already").into())
            }
        }
    }

    /// Writes a refusal and what follows it.
    fn refuse(&mut self, refused: &Refused, is_simple: bool) {
        tracing::debug!(order = self.order, code = refused.code(), "a statement was refused");
        refused.put(&mut self.line.wire.outbox);
        if self.transaction == Transaction::Begun {
            self.transaction = Transaction::Failed;
        }
        if is_simple {
            self.end_group();
        } else {
            self.is_skipping = true;
        }
    }

    /// The end of what belongs together: outside a transaction its portals are gone.
    fn end_group(&mut self) {
        if self.transaction == Transaction::None {
            self.portals.clear();
        }
        let state = match self.transaction {
            Transaction::None => b'I',
            Transaction::Begun => b'T',
            Transaction::Failed => b'E',
        };
        self.line.wire.outbox.ready(state);
    }

    async fn end(mut self, error: GatewayError) {
        Refused::from(error).fatal().put(&mut self.line.wire.outbox);
        if self.line.wire.flush().await.is_ok() {
            self.line.wire.close().await;
        }
    }

    /// Ends the connection after a message that is none; where the next one begins can't be known.
    async fn end_after(self, error: &WireError) {
        match error {
            WireError::Io(_) => {}
            WireError::TooLarge(_) => {
                self.end(GatewayError::RequestTooLarge { bytes_max: super::wire::REQUEST_BYTES_MAX }).await;
            }
            WireError::Malformed => {
                self.end(GatewayError::malformed(
                    "消息不符合 PostgreSQL 协议 3.0",
                    "a message is none of PostgreSQL's protocol 3.0",
                ))
                .await;
            }
        }
    }

    /// The statements of the simple protocol, one after the other.
    async fn simple(&mut self, text: &str) -> Result<(), Stopped> {
        let deadline = Deadline::after(self.settings.statement_timeout);
        self.line.begin();
        let statements = statement::read(text, &self.table)?;
        if statements.is_empty() {
            self.line.wire.outbox.bare(b'I');
        }
        for statement in statements {
            self.must_be_open(&statement)?;
            let tag = match &statement {
                Statement::Command(Command::Fetch { cursor, rows }) => {
                    Some(self.fetch(cursor, *rows, None, deadline).await?)
                }
                Statement::Command(command) if !matches!(command, Command::Show(_)) => {
                    Some(self.command(command, &[]).await?)
                }
                _ => None,
            };
            let tag = match tag {
                Some(tag) => tag,
                None => {
                    let mut source = self.open(&statement, &[], deadline).await?;
                    let fields = rows::fields(&source.schema, &[])?;
                    self.line.wire.outbox.row_description(&fields);
                    let (Drawn::All(count) | Drawn::Enough(count)) =
                        self.draw(&mut source, &fields, u64::MAX, deadline).await?;
                    if matches!(statement, Statement::Command(_)) {
                        "SHOW".to_owned()
                    } else {
                        format!("SELECT {count}")
                    }
                }
            };
            self.line.wire.outbox.command_complete(&tag);
        }
        self.end_group();
        Ok(())
    }

    /// In a failed transaction only its end is answered.
    pub(super) fn must_be_open(&self, statement: &Statement) -> Result<(), Refused> {
        let ends = matches!(statement, Statement::Command(Command::Commit | Command::Rollback | Command::RollbackTo));
        if self.transaction == Transaction::Failed && !ends {
            return Err(Refused::malformed(
                "25P02",
                "当前事务已因先前的错误中止，请先执行 ROLLBACK",
                "the transaction has failed; ROLLBACK first",
            ));
        }
        Ok(())
    }

    /// Begins the answer of a statement that has one.
    pub(super) async fn open(
        &mut self,
        statement: &Statement,
        values: &[ScalarValue],
        deadline: Deadline,
    ) -> Result<Source, Stopped> {
        match statement {
            Statement::Governed(sql) => self.open_governed(sql, values, deadline).await,
            Statement::Catalogue(sql) => {
                let (server, catalogue) = (Arc::clone(&self.server), self.catalogue().await?);
                let answer = async { server.catalogues().await?.answer(&catalogue, sql, values.to_vec()).await };
                let (schema, batches) = self.line.during(deadline, answer).await??;
                let wait = self.server.deliveries.waits(&self.order, memory_of(&batches))?;
                Ok(Source::waiting(schema, batches, wait))
            }
            Statement::Command(Command::Show(name)) => Ok(Source::text(name, self.settings.show(name)?)),
            Statement::Empty | Statement::Command(_) => Ok(Source::of(rows::no_columns(), Vec::new())),
        }
    }

    /// Writes rows of an answer, as many as are asked for and not one batch beyond them.
    pub(super) async fn draw(
        &mut self,
        source: &mut Source,
        fields: &[pgwire::api::results::FieldInfo],
        rows_max: u64,
        deadline: Deadline,
    ) -> Result<Drawn, Stopped> {
        let mut written = 0;
        loop {
            let outbox = &mut self.line.wire.outbox;
            written += source.put(outbox, &mut self.row, fields, rows_max - written, OUTBOX_BYTES_MAX)?;
            if outbox.bytes.len() >= OUTBOX_BYTES_MAX {
                self.line.flush(deadline).await?;
            }
            if written == rows_max {
                return Ok(Drawn::Enough(written));
            }
            if !source.has_row() && !self.line.during(deadline, source.draw()).await?? {
                return Ok(Drawn::All(written));
            }
        }
    }

    /// Rows of a cursor, and the tag that ends them. The columns are described where the formats are not given: then nobody
    /// has asked for them before.
    pub(super) async fn fetch(
        &mut self,
        cursor: &str,
        rows: Option<u32>,
        formats: Option<&[i16]>,
        deadline: Deadline,
    ) -> Result<String, Stopped> {
        let Some(mut portal) = self.portals.remove(cursor).filter(Portal::is_cursor) else {
            return Err(unknown_cursor().into());
        };
        let mut source = match std::mem::replace(&mut portal.progress, Progress::Over) {
            Progress::Ready => {
                let statement = portal.prepared.statement.clone();
                self.open(&statement, &portal.values, deadline).await?
            }
            Progress::Begun(source) => self.gone_on_with(source, deadline).await?,
            Progress::Over => Source::of(portal.told.clone().unwrap_or_else(rows::no_columns), Vec::new()),
        };
        must_be_as_told(portal.told.as_ref(), &source.schema)?;
        let fields = rows::fields(&source.schema, formats.unwrap_or_default())?;
        if formats.is_none() {
            self.line.wire.outbox.row_description(&fields);
        }
        let rows_max = rows.map_or(u64::MAX, u64::from);
        let drawn = self.draw(&mut source, &fields, rows_max, deadline).await?;
        portal.told = Some(Arc::clone(&source.schema));
        let (Drawn::All(count) | Drawn::Enough(count)) = drawn;
        if let Drawn::Enough(_) = drawn {
            portal.progress = Progress::Begun(source);
        }
        self.portals.insert(cursor.to_owned(), portal);
        Ok(format!("FETCH {count}"))
    }

    /// The grant, as of now.
    pub(super) async fn admit(&mut self) -> Result<Admission, Refused> {
        Ok(admitted(&self.server, self.key).await?)
    }

    /// The order's catalogue, as of now.
    pub(super) async fn catalogue(&mut self) -> Result<Arc<Catalogue>, Refused> {
        let admission = self.admit().await?;
        let deliveries = &self.server.deliveries;
        let columns = deliveries.columns(&admission, admission.shown_mode()).await?;
        let table = OrderTable {
            name: admission.serving.details.table.to_string(),
            key: admission.key_among(&columns),
            schema: SchemaView { columns }.arrow(),
            meanings: deliveries.app().meanings(&admission.serving),
        };
        self.server.catalogues().await?.of(&self.order, table).await
    }
}

pub(super) async fn admitted(server: &Server, key: Sha256Digest) -> Result<Admission, GatewayError> {
    server.deliveries.admit_hash(key, PROTOCOL).await
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is the same.
    let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
}

/// The columns may change with the grant, and a client who was told of others would read what comes wrongly.
pub(super) fn must_be_as_told(told: Option<&SchemaRef>, schema: &SchemaRef) -> Result<(), Refused> {
    match told {
        Some(told) if !rows::same_columns(told, schema) => Err(Refused::malformed(
            "0A000",
            "结果的字段已变更，请重新预备该语句",
            "the columns of the result have changed; prepare the statement again",
        )),
        _ => Ok(()),
    }
}

pub(super) fn unknown_cursor() -> Refused {
    Refused::malformed("34000", "没有此游标", "there is no such cursor or portal")
}
