//! `lingqu doctor`: configuration, directory, keys, database, journal, clock, receipts, log, data files and addresses of a
//! node: what is wrong and how to mend it. It looks, also beside a running node, and changes nothing but a probe file
//! that it removes again.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use lingqu_app::{App, Clock};
use serde::Serialize;

use crate::config::{self, Configuration, NodeArguments};
use crate::descriptors::Descriptors;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::storage::{self, Depth};
use crate::tls::Tls;
use crate::{output, telemetry};

/// How far the journal's last event may lie ahead of the clock without the clock being wrong.
const CLOCK_AHEAD_MAX: SignedDuration = SignedDuration::from_secs(2);
/// A certificate that expires sooner should have been renewed.
const CERTIFICATE_LEFT_MIN: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Look at a node: configuration, directory, keys, database, clock, receipts, log, data files, addresses; say what is
/// wrong and how to mend it
#[derive(Debug, clap::Args)]
pub struct DoctorArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Good,
    /// Worth knowing, and no fault by itself.
    Note,
    Bad,
}

/// One part that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    part: &'static str,
    health: Health,
    /// What was found and, where it is bad, how to mend it.
    finding: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    healthy: bool,
    findings: &'a [Finding],
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, part: &'static str, health: Health, finding: impl Into<String>) {
        self.0.push(Finding { part, health, finding: finding.into() });
    }
}

/// Looks at a node. Error: something is wrong.
pub async fn run(arguments: DoctorArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("error", configuration.log_format)?;
    let mut findings = Findings::default();
    findings.add("configuration", Health::Good, describe(&arguments.node, &configuration));
    let directory = configuration.directory.as_path();
    look_at_directory(&mut findings, directory);
    look_at_keys(&mut findings, directory);
    match node::open(&configuration, Access::Reading).await {
        Ok(app) => {
            look_inside(&mut findings, &app).await;
            look_at_promises(&mut findings, &app);
            look_at_connections(&mut findings, &app, &arguments.node, &configuration).await;
            if let Err(error) = app.close().await {
                findings.add("database", Health::Bad, error.to_string());
            }
        }
        Err(failure) => findings.add("node", Health::Bad, failure.to_string()),
    }
    let identity = configuration.identity();
    match Tls::of(identity.as_ref()) {
        Ok(Tls { certificate: Some(certificate), .. }) => {
            look_at_certificate(&mut findings, certificate.expires_at(), Clock::system().now());
        }
        Ok(_) => findings.add("tls", Health::Good, "off: clients are spoken to in plaintext"),
        Err(failure) => findings.add("tls", Health::Bad, failure.to_string()),
    }
    let descriptors = Descriptors::raise();
    match descriptors.advice() {
        Some(advice) => findings.add("client connections", Health::Note, advice),
        None => {
            let words = format!("up to {} of each protocol", descriptors.connections());
            findings.add("client connections", Health::Good, words);
        }
    }
    let may_be_open = configuration.allow_plaintext || identity.is_some();
    for (part, address, key, may_be_open) in [
        ("address", configuration.listen, "listen", may_be_open),
        ("admin address", configuration.admin_listen, "admin_listen", configuration.allow_plaintext),
        ("Flight SQL address", configuration.flight_listen, "flight_listen", may_be_open),
        ("PostgreSQL address", configuration.postgres_listen, "postgres_listen", may_be_open),
    ] {
        look_at_address(&mut findings, part, address, key, may_be_open);
    }
    show(&findings.0, arguments.json)
}

fn describe(arguments: &NodeArguments, configuration: &Configuration) -> String {
    let database = match &configuration.database {
        // Its URL may hold a password.
        Some(_) => "PostgreSQL as configured",
        None => "SQLite in the directory",
    };
    let source = match &arguments.config {
        Some(file) => file.display().to_string(),
        None => "by directory".to_owned(),
    };
    format!("{source}; node in {}, {database}", configuration.directory.display())
}

