//! `lingqu demo`: the life of data, end to end, on real input, against the same server that `serve` starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use lingqu_api::ApiSettings;
use lingqu_app::{App, AppSettings, Clock};
use lingqu_demo::{CLOCK_BEHIND_DAYS, DemoReport, LoginShown, Neighbour, Step, print_report, print_step};
use serde::Serialize;

use crate::config::{Configuration, LogFormat};
use crate::failure::Failure;
use crate::jobs::JobSettings;
use crate::server::{self, Listeners, Server};
use crate::signals::Signals;
use crate::tls::Tls;
use crate::{output, telemetry};

/// What is said when the report is not good.
const BAD: &str =
    "something came out otherwise than it should; see ✗, or `ok`, `expected` and `verified` that are false";

/// Where the node of the witness lies, in the demo's directory.
const NEIGHBOUR_DIRECTORY: &str = "neighbour";

/// Play the life of data on real input: from source files to certificates, authorised scenarios, paid orders, governed
/// deliveries, a settlement and evidence
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Directory of the demo's node, new or empty [default: a new temporary one, which is kept]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Keep serving afterwards, until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Where the node answers, on this machine [default: 127.0.0.1:8080 with --serve, else a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where health, readiness and metrics answer [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Where Arrow Flight SQL answers [default: 127.0.0.1:8816 with --serve, else a free port]
    #[arg(long, value_name = "ADDRESS")]
    flight_listen: Option<SocketAddr>,
    /// Where the PostgreSQL protocol answers [default: 127.0.0.1:5439 with --serve, else a free port]
    #[arg(long, value_name = "ADDRESS")]
    postgres_listen: Option<SocketAddr>,
}

/// Where the demo's node can be reached. Protocols that are not served are `null`.
#[derive(Debug, Serialize)]
struct Urls {
    console: String,
    data: String,
    flight: Option<String>,
    postgres: Option<String>,
    delta_sharing: Option<String>,
    log: String,
    admin: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a DemoReport,
    urls: &'a Urls,
    directory: String,
    seconds: f64,
}

/// Plays the demo. Error: something came out otherwise than it should.
pub async fn run(arguments: DemoArguments) -> Result<(), Failure> {
    // The lie that the witness catches is told on purpose, and stands in the report.
    telemetry::start("warn,lingqu_app::witness=off", LogFormat::Text)?;
    let started = Instant::now();
    let port = |served: u16| if arguments.serve { served } else { 0 };
    let listeners = Listeners {
        http: listen(arguments.listen, port(8080), "--listen").await?,
        admin: listen(arguments.admin_listen, 0, "--admin-listen").await?,
        flight: listen(arguments.flight_listen, port(8816), "--flight-listen").await?,
        postgres: listen(arguments.postgres_listen, port(5439), "--postgres-listen").await?,
    };
    let directory = fresh_directory(arguments.dir)?;
    let clock = Clock::behind(SignedDuration::from_hours(24 * CLOCK_BEHIND_DAYS));
    let settings = AppSettings { clock, ..AppSettings::of(directory.clone()) };
    let app = App::open(settings).await?;
    let mut server = Server::start(app.clone(), listeners, Tls::default(), ApiSettings::default())?;
    let (witness, neighbour) = neighbour(directory.join(NEIGHBOUR_DIRECTORY)).await?;
    let base = format!("http://{}", server.address);
    output::tell(&format!("node of the demo: {} at {base}", directory.display()));

    let is_json = arguments.json;
    let mut progress = |step: &Step| {
        if is_json {
            output::tell(&format!("{:>2}. {} / {}", step.number, step.name, step.name_en));
        } else if let Err(failure) = output::print(&format!("{}\n", print_step(step))) {
            output::tell(&failure.to_string());
        }
    };
    let report = match lingqu_demo::run(app.clone(), &base, &neighbour, &mut progress).await {
        Ok(report) => report,
        Err(error) => {
            server.stop().await?;
            witness.stop().await?;
            return Err(Failure::Demo { error: Box::new(error), directory });
        }
    };
    // Whatever the script left of its past: what is served from here on is served today.
    app.clock().advance(SignedDuration::from_hours(24 * CLOCK_BEHIND_DAYS));
    let seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let urls = Urls {
        console: format!("{base}/"),
        data: format!("{base}/data/v1"),
        flight: Some(format!("grpc://{}", server.flight_address)),
        postgres: Some(format!("postgres://{}/lingqu", server.postgres_address)),
        delta_sharing: Some(format!("{base}/delta-sharing")),
        log: format!("{base}/log"),
        admin: format!("http://{}", server.admin_address),
    };
    let signals = if arguments.serve {
        server.start_jobs(job_settings());
        Some(Signals::catch()?)
    } else {
        None
    };
    if arguments.json {
        output::print_json(&Printed {
            report: &report,
            urls: &urls,
            directory: directory.display().to_string(),
            seconds,
        })?;
    } else {
        output::print(&print_report(&report))?;
        output::print(&closing_words(&report, &urls, &directory.display().to_string(), seconds, arguments.serve))?;
    }
    if !report.is_good() {
        output::tell(BAD);
    }
    if let Some(mut signals) = signals {
        server.until_signal(&mut signals).await?;
    }
    server.stop().await?;
    witness.stop().await?;
    if report.is_good() { Ok(()) } else { Err(Failure::Outcome(BAD.to_owned())) }
}

