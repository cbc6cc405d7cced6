//! `[connections.NAME]` of `lingqu.toml`: departments' databases and folders that data is taken from.
//!
//! They stand in the configuration because a URL may hold a password, and because which of the machine's folders and which
//! of the network's databases may be read is the operator's to say and nobody else's.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use lingqu_app::{App, ConnectionSetting, ConnectionTarget};
use lingqu_domain::id::PartyId;
use lingqu_engine::postgres::ConnectionName;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::Configuration;
use crate::failure::Failure;

/// One connection as it is written.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionEntry {
    /// The provider whose resources may use it, by its id.
    provider: String,
    /// `postgres://…`
    url: Option<String>,
    /// A folder with Delta or Iceberg tables; relative to the configuration file.
    folder: Option<PathBuf>,
}

impl fmt::Debug for ConnectionEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        formatter.debug_struct("ConnectionEntry").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl ConnectionEntry {
    /// Makes a relative folder one that lies beside the configuration file.
    pub fn beside(&mut self, directory: &Path) {
        if let Some(folder) = &mut self.folder {
            *folder = directory.join(&folder);
        }
    }

    fn setting(&self, name: &str) -> Result<(ConnectionName, ConnectionSetting), Failure> {
        let wrong = |problem: &str| Failure::Mend(format!("[connections.{name}] in the configuration: {problem}"));
        let parsed: ConnectionName = name.parse().map_err(|error| wrong(&format!("{error}")))?;
        let provider: PartyId = self
            .provider
            .parse()
            .map_err(|_| wrong("`provider` is not the id of a party; take it from `lingqu` or the console"))?;
        let target = match (&self.url, &self.folder) {
            (Some(url), None) => ConnectionTarget::Database(Zeroizing::new(url.clone())),
            (None, Some(folder)) => ConnectionTarget::Folder(folder.clone()),
            _ => return Err(wrong("give either `url` (a PostgreSQL database) or `folder` (Delta and Iceberg tables)")),
        };
        Ok((parsed, ConnectionSetting { provider, target }))
    }
}

/// Names the configured connections to a node that was opened. Error: one of them is written wrongly.
pub fn name(app: &App, configuration: &Configuration) -> Result<(), Failure> {
    let mut settings = BTreeMap::new();
    for (name, entry) in &configuration.connections {
        let (name, setting) = entry.setting(name)?;
        settings.insert(name, setting);
    }
    Ok(app.set_connections(settings)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> Result<(ConnectionName, ConnectionSetting), String> {
        let entry: ConnectionEntry = toml::from_str(text).map_err(|error| error.to_string())?;
        assert!(!format!("{entry:?}").contains("geheim"), "a password is never printed");
        entry.setting("civil").map_err(|error| error.to_string())
    }

    #[test]
    fn a_connection_is_of_one_provider_and_leads_to_one_place() {
        let provider = format!("provider = 'pty_{}'\n", "0".repeat(32));
        assert!(setting(&format!("{provider}url = 'postgres://lingqu:geheim@db/civil'")).is_ok());
        assert!(setting(&format!("{provider}folder = 'lake'")).is_ok());
        for wrong in ["", "url = 'postgres://x'\nfolder = 'y'"] {
            let problem = setting(&format!("{provider}{wrong}")).unwrap_err();
            assert!(problem.contains("give either `url`"), "{problem}");
        }
        let problem = setting("provider = 'civil affairs'\nurl = 'postgres://lingqu:geheim@db/civil'").unwrap_err();
        assert!(problem.contains("not the id of a party") && !problem.contains("geheim"), "{problem}");
    }
}
