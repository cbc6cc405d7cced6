//! The text of a request (claim, key or SQL), sealed beside the first record of its delivery and erasable.
//!
//! On a SQLite node it stands in the frame of its receipt's group, so that one write and one sync make both durable: no
//! receipt can be there without its request. It is sealed under a key of its own, derived from the node's vault key and a
//! secret of 32 random bytes that stands nowhere but in the request's slot. Erasing overwrites the slot in place, which
//! forgets the key, and then the sealed bytes. Neither is part of what log entries commit to.
//!
//! On PostgreSQL, and in segments from before, it is an item of the vault under the receipt's id; on PostgreSQL it is written
//! in the transaction of the receipt's block.
//!
//! ```text
//! slot := 1 u8 · secret 32 bytes · crc32c u32 of the sealed request · zeros · crc32c u32 of the 60 bytes before
//!       | 2 u8 · length u8 · when it was erased, RFC 3339 · zeros · crc32c u32 of the 60 bytes before
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lingqu_crypto::{SEAL_NONCE_BYTES, SEAL_OVERHEAD_BYTES, SealKey};
use zeroize::Zeroizing;

use super::frame::checksum;
use super::{ReceiptLog, blocking};
use crate::error::StoreError;
use crate::store::random;
use crate::vault::{ITEM_BYTES_MAX, VaultItem, VaultRead, hex_text};

/// Most bytes of a request's text.
pub const REQUEST_BYTES_MAX: usize = ITEM_BYTES_MAX;
/// Most bytes of a sealed request.
pub(super) const SEALED_BYTES_MAX: usize = REQUEST_BYTES_MAX + SEAL_OVERHEAD_BYTES;
/// Bytes of a slot: it divides a disk's sector.
pub(super) const SLOT_BYTES: usize = 64;

/// The kind of a vault item that holds a request.
const ITEM_KIND: &str = "request";
const SECRET_BYTES: usize = 32;
const SLOT_CRC_AT: usize = SLOT_BYTES - 4;
const SLOT_KEPT: u8 = 1;
const SLOT_ERASED: u8 = 2;
/// Most bytes of the time in an erased slot.
const ERASED_AT_BYTES_MAX: usize = SLOT_CRC_AT - 2;

/// A request that was sealed for a segment.
pub(super) struct SealedRequest {
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    pub(super) sealed: Vec<u8>,
}

/// A request on its way to the disk.
pub(super) enum NewRequest {
    /// Sealed for a segment.
    Sealed(SealedRequest),
    /// For the vault of a PostgreSQL node.
    Item(VaultItem),
}

/// What a slot says. It has no `Debug`: it holds a secret.
#[derive(PartialEq, Eq)]
pub(super) enum Slot {
    Kept { secret: Zeroizing<[u8; SECRET_BYTES]>, sealed_crc: u32 },
    Erased { at: String },
}

/// Where a request stands on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestPlace {
    pub(super) path: PathBuf,
    pub(super) slot_at: u64,
    pub(super) sealed_at: u64,
    pub(super) sealed_bytes: usize,
}

impl ReceiptLog {
    /// The text of the request that a delivery answered, by the id of its receipt: a salt of 16 bytes and the text, whose
    /// digest stands in the receipt.
    ///
    /// # Errors
    /// As [`ReceiptLog::read_after`]; [`StoreError::Sealed`] when the vault key is another one or the request was changed.
    pub async fn request(&self, receipt_id: &str) -> Result<VaultRead, StoreError> {
        if let Some(place) = self.place_of_request(receipt_id).await? {
            // Who erased it before its receipt was there left a note.
            let noted = self.inner.store.vault_get(receipt_id, "").await?;
            if matches!(noted, VaultRead::Erased { .. }) {
                return Ok(noted);
            }
            let (key, receipt_id) = (self.inner.store.vault_key().clone(), receipt_id.to_owned());
            return blocking(place, move |place| read(&key, &receipt_id, &place)).await;
        }
        let store = &self.inner.store;
        let items = store.vault_items(receipt_id).await?;
        let id = items.into_iter().find(|(_, kind)| kind == ITEM_KIND).map(|(id, _)| id).unwrap_or_default();
        store.vault_get(receipt_id, &id).await
    }

    /// Erases a request for good; its receipt stays. Erasing twice changes nothing, and a delivery that never was leaves
    /// nothing behind but a note. When this returns, the erasure is durable.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the log is not open for appending or `at` is no time; faults of the disk or database.
    /// After an error the request may be there still; erase it again.
    pub async fn erase_request(&self, receipt_id: &str, at: &str) -> Result<(), StoreError> {
        let slot = erased_slot(at)?;
        if !self.inner.is_open_for_appending() {
            return Err(StoreError::invalid(
                "the receipt log isn't open for writing; erase by the node that serves it",
            ));
        }
        match self.place_of_request(receipt_id).await? {
            Some(place) => blocking(place, move |place| erase(&place, &slot)).await,
            None => self.inner.store.vault_erase(receipt_id, at).await,
        }
    }

