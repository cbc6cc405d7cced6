//! Refusals as the protocol tells them: an SQLSTATE (PostgreSQL's documentation, appendix A), the stable code with an English
//! sentence, and the Chinese one as the detail. Nothing of the query engine's own words.

use lingqu_app::{AppError, Problem};

use super::frame::Outbox;
use crate::error::GatewayError;

/// A refusal.
#[derive(Debug)]
pub(super) struct Refused {
    sqlstate: &'static str,
    problem: Box<Problem>,
    is_fatal: bool,
}

impl From<GatewayError> for Refused {
    fn from(error: GatewayError) -> Self {
        Self::told(error.problem())
    }
}

impl From<AppError> for Refused {
    fn from(error: AppError) -> Self {
        Self::told(error.problem())
    }
}

impl Refused {
    /// A problem of the delivery path.
    pub(super) fn told(problem: Problem) -> Self {
        Self { sqlstate: sqlstate(&problem), problem: Box::new(problem), is_fatal: false }
    }

    /// What the client's own message can't mean.
    pub(super) fn malformed(sqlstate: &'static str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { sqlstate, ..GatewayError::malformed(zh, en).into() }
    }

    /// A statement of a kind that is not answered here.
    pub(super) fn unsupported(zh: impl Into<String>, en: impl Into<String>) -> Self {
        let titles = ("查询不被允许", "Statement refused");
        Self::told(Problem::new(422, "statement_not_allowed", titles, zh, en))
    }

    /// The same refusal as the end of the connection.
    pub(super) fn fatal(mut self) -> Self {
        self.is_fatal = true;
        self
    }

    /// The stable code.
    pub(super) fn code(&self) -> &str {
        &self.problem.code
    }

    /// Writes it.
    pub(super) fn put(&self, outbox: &mut Outbox) {
        let severity = if self.is_fatal { "FATAL" } else { "ERROR" };
        let message = format!("{}: {}", self.problem.code, self.problem.detail_en);
        outbox.refusal(&[
            (b'S', severity),
            (b'V', severity),
            (b'C', self.sqlstate),
            (b'M', &message),
            (b'D', &self.problem.detail),
        ]);
    }
}

/// The SQLSTATE of a problem, by which drivers tell what to do.
fn sqlstate(problem: &Problem) -> &'static str {
    match problem.code.as_str() {
        "bad_service_key" | "service_key_missing" => "28P01",
        "tls_required" => "28000",
        "statement_not_understood" => "42601",
        "column_not_granted" => "42703",
        "table_not_granted" => "42P01",
        "function_not_allowed" => "42883",
        "statement_too_large" => "54001",
        "statement_not_allowed"
        | "clause_not_allowed"
        | "schema_asked_with_data"
        | "not_an_aggregate"
        | "dimension_not_declared"
        | "aggregate_not_allowed" => "0A000",
        "quota_exceeded" | "too_many_deliveries" => "53400",
        "too_many_connections" => "53300",
        "busy" => "53000",
        "cancelled" | "statement_timeout" | "time_limit_exceeded" | "receiver_too_slow" => "57014",
        "rows_limit_exceeded" | "bytes_limit_exceeded" => "54000",
        "memory_limit_exceeded" => "53200",
        "query_failed" => "22000",
        "connection_idle" => "57P05",
        "node_stopping" => "57P01",
        "behind" => "57P03",
        "malformed_request" => "08P01",
        _ => match problem.status {
            401 => "28P01",
            403 => "42501",
            404 => "42704",
            409 => "55000",
            400..500 => "22023",
            _ => "XX000",
        },
    }
}

#[cfg(test)]
mod tests {
    use lingqu_engine::EngineError;

    use super::*;

    #[test]
    fn a_refusal_has_state_code_and_both_sentences() {
        let mut outbox = Outbox::default();
        Refused::from(GatewayError::TooManyDeliveries { limit: 4 }).put(&mut outbox);
        let text = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert!(text.contains("SERROR\0VERROR\0C53400\0Mtoo_many_deliveries: 4 deliveries"), "{text}");
        assert!(text.contains("\0D该订单同时进行的交付已达上限 4"), "{text}");
        let mut outbox = Outbox::default();
        Refused::malformed("26000", "没有", "there is none").fatal().put(&mut outbox);
        let text = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert!(text.contains("SFATAL\0VFATAL\0C26000\0Mmalformed_request: there is none\0"), "{text}");
        // Under what the log has more is in both.
        let mut outbox = Outbox::default();
        let correlation = "0123456789abcdef0123456789abcdef";
        let error = EngineError::SourceChanged { correlation: correlation.to_owned() };
        Refused::from(AppError::Engine(error)).put(&mut outbox);
        let text = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert_eq!(text.matches(correlation).count(), 2, "{text}");
    }
}
