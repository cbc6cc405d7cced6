//! Which commands a user could give on an entity now, and why not the others: each is tried on the folded state, so the
//! console offers exactly what `decide` would accept and shows the domain's own sentence where it would not.

use jiff::SignedDuration;
use lingqu_domain::access::{Duty, permission};
use lingqu_domain::command::Command;
use lingqu_domain::decide::{Context, decide};
use lingqu_domain::id::{CommandId, ProductId};
use lingqu_domain::order::{OrderDetails, Quota};
use lingqu_domain::party::Role;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::scope::{Mode, Purpose, Scope, Term};
use lingqu_domain::state::State;
use lingqu_domain::supply::SupplyStage;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::session::Viewer;
use crate::visibility::Sight;

/// A command on an entity: what to send, what to ask the user for, and whether it may be given now.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandChoice {
    /// The command's name.
    pub(crate) command: String,
    /// Whether it would be accepted now.
    pub(crate) allowed: bool,
    /// The body for `POST /api/v1/commands`, but for the inputs.
    #[schema(value_type = Object)]
    form: Value,
    /// What the user adds.
    inputs: Vec<CommandInput>,
    /// Roles of which the user's party needs one; empty: any.
    roles: Vec<Role>,
    /// Duties of which the user needs one; empty: any.
    duties: Vec<Duty>,
    /// Why not, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Why not, in Chinese.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Why not, in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_en: Option<String>,
}

/// A field that the user fills in.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandInput {
    /// The field's name.
    name: String,
    /// What is typed: `text`, `yuan` (a decimal) or `flag`.
    kind: String,
    /// What stands there at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// A command whose form is small enough for a button: its name, the kind of entity by prefix, the field that names the
/// entity, and the texts that it asks for.
struct Offer {
    command: &'static str,
    prefix: &'static str,
    target: &'static str,
    texts: &'static [&'static str],
}

const fn offer(
    command: &'static str,
    prefix: &'static str,
    target: &'static str,
    texts: &'static [&'static str],
) -> Offer {
    Offer { command, prefix, target, texts }
}

const REASON: &[&str] = &["reason"];
/// Term and calls of the draft of an order.
const DRAFT_TERM: SignedDuration = SignedDuration::from_hours(365 * 24);
const DRAFT_CALLS: u64 = 1_000;
/// The privacy budget that a person begins from, where there is none.
const DRAFT_BUDGET: &str = "1";

/// In the order in which an entity meets them. Larger drafts are made by programs.
const OFFERS: &[Offer] = &[
    offer("disable_user", "usr_", "user", &[]),
    offer("sign_resource", "res_", "resource", &[]),
    offer("request_supply", "res_", "resource", &["need"]),
    offer("answer_ticket", "tkt_", "ticket", &["answer"]),
    offer("close_ticket", "tkt_", "ticket", &["verification"]),
    offer("accept_registration", "reg_", "registration", &[]),
    offer("return_registration", "reg_", "registration", &["missing"]),
    offer("review_registration", "reg_", "registration", &[]),
    offer("certify_registration", "reg_", "registration", &[]),
    offer("confirm_supply", "sup_", "supply", &[]),
    offer("refuse_supply", "sup_", "supply", &["basis"]),
    offer("withdraw_supply", "sup_", "supply", REASON),
    offer("set_privacy_budget", "sup_", "supply", REASON),
    offer("submit_plan", "pln_", "plan", &["minutes"]),
    offer("approve_plan", "pln_", "plan", &["document"]),
    offer("return_plan", "pln_", "plan", REASON),
    offer("approve_mandate", "mdt_", "mandate", &[]),
    offer("sign_agreement", "mdt_", "mandate", &[]),
    offer("suspend_mandate", "mdt_", "mandate", REASON),
    offer("resume_mandate", "mdt_", "mandate", REASON),
    offer("revoke_mandate", "mdt_", "mandate", REASON),
    offer("confirm_permit", "pmt_", "permit", &[]),
    offer("give_opinion", "pmt_", "permit", &["text"]),
    offer("approve_permit", "pmt_", "permit", &[]),
    offer("refuse_permit", "pmt_", "permit", REASON),
    offer("suspend_permit", "pmt_", "permit", REASON),
    offer("resume_permit", "pmt_", "permit", REASON),
    offer("review_product_output", "prd_", "product", &["findings"]),
    offer("list_product", "prd_", "product", &[]),
    offer("delist_product", "prd_", "product", REASON),
    offer("sign_contract", "ord_", "order", &[]),
    // Given at an address of its own, which shows the key.
    offer("issue_service_key", "ord_", "order", &[]),
    offer("renew_mark_keys", "ord_", "order", REASON),
    offer("suspend_order", "ord_", "order", REASON),
    offer("resume_order", "ord_", "order", REASON),
    offer("end_order", "ord_", "order", REASON),
    offer("agree_meter_correction", "mtr_", "meter", &[]),
    offer("confirm_settlement", "stl_", "settlement", &[]),
    offer("reverse_settlement", "stl_", "settlement", REASON),
    offer("record_voucher", "stl_", "settlement", &["number"]),
];

