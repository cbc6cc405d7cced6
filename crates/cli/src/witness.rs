//! `lingqu witness key`, and `[witness]` of `lingqu.toml`: the logs that the node cosigns for its neighbours.

use clap::Subcommand;
use lingqu_app::{App, WitnessSetting, WitnessedLogSetting};
use lingqu_transparency::NoteVerifier;
use serde::{Deserialize, Serialize};

use crate::config::{Configuration, NodeArguments};
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, telemetry};

/// `[witness]` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessEntry {
    /// The name under which the node cosigns, a URL without scheme; none: the log's with `/witness` behind it.
    name: Option<String>,
    /// The logs that it cosigns.
    logs: Vec<WitnessedLogEntry>,
}

/// One of its logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessedLogEntry {
    /// The first line of its checkpoints.
    origin: String,
    /// The keys of which one signs them.
    vkeys: Vec<String>,
}

/// The node as a witness of its neighbours' logs
#[derive(Debug, clap::Args)]
pub struct WitnessArguments {
    #[command(subcommand)]
    command: WitnessCommand,
}

#[derive(Debug, Subcommand)]
enum WitnessCommand {
    Key(KeyArguments),
}

/// Print what neighbours write into their `lingqu.toml`: to witness this node's logs, and to be witnessed by this node
#[derive(Debug, clap::Args)]
struct KeyArguments {
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Keys {
    /// Keys of the node's own logs; each is named as its log.
    logs: Vec<LogKey>,
    /// Keys with which the node cosigns others' logs, one for each suite.
    witness: Vec<String>,
}

#[derive(Serialize)]
struct LogKey {
    origin: String,
    vkey: String,
}

/// Prints the node's keys as a witness.
pub async fn run(arguments: WitnessArguments) -> Result<(), Failure> {
    let WitnessCommand::Key(arguments) = arguments.command;
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let app = node::open(&configuration, Access::Reading).await?;
    let name = configuration.witness.as_ref().and_then(|entry| entry.name.as_deref());
    let (witness, logs) = (app.own_witness_keys(name), app.log_keys());
    app.close().await?;
    let witness = witness?.iter().map(NoteVerifier::to_string).collect();
    let named = |key: &NoteVerifier| LogKey { origin: key.name().to_owned(), vkey: key.to_string() };
    let keys = Keys { logs: logs?.iter().map(named).collect(), witness };
    if arguments.json {
        return output::print_json(&keys);
    }
    output::print(&words(&keys))
}

/// The keys as they are written into a configuration.
fn words(keys: &Keys) -> String {
    let mut text = "# A neighbour that is to witness the logs of this node:\n".to_owned();
    for LogKey { origin, vkey } in &keys.logs {
        text.push_str(&format!("[[witness.logs]]\norigin = \"{origin}\"\nvkeys = [\"{vkey}\"]\n"));
    }
    text.push_str(
        "\n# A neighbour that is to be witnessed by this node, with the address where it reaches this node:\n",
    );
    let vkeys: Vec<String> = keys.witness.iter().map(|vkey| format!("\"{vkey}\"")).collect();
    text.push_str(&format!("[[log.witnesses]]\nurl = \"https://…/witness\"\nvkeys = [{}]\n", vkeys.join(", ")));
    text
}

/// Makes the node a witness of the configured logs. Error: one of them is written wrongly.
pub fn name(app: &App, configuration: &Configuration) -> Result<(), Failure> {
    let Some(entry) = &configuration.witness else { return Ok(()) };
    let mut logs = Vec::new();
    for log in &entry.logs {
        let keys = log.vkeys.iter().map(|vkey| parse_key(vkey, "[witness]")).collect::<Result<_, _>>()?;
        logs.push(WitnessedLogSetting { origin: log.origin.clone(), keys });
    }
    Ok(app.be_witness(WitnessSetting { name: entry.name.clone(), logs })?)
}

/// Reads a key of the configuration.
pub fn parse_key(vkey: &str, section: &str) -> Result<NoteVerifier, Failure> {
    vkey.parse().map_err(|error| Failure::Mend(format!("{section} in the configuration: `{vkey}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_named_by_origin_and_keys() {
        let entry: WitnessEntry =
            toml::from_str("name = 'w.example/1'\n[[logs]]\norigin = 'a.example/log'\nvkeys = ['x']\n").unwrap();
        assert_eq!(entry.logs[0].origin, "a.example/log");
        assert!(toml::from_str::<WitnessEntry>("[[logs]]\norigin = 'a'\nkeys = []\n").is_err());
        let problem = parse_key("x", "[witness]").unwrap_err().to_string();
        assert!(problem.contains("[witness]") && problem.contains("`x`"), "{problem}");
    }

    #[test]
    fn what_is_printed_is_what_a_neighbour_writes() {
        let vkey = "node.example/log+0123abcd+AaBb".to_owned();
        let keys = Keys {
            logs: vec![LogKey { origin: "node.example/log".to_owned(), vkey: vkey.clone() }],
            witness: vec![vkey],
        };
        let read: Configuration = toml::from_str(&words(&keys)).unwrap();
        assert_eq!(read.witness.unwrap().logs[0].origin, "node.example/log");
        assert_eq!(read.log.witnesses.len(), 1);
    }
}
