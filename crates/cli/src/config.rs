//! `lingqu.toml`: what is decided about a node outside its journal. Every key has a default, and a key that is not known
//! is an error, so that a misspelt one does not silently mean the default.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::log::LogEntry;
use crate::source_connection::ConnectionEntry;
use crate::tls::Identity;
use crate::witness::WitnessEntry;

/// Name of the configuration file in a node's directory.
pub const FILE_NAME: &str = "lingqu.toml";
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest pause between two meter windows or sweeps, in minutes: a month.
const MINUTES_MAX: u32 = 44_640;

/// Which node a command is about.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NodeArguments {
    /// The node's directory [default: the current one]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub dir: Option<PathBuf>,
    /// The configuration file [default: lingqu.toml in the node's directory, where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// The node's directory; relative to the configuration file.
    pub directory: PathBuf,
    /// `postgres://…`; none: SQLite in the directory.
    pub database: Option<String>,
    /// Where console, control plane, data plane and log answer.
    pub listen: SocketAddr,
    /// Where health, readiness and metrics answer.
    pub admin_listen: SocketAddr,
    /// Where Arrow Flight SQL answers.
    pub flight_listen: SocketAddr,
    /// Where the PostgreSQL protocol answers.
    pub postgres_listen: SocketAddr,
    /// The node's certificate chain, PEM, relative to the configuration file; with `tls_key` all listeners for clients
    /// speak TLS.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of `tls_certificate`, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether plain HTTP may be served to other machines.
    pub allow_plaintext: bool,
    /// Whether the session's cookie is sent over TLS alone: true behind a TLS proxy.
    pub secure_cookies: bool,
    /// Where people reach the node; what the QR codes of certificates hold.
    pub public_url: Option<String>,
    /// How often metering windows are closed, in minutes.
    pub meter_minutes: u32,
    /// How often what has lapsed is swept, in minutes.
    pub sweep_minutes: u32,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Departments' databases and folders that data is taken from, by name.
    pub connections: BTreeMap<String, ConnectionEntry>,
    /// A font with Chinese characters for reports of evidence, relative to the configuration file; none: the first that is
    /// found where systems keep them.
    pub report_font: Option<PathBuf>,
    /// The logs of others that the node cosigns; none: it is no witness.
    pub witness: Option<WitnessEntry>,
    /// The node's own log.
    pub log: LogEntry,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("."),
            database: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            flight_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8816)),
            postgres_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5439)),
            tls_certificate: None,
            tls_key: None,
            allow_plaintext: false,
            secure_cookies: false,
            public_url: None,
            meter_minutes: 15,
            sweep_minutes: 60,
            log_format: LogFormat::Text,
            connections: BTreeMap::new(),
            report_font: None,
            witness: None,
            log: LogEntry::default(),
        }
    }
}

/// Why a configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("can't read the configuration {}: {error}{}", path.display(), crate::failure::hint(error))]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is far too long to be one.
    #[error("{} is no configuration: it is larger than {FILE_BYTES_MAX} bytes; name another file", path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// A line is wrong.
    #[error("{}, line {line}: {problem}", path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What to mend.
        problem: String,
    },
    /// A value is out of its range.
    #[error("{}: `{key}` must be {range}; change it", path.display())]
    OutOfRange {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// What it may be.
        range: String,
    },
}

impl NodeArguments {
    /// The node's configuration: from the file that was named, from the one in the node's directory, or the defaults.
    pub fn configuration(&self) -> Result<Configuration, ConfigError> {
        if let Some(file) = &self.config {
            return Configuration::read(file);
        }
        let directory = self.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        let file = directory.join(FILE_NAME);
        if file.is_file() {
            return Configuration::read(&file);
        }
        Ok(Configuration { directory, ..Configuration::default() })
    }
}

