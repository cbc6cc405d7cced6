//! The messages of an answer, of which a batch is copied once: from where the engine has it to where HTTP sends it from.
//!
//! The encoder of `arrow-flight` writes a batch into a buffer that grows as it is written, and tonic copies that into another
//! one. Here the values stay where they are until the message is written, into a buffer that is made in its size. The messages
//! are the same: a flatbuffer that says what lies where, and the buffers of the columns one behind the other (Arrow's
//! specification, "Encapsulated message format").

use std::collections::VecDeque;
use std::pin::{Pin, pin};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::{IpcWriteOptions, StreamEncoder};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, SchemaAsIpc, Ticket};
use bytes::{BufMut, Bytes};
use futures::{Stream, StreamExt, TryStreamExt};
use lingqu_app::AppError;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::status::of_problem;

/// What a message of Arrow's stream begins with, before the length of its header.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Bytes of both.
const PREFIX_BYTES: usize = 8;
/// The fields of `FlightData` (`Flight.proto`).
const DATA_HEADER: u32 = 2;
const DATA_BODY: u32 = 1_000;
/// Most bytes of a field's key.
const KEY_BYTES_MAX: usize = 2;

/// The messages of an answer.
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<Sent, Status>> + Send>>;

/// A message of an answer.
#[derive(Debug)]
pub(super) enum Sent {
    /// As `arrow-flight` has it.
    Whole(FlightData),
    /// A batch whose values are still where the engine has them.
    Batch(BatchMessage),
}

/// A batch: what lies where in its body, and its body in pieces.
#[derive(Debug)]
pub(super) struct BatchMessage {
    header: Vec<u8>,
    body: Vec<Buffer>,
}

impl Sent {
    /// In one piece.
    pub(super) fn whole(self) -> FlightData {
        match self {
            Sent::Whole(data) => data,
            Sent::Batch(BatchMessage { header, body }) => {
                let body: Vec<u8> = body.iter().flat_map(|piece| piece.as_slice()).copied().collect();
                FlightData::new().with_data_header(header).with_data_body(body)
            }
        }
    }
}

impl BatchMessage {
    fn body_bytes(&self) -> usize {
        self.body.iter().map(Buffer::len).sum()
    }

    /// Most bytes that it takes.
    fn bytes_max(&self) -> usize {
        let field = |bytes: usize| KEY_BYTES_MAX + encoded_len_varint(bytes as u64) + bytes;
        field(self.header.len()) + field(self.body_bytes())
    }

    /// Writes it as `FlightData`.
    fn put(&self, into: &mut impl BufMut) {
        encode_key(DATA_HEADER, WireType::LengthDelimited, into);
        encode_varint(self.header.len() as u64, into);
        into.put_slice(&self.header);
        let bytes = self.body_bytes();
        if bytes > 0 {
            encode_key(DATA_BODY, WireType::LengthDelimited, into);
            encode_varint(bytes as u64, into);
            self.body.iter().for_each(|piece| into.put_slice(piece));
        }
    }
}

/// The messages of batches: their schema, with a label, then each of them that has rows. An error ends them.
pub(super) fn encoded(
    schema: SchemaRef,
    label: Bytes,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> Messages {
    let is_flat = |data_type: &DataType| !data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..));
    if !schema.fields().iter().all(|field| is_flat(field.data_type())) {
        let batches = batches.map_err(FlightError::from);
        let encoder = FlightDataEncoderBuilder::new().with_schema(schema).with_metadata(label).build(batches);
        return Box::pin(encoder.map_ok(Sent::Whole).map_err(|error| match error {
            FlightError::Tonic(status) => *status,
            _ => unwritable(),
        }));
    }
    Box::pin(async_stream::stream! {
        let options = IpcWriteOptions::default();
        let begin: FlightData = SchemaAsIpc::new(&schema, &options).into();
        yield Ok(Sent::Whole(begin.with_app_metadata(label)));
        let Ok(mut encoder) = BatchEncoder::new(&schema) else {
            yield Err(unwritable());
            return;
        };
        let mut batches = pin!(batches);
        while let Some(batch) = batches.next().await {
            if batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0) {
                continue;
            }
            let message = batch.and_then(|batch| encoder.message(&batch).map_err(|_| unwritable()));
            let is_last = message.is_err();
            yield message.map(Sent::Batch);
            if is_last {
                return;
            }
        }
    })
}

