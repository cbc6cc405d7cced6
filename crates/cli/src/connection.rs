//! Connections of the HTTP listeners, bounded: past the most, new ones wait in the system's queue. A process without a
//! file descriptor left can write neither journal nor receipts.
//!
//! Over TLS each handshake has a task of its own and a time to be done in, so that a client who dawdles holds up nobody
//! but himself. One address has no more than half of the places, and a client who takes nothing of an answer for a while
//! loses his, so that nobody can hold all of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use lingqu_api::network_of;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a client may take nothing of what is written to him. Longer than a delivery waits for its receiver, who is told
/// so by the delivery itself.
const UNREAD_MAX: Duration = Duration::from_secs(180);

/// A listener that accepts no more than so many connections at a time.
pub struct Bounded {
    listener: TcpListener,
    places: Places,
    tls: Option<TlsAcceptor>,
    unread_max: Duration,
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
}

/// The places of a listener.
struct Places {
    free: Arc<Semaphore>,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    held_max: usize,
}

/// A place, given back when it is dropped.
struct Place {
    holder: IpAddr,
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    fn new(connections_max: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(connections_max)),
            held: Arc::default(),
            held_max: connections_max.div_ceil(2),
        }
    }

    /// The place of a connection from an address; none when the address holds its share. This machine itself has no share: a
    /// proxy stands there, and speaks for all clients.
    fn give(&self, permit: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let holder = network_of(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(holder).or_default();
        if *count >= self.held_max && !holder.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Place { holder, held: Arc::clone(&self.held), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

impl Bounded {
    /// Bounds a listener, and speaks TLS on it when it is given what that takes.
    pub fn new(listener: TcpListener, tls: Option<Arc<ServerConfig>>, connections_max: usize) -> Self {
        Self {
            listener,
            places: Places::new(connections_max),
            tls: tls.map(TlsAcceptor::from),
            unread_max: UNREAD_MAX,
            handshakes: JoinSet::new(),
        }
    }

    async fn accept_one(listener: &mut TcpListener, places: &Places) -> (TcpStream, Place, SocketAddr) {
        loop {
            let permit = Arc::clone(&places.free).acquire_owned().await.expect("the semaphore is never closed");
            let (stream, address) = Listener::accept(listener).await;
            let Some(place) = places.give(permit, address.ip()) else {
                tracing::debug!(%address, "an address holds its share of the connections");
                continue;
            };
            // Answers are small and wait for nothing more, so they are not held back to be joined with others.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY can't be set");
            }
            return (stream, place, address);
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Some(acceptor) = &self.tls else {
                let (stream, place, address) = Self::accept_one(&mut self.listener, &self.places).await;
                return (Connection::new(Speech::Plain(stream), place, self.unread_max), address);
            };
            tokio::select! {
                (stream, place, address) = Self::accept_one(&mut self.listener, &self.places) => {
                    let (acceptor, unread_max) = (acceptor.clone(), self.unread_max);
                    self.handshakes.spawn(async move {
                        match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => {
                                Some((Connection::new(Speech::Tls(Box::new(stream)), place, unread_max), address))
                            }
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
    _place: Place,
    unread_max: Duration,
    /// When the client is given up who took nothing since; none while he takes what is written.
    given_up: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn new(stream: Speech, place: Place, unread_max: Duration) -> Self {
        Self { stream, _place: place, unread_max, given_up: None }
    }

    /// What a write came to; an error when it waits and the client has taken nothing for too long.
    fn patient<T>(&mut self, cx: &mut Context<'_>, written: Poll<std::io::Result<T>>) -> Poll<std::io::Result<T>> {
        if written.is_ready() {
            self.given_up = None;
            return written;
        }
        let until = Instant::now() + self.unread_max;
        let given_up = self.given_up.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(given_up.as_mut().poll(cx));
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
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
        let written = of_stream!(self, stream => Pin::new(stream).poll_write(cx, bytes));
        self.patient(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let written = of_stream!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices));
        self.patient(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Speech::Plain(stream) => stream.is_write_vectored(),
            Speech::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let flushed = of_stream!(self, stream => Pin::new(stream).poll_flush(cx));
        self.patient(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let shut = of_stream!(self, stream => Pin::new(stream).poll_shutdown(cx));
        self.patient(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn bounded(connections_max: usize) -> Bounded {
        Bounded::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), None, connections_max)
    }

    #[tokio::test]
    async fn one_address_holds_half_of_the_places() {
        let places = Places::new(4);
        let permit = || Arc::clone(&places.free).try_acquire_owned().unwrap();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let [sixth, same_line] = ["2001:db8::1", "2001:db8::2:1"].map(|address| network_of(address.parse().unwrap()));
        assert_eq!(sixth, same_line);
        let held = [places.give(permit(), one).unwrap(), places.give(permit(), one).unwrap()];
        assert!(places.give(permit(), one).is_none());
        assert!(places.give(permit(), "::ffff:192.0.2.1".parse().unwrap()).is_none(), "the same address");
        assert!(places.give(permit(), other).is_some());
        assert_eq!(places.free.available_permits(), 2, "what was refused or dropped is free");
        drop(held);
        assert!(places.give(permit(), one).is_some());
        assert!(places.held.lock().unwrap().is_empty(), "nobody who left is remembered");
        let proxy = "127.0.0.1".parse().unwrap();
        let all: Vec<_> = (0..4).map(|_| places.give(permit(), proxy)).collect();
        assert!(all.iter().all(Option::is_some));
    }

    #[tokio::test]
    async fn who_takes_nothing_loses_his_place() {
        let mut listener = bounded(1).await;
        listener.unread_max = Duration::from_millis(100);
        let _silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut connection, _) = listener.accept().await;
        let endless = async { while connection.write_all(&[0; 65_536]).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(30), endless).await.expect("the client is given up");
    }
}
