//! Opening the node that a command is about.

use std::sync::Arc;

use lingqu_app::{App, AppError, AppSettings};

use crate::config::Configuration;
use crate::failure::Failure;
use crate::{log, source_connection, storage, witness};

/// How a command opens a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As the only process, to change it.
    Exclusive,
    /// Beside a running one, to look at it.
    Reading,
}

/// Opens an initialised node. Error: there is none, or another process has it.
pub async fn open(configuration: &Configuration, access: Access) -> Result<Arc<App>, Failure> {
    let directory = configuration.directory.clone();
    // Looked at first, because opening a node makes what is missing in its directory.
    if !directory.join("keys").is_dir() {
        return Err(AppError::NotInitialised(directory).into());
    }
    if access == Access::Exclusive {
        // A database on a full disk fails in many ways; this says it in one.
        storage::check_directory(&directory)?;
    }
    let app = App::open(AppSettings {
        database_url: configuration.database.clone(),
        exclusive: access == Access::Exclusive,
        ..AppSettings::of(directory.clone())
    })
    .await?;
    if app.read(|state| state.node.is_empty()) {
        return Err(AppError::NotInitialised(directory).into());
    }
    source_connection::name(&app, configuration)?;
    log::name(&app, configuration)?;
    witness::name(&app, configuration)?;
    Ok(app)
}
