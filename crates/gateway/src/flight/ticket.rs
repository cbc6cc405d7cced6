//! Tickets: what `GetFlightInfo` hands out and `DoGet` takes.
//!
//! A ticket is a statement with its parameters, bound to its order and for a few minutes, signed by the node. It opens
//! nothing by itself: whoever redeems it proves the order by its key, and the grant is met again. The signature keeps a
//! client from asking in one step what was planned and described in another.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::scalar::ScalarValue;
use jiff::{SignedDuration, Timestamp};
use lingqu_app::{AppError, random};
use lingqu_crypto::{IndexKey, KeyedDigest, sha256};
use lingqu_domain::id::OrderId;
use lingqu_domain::scope::Mode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::error::GatewayError;

/// How long a ticket may be redeemed.
const TICKET_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// Separates these signatures from whatever else the key signs.
const CONTEXT: &str = "flight ticket v1";
const MAC_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;

/// Names a ticket, for cancelling what runs on it.
pub(super) type TicketId = [u8; 16];

/// What a ticket lets be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ticket {
    pub(super) id: TicketId,
    pub(super) mode: Mode,
    pub(super) sql: String,
    pub(super) parameters: Vec<ScalarValue>,
    /// What was told.
    pub(super) told: Told,
}

/// What was told of an answer, and under which policy: under the same one it is the same still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Digest of the schema.
    pub(super) schema: String,
    /// Digest of rights, snapshots and consents.
    pub(super) policy: String,
}

#[derive(Serialize, Deserialize)]
struct Terms {
    id: TicketId,
    order: String,
    mode: String,
    sql: String,
    told: Told,
    expires_at_second: i64,
}

impl Ticket {
    /// A new ticket for a statement.
    pub(super) fn new(mode: Mode, sql: String, parameters: Vec<ScalarValue>, told: Told) -> Result<Ticket, AppError> {
        Ok(Ticket { id: random()?, mode, sql, parameters, told })
    }

    /// The ticket as the client gets it.
    pub(super) fn seal(&self, key: &IndexKey, order: &OrderId, now: Timestamp) -> Result<Vec<u8>, AppError> {
        let expires_at = now.checked_add(TICKET_LIFE).map_err(|error| AppError::Fault(error.to_string()))?;
        let terms = Terms {
            id: self.id,
            order: order.to_string(),
            mode: self.mode.code().to_owned(),
            sql: self.sql.clone(),
            told: self.told.clone(),
            expires_at_second: expires_at.as_second(),
        };
        let terms = serde_json::to_vec(&terms).expect("texts and numbers are JSON");
        let length = u32::try_from(terms.len()).expect("a statement is far shorter than 4 GiB");
        let mut signed = length.to_be_bytes().to_vec();
        signed.extend_from_slice(&terms);
        signed.extend_from_slice(&written(&self.parameters)?);
        let mut sealed = key.digest(CONTEXT, &signed).0.to_vec();
        sealed.extend_from_slice(&signed);
        Ok(sealed)
    }

    /// Opens a ticket of an order. Error: `ticket_not_valid` for one that was changed, is of another order or has expired;
    /// which of them is not told.
    pub(super) fn open(sealed: &[u8], key: &IndexKey, order: &OrderId, now: Timestamp) -> Result<Ticket, GatewayError> {
        opened(sealed, key, order, now).ok_or(GatewayError::TicketNotValid)
    }
}

fn opened(sealed: &[u8], key: &IndexKey, order: &OrderId, now: Timestamp) -> Option<Ticket> {
    let (mac, signed) = sealed.split_first_chunk::<MAC_BYTES>()?;
    // Nothing is read before the signature is found right.
    if key.digest(CONTEXT, signed) != KeyedDigest(*mac) {
        return None;
    }
    let (length, rest) = signed.split_first_chunk::<LENGTH_BYTES>()?;
    let (terms, parameters) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let terms: Terms = serde_json::from_slice(terms).ok()?;
    if terms.order != order.as_str() || now.as_second() >= terms.expires_at_second {
        return None;
    }
    let mode = Mode::ALL.into_iter().find(|mode| mode.code() == terms.mode)?;
    Some(Ticket { id: terms.id, mode, sql: terms.sql, parameters: read(parameters)?, told: terms.told })
}

