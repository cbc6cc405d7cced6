//! Faults of the storage that pass by themselves or that the node's operator mends: a full disk, a lock, a server that
//! does not answer. Whoever asked can't mend them, but can ask again, so they are told apart from what stays broken.

use lingqu_engine::lookup::LookupError;
use lingqu_engine::product::ProductError;
use lingqu_engine::snapshot::SnapshotError;
use lingqu_engine::source::SourceError;
use lingqu_engine::{EngineError, StorageError};
use lingqu_store::StoreError;
use lingqu_store::log::LogError;
use lingqu_store::quota::QuotaError;

use crate::error::{AppError, Problem};

/// The stable code.
const CODE: &str = "storage_unavailable";
/// Seconds after which it is worth while to ask a node again whose storage failed: a person must make room or mend a disk.
const STORAGE_RETRY_S: u64 = 30;
/// The same for a node that is only busy or catching up.
const BUSY_RETRY_S: u64 = 1;

impl Problem {
    /// Seconds until it is worth while to send the same request again: the `Retry-After` of 429 and 503. None for every
    /// other problem.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self.status {
            503 if self.code == CODE => Some(STORAGE_RETRY_S),
            429 | 503 => Some(BUSY_RETRY_S),
            _ => None,
        }
    }
}

/// The problem document of a fault that is known to pass. Nothing of the fault stands in it; the log has that.
pub(crate) fn problem(correlation: String) -> Problem {
    let mut problem = Problem::new(
        503,
        CODE,
        ("存储暂时不可用", "Storage unavailable"),
        format!(
            "节点的存储暂时不可用，请稍后重试；办理事项请沿用同一 Idempotency-Key，不会重复办理；若仍未恢复，请将故障编号 \
             {correlation} 告知节点运维人员"
        ),
        format!(
            "the node's storage is not available for the moment; send the request again later, a change with the same \
             Idempotency-Key so that it happens once; if this goes on, tell the node's operator the correlation id \
             {correlation}"
        ),
    );
    problem.correlation = Some(correlation);
    problem
}

/// True for a fault of the storage after which the same request may succeed.
pub(crate) fn is_temporary(error: &AppError) -> bool {
    match error {
        AppError::Store(error) | AppError::Quota(QuotaError::Store(error)) => of_store(error),
        AppError::Log(LogError::Store(error)) => of_store(error),
        AppError::Engine(EngineError::Storage(error))
        | AppError::Lookup(LookupError::Storage(error) | LookupError::Engine(EngineError::Storage(error)))
        | AppError::Product(ProductError::Storage(error) | ProductError::Engine(EngineError::Storage(error)))
        | AppError::Snapshot(SnapshotError::Storage(error)) => of_files(error),
        AppError::Engine(EngineError::Record { source: Some(source), .. }) => {
            source.downcast_ref::<StoreError>().is_some_and(of_store)
        }
        AppError::File { .. } | AppError::Snapshot(SnapshotError::Source(SourceError::RejectsUnwritten { .. })) => true,
        _ => false,
    }
}

/// What is damaged, sealed with another key or malformed stays so however often it is asked for.
fn of_store(error: &StoreError) -> bool {
    match error {
        StoreError::Full { .. }
        | StoreError::ReadOnly { .. }
        | StoreError::Locked { .. }
        | StoreError::Unreachable { .. }
        | StoreError::CannotOpen { .. }
        | StoreError::File { .. }
        | StoreError::Stopped { .. } => true,
        StoreError::BadUrl { .. }
        | StoreError::NewerSchema { .. }
        | StoreError::Damaged { .. }
        | StoreError::Constraint { .. }
        | StoreError::Unreadable { .. }
        | StoreError::NoRandom { .. }
        | StoreError::Sealed { .. }
        | StoreError::Invalid { .. }
        | StoreError::Database { .. } => false,
    }
}

fn of_files(error: &StorageError) -> bool {
    match error {
        StorageError::Io { .. } => true,
        StorageError::Missing { .. }
        | StorageError::WrongSize { .. }
        | StorageError::Changed { .. }
        | StorageError::MadeDamaged { .. }
        | StorageError::Damaged { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;

    fn io() -> StorageError {
        StorageError::Io { path: "/srv/secret/part".into(), doing: "written", reason: "the disk is full".to_owned() }
    }

    /// One fault of each kind that passes.
    fn temporary() -> Vec<AppError> {
        let doing = "appending to the journal";
        let file_error = Arc::new(std::io::Error::other("device /dev/secret failed"));
        vec![
            AppError::Store(StoreError::Full { doing }),
            AppError::Store(StoreError::ReadOnly { doing }),
            AppError::Store(StoreError::Locked { doing }),
            AppError::Store(StoreError::Unreachable { doing }),
            AppError::Store(StoreError::Stopped { doing }),
            AppError::Store(StoreError::File { doing: "write", path: "/srv/secret".into(), source: file_error }),
            AppError::Quota(StoreError::Full { doing }.into()),
            AppError::Engine(io().into()),
            AppError::Lookup(io().into()),
            AppError::Product(ProductError::Engine(io().into())),
            AppError::Snapshot(io().into()),
            AppError::File { doing: "keep", path: PathBuf::from("/srv/secret"), reason: "the disk is full".to_owned() },
        ]
    }

    #[test]
    fn a_fault_that_passes_says_when_to_ask_again_and_nothing_of_itself() {
        for error in temporary() {
            let problem = error.problem();
            assert_eq!((problem.status, problem.code.as_str()), (503, "storage_unavailable"), "{error}");
            assert_eq!(problem.retry_after_s(), Some(30));
            let correlation = problem.correlation.clone().expect("the log has the rest under it");
            assert!(problem.detail.contains(&correlation) && problem.detail_en.contains(&correlation));
            let text = serde_json::to_string(&problem).unwrap();
            for secret in ["secret", "/srv", "journal", "disk"] {
                assert!(!text.contains(secret), "{text} tells of the fault: {error}");
            }
        }
    }

    #[test]
    fn what_is_damaged_is_a_fault() {
        let unreadable = StoreError::Unreadable { what: "a receipt", problem: "its form".to_owned() };
        let missing = StorageError::Missing { path: "/srv/part".into() };
        for error in [
            AppError::Store(unreadable),
            AppError::Store(StoreError::Sealed { doing: "reading" }),
            AppError::Engine(missing.into()),
            AppError::Fault("the impossible".to_owned()),
        ] {
            let problem = error.problem();
            assert_eq!(
                (problem.status, problem.code.as_str(), problem.retry_after_s()),
                (500, "fault", None),
                "{error}"
            );
        }
    }

    #[test]
    fn a_busy_node_is_asked_again_in_a_moment() {
        assert_eq!(AppError::Behind.problem().retry_after_s(), Some(1));
        assert_eq!(AppError::BadKey.problem().retry_after_s(), None);
    }
}
