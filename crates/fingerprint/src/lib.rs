//! Copies that name their recipient, and the statistics by which a leaked fragment accuses one.
//!
//! This room is for marks in values ([`Marker`]), marks by presence ([`Presence`]) and decoys ([`observe_decoys`]), all of them
//! driven by keys that two parties hold in halves ([`HalfKey`]); and for the other direction: which originals a fragment
//! holds ([`align`]), what it shows at the secret positions ([`observe`]), and who is accused by it with which probability
//! of being innocent ([`accuse`]). A [`Marking`] declares what may change; [`propose`] looks at data and says what could.
//! Data passes through as Arrow batches: a batch and a recipient's code in, the recipient's copy out, the same whatever the
//! size and the order of the batches. It is not for reading a fragment's file or choosing the snapshots that it is compared
//! with, for storing keys or commitments, or for deciding who may have what. It performs no I/O, draws no randomness and
//! starts no threads: keys and salts come in as arguments, and who scores many recipients at once says how. The
//! mathematics, with sources, assumptions and what voids them, is in `docs/fingerprinting.md`.

mod accuse;
mod align;
mod bounds;
mod carriers;
mod channel;
mod code;
mod commitment;
mod decoder;
mod decoy;
mod dependency;
mod effect;
mod embed;
mod error;
mod given_others;
mod holding;
mod keys;
mod laid;
mod marking;
mod moves;
mod observe;
mod power;
mod presence;
mod prf;
mod propose;
mod rounding;
mod row_key;
mod sample;
mod sheet;
mod survey;
mod tail;
mod told_apart;
mod units;

pub use accuse::{Accusation, Possibility, Settings, Verdict, accuse};
pub use align::{
    Agreement, Alignment, COLUMNS_MAX, Deed, FRAGMENT_ROWS_MAX, MatchedColumn, MatchedRow, Originals, OtherWay,
    Provenance, Reading, Stage, Watch, align, align_by_way,
};
pub use bounds::{MomentBounds, rate_within_moments};
pub use channel::{Channel, fit_channel};
pub use code::{BIAS_CLASSES, BiasTable, Position};
pub use commitment::{Commitment, Opening};
pub use decoder::{DECODER_NAMES, DECODER_VERSION, DECODERS};
pub use decoy::observe_decoys;
pub use effect::{Effect, Effects, SwapEffect, effects};
pub use embed::Marker;
pub use error::FingerprintError;
pub use holding::Holding;
pub use keys::{HalfKey, KeyShare, KeyUse, MarkKey, Profile};
pub use marking::{
    Carrier, Encoding, HOURS_MINUTES_LAST, MARKS_MAX, MEMBERS_MAX, Mark, Marking, Member, RATE_ONE, Step, share_to_rate,
};
pub use moves::Moves;
pub use observe::{Observation, Source, observe, observe_presence};
pub use power::{Power, cells_needed, power};
pub use presence::Presence;
pub use prf::{Block, PositionSecrets, RecipientCode};
pub use propose::{ColumnProposal, Finding, propose};
pub use rounding::Rounding;
pub use row_key::{ROW_KEY_BYTES_MAX, RowKeys};
pub use sheet::{Scores, Sheet, score_each};
pub use survey::{Found, Sampled, Survey, Surveyed};
pub use tail::{Law, Term};
pub use told_apart::ToldApart;
