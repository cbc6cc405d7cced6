//! Statements over the order's table: the delivery path, and what the client is told of an answer beside its rows.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use lingqu_domain::resource::Nature;
use lingqu_engine::RowsExactness;

use super::line::{Deadline, Stopped};
use super::refusal::Refused;
use super::session::{Session, admitted};
use super::settings::{ANSWER_SALT, NATURE, RECEIPT, ROWS};
use super::source::Source;
use crate::delivery::{Admission, BatchRequest};
use crate::error::GatewayError;

impl Session {
    /// Begins the answer of a statement over the order's table, and tells the client what it says of itself.
    pub(super) async fn open_governed(
        &mut self,
        sql: &str,
        values: &[ScalarValue],
        deadline: Deadline,
    ) -> Result<Source, Stopped> {
        let (server, key) = (Arc::clone(&self.server), self.key);
        let begun = async {
            let admission = admitted(&server, key).await?;
            let mode = admission.batch_mode(None)?;
            let limits = Admission::limits(mode);
            let request = asked(sql, values);
            let request = BatchRequest { mode, sql: sql.to_owned(), parameters: values.to_vec(), request, limits };
            Ok::<_, GatewayError>((server.deliveries.batches(&admission, request).await?, admission.serving))
        };
        let (answer, serving) = self.line.during(deadline, begun).await?.map_err(Refused::from)?;
        let nature = match answer.nature {
            Nature::Real => "REAL",
            Nature::Synthetic => "SYNTHETIC",
        };
        let rows = match answer.exactness {
            RowsExactness::Exact => "exact",
            RowsExactness::Superset => "superset",
        };
        let labels = [
            (RECEIPT, answer.receipt.to_string()),
            (NATURE, nature.to_owned()),
            (ROWS, rows.to_owned()),
            (ANSWER_SALT, answer.answer_salt.to_string()),
        ];
        let outbox = &mut self.line.wire.outbox;
        self.settings.label(labels, outbox);
        if answer.groups_suppressed > 0 {
            let message = format!(
                "groups_suppressed: {} groups were left out because they are smaller than the cohort floor",
                answer.groups_suppressed
            );
            let detail = format!("有 {} 个群组小于最小群组，未列出", answer.groups_suppressed);
            outbox.notice(&[(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "01000"), (b'M', &message), (b'D', &detail)]);
        }
        if let Some(privacy) = answer.privacy {
            let message = format!("privacy: this answer cost {}, {} is left", privacy.spent, privacy.left);
            let detail = format!("本次结果消耗隐私预算 {}，余 {}", privacy.spent, privacy.left);
            outbox.notice(&[(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "01000"), (b'M', &message), (b'D', &detail)]);
        }
        let batches = answer.batches.map(|batch| batch.map_err(|cut| Refused::told(*cut.problem)));
        Ok(Source::governed(serving, answer.schema, Box::pin(batches)))
    }

    /// An answer that was begun, of which more is asked for. Its rows have waited for as long as the client liked, so what a new
    /// statement asks is asked again, and whether the grant is still the one that they were drawn by.
    pub(super) async fn gone_on_with(&mut self, mut source: Source, deadline: Deadline) -> Result<Source, Stopped> {
        let Some(serving) = source.serving.clone() else { return Ok(source) };
        let admitted = self.line.during(deadline, admitted(&self.server, self.key)).await?;
        if let Err(refusal) = self.server.deliveries.app().still_granted(&serving) {
            // No waiting row leaves any more; drawn to its end, the delivery meets the same refusal, or what cut it off before, and is
            // closed by it.
            while matches!(self.line.during(deadline, source.draw()).await?, Ok(true)) {}
            return Err(GatewayError::from(refusal).into());
        }
        admitted?;
        Ok(source)
    }
}

/// What was asked, for the vault: the statement and the values of its parameters.
fn asked(sql: &str, values: &[ScalarValue]) -> String {
    let mut text = sql.to_owned();
    for (at, value) in values.iter().enumerate() {
        // Writing into a text can't fail.
        let _ = write!(text, "\n-- ${} = {value}", at + 1);
    }
    text
}
