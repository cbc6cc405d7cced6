//! The files that a Delta table's reader asks for: those within the connection's folder, links resolved, and no others,
//! whatever a log, a checkpoint or a deletion vector names. Nothing is ever written.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::reading::on_thread;

/// Read access to a folder, under the paths of the whole disk.
#[derive(Debug)]
pub(super) struct ConfinedStore {
    disk: LocalFileSystem,
    /// Links resolved.
    folder: PathBuf,
    was_left: Arc<AtomicBool>,
}

impl ConfinedStore {
    /// `folder` is a path with links resolved.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { disk: LocalFileSystem::new(), folder, was_left: Arc::default() }
    }

    /// Set when a file outside of the folder was asked for.
    pub(super) fn was_left(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.was_left)
    }

    /// Refuses a file that lies outside of the folder, and what is no regular file.
    async fn must_be_inside(&self, location: &Path) -> Result<()> {
        let path = self.disk.path_to_filesystem(location)?;
        let folder = self.folder.clone();
        let looked = on_thread(&self.folder, move || -> io::Result<bool> {
            let resolved = path.canonicalize()?;
            if !resolved.starts_with(&folder) {
                return Ok(false);
            }
            if resolved.metadata()?.is_file() {
                return Ok(true);
            }
            Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
        });
        let name = || location.to_string();
        match looked.await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => {
                self.was_left.store(true, Ordering::SeqCst);
                Err(Error::PermissionDenied { path: name(), source: "it lies outside of the folder".into() })
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotFound { path: name(), source: error.into() })
            }
            Ok(Err(error)) => Err(Error::PermissionDenied { path: name(), source: error.into() }),
            Err(none) => Err(Error::Generic { store: "folder", source: none.into() }),
        }
    }

    fn unwritten<T>() -> Result<T> {
        Err(Error::NotSupported { source: "sources are never written".into() })
    }
}

impl fmt::Display for ConfinedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a connection's folder")
    }
}

#[async_trait]
impl ObjectStore for ConfinedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.must_be_inside(location).await?;
        self.disk.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.must_be_inside(location).await?;
        self.disk.get_ranges(location, ranges).await
    }

    // Names alone; what they name is looked at when it is asked for.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.disk.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.disk.list_with_delimiter(prefix).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Self::unwritten()
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Self::unwritten()
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Self::unwritten()).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Self::unwritten()
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn only_regular_files_of_the_folder_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let folder = root.join("given");
        std::fs::create_dir_all(folder.join("t/_delta_log")).unwrap();
        std::fs::write(folder.join("t/a.parquet"), b"own").unwrap();
        std::fs::write(root.join("secret"), b"other").unwrap();
        std::os::unix::fs::symlink(root.join("secret"), folder.join("t/_delta_log/link.json")).unwrap();
        std::os::unix::fs::symlink(&root, folder.join("t/up")).unwrap();
        std::os::unix::fs::symlink(folder.join("t/a.parquet"), folder.join("t/inside")).unwrap();
        let store = ConfinedStore::new(folder.clone());
        let at = |path: &std::path::Path| Path::from_absolute_path(path).unwrap();
        for inside in ["t/a.parquet", "t/inside"] {
            assert_eq!(store.get(&at(&folder.join(inside))).await.unwrap().bytes().await.unwrap(), "own");
        }
        assert!(!store.was_left().load(Ordering::SeqCst));
        for outside in [root.join("secret"), folder.join("t/_delta_log/link.json"), folder.join("t/up/secret")] {
            store.was_left.store(false, Ordering::SeqCst);
            let error = store.get(&at(&outside)).await.unwrap_err();
            assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
            assert!(store.was_left().load(Ordering::SeqCst));
            assert!(store.get_range(&at(&outside), 0..1).await.is_err());
            assert!(store.head(&at(&outside)).await.is_err());
        }
        assert!(matches!(store.get(&at(&folder.join("t/none"))).await, Err(Error::NotFound { .. })));
        assert!(store.get(&at(&folder.join("t"))).await.is_err(), "a directory is no file");
        assert!(store.put(&at(&folder.join("t/new")), "x".into()).await.is_err());
        assert!(store.delete(&at(&folder.join("t/a.parquet"))).await.is_err());
        assert!(folder.join("t/a.parquet").exists() && !folder.join("t/new").exists());
    }
}
