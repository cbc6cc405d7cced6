//! `lingqu init`: brings a node into being. Tier and division are its own from here on.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use lingqu_app::{App, AppError, AppSettings, LogSettings};
use lingqu_domain::party::{Division, Organisation, PartyDetails, Role, Tier};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::config::{Configuration, FILE_NAME, LogFormat};
use crate::failure::Failure;
use crate::{output, password, telemetry};

/// Bring a node into being: its tier and division, its data authority and the first administrator
#[derive(Debug, clap::Args)]
pub struct InitArguments {
    /// The node's tier
    #[arg(long, value_enum, value_name = "TIER")]
    tier: TierArgument,
    /// The node's division, six digits of GB/T 2260
    #[arg(long, value_name = "CODE")]
    division: String,
    /// The node's directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE` [default: SQLite in the directory]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Name of the data authority [default: one that says its division]
    #[arg(long, value_name = "NAME")]
    authority_name: Option<String>,
    /// Its name in English [default: one that says its division]
    #[arg(long, value_name = "NAME")]
    authority_name_en: Option<String>,
    /// Its unified social credit code, 18 characters (GB 32100) [default: a placeholder, for trials]
    #[arg(long, value_name = "CODE")]
    authority_code: Option<String>,
    /// Login of the first administrator
    #[arg(long, value_name = "LOGIN", default_value = "admin")]
    login: String,
    /// Name of the first administrator [default: the login]
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// File whose first line is the administrator's password, `-` for stdin [default: one is generated and shown once]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierArgument {
    Region,
    City,
    County,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    node: String,
    tier: Tier,
    division: String,
    directory: String,
    configuration: String,
    log_key: String,
    login: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generated_password: Option<String>,
}

/// Initialises a node. Errors: there is one already; a code, login or password that is refused.
pub async fn run(arguments: InitArguments) -> Result<(), Failure> {
    telemetry::start("warn", LogFormat::Text)?;
    let file = arguments.dir.join(FILE_NAME);
    if file.exists() {
        return Err(Failure::Mend(format!(
            "{} is there already; serve its node with `lingqu serve --dir {}`, or name another directory",
            file.display(),
            arguments.dir.display()
        )));
    }
    let division = Division::new(&arguments.division).map_err(AppError::from)?;
    let tier = match arguments.tier {
        TierArgument::Region => Tier::Region,
        TierArgument::City => Tier::City,
        TierArgument::County => Tier::County,
    };
    let authority = authority(&arguments, tier, &division);
    let (password, is_generated) = match &arguments.password_file {
        Some(path) => (password::read(path)?, false),
        None => (password::generate()?, true),
    };
    let app =
        App::open(AppSettings { database_url: arguments.database.clone(), ..AppSettings::of(arguments.dir.clone()) })
            .await?;
    let display_name = Zeroizing::new(arguments.display_name.clone().unwrap_or_else(|| arguments.login.clone()));
    app.initialise(tier, division, authority, &arguments.login, display_name, &password).await?;
    // Whether there is a twin is decided in the configuration, which is read when the node is served first.
    app.set_log(LogSettings { has_twin: false, ..LogSettings::default() })?;
    // The log's key is what others pin; the first checkpoint shows it.
    let checkpoint = app.publish_log().await?;
    write_configuration(&file, arguments.database.as_deref())?;
    let made = Made {
        node: app.read(|state| state.node.values().next().map(|node| node.value.id.to_string()).unwrap_or_default()),
        tier,
        division: arguments.division.clone(),
        directory: arguments.dir.display().to_string(),
        configuration: file.display().to_string(),
        log_key: checkpoint.vkey,
        login: arguments.login.clone(),
        generated_password: is_generated.then(|| password.to_string()),
    };
    app.close().await?;
    if arguments.json { output::print_json(&made) } else { output::print(&words(&made, &arguments.dir)) }
}

