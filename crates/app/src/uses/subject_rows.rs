//! Which rows of a product are about a person: a file beside the index, made from the product once.
//!
//! ```text
//! file := magic · row u64{…} · subject{…} · count of rows u64 · count of subjects u64 · magic
//! subject := first 16 bytes of the identity's keyed digest · number of his first row in the list u64 · count of rows u64
//! ```
//!
//! Subjects stand in the order of their digests, so one is found by bisection; no name is in the file. What is found is
//! held against the product before anything is told of it.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lingqu_crypto::IndexKey;
use lingqu_engine::product::Product;
use roaring::RoaringTreemap;

use crate::consent::identity_digest;
use crate::error::AppError;

const MAGIC: &[u8; 8] = b"LQROWS01";
const DIGEST_BYTES: usize = 16;
const SUBJECT_BYTES: u64 = 32;
const END_BYTES: u64 = 24;
/// Rows that are numbered in memory at once; of a larger product the rows are read several times.
const ROWS_AT_ONCE: u64 = 16 << 20;
/// Most rows of one person that are looked for. A product with more of them is told as one that can't be tied to him.
const ROWS_OF_PERSON_MAX: u64 = 1_000_000;

/// The rows of a product by person.
#[derive(Debug)]
pub(super) struct SubjectRows {
    path: PathBuf,
    file: File,
    rows: u64,
    subjects: u64,
}

impl SubjectRows {
    /// Opens the file of a product; none when it was not made yet.
    pub(super) fn open(path: &Path) -> Result<Option<SubjectRows>, AppError> {
        let unreadable = |error: std::io::Error| AppError::file("read", path, &error);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let size = file.metadata().map_err(unreadable)?.len();
        let mut end = [0; END_BYTES as usize];
        let at = size.checked_sub(END_BYTES).ok_or_else(|| damaged(path))?;
        file.read_exact_at(&mut end, at).map_err(unreadable)?;
        let eight = |at: usize| end[at..at + 8].try_into().map(u64::from_le_bytes).map_err(|_| damaged(path));
        let (rows, subjects) = (eight(0)?, eight(8)?);
        let expected = rows.checked_mul(8).zip(subjects.checked_mul(SUBJECT_BYTES));
        let expected = expected.and_then(|(rows, subjects)| rows.checked_add(subjects)?.checked_add(8));
        if end[16..] != MAGIC[..] || expected != Some(at) {
            return Err(damaged(path));
        }
        Ok(Some(SubjectRows { path: path.to_owned(), file, rows, subjects }))
    }

    /// Makes the file of a product. Reads the product and digests every name; not for a thread that serves others. Memory: some
    /// 30 bytes a subject and 128 MiB.
    pub(super) fn make(path: &Path, product: &Product, key: &IndexKey) -> Result<SubjectRows, AppError> {
        let fault = |error: lingqu_engine::StorageError| AppError::from(lingqu_engine::EngineError::from(error));
        let mut digests: Vec<[u8; DIGEST_BYTES]> = Vec::new();
        let mut visit = |name: &str| digests.push(digest_of(key, name));
        product.visit_subjects(&mut visit).map_err(fault)?;
        // Where each subject's rows begin in the list, and where the last one's end.
        let mut starts: Vec<u64> = vec![0; digests.len() + 1];
        let mut count = |_: usize, ordinal: Option<u32>| {
            if let Some(start) = ordinal.and_then(|ordinal| starts.get_mut(ordinal as usize + 1)) {
                *start += 1;
            }
        };
        product.visit_row_subjects(None, &mut count).map_err(fault)?;
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let unfinished = path.with_extension("unfinished");
        let unwritten = |error: std::io::Error| AppError::file("write", &unfinished, &error);
        let file = File::create(&unfinished).map_err(unwritten)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(MAGIC).map_err(unwritten)?;
        let mut from = 0;
        // Each round takes at least one subject.
        while from < digests.len() {
            let end = starts.partition_point(|start| *start <= starts[from] + ROWS_AT_ONCE);
            let to = end.saturating_sub(1).clamp(from + 1, digests.len());
            let rows = rows_of(product, &starts, from, to).map_err(fault)?;
            for row in rows {
                out.write_all(&row.to_le_bytes()).map_err(unwritten)?;
            }
            from = to;
        }
        let mut sorted: Vec<u32> = (0..u32::try_from(digests.len()).unwrap_or(u32::MAX)).collect();
        sorted.sort_unstable_by_key(|ordinal| digests[*ordinal as usize]);
        for ordinal in sorted {
            let at = ordinal as usize;
            out.write_all(&digests[at]).map_err(unwritten)?;
            out.write_all(&starts[at].to_le_bytes()).map_err(unwritten)?;
            out.write_all(&(starts[at + 1] - starts[at]).to_le_bytes()).map_err(unwritten)?;
        }
        let rows = starts.last().copied().unwrap_or(0);
        out.write_all(&rows.to_le_bytes()).map_err(unwritten)?;
        out.write_all(&(digests.len() as u64).to_le_bytes()).map_err(unwritten)?;
        out.write_all(MAGIC).map_err(unwritten)?;
        let finish = || -> std::io::Result<()> {
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            fs::rename(&unfinished, path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().map_err(|error| AppError::file("write", path, &error))?;
        SubjectRows::open(path)?.ok_or_else(|| damaged(path))
    }

    /// The rows of the person with an identity; none where he has more than [`ROWS_OF_PERSON_MAX`].
    pub(super) fn of(&self, key: &IndexKey, identity: &str) -> Result<Option<RoaringTreemap>, AppError> {
        let wanted = digest_of(key, identity);
        let (mut low, mut high) = (0, self.subjects);
        while low < high {
            let middle = low + (high - low) / 2;
            let (digest, start, count) = self.subject(middle)?;
            match digest.cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.list(start, count),
            }
        }
        Ok(Some(RoaringTreemap::new()))
    }

    fn subject(&self, number: u64) -> Result<([u8; DIGEST_BYTES], u64, u64), AppError> {
        let mut bytes = [0; SUBJECT_BYTES as usize];
        self.read(&mut bytes, 8 + self.rows * 8 + number * SUBJECT_BYTES)?;
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&bytes[..DIGEST_BYTES]);
        let eight = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).map_err(|_| damaged(&self.path));
        Ok((digest, eight(16)?, eight(24)?))
    }

    fn list(&self, start: u64, count: u64) -> Result<Option<RoaringTreemap>, AppError> {
        if start.checked_add(count).is_none_or(|end| end > self.rows) {
            return Err(damaged(&self.path));
        }
        if count > ROWS_OF_PERSON_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(count * 8).map_err(|_| damaged(&self.path))?];
        self.read(&mut bytes, 8 + start * 8)?;
        let number = |eight: &[u8]| eight.try_into().map_or(0, u64::from_le_bytes);
        Ok(Some(bytes.chunks_exact(8).map(number).collect()))
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<(), AppError> {
        self.file.read_exact_at(bytes, at).map_err(|error| AppError::file("read", &self.path, &error))
    }
}

