//! Fetching bundles ahead of their reading: on the way from a log most of the time is waiting, so several are asked for at once.

use std::collections::VecDeque;
use std::ops::Range;

use lingqu_transparency::{TILE_WIDTH, TilePath, TransparencyError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::{RemoteFiles, TILE_BYTES_MAX, WatchError, fetch};
use crate::remote::Remote;

/// The largest bundle, in bytes: 256 entries of 65,535 bytes, each behind its length.
const BUNDLE_BYTES_MAX: usize = 256 * (2 + 65_535);
/// Bundles that are on the way or wait to be read: a log of the largest entries fills 256 MiB with them, one of ours a third of one.
const BUNDLES_AT_ONCE: usize = 16;
/// How many entries a full bundle has.
const FULL_WIDTH: u16 = TILE_WIDTH as u16;

/// A bundle as a log serves it.
#[derive(Debug)]
pub(super) struct Bundle {
    /// Which it is: the one that was asked for, or the full one that that is a beginning of.
    pub(super) path: TilePath,
    pub(super) bytes: Vec<u8>,
    /// The tile of its entries' leaf hashes, where the log has all of them.
    pub(super) hashes: Option<Vec<u8>>,
}

/// Bundles in their order, some of them on the way.
pub(super) struct Ahead {
    runtime: Handle,
    remote: Remote,
    url: String,
    /// Entries of the log.
    size: u64,
    indexes: Range<u64>,
    fetching: VecDeque<JoinHandle<Result<Bundle, WatchError>>>,
}

impl Ahead {
    /// Begins to fetch the bundles of some indexes of a log of `size` entries.
    pub(super) fn begin(files: &RemoteFiles, indexes: Range<u64>, size: u64) -> Ahead {
        let (runtime, remote, url) = (files.runtime.clone(), files.remote.clone(), files.url.clone());
        Ahead { runtime, remote, url, size, indexes, fetching: VecDeque::new() }
    }

    /// The next bundle. Waits for the network; is called off the async threads, as often as there are indexes.
    pub(super) fn next(&mut self) -> Result<Bundle, WatchError> {
        while self.fetching.len() < BUNDLES_AT_ONCE
            && let Some(index) = self.indexes.next()
        {
            let width = self.size.saturating_sub(index * TILE_WIDTH).min(TILE_WIDTH);
            let width = u16::try_from(width).unwrap_or(u16::MAX);
            let (remote, url) = (self.remote.clone(), self.url.clone());
            self.fetching.push_back(self.runtime.spawn(async move { bundle(&remote, &url, index, width).await }));
        }
        let next = self.fetching.pop_front().ok_or(WatchError::Interrupted)?;
        self.runtime.block_on(next).map_err(|_| WatchError::Interrupted)?
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.fetching.iter().for_each(JoinHandle::abort);
    }
}

/// A bundle, or the full one that it is a beginning of: a log may drop partial ones once the full one exists.
async fn bundle(remote: &Remote, url: &str, index: u64, width: u16) -> Result<Bundle, WatchError> {
    let asked = TilePath::entries(index, width);
    let (path, bytes) = match fetch(remote, url, &asked.to_string(), BUNDLE_BYTES_MAX).await? {
        Some(bytes) => (asked, bytes),
        None => {
            let full = TilePath::entries(index, FULL_WIDTH);
            match fetch(remote, url, &full.to_string(), BUNDLE_BYTES_MAX).await? {
                Some(bytes) => (full, bytes),
                None => return Err(TransparencyError::TileMissing { path: asked.to_string() }.into()),
            }
        }
    };
    let hashes = match width == FULL_WIDTH {
        true => fetch(remote, url, &TilePath::hashes(0, index, FULL_WIDTH).to_string(), TILE_BYTES_MAX).await?,
        false => None,
    };
    Ok(Bundle { path, bytes, hashes })
}

/// The path of the full tile that a partial one is a beginning of; none where it is full.
pub(super) fn full_path(path: &str) -> Option<String> {
    let partial: TilePath = path.parse().ok()?;
    (!partial.is_full()).then(|| TilePath { width: FULL_WIDTH, ..partial }.to_string())
}
