//! How a connection begins: TLS, who it is, what both sides are told.
//!
//! The user is an order, the password one of its service keys. The key is proved by SCRAM and never sent, so a listener that
//! somebody put in the node's place learns none.

use std::net::SocketAddr;
use std::time::Duration;

use lingqu_app::{AppError, random};
use lingqu_crypto::Sha256Digest;
use tokio::net::TcpStream;

use super::Server;
use super::frame::{Opening, Request, read_sasl_beginning};
use super::refusal::Refused;
use super::running::Entry;
use super::scram::{Exchange, MECHANISM};
use super::settings::Settings;
use super::wire::{Wire, WireError};
use crate::error::GatewayError;

/// How long a client may take until it is known who he is.
const STARTUP_MAX: Duration = Duration::from_secs(15);
/// Messages before the one that begins: TLS and GSSAPI may each be asked for once.
const OPENINGS_MAX: usize = 3;
/// How long a client may leave untaken what he is sent while he is not known.
const PATIENCE: Duration = Duration::from_secs(10);
/// Authentication messages: done, begin SASL, go on, end (PostgreSQL's documentation, `AuthenticationOk` and following).
const AUTHENTICATED: i32 = 0;
const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;
const SASL_FINAL: i32 = 12;

/// A connection whose client is known.
pub(super) struct Begun {
    pub(super) wire: Wire,
    /// Its place among those whose statements can be cancelled.
    pub(super) entry: Entry,
    /// The key that was proved.
    pub(super) key: Sha256Digest,
    /// The order, as the client named it.
    pub(super) order: String,
    /// The name of its table.
    pub(super) table: String,
    pub(super) settings: Settings,
}

/// Begins a connection. Nothing when it was a cancel request, or the client left or was refused.
pub(super) async fn begin(server: &Server, stream: TcpStream, peer: SocketAddr) -> Option<Begun> {
    // Answers are not held back to be joined with others; one that can't be told so is only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY can't be set");
    }
    match tokio::time::timeout(STARTUP_MAX, known(server, stream, peer)).await {
        Ok(Ok(begun)) => begun,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection did not begin");
            None
        }
        Err(_) => None,
    }
}

async fn known(server: &Server, stream: TcpStream, peer: SocketAddr) -> Result<Option<Begun>, WireError> {
    let mut wire = Wire::new(Box::new(stream), PATIENCE);
    let mut is_encrypted = false;
    for _ in 0..OPENINGS_MAX {
        let opening = match wire.opening().await? {
            Some(opening) => opening,
            None => return Ok(None),
        };
        match (opening, &server.tls) {
            (Opening::Cancel { id, secret }, _) => {
                server.running.cancel(id, secret);
                return Ok(None);
            }
            (Opening::Tls, Some(tls)) if !is_encrypted => {
                wire.answer(b'S').await?;
                let Some(plain) = wire.into_stream() else { return Err(WireError::Malformed) };
                wire = Wire::new(Box::new(tls.accept(plain).await?), PATIENCE);
                is_encrypted = true;
            }
            (Opening::Tls | Opening::Gss, _) => wire.answer(b'N').await?,
            (Opening::Startup { minor, parameters }, tls) => {
                let unknown: Vec<&str> =
                    parameters.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("_pq_.")).collect();
                if minor > 0 || !unknown.is_empty() {
                    wire.outbox.negotiate_version(&unknown);
                }
                let needs_tls = tls.is_some() && !is_encrypted && !peer.ip().is_loopback();
                let admitted = if needs_tls {
                    Err(Refused::from(GatewayError::TlsRequired))
                } else {
                    authenticate(server, &mut wire, &parameters).await?
                };
                return match admitted {
                    Ok(admitted) => welcome(server, wire, admitted).await.map(Some),
                    Err(refused) => {
                        tracing::info!(code = refused.code(), "a connection was refused");
                        refused.fatal().put(&mut wire.outbox);
                        wire.flush().await?;
                        wire.close().await;
                        Ok(None)
                    }
                };
            }
        }
    }
    Err(WireError::Malformed)
}