fn look_at_directory(findings: &mut Findings, directory: &Path) {
    match storage::check_directory(directory) {
        Ok(()) => findings.add("directory", Health::Good, format!("{} can be written", directory.display())),
        Err(failure) => findings.add("directory", Health::Bad, failure.to_string()),
    }
}

/// The node's secret is there and its owner's alone.
fn look_at_keys(findings: &mut Findings, directory: &Path) {
    let path = directory.join("keys").join("node.secret");
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let finding = format!("{} can't be read: {error}; restore it from a backup", path.display());
            return findings.add("keys", Health::Bad, finding);
        }
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let finding = format!("others can read {} (mode {mode:o}); chmod 600 it", path.display());
            return findings.add("keys", Health::Bad, finding);
        }
    }
    findings.add("keys", Health::Good, format!("{} ({} bytes, its owner's alone)", path.display(), metadata.len()));
}

/// A certificate that fits its key, by when it expires.
fn look_at_certificate(findings: &mut Findings, expires_at: Option<Timestamp>, now: Timestamp) {
    let Some(at) = expires_at else {
        return findings.add(
            "tls",
            Health::Note,
            "certificate and key fit; when the certificate expires can't be read",
        );
    };
    let (health, advice) = match at.duration_since(now) {
        left if left <= SignedDuration::ZERO => (Health::Bad, "it has expired; put a valid one into its file"),
        left if left < CERTIFICATE_LEFT_MIN => (Health::Note, "renew it"),
        _ => (Health::Good, "a running node takes a renewed one from its files by itself"),
    };
    findings.add("tls", health, format!("certificate and key fit, until {at}; {advice}"));
}

/// Departments' databases let the node in, their folders are there, and the file that names them is its owner's alone.
async fn look_at_connections(
    findings: &mut Findings,
    app: &App,
    arguments: &NodeArguments,
    configuration: &Configuration,
) {
    const PART: &str = "connections";
    if configuration.connections.is_empty() {
        return findings.add(PART, Health::Good, "none are configured");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = arguments.config.clone().unwrap_or_else(|| configuration.directory.join(config::FILE_NAME));
        let mode = std::fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
        if mode & 0o077 != 0 && !app.database_names().is_empty() {
            let finding =
                format!("others can read {} (mode {mode:o}), which may hold passwords; chmod 600 it", path.display());
            findings.add(PART, Health::Bad, finding);
        }
    }
    for name in app.database_names() {
        match app.check_database(&name).await {
            Ok(()) => findings.add(PART, Health::Good, format!("{name}: the database lets this node in")),
            Err(error) => findings.add(PART, Health::Bad, error.to_string()),
        }
    }
    for (name, folder) in app.folder_paths() {
        if folder.is_dir() {
            findings.add(PART, Health::Good, format!("{name}: {} is there", folder.display()));
        } else {
            let finding = format!("{name}: {} is no folder that can be read; correct the path", folder.display());
            findings.add(PART, Health::Bad, finding);
        }
    }
}

async fn look_inside(findings: &mut Findings, app: &App) {
    let (node, position, last_at) = app.read(|state| {
        let node = state.node.values().next().map(|node| {
            let node = &node.value;
            (node.id.to_string(), node.tier, node.division.as_str().to_owned(), node.rulebook.version.clone())
        });
        (node, state.position, state.last_at)
    });
    if let Some((id, tier, division, rulebook)) = node {
        let finding = format!("{id}, tier {tier:?}, division {division}, rulebook {rulebook}");
        findings.add("node", Health::Good, finding);
    }
    findings.add("database", Health::Good, format!("{:?}, journal folds to position {position}", app.backend()));
    look_at_clock(findings, app.now(), last_at);
    match app.receipts().head().await {
        Ok(head) => findings.add("receipts", Health::Good, format!("{head} records")),
        Err(error) => findings.add("receipts", Health::Bad, error.to_string()),
    }
    look_at_log(findings, app).await;
    match storage::check_snapshots(app, Depth::Contents).await {
        Ok(count) => findings.add("data files", Health::Good, format!("{count} newest snapshots as they were written")),
        Err(failure) => findings.add("data files", Health::Bad, failure.to_string()),
    }
}