fn authority(arguments: &InitArguments, tier: Tier, division: &Division) -> PartyDetails {
    let code = division.as_str();
    let credit_code = arguments.authority_code.clone().unwrap_or_else(|| {
        output::tell(
            "the data authority gets a placeholder for its unified social credit code, which can't be changed later; \
             unless this is a trial, begin again in another directory with --authority-code",
        );
        format!("LINGQU{code}000000")
    });
    PartyDetails {
        name: arguments.authority_name.clone().unwrap_or_else(|| format!("数据主管部门（{code}）")),
        name_en: arguments.authority_name_en.clone().unwrap_or_else(|| format!("Data authority ({code})")),
        credit_code,
        organisation: Organisation::Department,
        roles: [Role::DataAuthority].into(),
        tier,
        division: division.clone(),
        ties: [].into(),
    }
}

/// Writes `lingqu.toml`, readable by its owner alone: the database's URL may hold a password.
fn write_configuration(path: &Path, database: Option<&str>) -> Result<(), Failure> {
    let defaults = Configuration::default();
    let database = match database {
        Some(url) => format!("database = {}", toml::Value::from(url)),
        None => "# database = \"postgres://USER@HOST/DATABASE\"   (without: SQLite in the directory)".to_owned(),
    };
    let text = format!(
        "# Configuration of a Lingqu node. What stands behind `#` holds without being written.\n\
         {database}\n\n\
         # Console, control plane, data plane, log.\n# listen = \"{listen}\"\n\n\
         # Health, readiness, metrics.\n# admin_listen = \"{admin}\"\n\n\
         # Arrow Flight SQL, PostgreSQL protocol.\n# flight_listen = \"{flight}\"\n# postgres_listen = \"{postgres}\"\n\n\
         # TLS towards clients: a certificate chain and its key, PEM, relative to this file.\n\
         # tls_certificate = \"node.pem\"\n# tls_key = \"node.key\"\n\n\
         # Plaintext to other machines, on a network that is trusted.\n# allow_plaintext = false\n\n\
         # The session's cookie over TLS alone: true behind a TLS proxy.\n# secure_cookies = false\n\n\
         # Where people reach the node; the QR codes of certificates hold it. Without: as the reader came.\n\
         # public_url = \"https://data.example.gov.cn\"\n\n\
         # How often metering windows are closed, and what has lapsed is swept.\n\
         # meter_minutes = {meter}\n# sweep_minutes = {sweep}\n\n\
         # Log lines on stderr: \"text\" or \"json\".\n# log_format = \"text\"\n",
        listen = defaults.listen,
        admin = defaults.admin_listen,
        flight = defaults.flight_listen,
        postgres = defaults.postgres_listen,
        meter = defaults.meter_minutes,
        sweep = defaults.sweep_minutes,
    );
    let write = || -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| Failure::file("write", path, error))
}

fn words(made: &Made, directory: &Path) -> String {
    let mut text = format!(
        "node           {}\ntier           {}\ndivision       {}\nconfiguration  {}\nlog key        {}\nlogin          {}\n",
        made.node,
        match made.tier {
            Tier::Region => "region",
            Tier::City => "city",
            Tier::County => "county",
        },
        made.division,
        made.configuration,
        made.log_key,
        made.login,
    );
    if let Some(password) = &made.generated_password {
        text.push_str(&format!("password       {password}   (shown this once)\n"));
    }
    text.push_str(&format!("\nnext: lingqu serve --dir {}\n", directory.display()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_configuration_reads_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        write_configuration(&path, None).unwrap();
        let found = Configuration::read(&path).unwrap();
        assert_eq!(found, Configuration { directory: directory.path().to_owned(), ..Configuration::default() });

        std::fs::remove_file(&path).unwrap();
        let url = "postgres://lingqu:a\"b\\c@db/lingqu";
        write_configuration(&path, Some(url)).unwrap();
        assert_eq!(Configuration::read(&path).unwrap().database.as_deref(), Some(url));
        assert!(write_configuration(&path, None).is_err(), "an existing configuration is kept");
    }
}
