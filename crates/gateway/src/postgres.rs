//! PostgreSQL wire: the data plane for psql and every driver that speaks its protocol (3.0).
//!
//! The user is an order, the password one of its service keys. A statement that names the order's table takes the delivery
//! path like any other request, and its rows are handed over as they are drawn; a statement about what there is goes to the
//! [`catalogue`], which holds no rows. Each statement meets the grant anew. What an answer says of itself (its receipt,
//! whether it is REAL) stands in parameters of the connection: `lingqu.receipt`, `lingqu.nature`, `lingqu.receipt_rows`,
//! `lingqu.answer_salt`.
//!
//! Not here: any right, any row that a client did not ask for, writing of any kind.

mod catalogue;
mod command;
mod extended;
mod frame;
mod governed;
mod line;
mod numeric;
mod parameter;
mod refusal;
mod rows;
mod running;
mod scram;
mod session;
mod settings;
mod source;
mod startup;
mod statement;
mod version;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use lingqu_app::AppError;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::delivery::Deliveries;
use catalogue::Catalogues;
use refusal::Refused;
use running::Running;
use session::Session;

/// The protocol's name in receipts.
const PROTOCOL: &str = "postgresql";
/// How long a client may leave what he is sent untaken.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the connections of a listener share.
struct Server {
    deliveries: Deliveries,
    tls: Option<TlsAcceptor>,
    patience: Duration,
    running: Arc<Running>,
    catalogues: OnceCell<Catalogues>,
}

impl Server {
    /// The catalogues, made when one is first asked for.
    async fn catalogues(&self) -> Result<&Catalogues, Refused> {
        let made = self.catalogues.get_or_try_init(|| async {
            let made = tokio::task::spawn_blocking(Catalogues::new).await.map_err(|error| error.to_string());
            made.and_then(|made| made)
        });
        made.await.map_err(|reason| AppError::Fault(format!("the catalogue can't be made: {reason}")).into())
    }
}

/// Answers on a listener, at most `connections_max` clients at a time, until `stopped` says so; those beyond are turned away
/// with a sentence. Then statements that run may end, and their connections are closed.
pub async fn serve(
    deliveries: Deliveries,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections_max: usize,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let server = Arc::new(Server {
        deliveries,
        tls: tls.map(TlsAcceptor::from),
        patience: PATIENCE,
        running: Arc::default(),
        catalogues: OnceCell::new(),
    });
    let places = Arc::new(Semaphore::new(connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Of one connection, or for want of descriptors, which others give back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            startup::turn_away(&stream, connections_max);
            continue;
        };
        let (server, stopped) = (Arc::clone(&server), stopped.clone());
        connections.spawn(async move {
            let _place = place;
            if let Some(begun) = startup::begin(&server, stream, peer).await {
                Session::new(server, begun).run(stopped).await;
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}
