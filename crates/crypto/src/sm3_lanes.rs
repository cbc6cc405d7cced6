//! SM3 (GB/T 32905) of many messages at once: each has a lane of the processor's vectors.
//!
//! A message can't be divided, since every step needs the one before; messages beside each other can be digested in one go. The
//! library digests one at a time. It stays the one that says what SM3 is: the tests hold this against it.

use fearless_simd::{Level, Simd, SimdBase, dispatch, u32x8};
use sm3::{Digest as _, Sm3};

/// Messages that are digested together.
const LANES: usize = 8;
const BLOCK_BYTES: usize = 64;
/// With fewer messages than this the library is quicker, as most lanes would be empty.
const MESSAGES_MIN: usize = 3;
/// A longer message goes to the library: when all others are done it would be alone in its lane.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The first value of the state (GB/T 32905 section 4.1).
const INITIAL: [u32; 8] =
    [0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e];
/// The constant of each round (section 4.2), rotated as the round wants it.
const ROUNDS: [u32; 64] = {
    let mut rounds = [0; 64];
    let mut round = 0;
    while round < 64 {
        let constant: u32 = if round < 16 { 0x79cc4519 } else { 0x7a879d8a };
        rounds[round] = constant.rotate_left(round as u32 % 32);
        round += 1;
    }
    rounds
};

/// The digests of messages, each given in two parts.
pub(crate) fn digest_all(messages: &[[&[u8]; 2]]) -> Vec<[u8; 32]> {
    if messages.len() < MESSAGES_MIN {
        return messages.iter().map(digest_one).collect();
    }
    dispatch!(Level::new(), simd => digest_in_lanes(simd, messages))
}

fn digest_one([head, body]: &[&[u8]; 2]) -> [u8; 32] {
    Sm3::new().chain_update(head).chain_update(body).finalize().into()
}

/// A message in its lane.
#[derive(Clone, Copy)]
struct Lane<'a> {
    /// Its place among the messages.
    place: usize,
    parts: [&'a [u8]; 2],
    /// Where the next block begins.
    at: usize,
}

impl Lane<'_> {
    fn bytes(&self) -> usize {
        self.parts[0].len() + self.parts[1].len()
    }

    /// The next block of the message as it is padded (section 5.2).
    #[inline(always)]
    fn next_block(&mut self) -> [u8; BLOCK_BYTES] {
        let [head, body] = self.parts;
        let at = self.at;
        self.at += BLOCK_BYTES;
        let within = at.checked_sub(head.len()).and_then(|from| body.get(from..from + BLOCK_BYTES));
        if let Some(Ok(block)) = within.map(<[u8; BLOCK_BYTES]>::try_from) {
            return block;
        }
        let mut block = [0; BLOCK_BYTES];
        let bytes = self.bytes();
        for (offset, byte) in (at..bytes).zip(&mut block) {
            *byte = if offset < head.len() { head[offset] } else { body[offset - head.len()] };
        }
        if let Some(end) = bytes.checked_sub(at).and_then(|end| block.get_mut(end)) {
            *end = 0x80;
        }
        if self.is_done() {
            block[BLOCK_BYTES - 8..].copy_from_slice(&(8 * bytes as u64).to_be_bytes());
        }
        block
    }

    /// Whether all blocks were taken: the last one has the message's length behind the byte that ends it.
    fn is_done(&self) -> bool {
        self.at >= self.bytes() + 9
    }
}