impl Configuration {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::Unreadable { path: path.to_owned(), error };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let mut configuration = Self::parse(path, &text)?;
        let beside = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        if configuration.directory == Path::new(".") {
            configuration.directory = beside.to_owned();
        } else {
            configuration.directory = beside.join(&configuration.directory);
        }
        for connection in configuration.connections.values_mut() {
            connection.beside(beside);
        }
        configuration.log.beside(beside);
        let paths = [&mut configuration.tls_certificate, &mut configuration.tls_key, &mut configuration.report_font];
        for path in paths.into_iter().flatten() {
            *path = beside.join(&path);
        }
        Ok(configuration)
    }

    /// The certificate that clients are shown; none where the node speaks plaintext.
    pub fn identity(&self) -> Option<Identity> {
        let (certificate, key) = (self.tls_certificate.clone()?, self.tls_key.clone()?);
        Some(Identity { certificate, key })
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let configuration: Configuration = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            ConfigError::Wrong {
                path: path.to_owned(),
                line: text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1,
                problem: in_one_sentence(error.message()),
            }
        })?;
        for (key, minutes) in
            [("meter_minutes", configuration.meter_minutes), ("sweep_minutes", configuration.sweep_minutes)]
        {
            if !(1..=MINUTES_MAX).contains(&minutes) {
                let range = format!("between 1 and {MINUTES_MAX}");
                return Err(ConfigError::OutOfRange { path: path.to_owned(), key, range });
            }
        }
        if configuration.tls_certificate.is_some() != configuration.tls_key.is_some() {
            let (key, range) = ("tls_certificate", "set together with `tls_key`".to_owned());
            return Err(ConfigError::OutOfRange { path: path.to_owned(), key, range });
        }
        Ok(configuration)
    }
}

/// The parser's words for an unknown key, in ours; other problems on one line.
fn in_one_sentence(message: &str) -> String {
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    match message.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", expected one of ")) {
        Some((key, known)) => format!("the key {key} is not known; known keys: {known}"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogSuite;

    fn parse(text: &str) -> Result<Configuration, String> {
        Configuration::parse(Path::new("lingqu.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse("").unwrap(), Configuration::default());
    }

    #[test]
    fn every_key_can_be_set() {
        let text = "directory = 'data'\ndatabase = 'postgres://lingqu@db/lingqu'\nlisten = '0.0.0.0:80'\n\
                    admin_listen = '[::1]:9'\nflight_listen = '127.0.0.1:1'\npostgres_listen = '127.0.0.1:2'\n\
                    tls_certificate = 'node.pem'\ntls_key = 'node.key'\nallow_plaintext = true\nsecure_cookies = true\npublic_url = 'https://x'\n\
                    meter_minutes = 1\nsweep_minutes = 2\nlog_format = 'json'\nreport_font = 'f.otf'\n\
                    [connections.civil]\nprovider = 'pty_1'\nurl = 'postgres://lingqu@civil/people'\n";
        let found = parse(text).unwrap();
        assert!(found.connections.contains_key("civil"));
        assert_eq!(found.directory, Path::new("data"));
        assert_eq!(found.listen, "0.0.0.0:80".parse().unwrap());
        assert_eq!(found.log_format, LogFormat::Json);
        assert!(found.allow_plaintext && found.secure_cookies);
    }

    #[test]
    fn the_log_has_both_suites_unless_it_is_told_otherwise() {
        assert_eq!(parse("").unwrap().log.suites, [LogSuite::International, LogSuite::National]);
        let one = parse("[log]\nsuites = ['international']\ndirectory = 'shared'\n").unwrap();
        assert_eq!(one.log.suites, [LogSuite::International]);
        assert_eq!(one.log.directory.as_deref(), Some(Path::new("shared")));
        let problem = parse("[log]\nsuites = ['sm3']\n").unwrap_err();
        assert!(problem.starts_with("lingqu.toml, line 2: "), "{problem}");
        assert!(problem.contains("international") && problem.contains("national"), "{problem}");
        assert!(parse("[log]\nsuite = ['national']\n").is_err());
    }

    #[test]
    fn an_unknown_key_is_named_with_file_line_and_the_known_keys() {
        let problem = parse("allow_plaintext = false\n\nlisten_on = '127.0.0.1:1'\n").unwrap_err();
        assert!(
            problem.starts_with("lingqu.toml, line 3: the key `listen_on` is not known; known keys: "),
            "{problem}"
        );
        for key in ["directory", "database", "listen", "admin_listen", "meter_minutes", "log_format"] {
            assert!(problem.contains(&format!("`{key}`")), "{problem} does not name {key}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line() {
        let problem = parse("# where\nlisten = 'localhost'\n").unwrap_err();
        assert!(problem.starts_with("lingqu.toml, line 2: "), "{problem}");
        let problem = parse("meter_minutes = 0\n").unwrap_err();
        assert_eq!(problem, "lingqu.toml: `meter_minutes` must be between 1 and 44640; change it");
        let problem = parse("tls_key = 'node.key'\n").unwrap_err();
        assert_eq!(problem, "lingqu.toml: `tls_certificate` must be set together with `tls_key`; change it");
    }
}
