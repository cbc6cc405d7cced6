//! Connections by name, and reading transactions over them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::address::{AddressUnfit, ConnectionName, TableAddress};
use crate::columns::ColumnType;

/// Connections to one database at a time: departments' databases have work of their own. A statement that reads a live table
/// more often than this at one moment may wait for itself, and ends as one whose source is unavailable.
const CONNECTIONS_MAX: u32 = 8;
/// How long a reader waits for a connection, its making included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection that nobody uses is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a statement waits for a lock, such as one of a change to the table's columns.
const LOCK_TIME_MAX: Duration = Duration::from_secs(10);
/// Most connections of a node.
const NAMES_MAX: usize = 256;

/// Why a department's database can't be read. Nothing that the database said stands in it but the code.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL of a connection is none.
    #[error(
        "the url of connection `{connection}` can't be used: write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full"
    )]
    BadUrl {
        /// The connection.
        connection: ConnectionName,
    },
    /// Whether a connection over the network is encrypted is not said; the driver would go on in plaintext where the server
    /// offers nothing else.
    #[error(
        "the url of connection `{connection}` leads over the network without saying how: add ?sslmode=verify-full (checked), require (encrypted, not checked) or disable"
    )]
    NoSslMode {
        /// The connection.
        connection: ConnectionName,
    },
    /// More connections than a node may have.
    #[error("a node has at most {NAMES_MAX} connections; take out those that nothing names")]
    TooMany,
    /// The node has no such connection.
    #[error(
        "this node has no connection `{connection}`; the operator of the node adds [connections.{connection}] with its url to lingqu.toml"
    )]
    UnknownConnection {
        /// The connection.
        connection: ConnectionName,
    },
    /// A name that can't be one.
    #[error(transparent)]
    Address(#[from] AddressUnfit),
    /// The database can't be reached, or no connection to it is free.
    #[error(
        "the database of connection `{connection}` can't be reached now ({reason}); see that it runs and lets this node in"
    )]
    Unavailable {
        /// The connection.
        connection: ConnectionName,
        /// What kind of failure it is.
        reason: String,
    },
    /// The database refused a statement.
    #[error("the database of connection `{connection}` ended the reading with SQLSTATE {code}{}", hint_of(code))]
    Refused {
        /// The connection.
        connection: ConnectionName,
        /// The code of the error, PostgreSQL documentation appendix A.
        code: String,
    },
    /// There is no such table or view, or it is hidden from the connection's user.
    #[error(
        "the database of connection `{connection}` has no table or view {table} for this user; check schema and name, and grant the user USAGE on the schema and SELECT on the table"
    )]
    NoSuchTable {
        /// The connection.
        connection: ConnectionName,
        /// The table.
        table: TableAddress,
    },
    /// A column of a type that governed data can't have.
    #[error(
        "{table}, column `{column}`: columns of type {found} can't be taken; offer a view that converts or leaves it out"
    )]
    BadType {
        /// The table.
        table: TableAddress,
        /// The column.
        column: String,
        /// The type.
        found: String,
    },
    /// The table lacks a column that is needed.
    #[error("{table} has no column `{column}`; it is needed as {needed_as}")]
    NoSuchColumn {
        /// The table.
        table: TableAddress,
        /// The column.
        column: String,
        /// What for.
        needed_as: &'static str,
    },
    /// A value that the column's type can't hold without loss.
    #[error("{table}, row {row} of the reading, column `{column}`: a value is not {} (missing precision, infinite or too long); offer a view that converts it", expected.describe())]
    BadValue {
        /// The table.
        table: TableAddress,
        /// The row, from 1, in the order in which it came.
        row: u64,
        /// The column.
        column: String,
        /// What was expected.
        expected: ColumnType,
    },
    /// The table's columns are not what they were when it was last looked at, so no value of them was read.
    #[error(
        "{table} was changed since it was last looked at: {}; undo the change, or have its catalogue entry say the same and declare the table again", changes.join("; ")
    )]
    Changed {
        /// The table.
        table: TableAddress,
        /// What changed: names of columns and types, never values.
        changes: Vec<String>,
    },
    /// The table was filled anew while it was read, and was empty to the state in which it was read.
    #[error(
        "{table} was filled anew while it was read, so none of its rows were seen; read it again when that is done, or fill it by DELETE and INSERT in one transaction"
    )]
    Refilled {
        /// The table.
        table: TableAddress,
    },
    /// The reading's settings contradict themselves.
    #[error("{reason}")]
    Settings {
        /// What is wrong and how to mend it.
        reason: String,
    },
}

