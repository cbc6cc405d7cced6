//! A noised answer in the form in which it is kept: its groups and parts as an Arrow stream, and the rows that crossed the
//! barrier for it, which the receipt of every repetition names again.
//!
//! Arrow's reader panics over some streams that it did not write. What is read here came out of a seal that nobody but this node
//! makes, so it is what was written, to the last byte: whatever keeps an answer opens none that was changed.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use roaring::RoaringTreemap;

use super::question::{Part, Question};

/// The first byte of a stored answer; another form gets another one.
const FORM: u8 = 1;
/// Most bytes of the rows of one stored answer. Of more, all rows between the first and the last are named.
const ROWS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A noised answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredAnswer {
    /// The groups, in the order of the question's canonical texts.
    pub(crate) groups: RecordBatch,
    /// The noised parts, one number a group.
    pub(crate) parts: BTreeMap<Part, Vec<i64>>,
    /// Rows of the table that crossed the barrier for it; maybe more, never fewer.
    pub(crate) rows: RoaringTreemap,
}

/// Bytes that are no stored answer to the question.
#[derive(Debug, thiserror::Error)]
#[error("a stored answer with noise can't be read: {0}")]
pub(crate) struct Unreadable(&'static str);

impl StoredAnswer {
    /// As bytes. The same answer has the same bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Unreadable> {
        let mut fields: Vec<Field> = self.groups.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        let mut columns: Vec<ArrayRef> = self.groups.columns().to_vec();
        for (place, numbers) in self.parts.values().enumerate() {
            fields.push(Field::new(format!("p{place}"), DataType::Int64, false));
            columns.push(Arc::new(Int64Array::from(numbers.clone())));
        }
        let schema = Arc::new(Schema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(self.groups.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options);
        let batch = batch.map_err(|_| Unreadable("parts and groups differ in number"))?;
        let mut stream = Vec::new();
        let mut write = || -> Result<(), arrow::error::ArrowError> {
            let mut writer = StreamWriter::try_new(&mut stream, &schema)?;
            writer.write(&batch)?;
            writer.finish()
        };
        write().map_err(|_| Unreadable("it can't be written as an Arrow stream"))?;
        let mut rows = self.rows.clone();
        if rows.serialized_size() > ROWS_BYTES_MAX
            && let (Some(first), Some(last)) = (rows.min(), rows.max())
        {
            rows.insert_range(first..=last);
            rows.optimize();
        }
        let mut bytes = vec![FORM];
        bytes.extend((stream.len() as u64).to_be_bytes());
        bytes.extend(stream);
        rows.serialize_into(&mut bytes).map_err(|_| Unreadable("its rows can't be written"))?;
        Ok(bytes)
    }

    /// From bytes that answer a question.
    pub(crate) fn of_bytes(bytes: &[u8], question: &Question) -> Result<StoredAnswer, Unreadable> {
        let cut = || Unreadable("it is cut off");
        let (form, rest) = bytes.split_first().ok_or_else(cut)?;
        if *form != FORM {
            return Err(Unreadable("it is of another form; it was written by another version"));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| cut())?;
        let (stream, rows) = rest.split_at_checked(length).ok_or_else(cut)?;
        let rows = RoaringTreemap::deserialize_from(rows).map_err(|_| Unreadable("its rows are no set of rows"))?;
        let no_stream = |_| Unreadable("its numbers are no Arrow stream");
        let mut reader = StreamReader::try_new(Cursor::new(stream), None).map_err(no_stream)?;
        let batch = reader.next().ok_or_else(cut)?.map_err(no_stream)?;
        let groups_count = question.groups.len();
        if batch.num_columns() != groups_count + question.parts.len() {
            return Err(Unreadable("it answers another question"));
        }
        let mut parts = BTreeMap::new();
        for (part, column) in question.parts.iter().zip(&batch.columns()[groups_count..]) {
            let numbers = column.as_primitive_opt::<Int64Type>().ok_or(Unreadable("a part is no whole number"))?;
            parts.insert(part.clone(), numbers.values().to_vec());
        }
        let indices: Vec<usize> = (0..groups_count).collect();
        let groups = batch.project(&indices).map_err(no_stream)?;
        Ok(StoredAnswer { groups, parts, rows })
    }
}
