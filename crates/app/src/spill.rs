//! Where queries spill. What a process that was killed left there holds governed and ungoverned data in plain; the next node
//! on the directory removes it before it answers anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::AppError;

/// The folder of the node that serves.
const SERVING: &str = "serving";
/// What a process beside it left is older than any query when it is removed.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The folder for this process to spill in. Whoever holds the node's lock removes what earlier ones left.
pub(crate) fn directory(node: &Path, is_exclusive: bool) -> Result<PathBuf, AppError> {
    let spill = node.join("spill");
    if !is_exclusive {
        return Ok(spill.join(format!("beside-{}", std::process::id())));
    }
    let failed = |error: &std::io::Error| AppError::file("empty", &spill, error);
    let entries = match std::fs::read_dir(&spill) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(spill.join(SERVING)),
        Err(error) => return Err(failed(&error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        let metadata = entry.metadata().map_err(|error| failed(&error))?;
        let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        let is_beside = entry.file_name().to_string_lossy().starts_with("beside-");
        if is_beside && age < LEFT_OVER_AFTER {
            continue;
        }
        let removed =
            if metadata.is_dir() { std::fs::remove_dir_all(entry.path()) } else { std::fs::remove_file(entry.path()) };
        removed.map_err(|error| failed(&error))?;
    }
    Ok(spill.join(SERVING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_removed_and_who_runs_beside_is_left_alone() {
        let node = tempfile::tempdir().unwrap();
        let serving = directory(node.path(), true).unwrap();
        std::fs::create_dir_all(serving.join("datafusion-x")).unwrap();
        std::fs::write(serving.join("datafusion-x").join("rows"), "secret").unwrap();
        let beside = directory(node.path(), false).unwrap();
        std::fs::create_dir_all(&beside).unwrap();
        assert_eq!(directory(node.path(), true).unwrap(), serving);
        assert!(!serving.exists());
        assert!(beside.exists());
    }
}
