//! The doors of a node in this process, each at a port of its own.

use std::net::SocketAddr;

use axum::Router;
use lingqu_gateway::delivery::Deliveries;
use lingqu_gateway::{flight, postgres, sharing};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// More connections than a test opens.
const CONNECTIONS_MAX: usize = 64;

/// The two doors of statements. Dropped, they close.
pub struct Statements {
    /// Where Arrow Flight SQL answers.
    pub flight: String,
    /// Where the wire protocol of PostgreSQL answers.
    pub postgres: SocketAddr,
    _running: watch::Sender<bool>,
}

impl Statements {
    /// Opens both.
    pub async fn open(deliveries: &Deliveries) -> Statements {
        let (running, stopped) = watch::channel(false);
        let (listener, address) = listen().await;
        let flight = format!("grpc://{address}");
        tokio::spawn(flight::serve(deliveries.clone(), listener, None, CONNECTIONS_MAX, stopped.clone()));
        let (listener, postgres) = listen().await;
        tokio::spawn(postgres::serve(deliveries.clone(), listener, None, CONNECTIONS_MAX, stopped));
        Statements { flight, postgres, _running: running }
    }
}

/// Opens the doors of HTTP, `/data/v1` and `/delta-sharing`; gives the address they are under.
pub async fn http(deliveries: Deliveries) -> String {
    let router = Router::new()
        .nest("/data/v1", lingqu_gateway::router_on(deliveries.clone()))
        .nest("/delta-sharing", sharing::router(deliveries));
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await.expect("the listener stands") });
    format!("http://{address}")
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}