/// What marked products promise, by what a serving node found when it held it against their newest data.
fn look_at_promises(findings: &mut Findings, app: &App) {
    const PART: &str = "promises of copies";
    let kept = match app.kept_promises() {
        Ok(kept) => kept,
        Err(error) => return findings.add(PART, Health::Bad, error.to_string()),
    };
    let broken = kept.iter().filter_map(|kept| Some((kept, kept.broken.as_ref()?)));
    let words = broken.map(|(kept, broken)| {
        format!(
            "{}: what its marking promises can't be shown of its newest snapshot ({}). Deliveries go on; \
             have the source mended, or agree on a product whose terms hold",
            kept.product, broken.en
        )
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        findings.add(PART, Health::Good, format!("{} marked products were held against their data", kept.len()));
    }
    words.into_iter().for_each(|words| findings.add(PART, Health::Note, words));
}

fn look_at_clock(findings: &mut Findings, now: Timestamp, last_at: Option<Timestamp>) {
    match last_at {
        Some(last) if last.duration_since(now) > CLOCK_AHEAD_MAX => findings.add(
            "clock",
            Health::Bad,
            format!("it says {now}, before the journal's last event at {last}; set it right, such as by NTP"),
        ),
        _ => findings.add("clock", Health::Good, now.to_string()),
    }
}

async fn look_at_log(findings: &mut Findings, app: &App) {
    if let Err(error) = app.check_log_settings().await {
        findings.add("twin log", Health::Bad, error.to_string());
    }
    match app.checkpoint().await {
        Ok(Some(checkpoint)) => {
            let finding = format!("{} entries under a signed checkpoint; key {}", checkpoint.size, checkpoint.vkey);
            findings.add("log", Health::Good, finding);
            match (checkpoint.twin, app.twin_reader()) {
                (Some(twin), _) => {
                    let finding = format!("{} entries over SM3, signed with SM2; key {}", twin.size, twin.vkey);
                    findings.add("twin log", Health::Good, finding);
                }
                (None, Ok(Some(_))) => {
                    findings.add("twin log", Health::Note, "nothing is published yet; it begins with `lingqu serve`");
                }
                (None, _) => {}
            }
        }
        Ok(None) => {
            findings.add("log", Health::Note, "nothing is published yet; `lingqu serve` does that every second")
        }
        Err(error) => findings.add("log", Health::Bad, error.to_string()),
    }
}

fn look_at_address(findings: &mut Findings, part: &'static str, address: SocketAddr, key: &str, may_be_open: bool) {
    if !address.ip().is_loopback() && !may_be_open {
        return findings.add(part, Health::Bad, Failure::Plaintext { address }.to_string());
    }
    match TcpListener::bind(address) {
        Ok(_) => findings.add(part, Health::Good, format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => findings.add(
            part,
            Health::Note,
            format!("{address} is in use; unless that is this node, set another `{key}` in lingqu.toml"),
        ),
        Err(error) => findings.add(
            part,
            Health::Bad,
            format!("{address}: {error}; set an address of this machine as `{key}` in lingqu.toml"),
        ),
    }
}

fn show(findings: &[Finding], is_json: bool) -> Result<(), Failure> {
    let bad = findings.iter().filter(|finding| finding.health == Health::Bad).count();
    if is_json {
        output::print_json(&Shown { healthy: bad == 0, findings })?;
    } else {
        let rows: Vec<Vec<String>> = findings
            .iter()
            .map(|finding| {
                let health = match finding.health {
                    Health::Good => "ok",
                    Health::Note => "note",
                    Health::Bad => "BAD",
                };
                vec![health.to_owned(), finding.part.to_owned(), finding.finding.clone()]
            })
            .collect();
        output::print(&output::table(&["state", "part", "finding"], &rows))?;
    }
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::Outcome(format!("{bad} of {} parts need mending; see BAD above", findings.len())))
}
