//! The node's transparency log: receipts are committed, tiles grown, the checkpoint signed.

use std::time::Duration;

use lingqu_store::log::{LogError, LogFiles, LogPublisher, LogReader, Published};
use lingqu_store::store::Backend;
use lingqu_transparency::NoteSigner;
use serde::Serialize;

use crate::app::App;
use crate::error::AppError;

/// How long a node that was opened to look waits for the running one to publish: so often, with this pause.
const HEAD_POLLS_MAX: u32 = 100;
const HEAD_POLL_PAUSE: Duration = Duration::from_millis(50);

/// The published head of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointView {
    /// The log's origin, which is also the name of its key.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root hash, base64 as in the note.
    pub root: String,
    /// The signed note.
    pub note: String,
    /// The key that verifies it, in the form of C2SP signed-note.
    pub vkey: String,
}

impl From<LogError> for AppError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => AppError::Store(error),
            other => AppError::Log(other),
        }
    }
}

impl App {
    /// The log's origin: the node's id, which is known once it is initialised.
    pub fn log_origin(&self) -> Result<String, AppError> {
        let id = self.read(|state| state.node.values().next().map(|node| node.value.id.to_string()));
        let id = id.ok_or_else(|| AppError::NotInitialised(self.directory.clone()))?;
        Ok(format!("lingqu.node/{id}"))
    }

    pub(crate) fn log_signer(&self) -> Result<NoteSigner, AppError> {
        NoteSigner::new(&self.log_origin()?, self.keys.signing()).map_err(|error| AppError::Fault(error.to_string()))
    }

    fn log_files(&self) -> LogFiles {
        LogFiles::Directory(self.directory.join("log"))
    }

    /// Reads the published log, for serving and for proofs.
    pub fn log_reader(&self) -> Result<LogReader, AppError> {
        Ok(LogReader::new(self.log_files(), self.log_signer()?.verifier().clone()))
    }

    /// Commits everything that journal and receipts hold to the log and publishes its signed head.
    pub async fn publish_log(&self) -> Result<CheckpointView, AppError> {
        let mut publisher = self.publishing.lock().await;
        self.receipts.commit_to_log().await?;
        let open = match publisher.take() {
            Some(open) => open,
            None => LogPublisher::open(&self.store, self.log_files(), self.log_signer()?).await?,
        };
        // A publisher that failed is dropped: the next call takes the log up from its files again.
        let published = open.publish().await?;
        *publisher = Some(open);
        self.checkpoint_view(published)
    }

    /// A published head that holds everything recorded so far: published now, or by the running node beside which this one
    /// was opened, whose publisher is given a moment.
    pub(crate) async fn published_head(&self) -> Result<CheckpointView, AppError> {
        let in_use = match self.publish_log().await {
            Err(AppError::Log(in_use @ LogError::InUse { .. })) => in_use,
            other => return other,
        };
        let wanted = self.store.log_size().await?;
        let receipts = self.receipts.head().await?;
        for _ in 0..HEAD_POLLS_MAX {
            let committed = receipts == 0 || self.receipts.commit_of(receipts).await?.is_some();
            if let Some(head) = self.checkpoint().await?
                && head.size >= wanted
                && committed
                && head.size >= self.store.log_size().await?
            {
                return Ok(head);
            }
            tokio::time::sleep(HEAD_POLL_PAUSE).await;
        }
        Err(AppError::Log(in_use))
    }

    /// The published head; `None` before the first.
    pub async fn checkpoint(&self) -> Result<Option<CheckpointView>, AppError> {
        let published = self.log_reader()?.published().await?;
        published.map(|published| self.checkpoint_view(published)).transpose()
    }

    fn checkpoint_view(&self, published: Published) -> Result<CheckpointView, AppError> {
        let vkey = self.log_signer()?.verifier().to_string();
        let text = published.checkpoint.to_text();
        let root = text.lines().nth(2).unwrap_or_default().to_owned();
        Ok(CheckpointView {
            origin: published.checkpoint.origin,
            size: published.checkpoint.size,
            root,
            note: published.note,
            vkey,
        })
    }

    /// Which database the node runs on.
    pub fn backend(&self) -> Backend {
        self.store.backend()
    }
}
