//! Where the logs of snapshots are written. Delta's own local store names a commit before its contents are on the disk, and a loss of
//! power in between leaves a torn last commit, after which the table can't be read. Here a commit has its name once its contents last.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What the faults of this store are of.
const STORE: &str = "snapshots";

/// The local disk, on which a new file has its name once its contents are synced.
#[derive(Debug, Default)]
pub(super) struct CommitStore {
    disk: LocalFileSystem,
}

impl fmt::Display for CommitStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(STORE)
    }
}

#[async_trait]
impl ObjectStore for CommitStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        // What may be replaced is no commit.
        if options.mode != PutMode::Create {
            return self.disk.put_opts(location, payload, options).await;
        }
        let path = self.disk.path_to_filesystem(location)?;
        let written = tokio::task::spawn_blocking(move || name_durably(&path, &payload, File::sync_all));
        match written.await {
            Ok(Ok(())) => Ok(PutResult { e_tag: None, version: None }),
            Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists { path: location.to_string(), source: error.into() })
            }
            Ok(Err(error)) => Err(Error::Generic { store: STORE, source: error.into() }),
            Err(error) => Err(Error::Generic { store: STORE, source: error.into() }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.disk.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.disk.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.disk.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.disk.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.disk.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.disk.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.disk.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.disk.copy_opts(from, to, options).await
    }
}

/// Writes a file that has its name once `sync` has made its contents last, and whose name lasts when this returns. Error:
/// [`io::ErrorKind::AlreadyExists`] when there is one of the name, which stays as it is.
fn name_durably(
    path: &std::path::Path,
    contents: &PutPayload,
    sync: impl Fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    let directory = path.parent().unwrap_or(std::path::Path::new("/"));
    fs::create_dir_all(directory)?;
    // What local stores never list: a `#` and digits. A process that was killed may leave one behind, which only takes space.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!("#{}", uuid::Uuid::now_v7().as_u128()));
    let unfinished = PathBuf::from(unfinished);
    let mut file = File::create_new(&unfinished)?;
    let written = contents.iter().try_for_each(|part| file.write_all(part));
    // A link replaces nothing, unlike a renaming.
    let named = written.and_then(|()| sync(&file)).and_then(|()| fs::hard_link(&unfinished, path));
    drop(fs::remove_file(&unfinished));
    named?;
    sync(&File::open(directory)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_of(directory: &std::path::Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_commit_has_its_name_once_its_contents_are_synced() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("_delta_log");
        let path = log.join("0.json");
        let contents = PutPayload::from_static(b"whole");
        let refused = |_: &File| Err(io::Error::other("no power"));
        assert!(name_durably(&path, &contents, refused).is_err());
        assert!(files_of(&log).is_empty(), "what is not synced has no name");
        let synced = std::cell::RefCell::new(Vec::new());
        let told = |file: &File| {
            synced.borrow_mut().push((file.metadata()?.is_dir(), path.exists()));
            file.sync_all()
        };
        name_durably(&path, &contents, told).unwrap();
        assert_eq!(*synced.borrow(), [(false, false), (true, true)], "the contents before the name, then the name");
        assert_eq!(files_of(&log), ["0.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[tokio::test]
    async fn a_commit_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("0.json");
        let location = Path::from_absolute_path(&path).unwrap();
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let store = CommitStore::default();
        store.put_opts(&location, "first".into(), create()).await.unwrap();
        let refused = store.put_opts(&location, "second".into(), create()).await.unwrap_err();
        assert!(matches!(refused, Error::AlreadyExists { .. }), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(files_of(directory.path()), ["0.json"]);
    }
}
