//! What sketches of the former kind are compared with: the same rows as they were sketched then.
//!
//! A sketch that was recorded by a version before knows contributors by the texts that name them, blanks included, and may have
//! nobody's rows in it, each by itself: first it had, then it had not, and it does not say. So a new number is sketched in the same
//! way beside its own, with nobody's rows and without, and the lesser difference counts. None is recorded any more, so a number
//! that is asked for again is recorded anew.

use super::sketch::{Kind, Sketch};

/// The rows of a group as they were sketched then.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    /// Rows of contributors, by the text that names one.
    contributors: Sketch,
    /// Rows of nobody.
    nobodys: Sketch,
    /// Rows whose contributor is written with blanks around: at most so many contributors more were counted.
    padded: u64,
}

impl Former {
    pub(crate) fn new(buckets: u32) -> Self {
        let empty = Sketch::new(Kind::Toggled, buckets);
        Self { contributors: empty.clone(), nobodys: empty, padded: 0 }
    }

    /// Adds a row of a contributor.
    pub(crate) fn add(&mut self, contributor: u64, row: u64, is_padded: bool) {
        self.contributors.add(contributor, row);
        self.padded += u64::from(is_padded);
    }

    /// Adds a row of nobody.
    pub(crate) fn add_nobodys(&mut self, row_of: u64, row: u64) {
        self.nobodys.add(row_of, row);
    }

    pub(crate) fn merge(&mut self, other: &Former) {
        self.contributors.merge(&other.contributors);
        self.nobodys.merge(&other.nobodys);
        self.padded += other.padded;
    }

    /// At most so many contributors more were counted.
    pub(crate) fn padded(&self) -> u64 {
        self.padded
    }

    /// The sketches that may have been recorded of these rows.
    pub(crate) fn sketches(&self) -> Vec<Sketch> {
        let mut sketches = vec![self.contributors.clone()];
        if self.nobodys.filled() > 0 {
            let mut whole = self.contributors.clone();
            whole.merge(&self.nobodys);
            sketches.push(whole);
        }
        sketches
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        self.contributors.size() + self.nobodys.size()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (contributors, nobodys) = (self.contributors.to_bytes(), self.nobodys.to_bytes());
        let mut bytes = self.padded.to_le_bytes().to_vec();
        bytes.extend((contributors.len() as u64).to_le_bytes());
        bytes.extend(contributors);
        bytes.extend(nobodys);
        bytes
    }

    /// Reads [`Former::to_bytes`].
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Former> {
        let (padded, bytes) = bytes.split_first_chunk::<8>()?;
        let (length, bytes) = bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (contributors, nobodys) = bytes.split_at_checked(length)?;
        Some(Former {
            contributors: Sketch::of_bytes(contributors)?,
            nobodys: Sketch::of_bytes(nobodys)?,
            padded: u64::from_le_bytes(*padded),
        })
    }
}
