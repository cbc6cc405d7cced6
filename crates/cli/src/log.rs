//! `[log]` in `lingqu.toml`: which suites the node's transparency log has, where its files are, and who cosigns it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lingqu_app::{App, AskedWitnessSetting, CosigningSetting, LogPlace, LogSettings};
use lingqu_engine::object_place::{ObjectPlace, ObjectPlaceSetting};
use serde::Deserialize;

use crate::config::Configuration;
use crate::failure::Failure;
use crate::witness::parse_key;

/// What others' programs name an object store's key in the environment: its id, itself, and the token of one that is valid for a time.
const KEY_VARIABLES: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

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
    /// The place of the log's files in an object store, in `directory`'s stead.
    pub objects: Option<ObjectsEntry>,
    /// Who is asked to cosign the checkpoints.
    pub witnesses: Vec<AskedWitnessEntry>,
    /// How many must have cosigned a checkpoint before it is published; 0: it is published at once.
    pub quorum: usize,
    /// The same of the twin; none: as many as of the first log.
    pub twin_quorum: Option<usize>,
}

/// A place in an object store that speaks the protocol of S3.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsEntry {
    /// `s3://BUCKET/PREFIX`.
    url: String,
    /// The store's address; none: Amazon's, by the region.
    endpoint: Option<String>,
    /// The region.
    region: Option<String>,
    /// The id of the access key; none: `AWS_ACCESS_KEY_ID` of the environment.
    access_key_id: Option<String>,
    /// The access key; none: `AWS_SECRET_ACCESS_KEY` of the environment.
    secret_access_key: Option<String>,
    /// Whether the store may be asked without TLS.
    #[serde(default)]
    allow_http: bool,
}

impl fmt::Debug for ObjectsEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectsEntry").field("url", &self.url).finish_non_exhaustive()
    }
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
            objects: None,
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
    app.set_log(LogSettings { place: place(entry)?, has_twin })?;
    let mut witnesses = Vec::new();
    for witness in &entry.witnesses {
        let keys = witness.vkeys.iter().map(|vkey| parse_key(vkey, "[log]")).collect::<Result<_, _>>()?;
        witnesses.push(AskedWitnessSetting { url: witness.url.clone(), keys });
    }
    Ok(app.ask_witnesses(CosigningSetting { witnesses, quorum: entry.quorum, twin_quorum: entry.twin_quorum })?)
}

/// Where the log's files are.
fn place(entry: &LogEntry) -> Result<LogPlace, Failure> {
    match (&entry.directory, &entry.objects) {
        (None, None) => Ok(LogPlace::Node),
        (Some(directory), None) => Ok(LogPlace::Directory(directory.clone())),
        (None, Some(objects)) => objects.open(|name| std::env::var(name).ok()).map(LogPlace::Objects),
        (Some(_), Some(_)) => {
            Err(Failure::Mend("give either `directory` or `objects` under `[log]`: the log has one place".to_owned()))
        }
    }
}

impl ObjectsEntry {
    /// Opens the place. What opens the store stands in the configuration or in the environment, both parts in the same.
    fn open(&self, variable: impl Fn(&str) -> Option<String>) -> Result<ObjectPlace, Failure> {
        let wrong = |problem: String| Failure::Mend(format!("`objects` under `[log]`: {problem}"));
        let (access_key_id, secret_access_key, session_token) = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(key)) => (Some(id.clone()), Some(key.clone()), None),
            (None, None) => (variable(KEY_VARIABLES[0]), variable(KEY_VARIABLES[1]), variable(KEY_VARIABLES[2])),
            _ => return Err(wrong("give `access_key_id` together with `secret_access_key`, or neither".to_owned())),
        };
        let (Some(access_key_id), Some(secret_access_key)) = (access_key_id, secret_access_key) else {
            return Err(wrong(format!(
                "the store's key is missing; set `access_key_id` and `secret_access_key`, or {} and {} in the environment",
                KEY_VARIABLES[0], KEY_VARIABLES[1]
            )));
        };
        let setting = ObjectPlaceSetting {
            url: self.url.clone(),
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            access_key_id,
            secret_access_key,
            session_token,
            allow_http: self.allow_http,
        };
        ObjectPlace::open(&setting).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> ObjectsEntry {
        toml::from_str(text).expect("it has the keys of a place")
    }

    fn problem(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
        entry(text).open(variable).expect_err("it is no place").to_string()
    }

    #[test]
    fn the_key_of_a_store_comes_from_one_place() {
        let text = "url = 's3://logs/nanning'\n";
        let both = format!("{text}access_key_id = 'id'\nsecret_access_key = 'geheim'\n");
        assert!(!format!("{:?}", entry(&both)).contains("geheim"), "a key is never printed");
        assert!(entry(&both).open(|_| None).is_ok());
        assert!(entry(text).open(|name| Some(format!("of {name}"))).is_ok());
        let missing = problem(text, |name| (name == KEY_VARIABLES[0]).then(|| "id".to_owned()));
        assert!(missing.contains(KEY_VARIABLES[1]), "{missing}");
        let half = format!("{text}secret_access_key = 'geheim'\n");
        let mixed = problem(&half, |name| Some(format!("of {name}")));
        assert!(mixed.contains("together") && !mixed.contains("geheim"), "{mixed}");
        let plain = format!("{both}endpoint = 'http://127.0.0.1:9000'\n");
        let refused = problem(&plain, |_| None);
        assert!(refused.contains("allow_http") && !refused.contains("geheim"), "{refused}");
        assert!(entry(&format!("{plain}allow_http = true\n")).open(|_| None).is_ok());
    }

    #[test]
    fn the_log_has_one_place() {
        let objects = entry("url = 's3://logs/a'\naccess_key_id = 'id'\nsecret_access_key = 'key'\n");
        let both =
            LogEntry { directory: Some(PathBuf::from("log")), objects: Some(objects.clone()), ..LogEntry::default() };
        assert!(place(&both).is_err());
        let alone = LogEntry { objects: Some(objects), ..LogEntry::default() };
        assert!(matches!(place(&alone), Ok(LogPlace::Objects(place)) if place.prefix == "a"));
        assert!(matches!(place(&LogEntry::default()), Ok(LogPlace::Node)));
    }
}
