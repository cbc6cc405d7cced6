//! Refusals as gRPC: the status nearest to the problem, its code and sentence in the message, and the whole problem document
//! in the metadata.

use lingqu_app::Problem;
use lingqu_domain::id::OrderId;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::error::GatewayError;

/// Most characters of a message: clients give up on metadata of more than a few KiB.
const MESSAGE_CHARS_MAX: usize = 1_024;
/// Most bytes of the problem document in the metadata; a longer one is left out.
const PROBLEM_BYTES_MAX: usize = 4_096;
/// The stable code, as text.
const PROBLEM_CODE: &str = "problem-code";
/// The problem document (RFC 9457), as JSON.
const PROBLEM_DOCUMENT: &str = "problem-bin";

/// A refusal of an order's call, which is logged without a value of the request.
pub(super) fn refused(order: Option<&OrderId>, error: &GatewayError) -> Status {
    let problem = error.problem();
    let order = order.map_or("none", OrderId::as_str);
    tracing::info!(order, code = problem.code, status = problem.status, "a data request was refused");
    of_problem(&problem)
}

/// A problem as a status.
pub(super) fn of_problem(problem: &Problem) -> Status {
    let sentence = format!("{}: {} / {}", problem.code, problem.detail_en, problem.detail);
    let message: String = sentence.chars().take(MESSAGE_CHARS_MAX).collect();
    let mut metadata = MetadataMap::new();
    if let Ok(code) = problem.code.parse::<MetadataValue<_>>() {
        metadata.insert(PROBLEM_CODE, code);
    }
    let document = serde_json::to_vec(problem).expect("a problem is texts and numbers");
    if document.len() <= PROBLEM_BYTES_MAX {
        metadata.insert_bin(PROBLEM_DOCUMENT, MetadataValue::from_bytes(&document));
    }
    Status::with_metadata(code_of(problem.status), message, metadata)
}

/// The gRPC code that stands for an HTTP status (the inverse of what gRPC-Gateway maps).
fn code_of(http_status: u16) -> Code {
    match http_status {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 => Code::DeadlineExceeded,
        409 => Code::FailedPrecondition,
        413 | 429 => Code::ResourceExhausted,
        499 => Code::Cancelled,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        400..=498 => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_code_and_sentence_and_carries_the_document() {
        let status = refused(None, &GatewayError::NoKey);
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().starts_with("service_key_missing: "), "{}", status.message());
        assert!(status.message().contains("服务密钥"));
        assert_eq!(status.metadata().get(PROBLEM_CODE).unwrap(), "service_key_missing");
        let document = status.metadata().get_bin(PROBLEM_DOCUMENT).unwrap().to_bytes().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
        assert_eq!((document["status"].as_u64(), document["code"].as_str()), (Some(401), Some("service_key_missing")));
        let long = Problem::new(422, "long", ("", ""), "长".repeat(5_000), "x".repeat(5_000));
        let status = of_problem(&long);
        assert!(status.message().chars().count() <= MESSAGE_CHARS_MAX);
        assert!(status.metadata().get_bin(PROBLEM_DOCUMENT).is_none());
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}