impl PostgresError {
    /// True when trying again later may help and nothing has to be corrected.
    pub fn is_unavailable(&self) -> bool {
        match self {
            PostgresError::Unavailable { .. } | PostgresError::Refilled { .. } => true,
            // Connection exception, too little of a resource, ended by an operator, timed out, a conflict on a replica.
            PostgresError::Refused { code, .. } => {
                ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                    || code == "40001"
                    || code == "55P03"
            }
            _ => false,
        }
    }

    /// Of an error of the driver only its kind is kept.
    pub(crate) fn of(connection: &ConnectionName, error: &sqlx::Error) -> PostgresError {
        let connection = connection.clone();
        let unavailable =
            |reason: &str| PostgresError::Unavailable { connection: connection.clone(), reason: reason.to_owned() };
        match error {
            sqlx::Error::Database(database) => {
                let code = database.code().map(std::borrow::Cow::into_owned).filter(|code| is_sqlstate(code));
                let code = code.unwrap_or_else(|| "XX000".to_owned());
                PostgresError::Refused { connection, code }
            }
            sqlx::Error::PoolTimedOut => unavailable("no connection within the time allowed"),
            sqlx::Error::Tls(_) => unavailable("TLS could not be agreed on"),
            sqlx::Error::Io(error) => unavailable(&format!("{}", error.kind())),
            _ => unavailable("the connection failed"),
        }
    }
}

/// Whether a connection leaves this machine.
fn is_remote(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let is_path = options.get_socket().is_some() || host.starts_with('/');
    let is_loopback =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    !is_path && !is_loopback
}

/// Five digits and capital letters.
fn is_sqlstate(code: &str) -> bool {
    code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn hint_of(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => " (the user or password is wrong); correct the connection's url",
        "3D000" => " (there is no such database); correct the connection's url",
        "42501" => " (the user may not read this); grant it SELECT on the table and USAGE on its schema",
        "57014" => " (it took too long); read fewer rows or columns, or add an index on the watermark column",
        "42P01" | "42703" => " (the table or a column was taken away in between); try again",
        _ => "; the database's own log has more",
    }
}

/// What one reading may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadingTime {
    /// Taking a table in.
    Ingestion,
    /// Answering a consumer.
    Live,
}

impl ReadingTime {
    fn statement_time_max(self) -> Duration {
        match self {
            ReadingTime::Ingestion => Duration::from_secs(6 * 3_600),
            ReadingTime::Live => Duration::from_secs(60),
        }
    }
}

/// The connections that a node's configuration names. Nothing is opened before it is needed.
#[derive(Clone, Default)]
pub struct Connections {
    pools: BTreeMap<ConnectionName, PgPool>,
}

impl fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL holds a password.
        formatter.debug_set().entries(self.pools.keys()).finish()
    }
}

impl Connections {
    /// Names and URLs. Must be called within a Tokio runtime. Errors: a URL that is none, without repeating it.
    pub fn new(urls: &BTreeMap<ConnectionName, String>) -> Result<Connections, PostgresError> {
        if urls.len() > NAMES_MAX {
            return Err(PostgresError::TooMany);
        }
        let mut pools = BTreeMap::new();
        for (name, url) in urls {
            let bad = || PostgresError::BadUrl { connection: name.clone() };
            if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
                return Err(bad());
            }
            // Statements name tables and columns; the node's log has no use for them.
            let options = PgConnectOptions::from_str(url)
                .map_err(|_| bad())?
                .application_name("lingqu")
                .disable_statement_logging();
            if is_remote(&options) && !url.contains("sslmode=") && !url.contains("ssl-mode=") {
                return Err(PostgresError::NoSslMode { connection: name.clone() });
            }
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS_MAX)
                .min_connections(0)
                .acquire_timeout(CONNECT_TIME_MAX)
                .idle_timeout(IDLE_TIME_MAX)
                .connect_lazy_with(options);
            pools.insert(name.clone(), pool);
        }
        Ok(Connections { pools })
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &ConnectionName> {
        self.pools.keys()
    }

    /// Whether a database can be reached and lets the node in.
    pub async fn check(&self, name: &ConnectionName) -> Result<(), PostgresError> {
        self.read(name, ReadingTime::Live).await?.end().await
    }

    /// Begins a reading: a transaction that can't write and sees one state of the database.
    pub(crate) async fn read(&self, name: &ConnectionName, time: ReadingTime) -> Result<Reading, PostgresError> {
        self.read_held(name, time, None).await
    }

    /// The same, with a table whose columns nobody can change until the reading ends. It is held before the state is
    /// fixed: to a state that is older than a change which rewrites the table, the table would seem to be empty.
    /// PostgreSQL can hold tables and views alone, and what a view is made of is held with it.
    pub(crate) async fn read_held(
        &self,
        name: &ConnectionName,
        time: ReadingTime,
        held: Option<&TableAddress>,
    ) -> Result<Reading, PostgresError> {
        let pool = self.pools.get(name).ok_or_else(|| PostgresError::UnknownConnection { connection: name.clone() })?;
        let connection = pool.acquire().await.map_err(|error| PostgresError::of(name, &error))?;
        let mut reading = Reading { name: name.clone(), connection: Some(connection) };
        reading.begin(time, held).await?;
        Ok(reading)
    }
}

