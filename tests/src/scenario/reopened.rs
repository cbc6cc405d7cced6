//! The node as it is after its operator has closed it and opened it anew with other settings.

use std::fs;
use std::path::{Path, PathBuf};

use lingqu_app::{App, AppSettings};
use lingqu_engine::EngineSettings;

use super::Scenario;

impl Scenario {
    /// Closes the node, which is on SQLite, and opens a copy of its directory whose engine has other settings. Orders and keys
    /// are the same.
    pub async fn reopened(mut self, engine: impl FnOnce(EngineSettings) -> EngineSettings) -> Scenario {
        let directory = self.closed_copy().await;
        let settings = AppSettings::of(directory);
        self.app = App::open_with(settings, engine).await.expect("a closed node opens again");
        self
    }

    /// Closes the node, which is on SQLite, and answers a copy of its directory that no process holds.
    pub async fn closed_copy(&self) -> PathBuf {
        self.app.close().await.expect("an idle node closes");
        let directory = self.directory.path().join("reopened");
        copy(self.app.directory(), &directory);
        directory
    }
}

/// Copies a node's directory, but for the lock of its process.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the temporary directory is writable");
    for entry in fs::read_dir(from).expect("the node's directory can be read") {
        let entry = entry.expect("the node's directory can be read");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if entry.file_name() != "node.lock" {
            fs::copy(&path, &target).expect("the temporary directory is writable");
        }
    }
}
