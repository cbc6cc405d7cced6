//! Answers, flights and parameters as the messages of Flight.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::root_as_message;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::Any;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use lingqu_app::AppError;
use lingqu_engine::RowsExactness;
use prost::Message;
use tonic::Response;
use tonic::metadata::MetadataValue;

use super::MESSAGE_BYTES_MAX;
use super::catalogue::nature_of;
use super::messages::{Messages, encoded};
use super::running::Run;
use super::status::of_problem;
use super::ticket::values_of;
use crate::delivery::StreamedBatches;
use crate::error::GatewayError;

/// What was asked, for the vault.
pub(super) fn asked(sql: &str, parameters: &[ScalarValue]) -> String {
    if parameters.is_empty() {
        return sql.to_owned();
    }
    let values: Vec<String> = parameters.iter().map(|value| format!("{value:?}")).collect();
    format!("{sql}\n-- {}", values.join(", "))
}

/// The values of a message of one row; none for a message without rows.
pub(super) async fn parameters_of(stream: PeekableFlightDataStream) -> Result<Vec<ScalarValue>, GatewayError> {
    parameters_in(stream.map_err(FlightError::from)).await
}

async fn parameters_in(
    messages: impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
) -> Result<Vec<ScalarValue>, GatewayError> {
    let unreadable = || GatewayError::malformed("参数不是有效的 Arrow 数据", "the parameters are no valid Arrow data");
    let mut bytes = 0;
    let messages = messages.map(move |message| {
        let message = uncompressed(message?)?;
        bytes += message.data_header.len() + message.data_body.len();
        match bytes <= MESSAGE_BYTES_MAX {
            true => Ok(message),
            false => Err(FlightError::from_external_error(Box::new(too_large()))),
        }
    });
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut values: Option<Vec<ScalarValue>> = None;
    // Arrow's reader (59.3) panics over schemas and buffers that it did not write, and these are the client's.
    while let Some(batch) =
        AssertUnwindSafe(batches.next()).catch_unwind().await.unwrap_or_else(|_| Some(Err(unreadable_message())))
    {
        let batch: RecordBatch = batch.map_err(|error| match error {
            FlightError::ExternalError(error) if error.is::<GatewayError>() => too_large(),
            _ => unreadable(),
        })?;
        match (batch.num_rows(), &values) {
            (0, _) => {}
            (1, None) => values = Some(values_of(&batch).ok_or_else(unreadable)?),
            _ => {
                return Err(GatewayError::malformed(
                    "每次只能绑定一行参数，请逐行执行",
                    "one row of parameters is bound at a time; execute the statement for each",
                ));
            }
        }
    }
    Ok(values.unwrap_or_default())
}

/// A message as it is, unless its body is compressed: Arrow's reader allocates as much as such a body says that it comes to, which is the
/// client's word, and an allocation that fails ends the process.
fn uncompressed(message: FlightData) -> Result<FlightData, FlightError> {
    let is_compressed = root_as_message(&message.data_header).is_ok_and(|header| {
        let of_dictionary = || header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        let batch = header.header_as_record_batch().or_else(of_dictionary);
        batch.is_some_and(|batch| batch.compression().is_some())
    });
    match is_compressed {
        true => Err(FlightError::DecodeError("its body is compressed".to_owned())),
        false => Ok(message),
    }
}

/// Values come in one message or in several, and all of them together are no larger than one may be.
fn too_large() -> GatewayError {
    GatewayError::RequestTooLarge { bytes_max: MESSAGE_BYTES_MAX }
}

fn unreadable_message() -> FlightError {
    FlightError::DecodeError("the reader panicked".to_owned())
}

/// A flight of one endpoint, at this server.
pub(super) fn information(
    schema: &SchemaRef,
    ticket: &Any,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, GatewayError> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.encode_to_vec()));
    let info = FlightInfo::new().with_descriptor(descriptor).with_endpoint(endpoint).with_ordered(true);
    info.try_with_schema(schema).map_err(|_| AppError::Fault("a schema could not be written".to_owned()).into())
}

pub(super) fn schema_bytes(schema: &SchemaRef) -> Result<Bytes, GatewayError> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, _> = SchemaAsIpc::new(schema, &options).try_into();
    message.map(|message| message.0).map_err(|_| AppError::Fault("a schema could not be written".to_owned()).into())
}