/// Names a schema by its columns and types.
pub(super) fn schema_digest(schema: &SchemaRef) -> String {
    let mut named = Vec::new();
    for field in schema.fields() {
        for part in [field.name(), &field.data_type().to_string()] {
            named.extend_from_slice(&(part.len() as u64).to_be_bytes());
            named.extend_from_slice(part.as_bytes());
        }
    }
    sha256(&named).to_string()[..32].to_owned()
}

/// Values as an Arrow stream of one row; nothing for none.
fn written(values: &[ScalarValue]) -> Result<Vec<u8>, AppError> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let unfit = || AppError::Fault("the values of parameters could not be written".to_owned());
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (index, value) in values.iter().enumerate() {
        fields.push(Field::new(format!("p{index}"), value.data_type(), true));
        columns.push(value.to_array().map_err(|_| unfit())?);
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|_| unfit())?;
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(|_| unfit())?;
    writer.write(&batch).map_err(|_| unfit())?;
    writer.into_inner().map_err(|_| unfit())
}

fn read(bytes: &[u8]) -> Option<Vec<ScalarValue>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let batch = StreamReader::try_new(bytes, None).ok()?.next()?.ok()?;
    values_of(&batch)
}

/// The values of a batch of one row.
pub(super) fn values_of(batch: &RecordBatch) -> Option<Vec<ScalarValue>> {
    let mut values = Vec::with_capacity(batch.num_columns());
    for column in batch.columns() {
        let value = ScalarValue::try_from_array(column, 0).ok()?;
        values.push(match value {
            ScalarValue::Dictionary(_, value) => *value,
            plain => plain,
        });
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn order(digit: char) -> OrderId {
        format!("{}_{}", OrderId::PREFIX, digit.to_string().repeat(32)).parse().unwrap()
    }

    #[test]
    fn a_ticket_is_good_for_its_order_and_its_time_alone() {
        let key = IndexKey::from_bytes([7; 32]);
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let parameters = vec![
            ScalarValue::Int64(Some(5)),
            ScalarValue::Utf8(Some("x".to_owned())),
            ScalarValue::Date32(None),
            ScalarValue::Decimal128(Some(123), 10, 2),
        ];
        let told = Told { schema: schema_digest(&schema), policy: "policy".to_owned() };
        let ticket = Ticket::new(Mode::Rows, "select 1".to_owned(), parameters, told).unwrap();
        let sealed = ticket.seal(&key, &order('a'), now).unwrap();
        let open = |sealed: &[u8], order: &OrderId, now: Timestamp| Ticket::open(sealed, &key, order, now);
        assert_eq!(open(&sealed, &order('a'), now).unwrap(), ticket);
        assert!(open(&sealed, &order('b'), now).is_err());
        assert!(open(&sealed, &order('a'), now + SignedDuration::from_mins(9)).is_ok());
        assert!(open(&sealed, &order('a'), now + TICKET_LIFE).is_err());
        assert!(Ticket::open(&sealed, &IndexKey::from_bytes([8; 32]), &order('a'), now).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&changed, &order('a'), now).is_err(), "byte {at}");
        }
        for end in 0..sealed.len() {
            assert!(open(&sealed[..end], &order('a'), now).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn a_schema_is_named_by_columns_and_types() {
        let of = |name: &str, data_type: DataType| {
            schema_digest(&(Arc::new(Schema::new(vec![Field::new(name, data_type, true)])) as SchemaRef))
        };
        assert_eq!(of("a", DataType::Int64), of("a", DataType::Int64));
        assert_ne!(of("a", DataType::Int64), of("b", DataType::Int64));
        assert_ne!(of("a", DataType::Int64), of("a", DataType::Utf8));
    }
}
