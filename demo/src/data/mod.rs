//! The demo's input. Three strands: the flights (REAL, volume), the divisions of Guangxi (REAL, defects) and the
//! drivers (SYNTHETIC, personal). The real files travel inside the program, compressed; they are decompressed on
//! demand, checked against `PROVENANCE.json` and written to a directory as ordinary source files, from which the
//! node imports them like anybody's. The synthetic strand is generated over the real divisions. Nothing here talks to
//! the node.

pub mod crosswalk;
mod crosswalk_tables;
pub mod drivers;
mod drivers_plan;
pub mod rules;
#[cfg(test)]
mod strand_tests;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What the files are and where they come from, as committed.
const PROVENANCE: &str = include_str!("../../data/PROVENANCE.json");

/// Each file of `demo/data` with its compressed bytes.
const EMBEDDED: [(&str, &[u8]); 7] = [
    ("flights.csv.zst", include_bytes!("../../data/flights.csv.zst")),
    ("weather.csv.zst", include_bytes!("../../data/weather.csv.zst")),
    ("planes.csv.zst", include_bytes!("../../data/planes.csv.zst")),
    ("airports.csv.zst", include_bytes!("../../data/airports.csv.zst")),
    ("airlines.csv.zst", include_bytes!("../../data/airlines.csv.zst")),
    ("divisions_statistical.csv.zst", include_bytes!("../../data/divisions_statistical.csv.zst")),
    ("divisions_gb2260.csv.zst", include_bytes!("../../data/divisions_gb2260.csv.zst")),
];

/// Whether data was found in the world or made by a generator. Shown wherever the data appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Nature {
    /// Records of something that happened.
    Real,
    /// Made by a seeded generator.
    Synthetic,
}

/// The published package that a file was taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Name of the package.
    pub package: String,
    /// Version of the package.
    pub version: String,
    /// The registry that published it: PyPI or npm.
    pub registry: String,
    /// File name of the package's archive.
    pub archive: String,
    /// SHA-256 of the archive, lower-case hexadecimal.
    pub archive_sha256: String,
    /// Licence, SPDX where there is one.
    pub licence: String,
    /// Where the licence was read and what the records are.
    pub licence_note: String,
    /// The file or files inside the archive.
    pub inside: String,
}

/// One file of the real strands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// File name in `demo/data`, ending in `.csv.zst`.
    pub file: String,
    /// REAL for every committed file.
    pub nature: Nature,
    /// Title for the Chinese console.
    pub title_zh: String,
    /// Title for the English console.
    pub title_en: String,
    /// Where it comes from.
    pub origin: Origin,
    /// What was done to it.
    pub done: String,
    /// Rows without the header.
    pub rows: u64,
    /// Bytes after decompression.
    pub content_bytes: u64,
    /// SHA-256 of the decompressed bytes, lower-case hexadecimal.
    pub content_sha256: String,
}

/// A source file that was written to disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Name of the table, e.g. `flights`.
    pub table: String,
    /// Where the CSV file lies.
    pub path: PathBuf,
    /// Bytes written.
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub sha256: String,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
}

