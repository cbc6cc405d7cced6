//! Damaged bytes for the tests of what reads a trace's evidence: others write it, so nothing of it may stop the program.

/// What stands where it shouldn't, in formats of text and in numbers.
const PIECES: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"4294967296",
    b"18446744073709551616",
    b"1e400",
    b"\"\"",
    b"null",
    b"[]",
    b"{}",
    b",",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\xf8\x7f",
    b"nan",
];

/// Inputs that follow from a number, each a few damages away from the sample (xorshift64*, Vigna 2016).
pub(super) fn damaged(sample: &[u8], rounds: u64) -> impl Iterator<Item = Vec<u8>> + '_ {
    (1..=rounds).map(|round| {
        let mut state = round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |limit: usize| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
        };
        let mut bytes = sample.to_vec();
        for _ in 0..=below(3) {
            let at = below(bytes.len() + 1);
            let end = (at + below(24)).min(bytes.len());
            match below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << below(8),
                1 => drop(bytes.drain(at..end)),
                2 => bytes.truncate(at),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    let to = below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                // A number for a number reaches farther than what no longer reads as one.
                4 => {
                    let is_digit = |at: &usize| bytes[*at].is_ascii_digit();
                    let places: Vec<usize> = (0..bytes.len()).filter(is_digit).collect();
                    if let Some(place) = places.get(below(places.len())) {
                        bytes[*place] = b'0' + below(10) as u8;
                    }
                }
                _ => {
                    let piece = PIECES[below(PIECES.len())];
                    bytes.splice(at..end.min(at + below(2)), piece.iter().copied());
                }
            }
        }
        bytes
    })
}
