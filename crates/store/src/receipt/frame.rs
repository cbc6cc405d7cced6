//! The frames of a segment, one for each group. All numbers are big-endian.
//!
//! ```text
//! plain frame := "LQRG" · group length u32 · crc32c u32 of length and group · group
//! frame       := "LQRG" · group length u32 · table length u32 · kept length u32 · crc32c u32 of lengths, group and table
//!                · group · table · kept
//! table       := { place in the group u16 · sealed length u32 }*
//! kept        := padding · slot* · sealed request*
//! ```
//!
//! The checksum covers what never changes. What is kept may be erased in place, so each slot has a checksum of its own and
//! one of its sealed request (see [`super::request`]). Padding puts the slots at multiples of their size in the file, so that
//! none lies across two sectors of the disk: a slot that is overwritten is, after any crash, the old one or the new one.
//!
//! Plain frames stand in segments from before requests were kept in them; they are read and no longer written.

use std::ops::Range;

use super::request::{SEALED_BYTES_MAX, SLOT_BYTES, SealedRequest, Slot};
use super::{GROUP_BYTES_MAX, GROUP_RECORDS_MAX, group};

const FRAME_MAGIC: &[u8; 4] = b"LQRG";
const PLAIN_HEADER_BYTES: usize = 4 + 4 + 4;
const HEADER_BYTES: usize = 4 + 3 * 4 + 4;
const TABLE_ROW_BYTES: usize = 2 + 4;
const TABLE_BYTES_MAX: usize = GROUP_RECORDS_MAX * TABLE_ROW_BYTES;
/// No group keeps more: it closes at [`GROUP_BYTES_MAX`], and one request may come on top of that.
const KEPT_BYTES_MAX: usize = SLOT_BYTES + GROUP_RECORDS_MAX * SLOT_BYTES + GROUP_BYTES_MAX + SEALED_BYTES_MAX;

/// What the frames of a segment are; the segment's header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Receipts alone.
    Plain,
    /// Receipts and the sealed requests that they name.
    WithRequests,
}

impl Form {
    /// Where the group begins in a frame.
    pub(super) fn group_at(self) -> usize {
        match self {
            Form::Plain => PLAIN_HEADER_BYTES,
            Form::WithRequests => HEADER_BYTES,
        }
    }
}

/// A frame whose checksum holds.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    /// The encoded receipts.
    pub(super) group: &'a [u8],
    /// Bytes of the whole frame, what is kept included.
    pub(super) bytes: usize,
    /// What it keeps, in the order of places.
    pub(super) kept: Vec<KeptPlace>,
}

/// Where a request is kept, counted from the beginning of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptPlace {
    /// The receipt's place in the group, from 0.
    pub(super) place: u16,
    pub(super) slot: Range<usize>,
    pub(super) sealed: Range<usize>,
}

