//! A running server: its listeners, its jobs, and how it ends. `serve` and `demo` start the same one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::{Extension, Router, middleware};
use lingqu_api::ApiSettings;
use lingqu_app::App;
use lingqu_gateway::delivery::{Deliveries, Settings as DeliverySettings};
use lingqu_gateway::sharing::OverTls;
use lingqu_gateway::{flight, postgres};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Admin};
use crate::connection::Bounded;
use crate::descriptors::{ADMIN_CONNECTIONS_MAX, Descriptors};
use crate::failure::Failure;
use crate::http;
use crate::jobs::{self, JobSettings};
use crate::metrics::{self, Counters};
use crate::signals::Signals;
use crate::tls::{self, Tls};

/// How long running requests may take to finish when the server stops.
const FINISH_MAX: Duration = Duration::from_secs(10);
/// How long the administrative listener may take after that.
const ADMIN_FINISH_MAX: Duration = Duration::from_secs(1);

/// Listens on an address. Errors: it is busy, or not of this machine.
pub async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Failure::PortBusy { address, option },
        _ => Failure::CannotListen { address, error, option },
    })
}

/// The address that a listener was given, with the port that the system chose for port 0.
fn address_of(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::Mend(format!("a listener has no address ({error}); start again")))
}

/// What a server listens on.
pub struct Listeners {
    /// Console, control plane, data plane over HTTP, log.
    pub http: TcpListener,
    /// Health, readiness, metrics.
    pub admin: TcpListener,
    /// Arrow Flight SQL.
    pub flight: TcpListener,
    /// PostgreSQL wire.
    pub postgres: TcpListener,
}

/// A server that answers.
pub struct Server {
    app: Arc<App>,
    admin: Arc<Admin>,
    /// Where clients reach it.
    pub address: SocketAddr,
    /// Where its operator reaches it.
    pub admin_address: SocketAddr,
    /// Where clients of Flight SQL reach it.
    pub flight_address: SocketAddr,
    /// Where clients of the PostgreSQL protocol reach it.
    pub postgres_address: SocketAddr,
    stop: watch::Sender<bool>,
    stop_admin: watch::Sender<bool>,
    tasks: JoinSet<&'static str>,
    admin_tasks: JoinSet<&'static str>,
}

impl Server {
    /// Starts to answer.
    pub fn start(app: Arc<App>, listeners: Listeners, tls: Tls, api: ApiSettings) -> Result<Server, Failure> {
        let Listeners { http, admin, flight, postgres } = listeners;
        let address = address_of(&http)?;
        let admin_address = address_of(&admin)?;
        let flight_address = address_of(&flight)?;
        let postgres_address = address_of(&postgres)?;
        let deliveries = Deliveries::new(Arc::clone(&app), DeliverySettings::default());
        let descriptors = Descriptors::raise();
        if let Some(advice) = descriptors.advice() {
            tracing::warn!("{advice}");
        }
        let connections_max = descriptors.connections();
        let counters = Arc::new(Counters::default());
        let router = Router::new()
            .nest("/data/v1", lingqu_gateway::router_on(deliveries.clone()))
            .nest("/delta-sharing", lingqu_gateway::sharing::router(deliveries.clone()))
            .merge(lingqu_api::router(Arc::clone(&app), api))
            .layer(middleware::from_fn_with_state(Arc::clone(&counters), metrics::count));
        let router = if tls.is_on() { router.layer(Extension(OverTls)) } else { router };
        let certificate = tls.certificate.clone();
        let state = Arc::new(Admin { app: Arc::clone(&app), counters, certificate, stopping: AtomicBool::new(false) });
        let (stop, stopped) = watch::channel(false);
        let (stop_admin, admin_stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut admin_tasks = JoinSet::new();
        if let Some(certificate) = tls.certificate {
            tasks.spawn(tls::follow(certificate, app.clock().clone(), stopped.clone()));
        }
        let (flight_stopped, postgres_stopped) = (stopped.clone(), stopped.clone());
        let (over_flight, over_postgres) = (deliveries.clone(), deliveries);
        tasks.spawn(async move {
            let served = flight::serve(over_flight, flight, tls.flight, connections_max, flight_stopped);
            ended("Flight SQL listener", served.await)
        });
        tasks.spawn(async move {
            let served = postgres::serve(over_postgres, postgres, tls.postgres, connections_max, postgres_stopped);
            ended("PostgreSQL listener", served.await)
        });
        tasks.spawn(answer(Bounded::new(http, tls.http, connections_max), router, stopped, "HTTP listener"));
        admin_tasks.spawn(answer(
            Bounded::new(admin, None, ADMIN_CONNECTIONS_MAX),
            admin::router(Arc::clone(&state)),
            admin_stopped,
            "administrative listener",
        ));
        Ok(Server {
            app,
            admin: state,
            address,
            admin_address,
            flight_address,
            postgres_address,
            stop,
            stop_admin,
            tasks,
            admin_tasks,
        })
    }

    /// Starts the background jobs.
    pub fn start_jobs(&mut self, settings: JobSettings) {
        jobs::start(&mut self.tasks, &self.app, settings, &self.stop.subscribe());
    }

    /// Serves until the operating system asks the process to end. Error: a part of the server ended by itself.
    pub async fn until_signal(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        let ended = tokio::select! {
            signal = signals.received() => {
                tracing::info!(signal, "stopping");
                return Ok(());
            }
            ended = self.tasks.join_next() => ended,
            ended = self.admin_tasks.join_next() => ended,
        };
        let part = match ended {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => format!("a part of the server ({error})"),
            None => "the server".to_owned(),
        };
        Err(Failure::Mend(format!("{part} ended by itself; start the node again, its log says why")))
    }

    /// Stops in order: no new connections, running requests finish, then jobs, the administrative listener and the node.
    pub async fn stop(mut self) -> Result<(), Failure> {
        self.admin.stopping.store(true, Ordering::SeqCst);
        self.stop.send_replace(true);
        if !finished(&mut self.tasks, FINISH_MAX).await {
            tracing::warn!("requests still ran after {} s and were cut off", FINISH_MAX.as_secs());
        }
        self.stop_admin.send_replace(true);
        finished(&mut self.admin_tasks, ADMIN_FINISH_MAX).await;
        Ok(self.app.close().await?)
    }
}

/// True when all tasks ended in time; those that did not are ended.
async fn finished(tasks: &mut JoinSet<&'static str>, wait_max: Duration) -> bool {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(wait_max, all).await.is_ok() {
        return true;
    }
    tasks.abort_all();
    false
}

/// The name of a listener that ended, with its error in the log.
fn ended(name: &'static str, result: std::io::Result<()>) -> &'static str {
    if let Err(error) = result {
        tracing::error!(%error, listener = name, "a listener failed");
    }
    name
}

async fn answer(listener: Bounded, router: Router, stopped: watch::Receiver<bool>, name: &'static str) -> &'static str {
    http::serve(listener, router, stopped, http::HEAD_TIME_MAX).await;
    name
}
