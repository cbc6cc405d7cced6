//! Arrow Flight SQL: the data plane for ADBC, JDBC and tools that speak Arrow.
//!
//! A client proves its order by the service key, either in `authorization: Bearer` or by a handshake with user and password.
//! `GetFlightInfo` plans a statement and hands out a signed [`ticket`]; nothing is read and nothing is charged. `DoGet` meets
//! the grant again and draws the answer over the one delivery path. What the order may see is described by [`catalogue`].
//!
//! Not here: substrait plans, which would reach the engine past its allow-list of SQL; updates; transactions.

mod access;
mod answer;
mod catalogue;
mod connection;
mod door;
mod messages;
mod prepared;
mod running;
mod service;
mod sql_info;
mod status;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tonic::transport::Server;

use crate::delivery::Deliveries;
use door::Door;
use service::FlightService;

/// The name of the protocol in receipts.
pub(crate) const PROTOCOL: &str = "flight_sql";
/// Most bytes of a message that a client sends: a statement, or the values of its parameters.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a request's metadata.
const METADATA_BYTES_MAX: u32 = 16 * 1024;
/// Most calls of one connection at a time. Deliveries are bounded by order, over all protocols.
const CALLS_PER_CONNECTION_MAX: u32 = 64;
/// How often a silent connection is asked whether it is still there, and how long it may take to answer.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_WAIT_MAX: Duration = Duration::from_secs(20);

/// Answers on a listener, at most `connections_max` clients at a time, until `stopped` says so; calls that run then are finished first.
pub async fn serve(
    deliveries: Deliveries,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections_max: usize,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let incoming = connection::incoming(listener, tls, connections_max, stopped.clone());
    let service = Door::new(FlightService::new(deliveries));
    let until_stopped = async move {
        // An error means that the server is gone, which is the same.
        let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
    };
    Server::builder()
        .max_concurrent_streams(Some(CALLS_PER_CONNECTION_MAX))
        .http2_max_header_list_size(Some(METADATA_BYTES_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WAIT_MAX))
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, until_stopped)
        .await
        .map_err(std::io::Error::other)
}
