//! Evidence as plain files, for tools that others wrote: the items under names that people and programs know.
//!
//! | in the container | as a file |
//! |---|---|
//! | the manifest | `manifest` |
//! | `checkpoint`, `checkpoint.sm3` | the same |
//! | `vkey`, `vkey.sm3` | `keys/log.vkey`, `keys/log.sm3.vkey` |
//! | `witness/0.vkey` | `keys/witness-0.vkey` |
//! | `entry/7` | `entries/7.entry` |
//! | `proof/7`, `proof.sm3/7` | `proofs/7.tlog-proof`, `proofs/7.sm3.tlog-proof` |
//! | `record/3` | `records/3.json`: the canonical bytes, and `records/3.opening`: kind, position, salt, entry |
//! | everything else | the same |
//!
//! Both forms are verified by the same code and to the same end; one is made of the other without loss.

use std::collections::BTreeMap;

use crate::evidence::{ENTRY, PROOF, RECORD, TWIN_PROOF, TWIN_VKEY, VKEY, WITNESS, refused};
use crate::evidence_verify::verify_read;
use crate::{Evidence, EvidenceTrust, Report, TransparencyError};

/// The file that holds the signed manifest.
pub const MANIFEST_FILE: &str = "manifest";

/// Folders that hold what verification knows; other items may not stand in them.
const KNOWN_FOLDERS: [&str; 4] = ["keys", "entries", "proofs", "records"];

impl Evidence {
    /// The evidence as files, by path with `/` between its parts. Writing them into an empty folder can't reach outside it.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] when an item's name is no safe path or names what another one does.
    pub fn to_files(&self) -> Result<BTreeMap<String, Vec<u8>>, TransparencyError> {
        let mut files = BTreeMap::from([(MANIFEST_FILE.to_owned(), self.manifest_text().into_bytes())]);
        for item in &self.items {
            let paths = paths_of(&item.name)?;
            let parts = match &paths[..] {
                [_] => vec![item.bytes.clone()],
                _ => {
                    // A record: what was recorded, and the line before it.
                    let end = item.bytes.iter().position(|byte| *byte == b'\n').map_or(item.bytes.len(), |end| end + 1);
                    vec![item.bytes[end..].to_vec(), item.bytes[..end].to_vec()]
                }
            };
            for (path, bytes) in paths.into_iter().zip(parts) {
                if files.insert(path.clone(), bytes).is_some() {
                    return Err(refused(format!("item {}: two items would be the file {path}", item.name)));
                }
            }
        }
        // A path can't be a file and a folder.
        for path in files.keys() {
            let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
            if let Some(folder) = folders.find(|folder| files.contains_key(*folder)) {
                return Err(refused(format!("manifest: {path} would stand in {folder}, which is a file")));
            }
        }
        Ok(files)
    }

    /// Reads evidence from files; `read` answers the bytes of a path. A file that is missing is told by the item's bytes, which
    /// then do not have their digest.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] naming the manifest line that is damaged.
    pub fn from_files(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<Evidence, TransparencyError> {
        let manifest = read(MANIFEST_FILE).ok_or_else(|| refused("manifest: there is no such file".to_owned()))?;
        let text = String::from_utf8(manifest).map_err(|_| refused("manifest: it is not UTF-8".to_owned()))?;
        let (mut evidence, _) = Evidence::parse_manifest(&text)?;
        for item in &mut evidence.items {
            // What stands before the record in the container is its second file.
            for path in paths_of(&item.name)?.iter().rev() {
                item.bytes.extend(read(path).unwrap_or_default());
            }
        }
        Ok(evidence)
    }

    /// The paths that [`Evidence::to_files`] would write.
    ///
    /// # Errors
    /// Those named there.
    pub fn file_paths(&self) -> Result<Vec<String>, TransparencyError> {
        let mut paths = vec![MANIFEST_FILE.to_owned()];
        for item in &self.items {
            paths.extend(paths_of(&item.name)?);
        }
        Ok(paths)
    }
}

/// As [`crate::verify_evidence_with`], of evidence that lies in files.
pub fn verify_evidence_files(read: &dyn Fn(&str) -> Option<Vec<u8>>, trust: &EvidenceTrust) -> Report {
    verify_read(Evidence::from_files(read), trust)
}

/// The file of an item; of a record the two.
fn paths_of(name: &str) -> Result<Vec<String>, TransparencyError> {
    let under = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.contains('/'));
    let paths = if name == VKEY {
        vec!["keys/log.vkey".to_owned()]
    } else if name == TWIN_VKEY {
        vec!["keys/log.sm3.vkey".to_owned()]
    } else if let Some(rest) = under(WITNESS) {
        vec![format!("keys/witness-{rest}")]
    } else if let Some(index) = under(ENTRY) {
        vec![format!("entries/{index}.entry")]
    } else if let Some(index) = under(PROOF) {
        vec![format!("proofs/{index}.tlog-proof")]
    } else if let Some(index) = under(TWIN_PROOF) {
        vec![format!("proofs/{index}.sm3.tlog-proof")]
    } else if let Some(number) = under(RECORD) {
        vec![format!("records/{number}.json"), format!("records/{number}.opening")]
    } else {
        let folder = name.split('/').next().unwrap_or_default();
        if KNOWN_FOLDERS.contains(&folder) || name == MANIFEST_FILE {
            return Err(refused(format!("item {name}: its name is kept for files of another meaning")));
        }
        vec![name.to_owned()]
    };
    // Names hold small letters, digits, `.`, `_`, `-` and `/`: what is left to refuse is a way out of the folder.
    for path in &paths {
        if path.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with('.')) {
            return Err(refused(format!("item {name}: its name is no path within a folder")));
        }
    }
    Ok(paths)
}
