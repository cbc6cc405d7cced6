//! The rows that a receipt names, read back from its text: a Roaring bitmap in the portable 64-bit form, base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roaring::RoaringTreemap;

/// The rows of a set; none where the text is not what a receipt holds.
pub(crate) fn rows_of(row_set: &str) -> Option<RoaringTreemap> {
    RoaringTreemap::deserialize_from(&bytes_of(row_set)?[..]).ok()
}

/// The text of a set that is told by ranges of rows, first and last: what a receipt holds. For what makes receipts without the
/// delivery path, such as measurements.
pub fn row_set_text(ranges: impl IntoIterator<Item = (u64, u64)>) -> String {
    let mut rows = RoaringTreemap::new();
    for (first, last) in ranges {
        rows.insert_range(first..=last);
    }
    rows.optimize();
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut bytes).expect("writing into memory can't fail");
    STANDARD.encode(bytes)
}

/// The bytes of a base64 text with its padding; none for anything else.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_the_golden_receipts() {
        let rows = rows_of("OjAAAAEAAAAAAAIAEAAAAAEAAgADAA==");
        assert_eq!(rows, None, "a set that was cut off");
        let rows = rows_of("AQAAAAAAAAAAAAAAOjAAAAEAAAAAAAEAEAAAAAEAAwA=");
        assert_eq!(rows.map(|rows| rows.iter().collect::<Vec<_>>()), Some(vec![1, 3]));
        let text = row_set_text([(5, 9), (1 << 40, 1 << 40)]);
        let rows = rows_of(&text).unwrap();
        assert_eq!(rows.iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9, 1 << 40]);
    }
}
