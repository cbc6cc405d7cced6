//! The use cases of a node: load the state, decide, append, publish; import and measure data; open an order's grant for
//! delivery; meter, settle and hand out evidence.
//!
//! Everything goes through one [`App`]. A command is decided on the folded [`lingqu_domain::state::State`], appended with
//! the versions of all it read, and folded back; when another writer was faster, it is decided anew. The data plane asks
//! [`App::serving`] for an order and gets the grant as of the journal's head, compiled into governed tables. Background
//! work is plain functions here ([`App::meter`], [`App::publish_log`]); who calls them when is the binary's business.
//!
//! Not here: serving HTTP and its forms (other nodes are asked by `remote`), SQL text against the store, and rules: those are `api`, `gateway`, `store` and `domain`.

mod abandoned;
pub mod app;
mod certificate;
mod clock;
mod command;
mod connections;
mod consent;
mod cosign;
mod data;
mod erase;
mod error;
mod evidence;
mod fingerprint;
mod history;
mod identity;
mod ingestion;
mod journey;
mod keys;
mod lineage;
mod live;
mod log;
mod metering;
mod openlineage;
mod persons;
mod privacy;
mod quota;
mod receipt_tables;
mod receipts;
mod recount;
mod release;
mod remote;
mod replay;
mod scram;
mod serving;
mod spill;
mod storage;
mod trace;
mod uses;
mod watch;
mod witness;

pub use app::{App, AppSettings};
pub use certificate::CertificateView;
pub use clock::Clock;
pub use command::{CommandOptions, Executed, ExecutedEvent};
pub use connections::{ConnectionSetting, ConnectionTarget};
pub use consent::{ConsentRef, SubjectConsent, TakenBy};
pub use cosign::{AskedWitnessSetting, CosigningSetting, WitnessStanding};
pub use data::data_type_of;
pub use erase::ErasureView;
pub use error::{AppError, Problem};
pub use evidence::{
    CosignedReport, EvidenceOptions, EvidenceParts, EvidenceReport, PART_RECEIPTS, PartReport, REPORT_ITEM,
    SettledReport, TwinLogReport, evidence_report, part_number, part_number_of, verify_evidence, verify_evidence_files,
    verify_evidence_with,
};
pub use fingerprint::{
    BrokenPromise, KeptPromises, KeyRequest, KeyShares, MarkedOrder, MarkedProduct, MarkingProposal, OrderMarks,
    RegulatorHalf,
};
pub use history::{Direction, JournalView, JournalWalk};
pub use identity::{IssuedKey, NewUser, SessionView, SignedIn};
pub use ingestion::{
    IngestionFailure, IngestionOutcome, IngestionView, JobSource, Resumption, Spool, Spooled, Submitted, TableOptions,
    Waiting,
};
pub use journey::{Journey, JourneyStep};
pub use keys::random;
pub use lineage::BegunDelivery;
pub use lingqu_crypto::password::Cost as PasswordCost;
pub use log::{CheckpointView, LogLag, LogPlace, LogSettings, TwinView};
pub use openlineage::{BadCursor, EventCursor, EventPage, TimeRange};
pub use privacy::{AccountStanding, PRIVACY_DELTA, PrivacyStanding};
pub use quota::{HeldSubjects, QuotaPlace, Use, lets_out};
pub use receipt_tables::{ReceiptSight, ReceiptTableAnswer};
pub use receipts::SaltedRequest;
pub use remote::RemoteFault;
pub use replay::{Difference, ReplayReport};
pub use scram::ScramKey;
pub use serving::{MEANING_CHARACTERS_MAX, Meanings, Serving};
pub use trace::{
    Accused, AccusedOrder, Assumption, ChannelTrace, CheckedAccusation, ColumnTrace, CommitmentSeen, DeliveryTrace,
    ExplainedBy, Explanation, FragmentFacts, HadRows, HeldAgainst, MarksTrace, ObservedAgain, ProductTrace,
    ReceiptsTrace, SourceOrder, SourceTrace, Support, TRACED_SNAPSHOTS_MAX, TRACED_VERSIONS_MAX, Trace, TraceCheck,
    TraceReport, TraceSettings, TraceVerdict, TraceWatch, TriesTrace, VersionTrace, sealed_by_place_alone,
    trace_report_pdf, verify_trace, verify_trace_with,
};
pub use uses::{PAGE_USES_MAX, PASS_LIFE, Person, PersonPass, PersonUse, UsePage, UseRecord, row_set_text};
pub use watch::{Audited, LogWatch, TwinSetting, WatchError, WatchSetting, misconduct_path, write_misconduct};
pub use witness::{WitnessSetting, WitnessedLog, WitnessedLogSetting};