/// Why the demo's input could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No embedded file has this table's name.
    #[error("the demo has no table {table}; it has {known}")]
    NoSuchTable {
        /// The name that was asked for.
        table: String,
        /// The names there are.
        known: String,
    },
    /// The content is not what `PROVENANCE.json` says.
    #[error("{file} does not have the content that PROVENANCE.json records; restore it, or run demo/data/make.py")]
    Changed {
        /// The file in `demo/data`.
        file: String,
    },
    /// A row of an embedded table cannot be read.
    #[error("line {line} of {file} is not {expected}; restore the file, or run demo/data/make.py")]
    BadRow {
        /// The file in `demo/data`.
        file: String,
        /// Line, counted from 1 for the header.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// The generator was asked for something it cannot make.
    #[error("cannot generate drivers: {reason}")]
    Generator {
        /// What is wrong with the request, and what to ask for.
        reason: String,
    },
    /// A file could not be written.
    #[error("cannot write {path}; check that the directory can be written and has room")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The provenance of every real file, in the order in which the files are imported.
pub fn provenance() -> Vec<Provenance> {
    #[derive(Deserialize)]
    struct Document {
        files: Vec<Provenance>,
    }
    let document: Document =
        serde_json::from_str(PROVENANCE).expect("the committed document is read by a test in this file");
    document.files
}

/// The decompressed CSV of one table (`flights`, `weather`, `planes`, `airports`, `airlines`,
/// `divisions_statistical`, `divisions_gb2260`), checked against the recorded length and hash.
pub fn read(table: &str) -> Result<Vec<u8>, DataError> {
    let file = format!("{table}.csv.zst");
    let embedded = EMBEDDED.iter().find(|(name, _)| *name == file);
    let entry = provenance().into_iter().find(|entry| entry.file == file);
    let (Some((_, compressed)), Some(entry)) = (embedded, entry) else {
        let known: Vec<&str> = EMBEDDED.iter().map(|(name, _)| table_name(name)).collect();
        return Err(DataError::NoSuchTable { table: table.to_owned(), known: known.join(", ") });
    };
    decompress(&entry, compressed)
}

/// Writes every real table as `<table>.csv` into `directory`, which is created when it is missing. Existing files of
/// these names are replaced.
pub fn write_real(directory: &Path) -> Result<Vec<Written>, DataError> {
    let mut written = Vec::with_capacity(EMBEDDED.len());
    for (name, _) in EMBEDDED {
        let table = table_name(name);
        written.push(write_csv(directory, table, &read(table)?, Nature::Real)?);
    }
    Ok(written)
}

/// Writes one CSV into `directory` and says what was written.
fn write_csv(directory: &Path, table: &str, content: &[u8], nature: Nature) -> Result<Written, DataError> {
    let path = directory.join(format!("{table}.csv"));
    let failed = |source| DataError::Write { path: path.clone(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    fs::write(&path, content).map_err(failed)?;
    Ok(Written {
        table: table.to_owned(),
        bytes: content.len() as u64,
        sha256: sha256_hex(content),
        nature,
        path: path.clone(),
    })
}

fn table_name(file: &str) -> &str {
    file.strip_suffix(".csv.zst").unwrap_or(file)
}

fn decompress(entry: &Provenance, compressed: &[u8]) -> Result<Vec<u8>, DataError> {
    let changed = || DataError::Changed { file: entry.file.clone() };
    let decoder = zstd::stream::read::Decoder::new(compressed).map_err(|_| changed())?;
    let mut content = Vec::with_capacity(usize::try_from(entry.content_bytes).map_err(|_| changed())?);
    // One byte more than recorded is enough to know that it is not the recorded content.
    decoder.take(entry.content_bytes + 1).read_to_end(&mut content).map_err(|_| changed())?;
    if sha256_hex(&content) != entry.content_sha256 {
        return Err(changed());
    }
    Ok(content)
}

fn sha256_hex(content: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(content) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_the_recorded_content_and_row_count() {
        let entries = provenance();
        assert_eq!(entries.len(), EMBEDDED.len());
        for entry in entries {
            assert_eq!(entry.nature, Nature::Real);
            let content = read(table_name(&entry.file)).unwrap();
            assert_eq!(content.len() as u64, entry.content_bytes, "{}", entry.file);
            let lines = content.iter().filter(|byte| **byte == b'\n').count() as u64;
            assert_eq!(lines, entry.rows + 1, "{}", entry.file);
        }
    }

    #[test]
    fn a_changed_or_longer_content_is_refused() {
        let mut entry = provenance().into_iter().find(|entry| entry.file == "airlines.csv.zst").unwrap();
        let content = read("airlines").unwrap();
        let mut changed = content.clone();
        changed[30] ^= 1;
        let mut longer = content.clone();
        longer.push(b'\n');
        for wrong in [changed, longer, Vec::new()] {
            let compressed = zstd::stream::encode_all(wrong.as_slice(), 3).unwrap();
            assert!(matches!(decompress(&entry, &compressed), Err(DataError::Changed { .. })));
        }
        assert!(matches!(decompress(&entry, b"not zstd"), Err(DataError::Changed { .. })));
        entry.content_sha256 = sha256_hex(&content);
        let compressed = zstd::stream::encode_all(content.as_slice(), 3).unwrap();
        assert_eq!(decompress(&entry, &compressed).unwrap(), content);
    }

    #[test]
    fn files_are_written_as_recorded_and_an_unknown_table_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let written = write_real(&directory.path().join("sources")).unwrap();
        assert_eq!(written.len(), 7);
        for (file, entry) in written.iter().zip(provenance()) {
            assert_eq!(file.sha256, entry.content_sha256);
            assert_eq!(fs::read(&file.path).unwrap().len() as u64, entry.content_bytes);
        }
        let message = read("trains").unwrap_err().to_string();
        assert!(message.contains("no table trains; it has flights, weather"), "{message}");
    }
}
