//! Nodes with a log, and copies of their directories: what a backup, a restored machine or a forger's second machine is.

use std::path::Path;
use std::sync::Arc;

use lingqu_app::{App, AppSettings, CommandOptions};
use lingqu_domain::command::Command;
use lingqu_tests::scenario::{Scenario, Who};
use lingqu_transparency::NoteVerifier;
use tempfile::TempDir;

/// A copy of a node's directory, opened as a process of its own would open it.
pub struct Copy {
    pub app: Arc<App>,
    _directory: TempDir,
}

impl Copy {
    /// Copies the directory of a node that is closed.
    pub async fn of(directory: &Path) -> Copy {
        let copy = tempfile::tempdir().unwrap();
        copy_files(directory, copy.path());
        let settings = AppSettings::of(copy.path().to_owned());
        Copy { app: App::open(settings).await.unwrap(), _directory: copy }
    }
}

/// Copies a directory.
pub fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// A node with a log, of which copies are opened as processes of their own.
pub struct Logged {
    pub scenario: Scenario,
    pub keys: Vec<NoteVerifier>,
}

impl Logged {
    pub async fn open() -> Logged {
        let scenario = Scenario::open(None, 5).await;
        let keys = scenario.app.log_keys().unwrap();
        Logged { scenario, keys }
    }

    /// Ends the node, so that its directory can be copied.
    pub async fn close(&self) -> &Path {
        self.scenario.app.close().await.unwrap();
        self.scenario.app.directory()
    }

    /// Something new in the log.
    pub async fn record(&self, app: &App, is_suspended: bool) {
        let (mandate, reason) = (self.scenario.mandate(), "检查".to_owned());
        let command = match is_suspended {
            false => Command::SuspendMandate { mandate, reason },
            true => Command::ResumeMandate { mandate, reason },
        };
        app.execute(self.scenario.chief(Who::Implementer), command, CommandOptions::default()).await.unwrap();
    }
}