/// The checksum of some bytes: CRC-32C, as iSCSI and most storage formats use it.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// A frame with requests, for writing at `offset` of its segment. `requests` are sealed requests by the places of their
/// receipts in the group, in order.
pub(super) fn encode(offset: u64, group: &[u8], requests: &[(u16, &SealedRequest)]) -> Vec<u8> {
    let table_bytes = requests.len() * TABLE_ROW_BYTES;
    let sealed_bytes: usize = requests.iter().map(|(_, request)| request.sealed.len()).sum();
    let padding = if requests.is_empty() { 0 } else { padding(offset, group.len(), table_bytes) };
    let kept_bytes = padding + requests.len() * SLOT_BYTES + sealed_bytes;
    let mut frame = Vec::with_capacity(HEADER_BYTES + group.len() + table_bytes + kept_bytes);
    frame.extend(FRAME_MAGIC);
    for length in [group.len(), table_bytes, kept_bytes] {
        frame.extend(u32::try_from(length).expect("a group and what it keeps are bounded").to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(group);
    for (place, request) in requests {
        frame.extend(place.to_be_bytes());
        frame.extend(u32::try_from(request.sealed.len()).expect("seal() bounds requests").to_be_bytes());
    }
    let crc = frame_crc(&frame[4..HEADER_BYTES - 4], &frame[HEADER_BYTES..]);
    frame[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    frame.resize(frame.len() + padding, 0);
    for (_, request) in requests {
        frame.extend_from_slice(&request.slot());
    }
    for (_, request) in requests {
        frame.extend_from_slice(&request.sealed);
    }
    frame
}

/// The frame that `bytes` begin with, if its checksum holds; `offset` is where they stand in the segment. What it keeps is
/// not looked at: see [`Frame::keeps_all`].
pub(super) fn read(form: Form, offset: u64, bytes: &[u8]) -> Option<Frame<'_>> {
    match form {
        Form::Plain => read_plain(bytes),
        Form::WithRequests => read_with_requests(offset, bytes),
    }
}

fn read_plain(bytes: &[u8]) -> Option<Frame<'_>> {
    let header = header_of(bytes, PLAIN_HEADER_BYTES)?;
    let length = number(header, 4)?;
    if length > group::ENCODED_BYTES_MAX {
        return None;
    }
    let group = bytes.get(PLAIN_HEADER_BYTES..PLAIN_HEADER_BYTES + length)?;
    let is_good = number(header, 8)? == frame_crc(&header[4..8], group) as usize;
    is_good.then_some(Frame { group, bytes: PLAIN_HEADER_BYTES + length, kept: Vec::new() })
}

fn read_with_requests(offset: u64, bytes: &[u8]) -> Option<Frame<'_>> {
    let header = header_of(bytes, HEADER_BYTES)?;
    let (group_bytes, table_bytes, kept_bytes) = (number(header, 4)?, number(header, 8)?, number(header, 12)?);
    if group_bytes > group::ENCODED_BYTES_MAX || table_bytes > TABLE_BYTES_MAX || kept_bytes > KEPT_BYTES_MAX {
        return None;
    }
    let fixed = bytes.get(HEADER_BYTES..HEADER_BYTES + group_bytes + table_bytes)?;
    if number(header, 16)? != frame_crc(&header[4..16], fixed) as usize {
        return None;
    }
    let whole_bytes = HEADER_BYTES + group_bytes + table_bytes + kept_bytes;
    if bytes.len() < whole_bytes {
        return None;
    }
    let (group, table) = fixed.split_at(group_bytes);
    let kept = if table.is_empty() {
        Vec::new()
    } else {
        let slots = HEADER_BYTES + group_bytes + table_bytes + padding(offset, group_bytes, table_bytes);
        places(table, slots)?
    };
    let kept_ends = kept.last().map_or(whole_bytes - kept_bytes, |last| last.sealed.end);
    (kept_ends == whole_bytes).then_some(Frame { group, bytes: whole_bytes, kept })
}

impl Frame<'_> {
    /// Whether every request that the frame was written with is there or was erased. `bytes` begin with the frame.
    pub(super) fn keeps_all(&self, bytes: &[u8]) -> bool {
        self.kept.iter().all(|kept| {
            let slot = bytes.get(kept.slot.clone()).and_then(Slot::decode);
            match (slot, bytes.get(kept.sealed.clone())) {
                (Some(Slot::Kept { sealed_crc, .. }), Some(sealed)) => checksum(sealed) == sealed_crc,
                (Some(Slot::Erased { .. }), Some(_)) => true,
                _ => false,
            }
        })
    }
}

/// The rows of a table whose slots begin at `slots`.
fn places(table: &[u8], slots: usize) -> Option<Vec<KeptPlace>> {
    let rows = table.chunks_exact(TABLE_ROW_BYTES);
    if !rows.remainder().is_empty() {
        return None;
    }
    let mut slot = slots;
    let mut sealed = slots + rows.len() * SLOT_BYTES;
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let place = u16::from_be_bytes(row[..2].try_into().ok()?);
        let sealed_bytes = number(row, 2).filter(|bytes| *bytes <= SEALED_BYTES_MAX)?;
        places.push(KeptPlace { place, slot: slot..slot + SLOT_BYTES, sealed: sealed..sealed + sealed_bytes });
        slot += SLOT_BYTES;
        sealed += sealed_bytes;
    }
    Some(places)
}

