//! Evidence in a folder: written as plain files, and read from them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lingqu_app::{EvidenceParts, EvidenceReport, part_number, part_number_of, verify_evidence_files};
use lingqu_transparency::{Evidence, EvidenceTrust};

use super::{FILE_BYTES_MAX, read_bounded};
use crate::failure::Failure;
use crate::{output, telemetry};

/// Most files and folders of a folder that is looked through.
const FILES_MAX: usize = 400_000;

/// Write the items of a bundle into a folder as plain files, for tools that others wrote
#[derive(Debug, clap::Args)]
pub struct UnpackArguments {
    /// The evidence
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder; new or empty
    #[arg(value_name = "FOLDER")]
    directory: PathBuf,
}

/// Unpacks. Error: the file is no evidence; the folder holds something.
pub fn run(arguments: &UnpackArguments) -> Result<(), Failure> {
    telemetry::start("warn", crate::config::LogFormat::Text)?;
    must_be_free(&arguments.directory)?;
    let count = unpack(&read_bounded(&arguments.file)?, &arguments.directory)?;
    output::print(&format!(
        "{count} files in {}; nothing was checked: run `lingqu audit verify {}`\n",
        arguments.directory.display(),
        arguments.directory.display()
    ))
}

/// Error: the folder holds something.
pub fn must_be_free(directory: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(Failure::Mend(format!("{} is not empty; name a new or an empty folder", directory.display())))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::file("read", directory, error)),
    }
}

/// Writes a bundle as files: all of them or none. Answers how many.
pub fn unpack(bundle: &[u8], directory: &Path) -> Result<usize, Failure> {
    let refused = |error: lingqu_transparency::TransparencyError| {
        Failure::Mend(format!("{error}; ask for the evidence again where it came from"))
    };
    let files = Evidence::parse(bundle).map_err(refused)?.to_files().map_err(refused)?;
    let beside = match directory.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let failed = |error| Failure::file("write", directory, error);
    let made = tempfile::TempDir::with_prefix_in(".lingqu-evidence-", beside).map_err(failed)?;
    for (path, bytes) in &files {
        let place = made.path().join(path);
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        std::fs::write(&place, bytes).map_err(failed)?;
    }
    if directory.is_dir() {
        std::fs::remove_dir(directory).map_err(failed)?;
    }
    std::fs::rename(made.path(), directory).map_err(failed)?;
    // It has another name now, under which it stays.
    let _ = made.keep();
    Ok(files.len())
}

/// Verifies evidence in a folder. Beside what was found: files that are no part of it.
pub fn verify(directory: &Path, trust: &EvidenceTrust) -> (EvidenceReport, Vec<String>) {
    let report = verify_evidence_files(&reader(directory), trust);
    // The same files once more, for their names.
    let listed =
        Evidence::from_files(&reader(directory)).and_then(|evidence| evidence.file_paths()).unwrap_or_default();
    let listed: BTreeSet<PathBuf> = listed.into_iter().map(PathBuf::from).collect();
    let strangers = found(directory).into_iter().filter(|path| !listed.contains(path));
    (report, strangers.map(|path| path.display().to_string()).collect())
}

/// Verifies the parts of one order's evidence, files or folders, in the order of their numbers; one is in memory at a time.
pub fn verify_parts(places: &[PathBuf], trust: &EvidenceTrust) -> Result<EvidenceReport, Failure> {
    let mut numbered = Vec::with_capacity(places.len());
    for place in places {
        let number = if place.is_dir() {
            Evidence::from_files(&reader(place)).ok().and_then(|evidence| part_number_of(&evidence))
        } else {
            part_number(&read_bounded(place)?)
        };
        let Some((number, _)) = number else {
            return Err(Failure::Mend(format!(
                "{} is no part of evidence in parts; verify it by itself",
                place.display()
            )));
        };
        numbered.push((number, place));
    }
    numbered.sort_unstable();
    let mut parts = EvidenceParts::default();
    for (_, place) in numbered {
        if place.is_dir() {
            parts.add_files(&reader(place), trust);
        } else {
            parts.add(&read_bounded(place)?, trust);
        }
    }
    parts.finish().ok_or_else(|| Failure::Mend("name the evidence to verify".to_owned()))
}

/// The parts of evidence that lie in a folder, by the names that an export gives them; none in one that is evidence itself.
pub fn parts_in(folder: &Path) -> Vec<PathBuf> {
    if folder.join("manifest").exists() {
        return Vec::new();
    }
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split_once("part-").is_some_and(|(_, rest)| rest.contains("-of-"))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
    entries.map(|entry| entry.path()).filter(is_part).collect()
}

/// Reads the files of a folder, once: all of them are no more than one file may have.
fn reader(directory: &Path) -> impl Fn(&str) -> Option<Vec<u8>> {
    let left = Cell::new(FILE_BYTES_MAX);
    move |path: &str| {
        let bytes = file_of(directory, path)?;
        left.set(left.get().checked_sub(bytes.len() as u64)?);
        Some(bytes)
    }
}

/// A file of a folder that somebody handed over. A pipe or a device in its place would be waited for, or read, without end.
fn file_of(directory: &Path, path: &str) -> Option<Vec<u8>> {
    let path = directory.join(path);
    if std::fs::metadata(&path).is_ok_and(|found| found.is_file()) { read_bounded(&path).ok() } else { None }
}

/// The files below a folder, relative to it, in order.
fn found(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![directory.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > FILES_MAX {
                return files;
            }
            let path = entry.path();
            // A link to a folder is told as a file and not followed.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(directory) {
                files.push(relative.to_owned());
            }
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::file_of;

    #[test]
    fn what_is_no_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("manifest"), b"text").unwrap();
        assert_eq!(file_of(directory.path(), "manifest"), Some(b"text".to_vec()));
        std::os::unix::fs::symlink("/dev/zero", directory.path().join("endless")).unwrap();
        for other in ["endless", ".", "missing"] {
            assert_eq!(file_of(directory.path(), other), None, "{other}");
        }
    }
}
