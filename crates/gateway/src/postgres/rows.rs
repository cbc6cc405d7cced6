//! Rows of an answer as the client's columns: types, and values in text or binary.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_pg::datatypes::field_into_pg_type;
use arrow_pg::encoder::{Encoder, encode_value};
use bytes::{BufMut, BytesMut};
use jiff::Timestamp;
use jiff::tz::Offset;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::types::ToSqlText;
use postgres_types::ToSql;

use super::frame::{Outbox, format_of};
use super::numeric::Numeric;
use super::refusal::Refused;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's time begins.
pub(super) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// Most columns of a result; a count of them is two bytes.
const COLUMNS_MAX: usize = 1_600;

/// The columns of a result. Error: a type that the protocol does not have here.
pub(super) fn fields(schema: &Schema, formats: &[i16]) -> Result<Vec<FieldInfo>, Refused> {
    if schema.fields().len() > COLUMNS_MAX {
        return Err(Refused::unsupported(
            format!("结果不得超过 {COLUMNS_MAX} 列"),
            format!("a result has at most {COLUMNS_MAX} columns; ask for fewer"),
        ));
    }
    let mut fields = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        let data_type = field_into_pg_type(field).map_err(|_| unsupported(field.name()))?;
        fields.push(FieldInfo::new(field.name().clone(), None, None, data_type, format_of(formats, at)));
    }
    Ok(fields)
}

fn unsupported(column: &str) -> Refused {
    Refused::unsupported(
        format!("字段 {column} 的类型无法以此协议返回，请转换为其他类型"),
        format!("the type of the column `{column}` has no form in this protocol; cast it to another"),
    )
}

/// Writes one row of a batch.
pub(super) fn put_row(
    outbox: &mut Outbox,
    row: &mut Row,
    fields: &[FieldInfo],
    batch: &RecordBatch,
    at: usize,
) -> Result<(), Refused> {
    row.bytes.clear();
    let schema = batch.schema_ref();
    for (column, field) in fields.iter().enumerate() {
        let value = batch.column(column);
        if put_own(row, field, value, at) {
            continue;
        }
        let arrow_field = schema.field(column);
        encode_value(row, value, at, arrow_field, field).map_err(|_| unsupported(field.name()))?;
    }
    outbox.data_row(fields.len(), &row.bytes);
    Ok(())
}

/// Values whose form is our own: null, decimals of 38 digits, numbers without an end, and times, whose zone may be a name. False for all
/// others.
fn put_own(row: &mut Row, field: &FieldInfo, value: &ArrayRef, at: usize) -> bool {
    if value.is_null(at) || value.data_type() == &DataType::Null {
        row.bytes.put_i32(-1);
        return true;
    }
    let is_binary = field.format() == FieldFormat::Binary;
    match value.data_type() {
        DataType::Decimal128(_, scale) => {
            let numeric = Numeric { unscaled: value.as_primitive::<Decimal128Type>().value(at), scale: *scale };
            row.value(|bytes| match is_binary {
                true => numeric.put(bytes),
                false => bytes.put_slice(numeric.to_text().as_bytes()),
            });
            true
        }
        // The library writes `inf`, which drivers take for no number.
        DataType::Float64 if !is_binary && value.as_primitive::<Float64Type>().value(at).is_infinite() => {
            let is_negative = value.as_primitive::<Float64Type>().value(at).is_sign_negative();
            let text = if is_negative { "-Infinity" } else { "Infinity" };
            row.value(|bytes| bytes.put_slice(text.as_bytes()));
            true
        }
        DataType::Timestamp(unit, zone) => {
            let Some(microseconds) = microseconds(value, *unit, at) else { return false };
            let has_zone = zone.is_some();
            row.value(|bytes| match is_binary {
                true => bytes.put_i64(microseconds.saturating_sub(EPOCH_MICROSECONDS)),
                false => bytes.put_slice(time_text(microseconds, has_zone).as_bytes()),
            });
            true
        }
        _ => false,
    }
}

/// Microseconds since 1970; nothing when they are more than there can be.
fn microseconds(value: &ArrayRef, unit: TimeUnit, at: usize) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.as_primitive::<TimestampSecondType>().value(at).checked_mul(1_000_000),
        TimeUnit::Millisecond => value.as_primitive::<TimestampMillisecondType>().value(at).checked_mul(1_000),
        TimeUnit::Microsecond => Some(value.as_primitive::<TimestampMicrosecondType>().value(at)),
        TimeUnit::Nanosecond => Some(value.as_primitive::<TimestampNanosecondType>().value(at).div_euclid(1_000)),
    }
}

/// As PostgreSQL writes it with `DateStyle` ISO and `TimeZone` UTC.
fn time_text(microseconds: i64, has_zone: bool) -> String {
    let zone = if has_zone { "+00" } else { "" };
    match Timestamp::from_microsecond(microseconds) {
        Ok(moment) => format!("{}{zone}", Offset::UTC.to_datetime(moment)).replacen('T', " ", 1),
        Err(_) if microseconds < 0 => "-infinity".to_owned(),
        Err(_) => "infinity".to_owned(),
    }
}

/// The values of a row that is being written.
#[derive(Debug, Default)]
pub(super) struct Row {
    bytes: BytesMut,
}

