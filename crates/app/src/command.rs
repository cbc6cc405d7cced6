//! Giving commands: decide on the folded state, append with the versions of all that was read, fold back.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use lingqu_crypto::sha256;
use lingqu_domain::access::{self, Actor};
use lingqu_domain::command::Command;
use lingqu_domain::decide::{Context, Decision, decide};
use lingqu_domain::event::{Event, Recorded, canonical};
use lingqu_domain::id::CommandId;
use lingqu_domain::product::{ProductDetails, ProductShape};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::settlement::SettlementEvent;
use lingqu_domain::state::State;
use lingqu_ledger::Transaction;
use lingqu_store::AppendError;
use lingqu_store::consent::Consenting;
use lingqu_store::idempotency::Idempotency;
use lingqu_store::identity::NewLogin;
use lingqu_store::journal::{Append, Appended, NewRecord};
use lingqu_store::mark_share::MarkShare;
use lingqu_store::posting::NewPosting;
use lingqu_store::row::RowChange;
use lingqu_store::service_key::ServiceKeyChange;
use lingqu_store::vault::VaultItem;
use serde::{Deserialize, Serialize};

use crate::app::{App, next_versions};
use crate::error::AppError;
use crate::keys::random;

/// How often a command is decided anew when another writer was faster.
const ATTEMPTS_MAX: usize = 16;
/// How long a repeated request gets the same answer.
const IDEMPOTENCY_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How a command is given.
#[derive(Clone, Debug, Default)]
pub struct CommandOptions {
    /// The same key with the same command is carried out once.
    pub idempotency_key: Option<String>,
    /// Versions of streams that the user saw; the command is refused when one has moved.
    pub expected: Vec<(String, u64)>,
}

/// An event that a command led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutedEvent {
    /// The entity.
    pub stream: String,
    /// What happened, such as `mandate.suspended`.
    pub kind: String,
}

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// The command's id.
    pub command_id: String,
    /// What it led to.
    pub events: Vec<ExecutedEvent>,
    /// True when it had been carried out before under the same idempotency key.
    #[serde(default)]
    pub repeated: bool,
}

impl Executed {
    /// The entity of the first event of a kind. For use cases that know what their command makes.
    pub fn stream_of(&self, kind: &str) -> Option<&str> {
        self.events.iter().find(|event| event.kind == kind).map(|event| event.stream.as_str())
    }
}

/// What is written beside a command's events, in the same transaction.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) vault: Vec<VaultItem>,
    pub(crate) service_keys: Vec<ServiceKeyChange>,
    /// A login without its user id, which the command's events bring.
    pub(crate) login: Option<NewLogin>,
    /// Who consents by the command.
    pub(crate) consenting: Option<NewConsenting>,
    /// Shares of the keys that an order's copies are marked with.
    pub(crate) mark_shares: Vec<MarkShare>,
}

/// Subjects who consent by a command.
pub(crate) struct NewConsenting {
    pub(crate) subjects: Vec<String>,
    /// Whether they are the members of a batch, which the command's events bring.
    pub(crate) is_batch: bool,
}

impl App {
    /// Carries out a command of a client. Errors: the domain's refusal; `conflict` when a version that the user saw has
    /// moved; `not_permitted` for commands that only the node's own use cases give.
    pub async fn execute(
        &self,
        actor: &Actor,
        command: Command,
        options: CommandOptions,
    ) -> Result<Executed, AppError> {
        let is_internal = access::permission(command.name()).is_none_or(|permission| permission.internal);
        if is_internal {
            return Err(Refusal::not_permitted(
                command.name(),
                "此命令由节点在办理相应业务时给出，不能直接提交",
                "this command is given by the node itself when the matching work is done",
            )
            .into());
        }
        if matches!(command, Command::DraftProduct { .. } | Command::RevokeServiceKey { .. }) {
            // What is found out below tells nothing to somebody who may not give the command at all.
            self.must_be_within_duty(actor, &command)?;
        }
        let command = match command {
            Command::DraftProduct { details } => {
                // Before its shape is looked for, which takes permits that may have been suspended since.
                let asked = Command::DraftProduct { details: details.clone() };
                if let Some(earlier) = self.answered_before(actor, &asked, &options).await? {
                    return Ok(earlier);
                }
                let details = self.with_shape(*details).await?;
                let draft = Command::DraftProduct { details: details.clone() };
                // What is found in rows tells of them, so they are looked at only for a draft that the rights allow.
                self.must_be_accepted(actor, &draft)?;
                self.must_bear_marking(&details).await?;
                self.must_have_room_for_decoys(&details).await?;
                draft
            }
            other => other,
        };
        let extras = match &command {
            Command::RevokeServiceKey { order, key } => self.revocation(order, key)?,
            Command::EndOrder { order, .. } => Extras {
                service_keys: vec![ServiceKeyChange::RevokeAll { order_id: order.to_string() }],
                ..Extras::default()
            },
            _ => Extras::default(),
        };
        self.carry_out(actor, &command, options, extras).await
    }

