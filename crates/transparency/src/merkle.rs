//! The Merkle tree of RFC 6962 section 2.1 with the verification algorithms of RFC 9162 section 2.1, over the digest of a
//! suite. The functions that name no suite are those of the specifications, over SHA-256.

use lingqu_crypto::Suite;

use crate::TransparencyError;

/// A hash of a leaf, a node or a whole tree: SHA-256, in the twin log SM3.
pub type Hash = [u8; 32];

/// The tree of one suite: how leaves and nodes are hashed, and proofs made and checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHasher(Suite);

impl TreeHasher {
    /// The tree of RFC 6962, over SHA-256.
    pub const SHA256: TreeHasher = TreeHasher(Suite::International);

    /// The same tree over SM3.
    pub const SM3: TreeHasher = TreeHasher(Suite::National);

    /// The tree over the digest of a suite.
    pub fn of(suite: Suite) -> TreeHasher {
        TreeHasher(suite)
    }

    /// The hash of a tree without leaves: the digest of nothing (RFC 6962 section 2.1).
    pub fn empty_root(self) -> Hash {
        self.0.digest(&[])
    }

    /// The hash of a leaf: the digest of a zero byte and the entry (RFC 6962 section 2.1).
    pub fn leaf_hash(self, entry: &[u8]) -> Hash {
        self.0.digest(&[&[0][..], entry])
    }

    /// The hashes of leaves, in one go.
    pub fn leaf_hashes(self, entries: &[Vec<u8>]) -> Vec<Hash> {
        let leaves: Vec<[&[u8]; 2]> = entries.iter().map(|entry| [&[0][..], entry.as_slice()]).collect();
        self.0.digest_all(&leaves)
    }

    /// The hash of an inner node: the digest of a one byte and both children (RFC 6962 section 2.1).
    pub fn node_hash(self, left: &Hash, right: &Hash) -> Hash {
        // In one piece: an inner node is hashed for every leaf there is, and two blocks at once are faster than three parts.
        let mut input = [1; 65];
        input[1..33].copy_from_slice(left);
        input[33..].copy_from_slice(right);
        self.0.digest(&[&input])
    }

    /// The root over leaf hashes held in memory.
    pub fn root(self, leaves: &[Hash]) -> Hash {
        match leaves {
            [] => self.empty_root(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(split_point(leaves.len() as u64) as usize);
                self.node_hash(&self.root(left), &self.root(right))
            }
        }
    }

    /// The inclusion path of a leaf, from its sibling up to the root's child (RFC 6962 section 2.1.1).
    ///
    /// # Errors
    /// [`TransparencyError::OutOfRange`] when there is no such leaf.
    pub fn inclusion_proof(self, leaves: &[Hash], index: u64) -> Result<Vec<Hash>, TransparencyError> {
        let ranges = inclusion_ranges(index, leaves.len() as u64)?;
        Ok(ranges.into_iter().map(|range| self.root(&leaves[range.start as usize..range.end as usize])).collect())
    }

    /// The proof that the tree of the first `old_size` leaves is a prefix of the whole (RFC 6962 section 2.1.2).
    ///
    /// # Errors
    /// [`TransparencyError::OutOfRange`] when the old tree is larger than the new one.
    pub fn consistency_proof(self, leaves: &[Hash], old_size: u64) -> Result<Vec<Hash>, TransparencyError> {
        let ranges = consistency_ranges(old_size, leaves.len() as u64)?;
        Ok(ranges.into_iter().map(|range| self.root(&leaves[range.start as usize..range.end as usize])).collect())
    }

