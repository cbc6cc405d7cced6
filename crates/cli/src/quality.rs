//! `lingqu quality`: measure a resource by rules, and show what the last report found.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use lingqu_app::App;
use lingqu_domain::access::Actor;
use lingqu_domain::id::ResourceId;
use lingqu_domain::quality::{QualityReport, RuleResult, TicketStage};
use lingqu_domain::resource::Resource;
use lingqu_quality::{Demand, Dimension, Rule, RuleSet, Severity};
use serde::Serialize;

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, password, telemetry};

/// Largest rule set that is read, in bytes.
const RULES_BYTES_MAX: u64 = 4 << 20;

/// Measure the quality of a resource, or show its last report
#[derive(Debug, clap::Args)]
pub struct QualityArguments {
    #[command(subcommand)]
    command: QualityCommand,
}

#[derive(Debug, Subcommand)]
enum QualityCommand {
    Run(RunArguments),
    Report(ReportArguments),
}

/// Run rules over the newest snapshot of a resource and record the report; findings open tickets with the provider
#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The resource: its id or its table name
    #[arg(value_name = "RESOURCE")]
    resource: String,
    /// A rule set as JSON or TOML [default: what the catalogue entry declares, a key that is complete and unique]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Who runs them: a handler of the provider or of the data authority
    #[arg(long, value_name = "LOGIN")]
    login: String,
    /// File whose first line is his password, `-` for stdin
    #[arg(long, value_name = "FILE", default_value = "-")]
    password_file: PathBuf,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Show the last quality report of a resource and its open tickets
#[derive(Debug, clap::Args)]
struct ReportArguments {
    /// The resource: its id or its table name
    #[arg(value_name = "RESOURCE")]
    resource: String,
    #[command(flatten)]
    node: NodeArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs or shows. Errors: no such resource; rules that are wrong; who may not.
pub async fn run(arguments: QualityArguments) -> Result<(), Failure> {
    match arguments.command {
        QualityCommand::Run(arguments) => measure(arguments).await,
        QualityCommand::Report(arguments) => report(arguments).await,
    }
}

async fn measure(arguments: RunArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let rules = arguments.rules.as_deref().map(read_rules).transpose()?;
    let password = password::read(&arguments.password_file)?;
    let app = node::open(&configuration, Access::Exclusive).await?;
    let resource = find(&app, &arguments.resource)?;
    let rules = match rules {
        Some(rules) => rules,
        None => declared_rules(&resource)?,
    };
    // The report stands in the journal in the name of whoever ran the rules, so he says who he is.
    let signed_in = app.sign_in(&arguments.login, &password).await?;
    let actor = Actor::User(signed_in.session.user.clone());
    let mut progress = |progress: lingqu_quality::Progress<'_>| {
        if let Some(rule) = progress.rule {
            output::tell(&format!("{}/{} {rule}", progress.rules_done, progress.rules));
        }
    };
    let outcome = app.run_quality(&actor, &resource.id, &rules, &mut progress).await;
    app.sign_out(&signed_in.token).await?;
    if outcome.is_ok() {
        show(&app, &resource, arguments.json)?;
    }
    app.close().await?;
    outcome?;
    Ok(())
}

async fn report(arguments: ReportArguments) -> Result<(), Failure> {
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let app = node::open(&configuration, Access::Reading).await?;
    let outcome = find(&app, &arguments.resource).and_then(|resource| show(&app, &resource, arguments.json));
    app.close().await?;
    outcome
}

/// The resource of an id or table name. Error: there is none.
pub fn find(app: &App, name: &str) -> Result<Resource, Failure> {
    let id = name.parse::<ResourceId>().ok();
    let found = app.read(|state| {
        let mut resources = state.resources.values().map(|entity| &entity.value);
        match &id {
            Some(id) => resources.find(|resource| resource.id == *id).cloned(),
            None => resources.find(|resource| resource.details.table.as_str() == name).cloned(),
        }
    });
    found.ok_or_else(|| Failure::NoSuchResource(name.to_owned()))
}

fn read_rules(path: &Path) -> Result<RuleSet, Failure> {
    let read = || -> std::io::Result<String> {
        if std::fs::metadata(path)?.len() > RULES_BYTES_MAX {
            return Err(std::io::Error::other(format!("it is larger than {RULES_BYTES_MAX} bytes, split it")));
        }
        std::fs::read_to_string(path)
    };
    let text = read().map_err(|error| Failure::file("read the rules", path, error))?;
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let rules = if is_toml {
        toml::from_str(&text).map_err(|error| error.to_string().replace('\n', " "))
    } else {
        serde_json::from_str(&text).map_err(|error| error.to_string())
    };
    rules.map_err(|problem| Failure::Mend(format!("{} is no rule set: {problem}; correct it", path.display())))
}