/// The commands on an entity, tried for a viewer.
pub(crate) fn choices(state: &State, viewer: &Viewer, now: jiff::Timestamp, entity: &str) -> Vec<CommandChoice> {
    let context = Context { now, actor: viewer.actor(), command_id: trial_id() };
    let mut choices = Vec::new();
    for offer in OFFERS.iter().filter(|offer| entity.starts_with(offer.prefix)) {
        let form = form_of(state, offer, entity);
        let inputs = inputs_of(state, viewer, offer, entity);
        let mut trial = form.clone();
        for input in &inputs {
            trial[&input.name] = match input.kind.as_str() {
                "flag" => true.into(),
                _ => input.value.clone().unwrap_or_else(|| "…".to_owned()).into(),
            };
        }
        let Ok(command) = serde_json::from_value::<Command>(trial) else { continue };
        let refusal = decide(state, &command, &context).err();
        choices.push(choice(offer.command, form, inputs, refusal));
    }
    choices
}

fn choice(command: &str, form: Value, inputs: Vec<CommandInput>, refusal: Option<Refusal>) -> CommandChoice {
    let (roles, duties) = permission(command)
        .map(|permission| (permission.roles.to_vec(), permission.duties.to_vec()))
        .unwrap_or_default();
    CommandChoice {
        command: command.to_owned(),
        allowed: refusal.is_none(),
        roles,
        duties,
        form,
        inputs,
        code: refusal.as_ref().map(|refusal| refusal.code.code().to_owned()),
        reason: refusal.as_ref().map(|refusal| refusal.zh.clone()),
        reason_en: refusal.map(|refusal| refusal.en),
    }
}

/// Placing an order for a product, tried with a draft that a person begins from: the product's first purpose, the modes by
/// which answers leave, a year or what is left of the product's term, and a round quota.
pub(crate) fn order_choice(
    sight: &Sight<'_>,
    product: &ProductId,
    scope: &Scope,
    now: jiff::Timestamp,
) -> CommandChoice {
    let mut modes = scope.modes.clone();
    modes.remove(&Mode::Compute);
    let year = now.checked_add(DRAFT_TERM).unwrap_or(scope.term.until);
    let details = OrderDetails {
        product: product.clone(),
        purpose: scope.purposes.first().cloned().unwrap_or_else(|| Purpose(String::new())),
        quota: Quota { calls: DRAFT_CALLS, data_sets: u64::from(modes.contains(&Mode::File)), ..Quota::default() },
        modes,
        term: Term { from: now.max(scope.term.from), until: year.min(scope.term.until) },
    };
    let command = Command::PlaceOrder { details: Box::new(details) };
    let context = Context { now, actor: sight.viewer.actor(), command_id: trial_id() };
    let refusal = decide(sight.state, &command, &context).err();
    let form = serde_json::to_value(&command).expect("a command is texts, numbers, lists and maps with text keys");
    choice(command.name(), form, Vec::new(), refusal)
}