    /// A request for the queue.
    pub(super) fn new_request(&self, receipt_id: &str, text: &[u8]) -> Result<NewRequest, StoreError> {
        if self.inner.segments.is_some() {
            return Ok(NewRequest::Sealed(seal(self.inner.store.vault_key(), receipt_id, text)?));
        }
        check(text)?;
        Ok(NewRequest::Item(VaultItem {
            id: format!("vlt_{receipt_id}"),
            subject: receipt_id.to_owned(),
            kind: ITEM_KIND.to_owned(),
            plaintext: Zeroizing::new(text.to_vec()),
            index: None,
        }))
    }

    /// Where a segment keeps a delivery's request; none where it stands in the vault, or nowhere.
    async fn place_of_request(&self, receipt_id: &str) -> Result<Option<RequestPlace>, StoreError> {
        let Some(segments) = &self.inner.segments else { return Ok(None) };
        let Some(first) = self.positions_of_receipt(receipt_id).await?.into_iter().next() else { return Ok(None) };
        let segments = segments.clone();
        blocking(first, move |first| segments.request_place(first)).await
    }
}

impl NewRequest {
    /// Bytes that it takes in a group.
    pub(super) fn bytes(&self) -> usize {
        match self {
            NewRequest::Sealed(request) => SLOT_BYTES + request.sealed.len(),
            NewRequest::Item(item) => item.plaintext.len(),
        }
    }
}

impl SealedRequest {
    /// The slot that its key is derived from.
    pub(super) fn slot(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[0] = SLOT_KEPT;
        slot[1..=SECRET_BYTES].copy_from_slice(&self.secret[..]);
        slot[1 + SECRET_BYTES..5 + SECRET_BYTES].copy_from_slice(&checksum(&self.sealed).to_be_bytes());
        finished(slot)
    }
}

impl Slot {
    /// Reads a slot; none where it is not what was written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Slot> {
        let slot: &[u8; SLOT_BYTES] = bytes.try_into().ok()?;
        if slot[SLOT_CRC_AT..] != checksum(&slot[..SLOT_CRC_AT]).to_be_bytes() {
            return None;
        }
        match slot[0] {
            SLOT_KEPT => {
                let mut secret = Zeroizing::new([0; SECRET_BYTES]);
                secret.copy_from_slice(&slot[1..=SECRET_BYTES]);
                let sealed_crc = slot[1 + SECRET_BYTES..5 + SECRET_BYTES].try_into().ok()?;
                Some(Slot::Kept { secret, sealed_crc: u32::from_be_bytes(sealed_crc) })
            }
            SLOT_ERASED => {
                let text = slot[2..SLOT_CRC_AT].get(..usize::from(slot[1]))?;
                Some(Slot::Erased { at: std::str::from_utf8(text).ok()?.to_owned() })
            }
            _ => None,
        }
    }
}

/// The slot of a request that was erased at a time.
pub(super) fn erased_slot(at: &str) -> Result<[u8; SLOT_BYTES], StoreError> {
    if at.len() > ERASED_AT_BYTES_MAX {
        return Err(StoreError::invalid(format!(
            "the time of an erasure has {} bytes; write it as RFC 3339, the most is {ERASED_AT_BYTES_MAX}",
            at.len()
        )));
    }
    let mut slot = [0; SLOT_BYTES];
    slot[0] = SLOT_ERASED;
    slot[1] = at.len() as u8;
    slot[2..2 + at.len()].copy_from_slice(at.as_bytes());
    Ok(finished(slot))
}

fn finished(mut slot: [u8; SLOT_BYTES]) -> [u8; SLOT_BYTES] {
    let crc = checksum(&slot[..SLOT_CRC_AT]).to_be_bytes();
    slot[SLOT_CRC_AT..].copy_from_slice(&crc);
    slot
}

/// Seals a request under a new key.
pub(super) fn seal(vault_key: &SealKey, receipt_id: &str, text: &[u8]) -> Result<SealedRequest, StoreError> {
    check(text)?;
    let drawn = Zeroizing::new(random::<{ SECRET_BYTES + SEAL_NONCE_BYTES }>()?);
    let (mut secret, mut nonce) = (Zeroizing::new([0; SECRET_BYTES]), [0; SEAL_NONCE_BYTES]);
    secret.copy_from_slice(&drawn[..SECRET_BYTES]);
    nonce.copy_from_slice(&drawn[SECRET_BYTES..]);
    let sealed = key_of(vault_key, receipt_id, &secret).seal(nonce, context(receipt_id).as_bytes(), text);
    Ok(SealedRequest { secret, sealed })
}