impl Row {
    /// A value behind its length.
    fn value(&mut self, put: impl FnOnce(&mut BytesMut)) {
        let at = self.bytes.len();
        self.bytes.put_i32(0);
        put(&mut self.bytes);
        let length = (self.bytes.len() - at - 4) as i32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

impl Encoder for Row {
    type Item = ();

    fn encode_field<T>(&mut self, value: &T, field: &FieldInfo) -> PgWireResult<()>
    where
        T: ToSql + ToSqlText + Sized,
    {
        let mut failed = None;
        self.value(|bytes| {
            let written = match field.format() {
                FieldFormat::Text => value.to_sql_text(field.datatype(), bytes, field.format_options()),
                FieldFormat::Binary => value.to_sql(field.datatype(), bytes),
            };
            failed = written.err();
        });
        failed.map_or(Ok(()), |error| Err(PgWireError::ApiError(error)))
    }

    fn take_row(&mut self) {}
}

/// Whether two results have the same columns by name and type, as a client must assume of a prepared statement.
pub(super) fn same_columns(left: &Schema, right: &Schema) -> bool {
    let types = |schema: &Schema| -> Option<Vec<(String, u32)>> {
        let fields = schema.fields().iter();
        fields.map(|field| Some((field.name().clone(), field_into_pg_type(field).ok()?.oid()))).collect()
    };
    types(left) == types(right)
}

/// A schema without columns.
pub(super) fn no_columns() -> Arc<Schema> {
    Arc::new(Schema::empty())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, NullArray, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::Field;

    use super::*;

    fn batch() -> RecordBatch {
        let decimal = Decimal128Array::from(vec![Some(10_i128.pow(37)), None]).with_precision_and_scale(38, 2).unwrap();
        let moment = TimestampMicrosecondArray::from(vec![Some(1_357_016_400_250_000), None]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("whole", Arc::new(Int64Array::from(vec![Some(-7), None]))),
            ("float", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("decimal", Arc::new(decimal)),
            ("text", Arc::new(StringArray::from(vec![Some("灵渠"), None]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("day", Arc::new(Date32Array::from(vec![Some(15_706), None]))),
            ("local", Arc::new(moment.clone())),
            ("moment", Arc::new(moment.with_timezone("UTC"))),
            ("nothing", Arc::new(NullArray::new(2))),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
            .unwrap()
    }

    /// The values of a row, as they lie in the message.
    fn values(formats: &[i16], at: usize) -> Vec<Option<Vec<u8>>> {
        let batch = batch();
        let fields = fields(batch.schema_ref(), formats).unwrap();
        let (mut outbox, mut row) = (Outbox::default(), Row::default());
        put_row(&mut outbox, &mut row, &fields, &batch, at).unwrap();
        let mut rest = &outbox.bytes[7..];
        let mut values = Vec::new();
        while !rest.is_empty() {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            let Ok(length) = usize::try_from(length) else {
                values.push(None);
                continue;
            };
            values.push(Some(rest[..length].to_vec()));
            rest = &rest[length..];
        }
        values
    }

    #[test]
    fn types_are_postgresqls() {
        let oids: Vec<u32> =
            fields(batch().schema_ref(), &[]).unwrap().iter().map(|field| field.datatype().oid()).collect();
        assert_eq!(oids, [20, 701, 1700, 25, 16, 1082, 1114, 1184, 705]);
    }

    #[test]
    fn text_is_as_postgresql_writes_it() {
        let text: Vec<Option<String>> =
            values(&[], 0).into_iter().map(|value| value.map(|value| String::from_utf8(value).unwrap())).collect();
        let expected = [
            Some("-7"),
            Some("1.5"),
            Some("100000000000000000000000000000000000.00"),
            Some("灵渠"),
            Some("t"),
            Some("2013-01-01"),
            Some("2013-01-01 05:00:00.25"),
            Some("2013-01-01 05:00:00.25+00"),
            None,
        ];
        assert_eq!(text, expected.map(|value| value.map(str::to_owned)));
        assert!(values(&[], 1).iter().all(Option::is_none));
    }

    #[test]
    fn a_number_without_an_end_is_written_as_drivers_read_it() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, f64::NEG_INFINITY, f64::NAN]));
        let batch = RecordBatch::try_from_iter([("float", column)]).unwrap();
        let fields = fields(batch.schema_ref(), &[]).unwrap();
        let written = |at| {
            let (mut outbox, mut row) = (Outbox::default(), Row::default());
            put_row(&mut outbox, &mut row, &fields, &batch, at).unwrap();
            String::from_utf8(outbox.bytes[11..].to_vec()).unwrap()
        };
        assert_eq!([written(0), written(1), written(2)], ["Infinity", "-Infinity", "NaN"]);
    }

    #[test]
    fn binary_is_as_postgresql_sends_it() {
        let values = values(&[1], 0);
        assert_eq!(values[0].as_deref(), Some(&(-7_i64).to_be_bytes()[..]));
        assert_eq!(values[1].as_deref(), Some(&1.5_f64.to_be_bytes()[..]));
        let decimal = Numeric::from_binary(values[2].as_deref().unwrap()).unwrap();
        assert_eq!(decimal.to_text(), "100000000000000000000000000000000000");
        assert_eq!(values[3].as_deref(), Some("灵渠".as_bytes()));
        assert_eq!(values[4].as_deref(), Some(&[1][..]));
        // Days and microseconds since 2000-01-01.
        assert_eq!(values[5].as_deref(), Some(&4_749_i32.to_be_bytes()[..]));
        assert_eq!(values[6].as_deref(), Some(&410_331_600_250_000_i64.to_be_bytes()[..]));
        assert_eq!(values[6], values[7]);
        assert!(self::values(&[1], 1).iter().all(Option::is_none));
    }
}
