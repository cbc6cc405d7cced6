//! Connections: bounded in number, with TLS where it is configured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
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
/// Pause after a connection could not be accepted, which is for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
}

impl Default for Peer {
    fn default() -> Self {
        Peer { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
    }
}

/// The connections of a listener until `stopped`, at most so many at a time; past them new ones wait in the system's queue.
pub(super) fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections_max: usize,
    mut stopped: watch::Receiver<bool>,
) -> impl Stream<Item = std::io::Result<Connection>> {
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
    ready: mpsc::Sender<std::io::Result<Connection>>,
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
    drop(ready.send(Ok(Connection { begun, line, peer: Peer { address: address.ip() }, _place: place })).await);
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
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.begun.is_empty() {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.line).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.line).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.line).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.line.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

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
        let mut connection = Connection { begun, line: Box::new(line), peer: Peer::default(), _place: place };
        let mut read = vec![0; BEGINNING.len()];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(read, BEGINNING);
    }
}