/// The key of a request. Without the secret not even the vault key gives it.
fn key_of(vault_key: &SealKey, receipt_id: &str, secret: &[u8; SECRET_BYTES]) -> SealKey {
    let secret = Zeroizing::new(hex_text(secret));
    let context = Zeroizing::new(format!("receipt request\n{receipt_id}\n{}", secret.as_str()));
    vault_key.derive(&context)
}

/// What a sealed request is bound to, so that it can't be moved to another receipt.
fn context(receipt_id: &str) -> String {
    format!("lingqu receipt request\n{receipt_id}")
}

fn check(text: &[u8]) -> Result<(), StoreError> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err(StoreError::invalid(format!(
            "a request has {} bytes; the most is {REQUEST_BYTES_MAX}, ask for less at once",
            text.len()
        )));
    }
    Ok(())
}

fn read(vault_key: &SealKey, receipt_id: &str, place: &RequestPlace) -> Result<VaultRead, StoreError> {
    const DOING: &str = "opening a request";
    let file = File::open(&place.path).map_err(|error| StoreError::file("open", &place.path, error))?;
    let fault = |error| StoreError::file("read", &place.path, error);
    let mut slot_bytes = Zeroizing::new([0; SLOT_BYTES]);
    // What is erased between the two reads is found erased the second time.
    for _ in 0..2 {
        file.read_exact_at(&mut slot_bytes[..], place.slot_at).map_err(fault)?;
        let secret = match Slot::decode(&slot_bytes[..]) {
            Some(Slot::Erased { at }) => return Ok(VaultRead::Erased { erased_at: at }),
            Some(Slot::Kept { secret, .. }) => secret,
            None => return Err(StoreError::Sealed { doing: DOING }),
        };
        let mut sealed = vec![0; place.sealed_bytes];
        file.read_exact_at(&mut sealed, place.sealed_at).map_err(fault)?;
        let opened = key_of(vault_key, receipt_id, &secret).open(context(receipt_id).as_bytes(), &sealed);
        if let Ok(text) = opened {
            return Ok(VaultRead::Present(text));
        }
    }
    Err(StoreError::Sealed { doing: DOING })
}

/// Forgets the key first: from then on the sealed bytes open no more, whatever becomes of them.
fn erase(place: &RequestPlace, erased: &[u8; SLOT_BYTES]) -> Result<(), StoreError> {
    let path: &Path = &place.path;
    let file =
        OpenOptions::new().read(true).write(true).open(path).map_err(|error| StoreError::file("open", path, error))?;
    let write = |bytes: &[u8], at| file.write_all_at(bytes, at).and_then(|()| file.sync_data());
    let mut slot = Zeroizing::new([0; SLOT_BYTES]);
    file.read_exact_at(&mut slot[..], place.slot_at).map_err(|error| StoreError::file("read", path, error))?;
    if !matches!(Slot::decode(&slot[..]), Some(Slot::Erased { .. })) {
        write(erased, place.slot_at).map_err(|error| StoreError::file("erase in", path, error))?;
    }
    write(&vec![0; place.sealed_bytes], place.sealed_at).map_err(|error| StoreError::file("erase in", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_opens_with_its_own_key_alone() {
        let key = SealKey::from_bytes([7; 32]);
        let request = seal(&key, "rcp_1", b"asked").unwrap();
        let open = |key: &SealKey, id: &str, secret: &[u8; SECRET_BYTES]| {
            key_of(key, id, secret).open(context(id).as_bytes(), &request.sealed)
        };
        assert_eq!(open(&key, "rcp_1", &request.secret).unwrap().as_slice(), b"asked");
        assert!(open(&key, "rcp_2", &request.secret).is_err());
        assert!(open(&SealKey::from_bytes([8; 32]), "rcp_1", &request.secret).is_err());
        assert!(open(&key, "rcp_1", &[0; SECRET_BYTES]).is_err());
        assert!(seal(&key, "rcp_1", &vec![0; REQUEST_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn slots_read_back_and_nothing_else_does() {
        let request = seal(&SealKey::from_bytes([7; 32]), "rcp_1", b"asked").unwrap();
        let kept = Slot::Kept { secret: request.secret.clone(), sealed_crc: checksum(&request.sealed) };
        assert!(Slot::decode(&request.slot()) == Some(kept));
        let at = "2026-03-02T10:00:00.123456789+08:00";
        let erased = erased_slot(at).unwrap();
        assert!(Slot::decode(&erased) == Some(Slot::Erased { at: at.to_owned() }));
        for slot in [request.slot(), erased] {
            for changed_at in 0..SLOT_BYTES {
                let mut changed = slot;
                changed[changed_at] ^= 0x40;
                assert!(Slot::decode(&changed).is_none(), "byte {changed_at}");
            }
        }
        assert!(Slot::decode(&[0; SLOT_BYTES]).is_none());
        assert!(erased_slot(&"x".repeat(ERASED_AT_BYTES_MAX + 1)).is_err());
    }
}