/// Without the cause, whose text may quote values.
fn unwritable() -> Status {
    of_problem(&AppError::Fault("a batch could not be written for Flight".to_owned()).problem())
}

/// Makes batches of one schema, which has no dictionaries, into messages.
struct BatchEncoder {
    encoder: StreamEncoder,
    has_begun: bool,
}

impl BatchEncoder {
    fn new(schema: &SchemaRef) -> Result<BatchEncoder, ArrowError> {
        Ok(BatchEncoder { encoder: StreamEncoder::try_new(schema)?, has_begun: false })
    }

    fn message(&mut self, batch: &RecordBatch) -> Result<BatchMessage, ArrowError> {
        let mut stream = Pieces(self.encoder.encode(batch)?.into());
        if !std::mem::replace(&mut self.has_begun, true) {
            // The schema, which goes before with its label.
            stream.header()?;
        }
        Ok(BatchMessage { header: stream.header()?, body: stream.0.into() })
    }
}

/// A part of Arrow's stream, in pieces.
struct Pieces(VecDeque<Buffer>);

impl Pieces {
    /// Takes the header of the next message.
    fn header(&mut self) -> Result<Vec<u8>, ArrowError> {
        let cut = || ArrowError::IpcError("a message without its header".to_owned());
        let prefix = self.taken(PREFIX_BYTES).ok_or_else(cut)?;
        let (marker, length) = prefix.split_at(CONTINUATION.len());
        let length = <[u8; 4]>::try_from(length).ok().filter(|_| marker == CONTINUATION).map(u32::from_le_bytes);
        let length = length.and_then(|length| usize::try_from(length).ok()).ok_or_else(cut)?;
        self.taken(length).ok_or_else(cut)
    }

    /// Takes the next so many bytes; none where there are fewer.
    fn taken(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let mut taken = Vec::with_capacity(bytes);
        while taken.len() < bytes {
            let piece = self.0.pop_front()?;
            let missing = bytes - taken.len();
            if piece.len() > missing {
                self.0.push_front(piece.slice(missing));
            }
            taken.extend_from_slice(&piece[..missing.min(piece.len())]);
        }
        Some(taken)
    }
}

/// Reads tickets and writes the messages of answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MessageCodec;

impl Codec for MessageCodec {
    type Encode = Sent;
    type Decode = Ticket;
    type Encoder = MessageCodec;
    type Decoder = MessageCodec;

    fn encoder(&mut self) -> MessageCodec {
        MessageCodec
    }

    fn decoder(&mut self) -> MessageCodec {
        MessageCodec
    }
}

impl Encoder for MessageCodec {
    type Item = Sent;
    type Error = Status;

    fn encode(&mut self, sent: Sent, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match sent {
            Sent::Whole(data) => {
                into.reserve(data.encoded_len());
                data.encode(into).map_err(|_| unwritable())
            }
            Sent::Batch(batch) => {
                into.reserve(batch.bytes_max());
                batch.put(into);
                Ok(())
            }
        }
    }
}

impl Decoder for MessageCodec {
    type Item = Ticket;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Ticket>, Status> {
        Ticket::decode(from).map(Some).map_err(|_| Status::internal("a ticket could not be read"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, NullArray,
        RecordBatchOptions, StringArray, StringViewArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Int32Type, Schema};
    use arrow_flight::decode::FlightRecordBatchStream;

    use super::*;

    fn batch(columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Field::new(format!("c{at}"), column.data_type().clone(), true))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).unwrap()
    }

