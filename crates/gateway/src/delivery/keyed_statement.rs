//! Lookup by statement: an order that is granted lookup asks for the row of one key in SQL, and keyed access answers it.
//!
//! `SELECT columns FROM product WHERE key = …`, with an equality for each part of the key and nothing else, is a lookup in
//! another spelling: one record, one call, answered from the index. Any other statement is refused: rows that were not asked
//! for by their key are another mode.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use lingqu_app::AppError;
use lingqu_domain::answer::AnswerForm;
use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_engine::{KeyedStatement, RowsExactness};
use rust_decimal::Decimal;

use super::digest::values_digest;
use super::single::Encoded;
use super::{Admission, BatchRequest, Deliveries, Label, LookedUp, StreamedBatches};
use crate::encode::arrow_stream;
use crate::error::GatewayError;

impl Deliveries {
    /// Answers a statement that asks for the row of one key by keyed access: no row, or one. The bytes of its record are
    /// those of the row as an Arrow stream. Errors: `mode_not_granted`, `key_predicate_needed`, the refusals of lookups.
    pub async fn keyed_batches(
        &self,
        admission: &Admission,
        request: BatchRequest,
    ) -> Result<StreamedBatches, GatewayError> {
        let statement = self.keyed_statement(admission, &request.sql, &request.parameters).await?;
        let mut key = Vec::with_capacity(statement.key.len());
        for part in &statement.key {
            key.push(literal_of(part).ok_or_else(|| needed(admission))?);
        }
        let shown = statement.columns.iter().filter_map(|name| ColumnName::new(name.as_str()).ok()).collect();
        let keyed = self.keyed(admission.clone(), Mode::Lookup).await?.showing(shown);
        let mut answer = None;
        let recorded = {
            let encode = |_: &Label, found: &LookedUp| {
                let batch = row_of(&statement, found)?;
                let bytes = arrow_stream(&batch)?;
                let digest = (AnswerForm::ValueBlocks, values_digest(&batch));
                answer = Some(batch);
                Ok(Encoded { bytes, digest })
            };
            self.look_up_as(&keyed, &[key], request.request, encode).await?
        };
        let batch = answer.filter(|batch| batch.num_rows() > 0);
        Ok(StreamedBatches {
            receipt: recorded.label.receipt,
            nature: recorded.label.nature,
            schema: statement.schema,
            exactness: RowsExactness::Exact,
            groups_suppressed: 0,
            privacy: None,
            answer_salt: recorded.answer_salt,
            batches: Box::pin(futures::stream::iter(batch.map(Ok))),
        })
    }

    /// Reads a statement as a lookup. Error: `key_predicate_needed`.
    pub(super) async fn keyed_statement(
        &self,
        admission: &Admission,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<KeyedStatement, GatewayError> {
        let session = admission.serving.session(Mode::Lookup, Admission::limits(Mode::Lookup))?;
        let statement = session.keyed(sql, parameters, &admission.serving.details.key).await?;
        statement.ok_or_else(|| needed(admission))
    }
}

fn needed(admission: &Admission) -> GatewayError {
    let serving = &admission.serving;
    GatewayError::KeyPredicateNeeded {
        table: serving.details.table.to_string(),
        key: serving.details.key.iter().map(ToString::to_string).collect(),
    }
}

/// The columns that the statement asks for, of the one row that was found, or of none.
fn row_of(statement: &KeyedStatement, found: &LookedUp) -> Result<RecordBatch, AppError> {
    let Some(Some(row)) = found.rows.first() else {
        return Ok(RecordBatch::new_empty(SchemaRef::clone(&statement.schema)));
    };
    let mut columns = Vec::with_capacity(statement.columns.len());
    for name in &statement.columns {
        let column = row.values.column_by_name(name);
        columns
            .push(Arc::clone(column.ok_or_else(|| AppError::Fault("a planned column is not in the row".to_owned()))?));
    }
    RecordBatch::try_new(SchemaRef::clone(&statement.schema), columns)
        .map_err(|_| AppError::Fault("a row has other types than its plan".to_owned()))
}

/// A value as a constant of the key; none for a type that no column has.
fn literal_of(value: &ScalarValue) -> Option<Literal> {
    Some(match value {
        ScalarValue::Boolean(Some(value)) => Literal::Boolean(*value),
        ScalarValue::Int64(Some(value)) => Literal::Integer(*value),
        ScalarValue::Float64(Some(value)) => Literal::Decimal(value.to_string().parse().ok()?),
        ScalarValue::Decimal128(Some(value), _, scale) => {
            Literal::Decimal(Decimal::try_from_i128_with_scale(*value, u32::try_from(*scale).ok()?).ok()?)
        }
        ScalarValue::Utf8(Some(value)) => Literal::Text(value.clone()),
        ScalarValue::Date32(Some(days)) => {
            Literal::Date(Date::constant(1970, 1, 1).checked_add(i64::from(*days).days()).ok()?)
        }
        ScalarValue::TimestampMicrosecond(Some(at), _) => Literal::Timestamp(Timestamp::from_microsecond(*at).ok()?),
        _ => return None,
    })
}