/// An answer with what it says of itself: in the response's metadata, and with the schema for clients that do not show it.
pub(super) fn sent(answer: StreamedBatches, run: Option<Run>) -> Response<Messages> {
    let StreamedBatches { receipt, nature, schema, exactness, groups_suppressed, privacy, answer_salt, mut batches } =
        answer;
    let answer_salt = answer_salt.to_string();
    let exactness = match exactness {
        RowsExactness::Exact => "exact",
        RowsExactness::Superset => "superset",
    };
    let mut label = serde_json::json!({
        "delivery_receipt": receipt.as_str(),
        "data_nature": nature_of(nature),
        "receipt_rows": exactness,
        "groups_suppressed": groups_suppressed,
        "answer_salt": answer_salt,
    });
    if let Some(privacy) = privacy {
        label["privacy_spent"] = privacy.spent.to_string().into();
        label["privacy_remaining"] = privacy.left.to_string().into();
    }
    let pieces = async_stream::stream! {
        let mut run = run;
        loop {
            let next = match &mut run {
                None => batches.next().await,
                Some(run) => tokio::select! {
                    biased;
                    () = run.cancelled() => {
                        // Dropped before the client hears of it: the work stops at once.
                        drop(batches);
                        yield Err(of_problem(&GatewayError::Cancelled.problem()));
                        return;
                    }
                    next = batches.next() => next,
                },
            };
            match next {
                Some(Ok(batch)) => yield Ok(batch),
                Some(Err(cut)) => {
                    yield Err(of_problem(&cut.problem));
                    return;
                }
                None => return,
            }
        }
    };
    let mut response = Response::new(encoded(schema, Bytes::from(label.to_string()), pieces));
    for (name, value) in [
        ("delivery-receipt", receipt.as_str()),
        ("data-nature", nature_of(nature)),
        ("receipt-rows", exactness),
        ("groups-suppressed", groups_suppressed.to_string().as_str()),
        ("answer-salt", answer_salt.as_str()),
    ] {
        let value = value.parse::<MetadataValue<_>>().expect("ids, numbers and words are visible ASCII");
        response.metadata_mut().insert(name, value);
    }
    if let Some(privacy) = privacy {
        for (name, rho) in [("lingqu-privacy-spent", privacy.spent), ("lingqu-privacy-remaining", privacy.left)] {
            let value = rho.to_string().parse::<MetadataValue<_>>().expect("amounts are visible ASCII");
            response.metadata_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray};
    use arrow::ipc::CompressionType;
    use arrow_flight::encode::FlightDataEncoderBuilder;
    use arrow_flight::utils::batches_to_flight_data;
    use futures::stream;

    use super::*;

    /// How many damaged messages are read.
    const ROUNDS: usize = 400;

    /// Numbers that follow from a seed (xorshift64*, Vigna 2016).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
        }

        fn damage(&mut self, bytes: &Bytes) -> Bytes {
            let mut bytes = bytes.to_vec();
            for _ in 0..=self.below(2) {
                let at = self.below(bytes.len());
                bytes[at] = u8::try_from(self.below(256)).unwrap();
            }
            bytes.into()
        }
    }

    /// What a compressed body says that it comes to is not believed.
    #[tokio::test]
    async fn compressed_parameters_are_refused() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(10_000)]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
            let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
            let batches = stream::iter([Ok(batch.clone())]);
            let sent = FlightDataEncoderBuilder::new().with_options(options).build(batches);
            let mut sent: Vec<FlightData> = sent.map(Result::unwrap).collect().await;
            if let Some(last) = sent.last_mut().filter(|_| compression.is_some()) {
                // The largest length that there is, before the first buffer.
                let mut body = last.data_body.to_vec();
                body[..8].copy_from_slice(&i64::MAX.to_le_bytes());
                last.data_body = body.into();
            }
            let read = parameters_in(stream::iter(sent.into_iter().map(Ok))).await;
            match compression {
                None => assert_eq!(read.unwrap().len(), 1),
                Some(_) => assert_eq!(read.unwrap_err().problem().status, 400),
            }
        }
    }

    /// Messages that are each no larger than one may be, without an end.
    #[tokio::test]
    async fn parameters_are_bounded_over_all_their_messages() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(10_000)]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let batches = vec![batch.slice(0, 0), batch.clone()];
        let mut sent = batches_to_flight_data(&batch.schema(), batches).unwrap();
        let mut none = sent.remove(1);
        none.data_body = vec![0; MESSAGE_BYTES_MAX / 8].into();
        let read = async |count| {
            let messages = [sent[0].clone()].into_iter().chain(vec![none.clone(); count]).chain([sent[1].clone()]);
            parameters_in(stream::iter(messages.map(Ok).collect::<Vec<_>>())).await
        };
        assert_eq!(read(1).await.unwrap().len(), 1);
        assert!(matches!(read(9).await, Err(GatewayError::RequestTooLarge { bytes_max: MESSAGE_BYTES_MAX })));
    }

    /// Whatever a client sends as parameters, they are values or no valid data: nothing panics.
    #[tokio::test]
    async fn parameters_that_are_no_arrow_data_are_refused() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("a", Arc::new(Int64Array::from(vec![7]))),
            ("b", Arc::new(StringArray::from(vec!["灵渠"]))),
            ("c", Arc::new(Date32Array::from(vec![15_706]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let sent = FlightDataEncoderBuilder::new().build(stream::iter([Ok(batch)]));
        let sent: Vec<FlightData> = sent.map(Result::unwrap).collect().await;
        let read = async |messages: Vec<FlightData>| parameters_in(stream::iter(messages.into_iter().map(Ok))).await;
        let values = read(sent.clone()).await.unwrap();
        assert_eq!(values[..2], [ScalarValue::from(7_i64), ScalarValue::from("灵渠")]);
        let mut numbers = Numbers(0xf1_18);
        let mut refused = 0;
        for round in 0..ROUNDS {
            let mut sent = sent.clone();
            let which = numbers.below(sent.len());
            match numbers.below(4) {
                0 if !sent[which].data_body.is_empty() => {
                    sent[which].data_body = numbers.damage(&sent[which].data_body);
                }
                _ => sent[which].data_header = numbers.damage(&sent[which].data_header),
            }
            match read(sent).await {
                Ok(values) => assert!(values.len() <= 3, "{round}"),
                Err(refusal) => {
                    assert_eq!(refusal.problem().status, 400, "{round}: {refusal}");
                    refused += 1;
                }
            }
        }
        assert!(refused > ROUNDS / 10, "{refused} of {ROUNDS} were refused");
    }
}
