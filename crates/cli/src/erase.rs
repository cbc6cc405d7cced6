//! `lingqu erase`: what answers a person's demand that his data be erased (PIPL art. 47).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use lingqu_app::{App, AppError, ErasureView};
use lingqu_domain::access::Actor;
use lingqu_domain::erasure::Erasable;
use lingqu_domain::id::{ReceiptId, SubjectId};
use zeroize::Zeroizing;

use crate::config::NodeArguments;
use crate::failure::Failure;
use crate::node::{self, Access};
use crate::{output, password, telemetry};

/// Longest file that holds an identity, in bytes.
const IDENTITY_BYTES_MAX: u64 = 4_096;

/// Erase personal data for good: what was asked of a delivery, or who a data subject is
#[derive(Debug, clap::Args)]
pub struct EraseArguments {
    #[command(subcommand)]
    command: EraseCommand,
}

#[derive(Debug, Subcommand)]
enum EraseCommand {
    Request(RequestArguments),
    Subject(SubjectArguments),
}

/// Erase what was asked of a delivery: claim, key or statement, with its salt; receipt and log stay
#[derive(Debug, clap::Args)]
struct RequestArguments {
    /// The delivery's receipt (rcp_…)
    #[arg(value_name = "RECEIPT")]
    receipt: String,
    #[command(flatten)]
    erasing: ErasingArguments,
}

/// Erase who a data subject is: his consents are withdrawn, and nobody finds him by his identity any more
#[derive(Debug, clap::Args)]
struct SubjectArguments {
    /// The subject as the journal names him (sub_…)
    #[arg(value_name = "SUBJECT", required_unless_present = "identity_file", conflicts_with = "identity_file")]
    subject: Option<String>,
    /// File whose first line is the identity that he consented with, such as an id number
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
    #[command(flatten)]
    erasing: ErasingArguments,
}

#[derive(Debug, clap::Args)]
struct ErasingArguments {
    /// Why, without personal data: it stays in the journal for good
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who has it erased: an approver of the data authority
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

/// What is to be erased, as it was named.
enum Named {
    Request(ReceiptId),
    Subject(SubjectId),
    Identity(Zeroizing<String>),
}

/// Erases. Errors: nothing of this name; who may not; another process has the node.
pub async fn run(arguments: EraseArguments) -> Result<(), Failure> {
    let (named, arguments) = match arguments.command {
        EraseCommand::Request(RequestArguments { receipt, erasing }) => (Named::Request(id(&receipt)?), erasing),
        EraseCommand::Subject(SubjectArguments { subject, identity_file, erasing }) => {
            (subject_named(subject.as_deref(), identity_file.as_deref())?, erasing)
        }
    };
    let configuration = arguments.node.configuration()?;
    telemetry::start("warn", configuration.log_format)?;
    let password = password::read(&arguments.password_file)?;
    let app = node::open(&configuration, Access::Exclusive).await?;
    let outcome = erase(&app, &named, &arguments, &password).await;
    app.close().await?;
    show(&outcome?, arguments.json)
}

fn subject_named(subject: Option<&str>, identity_file: Option<&Path>) -> Result<Named, Failure> {
    match (subject, identity_file) {
        (Some(subject), _) => id(subject).map(Named::Subject),
        (None, Some(path)) => read_identity(path).map(Named::Identity),
        (None, None) => Err(Failure::Mend("name a subject, or his identity with --identity-file".to_owned())),
    }
}

fn id<T: std::str::FromStr<Err = lingqu_domain::id::BadId>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: lingqu_domain::id::BadId| Failure::Mend(format!("{error}; check it")))
}

/// An identity is never an argument, which other users of the machine can see and the shell remembers.
fn read_identity(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path).and_then(|file| file.take(IDENTITY_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| Failure::file("read the identity from", path, error))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(Failure::Mend(format!("the first line of {} is empty; write the identity there", path.display())));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

async fn erase(
    app: &App,
    named: &Named,
    arguments: &ErasingArguments,
    password: &str,
) -> Result<ErasureView, AppError> {
    // The record stands in the journal in the name of whoever has it erased, so he says who he is.
    let signed_in = app.sign_in(&arguments.login, password).await?;
    let actor = Actor::User(signed_in.session.user.clone());
    let outcome = match named {
        Named::Request(receipt) => app.erase_request(&actor, receipt, &arguments.why).await,
        Named::Subject(subject) => app.erase_subject(&actor, subject, &arguments.why).await,
        Named::Identity(identity) => erase_identity(app, &actor, identity, &arguments.why).await,
    };
    app.sign_out(&signed_in.token).await?;
    outcome
}

async fn erase_identity(app: &App, actor: &Actor, identity: &str, why: &str) -> Result<ErasureView, AppError> {
    let subject = app.subject_of(actor, identity).await?;
    app.erase_subject(actor, &subject, why).await
}

fn show(erased: &ErasureView, is_json: bool) -> Result<(), Failure> {
    if is_json {
        return output::print_json(erased);
    }
    let (what, consents) = match &erased.object {
        Erasable::Request(_) => ("the request of", String::new()),
        Erasable::Subject(_) => ("the subject", format!("withdrawn  {} consents\n", erased.consents_withdrawn)),
    };
    let before = if erased.repeated { ", and not for the first time" } else { "" };
    output::print(&format!(
        "erased     {what} {}{before}\nrecorded   {} at {}\nby         {}\nwhy        {}\n{consents}",
        erased.object.as_str(),
        erased.erasure,
        erased.recorded_at,
        erased.by,
        output::plain(&erased.reason, 4_096)
    ))
}
