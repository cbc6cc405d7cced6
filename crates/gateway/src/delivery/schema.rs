//! Questions about what an order may ask for. They read no governed data, so they leave no receipt and cost no quota; each
//! takes one of the order's places while it is answered.

use std::pin::pin;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use lingqu_app::AppError;
use lingqu_domain::scope::{ColumnName, Mode, Precision};
use lingqu_engine::ColumnView;
use lingqu_engine::engine::{CATALOG, SCHEMA};
use lingqu_engine::export::ExportError;
use lingqu_engine::schema_session::{Concern, SchemaSession};
use lingqu_engine::session::{Answer, Described, told};

use super::waiting::Wait;
use super::{Admission, Deliveries, memory_of};
use crate::encode::{Format, JsonFrame, answer_bytes};
use crate::error::GatewayError;
use crate::information_schema::{ShownTable, views};

/// A statement about what there is, and the session that answers it.
pub(crate) struct SchemaQuestion {
    session: SchemaSession,
    sql: String,
    deliveries: Deliveries,
    admission: Admission,
}

/// Bytes that wait for their client.
struct WaitingBytes {
    bytes: Vec<u8>,
    _wait: Wait,
}

impl AsRef<[u8]> for WaitingBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deliveries {
    /// A statement as a question about what there is; none for one about data. Error: `schema_asked_with_data` for one about
    /// both.
    pub(crate) async fn schema_question(
        &self,
        admission: &Admission,
        sql: &str,
    ) -> Result<Option<SchemaQuestion>, GatewayError> {
        match admission.serving.concern_of(sql) {
            Concern::Data => return Ok(None),
            Concern::Both => {
                return Err(GatewayError::SchemaAskedWithData { table: admission.serving.details.table.to_string() });
            }
            Concern::Schema => {}
        }
        let columns = self.columns(admission, admission.shown_mode()).await?;
        let views = views(&ShownTable {
            catalogue: CATALOG,
            schema: SCHEMA,
            further_schemas: &[],
            name: admission.serving.details.table.as_str(),
            columns: &columns,
            key: &admission.key_among(&columns),
            meanings: &self.app().meanings(&admission.serving),
        })?;
        Ok(Some(SchemaQuestion {
            session: admission.serving.schema_session(views)?,
            sql: sql.to_owned(),
            deliveries: self.clone(),
            admission: admission.clone(),
        }))
    }
}

impl SchemaQuestion {
    /// What it would be answered with; `values` stand in the places of its parameters.
    pub(crate) async fn describe(&self, values: Option<&[ScalarValue]>) -> Result<Described, GatewayError> {
        Ok(self.session.describe(&self.sql, values).await?)
    }

    /// The whole answer in batches, under the schema that [`SchemaQuestion::describe`] tells, and what is kept until they were taken.
    /// Errors: `too_many_deliveries`, `busy`.
    pub(crate) async fn batches(
        &self,
        values: &[ScalarValue],
    ) -> Result<(SchemaRef, Vec<RecordBatch>, Wait), GatewayError> {
        let _place = self.deliveries.streams.take(&self.admission.order)?;
        let answer = self.answer(values).await?;
        let schema = told(&answer.schema());
        let (found, _) = answer.collect().await?;
        let mut batches = Vec::with_capacity(found.len());
        for batch in found {
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch =
                RecordBatch::try_new_with_options(SchemaRef::clone(&schema), batch.columns().to_vec(), &options);
            batches.push(batch.map_err(|_| AppError::Fault("a view has other types than its plan".to_owned()))?);
        }
        let wait = self.deliveries.waits(self.admission.order.as_str(), memory_of(&batches))?;
        Ok((schema, batches, wait))
    }

    /// The whole answer in a format. Errors: `too_many_deliveries`, `busy`.
    pub(crate) async fn bytes(&self, format: Format) -> Result<Bytes, GatewayError> {
        let _place = self.deliveries.streams.take(&self.admission.order)?;
        let answer = self.answer(&[]).await?;
        let frame = JsonFrame::without_receipt(self.admission.serving.grant.nature, &answer.schema());
        // It names no rows, so there is nothing that would have to be durable first.
        let mut chunks = pin!(answer_bytes(answer, format, frame, |_| std::future::ready(Ok(()))));
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| match error {
                ExportError::Engine(error) => AppError::Engine(error),
                ExportError::Hook(error) => error,
            })?;
            bytes.extend_from_slice(&chunk.bytes);
        }
        let wait = self.deliveries.waits(self.admission.order.as_str(), bytes.len())?;
        Ok(Bytes::from_owner(WaitingBytes { bytes, _wait: wait }))
    }

    async fn answer(&self, values: &[ScalarValue]) -> Result<Answer, GatewayError> {
        Ok(self.session.query_with(&self.sql, values).await?)
    }
}

impl Admission {
    /// The mode whose columns are shown: the first that is granted of those that answer statements, else of the others.
    pub(crate) fn shown_mode(&self) -> Mode {
        let modes = [Mode::Rows, Mode::Statistics, Mode::Lookup, Mode::File, Mode::Verification];
        modes.into_iter().find(|mode| self.serving.must_allow(*mode).is_ok()).unwrap_or(Mode::Verification)
    }

    /// The parts of the key, if all of them are among these columns of the mode that is shown, each as fine that it tells rows
    /// apart: a number that is rounded, or the month of a day, is the same in many rows.
    pub(crate) fn key_among(&self, columns: &[ColumnView]) -> Vec<String> {
        let (scope, mode) = (&self.serving.grant.scope, self.shown_mode());
        let is_shown = |part: &ColumnName| {
            let precision = scope.columns.get(part).map_or(Precision::Hidden, |precisions| precisions.in_mode(mode));
            tells_rows_apart(precision) && columns.iter().any(|column| column.name == *part)
        };
        let key = &self.serving.details.key;
        if key.iter().all(is_shown) { key.iter().map(ToString::to_string).collect() } else { Vec::new() }
    }
}

/// Whether two values that differ still differ at a precision.
fn tells_rows_apart(precision: Precision) -> bool {
    match precision {
        Precision::Exact
        | Precision::PseudonymOfPermit
        | Precision::PseudonymOfConsumer
        | Precision::PseudonymOfOrder => true,
        Precision::Month
        | Precision::Year
        | Precision::County
        | Precision::City
        | Precision::Rounded(_)
        | Precision::Hidden => false,
    }
}
