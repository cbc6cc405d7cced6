//! Connections: bounded in number, with TLS where it is configured.
//!
//! The server asks a silent client whether he is still there, and he may answer for ever; so a connection that has been of no
//! use for long reads as if he had left, and fails to write to one who takes nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// Connections that are ready and that the server has not taken yet.
const READY_MAX: usize = 16;
/// How long a client may take to agree on TLS.
const TLS_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a client may take to begin, once TLS is agreed on: every client of HTTP/2 does so at once.
const PREFACE_TIME_MAX: Duration = Duration::from_secs(15);
/// The length of what an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// How long a connection may be open without a call and without anything of an answer being taken. No statement takes that
/// long; over PostgreSQL a connection may be as long without a message.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// Pause after a connection could not be accepted, which is for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end, and when his connection was last of use.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) used: Arc<LastUse>,
}

impl Peer {
    fn new(address: IpAddr) -> Peer {
        Peer { address, used: Arc::new(LastUse { made_at: Instant::now(), after_ms: AtomicU64::new(0) }) }
    }
}

impl Default for Peer {
    fn default() -> Self {
        Peer::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// When a connection was last of use: a call was begun, or something of an answer taken.
#[derive(Debug)]
pub(super) struct LastUse {
    made_at: Instant,
    after_ms: AtomicU64,
}

impl LastUse {
    /// It is of use now.
    pub(super) fn renew(&self) {
        let after_ms = u64::try_from(self.made_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.after_ms.store(after_ms, Ordering::Relaxed);
    }

    fn at(&self) -> Instant {
        self.made_at + Duration::from_millis(self.after_ms.load(Ordering::Relaxed))
    }
}

/// The connections of a listener until `stopped`, at most so many at a time; past them new ones wait in the system's queue.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections_max: usize,
    mut stopped: watch::Receiver<bool>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (ready, taken) = mpsc::channel(READY_MAX);
    let acceptor = tls.map(|config| {
        // gRPC is HTTP/2 and nothing else.
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    tokio::spawn(async move {
        let free = Arc::new(Semaphore::new(connections_max));
        loop {
            let place = Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
                () = ready.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    tokio::spawn(open(stream, address, acceptor.clone(), place, ready.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    ReceiverStream::new(taken)
}

/// Agrees on TLS, where it is configured, and hands the connection over once its client has begun.
async fn open(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
    ready: mpsc::Sender<io::Result<Connection>>,
) {
    // Answers that are small wait for nothing more, so they are not held back to be joined with others.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY can't be set");
    }
    let mut line: Box<dyn Line> = match acceptor {
        None => Box::new(stream),
        Some(acceptor) => match tokio::time::timeout(TLS_TIME_MAX, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a client did not agree on TLS");
                return;
            }
            Err(_) => return,
        },
    };
    // The server asks whether a client is still there from its beginning on; before it nobody would.
    let Some(begun) = preface(&mut line, PREFACE_TIME_MAX).await else { return };
    // When nobody takes it, the server is gone.
    drop(ready.send(Ok(Connection::new(begun, line, Peer::new(address.ip()), IDLE_MAX, place))).await);
}

/// The first bytes of a connection; none when they don't come in time.
async fn preface(line: &mut (impl AsyncRead + Unpin), time_max: Duration) -> Option<Bytes> {
    let mut begun = [0; PREFACE_BYTES];
    tokio::time::timeout(time_max, line.read_exact(&mut begun)).await.ok()?.ok()?;
    Some(Bytes::copy_from_slice(&begun))
}

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A connection and its place among the most.
pub(super) struct Connection {
    /// What was read of it already, and the server has not.
    begun: Bytes,
    line: Box<dyn Line>,
    peer: Peer,
    idle_max: Duration,
    /// Until it may have been idle for as long.
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(
        begun: Bytes,
        line: Box<dyn Line>,
        peer: Peer,
        idle_max: Duration,
        place: OwnedSemaphorePermit,
    ) -> Connection {
        let idle = Box::pin(tokio::time::sleep(idle_max));
        Connection { begun, line, peer, idle_max, idle, _place: place }
    }

    /// Ready when it has been idle for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.idle.as_mut().poll(cx).is_ready() {
            let until = self.peer.used.at() + self.idle_max;
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.idle.as_mut().reset(until);
        }
        Poll::Pending
    }

    /// What was written to the line, or an error when that waits and the connection has been idle for too long.
    fn poll_written<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => self.poll_idle(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            written => written,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.begun.is_empty() {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.line).poll_read(cx, buffer) {
            // Nothing is read: the end.
            Poll::Pending => self.poll_idle(cx).map(Ok),
            read => read,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.line).poll_write(cx, bytes);
        self.poll_written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.line).poll_write_vectored(cx, slices);
        self.poll_written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.line.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.line).poll_flush(cx);
        self.poll_written(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.line).poll_shutdown(cx);
        self.poll_written(shut, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;

    const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand more";

    #[tokio::test]
    async fn a_connection_is_handed_over_once_its_client_has_begun() {
        let (mut client, mut line) = tokio::io::duplex(64);
        client.write_all(&BEGINNING[..PREFACE_BYTES - 1]).await.unwrap();
        assert!(preface(&mut line, Duration::from_millis(10)).await.is_none());
        let (mut client, mut line) = tokio::io::duplex(64);
        client.write_all(BEGINNING).await.unwrap();
        let begun = preface(&mut line, PREFACE_TIME_MAX).await.unwrap();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut connection = Connection::new(begun, Box::new(line), Peer::default(), IDLE_MAX, place);
        let mut read = vec![0; BEGINNING.len()];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(read, BEGINNING);
    }

    /// A connection, its client, and when it was last of use.
    fn connected(idle_max: Duration) -> (Connection, DuplexStream, Arc<LastUse>) {
        let (client, line) = tokio::io::duplex(64);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let connection = Connection::new(Bytes::new(), Box::new(line), Peer::default(), idle_max, place);
        let used = Arc::clone(&connection.peer.used);
        (connection, client, used)
    }

    /// What a client sends who only says that he is still there keeps no connection.
    #[tokio::test]
    async fn a_connection_without_calls_ends() {
        let (mut connection, mut client, _used) = connected(Duration::from_millis(100));
        let alive = tokio::spawn(async move {
            while client.write_all(b"ping").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let mut read = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), connection.read_to_end(&mut read)).await;
        assert!(ended.unwrap().unwrap() >= b"ping".len());
        drop(connection);
        alive.await.unwrap();
    }

    /// He who takes nothing that is written to him keeps none either.
    #[tokio::test]
    async fn a_connection_that_nobody_reads_ends() {
        let (mut connection, _client, _used) = connected(Duration::from_millis(100));
        let written = tokio::time::timeout(Duration::from_secs(60), connection.write_all(&[0; 65])).await;
        assert_eq!(written.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_that_is_of_use_is_kept() {
        let idle_max = Duration::from_millis(100);
        let (mut connection, _client, used) = connected(idle_max);
        tokio::time::sleep(idle_max * 2).await;
        let renewed = Instant::now();
        used.renew();
        let mut read = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), connection.read_to_end(&mut read)).await;
        assert_eq!(ended.unwrap().unwrap(), 0);
        // To the millisecond.
        let idle = renewed.elapsed();
        assert!(idle + Duration::from_millis(2) >= idle_max, "{idle:?}");
    }
}
