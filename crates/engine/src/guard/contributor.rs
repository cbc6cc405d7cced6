//! Who contributes to a number, and with what: keyed digests that are the same in every version of the data.
//!
//! They are worked out behind the barrier, on raw values: two orders of one consumer may see a column at different
//! precisions, and a difference of their answers tells of the same people. Row numbers and ordinals will not do, since
//! both are made anew with each version; a row is known by its key, a person by the subject column (blanks around do not
//! count), a contribution by the key and the raw value. So the same row, unchanged, is the same contribution tomorrow, and a corrected or added
//! one is a difference of one contributor.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit, when,
};
use lingqu_domain::scope::ColumnName;
use siphasher::sip::SipHasher24;

use crate::governed::{GovernError, GovernedTable, HiddenColumns};
use crate::predicate::column;
use crate::product::person_of;
use crate::{ROW_COLUMN, SUBJECT_COLUMN};

/// Digest of the contributor of a row.
pub(crate) const WHO_COLUMN: &str = "__who";
/// Digest of the contributor by the text that names one, blanks included: as it was in sketches of the former kind.
pub(crate) const WRITTEN_COLUMN: &str = "__written";
/// Whether the row counts as a contributor: one without a subject in a table of subjects does not.
pub(crate) const COUNTED_COLUMN: &str = "__counted";
/// Digest of the row.
pub(crate) const WHAT_COLUMN: &str = "__what";

/// Digest of the row with its value of a measured column.
pub(crate) fn what_column(measure: usize) -> String {
    format!("{WHAT_COLUMN}_{measure}")
}

/// How contributors are known.
#[derive(Clone, PartialEq, Eq)]
pub struct Contributors {
    /// The columns that name a row in every version of the data; empty: rows are known by their number, and versions can't
    /// be compared.
    pub key: Vec<ColumnName>,
    /// The column that names the data subject; without one each row is a contributor of its own.
    pub subject: Option<ColumnName>,
    /// Key of the digests. The same on every node and for ever: under another key nothing that was released before is
    /// recognised.
    pub digest_key: [u8; 16],
}

impl fmt::Debug for Contributors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Contributors");
        shown.field("key", &self.key).field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Contributors {
    /// The hidden columns of a governed table that a guarded aggregate over some measured columns reads. Error:
    /// [`GovernError::SchemaChanged`] when the data has no such key or subject.
    pub(crate) fn columns(
        &self,
        table: &GovernedTable,
        measures: &[String],
    ) -> DataFusionResult<Result<HiddenColumns, GovernError>> {
        let raw = table.raw().arrow_schema();
        for name in &self.key {
            if raw.column_with_name(name.as_str()).is_none() {
                return Ok(Err(GovernError::SchemaChanged { column: name.to_string() }));
            }
        }
        let subject = match self.subject(table) {
            Ok(subject) => subject,
            Err(error) => return Ok(Err(error)),
        };
        let key = self.row_key();
        let row = self.digest("row", key.clone());
        let (who, written, counted) = match subject {
            Some(subject) => {
                let digest = |named: Expr| {
                    when(named.clone().is_not_null(), self.digest("subject", vec![named])).otherwise(row.clone())
                };
                (digest(subject.person)?, digest(subject.written.clone())?, subject.written.is_not_null())
            }
            None => (row.clone(), row.clone(), lit(true)),
        };
        let mut hidden = vec![
            (Field::new(WHO_COLUMN, DataType::Int64, true), who),
            (Field::new(WRITTEN_COLUMN, DataType::Int64, true), written),
            (Field::new(COUNTED_COLUMN, DataType::Boolean, true), counted),
            (Field::new(WHAT_COLUMN, DataType::Int64, true), row),
        ];
        for (index, measure) in measures.iter().enumerate() {
            let mut contribution = key.clone();
            contribution.push(column(measure));
            let digest = self.digest(&format!("value of {measure}"), contribution);
            hidden.push((Field::new(what_column(index), DataType::Int64, true), digest));
        }
        Ok(Ok(HiddenColumns::Made(Arc::new(hidden))))
    }

    /// What names the subject of a row; none where the table names none. Error: [`GovernError::SchemaChanged`] when the data has
    /// no such column.
    pub(crate) fn subject(&self, table: &GovernedTable) -> Result<Option<NamedSubject>, GovernError> {
        let Some(name) = &self.subject else {
            let ordinal = column(SUBJECT_COLUMN);
            let subject = NamedSubject { data_type: DataType::Int64, person: ordinal.clone(), written: ordinal };
            return Ok(table.has_subject().then_some(subject));
        };
        let raw = table.raw().arrow_schema();
        let Some((_, field)) = raw.column_with_name(name.as_str()) else {
            return Err(GovernError::SchemaChanged { column: name.to_string() });
        };
        let written = column(name.as_str());
        let person = match field.data_type() {
            DataType::Utf8 => {
                let function = PersonOf { signature: Signature::any(1, Volatility::Immutable) };
                ScalarUDF::new_from_impl(function).call(vec![written.clone()])
            }
            _ => written.clone(),
        };
        Ok(Some(NamedSubject { data_type: field.data_type().clone(), person, written }))
    }

    /// What names a row: its key, or its number.
    pub(crate) fn row_key(&self) -> Vec<Expr> {
        if self.key.is_empty() {
            vec![column(ROW_COLUMN)]
        } else {
            self.key.iter().map(|name| column(name.as_str())).collect()
        }
    }

    /// A keyed digest of columns, under a purpose of its own.
    pub(crate) fn digest(&self, purpose: &str, columns: Vec<Expr>) -> Expr {
        let function = ContributorDigest {
            key: DigestKey(self.digest_key),
            purpose: purpose.to_owned(),
            signature: Signature::variadic_any(Volatility::Immutable),
        };
        ScalarUDF::new_from_impl(function).call(columns)
    }
}