/// What the catalogue entry itself declares: the key's parts have values, and no two rows have the same key.
fn declared_rules(resource: &Resource) -> Result<RuleSet, Failure> {
    let table = resource.details.table.to_string();
    let key = &resource.details.key;
    if key.is_empty() {
        return Err(Failure::Mend(format!(
            "the catalogue entry of `{table}` declares no key, so it demands nothing by itself; name rules with --rules"
        )));
    }
    let rule = |id: &str, dimension, demand, sentence: &str, sentence_en: &str| Rule {
        id: format!("catalogue.{id}"),
        dimension,
        table: table.clone(),
        columns: key.clone(),
        severity: Severity::High,
        opens_ticket: true,
        sentence: sentence.to_owned(),
        sentence_en: sentence_en.to_owned(),
        demand,
        only_where: Vec::new(),
    };
    let rules = vec![
        rule(
            "key_complete",
            Dimension::Complete,
            Demand::NotNull,
            "编目声明的主键各项均有值",
            "every part of the declared key has a value",
        ),
        rule(
            "key_unique",
            Dimension::Accurate,
            Demand::Unique,
            "编目声明的主键不重复",
            "no two rows have the same declared key",
        ),
    ];
    Ok(RuleSet { name: "catalogue".to_owned(), version: "1".to_owned(), rules })
}

/// The last report as it is printed.
#[derive(Serialize)]
struct Shown {
    resource: String,
    table: String,
    nature: lingqu_domain::resource::Nature,
    report: String,
    recorded_at: String,
    snapshot: String,
    results: Vec<RuleResult>,
    open_tickets: Vec<OpenTicket>,
}

#[derive(Serialize)]
struct OpenTicket {
    ticket: String,
    rule: String,
    state: &'static str,
    due_on: String,
}

fn show(app: &App, resource: &Resource, is_json: bool) -> Result<(), Failure> {
    let Some(shown) = last_report(app, resource) else {
        return Err(Failure::Mend(format!(
            "`{}` has no quality report yet; make one with `lingqu quality run {}`",
            resource.details.table, resource.details.table
        )));
    };
    if is_json {
        return output::print_json(&shown);
    }
    let rows: Vec<Vec<String>> = shown
        .results
        .iter()
        .map(|result| {
            vec![
                result.failing_count.to_string(),
                result.checked_count.to_string(),
                result.dimension.clone(),
                result.rule.clone(),
                result.column.clone(),
                result.sentence.clone(),
            ]
        })
        .collect();
    let mut text = format!(
        "resource  {} ({})\nreport    {}, {}\nsnapshot  {}\n\n",
        shown.resource, shown.table, shown.report, shown.recorded_at, shown.snapshot
    );
    text.push_str(&output::table(&["failing", "checked", "dimension", "rule", "column", "demand"], &rows));
    if !shown.open_tickets.is_empty() {
        let rows: Vec<Vec<String>> = shown
            .open_tickets
            .iter()
            .map(|open| vec![open.ticket.clone(), open.state.to_owned(), open.due_on.clone(), open.rule.clone()])
            .collect();
        text.push('\n');
        text.push_str(&output::table(&["open ticket", "state", "due on", "rule"], &rows));
    }
    output::print(&text)
}

fn last_report(app: &App, resource: &Resource) -> Option<Shown> {
    app.read(|state| {
        let reports = state.quality_reports.values().filter(|report| report.value.resource == resource.id);
        let last = reports.max_by_key(|report| report.position)?;
        let QualityReport { id, snapshot, results, .. } = last.value.clone();
        let mut open_tickets = Vec::new();
        for ticket in state.tickets.values().map(|entity| &entity.value).filter(|ticket| ticket.resource == resource.id)
        {
            let state = match ticket.stage {
                TicketStage::Open => "open",
                TicketStage::Answered { .. } => "answered",
                TicketStage::Closed { .. } => continue,
            };
            open_tickets.push(OpenTicket {
                ticket: ticket.id.to_string(),
                rule: ticket.result.rule.clone(),
                state,
                due_on: ticket.deadline.on.to_string(),
            });
        }
        Some(Shown {
            resource: resource.id.to_string(),
            table: resource.details.table.to_string(),
            nature: resource.details.nature,
            report: id.to_string(),
            recorded_at: last.created_at.to_string(),
            snapshot: snapshot.to_string(),
            results,
            open_tickets,
        })
    })
}
