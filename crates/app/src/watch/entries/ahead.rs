//! Fetching bundles ahead of their reading: on the way from a log most of the time is waiting, so several are asked for at once.

use std::collections::VecDeque;
use std::ops::Range;

use lingqu_transparency::{TILE_WIDTH, TilePath, TransparencyError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::super::{RemoteFiles, TILE_BYTES_MAX, WatchError, fetch};
use crate::remote::{Remote, RemoteFault};

/// The largest bundle, in bytes: 256 entries of 65,535 bytes, each behind its length.
const BUNDLE_BYTES_MAX: usize = 256 * (2 + 65_535);
/// The largest bundle that is fetched before it is its turn, in bytes: each may be there packed and plain, in memory of up to twice
/// its size. A larger one is fetched by itself when it is read. All that are on the way or wait take less than 256 MiB so.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Bundles that are on the way or wait to be read.
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

/// A bundle that is on the way.
struct Fetching {
    index: u64,
    width: u16,
    task: JoinHandle<Result<Bundle, WatchError>>,
}

/// Bundles in their order, some of them on the way.
pub(super) struct Ahead {
    runtime: Handle,
    remote: Remote,
    url: String,
    /// Entries of the log.
    size: u64,
    indexes: Range<u64>,
    fetching: VecDeque<Fetching>,
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
            let bundle = async move { bundle(&remote, &url, (index, width), AHEAD_BYTES_MAX).await };
            self.fetching.push_back(Fetching { index, width, task: self.runtime.spawn(bundle) });
        }
        let Fetching { index, width, task } = self.fetching.pop_front().ok_or(WatchError::Interrupted)?;
        match self.runtime.block_on(task).map_err(|_| WatchError::Interrupted)? {
            Err(WatchError::Unreachable { fault: RemoteFault::TooLarge { .. }, .. }) => {
                self.runtime.block_on(bundle(&self.remote, &self.url, (index, width), BUNDLE_BYTES_MAX))
            }
            fetched => fetched,
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.fetching.iter().for_each(|fetching| fetching.task.abort());
    }
}

/// A bundle, or the full one that it is a beginning of: a log may drop partial ones once the full one exists.
async fn bundle(
    remote: &Remote,
    url: &str,
    (index, width): (u64, u16),
    bytes_max: usize,
) -> Result<Bundle, WatchError> {
    let asked = TilePath::entries(index, width);
    let (path, bytes) = match fetch(remote, url, &asked.to_string(), bytes_max).await? {
        Some(bytes) => (asked, bytes),
        None => {
            let full = TilePath::entries(index, FULL_WIDTH);
            match fetch(remote, url, &full.to_string(), bytes_max).await? {
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
