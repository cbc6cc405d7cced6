//! The files of an Iceberg table: addresses below its location are looked for below its directory; every other address,
//! every path that leads out of the folder, everything that is no regular file, and every attempt to write is refused.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use iceberg::io::{FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig, StorageFactory};
use iceberg::{Error, ErrorKind, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use serde::Serialize;

use super::super::reading::{on_thread, open_regular, read_whole};
use crate::source::pages::{self, PageError};

/// Largest file that is read as a whole: a list of files.
const LIST_BYTES_MAX: u64 = 256 << 20;
/// Largest piece of a data file that is read at once: the values of a column in a row group.
const PIECE_BYTES_MAX: u64 = 1 << 30;

/// A file of a table.
struct TableFile {
    folder: PathBuf,
    file: Arc<File>,
}

#[async_trait]
impl FileRead for TableFile {
    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let file = Arc::clone(&self.file);
        let read = on_thread(&self.folder, move || read_piece(&file, &range)).await;
        read.map_err(|none| unreadable(&none.into()))?
    }
}

fn read_piece(file: &File, range: &Range<u64>) -> Result<Bytes> {
    let invalid = |reason: &'static str| Error::new(ErrorKind::DataInvalid, reason);
    // What the file does not have is not made room for.
    if range.end > file.metadata().map_err(|error| unreadable(&error))?.len() {
        return Err(invalid("a file of the table is shorter than its metadata says"));
    }
    let length = range.end.saturating_sub(range.start);
    if length > PIECE_BYTES_MAX {
        return Err(invalid("a column of a row group is larger than 1 GiB; write the table with smaller row groups"));
    }
    let length = usize::try_from(length).map_err(|_| invalid("a piece of a file is too large"))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start).map_err(|error| unreadable(&error))?;
    Ok(Bytes::from(bytes))
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

    /// Does something with the file of an address, on a thread that may wait.
    async fn with_file<T: Send + 'static>(
        &self,
        address: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (storage, address) = (self.clone(), address.to_owned());
        let done = on_thread(&self.folder, move || -> Result<T> {
            work(&storage.path(&address)?).map_err(|error| unreadable(&error))
        })
        .await;
        done.map_err(|none| unreadable(&none.into()))?
    }

    /// Looks through the pages of a data file before the library makes room for them. The first of these fields of which
    /// some row may have no value.
    pub(super) async fn check_pages(&self, address: &str, fields: Vec<i32>) -> Result<Option<i32>> {
        let (storage, address) = (self.clone(), address.to_owned());
        // It takes as long as the file is large.
        let checked = tokio::task::spawn_blocking(move || {
            let invalid = |error: PageError| Error::new(ErrorKind::DataInvalid, error.to_string());
            let file = open_regular(&storage.path(&address)?).map_err(|error| unreadable(&error))?;
            let footer = ParquetMetaDataReader::new().parse_and_finish(&file);
            let footer = footer.map_err(|_| invalid(PageError::Damaged))?;
            pages::check_pages(&file, &footer).map_err(invalid)?;
            Ok(fields.into_iter().find(|field| !is_in_every_row(&footer, *field)))
        });
        checked.await.map_err(|_| Error::new(ErrorKind::Unexpected, "a reading ended early"))?
    }

    fn refused<T>() -> Result<T> {
        Err(Error::new(ErrorKind::FeatureUnsupported, "sources are never written"))
    }
}

/// Whether a data file tells by its footer that every row of it has a value of a field.
fn is_in_every_row(footer: &ParquetMetaData, field: i32) -> bool {
    let columns = footer.file_metadata().schema_descr().columns();
    let place = columns.iter().position(|column| {
        let told = column.self_type().get_basic_info();
        column.path().parts().len() == 1 && told.has_id() && told.id() == field
    });
    let Some(place) = place else { return false };
    let has_all = |group: &RowGroupMetaData| {
        let told = group.columns().get(place).and_then(ColumnChunkMetaData::statistics);
        told.and_then(Statistics::null_count_opt) == Some(0)
    };
    columns[place].max_def_level() == 0 || footer.row_groups().iter().all(has_all)
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
        let (storage, address) = (self.clone(), path.to_owned());
        let looked = on_thread(&self.folder, move || storage.path(&address).is_ok_and(|path| path.is_file())).await;
        looked.map_err(|none| unreadable(&none.into()))
    }

    async fn metadata(&self, path: &str) -> Result<FileMetadata> {
        let size = self.with_file(path, |path| Ok(open_regular(path)?.metadata()?.len())).await?;
        Ok(FileMetadata { size })
    }

    async fn read(&self, path: &str) -> Result<Bytes> {
        let bytes = self.with_file(path, |path| read_whole(path, LIST_BYTES_MAX)).await?;
        let too_large = || Error::new(ErrorKind::DataInvalid, "a list of files is larger than 256 MiB");
        Ok(Bytes::from(bytes.ok_or_else(too_large)?))
    }

    async fn reader(&self, path: &str) -> Result<Box<dyn FileRead>> {
        let file = self.with_file(path, open_regular).await?;
        Ok(Box::new(TableFile { folder: self.folder.clone(), file: Arc::new(file) }))
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

    #[tokio::test]
    async fn what_is_no_regular_file_is_not_opened_and_a_piece_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().canonicalize().unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
        assert!(made.success());
        std::fs::write(folder.join("file"), b"12345").unwrap();
        let storage = FolderStorage::new(folder.clone(), folder, "/t");
        // None of these comes back if a pipe is opened, for nobody writes to it.
        assert!(!storage.exists("/t/pipe").await.unwrap());
        assert!(storage.metadata("/t/pipe").await.is_err());
        assert!(storage.read("/t/pipe").await.is_err());
        assert!(storage.reader("/t/pipe").await.is_err());
        assert_eq!(storage.metadata("/t/file").await.unwrap().size, 5);
        let file = storage.reader("/t/file").await.unwrap();
        assert_eq!(file.read(1..4).await.unwrap(), "234");
        assert!(file.read(1..6).await.is_err(), "it has no such bytes");
        assert!(file.read(0..u64::MAX).await.is_err(), "no room is made for what is not there");
        // A sparse file has any size and takes no space.
        std::fs::File::create(storage.table.join("vast")).unwrap().set_len(PIECE_BYTES_MAX + 1).unwrap();
        assert!(storage.read("/t/vast").await.is_err());
        let vast = storage.reader("/t/vast").await.unwrap();
        let error = vast.read(0..PIECE_BYTES_MAX + 1).await.unwrap_err();
        assert!(error.to_string().contains("smaller row groups"), "{error}");
        assert_eq!(vast.read(PIECE_BYTES_MAX..PIECE_BYTES_MAX + 1).await.unwrap().len(), 1);
    }
}
