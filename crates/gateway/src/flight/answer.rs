//! Answers, flights and parameters as the messages of Flight.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::Any;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt};
use lingqu_app::AppError;
use lingqu_engine::RowsExactness;
use prost::Message;
use tonic::Response;
use tonic::metadata::MetadataValue;

use super::catalogue::nature_of;
use super::running::Run;
use super::service::DoGet;
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
    let unreadable = || GatewayError::malformed("参数不是有效的 Arrow 数据", "the parameters are no valid Arrow data");
    let mut batches = FlightRecordBatchStream::new_from_flight_data(stream.map_err(FlightError::from));
    let mut values: Option<Vec<ScalarValue>> = None;
    while let Some(batch) = batches.next().await {
        let batch: RecordBatch = batch.map_err(|_| unreadable())?;
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
pub(super) fn sent(answer: StreamedBatches, run: Option<Run>) -> Response<DoGet> {
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
                        yield Err(FlightError::from(of_problem(&GatewayError::Cancelled.problem())));
                        return;
                    }
                    next = batches.next() => next,
                },
            };
            match next {
                Some(Ok(batch)) => yield Ok(batch),
                Some(Err(cut)) => {
                    yield Err(FlightError::from(of_problem(&cut.problem)));
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

pub(super) fn encoded(
    schema: SchemaRef,
    label: Bytes,
    batches: impl Stream<Item = Result<RecordBatch, FlightError>> + Send + 'static,
) -> DoGet {
    let encoder = FlightDataEncoderBuilder::new().with_schema(schema).with_metadata(label).build(batches);
    Box::pin(encoder.map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        // Its text may quote values.
        _ => of_problem(&AppError::Fault("a batch could not be written for Flight".to_owned()).problem()),
    }))
}