/// A second node on free ports of this machine, which witnesses the demo's.
async fn neighbour(directory: PathBuf) -> Result<(Server, Neighbour), Failure> {
    let free = || listen(None, 0, "--listen");
    let listeners =
        Listeners { http: free().await?, admin: free().await?, flight: free().await?, postgres: free().await? };
    let app = App::open(AppSettings::of(directory)).await?;
    let server = Server::start(app.clone(), listeners, Tls::default(), ApiSettings::default())?;
    let base_url = format!("http://{}", server.address);
    Ok((server, Neighbour { app, base_url }))
}

async fn listen(
    address: Option<SocketAddr>,
    default_port: u16,
    option: &'static str,
) -> Result<tokio::net::TcpListener, Failure> {
    let address = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, default_port)));
    if !address.ip().is_loopback() {
        // Its passwords are printed in the source.
        return Err(Failure::Mend(format!(
            "{address} can be reached from other machines, and everybody knows the demo's passwords; name an address of 127.0.0.1 with {option}"
        )));
    }
    server::listen(address, option).await
}

/// The directory that was named, when it is new or empty, else a new one.
fn fresh_directory(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let Some(directory) = named else {
        let temporary = tempfile::Builder::new().prefix("lingqu-demo-").tempdir();
        let place = std::env::temp_dir();
        return Ok(temporary.map_err(|error| Failure::file("make a directory in", &place, error))?.keep());
    };
    std::fs::create_dir_all(&directory).map_err(|error| Failure::file("make", &directory, error))?;
    let mut entries = std::fs::read_dir(&directory).map_err(|error| Failure::file("read", &directory, error))?;
    if entries.next().is_some() {
        return Err(Failure::Mend(format!(
            "{} is not empty, and the demo starts a node from nothing; name a new directory with --dir, or serve the node that is there with `lingqu serve --dir {}`",
            directory.display(),
            directory.display()
        )));
    }
    Ok(directory)
}

/// A demo is looked at for minutes, not months.
fn job_settings() -> JobSettings {
    let configuration = Configuration::default();
    JobSettings {
        meter_every: Duration::from_secs(60 * u64::from(configuration.meter_minutes)),
        sweep_every: Duration::from_secs(60 * u64::from(configuration.sweep_minutes)),
    }
}

/// Where to look next.
fn closing_words(report: &DemoReport, urls: &Urls, directory: &str, seconds: f64, is_serving: bool) -> String {
    let mut text = format!("用时 / Took {seconds:.1} s\n");
    if !is_serving {
        text.push_str(&format!(
            "\n节点目录 / The node is kept in {directory}\n\
             \x20 lingqu serve --dir {directory}          控制台 / console\n\
             \x20 lingqu replay --check --dir {directory}\n\
             \x20 lingqu audit verify {}\n\
             \x20 lingqu trace {} --dir {directory}\n\
             \x20 lingqu trace --verify {} {}\n",
            report.evidence.file, report.trace.fragment, report.trace.evidence, report.trace.fragment
        ));
        return text;
    }
    text.push_str(&format!(
        "\n服务中，按 Ctrl-C 结束 / Serving until Ctrl-C (node in {directory})\n\
         \x20 控制台 / console   {}\n\
         \x20 数据面 / data      {}\n\
         \x20 存证日志 / log     {}/checkpoint\n\
         \x20 运维 / admin       {}/metrics\n\n登录 / Logins (all passwords: {})\n",
        urls.console,
        urls.data,
        urls.log,
        urls.admin,
        report.logins.first().map_or("", |login| login.password.as_str())
    ));
    for LoginShown { login, party, duties, .. } in &report.logins {
        text.push_str(&format!("  {login:<24} {party}（{}）\n", duties.join(", ")));
    }
    text.push_str("\n服务密钥 / Service keys of the demo's orders\n");
    for order in &report.orders {
        text.push_str(&format!("  {:<24} [{}] {}\n", order.product, order.nature, order.key));
    }
    if let Some(order) = report.orders.iter().find(|order| order.modes.iter().any(|mode| mode == "rows")) {
        text.push_str(&format!(
            "\n试一试 / Try it\n  curl -H 'Authorization: Bearer {}' '{}/{}/rows?limit=2'\n",
            order.key, urls.data, order.product
        ));
    }
    text
}