#[inline(always)]
fn digest_in_lanes<S: Simd>(simd: S, messages: &[[&[u8]; 2]]) -> Vec<[u8; 32]> {
    let mut digests = vec![[0; 32]; messages.len()];
    let mut waiting = messages.iter().enumerate();
    let mut lanes: [Option<Lane<'_>>; LANES] = [None; LANES];
    let mut state = [[0; LANES]; 8];
    let mut words = [[0; LANES]; 16];
    loop {
        for (number, lane) in lanes.iter_mut().enumerate() {
            while lane.is_none() {
                let Some((place, parts)) = waiting.next() else { break };
                let taken = Lane { place, parts: *parts, at: 0 };
                if taken.bytes() > MESSAGE_BYTES_MAX {
                    digests[place] = digest_one(parts);
                    continue;
                }
                for (row, initial) in state.iter_mut().zip(INITIAL) {
                    row[number] = initial;
                }
                *lane = Some(taken);
            }
            let Some(lane) = lane else { continue };
            let block = lane.next_block();
            for (row, word) in words.iter_mut().zip(block.as_chunks::<4>().0) {
                row[number] = u32::from_be_bytes(*word);
            }
        }
        if lanes.iter().all(Option::is_none) {
            return digests;
        }
        compress(simd, &mut state, &words);
        for (number, lane) in lanes.iter_mut().enumerate() {
            if let Some(done) = lane.take_if(|lane| lane.is_done()) {
                for (bytes, row) in digests[done.place].as_chunks_mut::<4>().0.iter_mut().zip(&state) {
                    *bytes = row[number].to_be_bytes();
                }
            }
        }
    }
}

/// One block of each lane (section 5.3).
#[inline(always)]
fn compress<S: Simd>(simd: S, state: &mut [[u32; LANES]; 8], words: &[[u32; LANES]; 16]) {
    let load = |row: &[u32; LANES]| u32x8::from_slice(simd, row);
    let mut w: [u32x8<S>; 16] = words.each_ref().map(load);
    let mut variables = state.each_ref().map(load);
    // Two loops, so that which functions a round takes is known while compiling.
    for first in [0, 4, 8, 12] {
        for round in first..first + 4 {
            variables = step::<S, true>(variables, &mut w, round);
        }
    }
    for first in [16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60] {
        for round in first..first + 4 {
            variables = step::<S, false>(variables, &mut w, round);
        }
    }
    for (row, variable) in state.iter_mut().zip(variables) {
        (load(row) ^ variable).store_slice(row);
    }
}

/// One round, and the word of the round sixteen after it in the place of this one's.
#[inline(always)]
fn step<S: Simd, const IS_EARLY: bool>(
    [a, b, c, d, e, f, g, h]: [u32x8<S>; 8],
    w: &mut [u32x8<S>; 16],
    round: usize,
) -> [u32x8<S>; 8] {
    let word = |after: usize| (round + after) % 16;
    let rotated = rotate::<S, 12>(a);
    let ss1 = rotate::<S, 7>(rotated + e + ROUNDS[round]);
    let ss2 = ss1 ^ rotated;
    let ff = if IS_EARLY { a ^ b ^ c } else { (a & b) | (c & (a | b)) };
    let gg = if IS_EARLY { e ^ f ^ g } else { ((f ^ g) & e) ^ g };
    let tt1 = ff + d + ss2 + (w[word(0)] ^ w[word(4)]);
    let tt2 = gg + h + ss1 + w[word(0)];
    let mixed = w[word(0)] ^ w[word(7)] ^ rotate::<S, 15>(w[word(13)]);
    let mixed = mixed ^ rotate::<S, 15>(mixed) ^ rotate::<S, 23>(mixed);
    w[word(0)] = mixed ^ rotate::<S, 7>(w[word(3)]) ^ w[word(10)];
    let permuted = tt2 ^ rotate::<S, 9>(tt2) ^ rotate::<S, 17>(tt2);
    [tt1, a, rotate::<S, 9>(b), c, permuted, e, rotate::<S, 19>(f), g]
}

#[inline(always)]
fn rotate<S: Simd, const BITS: u32>(words: u32x8<S>) -> u32x8<S> {
    (words << BITS) | (words >> (32 - BITS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_the_library(messages: &[[&[u8]; 2]]) -> Vec<[u8; 32]> {
        messages.iter().map(digest_one).collect()
    }

    #[test]
    fn the_standard_s_examples_in_every_lane() {
        // GB/T 32905 examples A.1 and A.2.
        let short = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";
        let long = "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732";
        let block = b"abcd".repeat(16);
        for lane in 0..LANES {
            let mut messages = vec![[&b"a"[..], b"bc"]; LANES];
            messages[lane] = [b"", &block];
            for (number, digest) in digest_all(&messages).iter().enumerate() {
                assert_eq!(hex::encode(digest), if number == lane { long } else { short }, "message {number}");
            }
        }
    }

    #[test]
    fn every_length_around_the_ends_of_blocks() {
        let bytes: Vec<u8> = (0..=255).collect();
        for head in [0, 1, 16, 63, 64, 65] {
            let messages: Vec<[&[u8]; 2]> =
                (0..=200).map(|length| [&bytes[..head], &bytes[head / 2..][..length]]).collect();
            assert_eq!(digest_all(&messages), by_the_library(&messages), "after {head} bytes");
        }
    }

    #[test]
    fn a_long_message_among_short_ones() {
        let long = vec![7; MESSAGE_BYTES_MAX + 1];
        let messages: Vec<[&[u8]; 2]> =
            vec![[b"1", b"2"], [&long, b""], [b"", &long[1..]], [b"3", b""], [&long, &long]];
        assert_eq!(digest_all(&messages), by_the_library(&messages));
        let all_long = vec![[&long[..], &b"end"[..]]; 4];
        assert_eq!(digest_all(&all_long), by_the_library(&all_long));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn they_are_the_library_s(messages: Vec<(Vec<u8>, Vec<u8>)>) {
            let messages: Vec<[&[u8]; 2]> =
                messages.iter().map(|(head, body)| [head.as_slice(), body.as_slice()]).collect();
            prop_assert_eq!(digest_all(&messages), by_the_library(&messages));
        }
    }
}
