//! Rows of originals that were laid beside a fragment, in a form in which an expert can be handed them: an Arrow stream of one
//! batch, of the columns that are needed to look at marks.

use std::collections::BTreeSet;
use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use lingqu_fingerprint::{FRAGMENT_ROWS_MAX, FingerprintError};

/// Rows of originals, in the order of the fragment's rows beside which they were laid.
#[derive(Clone, Debug)]
pub struct OriginalRows(pub RecordBatch);

impl OriginalRows {
    /// These columns of the rows as an Arrow stream; columns that are not there are left out. Error: they can't be written.
    pub fn encode(&self, columns: &BTreeSet<&str>) -> Result<Vec<u8>, FingerprintError> {
        let schema = self.0.schema();
        let places: Vec<usize> =
            (0..schema.fields().len()).filter(|place| columns.contains(schema.field(*place).name().as_str())).collect();
        let mut stream = Vec::new();
        let mut write = || -> Result<(), arrow::error::ArrowError> {
            let batch = self.0.project(&places)?;
            let mut writer = StreamWriter::try_new(&mut stream, &batch.schema())?;
            writer.write(&batch)?;
            writer.finish()
        };
        write().map_err(|_| unreadable("they can't be written as an Arrow stream"))?;
        Ok(stream)
    }

    /// What [`OriginalRows::encode`] wrote. Error: anything else; more rows than a fragment has.
    pub fn decode(stream: &[u8]) -> Result<OriginalRows, FingerprintError> {
        let no_stream = |_| unreadable("they are no Arrow stream; ask for the file again where it came from");
        let mut batches = StreamReader::try_new(Cursor::new(stream), None).map_err(no_stream)?;
        let Some(batch) = batches.next().transpose().map_err(no_stream)? else {
            return Err(unreadable("the Arrow stream has no rows; ask for the file again where it came from"));
        };
        if batches.next().is_some() || batch.num_rows() > FRAGMENT_ROWS_MAX {
            return Err(FingerprintError::TooMany { what: "rows of originals", count_max: FRAGMENT_ROWS_MAX });
        }
        Ok(OriginalRows(batch))
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.0.num_rows()
    }
}

fn unreadable(reason: &str) -> FingerprintError {
    FingerprintError::Originals { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn rows() -> OriginalRows {
        let columns: Vec<(&str, arrow::array::ArrayRef)> = vec![
            ("key", Arc::new(StringArray::from(vec![Some("a"), None]))),
            ("other", Arc::new(Int64Array::from(vec![1, 2]))),
            ("delay", Arc::new(Int64Array::from(vec![Some(-3), Some(7)]))),
        ];
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        OriginalRows(RecordBatch::try_from_iter_with_nullable(columns).unwrap())
    }

    /// Whoever made the bytes, they are rows or refused.
    #[test]
    fn changed_bytes_are_rows_or_refused() {
        let stream = rows().encode(&BTreeSet::from(["key", "other", "delay"])).unwrap();
        let mut refused = 0;
        for place in 0..stream.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = stream.clone();
                changed[place] ^= change;
                match OriginalRows::decode(&changed) {
                    Ok(read) => {
                        for column in read.0.columns() {
                            column.to_data().validate_full().unwrap();
                        }
                    }
                    Err(_) => refused += 1,
                }
            }
            assert!(OriginalRows::decode(&stream[..place]).is_err() || place + 8 >= stream.len(), "{place}");
        }
        assert!(refused > 0);
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let rows = rows();
        let stream = rows.encode(&BTreeSet::from(["delay", "key", "nothing"])).unwrap();
        let read = OriginalRows::decode(&stream).unwrap();
        assert_eq!(read.row_count(), 2);
        assert_eq!(read.0, rows.0.project(&[0, 2]).unwrap());
        for bad in [&stream[..stream.len() / 2], &stream[4..], b"", b"PAR1"] {
            assert!(OriginalRows::decode(bad).is_err());
        }
        let twice = {
            let mut bytes = Vec::new();
            let mut writer = StreamWriter::try_new(&mut bytes, &rows.0.schema()).unwrap();
            writer.write(&rows.0).unwrap();
            writer.write(&rows.0).unwrap();
            writer.finish().unwrap();
            bytes
        };
        assert!(OriginalRows::decode(&twice).is_err());
    }
}