    fn flat() -> RecordBatch {
        let texts = (0..1_000).map(|row| (row % 3 != 0).then(|| format!("text {row} of some length")));
        let texts: Vec<Option<String>> = texts.collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0_i64..1_000).map(|row| (row % 7 != 0).then_some(row)).collect::<Int64Array>()),
            Arc::new(Int64Array::from_iter_values(0..1_000)),
            Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>()),
            Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>()),
            Arc::new((0..1_000_u32).map(|row| (row % 5 != 0).then(|| row.to_be_bytes())).collect::<BinaryViewArray>()),
            Arc::new((0..1_000).map(|row| (row % 4 != 0).then_some(row % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(Float64Array::from_iter_values((0..1_000).map(f64::from))),
            Arc::new((0_i128..1_000).map(Some).collect::<Decimal128Array>()),
            Arc::new(TimestampMicrosecondArray::from_iter_values(0..1_000).with_timezone("UTC")),
            Arc::new(NullArray::new(1_000)),
        ];
        batch(columns, 1_000)
    }

    async fn all(messages: Messages) -> Vec<Sent> {
        messages.try_collect().await.unwrap()
    }

    /// What a client reads of messages that were written and read again.
    async fn read(sent: Vec<Sent>) -> Vec<RecordBatch> {
        let written = sent.into_iter().map(|sent| {
            let mut bytes = Vec::new();
            match &sent {
                Sent::Whole(data) => data.encode(&mut bytes).unwrap(),
                Sent::Batch(batch) => {
                    batch.put(&mut bytes);
                    assert!(bytes.len() <= batch.bytes_max() && bytes.len() + 8 >= batch.bytes_max());
                    assert_eq!(FlightData::decode(bytes.as_slice()).unwrap(), sent.whole());
                }
            }
            Ok(FlightData::decode(bytes.as_slice()).unwrap())
        });
        let written: Vec<Result<FlightData, FlightError>> = written.collect();
        let stream = FlightRecordBatchStream::new_from_flight_data(futures::stream::iter(written));
        stream.try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn what_is_read_is_what_was_sent_and_the_body_that_of_the_usual_encoder() {
        let whole = flat();
        let pieces = [whole.slice(0, 1_000), whole.slice(3, 500), whole.slice(999, 1), whole.slice(40, 0)];
        let batches = || futures::stream::iter(pieces.clone().map(Ok));
        let sent = all(encoded(whole.schema(), Bytes::from_static(b"label"), batches())).await;
        assert_eq!(sent.len(), 4, "nothing is sent of a batch without rows");
        let usual = FlightDataEncoderBuilder::new().with_schema(whole.schema()).with_metadata("label".into());
        let usual =
            usual.with_max_flight_data_size(usize::MAX).build(batches().map_err(|status: Status| status.into()));
        let usual: Vec<FlightData> = usual.try_collect().await.unwrap();
        assert_eq!(usual.len(), 4);
        for (sent, usual) in sent.iter().zip(&usual) {
            match sent {
                Sent::Whole(data) => assert_eq!(data, usual),
                Sent::Batch(BatchMessage { header, body }) => {
                    assert_eq!(body.iter().map(Buffer::as_slice).collect::<Vec<_>>().concat(), usual.data_body);
                    let (same, filled) = header.split_at(usual.data_header.len());
                    assert_eq!(same, usual.data_header);
                    assert!(filled.iter().all(|byte| *byte == 0));
                }
            }
        }
        assert_eq!(read(sent).await, pieces[..3]);
    }

    #[tokio::test]
    async fn rows_without_columns_and_columns_that_are_not_flat_arrive_too() {
        let bare = batch(Vec::new(), 17);
        let sent = all(encoded(bare.schema(), Bytes::new(), futures::stream::iter([Ok(bare.clone())]))).await;
        assert_eq!(read(sent).await, [bare]);
        let words: arrow::array::DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let nested = batch(vec![Arc::new(words)], 3);
        let sent = all(encoded(nested.schema(), Bytes::new(), futures::stream::iter([Ok(nested)]))).await;
        let texts = batch(vec![Arc::new(StringArray::from(vec!["a", "b", "a"]))], 3);
        assert_eq!(read(sent).await, [texts]);
    }

    #[tokio::test]
    async fn an_error_ends_the_messages_and_is_the_last() {
        let whole = flat();
        let batches = [Ok(whole.clone()), Err(Status::aborted("suspended")), Ok(whole.clone())];
        let sent: Vec<_> = encoded(whole.schema(), Bytes::new(), futures::stream::iter(batches)).collect().await;
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[2].as_ref().unwrap_err().message(), "suspended");
    }
}
