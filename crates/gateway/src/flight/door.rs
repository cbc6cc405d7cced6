//! The door of the service: all its calls as they are generated, but for `DoGet`, by which answers leave with messages of our own, and
//! `GetSchema`, which the generated server refuses. Nobody without a key comes further than to its handshake, of whose messages none is
//! read.

use std::convert::Infallible;

use arrow_flight::flight_service_server::{FlightService as _, FlightServiceServer};
use arrow_flight::{FlightDescriptor, SchemaResult, Ticket};
use futures::StreamExt;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use super::MESSAGE_BYTES_MAX;
use super::connection::Peer;
use super::messages::{MessageCodec, Messages};
use super::service::FlightService;

/// The path of the call that answers a ticket.
const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";
/// The path of the call that tells the columns of an answer.
const GET_SCHEMA: &str = "/arrow.flight.protocol.FlightService/GetSchema";
/// The path of the call by which a client proves its key.
const HANDSHAKE: &str = "/arrow.flight.protocol.FlightService/Handshake";

/// The service as requests reach it.
#[derive(Clone)]
pub(super) struct Door {
    service: FlightService,
    calls: FlightServiceServer<FlightService>,
}

impl Door {
    pub(super) fn new(service: FlightService) -> Door {
        let calls = FlightServiceServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Door { service, calls }
    }
}

impl NamedService for Door {
    const NAME: &'static str = FlightServiceServer::<FlightService>::NAME;
}

impl Service<http::Request<Body>> for Door {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if let Some(peer) = request.extensions().get::<Peer>() {
            peer.used.renew();
        }
        if request.uri().path() == HANDSHAKE {
            return self.calls.call(request);
        }
        let (service, mut calls) = (self.service.clone(), self.calls.clone());
        let metadata = MetadataMap::from_headers(request.headers().clone());
        Box::pin(async move {
            // Before anything of its message is read.
            if let Err(status) = service.must_know(&metadata).await {
                return Ok(status.into_http());
            }
            match request.uri().path() {
                DO_GET => {
                    let mut call = Grpc::new(MessageCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
                    Ok(call.server_streaming(service_fn(|request| answer(service.clone(), request)), request).await)
                }
                GET_SCHEMA => {
                    let mut call = Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_BYTES_MAX);
                    Ok(call.unary(service_fn(|request| describe(service.clone(), request)), request).await)
                }
                _ => calls.call(request).await,
            }
        })
    }
}

/// Tells what a flight's information says of its columns, and no ticket.
async fn describe(
    service: FlightService,
    request: Request<FlightDescriptor>,
) -> Result<Response<SchemaResult>, Status> {
    let info = service.get_flight_info(request).await?;
    Ok(info.map(|info| SchemaResult { schema: info.schema }))
}

/// Answers a ticket.
async fn answer(service: FlightService, request: Request<Ticket>) -> Result<Response<Messages>, Status> {
    let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
    let answer = service.answer_ticket(request).await?;
    // However long it is, each message that is taken is a use.
    Ok(answer.map(|messages| -> Messages { Box::pin(messages.inspect(move |_| peer.used.renew())) }))
}
