//! Values of a statement's parameters, which a protocol keeps until the statement is executed.

use datafusion::scalar::ScalarValue;
use lingqu_engine::EngineError;
use lingqu_engine::allow::{Refusal, RefusalCode, STATEMENT_BYTES_MAX};

use crate::error::GatewayError;

/// Values that are larger than a statement may be are refused when they are bound already, and not kept. Error:
/// `statement_too_large`.
pub(crate) fn must_fit(values: &[ScalarValue]) -> Result<(), GatewayError> {
    let bytes: usize = values.iter().map(bytes_of).sum();
    if bytes <= STATEMENT_BYTES_MAX {
        return Ok(());
    }
    let what = format!(
        "the parameters have {bytes} bytes of text, at most {STATEMENT_BYTES_MAX} are allowed; bind shorter values"
    );
    Err(EngineError::Refused(Refusal { code: RefusalCode::StatementTooLarge, what, granted: Vec::new() }).into())
}

/// Bytes of a text as the engine counts them, and of any other value what it holds beside its own place.
fn bytes_of(value: &ScalarValue) -> usize {
    match value.try_as_str() {
        Some(text) => text.map_or(0, str::len),
        None => value.size().saturating_sub(size_of::<ScalarValue>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_together_as_a_statement_is() {
        let half = ScalarValue::from("x".repeat(STATEMENT_BYTES_MAX / 2).as_str());
        let number = ScalarValue::Int64(Some(7));
        must_fit(&[half.clone(), number.clone(), half.clone()]).unwrap();
        must_fit(&vec![number; lingqu_engine::PARAMETERS_MAX]).unwrap();
        let refused = must_fit(&[half.clone(), half, ScalarValue::from("x")]).unwrap_err();
        assert_eq!(refused.problem().code, "statement_too_large");
        assert!(must_fit(&[ScalarValue::Binary(Some(vec![0; STATEMENT_BYTES_MAX + 1]))]).is_err());
    }
}