/// How a row names its subject.
pub(crate) struct NamedSubject {
    /// The type of both.
    pub(crate) data_type: DataType,
    /// The person: of a text what it says without the blanks around it.
    pub(crate) person: Expr,
    /// The column as it stands.
    pub(crate) written: Expr,
}

/// [`person_of`] of a text column.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PersonOf {
    signature: Signature,
}

impl ScalarUDFImpl for PersonOf {
    fn name(&self) -> &'static str {
        "person_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let texts = arguments.args[0].to_array(arguments.number_rows)?;
        let persons: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(person_of)).collect();
        Ok(ColumnarValue::Array(Arc::new(persons)))
    }
}

/// The key of the digests, never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
struct DigestKey([u8; 16]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DigestKey")
    }
}

/// SipHash-2-4 of typed values. Total, and the same for ever: its results are kept in the record of released answers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ContributorDigest {
    key: DigestKey,
    purpose: String,
    signature: Signature,
}

impl ScalarUDFImpl for ContributorDigest {
    fn name(&self) -> &'static str {
        "contributor_digest"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _argument_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let mut prefix = SipHasher24::new_with_key(&self.key.0);
        prefix.write(self.purpose.as_bytes());
        prefix.write_u8(0xff);
        let mut digests = vec![prefix; arguments.number_rows];
        for argument in &arguments.args {
            add_column(&argument.to_array(arguments.number_rows)?, &mut digests)?;
        }
        let digests: Int64Array = digests.iter().map(|digest| Some(digest.finish().cast_signed())).collect();
        Ok(ColumnarValue::Array(Arc::new(digests)))
    }
}

/// Adds a column to the digests of its rows: a mark of the type (0 where there is no value), then the value. The types are
/// those of [`ColumnType`](crate::ColumnType).
fn add_column(values: &ArrayRef, digests: &mut [SipHasher24]) -> DataFusionResult<()> {
    let each = |digests: &mut [SipHasher24], mark: u8, add: &dyn Fn(&mut SipHasher24, usize)| {
        for (row, digest) in digests.iter_mut().enumerate() {
            if values.is_null(row) {
                digest.write_u8(0);
            } else {
                digest.write_u8(mark);
                add(digest, row);
            }
        }
    };
    match values.data_type() {
        DataType::Int64 => {
            let values = values.as_primitive::<Int64Type>();
            each(digests, 1, &|digest, row| digest.write(&values.value(row).to_le_bytes()));
        }
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            each(digests, 2, &|digest, row| digest.write(&values.value(row).to_bits().to_le_bytes()));
        }
        DataType::Decimal128(_, _) => {
            let values = values.as_primitive::<Decimal128Type>();
            each(digests, 3, &|digest, row| digest.write(&values.value(row).to_le_bytes()));
        }
        DataType::Date32 => {
            let values = values.as_primitive::<Date32Type>();
            each(digests, 4, &|digest, row| digest.write(&values.value(row).to_le_bytes()));
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let values = values.as_primitive::<TimestampMicrosecondType>();
            each(digests, 5, &|digest, row| digest.write(&values.value(row).to_le_bytes()));
        }
        DataType::Boolean => {
            let values = values.as_boolean();
            each(digests, 6, &|digest, row| digest.write_u8(u8::from(values.value(row))));
        }
        DataType::Utf8 => {
            let values = values.as_string::<i32>();
            each(digests, 7, &|digest, row| {
                let text = values.value(row).as_bytes();
                digest.write(&(text.len() as u64).to_le_bytes());
                digest.write(text);
            });
        }
        other => return internal_err!("governed data has no column of type {other}"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn digest_of(columns: &[ArrayRef]) -> Vec<u64> {
        let mut digests = vec![SipHasher24::new_with_key(&[7; 16]); columns[0].len()];
        for column in columns {
            add_column(column, &mut digests).expect("a type of governed data");
        }
        digests.iter().map(SipHasher24::finish).collect()
    }

    /// The results are kept: another hash or another form would make everything released before unrecognisable.
    #[test]
    fn digests_never_change() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("南宁"), Some("")]));
        let digests = digest_of(&[numbers, texts]);
        assert_eq!(digests, KEPT);
    }

    const KEPT: [u64; 2] = [0x3b88_a1b5_bfb2_b5b7, 0x8bed_3bbc_5476_8f92];

    #[test]
    fn values_do_not_run_into_each_other() {
        let text = |values: [&str; 1]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        assert_ne!(digest_of(&[text(["ab"]), text(["c"])]), digest_of(&[text(["a"]), text(["bc"])]));
        let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>]));
        assert_ne!(digest_of(&[none]), digest_of(&[text([""])]));
    }
}
