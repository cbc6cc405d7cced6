//! Support for integration tests: the real parts a test needs (a private PostgreSQL server, a store on either database,
//! a directory that vanishes), started for the test and stopped after it. It holds no tests and no stand-ins.
//!
//! How data passes through: a test calls [`both`] with its body; the body gets a [`StoreFactory`] for SQLite first and for
//! a new database of the private server second, and opens as many stores on it as it likes.

mod dice;
pub mod manual;
pub mod node;
mod ports;
mod postgres;
pub mod quota;
pub mod scenario;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_crypto::SealKey;
use lingqu_store::{Backend, Store, StoreConfig};
use sea_orm::{Database, DatabaseConnection};
use tempfile::TempDir;

pub use dice::Dice;
pub use ports::free_port;
pub use postgres::{PrivatePostgres, until_waiting};

/// A fresh database and a fresh directory. Every store opened from one factory is on the same database, as several
/// processes of one node would be.
pub struct StoreFactory {
    backend: Backend,
    url: String,
    directory: TempDir,
    // Keeps the server running for as long as the factory lives.
    _server: Option<Arc<PrivatePostgres>>,
}

impl StoreFactory {
    /// A factory on a SQLite file in a temporary directory.
    pub fn sqlite() -> StoreFactory {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let url = format!("sqlite:{}", directory.path().join("lingqu.db").display());
        StoreFactory { backend: Backend::Sqlite, url, directory, _server: None }
    }

    /// A factory on a new database of `server`.
    pub async fn postgres(server: Arc<PrivatePostgres>) -> StoreFactory {
        let url = server.create_database().await;
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        StoreFactory { backend: Backend::Postgres, url, directory, _server: Some(server) }
    }

    /// Which database it is.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The configuration that [`StoreFactory::open`] uses.
    pub fn config(&self) -> StoreConfig {
        StoreConfig { url: self.url.clone(), vault_key: SealKey::from_bytes([7; 32]), connections_max: 4 }
    }

    /// Opens a store, as another process of the node would.
    pub async fn open(&self) -> Store {
        Store::open(self.config()).await.expect("a fresh database opens")
    }

    /// The node's directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The database file of SQLite.
    pub fn sqlite_file(&self) -> PathBuf {
        self.directory().join("lingqu.db")
    }

    /// A plain connection past the store, for what an attacker or a damaged tool would do.
    pub async fn raw(&self) -> DatabaseConnection {
        Database::connect(self.url.replacen("sqlite:", "sqlite://", 1)).await.expect("the database accepts connections")
    }
}

/// Runs the same test on SQLite and on PostgreSQL. Without PostgreSQL it fails where `CI` is set, and elsewhere says loudly
/// that it ran on SQLite only.
pub async fn both<F, Fut>(test: F)
where
    F: Fn(StoreFactory) -> Fut,
    Fut: Future<Output = ()>,
{
    test(StoreFactory::sqlite()).await;
    if let Some(server) = PrivatePostgres::needed("the same on PostgreSQL") {
        test(StoreFactory::postgres(server).await).await;
    }
}
