//! The transparency log of a node: what was recorded can be proven to anyone, and can't be changed afterwards unseen.
//!
//! Records of journal and receipts come in as digest pairs ([`LogEntry`]); the tree over the entries grows by tiles
//! ([`TreeState`]); its head is signed as a [`Checkpoint`] in a signed note ([`SignedNote`]) and cosigned by others
//! ([`Witness`], [`Cosigner`], [`CosignerPolicy`], [`LogPolicy`]); proofs ([`LogProof`], [`TiledTree`], [`TreeHasher`]) and evidence
//! bundles ([`EvidenceBuilder`], [`verify_evidence`]) go out to people who need not trust the node. Who follows a log
//! ([`Follower`]) finds out when it lies, and what proves it is a file ([`Misconduct`]). The formats are those of C2SP
//! (signed-note, tlog-checkpoint, tlog-tiles, tlog-cosignature, tlog-witness, tlog-policy, tlog-proof) over SHA-256 and Ed25519; each
//! function names its section. A twin log over SM3 and SM2 has the same entries ([`TwinLog`], [`RootsEntry`]).
//!
//! This room does not know what records mean, and it performs no I/O: tiles are read through a function that is passed
//! in, files to write are handed back with their paths, and what a witness remembers lies with whoever implements
//! [`WitnessMemory`].

mod checkpoint;
mod cosignature;
mod edge;
mod entry;
mod entry_audit;
mod error;
mod evidence;
mod evidence_files;
mod evidence_verify;
mod follower;
mod growth;
mod merkle;
mod misconduct;
mod note;
mod note_key;
mod policy;
mod proof;
mod roots_entry;
mod tile_path;
mod tiles;
mod twin;
mod witness;
mod witness_request;

pub use checkpoint::Checkpoint;
pub use cosignature::{COSIGNED_AT_MAX, COSIGNERS_MAX, Cosigner, CosignerPolicy};
pub use entry::{ENTRY_PAIRS_MAX, LogEntry, RecordKind};
pub use entry_audit::{AuditedRoots, EntryAudit, RootsCheck};
pub use error::TransparencyError;
pub use evidence::{EVIDENCE_ITEMS_MAX, Evidence, EvidenceBuilder, EvidenceItem, EvidenceRecord};
pub use evidence_files::{MANIFEST_FILE, verify_evidence_files};
pub use evidence_verify::{
    Cosigned, EvidenceTrust, Finding, Report, TwinReport, verify_evidence, verify_evidence_with,
};
pub use follower::{Follower, Observation};
pub use growth::{APPEND_ENTRIES_MAX, Growth, TreeState};
pub use merkle::{
    Hash, TreeHasher, consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash, root, verify_consistency,
    verify_inclusion,
};
pub use misconduct::{Conviction, MISCONDUCT_BYTES_MAX, Misconduct};
pub use note::{NOTE_BYTES_MAX, NoteSignature, SIGNATURES_MAX, SignedNote, VerifiedSignature, sign_note};
pub use note_key::{NoteKeyType, NoteSigner, NoteVerifier};
pub use policy::{LogPolicy, POLICY_BYTES_MAX, POLICY_NAMES_MAX, PolicyKey};
pub use proof::LogProof;
pub use roots_entry::{RootsEntry, twin_origin};
pub use tile_path::{TILE_WIDTH, TileKind, TilePath};
pub use tiles::{
    ENTRY_BYTES_MAX, OUTGROWN_BUNDLES_MAX, TILES_HELD_MAX, TileRead, TiledTree, consistency_proof_from_tiles,
    decode_bundle, encode_bundle, entry_from_tiles, inclusion_proof_from_tiles, outgrown_tiles, root_from_tiles,
};
pub use twin::{TwinAudit, TwinGrowth, TwinLog};
pub use witness::{LOG_KEYS_MAX, WITNESSED_LOGS_MAX, Witness, WitnessAnswer, WitnessError, WitnessMemory, Witnessed};
pub use witness_request::{ADD_CHECKPOINT_BYTES_MAX, ADD_CHECKPOINT_HASHES_MAX, AddCheckpoint, monitoring_path};