/// Who the client is.
struct Admitted {
    order: String,
    key: Sha256Digest,
    table: String,
    settings: Settings,
}

/// Asks for the proof of a key of the order. What fails says no more than that the key is not valid, and takes the same two
/// questions whether there is such an order or not.
async fn authenticate(
    server: &Server,
    wire: &mut Wire,
    parameters: &[(String, String)],
) -> Result<Result<Admitted, Refused>, WireError> {
    let order = parameters.iter().find(|(name, _)| name == "user").map(|(_, value)| value.clone()).unwrap_or_default();
    let settings = match Settings::begin(&order, parameters) {
        Ok(settings) => settings,
        Err(refused) => return Ok(Err(refused)),
    };
    let app = server.deliveries.app();
    let (nonce, keys) = match (random::<18>(), app.scram_keys(&order).await) {
        (Ok(nonce), Ok(keys)) => (nonce, keys),
        (Err(error), _) | (_, Err(error)) => return Ok(Err(error.into())),
    };
    wire.outbox.authentication(SASL, format!("{MECHANISM}\0\0").as_bytes());
    wire.flush().await?;
    let Some(first) = answer(wire).await? else { return Ok(Err(AppError::BadKey.into())) };
    let exchange = read_sasl_beginning(first)
        .filter(|(mechanism, _)| mechanism == MECHANISM)
        .and_then(|(_, message)| Exchange::begin(&message, &nonce, &app.scram_salt(&order)));
    let Some(exchange) = exchange else {
        return Ok(Err(Refused::malformed(
            "08P01",
            "登录方式须为 SCRAM-SHA-256（无信道绑定）",
            "log in by SCRAM-SHA-256 without channel binding",
        )));
    };
    wire.outbox.authentication(SASL_CONTINUE, exchange.server_first().as_bytes());
    wire.flush().await?;
    let Some(last) = answer(wire).await? else { return Ok(Err(AppError::BadKey.into())) };
    let Some(proved) = exchange.finish(&last, &keys) else { return Ok(Err(AppError::BadKey.into())) };
    // The grant is met here once, so that who has none learns it at once; each statement meets it again.
    let table = match app.serving_of_hash(proved.hash).await {
        Ok(serving) => serving.details.table.to_string(),
        Err(error) => return Ok(Err(error.into())),
    };
    wire.outbox.authentication(SASL_FINAL, proved.server_final.as_bytes());
    wire.outbox.authentication(AUTHENTICATED, &[]);
    Ok(Ok(Admitted { order, key: proved.hash, table, settings }))
}

/// The client's next message of the authentication; none when it is another.
async fn answer(wire: &mut Wire) -> Result<Option<bytes::Bytes>, WireError> {
    match wire.request().await? {
        Some(Request::Password(body)) => Ok(Some(body)),
        _ => Ok(None),
    }
}

async fn welcome(server: &Server, mut wire: Wire, admitted: Admitted) -> Result<Begun, WireError> {
    let Admitted { order, key, table, settings } = admitted;
    let secret = random::<4>().map_err(|_| std::io::Error::other("the system gives no randomness"))?;
    let entry = server.running.enter(i32::from_be_bytes(secret));
    settings.tell(&mut wire.outbox);
    wire.outbox.cancel_key(entry.id, entry.secret);
    wire.outbox.ready(b'I');
    wire.flush().await?;
    wire.trust(server.patience);
    Ok(Begun { wire, entry, key, order, table, settings })
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Begun").field("order", &self.order).finish_non_exhaustive()
    }
}

/// Tells a client that there is no place for him, if his socket takes it at once.
pub(super) fn turn_away(stream: &TcpStream, limit: usize) {
    let mut outbox = super::frame::Outbox::default();
    Refused::from(GatewayError::TooManyConnections { limit }).fatal().put(&mut outbox);
    // He sees the connection's end in any case.
    let _ = stream.try_write(&outbox.bytes);
}