/// A reading transaction. Dropped before its end, its connection is closed rather than used again: rows that nobody wants
/// any more may still be on their way.
pub(crate) struct Reading {
    name: ConnectionName,
    connection: Option<PoolConnection<Postgres>>,
}

impl Reading {
    /// The connection's name, for messages.
    pub(crate) fn name(&self) -> &ConnectionName {
        &self.name
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("the connection is given back only when the reading ends")
    }

    async fn begin(&mut self, time: ReadingTime, held: Option<&TableAddress>) -> Result<(), PostgresError> {
        let milliseconds = time.statement_time_max().as_millis();
        let lock_milliseconds = LOCK_TIME_MAX.as_millis();
        self.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned()).await?;
        // With the catalogue's schema alone no operator or function that somebody made stands in for a built-in one.
        self.run(format!(
            "SET LOCAL statement_timeout = {milliseconds}; SET LOCAL lock_timeout = {lock_milliseconds}; \
             SET LOCAL idle_in_transaction_session_timeout = {milliseconds}; SET LOCAL search_path = pg_catalog"
        ))
        .await?;
        if let Some(table) = held {
            // What every SELECT takes, sooner. It hinders no reader and no writer of rows.
            self.run(format!("LOCK TABLE {} IN ACCESS SHARE MODE", table.quoted())).await?;
        }
        self.end_when_left().await
    }

    /// Goes on in a later state of the database, over the same connection: who asked for a second one while it holds the first would
    /// wait for itself where many do so at once.
    pub(crate) async fn begin_later(&mut self, time: ReadingTime) -> Result<(), PostgresError> {
        self.run("COMMIT".to_owned()).await?;
        self.begin(time, None).await
    }

    /// Has the server look twenty times a second whether this side is still there, so that it does not go on with a statement
    /// whose rows nobody wants. Servers before 14, and those on a system that can't tell, find out when they send the next rows,
    /// or when the statement's time is over.
    async fn end_when_left(&mut self) -> Result<(), PostgresError> {
        self.run("SAVEPOINT before_setting".to_owned()).await?;
        let set = self.run(
            "SELECT pg_catalog.set_config(name, '50ms', true) FROM pg_catalog.pg_settings \
             WHERE name = 'client_connection_check_interval'"
                .to_owned(),
        );
        if set.await.is_err() {
            self.run("ROLLBACK TO SAVEPOINT before_setting".to_owned()).await?;
        }
        Ok(())
    }

    /// Runs a statement made of this module's own words.
    async fn run(&mut self, statement: String) -> Result<(), PostgresError> {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(self.connection()).await;
        done.map(|_| ()).map_err(|error| PostgresError::of(&self.name, &error))
    }

    /// Ends the transaction and gives the connection back.
    pub(crate) async fn end(mut self) -> Result<(), PostgresError> {
        self.run("COMMIT".to_owned()).await?;
        drop(self.connection.take());
        Ok(())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_says_how_it_leads_over_the_network_and_is_never_repeated() {
        let make = |url: &str| Connections::new(&[("civil".parse().unwrap(), url.to_owned())].into());
        for fine in [
            "postgres://lingqu:geheim@127.0.0.1/civil",
            "postgres://lingqu@localhost:5433/civil?host=/run/postgresql",
            "postgres://lingqu:geheim@db.civil.example/civil?sslmode=verify-full",
        ] {
            assert!(make(fine).is_ok(), "{fine}");
        }
        let error = make("postgres://lingqu:geheim@db.civil.example/civil").unwrap_err();
        assert!(matches!(error, PostgresError::NoSslMode { .. }), "{error}");
        for wrong in ["mysql://lingqu:geheim@db/civil", "postgres://lingqu:geheim@db:port/civil", "geheim"] {
            let error = make(wrong).unwrap_err();
            assert!(matches!(error, PostgresError::BadUrl { .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn what_may_pass_by_itself_is_told_from_what_must_be_mended() {
        let refused =
            |code: &str| PostgresError::Refused { connection: "civil".parse().unwrap(), code: code.to_owned() };
        for code in ["08006", "53300", "57P01", "57014", "40001"] {
            assert!(refused(code).is_unavailable(), "{code}");
        }
        for code in ["42501", "28P01", "42P01", "22012"] {
            assert!(!refused(code).is_unavailable(), "{code}");
        }
        assert!(is_sqlstate("42P01") && !is_sqlstate("42p01") && !is_sqlstate("secret value"));
    }
}
