//! A table's directory within a folder that the node's configuration names, and nothing outside it.

use std::path::{Component, Path, PathBuf};

use super::Places;
use super::reading::on_thread;
use crate::postgres::ConnectionName;
use crate::source::SourceError;

/// A directory or file within a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What messages call it: the path within the folder.
    pub(super) name: String,
    /// The folder, links resolved.
    pub(super) folder: PathBuf,
    /// The place, links resolved.
    pub(super) path: PathBuf,
}

impl Place {
    /// A path that a table's own metadata names, links resolved. Error: it leads out of the folder.
    pub(super) fn confined(&self, path: &Path) -> Result<PathBuf, SourceError> {
        let resolved = path.canonicalize().map_err(|error| self.unreadable(&kind_of(&error)))?;
        if resolved.starts_with(&self.folder) {
            return Ok(resolved);
        }
        Err(self.unreadable("its metadata names a file outside of the connection's folder"))
    }

    pub(super) fn unreadable(&self, reason: &str) -> SourceError {
        SourceError::Unreadable { file: self.name.clone(), reason: reason.to_owned() }
    }
}

fn kind_of(error: &std::io::Error) -> String {
    format!("a file it consists of: {}", error.kind())
}

/// The place of a path within a connection's folder, looked for on a thread that may wait.
pub(super) async fn found(places: &Places, connection: &ConnectionName, directory: &str) -> Result<Place, SourceError> {
    let (places, connection, name) = (places.clone(), connection.clone(), directory.to_owned());
    let root = places.folders.get(&connection).cloned().unwrap_or_default();
    let found = on_thread(&root, move || within(&places, &connection, &name)).await;
    found.map_err(|none| SourceError::Unreadable { file: directory.to_owned(), reason: none.to_string() })?
}

/// The place of a path within a connection's folder. Errors: no such connection; a path that leads out of the folder.
fn within(places: &Places, connection: &ConnectionName, directory: &str) -> Result<Place, SourceError> {
    let Some(folder) = places.folders.get(connection) else {
        return Err(SourceError::BadOptions {
            reason: format!(
                "this node has no folder connection `{connection}`; the operator of the node adds [connections.{connection}] with its folder to lingqu.toml"
            ),
        });
    };
    let relative = Path::new(directory);
    let stays_inside = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if directory.is_empty() || directory.contains('\0') || !stays_inside {
        let reason = "name a table by its path within the connection's folder, without a leading `/` and without `..`";
        return Err(SourceError::BadOptions { reason: reason.to_owned() });
    }
    let unreadable = |error: std::io::Error| SourceError::Unreadable {
        file: directory.to_owned(),
        reason: error.kind().to_string(),
    };
    let folder = folder.canonicalize().map_err(unreadable)?;
    let place = Place { name: directory.to_owned(), path: folder.join(relative), folder };
    let path = place.path.canonicalize().map_err(unreadable)?;
    if !path.starts_with(&place.folder) {
        return Err(place.unreadable("it is a link that leads out of the connection's folder"));
    }
    Ok(Place { path, ..place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("given");
        std::fs::create_dir_all(folder.join("table")).unwrap();
        std::fs::create_dir_all(directory.path().join("secret")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("secret"), folder.join("link")).unwrap();
        let connection: ConnectionName = "lake".parse().unwrap();
        let places = Places { folders: [(connection.clone(), folder)].into(), ..Places::default() };
        assert!(within(&places, &connection, "table").is_ok());
        assert!(within(&places, &connection, "./table").is_ok());
        for wrong in ["", "..", "../secret", "table/../../secret", "/etc", "link", "nothing", "a\0b"] {
            assert!(within(&places, &connection, wrong).is_err(), "{wrong:?}");
        }
        assert!(within(&places, &"other".parse().unwrap(), "table").is_err());
    }
}
