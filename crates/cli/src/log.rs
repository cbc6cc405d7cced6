//! `[log]` in `lingqu.toml`: which suites the node's transparency log has, where its files are, and who cosigns it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_app::{App, AskedWitnessSetting, CosigningSetting, LogSettings};
use serde::Deserialize;

use crate::config::Configuration;
use crate::failure::Failure;
use crate::witness::parse_key;

/// A suite of algorithms, as it is named in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSuite {
    /// Ed25519 and SHA-256: the log in the form of C2SP.
    International,
    /// SM2 and SM3: its twin.
    National,
}

/// The section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogEntry {
    /// The suites: `["international", "national"]` or `["international"]`.
    pub suites: Vec<LogSuite>,
    /// The directory of the log's files, relative to the configuration file; none: `log` in the node's directory. Several
    /// processes on one PostgreSQL database must share it.
    pub directory: Option<PathBuf>,
    /// Who is asked to cosign the checkpoints.
    pub witnesses: Vec<AskedWitnessEntry>,
    /// How many must have cosigned a checkpoint before it is published; 0: it is published at once.
    pub quorum: usize,
    /// The same of the twin; none: as many as of the first log.
    pub twin_quorum: Option<usize>,
}

/// A witness that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedWitnessEntry {
    /// Where it answers: the address that has `/add-checkpoint` behind it.
    url: String,
    /// Its keys, one for each of the logs that it cosigns.
    vkeys: Vec<String>,
}

impl Default for LogEntry {
    fn default() -> Self {
        Self {
            suites: vec![LogSuite::International, LogSuite::National],
            directory: None,
            witnesses: Vec::new(),
            quorum: 0,
            twin_quorum: None,
        }
    }
}

impl LogEntry {
    /// Makes a relative path one beside the configuration file.
    pub fn beside(&mut self, folder: &Path) {
        if let Some(directory) = &mut self.directory {
            *directory = folder.join(&*directory);
        }
    }
}

/// Tells a node what is configured about its log.
pub fn name(app: &Arc<App>, configuration: &Configuration) -> Result<(), Failure> {
    let entry = &configuration.log;
    if !entry.suites.contains(&LogSuite::International) {
        return Err(Failure::Mend(
            "`suites` under `[log]` must hold \"international\": the log's entries are stored under it, and the twin has none of its own"
                .to_owned(),
        ));
    }
    let has_twin = entry.suites.contains(&LogSuite::National);
    app.set_log(LogSettings { directory: entry.directory.clone(), has_twin })?;
    let mut witnesses = Vec::new();
    for witness in &entry.witnesses {
        let keys = witness.vkeys.iter().map(|vkey| parse_key(vkey, "[log]")).collect::<Result<_, _>>()?;
        witnesses.push(AskedWitnessSetting { url: witness.url.clone(), keys });
    }
    Ok(app.ask_witnesses(CosigningSetting { witnesses, quorum: entry.quorum, twin_quorum: entry.twin_quorum })?)
}
