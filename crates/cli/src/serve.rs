//! `lingqu serve`: a node that answers until it is told to end.

use std::net::SocketAddr;
use std::time::Duration;

use lingqu_api::ApiSettings;
use serde::Serialize;

use crate::config::{Configuration, NodeArguments};
use crate::failure::Failure;
use crate::jobs::JobSettings;
use crate::node::{self, Access};
use crate::server::{self, Listeners, Server};
use crate::signals::Signals;
use crate::storage::{self, Depth};
use crate::tls::Tls;
use crate::{output, telemetry};

/// Serve a node: console, control plane, data plane, log and public pages on one address; health and metrics on another
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Where clients reach the node [default: 127.0.0.1:8080, or as configured]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where the operator reaches health, readiness and metrics [default: 127.0.0.1:9090, or as configured]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Where clients of Arrow Flight SQL reach the node [default: 127.0.0.1:8816, or as configured]
    #[arg(long, value_name = "ADDRESS")]
    flight_listen: Option<SocketAddr>,
    /// Where clients of the PostgreSQL protocol reach the node [default: 127.0.0.1:5439, or as configured]
    #[arg(long, value_name = "ADDRESS")]
    postgres_listen: Option<SocketAddr>,
    /// Print the `ready` line as a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    url: String,
    admin_url: String,
    flight_url: String,
    postgres_url: String,
}

/// Serves until SIGTERM or SIGINT.
pub async fn run(arguments: ServeArguments) -> Result<(), Failure> {
    let mut configuration = arguments.node.configuration()?;
    telemetry::start("info", configuration.log_format)?;
    configuration.listen = arguments.listen.unwrap_or(configuration.listen);
    configuration.admin_listen = arguments.admin_listen.unwrap_or(configuration.admin_listen);
    configuration.flight_listen = arguments.flight_listen.unwrap_or(configuration.flight_listen);
    configuration.postgres_listen = arguments.postgres_listen.unwrap_or(configuration.postgres_listen);
    let Configuration { listen, admin_listen, flight_listen, postgres_listen, .. } = configuration;
    let tls = Tls::of(configuration.identity().as_ref())?;
    for (address, is_encrypted) in
        [(listen, tls.is_on()), (admin_listen, false), (flight_listen, tls.is_on()), (postgres_listen, tls.is_on())]
    {
        if !address.ip().is_loopback() && !is_encrypted && !configuration.allow_plaintext {
            return Err(Failure::Plaintext { address });
        }
    }
    let mut signals = Signals::catch()?;
    let listeners = Listeners {
        http: server::listen(listen, "--listen").await?,
        admin: server::listen(admin_listen, "--admin-listen").await?,
        flight: server::listen(flight_listen, "--flight-listen").await?,
        postgres: server::listen(postgres_listen, "--postgres-listen").await?,
    };
    let app = node::open(&configuration, Access::Exclusive).await?;
    storage::check_snapshots(&app, Depth::Presence).await?;
    app.check_log_settings().await?;
    let mut server = Server::start(app, listeners, tls.clone(), api_settings(&configuration))?;
    server.start_jobs(JobSettings {
        meter_every: Duration::from_secs(60 * u64::from(configuration.meter_minutes)),
        sweep_every: Duration::from_secs(60 * u64::from(configuration.sweep_minutes)),
    });
    let ready = Ready {
        ready: true,
        url: format!("{}://{}", if tls.is_on() { "https" } else { "http" }, server.address),
        admin_url: format!("http://{}", server.admin_address),
        flight_url: format!("{}://{}", if tls.is_on() { "grpc+tls" } else { "grpc" }, server.flight_address),
        postgres_url: format!("postgres://{}/lingqu", server.postgres_address),
    };
    if arguments.json {
        output::print_json(&ready)?;
    } else {
        output::print(&format!("ready {} admin {}\n", ready.url, ready.admin_url))?;
    }
    server.until_signal(&mut signals).await?;
    server.stop().await
}

/// What the control plane is told of the configuration.
pub fn api_settings(configuration: &Configuration) -> ApiSettings {
    ApiSettings {
        secure_cookies: configuration.secure_cookies || configuration.identity().is_some(),
        public_url: configuration.public_url.clone(),
    }
}
