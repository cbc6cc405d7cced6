//! The rows that a receipt names, read back from its text: a Roaring bitmap in the portable 64-bit form, base64.

use roaring::RoaringTreemap;

/// Letters of base64 (RFC 4648 section 4) in the order of what they stand for.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// What a byte stands for that is no letter.
const NO_LETTER: u8 = u8::MAX;
/// What each byte stands for.
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NO_LETTER; 256];
    let mut at: u8 = 0;
    while at < 64 {
        values[LETTERS[at as usize] as usize] = at;
        at += 1;
    }
    values
}

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
    text_of(&bytes)
}

fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// The bytes of a base64 text with its padding; none for anything else.
pub(crate) fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let groups = text.len() / 4;
    for (number, group) in text.chunks_exact(4).enumerate() {
        let padding = match (group[2], group[3]) {
            (b'=', b'=') => 2,
            (_, b'=') => 1,
            _ => 0,
        };
        if padding > 0 && number + 1 != groups {
            return None;
        }
        let mut bits: u32 = 0;
        for letter in &group[..4 - padding] {
            let value = VALUES[usize::from(*letter)];
            if value == NO_LETTER {
                return None;
            }
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * padding;
        let [_, first, second, third] = bits.to_be_bytes();
        let whole = [first, second, third];
        if whole[3 - padding..].iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(&whole[..3 - padding]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        // RFC 4648 section 10.
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")]
        {
            assert_eq!(bytes_of(text).as_deref(), Some(bytes.as_bytes()), "{text}");
            assert_eq!(text_of(bytes.as_bytes()), text);
        }
        for bad in ["Z", "Zg=", "Zg==Zg==", "Zh==", "Zm9=", "Z===", "====", "Zm9 ", "Zm9\u{e9}"] {
            assert_eq!(bytes_of(bad), None, "{bad}");
        }
    }

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
