//! HTTP/1.1 over a listener, with limits on how long a client may take to send a request's head and how long that is. `axum::serve` has
//! none on the time, so that clients who send one byte now and then would hold every connection of a listener.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;

/// How long a client may take to send the head of a request, and with it how long a connection may be idle between two.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(75);
/// Longest head of a request, in bytes, which anybody may have the node keep in memory: twice the longest address that is read. A body comes
/// and an answer goes in pieces of so many.
const HEAD_BYTES_MAX: usize = 128 << 10;

/// Serves until told to stop; then takes no new connection and ends when the requests that run are answered.
pub async fn serve<L: Listener<Addr = SocketAddr>>(
    mut listener: L,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    head_time_max: Duration,
) {
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_time_max).max_buf_size(HEAD_BYTES_MAX);
    // Each connection holds a receiver, so that the sender sees when the last one has ended.
    let (ended, running) = watch::channel(());
    let to_connections = stopped.clone();
    loop {
        tokio::select! {
            // An error means that the server is gone, which is the same.
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
            (stream, address) = listener.accept() => {
                let service = Addressed { address, router: TowerToHyperService::new(router.clone()) };
                let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
                let (stopped, running) = (to_connections.clone(), running.clone());
                tokio::spawn(async move {
                    answer(connection, stopped).await;
                    drop(running);
                });
            }
        }
    }
    drop((listener, running));
    ended.closed().await;
}

/// The router of one connection: its handlers may ask who is at the other end ([`ConnectInfo`]).
struct Addressed {
    address: SocketAddr,
    router: TowerToHyperService<Router>,
}

impl Service<hyper::Request<Incoming>> for Addressed {
    type Response = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(ConnectInfo(self.address));
        self.router.call(request)
    }
}

type Served<I> = hyper::server::conn::http1::UpgradeableConnection<TokioIo<I>, Addressed>;

/// Answers the requests of one connection. What a client does wrong ends its connection and is no fault of the node.
async fn answer<I>(connection: Served<I>, mut stopped: watch::Receiver<bool>)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::pin!(connection);
    let told = async { drop(stopped.wait_for(|is_stopped| *is_stopped).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A server that gives a client a moment for a head, with what stops it.
    async fn served() -> (std::net::SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, router, stopped, Duration::from_millis(200)));
        (address, stop, task)
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_not_waited_for() {
        let (address, _stop, _task) = served().await;
        for begun in ["", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(begun.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The node ends the connection; without a limit this would wait for ever.
            drop(client.read_to_end(&mut answer).await);
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        }
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused_before_it_ends() {
        let (address, _stop, _task) = served().await;
        let mut begun = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".to_vec();
        // Not one byte more: what is never read would take the answer with it.
        begun.resize(HEAD_BYTES_MAX, b'a');
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&begun).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        // A long address is none too long.
        let mut client = TcpStream::connect(address).await.unwrap();
        let long = "a".repeat(60_000);
        client
            .write_all(format!("GET /?{long} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn a_whole_request_is_answered_and_the_server_ends_when_told() {
        let (address, stop, task) = served().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
        // A connection that waits for its next request does not hold the server up.
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.send_replace(true);
        task.await.unwrap();
    }
}
