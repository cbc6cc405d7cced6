//! Connections: bounded in number, with TLS where it is configured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

/// Agrees on TLS, where it is configured, and hands the connection over.
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
    let line: Box<dyn Line> = match acceptor {
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
    // When nobody takes it, the server is gone.
    drop(ready.send(Ok(Connection { line, peer: Peer { address: address.ip() }, _place: place })).await);
}

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A connection and its place among the most.
pub(super) struct Connection {
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