/// Commands that break off, undo or begin something new: there for whoever holds the duty, but nobody waits for them.
const EXCEPTIONAL: [&str; 12] = [
    "disable_user",
    "request_supply",
    "issue_service_key",
    "withdraw_supply",
    "set_privacy_budget",
    "suspend_mandate",
    "revoke_mandate",
    "suspend_permit",
    "delist_product",
    "suspend_order",
    "end_order",
    "reverse_settlement",
];

/// True when the command is a next step that the viewer could take now.
pub(crate) fn is_due(choice: &CommandChoice) -> bool {
    choice.allowed && !EXCEPTIONAL.contains(&choice.command.as_str())
}

/// True when the command is within the viewer's duty, whether or not it may be given now.
pub(crate) fn is_of_his_duty(choice: &CommandChoice) -> bool {
    choice.allowed || choice.code.as_deref() != Some(RefusalCode::NotPermitted.code())
}

/// What is sent besides the inputs.
fn form_of(state: &State, offer: &Offer, entity: &str) -> Value {
    let mut form = json!({ "command": offer.command, offer.target: entity });
    match offer.command {
        // The button confirms the whole of what the resource allows; less than that is confirmed by a program.
        "confirm_supply" => form["narrowing"] = json!({}),
        "sign_contract" => {
            let order = entity.parse().ok().and_then(|id| state.orders.get(&id));
            form["terms_digest"] = order.map(|order| order.value.contract.terms_digest.clone()).into();
        }
        "agree_meter_correction" => {
            let meter = entity.parse().ok().and_then(|id| state.meters.get(&id));
            let proposal = meter.and_then(|meter| meter.value.proposal.as_ref());
            form["calls"] = proposal.map_or(0, |proposal| proposal.calls).into();
            form["data_sets"] = proposal.map_or(0, |proposal| proposal.data_sets).into();
        }
        _ => {}
    }
    form
}

fn inputs_of(state: &State, viewer: &Viewer, offer: &Offer, entity: &str) -> Vec<CommandInput> {
    let mut inputs = Vec::new();
    for name in offer.texts {
        inputs.push(CommandInput { name: (*name).to_owned(), kind: "text".to_owned(), value: None });
    }
    match offer.command {
        "give_opinion" => {
            inputs.push(CommandInput { name: "agrees".to_owned(), kind: "flag".to_owned(), value: None });
        }
        "set_privacy_budget" => {
            let supply = entity.parse().ok().and_then(|id| state.supplies.get(&id));
            let budget = supply.and_then(|supply| match &supply.value.stage {
                SupplyStage::Confirmed { narrowing, .. } => narrowing.privacy_budget,
                _ => None,
            });
            let value = budget.map_or_else(|| DRAFT_BUDGET.to_owned(), |budget| budget.rho.to_string());
            inputs.insert(0, CommandInput { name: "rho".to_owned(), kind: "text".to_owned(), value: Some(value) });
        }
        "record_voucher" => {
            let due = entity.parse().ok().and_then(|id| {
                let settlement = &state.settlements.get(&id)?.value;
                settlement.due.get(&viewer.session.party)?;
                Some(settlement.outstanding(&viewer.session.party))
            });
            let value = due.map(|due| due.to_string());
            inputs.push(CommandInput { name: "amount".to_owned(), kind: "yuan".to_owned(), value });
        }
        _ => {}
    }
    inputs
}

/// The id under which commands are tried; nothing made with it is ever kept.
fn trial_id() -> CommandId {
    "cmd_00000000000000000000000000000000".parse().expect("32 hexadecimal digits after the prefix")
}
