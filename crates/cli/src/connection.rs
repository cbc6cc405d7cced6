//! Connections of the HTTP listeners, bounded: past the most, new ones wait in the system's queue. A process without a
//! file descriptor left can write neither journal nor receipts.
//!
//! Over TLS each handshake has a task of its own and a time to be done in, so that a client who dawdles holds up nobody
//! but himself.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A listener that accepts no more than so many connections at a time.
pub struct Bounded {
    listener: TcpListener,
    free: Arc<Semaphore>,
    tls: Option<TlsAcceptor>,
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
}

impl Bounded {
    /// Bounds a listener, and speaks TLS on it when it is given what that takes.
    pub fn new(listener: TcpListener, tls: Option<Arc<ServerConfig>>, connections_max: usize) -> Self {
        let free = Arc::new(Semaphore::new(connections_max));
        Self { listener, free, tls: tls.map(TlsAcceptor::from), handshakes: JoinSet::new() }
    }

    async fn accept_one(
        listener: &mut TcpListener,
        free: &Arc<Semaphore>,
    ) -> (TcpStream, OwnedSemaphorePermit, SocketAddr) {
        let place = Arc::clone(free).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(listener).await;
        // Answers are small and wait for nothing more, so they are not held back to be joined with others.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
        (stream, place, address)
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Some(acceptor) = &self.tls else {
                let (stream, place, address) = Self::accept_one(&mut self.listener, &self.free).await;
                return (Connection { stream: Speech::Plain(stream), _place: place }, address);
            };
            tokio::select! {
                (stream, place, address) = Self::accept_one(&mut self.listener, &self.free) => {
                    let acceptor = acceptor.clone();
                    self.handshakes.spawn(async move {
                        match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => Some((Connection { stream: Speech::Tls(Box::new(stream)), _place: place }, address)),
                            Ok(Err(error)) => {
                                tracing::debug!(%error, "a handshake failed");
                                None
                            }
                            Err(_) => None,
                        }
                    });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

enum Speech {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection and its place among the most.
pub struct Connection {
    stream: Speech,
    _place: OwnedSemaphorePermit,
}

/// Calls the same method of whichever stream it is.
macro_rules! of_stream {
    ($connection:expr, $stream:ident => $call:expr) => {
        match &mut $connection.stream {
            Speech::Plain($stream) => $call,
            Speech::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        of_stream!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        of_stream!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        of_stream!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Speech::Plain(stream) => stream.is_write_vectored(),
            Speech::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        of_stream!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        of_stream!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
