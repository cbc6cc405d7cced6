//! The files of an Iceberg table: addresses below its location are looked for below its directory; every other address,
//! every path that leads out of the folder, and every attempt to write is refused.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use iceberg::{Error, ErrorKind, Result};
use serde::Serialize;

/// Largest file that is read as a whole: a list of files.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// A file of a table. Its pages are mostly in memory, as those of snapshots are.
struct TableFile {
    file: Mutex<File>,
}

#[async_trait]
impl FileRead for TableFile {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        let length = range.end.saturating_sub(range.start);
        file.seek(SeekFrom::Start(range.start)).map_err(|error| unreadable(&error))?;
        // What the file does not have is not made room for.
        let found = (&mut *file).take(length).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if found as u64 != length {
            return Err(Error::new(ErrorKind::DataInvalid, "a file of the table is shorter than its metadata says"));
        }
        Ok(Bytes::from(bytes))
    }
}

/// Read access to one table's files.
#[derive(Clone, Debug, Serialize)]
pub(super) struct FolderStorage {
    folder: PathBuf,
    table: PathBuf,
    /// The table's location as its metadata has it, ending in `/`.
    location: String,
}

impl FolderStorage {
    /// `folder` and `table` are paths with links resolved.
    pub(super) fn new(folder: PathBuf, table: PathBuf, location: &str) -> Self {
        Self { folder, table, location: format!("{}/", location.trim_end_matches('/')) }
    }

    /// Where an address lies on the disk.
    fn path(&self, address: &str) -> Result<PathBuf> {
        let outside = || Error::new(ErrorKind::DataInvalid, "a file of the table lies outside of its location");
        let relative = plain(address).strip_prefix(plain(&self.location)).ok_or_else(outside)?.to_owned();
        let relative = Path::new(&relative);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(outside());
        }
        let missing = |_| Error::new(ErrorKind::DataInvalid, "a file of the table is missing");
        let path = self.table.join(relative).canonicalize().map_err(missing)?;
        if path.starts_with(&self.folder) { Ok(path) } else { Err(outside()) }
    }

    fn refused<T>() -> Result<T> {
        Err(Error::new(ErrorKind::FeatureUnsupported, "sources are never written"))
    }
}

/// An address of the local disk without its scheme, in any of the forms that writers use.
fn plain(address: &str) -> &str {
    for prefix in ["file://", "file:"] {
        if let Some(rest) = address.strip_prefix(prefix) {
            return rest;
        }
    }
    address
}

fn unreadable(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::DataInvalid, format!("a file of the table can't be read: {}", error.kind()))
}

#[async_trait]
impl Storage for FolderStorage {
    async fn exists(&self, path: &str) -> Result<bool> {
        Ok(self.path(path).is_ok_and(|path| path.exists()))
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let found = std::fs::metadata(self.path(path)?).map_err(|error| unreadable(&error))?;
        Ok(FileMetadata { size: found.len() })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let path = self.path(path)?;
        if std::fs::metadata(&path).map_err(|error| unreadable(&error))?.len() > LIST_BYTES_MAX {
            return Err(Error::new(ErrorKind::DataInvalid, "a list of files is larger than 256 MiB"));
        }
        Ok(Bytes::from(std::fs::read(path).map_err(|error| unreadable(&error))?))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let file = File::open(self.path(path)?).map_err(|error| unreadable(&error))?;
        Ok(Box::new(TableFile { file: Mutex::new(file) }))
    }

    async fn write(&self, _path: &str, _bytes: Bytes) -> Result<()> {
        Self::refused()
    }

    async fn writer(&self, _path: &str) -> Result<Box<dyn FileWrite>> {
        Self::refused()
    }

    async fn delete(&self, _path: &str) -> Result<()> {
        Self::refused()
    }

    async fn delete_prefix(&self, _path: &str) -> Result<()> {
        Self::refused()
    }

    async fn delete_stream(&self, _paths: BoxStream<'static, String>) -> Result<()> {
        Self::refused()
    }

    fn new_input(&self, path: &str) -> Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), path.to_owned()))
    }

    fn new_output(&self, _path: &str) -> Result<OutputFile> {
        Self::refused()
    }

    // The library's trait can be written down and read back by name; here that is never asked for.
    fn typetag_name(&self) -> &'static str {
        "FolderStorage"
    }

    fn typetag_deserialize(&self) {}
}

impl StorageFactory for FolderStorage {
    fn build(&self, _config: &StorageConfig) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }

    fn typetag_name(&self) -> &'static str {
        "FolderStorage"
    }

    fn typetag_deserialize(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_below_the_table_and_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().canonicalize().unwrap().join("given");
        let table = folder.join("t");
        std::fs::create_dir_all(table.join("data")).unwrap();
        std::fs::write(table.join("data/a.parquet"), b"x").unwrap();
        std::fs::write(directory.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(directory.path().join("secret"), table.join("data/link")).unwrap();
        let storage = FolderStorage::new(folder, table.clone(), "file:///elsewhere/t");
        for address in
            ["file:///elsewhere/t/data/a.parquet", "/elsewhere/t/data/a.parquet", "file:/elsewhere/t/data/a.parquet"]
        {
            assert_eq!(storage.path(address).unwrap(), table.join("data/a.parquet"), "{address}");
        }
        for address in [
            "/elsewhere/t/data/link",
            "/elsewhere/t/../secret",
            "/elsewhere/t2/data/a.parquet",
            "/etc/passwd",
            "s3://elsewhere/t/data/a.parquet",
            "/elsewhere/t//etc/passwd",
        ] {
            assert!(storage.path(address).is_err(), "{address}");
        }
    }
}