/// Bytes between the table and the slots of a frame at `offset`.
fn padding(offset: u64, group_bytes: usize, table_bytes: usize) -> usize {
    let slot_bytes = SLOT_BYTES as u64;
    let before = offset + (HEADER_BYTES + group_bytes + table_bytes) as u64;
    (before.next_multiple_of(slot_bytes) - before) as usize
}

fn header_of(bytes: &[u8], length: usize) -> Option<&[u8]> {
    bytes.get(..length).filter(|header| header.starts_with(FRAME_MAGIC))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
    usize::try_from(number).ok()
}

fn frame_crc(lengths: &[u8], fixed: &[u8]) -> u32 {
    crc32c::crc32c_append(checksum(lengths), fixed)
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::SealKey;

    use super::super::request::{erased_slot, seal};
    use super::*;

    /// What stood in plain segments, byte for byte.
    fn plain(group: &[u8]) -> Vec<u8> {
        let length = u32::try_from(group.len()).unwrap().to_be_bytes();
        let crc = frame_crc(&length, group).to_be_bytes();
        [FRAME_MAGIC.as_slice(), &length, &crc, group].concat()
    }

    #[test]
    fn a_plain_frame_is_read_and_keeps_nothing() {
        let bytes = [plain(b"group"), b"next".to_vec()].concat();
        let frame = read(Form::Plain, 20, &bytes).unwrap();
        assert_eq!((frame.group, frame.bytes), (&b"group"[..], PLAIN_HEADER_BYTES + 5));
        assert!(frame.kept.is_empty() && frame.keeps_all(&bytes));
        assert!(read(Form::WithRequests, 20, &bytes).is_none());
    }

    #[test]
    fn slots_are_aligned_wherever_the_frame_begins_and_each_changed_byte_is_noticed() {
        let key = SealKey::from_bytes([7; 32]);
        let requests = [seal(&key, "rcp_1", b"first").unwrap(), seal(&key, "rcp_2", b"").unwrap()];
        let requests = [(0, &requests[0]), (3, &requests[1])];
        for offset in [20, 63, 64, 65, 1_000_003] {
            let bytes = encode(offset, b"group", &requests);
            let frame = read(Form::WithRequests, offset, &bytes).unwrap();
            assert_eq!((frame.group, frame.bytes), (&b"group"[..], bytes.len()));
            assert_eq!(frame.kept.iter().map(|kept| kept.place).collect::<Vec<_>>(), [0, 3]);
            assert!(frame.keeps_all(&bytes));
            for kept in &frame.kept {
                assert_eq!((offset as usize + kept.slot.start) % SLOT_BYTES, 0);
            }
            let padding = frame.kept[0].slot.start - padding(offset, 5, 12)..frame.kept[0].slot.start;
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                let is_noticed =
                    read(Form::WithRequests, offset, &changed).is_none_or(|frame| !frame.keeps_all(&changed));
                assert_eq!(is_noticed, !padding.contains(&at), "byte {at} at {offset}");
                assert!(read(Form::WithRequests, offset, &bytes[..at]).is_none());
            }
        }
    }

    #[test]
    fn an_erased_request_is_no_damage() {
        let request = seal(&SealKey::from_bytes([7; 32]), "rcp_1", b"asked").unwrap();
        let mut bytes = encode(20, b"group", &[(0, &request)]);
        let kept = read(Form::WithRequests, 20, &bytes).unwrap().kept.remove(0);
        bytes[kept.slot].copy_from_slice(&erased_slot("2026-03-02T10:00:00+08:00").unwrap());
        // A crash may come before the sealed bytes are overwritten, after, and between.
        for zeros in [0, 7, kept.sealed.len()] {
            bytes[kept.sealed.start..kept.sealed.start + zeros].fill(0);
            assert!(read(Form::WithRequests, 20, &bytes).unwrap().keeps_all(&bytes));
        }
    }

    #[test]
    fn a_frame_without_requests_has_nothing_after_its_group() {
        let bytes = encode(20, b"group", &[]);
        assert_eq!(bytes.len(), HEADER_BYTES + 5);
        assert!(read(Form::WithRequests, 20, &bytes).unwrap().keeps_all(&bytes));
    }
}
