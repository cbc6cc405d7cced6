//! The encoding of a group of receipts, the same in segment files and in PostgreSQL's blocks. All numbers are big-endian.
//!
//! ```text
//! group  := first_position u64 · count u16 · record{count}
//! record := salt 16 bytes · id(kind) · id(order_id) · id(receipt_id) · length u32 · canonical record
//! id     := length u8 · UTF-8
//! ```

use lingqu_crypto::Salt;

use super::{NewReceipt, Receipt};
use crate::error::StoreError;

/// Most bytes of an id or kind of a receipt.
pub const ID_BYTES_MAX: usize = 255;
/// Most bytes of one canonical record.
pub const RECORD_BYTES_MAX: usize = 960 * 1024;
/// No group is larger: a group closes at [`super::GROUP_BYTES_MAX`], and one record may come on top of that.
pub(super) const ENCODED_BYTES_MAX: usize = super::GROUP_BYTES_MAX + RECORD_BYTES_MAX + 4 * 1024;

const HEADER_BYTES: usize = 8 + 2;

/// Refuses a receipt that the encoding can't hold.
pub(super) fn check(receipt: &NewReceipt) -> Result<(), StoreError> {
    for (what, id) in [("kind", &receipt.kind), ("order id", &receipt.order_id), ("receipt id", &receipt.receipt_id)] {
        if id.len() > ID_BYTES_MAX {
            return Err(StoreError::invalid(format!(
                "the {what} of a receipt has {} bytes; the most is {ID_BYTES_MAX}",
                id.len()
            )));
        }
    }
    if receipt.record.len() > RECORD_BYTES_MAX {
        return Err(StoreError::invalid(format!(
            "a receipt has {} bytes; name fewer rows in one part, the most is {RECORD_BYTES_MAX}",
            receipt.record.len()
        )));
    }
    Ok(())
}

/// Bytes of one record in the encoding.
pub(super) fn record_bytes(receipt: &NewReceipt) -> usize {
    16 + 3 + receipt.kind.len() + receipt.order_id.len() + receipt.receipt_id.len() + 4 + receipt.record.len()
}

/// Encodes a group of checked receipts.
pub(super) fn encode<'a>(
    first_position: u64,
    records: impl ExactSizeIterator<Item = (&'a Salt, &'a NewReceipt)> + Clone,
) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(HEADER_BYTES + records.clone().map(|(_, receipt)| record_bytes(receipt)).sum::<usize>());
    bytes.extend(first_position.to_be_bytes());
    bytes.extend(u16::try_from(records.len()).expect("a group has at most GROUP_RECORDS_MAX records").to_be_bytes());
    for (salt, receipt) in records {
        bytes.extend(salt.0);
        for id in [&receipt.kind, &receipt.order_id, &receipt.receipt_id] {
            bytes.push(u8::try_from(id.len()).expect("check() bounds ids by ID_BYTES_MAX"));
            bytes.extend(id.as_bytes());
        }
        bytes.extend(
            u32::try_from(receipt.record.len()).expect("check() bounds records by RECORD_BYTES_MAX").to_be_bytes(),
        );
        bytes.extend(&receipt.record);
    }
    bytes
}

/// First position and count of an encoded group, from its first ten bytes.
pub(super) fn header(bytes: &[u8]) -> Option<(u64, u16)> {
    let first = u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    let count = u16::from_be_bytes(bytes.get(8..HEADER_BYTES)?.try_into().ok()?);
    (first > 0 && count > 0).then_some((first, count))
}

/// A receipt where it stands in an encoded group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) position: u64,
    pub(super) salt: Salt,
    pub(super) kind: &'a str,
    pub(super) order_id: &'a str,
    pub(super) receipt_id: &'a str,
    pub(super) record: &'a [u8],
}

impl Record<'_> {
    /// The same, to keep.
    pub(super) fn to_receipt(self) -> Receipt {
        let receipt = NewReceipt {
            receipt_id: self.receipt_id.to_owned(),
            order_id: self.order_id.to_owned(),
            kind: self.kind.to_owned(),
            record: self.record.to_vec(),
        };
        Receipt { position: self.position, salt: self.salt, receipt }
    }
}

/// Decodes a group; `None` when it isn't exactly what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Record<'_>>> {
    let (first, count) = header(bytes)?;
    let mut rest = &bytes[HEADER_BYTES..];
    let mut records = Vec::with_capacity(usize::from(count));
    for index in 0..u64::from(count) {
        let salt = Salt(take(&mut rest, 16)?.try_into().ok()?);
        let kind = take_id(&mut rest)?;
        let order_id = take_id(&mut rest)?;
        let receipt_id = take_id(&mut rest)?;
        let length = u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?);
        let record = take(&mut rest, usize::try_from(length).ok()?)?;
        records.push(Record { position: first.checked_add(index)?, salt, kind, order_id, receipt_id, record });
    }
    rest.is_empty().then_some(records)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

fn take_id<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(take(rest, 1)?[0]);
    std::str::from_utf8(take(rest, length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(record: &[u8]) -> NewReceipt {
        NewReceipt {
            receipt_id: "rcp_1".into(),
            order_id: "ord_1".into(),
            kind: "single".into(),
            record: record.to_vec(),
        }
    }

    #[test]
    fn a_group_reads_back_and_nothing_else_does() {
        let receipts = [(Salt([1; 16]), sample(b"{}")), (Salt([2; 16]), sample(b""))];
        let bytes = encode(41, receipts.iter().map(|(salt, receipt)| (salt, receipt)));
        let read = decode(&bytes).unwrap();
        assert_eq!(read.iter().map(|receipt| receipt.position).collect::<Vec<_>>(), [41, 42]);
        assert_eq!(read[0].to_receipt().receipt, receipts[0].1);
        assert_eq!(read[1].salt, receipts[1].0);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "{length} bytes of {} decode", bytes.len());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(decode(&longer).is_none());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(check(&sample(&vec![0; RECORD_BYTES_MAX])).is_ok());
        assert!(check(&sample(&vec![0; RECORD_BYTES_MAX + 1])).is_err());
        let mut long_id = sample(b"");
        long_id.order_id = "x".repeat(ID_BYTES_MAX + 1);
        assert!(check(&long_id).is_err());
    }
}