    /// Refuses an actor whose party and duty the permission matrix does not name for the command. Whether the entity lets
    /// him is not asked. Error: `not_permitted` with the command as its subject.
    pub fn must_be_within_duty(&self, actor: &Actor, command: &Command) -> Result<(), Refusal> {
        let now = self.clock.now();
        let context = Context { now, actor: actor.clone(), command_id: trial_id() };
        match self.read(|state| decide(state, command, &context)) {
            Err(refusal) if refusal.code == RefusalCode::NotPermitted && refusal.subject == command.name() => {
                Err(refusal)
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What was answered when the command was carried out under the same idempotency key: decided again, it would meet the
    /// state that it made itself. Error: the key was used for another command.
    pub(crate) async fn answered_before(
        &self,
        actor: &Actor,
        command: &Command,
        options: &CommandOptions,
    ) -> Result<Option<Executed>, AppError> {
        let Some(key) = &options.idempotency_key else { return Ok(None) };
        let (name, digest) = (idempotency_name(actor, key)?, request_digest(command));
        let earlier = self.store.idempotent_response(&name, &digest, self.clock.now()).await?;
        earlier.map(|response| repeated(&response)).transpose()
    }

    /// Carries out a command with what is written beside it.
    pub(crate) async fn carry_out(
        &self,
        actor: &Actor,
        command: &Command,
        options: CommandOptions,
        extras: Extras,
    ) -> Result<Executed, AppError> {
        if let Some(earlier) = self.answered_before(actor, command, &options).await? {
            return Ok(earlier);
        }
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            attempts_left -= 1;
            self.catch_up().await?;
            let prepared = self.prepare(actor, command, &options, &extras)?;
            let executed = prepared.executed.clone();
            let appending = self.given_up.watch();
            match self.store.append(prepared.append).await {
                Ok(Appended::New { .. }) => {
                    self.catch_up().await?;
                    appending.folded();
                    return Ok(executed);
                }
                Ok(Appended::Repeated { response }) => {
                    appending.folded();
                    return repeated(&response);
                }
                // Another command was faster: what was read has moved, or was decided a moment later.
                Err(AppendError::Conflict { .. } | AppendError::ClockRanBack { .. }) if attempts_left > 0 => {
                    appending.folded();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn prepare(
        &self,
        actor: &Actor,
        command: &Command,
        options: &CommandOptions,
        extras: &Extras,
    ) -> Result<Prepared, AppError> {
        let now = self.clock.now();
        let command_id = CommandId::of_random(now, random()?);
        let context = Context { now, actor: actor.clone(), command_id: command_id.clone() };
        self.read(|state| {
            for (stream, expected) in &options.expected {
                let found = state.version(stream);
                if found != *expected {
                    return Err(AppError::Conflict { stream: stream.clone(), expected: *expected, found });
                }
            }
            let decision = decide(state, command, &context)?;
            let executed = Executed {
                command_id: command_id.to_string(),
                events: decision
                    .events
                    .iter()
                    .map(|event| ExecutedEvent { stream: event.stream.clone(), kind: event.event.kind() })
                    .collect(),
                repeated: false,
            };
            let append = append_of(state, decision, &context, command, options, extras, &executed)?;
            Ok(Prepared { append, executed })
        })
    }
}

struct Prepared {
    append: Append,
    executed: Executed,
}

fn append_of(
    state: &State,
    decision: Decision,
    context: &Context,
    command: &Command,
    options: &CommandOptions,
    extras: &Extras,
    executed: &Executed,
) -> Result<Append, AppError> {
    let streams: Vec<String> = decision.events.iter().map(|event| event.stream.clone()).collect();
    let versions = next_versions(state, &streams);
    let mut excerpt = state.excerpt(streams.iter().map(String::as_str));
    let mut postings = Vec::new();
    for (event, version) in decision.events.iter().zip(versions) {
        let recorded = Recorded {
            position: excerpt.position + 1,
            at: context.now.max(state.last_at.unwrap_or(context.now)),
            actor: context.actor.clone(),
            stream: event.stream.clone(),
            stream_version: version,
            event: event.event.clone(),
        };
        excerpt.apply(&recorded)?;
        postings.extend(postings_of(&event.stream, &event.event));
    }
    let mut rows = Vec::new();
    for stream in streams.iter().collect::<BTreeSet<_>>() {
        let row = excerpt.row(stream).ok_or_else(|| AppError::Fault(format!("{stream} has no row after its event")))?;
        rows.push(row_change(&row)?);
    }
    let mut records = Vec::new();
    for event in &decision.events {
        let body = serde_json::to_value(&event.event).map_err(|error| AppError::Fault(error.to_string()))?;
        records.push(NewRecord { stream: event.stream.clone(), kind: event.event.kind(), body });
    }
    let mut logins = Vec::new();
    if let Some(login) = &extras.login {
        let user = executed
            .events
            .iter()
            .find(|event| event.kind == "user.added")
            .ok_or_else(|| AppError::Fault("a login without a new user".to_owned()))?;
        logins.push(NewLogin { user_id: user.stream.clone(), ..login.clone() });
    }
    let mut consenting = Vec::new();
    if let Some(NewConsenting { subjects, is_batch }) = &extras.consenting {
        let batch = executed.stream_of("consent_batch.recorded").map(str::to_owned);
        if batch.is_some() != *is_batch {
            return Err(AppError::Fault("the members of a batch without the batch".to_owned()));
        }
        consenting.push(Consenting { batch, subjects: subjects.clone() });
    }
    let rulebook = excerpt_rulebook_version(state);
    Ok(Append {
        command_id: context.command_id.to_string(),
        actor: context.actor.to_string(),
        at: context.now.to_string(),
        rulebook_version: rulebook,
        reads: decision.reads.into_iter().collect(),
        records,
        rows,
        postings,
        vault: extras.vault.clone(),
        consenting,
        logins,
        service_keys: extras.service_keys.clone(),
        mark_shares: extras.mark_shares.clone(),
        idempotency: idempotency_of(context, command, options, executed)?,
    })
}

/// The id under which commands are tried; nothing made with it is ever kept.
fn trial_id() -> CommandId {
    "cmd_00000000000000000000000000000000".parse().expect("32 hexadecimal digits after the prefix")
}

/// Rulebook and calendar version of a decision.
fn excerpt_rulebook_version(state: &State) -> String {
    let rulebook = state.rulebook();
    format!("{}/{}", rulebook.version, rulebook.calendar.version)
}

/// An idempotency key with its owner in front, so that nobody meets another's.
fn idempotency_name(actor: &Actor, key: &str) -> Result<String, AppError> {
    if key.is_empty() || key.len() > 200 {
        return Err(AppError::Invalid("an idempotency key has 1 to 200 characters".to_owned()));
    }
    Ok(format!("{actor}/{key}"))
}

/// Digest of what was asked for. What the node puts in itself is no part of it: the hash of a new service key, another one each
/// time, and the shape of a product.
fn request_digest(command: &Command) -> [u8; 32] {
    let asked = match command {
        Command::IssueServiceKey { order, .. } => {
            canonical(&Command::IssueServiceKey { order: order.clone(), hash: String::new() })
        }
        Command::DraftProduct { details } => {
            let details = ProductDetails { shape: ProductShape::default(), ..(**details).clone() };
            canonical(&Command::DraftProduct { details: Box::new(details) })
        }
        _ => canonical(command),
    };
    sha256(asked.as_bytes()).0
}

/// The answer that was given before under the same idempotency key.
fn repeated(response: &str) -> Result<Executed, AppError> {
    let earlier: Executed = serde_json::from_str(response)
        .map_err(|error| AppError::Fault(format!("a remembered answer can't be read: {error}")))?;
    Ok(Executed { repeated: true, ..earlier })
}

fn idempotency_of(
    context: &Context,
    command: &Command,
    options: &CommandOptions,
    executed: &Executed,
) -> Result<Option<Idempotency>, AppError> {
    let Some(key) = &options.idempotency_key else { return Ok(None) };
    Ok(Some(Idempotency {
        key: idempotency_name(&context.actor, key)?,
        request_digest: request_digest(command),
        response: canonical(executed),
        expires_at: context.now.checked_add(IDEMPOTENCY_KEPT).unwrap_or(Timestamp::MAX),
    }))
}

/// A row of the domain's projection in the store's form.
pub(crate) fn row_change(row: &lingqu_domain::state::Row) -> Result<RowChange, AppError> {
    let body = serde_json::from_str(&row.body).map_err(|error| AppError::Fault(error.to_string()))?;
    Ok(RowChange {
        table: row.kind.table().to_owned(),
        id: row.id.clone(),
        stream_version: row.stream_version,
        state: row.state.clone(),
        title: row.title.clone(),
        owner: row.owner.clone(),
        created_at: row.created_at.to_string(),
        updated_at: row.updated_at.to_string(),
        body,
    })
}

/// The ledger lines of an event.
pub(crate) fn postings_of(stream: &str, event: &Event) -> Vec<NewPosting> {
    let transactions: Vec<&Transaction> = match event {
        Event::Settlement(
            SettlementEvent::Closed { transactions, .. } | SettlementEvent::Reversed { transactions, .. },
        ) => transactions.iter().collect(),
        Event::Settlement(SettlementEvent::VoucherRecorded { transaction, .. }) => vec![transaction],
        _ => Vec::new(),
    };
    let mut postings = Vec::new();
    for transaction in transactions {
        // A fee's transaction is named `<settlement>/<order>`.
        let order_id = transaction.id().split('/').nth(1).filter(|part| part.starts_with("ord_"));
        for (line, posting) in transaction.postings().iter().enumerate() {
            let (debit_fen, credit_fen) = match posting.side {
                lingqu_ledger::Side::Debit => (posting.amount.0, 0),
                lingqu_ledger::Side::Credit => (0, posting.amount.0),
            };
            postings.push(NewPosting {
                transaction_id: transaction.id().to_owned(),
                line: line as u64,
                account: posting.account.code.as_str().to_owned(),
                owner: posting.account.owner.clone(),
                debit_fen,
                credit_fen,
                memo: transaction.memo().to_owned(),
                settlement: Some(stream.to_owned()),
                order_id: order_id.map(str::to_owned),
            });
        }
    }
    postings
}
