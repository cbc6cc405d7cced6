//! Whether a node's directory takes writes, and whether its data files are what its journal says: the snapshot files were
//! written once, and a disk that lost a part of one would otherwise be found by a client.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use lingqu_app::{App, AppError};
use lingqu_domain::id::ResourceId;
use lingqu_domain::resource::Snapshot;
use lingqu_engine::snapshot::SnapshotStore;

use crate::failure::{Failure, hint};

/// Bytes of the probe file: more than a full disk still takes here and there.
const PROBE_BYTES: usize = 1 << 20;

/// Writes, syncs and removes a probe file. Error: the directory is read-only, its disk full, or it is none.
pub fn check_directory(directory: &Path) -> Result<(), Failure> {
    let probe = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".probe-").tempfile_in(directory)?;
        file.write_all(&vec![0u8; PROBE_BYTES])?;
        file.as_file().sync_all()?;
        file.close()
    };
    probe().map_err(|error| {
        // Where there is a hint, the kind says enough: the probe's name, which the error holds, tells nobody anything.
        let error = if hint(&error).is_empty() { error } else { error.kind().into() };
        Failure::file("write to", directory, error)
    })
}

/// How closely files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// They are there with the sizes they were written with; reads no data.
    Presence,
    /// They have the contents they were written with; reads all of them.
    Contents,
}

/// Checks the newest snapshot of every resource; answers how many there are. Error: names the first file that is wrong.
pub async fn check_snapshots(app: &App, depth: Depth) -> Result<usize, Failure> {
    let store = SnapshotStore::open(&app.directory().join("snapshots")).map_err(AppError::from)?;
    let snapshots = newest(app);
    for (resource, snapshot) in &snapshots {
        let stored = store.version(resource.as_str(), snapshot.version).await.map_err(AppError::from)?;
        if stored.files.digest() != snapshot.digest {
            return Err(Failure::Mend(format!(
                "version {} of {resource} is not the one that the journal records; restore {} from a backup",
                snapshot.version,
                app.directory().join("snapshots").join(resource.as_str()).display()
            )));
        }
        if depth == Depth::Contents {
            let files = Arc::clone(&stored.files);
            tokio::task::spawn_blocking(move || files.check_contents())
                .await
                .map_err(|error| AppError::Fault(error.to_string()))?
                .map_err(|error| AppError::Snapshot(error.into()))?;
        }
    }
    Ok(snapshots.len())
}

fn newest(app: &App) -> Vec<(ResourceId, Snapshot)> {
    app.read(|state| {
        let resources = state.resources.values().map(|entity| &entity.value);
        let stored = |snapshot: &Snapshot| snapshot.live.is_none();
        resources
            .filter_map(|resource| Some((resource.id.clone(), resource.snapshot.clone().filter(stored)?)))
            .collect()
    })
}
