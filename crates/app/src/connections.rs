//! The connections that the node's configuration names: departments' databases and folders, each of one provider.
//!
//! A connection is used for the resources of its own provider alone. Who drafts a resource names a connection by its
//! name, and a name is easily guessed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lingqu_domain::id::PartyId;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_engine::postgres::{ConnectionName, Connections};
use lingqu_engine::source::SourceError;
use lingqu_engine::table_source::Places;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::AppError;

/// Where a connection leads.
#[derive(Clone)]
pub enum ConnectionTarget {
    /// A PostgreSQL database, by its URL, which may hold a password.
    Database(Zeroizing<String>),
    /// A folder with Delta or Iceberg tables.
    Folder(PathBuf),
}

impl std::fmt::Debug for ConnectionTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectionTarget::Database(_) => formatter.write_str("Database"),
            ConnectionTarget::Folder(path) => formatter.debug_tuple("Folder").field(path).finish(),
        }
    }
}

/// A connection of the node's configuration.
#[derive(Clone, Debug)]
pub struct ConnectionSetting {
    /// The provider whose resources may use it.
    pub provider: PartyId,
    /// Where it leads.
    pub target: ConnectionTarget,
}

/// The node's connections, with whom each belongs to.
#[derive(Debug, Default)]
pub(crate) struct NodeConnections {
    places: Places,
    providers: BTreeMap<ConnectionName, PartyId>,
}

impl App {
    /// Names the node's connections, once, after it was opened. Errors: a URL that is none; they were named already.
    pub fn set_connections(&self, settings: BTreeMap<ConnectionName, ConnectionSetting>) -> Result<(), AppError> {
        let mut urls = BTreeMap::new();
        let mut connections = NodeConnections::default();
        for (name, setting) in settings {
            connections.providers.insert(name.clone(), setting.provider);
            match setting.target {
                ConnectionTarget::Database(url) => {
                    urls.insert(name, url.to_string());
                }
                ConnectionTarget::Folder(path) => {
                    connections.places.folders.insert(name, path);
                }
            }
        }
        connections.places.databases = Connections::new(&urls).map_err(SourceError::from)?;
        self.connections.set(connections).map_err(|_| AppError::Fault("the connections were named twice".to_owned()))
    }

    /// Names of the connections that lead to databases, for looking at them.
    pub fn database_names(&self) -> Vec<ConnectionName> {
        self.connections.get().map(|known| known.places.databases.names().cloned().collect()).unwrap_or_default()
    }

    /// The folders that connections lead to, for looking at them.
    pub fn folder_paths(&self) -> BTreeMap<ConnectionName, PathBuf> {
        self.connections.get().map(|known| known.places.folders.clone()).unwrap_or_default()
    }

    /// Whether a database can be reached and lets the node in.
    pub async fn check_database(&self, name: &ConnectionName) -> Result<(), AppError> {
        let databases = self.connections.get().map(|known| known.places.databases.clone()).unwrap_or_default();
        Ok(databases.check(name).await.map_err(SourceError::from)?)
    }

    /// What connections lead to, for a resource of a provider. Error: the connection is not his; one that does not exist
    /// reads the same.
    pub(crate) fn places_for(&self, provider: &PartyId, connection: &ConnectionName) -> Result<Places, AppError> {
        match self.connections.get() {
            Some(known) if known.providers.get(connection) == Some(provider) => Ok(known.places.clone()),
            _ => Err(Refusal::new(
                RefusalCode::NotFound,
                connection,
                format!("本节点没有属于该提供方的连接 {connection}；请节点运维人员在 lingqu.toml 中添加"),
                format!(
                    "this node has no connection {connection} of this provider; its operator adds one to lingqu.toml"
                ),
            )
            .into()),
        }
    }
}
