//! Items sealed beside the journal: the requests of deliveries, thousands a second, durable before the call returns.
//!
//! They are written in groups, as receipts are: a task takes what waits, up to [`GROUP_ITEMS_MAX`] and
//! [`GROUP_BYTES_MAX`], and makes the group durable in one transaction. It never sleeps to gather more, so a lone item costs
//! one commit and a crowd shares it. What is refused of a group (an erased subject) is refused alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::{VaultItem, check_bytes, data_keys, hex_text, insert_items};
use crate::error::{AppendError, StoreError};
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, WriterLock, random};

/// Most items of one group: one statement holds them.
pub const GROUP_ITEMS_MAX: usize = INSERT_ROWS_MAX;
/// A group takes no further item once it has so many bytes.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Items that may wait for the writer; further callers wait for room.
pub const QUEUE_MAX: usize = 1_024;

/// Writes items outside of appends. [`VaultWriter::close`] or dropping it ends its task.
pub struct VaultWriter {
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// An item that waits for the writer, and the one who waits for it.
struct Waiting {
    item: VaultItem,
    answer: oneshot::Sender<Result<(), AppendError>>,
}

impl std::fmt::Debug for VaultWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VaultWriter").finish_non_exhaustive()
    }
}

impl VaultWriter {
    /// Starts the writing task on the runtime that this is called in.
    pub fn start(store: &Store) -> VaultWriter {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let task = tokio::spawn(run(store.clone(), receiver));
        VaultWriter { queue: Mutex::new(Some(sender)), task: Mutex::new(Some(task)) }
    }

    /// Seals one item and gives the id by which to refer to it, once it is durable. A caller who stops waiting leaves either
    /// the whole item or nothing.
    ///
    /// # Errors
    /// [`AppendError::Erased`] when the subject has been erased; [`StoreError::Invalid`] when the item is too large or the
    /// writer was closed; [`StoreError::Full`] and other faults of the database.
    pub async fn put(&self, subject: &str, kind: &str, plaintext: &[u8]) -> Result<String, AppendError> {
        check_bytes(subject, plaintext.len())?;
        let closed = || StoreError::invalid("the vault isn't open for writing; restart the node");
        let sender = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)?;
        let id = next_id()?;
        let item = VaultItem {
            id: id.clone(),
            subject: subject.to_owned(),
            kind: kind.to_owned(),
            plaintext: Zeroizing::new(plaintext.to_vec()),
            index: None,
        };
        let (answer, answered) = oneshot::channel();
        sender.send(Waiting { item, answer }).await.map_err(|_| closed())?;
        // Kept while waiting for the answer it would keep the queue open after close().
        drop(sender);
        answered.await.map_err(|_| closed())??;
        Ok(id)
    }

    /// Ends the writer after everything that waits has been written. Items are refused after this.
    pub async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            // An error means that it was torn down with its runtime; those who waited have been told.
            drop(task.await);
        }
    }
}

/// An id that begins with the time in milliseconds, so that items written one after another stand together in the index
/// and a group touches few of its pages.
fn next_id() -> Result<String, StoreError> {
    let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let unix_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX).to_be_bytes();
    Ok(format!("vlt_{}{}", hex_text(&unix_ms[2..]), hex_text(&random::<10>()?)))
}

/// Writes groups until the queue is closed and empty.
async fn run(store: Store, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.recv().await {
        let (items, answers) = gather(first, &mut queue);
        let written = write(&store, &items).await;
        if let Err(error) = &written {
            tracing::error!(%error, items = items.len(), "vault items could not be written");
        }
        for (item, answer) in items.iter().zip(answers) {
            let result = match &written {
                Ok(refused) => refused.get(&item.subject).cloned().map_or(Ok(()), Err),
                Err(error) => Err(error.clone().into()),
            };
            // Who no longer waits has gone away; the item stays all the same.
            drop(answer.send(result));
        }
    }
}

/// Takes what waits, without waiting for more, up to the limits of a group. `first` has been received already.
fn gather(
    first: Waiting,
    queue: &mut mpsc::Receiver<Waiting>,
) -> (Vec<VaultItem>, Vec<oneshot::Sender<Result<(), AppendError>>>) {
    let mut bytes = first.item.plaintext.len();
    let (mut items, mut answers) = (vec![first.item], vec![first.answer]);
    while items.len() < GROUP_ITEMS_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.item.plaintext.len();
        items.push(next.item);
        answers.push(next.answer);
    }
    (items, answers)
}

/// Makes one group durable; gives the subjects whose items were left out, and why.
async fn write(store: &Store, items: &[VaultItem]) -> Result<BTreeMap<String, AppendError>, StoreError> {
    const DOING: &str = "sealing into the vault";
    let write = store.begin_write(WriterLock::Vault, DOING).await?;
    let (mut keys, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for (subject, key) in data_keys(write.db(), store.vault_key(), items).await? {
        match key {
            Ok(key) => drop(keys.insert(subject, key)),
            Err(error) => drop(refused.insert(subject, error)),
        }
    }
    let sealable: Vec<&VaultItem> = items.iter().filter(|item| keys.contains_key(&item.subject)).collect();
    insert_items(write.db(), &keys, &sealable).await?;
    write.commit(DOING).await?;
    Ok(refused)
}