/// The rows of the subjects `from` to before `to`, one subject after another.
fn rows_of(product: &Product, starts: &[u64], from: usize, to: usize) -> Result<Vec<u64>, lingqu_engine::StorageError> {
    let base = starts[from];
    let mut rows = vec![0; usize::try_from(starts[to] - base).unwrap_or(0)];
    let mut filled: Vec<u64> = starts[from..to].iter().map(|start| start - base).collect();
    // Rows come in their order, those of each subject column by themselves.
    let mut next = vec![0_u64; product.subject_column_count()];
    product.visit_row_subjects(None, &mut |place, ordinal| {
        let row = next[place];
        next[place] += 1;
        let Some(at) = ordinal.and_then(|ordinal| (ordinal as usize).checked_sub(from)) else { return };
        let Some(place) = filled.get_mut(at) else { return };
        if let Some(found) = usize::try_from(*place).ok().and_then(|place| rows.get_mut(place)) {
            *found = row;
            *place += 1;
        }
    })?;
    Ok(rows)
}

fn digest_of(key: &IndexKey, identity: &str) -> [u8; DIGEST_BYTES] {
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&identity_digest(key, identity).0[..DIGEST_BYTES]);
    short
}

fn damaged(path: &Path) -> AppError {
    super::segment::damaged(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_of_very_many_rows_is_not_tied_and_others_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("product.rows");
        let key = IndexKey::from_bytes([7; 32]);
        let rows = ROWS_OF_PERSON_MAX + 1;
        // The rows themselves are a hole in the file: all are row 0.
        let mut subjects = [("many", rows), ("few", 2)].map(|(name, count)| (digest_of(&key, name), count));
        subjects.sort_unstable();
        let mut end = Vec::new();
        for (digest, count) in subjects {
            end.extend_from_slice(&digest);
            end.extend_from_slice(&0_u64.to_le_bytes());
            end.extend_from_slice(&count.to_le_bytes());
        }
        end.extend_from_slice(&rows.to_le_bytes());
        end.extend_from_slice(&2_u64.to_le_bytes());
        end.extend_from_slice(MAGIC);
        let file = File::create(&path).unwrap();
        file.write_all_at(MAGIC, 0).unwrap();
        file.write_all_at(&end, 8 + 8 * rows).unwrap();
        let found = SubjectRows::open(&path).unwrap().unwrap();
        assert_eq!(found.of(&key, "many").unwrap(), None);
        assert_eq!(found.of(&key, "few").unwrap(), Some(RoaringTreemap::from_iter([0])));
        assert_eq!(found.of(&key, "nobody").unwrap(), Some(RoaringTreemap::new()));
    }
}