    /// Checks that a leaf stands at `index` in the tree of `size` leaves and this root (RFC 9162 section 2.1.3.2).
    ///
    /// # Errors
    /// [`TransparencyError::ProofFailed`], or [`TransparencyError::OutOfRange`] when `index` is not below `size`.
    pub fn verify_inclusion(
        self,
        leaf: &Hash,
        index: u64,
        size: u64,
        proof: &[Hash],
        root: &Hash,
    ) -> Result<(), TransparencyError> {
        check_index(index, size)?;
        let failed = TransparencyError::ProofFailed { what: "inclusion" };
        let mut node = index;
        let mut last = size - 1;
        let mut hash = *leaf;
        for sibling in proof {
            if last == 0 {
                return Err(failed);
            }
            if node & 1 == 1 || node == last {
                hash = self.node_hash(sibling, &hash);
                // At the right edge a node without sibling moves up unchanged until it is a right child.
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = self.node_hash(&hash, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        if last == 0 && hash == *root { Ok(()) } else { Err(failed) }
    }

    /// Checks that the tree of `new_size` only appends to the tree of `old_size` (RFC 9162 section 2.1.4.2).
    ///
    /// The empty tree is a prefix of every tree, with an empty proof.
    ///
    /// # Errors
    /// [`TransparencyError::ProofFailed`], or [`TransparencyError::OutOfRange`] when the old tree is the larger one.
    pub fn verify_consistency(
        self,
        old_size: u64,
        old_root: &Hash,
        new_size: u64,
        new_root: &Hash,
        proof: &[Hash],
    ) -> Result<(), TransparencyError> {
        check_sizes(old_size, new_size)?;
        let failed = Err(TransparencyError::ProofFailed { what: "consistency" });
        if old_size == new_size {
            return if proof.is_empty() && old_root == new_root { Ok(()) } else { failed };
        }
        if old_size == 0 {
            return if proof.is_empty() && *old_root == self.empty_root() { Ok(()) } else { failed };
        }
        match self.proven_roots(old_size, old_root, new_size, proof) {
            Some((proven_old, proven_new)) if proven_old == *old_root && proven_new == *new_root => Ok(()),
            _ => failed,
        }
    }

    /// The roots of both trees that a consistency proof leads to, for sizes above zero that differ; `None` when the proof
    /// has another length than it must have. `old_root` counts only where the old tree is a node of the new one as a whole.
    pub(crate) fn proven_roots(
        self,
        old_size: u64,
        old_root: &Hash,
        new_size: u64,
        proof: &[Hash],
    ) -> Option<(Hash, Hash)> {
        // A complete old tree is itself a node of the new one and is left out of the proof.
        let (first, rest) = if old_size.is_power_of_two() { (old_root, proof) } else { proof.split_first()? };
        let mut node = old_size - 1;
        let mut last = new_size - 1;
        while node & 1 == 1 {
            node >>= 1;
            last >>= 1;
        }
        let mut old_hash = *first;
        let mut new_hash = *first;
        for sibling in rest {
            if last == 0 {
                return None;
            }
            if node & 1 == 1 || node == last {
                old_hash = self.node_hash(sibling, &old_hash);
                new_hash = self.node_hash(sibling, &new_hash);
                while node & 1 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                new_hash = self.node_hash(&new_hash, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        (last == 0).then_some((old_hash, new_hash))
    }
}

/// The hash of a tree without leaves, over SHA-256; see [`TreeHasher::empty_root`].
pub fn empty_root() -> Hash {
    TreeHasher::SHA256.empty_root()
}

/// The hash of a leaf, over SHA-256; see [`TreeHasher::leaf_hash`].
pub fn leaf_hash(entry: &[u8]) -> Hash {
    TreeHasher::SHA256.leaf_hash(entry)
}

/// The hash of an inner node, over SHA-256; see [`TreeHasher::node_hash`].
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    TreeHasher::SHA256.node_hash(left, right)
}

/// The root over leaf hashes held in memory, over SHA-256; see [`TreeHasher::root`].
pub fn root(leaves: &[Hash]) -> Hash {
    TreeHasher::SHA256.root(leaves)
}

/// The inclusion path of a leaf, over SHA-256; see [`TreeHasher::inclusion_proof`].
///
/// # Errors
/// Those named there.
pub fn inclusion_proof(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, TransparencyError> {
    TreeHasher::SHA256.inclusion_proof(leaves, index)
}

/// The proof that a tree continues an older one, over SHA-256; see [`TreeHasher::consistency_proof`].
///
/// # Errors
/// Those named there.
pub fn consistency_proof(leaves: &[Hash], old_size: u64) -> Result<Vec<Hash>, TransparencyError> {
    TreeHasher::SHA256.consistency_proof(leaves, old_size)
}

/// Checks an inclusion path over SHA-256; see [`TreeHasher::verify_inclusion`].
///
/// # Errors
/// Those named there.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), TransparencyError> {
    TreeHasher::SHA256.verify_inclusion(leaf, index, size, proof, root)
}

/// Checks a consistency proof over SHA-256; see [`TreeHasher::verify_consistency`].
///
/// # Errors
/// Those named there.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), TransparencyError> {
    TreeHasher::SHA256.verify_consistency(old_size, old_root, new_size, new_root, proof)
}

/// A range of leaves whose tree hash stands in a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeafRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl LeafRange {
    pub(crate) fn size(self) -> u64 {
        self.end - self.start
    }
}

/// The ranges whose hashes make the inclusion path, leaf's sibling first.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<LeafRange>, TransparencyError> {
    check_index(index, size)?;
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split_point(end - start);
        if index < middle {
            ranges.push(LeafRange { start: middle, end });
            end = middle;
        } else {
            ranges.push(LeafRange { start, end: middle });
            start = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// The ranges whose hashes make the consistency proof, in its order. `SUBPROOF` of RFC 6962 section 2.1.2, unrolled.
pub(crate) fn consistency_ranges(old_size: u64, new_size: u64) -> Result<Vec<LeafRange>, TransparencyError> {
    check_sizes(old_size, new_size)?;
    if old_size == 0 || old_size == new_size {
        return Ok(Vec::new());
    }
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, new_size);
    // The verifier knows the old root, so the old tree is left out while it is a whole subtree from the start.
    let mut known = true;
    while end != old_size {
        let middle = start + split_point(end - start);
        if old_size <= middle {
            ranges.push(LeafRange { start: middle, end });
            end = middle;
        } else {
            ranges.push(LeafRange { start, end: middle });
            start = middle;
            known = false;
        }
    }
    if !known {
        ranges.push(LeafRange { start, end });
    }
    ranges.reverse();
    Ok(ranges)
}

/// The largest power of two smaller than `count`, which is at least 2.
pub(crate) fn split_point(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

pub(crate) fn check_index(index: u64, size: u64) -> Result<(), TransparencyError> {
    if index < size {
        return Ok(());
    }
    Err(TransparencyError::OutOfRange {
        what: "the entry",
        problem: format!("index {index} of a tree of {size} entries"),
    })
}

pub(crate) fn check_sizes(old_size: u64, new_size: u64) -> Result<(), TransparencyError> {
    if old_size <= new_size {
        return Ok(());
    }
    Err(TransparencyError::OutOfRange {
        what: "the old tree",
        problem: format!("its {old_size} entries are more than the new tree's {new_size}"),
    })
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leaves_together_have_the_hashes_that_they_have_alone() {
        let entries: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; usize::from(number) * 7]).collect();
        for hasher in [TreeHasher::SHA256, TreeHasher::SM3] {
            let alone: Vec<Hash> = entries.iter().map(|entry| hasher.leaf_hash(entry)).collect();
            assert_eq!(hasher.leaf_hashes(&entries), alone);
        }
    }

    #[test]
    fn known_roots() {
        // The eight leaves and roots that the reference implementations of Certificate Transparency test with.
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        for (size, expected) in roots.iter().enumerate() {
            assert_eq!(lingqu_crypto::Sha256Digest(root(&hashes[..size])).to_string(), *expected);
        }
    }

    fn entries(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| format!("entry {number}").into_bytes()).collect()
    }

    fn hashes(entries: &[Vec<u8>]) -> Vec<Hash> {
        entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    #[test]
    fn proofs_equal_those_of_another_implementation() {
        let all = entries(70);
        for size in 1..=all.len() {
            let mut other: MemoryBackedTree<sha2::Sha256, Vec<u8>> = MemoryBackedTree::new();
            for entry in &all[..size] {
                other.push(entry.clone());
            }
            let leaves = hashes(&all[..size]);
            assert_eq!(root(&leaves)[..], other.root().as_bytes()[..]);
            for index in 0..size {
                let proof = inclusion_proof(&leaves, index as u64).unwrap().concat();
                assert_eq!(proof, other.prove_inclusion(index).as_bytes());
            }
            for old_size in 1..size {
                let proof = consistency_proof(&leaves, old_size as u64).unwrap().concat();
                assert_eq!(proof, other.prove_consistency(size - old_size).as_bytes());
            }
        }
    }

    #[test]
    fn the_tree_over_sm3_equals_that_of_another_implementation() {
        let sm3 = TreeHasher::SM3;
        let all = entries(40);
        let leaves: Vec<Hash> = all.iter().map(|entry| sm3.leaf_hash(entry)).collect();
        let mut other: MemoryBackedTree<sm3::Sm3, Vec<u8>> = MemoryBackedTree::new();
        for size in 1..=all.len() {
            other.push(all[size - 1].clone());
            let tree = sm3.root(&leaves[..size]);
            assert_eq!(tree[..], other.root().as_bytes()[..]);
            for index in 0..size {
                let proof = sm3.inclusion_proof(&leaves[..size], index as u64).unwrap();
                assert_eq!(proof.concat(), other.prove_inclusion(index).as_bytes());
                let leaf = &leaves[index];
                sm3.verify_inclusion(leaf, index as u64, size as u64, &proof, &tree).unwrap();
                if size > 1 {
                    assert!(verify_inclusion(leaf, index as u64, size as u64, &proof, &tree).is_err());
                }
            }
            for old_size in 1..size {
                let proof = sm3.consistency_proof(&leaves[..size], old_size as u64).unwrap();
                assert_eq!(proof.concat(), other.prove_consistency(size - old_size).as_bytes());
                let old = sm3.root(&leaves[..old_size]);
                sm3.verify_consistency(old_size as u64, &old, size as u64, &tree, &proof).unwrap();
            }
        }
    }

    #[test]
    fn every_proof_verifies_and_no_other() {
        let leaves = hashes(&entries(40));
        for size in 1..=leaves.len() {
            let tree = root(&leaves[..size]);
            let size = size as u64;
            for index in 0..size {
                let proof = inclusion_proof(&leaves[..size as usize], index).unwrap();
                let leaf = &leaves[index as usize];
                verify_inclusion(leaf, index, size, &proof, &tree).unwrap();
                for other in (0..size).filter(|other| *other != index) {
                    assert!(verify_inclusion(leaf, other, size, &proof, &tree).is_err());
                }
                let longer = [&proof[..], &[[0; 32]]].concat();
                assert!(verify_inclusion(leaf, index, size, &longer, &tree).is_err());
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(verify_inclusion(leaf, index, size, shorter, &tree).is_err());
                }
            }
            for old_size in 0..=size {
                let old = root(&leaves[..old_size as usize]);
                let proof = consistency_proof(&leaves[..size as usize], old_size).unwrap();
                verify_consistency(old_size, &old, size, &tree, &proof).unwrap();
                let longer = [&proof[..], &[[0; 32]]].concat();
                assert!(verify_consistency(old_size, &old, size, &tree, &longer).is_err());
                assert!(verify_consistency(old_size, &[9; 32], size, &tree, &proof).is_err());
                if old_size > 0 {
                    assert!(verify_consistency(old_size, &old, size, &[9; 32], &proof).is_err());
                }
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(verify_consistency(old_size, &old, size, &tree, shorter).is_err());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn verification_never_panics(
            index: u64, size: u64, old_size: u64, proof: Vec<[u8; 32]>, hash: [u8; 32],
        ) {
            let _ = verify_inclusion(&hash, index, size, &proof, &hash);
            let _ = verify_inclusion(&hash, index % size.max(1), size, &proof, &[0; 32]);
            let _ = verify_consistency(old_size, &hash, size, &hash, &proof);
            let _ = verify_consistency(old_size % size.max(1), &hash, size, &[0; 32], &proof);
            let _ = inclusion_ranges(index, size);
            let _ = consistency_ranges(old_size, size);
        }

        #[test]
        fn a_changed_proof_fails(size in 2..300_usize, index: usize, at: usize, bit in 0..8_u8) {
            let leaves = hashes(&entries(size));
            let index = (index % size) as u64;
            let mut proof = inclusion_proof(&leaves, index).unwrap();
            let at = at % (proof.len() * 32);
            proof[at / 32][at % 32] ^= 1 << bit;
            let tree = root(&leaves);
            prop_assert!(verify_inclusion(&leaves[index as usize], index, size as u64, &proof, &tree).is_err());
        }
    }
}
