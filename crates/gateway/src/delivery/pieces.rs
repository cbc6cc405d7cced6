//! The bytes of an answer in pieces: small ones, so that a slow client takes each in time, and none before it is known whether the
//! answer ends soon.

use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use lingqu_app::AppError;
use lingqu_engine::export::{Chunk, ExportError};

use super::stream::Drawn;

/// Most bytes that are handed over at a time, so that a slow client still takes one before patience ends.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of an answer of one call that are there, unless it ends before, when the first of them is handed over.
const HELD_BACK_BYTES: usize = 1024 * 1024;

/// Bytes in pieces of at most [`PIECE_BYTES_MAX`].
pub(super) fn cut_small(
    chunks: impl Stream<Item = Result<Chunk, ExportError<AppError>>> + Send,
) -> impl Stream<Item = Result<Drawn<Bytes>, ExportError<AppError>>> + Send {
    async_stream::try_stream! {
        let mut chunks = pin!(chunks);
        while let Some(chunk) = chunks.next().await {
            for piece in pieces_of(chunk?) {
                yield piece;
            }
        }
    }
}

/// Holds an answer's beginning back until there are [`HELD_BACK_BYTES`] of it or all of it is there: HTTP has a status for what
/// ends it before, and none once something has left. What is held back has not left, so it is not counted, let alone charged; and
/// a quota that has too little for all of it lets out none.
pub(super) fn held_back(
    pieces: impl Stream<Item = Result<Drawn<Bytes>, ExportError<AppError>>> + Send,
) -> impl Stream<Item = Result<Drawn<Bytes>, ExportError<AppError>>> + Send {
    async_stream::try_stream! {
        let mut pieces = pin!(pieces);
        let mut held = Vec::new();
        let mut bytes = 0;
        while bytes < HELD_BACK_BYTES {
            let Some(next) = pieces.next().await else { break };
            let next = next?;
            bytes += next.piece.len();
            held.push(next);
        }
        let mut behind = bytes as u64;
        for piece in held {
            behind -= piece.piece.len() as u64;
            yield Drawn { behind, ..piece };
        }
        while let Some(piece) = pieces.next().await {
            yield piece?;
        }
    }
}

/// A chunk in pieces. Each has as large a part of its rows as of its bytes; the last one completes them.
fn pieces_of(chunk: Chunk) -> impl Iterator<Item = Drawn<Bytes>> {
    let Chunk { bytes: mut rest, rows } = chunk;
    let all = rest.len() as u128;
    let mut rows_before = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES_MAX));
        let so_far = u128::from(rows) * (all - rest.len() as u128) / all;
        let rows_so_far = u64::try_from(so_far).unwrap_or(rows);
        let rows_here = rows_so_far - rows_before;
        rows_before = rows_so_far;
        Some(Drawn { piece, rows: rows_here, behind: 0 })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_chunk_s_rows_go_with_its_bytes() {
        for (bytes, rows) in [(1, 1), (5, 8_192), (3 * PIECE_BYTES_MAX + 17, 131_072), (2 * PIECE_BYTES_MAX, 3), (9, 0)]
        {
            let whole = Bytes::from((0..bytes).map(|at| at as u8).collect::<Vec<_>>());
            let pieces: Vec<_> = pieces_of(Chunk { bytes: whole.clone(), rows }).collect();
            assert_eq!(pieces.iter().map(|drawn| drawn.rows).sum::<u64>(), rows, "{bytes} bytes");
            let joined: Vec<u8> = pieces.iter().flat_map(|drawn| drawn.piece.to_vec()).collect();
            assert_eq!(joined, whole);
            let mut rows_before = 0;
            let mut bytes_before = 0;
            for drawn in &pieces {
                assert!(drawn.piece.len() <= PIECE_BYTES_MAX && !drawn.piece.is_empty());
                rows_before += drawn.rows;
                bytes_before += drawn.piece.len();
                assert!(
                    u128::from(rows_before) * bytes as u128 <= u128::from(rows) * bytes_before as u128,
                    "never ahead"
                );
            }
        }
        assert_eq!(pieces_of(Chunk { bytes: Bytes::new(), rows: 3 }).count(), 0);
    }

    /// What ends an answer is told instead of it while there is little of it, and behind it once there is more.
    #[tokio::test]
    async fn an_answer_s_beginning_is_held_back_until_there_is_enough_or_all_of_it() {
        const BYTES: usize = 1024;
        let enough = HELD_BACK_BYTES / BYTES;
        for (count, fails, expected) in [
            (0, false, (0, false)),
            (3, false, (3, false)),
            (enough + 5, false, (enough + 5, false)),
            (0, true, (0, true)),
            (enough - 1, true, (0, true)),
            (enough, true, (enough, true)),
            (enough + 5, true, (enough + 5, true)),
        ] {
            let drawn =
                |number: usize| Drawn { piece: Bytes::from(vec![number as u8; BYTES]), rows: number as u64, behind: 0 };
            let mut pieces: Vec<_> = (0..count).map(|number| Ok(drawn(number))).collect();
            if fails {
                pieces.push(Err(ExportError::Hook(AppError::Behind)));
            }
            let found: Vec<_> = held_back(futures::stream::iter(pieces)).collect().await;
            let told = found.iter().filter(|piece| piece.is_err()).count();
            assert_eq!((found.len() - told, told == 1), expected, "{count} pieces");
            assert!(!fails || found.last().is_some_and(Result::is_err), "nothing comes behind an error");
            let behind: Vec<_> = found.iter().flatten().map(|drawn| drawn.behind as usize / BYTES).collect();
            let held = expected.0.min(enough);
            let expected_behind: Vec<_> = (0..expected.0).map(|number| held.saturating_sub(number + 1)).collect();
            assert_eq!(behind, expected_behind, "each tells of those that were held back behind it");
            let rows: Vec<u64> = found.iter().flatten().map(|drawn| drawn.rows).collect();
            assert_eq!(rows, (0..expected.0 as u64).collect::<Vec<_>>());
        }
    }

    /// Nothing is drawn beyond what is held back before it is handed over.
    #[tokio::test]
    async fn what_is_held_back_is_bounded() {
        let drawn = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&drawn);
        let pieces = futures::stream::iter(0..100).map(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(Drawn { piece: Bytes::from(vec![0; PIECE_BYTES_MAX]), rows: 1, behind: 0 })
        });
        let mut pieces = pin!(held_back(pieces));
        assert!(pieces.next().await.is_some_and(|piece| piece.is_ok()));
        assert_eq!(drawn.load(Ordering::SeqCst) as usize * PIECE_BYTES_MAX, HELD_BACK_BYTES);
    }
}
