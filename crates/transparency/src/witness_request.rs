use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_crypto::sha256;

use crate::checkpoint::{parse_decimal, parse_hash};
use crate::error::malformed;
use crate::{Hash, TransparencyError};

/// The largest request that a witness reads, in bytes: a note of 16 signatures of the longest kind and 63 hashes take half.
pub const ADD_CHECKPOINT_BYTES_MAX: usize = 256 * 1024;

/// The most hashes in a request (tlog-witness, "add-checkpoint").
pub const ADD_CHECKPOINT_HASHES_MAX: usize = 63;

/// A log asks a witness to cosign a checkpoint (C2SP tlog-witness v1.0.0, "add-checkpoint").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the last checkpoint that the witness cosigned, as far as the log knows.
    pub old_size: u64,
    /// The consistency proof from that size.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub note: String,
}

impl AddCheckpoint {
    /// The body of the request.
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            text += &STANDARD.encode(hash);
            text.push('\n');
        }
        text.push('\n');
        text += &self.note;
        text
    }

    /// Reads the body of a request. The checkpoint is not looked into.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] with the line that is wrong, [`TransparencyError::TooLarge`].
    pub fn from_text(text: &str) -> Result<AddCheckpoint, TransparencyError> {
        let what = "a request for a cosignature";
        if text.len() > ADD_CHECKPOINT_BYTES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the length of a request for a cosignature in bytes",
                limit: ADD_CHECKPOINT_BYTES_MAX as u64,
            });
        }
        let (head, note) = text.split_once("\n\n").ok_or_else(|| malformed(what, "it has no blank line"))?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| parse_decimal(line.strip_prefix("old ")?))
            .ok_or_else(|| malformed(what, "line 1 is not `old` and a size"))?;
        let mut proof = Vec::new();
        for (number, line) in lines.enumerate() {
            if number == ADD_CHECKPOINT_HASHES_MAX {
                return Err(TransparencyError::TooLarge {
                    what: "the number of hashes of a request for a cosignature",
                    limit: ADD_CHECKPOINT_HASHES_MAX as u64,
                });
            }
            proof.push(parse_hash(line).ok_or_else(|| malformed(what, format!("line {} is not a hash", number + 2)))?);
        }
        Ok(AddCheckpoint { old_size, proof, note: note.to_owned() })
    }
}

/// Where a witness serves the last checkpoint of a log that it cosigned, below its monitoring prefix (tlog-witness,
/// "Monitor Retrieval Mechanism"). It is SHA-256 for logs of either suite.
pub fn monitoring_path(origin: &str) -> String {
    format!("{}/checkpoint", sha256(origin.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let body = "old 20852014\n\
                    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
                    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
                    5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
                    /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
                    \n\
                    example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
                    \n\
                    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
                    — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
        let request = AddCheckpoint::from_text(body).unwrap();
        assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.to_text(), body);
        assert_eq!(crate::SignedNote::parse(&request.note).unwrap().signatures().len(), 2);
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in [
            "",
            "old 1",
            "old 1\n",
            "old 01\n\nnote",
            "old -1\n\nnote",
            "old +1\n\nnote",
            "old 18446744073709551616\n\nnote",
            "Old 1\n\nnote",
            "old  1\n\nnote",
            "old 1\r\n\nnote",
            "old 1\nAAAA\n\nnote",
            "\nold 1\n\nnote",
        ] {
            assert!(AddCheckpoint::from_text(body).is_err(), "{body:?}");
        }
        let long = AddCheckpoint { old_size: 1, proof: vec![[0; 32]; 64], note: String::new() };
        assert!(matches!(AddCheckpoint::from_text(&long.to_text()), Err(TransparencyError::TooLarge { .. })));
        let large = format!("old 0\n\n{}", "x".repeat(ADD_CHECKPOINT_BYTES_MAX));
        assert!(matches!(AddCheckpoint::from_text(&large), Err(TransparencyError::TooLarge { .. })));
    }

    #[test]
    fn where_monitors_look() {
        assert_eq!(
            monitoring_path("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/checkpoint"
        );
    }

    proptest! {
        #[test]
        fn bodies_round_trip(old_size: u64, proof in proptest::collection::vec(any::<[u8; 32]>(), 0..64), note in "[a-z\n]{0,40}") {
            let request = AddCheckpoint { old_size, proof, note };
            prop_assert_eq!(AddCheckpoint::from_text(&request.to_text()), Ok(request));
        }

        #[test]
        fn reading_never_panics(text: String, near in "old [0-9]{0,3}\n([A-Za-z=]{40,46}\n){0,3}\n?") {
            let _ = AddCheckpoint::from_text(&text);
            let _ = AddCheckpoint::from_text(&near);
        }
    }
}
