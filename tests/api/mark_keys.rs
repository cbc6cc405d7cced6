//! The keys that an order's copies are marked with: asked for, given by the auditor alone, committed to before anything leaves.

use std::collections::BTreeSet;

use lingqu_app::RegulatorHalf;
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, PermitId};
use lingqu_domain::marking::{Carrier, Keeps, Member};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_tests::scenario::{Ordered, PERSON_CHECK, Scenario, TRIP_MARKED, Who};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::client::Served;

/// A served node with a marked product and an order of it that has no keys yet.
async fn served() -> (Served, Ordered) {
    let served = Served::of(Scenario::open_marked(200).await).await;
    let order = served.scenario.order(Who::Second, TRIP_MARKED, &[Mode::Rows, Mode::Lookup], (100, 10)).await;
    (served, order)
}

fn path(order: &OrderId, rest: &str) -> String {
    format!("/api/v1/orders/{order}/{rest}")
}

/// The answer of a half to a request, as `lingqu regulator share` writes it.
fn answer(half: &str, request: &Value) -> Value {
    let half = RegulatorHalf::read(half).unwrap();
    let request = serde_json::from_value(request.clone()).unwrap();
    serde_json::to_value(half.answer(request)).unwrap()
}

fn half() -> String {
    RegulatorHalf::generate().unwrap().to_string()
}

#[tokio::test]
async fn nothing_marked_leaves_before_the_auditor_gave_its_shares() {
    let (served, order) = served().await;
    let app = &served.scenario.app;
    let refused = app.serving(&order.key).await.unwrap_err();
    assert_eq!(refused.problem().code, "mark_keys_missing", "{refused}");
    assert_eq!(app.fingerprint_keys(&order.id).await.unwrap_err().problem().code, "mark_keys_missing");

    let auditor = served.sign_in("chief10").await;
    let request = auditor.get(&path(&order.id, "key-request")).await;
    assert_eq!(request.status, 200, "{}", request.text);
    assert_eq!(request.json()["consumer"], served.scenario.party(Who::Second).as_str());
    let shares = answer(&half(), &request.json());

    // Another consumer does not learn of the order; whoever may see it and is no auditor may not give shares.
    let stranger = served.sign_in("clerk8").await;
    assert_eq!(stranger.post(&path(&order.id, "key-shares"), &shares).await.problem().0, 404);
    for login in ["chief9", "chief3", "clerk10", "chief0"] {
        let client = served.sign_in(login).await;
        let reply = client.post(&path(&order.id, "key-shares"), &shares).await;
        assert_eq!(reply.problem(), (403, "not_permitted".to_owned()), "{login}");
    }
    // The command itself is not taken from anybody: the node makes the commitments.
    let commitment = format!("{}:{}", "00".repeat(32), "00".repeat(32));
    let command = json!({ "command": "give_key_shares", "order": order.id.to_string(), "commitments": {
        "epoch": 0, "profile": "aes-sha256", "positions": commitment, "recipient": commitment, "order": commitment } });
    assert_eq!(auditor.post("/api/v1/commands", &command).await.problem(), (403, "not_permitted".to_owned()));

    let given = auditor.post(&path(&order.id, "key-shares"), &shares).await;
    assert_eq!(given.status, 200, "{}", given.text);
    // What was committed to stands in the journal; shares and keys stand nowhere.
    let shown = auditor.get(&format!("/api/v1/orders/{}", order.id)).await;
    assert_eq!(shown.json()["body"]["mark_keys"]["commitments"], given.json());
    let journal = auditor.get(&format!("/api/v1/journal?stream={}", order.id)).await;
    assert!(journal.text.contains("mark_keys_committed"), "{}", journal.text);
    let keys = app.marked_product(served.scenario.product(TRIP_MARKED)).await.unwrap().unwrap();
    let secrets = ["positions", "recipient", "order"].map(|part| shares[part].as_str().unwrap().to_owned());
    for text in [&shown.text, &journal.text, &given.text] {
        for secret in secrets.iter().chain([&hex(keys.positions.key.as_bytes()), &keys.positions.salt.to_string()]) {
            assert!(!text.contains(secret.as_str()));
        }
    }
    app.serving(&order.key).await.unwrap();

    // The same shares once more change nothing; others are refused.
    let position = app.read(|state| state.position);
    let again = auditor.post(&path(&order.id, "key-shares"), &shares).await;
    assert_eq!((again.status, again.json()), (200, given.json()));
    let other = answer(&half(), &request.json());
    assert_eq!(auditor.post(&path(&order.id, "key-shares"), &other).await.problem(), (422, "invalid".to_owned()));
    assert_eq!(app.read(|state| state.position), position);
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
    assert_eq!(report.mark_keys, 3);
}

/// The auditor ends codes that were disclosed by a command that anybody may send and only it may give; what it is asked next is
/// for the next epoch.
#[tokio::test]
async fn the_auditor_renews_keys_and_is_asked_for_the_next_epoch() {
    let (served, order) = served().await;
    let app = &served.scenario.app;
    served.scenario.give_key_shares(&order.id).await;
    let first = app.fingerprint_keys(&order.id).await.unwrap().unwrap();
    let auditor = served.sign_in("chief10").await;
    let request = auditor.get(&path(&order.id, "key-request")).await.json();
    assert_eq!(request.get("code_epoch"), None, "of the first epoch nothing is said");

    let command = json!({ "command": "renew_mark_keys", "order": order.id.to_string(), "reason": "案件公开" });
    for login in ["chief9", "chief3", "clerk10", "chief0"] {
        let client = served.sign_in(login).await;
        let reply = client.post("/api/v1/commands", &command).await;
        assert_eq!(reply.problem(), (403, "not_permitted".to_owned()), "{login}");
    }
    let given = auditor.post("/api/v1/commands", &command).await;
    assert_eq!(given.status, 200, "{}", given.text);
    assert_eq!(app.serving(&order.key).await.unwrap_err().problem().code, "mark_keys_missing");
    let journal = auditor.get(&format!("/api/v1/journal?stream={}", order.id)).await;
    assert!(journal.text.contains("mark_keys_renewed"), "{}", journal.text);

    let request = auditor.get(&path(&order.id, "key-request")).await.json();
    assert_eq!(request["code_epoch"], json!(1));
    let half = half();
    // An answer to the old request is none, nor is one by another half: the positions stay where they are.
    let mut old = request.clone();
    old.as_object_mut().unwrap().remove("code_epoch");
    for shares in [answer(&half, &old), answer(&half, &request)] {
        let refused = auditor.post(&path(&order.id, "key-shares"), &shares).await;
        assert_eq!(refused.problem(), (422, "invalid".to_owned()));
    }
    served.scenario.give_key_shares(&order.id).await;
    let second = app.fingerprint_keys(&order.id).await.unwrap().unwrap();
    assert_ne!(first.code_id, second.code_id);
    assert_eq!((first.code_epoch, second.code_epoch), (0, 1));
    app.serving(&order.key).await.unwrap();
    // A trace has both, with the positions of one key.
    let marked = app.marked_product(served.scenario.product(TRIP_MARKED)).await.unwrap().unwrap();
    let epochs: Vec<u32> = marked.orders.iter().map(|order| order.code_epoch).collect();
    assert_eq!(epochs, [0, 1]);
    assert_ne!(marked.orders[0].recipient_key.key.as_bytes(), marked.orders[1].recipient_key.key.as_bytes());
    assert_ne!(marked.orders[0].order_key.key.as_bytes(), marked.orders[1].order_key.key.as_bytes());
    let shown = auditor.get(&format!("/api/v1/orders/{}", order.id)).await.json();
    let of = |commitments: &Value| commitments["positions"].as_str().unwrap().to_owned();
    let body = &shown["body"];
    assert_eq!(of(&body["mark_keys"]["commitments"]), of(&body["mark_keys_before"][0]["commitments"]));
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
    assert_eq!(report.mark_keys, 6);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn shares_of_something_else_are_refused() {
    let (served, order) = served().await;
    let auditor = served.sign_in("chief10").await;
    let request = auditor.get(&path(&order.id, "key-request")).await.json();
    let half = half();
    // An exact order asks for nothing.
    let exact = auditor.get(&path(&served.order.id, "key-request")).await;
    assert_eq!(exact.problem(), (409, "wrong_state".to_owned()));
    for (part, value) in [
        ("consumer", json!(served.scenario.party(Who::First).as_str())),
        ("epoch", json!(1)),
        ("profile", json!("sm4-sm3")),
    ] {
        let mut changed = request.clone();
        changed[part] = value;
        let reply = auditor.post(&path(&order.id, "key-shares"), &answer(&half, &changed)).await;
        assert_eq!(reply.problem(), (422, "invalid".to_owned()), "{part}");
    }
    let mut short = answer(&half, &request);
    short["order"] = json!("00");
    assert_eq!(auditor.post(&path(&order.id, "key-shares"), &short).await.problem(), (422, "invalid".to_owned()));
    // Under another order's address nothing is taken.
    let other = auditor.post(&path(&served.order.id, "key-shares"), &answer(&half, &request)).await;
    assert_eq!(other.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_consumer_has_one_code_and_each_order_its_own() {
    let (served, first) = served().await;
    let scenario = &served.scenario;
    let modes = [Mode::Rows];
    scenario.give_key_shares(&first.id).await;
    // The first consumer's verification of exact trips is in the way.
    let end = Command::EndOrder { order: served.order.id.clone(), reason: "改订".to_owned() };
    scenario.act(scenario.chief(Who::First), end).await;
    let second = scenario.order_marked(Who::Second, &modes).await;
    let third = scenario.order_marked(Who::First, &modes).await;
    let product = scenario.product(TRIP_MARKED);
    assert_eq!(scenario.app.marked_products(), std::slice::from_ref(product));
    let marked = scenario.app.marked_product(product).await.unwrap().unwrap();
    let of = |order: &OrderId| marked.orders.iter().find(|marked| marked.order == *order).unwrap();
    let recipient = |order: &OrderId| *of(order).recipient_key.key.as_bytes();
    let own = |order: &OrderId| *of(order).order_key.key.as_bytes();
    assert_eq!(marked.orders.len(), 3);
    assert_eq!(recipient(&first.id), recipient(&second.id));
    assert_ne!(recipient(&first.id), recipient(&third.id));
    assert_ne!(own(&first.id), own(&second.id));
    assert_ne!(own(&first.id), recipient(&first.id));
    assert!(marked.orders.iter().all(|order| order.holder == *scenario.party(Who::Auditor)));
    // The id of a code is the same as long as the keys are, and another for each order.
    let mut ids = Vec::new();
    for order in [&first, &first, &second, &third] {
        ids.push(scenario.app.fingerprint_keys(&order.id).await.unwrap().unwrap().code_id.clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert!(ids[1] != ids[2] && ids[2] != ids[3] && ids[1] != ids[3]);
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    // An order that grants no values has no marks.
    let exact = scenario.app.fingerprint_keys(&served.order.id).await.unwrap();
    assert!(exact.is_none());
}

/// A marking that takes apart what the data ties together is refused when the product is drafted, and named.
#[tokio::test]
async fn a_tie_in_the_data_is_named_in_one_mark() {
    let scenario = Scenario::open_marked(200).await;
    let product = scenario.product(TRIP_MARKED);
    let mut details = scenario.app.read(|state| state.products[product].value.details.clone());
    details.table = ColumnName::new("trip_tied").unwrap();
    details.sql = "SELECT trip_id, line, day, delay, delay AS again FROM trips".to_owned();
    let draft = |details: &ProductDetails| Command::DraftProduct { details: Box::new(details.clone()) };
    let operator = scenario.clerk(Who::Operator);
    let refused = scenario.app.execute(operator, draft(&details), Default::default()).await.unwrap_err();
    let problem = refused.problem();
    assert_eq!(problem.code, "invalid");
    assert!(refused.to_string().contains("again comes from the same source"), "{refused}");
    // Of other sources what hangs together is seen in the rows alone: among the first hundred the delay is the number.
    let numbered = ProductDetails {
        sql: "SELECT trip_id, line, day, delay FROM trips WHERE trip_id < 120".to_owned(),
        ..details.clone()
    };
    let refused = scenario.app.execute(operator, draft(&numbered), Default::default()).await.unwrap_err();
    assert_eq!(refused.problem().code, "invalid");
    assert!(refused.to_string().contains("trip_id"), "{refused}");
    let marking = details.marking.as_mut().unwrap();
    let Carrier::Number { members, .. } = &mut marking.marks[0].carrier else { panic!("delays are numbers") };
    members.push(Member { column: ColumnName::new("again").unwrap(), ..members[0].clone() });
    scenario.app.execute(operator, draft(&details), Default::default()).await.unwrap();
    // What could be marked is found in resources and products alike.
    for name in ["trips", TRIP_MARKED] {
        let proposal = scenario.app.propose_marking(name).await.unwrap();
        assert_eq!((proposal.rows, proposal.table.as_str()), (200, name));
        let found = format!("{:?}", proposal.findings);
        assert!(found.contains("\"delay\""), "{found}");
    }
    // Of persons nothing is told but which columns they are, in what is made of them too.
    for (name, columns) in [("people", &["id_number", "name", "points"][..]), (PERSON_CHECK, &["id_number"][..])] {
        let proposal = scenario.app.propose_marking(name).await.unwrap();
        assert!(proposal.findings.is_empty(), "{proposal:?}");
        assert!(columns.iter().all(|column| proposal.personal.iter().any(|found| found == column)), "{proposal:?}");
    }
    assert_eq!(scenario.app.propose_marking("nothing").await.unwrap_err().problem().code, "not_found");
}

/// What the look at a draft's rows tells is of those that its permit allows: of the trips and columns beyond it nothing is found, and
/// what holds in the permitted ones alone counts.
#[tokio::test]
async fn a_draft_is_told_of_permitted_rows_and_columns_alone() {
    let scenario = Scenario::open_marked(200).await;
    let permit = permit_of_few(&scenario).await;
    let product = scenario.product(TRIP_MARKED);
    let marked = scenario.app.read(|state| state.products[product].value.details.clone());
    // Among the first 120 trips the delay is the number; among all of them it is not, and there it tells the line.
    let mut marking = marked.marking.clone().unwrap();
    marking.keeps = marking.keeps.map(|keeps| Keeps { breaks: BTreeSet::new(), ..keeps });
    let mut details = ProductDetails {
        table: ColumnName::new("trip_few").unwrap(),
        sql: "SELECT * FROM trips;".to_owned(),
        inputs: marked.inputs.keys().map(|resource| (resource.clone(), permit.clone())).collect(),
        dimensions: Vec::new(),
        marking: Some(marking),
        ..marked
    };
    details.narrowing.modes = Some(BTreeSet::from([Mode::Rows]));
    let draft = |details: &ProductDetails| Command::DraftProduct { details: Box::new(details.clone()) };
    let operator = scenario.clerk(Who::Operator);
    let refused = scenario.app.execute(operator, draft(&details), Default::default()).await.unwrap_err();
    assert_eq!(refused.problem().code, "invalid", "{refused}");
    assert!(refused.to_string().contains("trip_id"), "{refused}");
    details.marking = None;
    scenario.app.execute(operator, draft(&details), Default::default()).await.unwrap();
    let proposal = scenario.app.propose_marking("trip_few").await.unwrap();
    let found = format!("{:?}", proposal.findings);
    assert_eq!(proposal.rows, 120, "{found}");
    assert!(found.contains("\"delay\""), "{found}");
    for hidden in ["line", "vehicle", "note"] {
        assert!(!found.contains(&format!("\"{hidden}\"")), "{hidden}: {found}");
    }
}

/// A permit of the first 120 trips without their lines, vehicles and notes.
async fn permit_of_few(scenario: &Scenario) -> PermitId {
    const NAME: &str = "少行少列";
    let product = scenario.product(TRIP_MARKED);
    let mut details = scenario.app.read(|state| {
        let permit = state.products[product].value.details.inputs.values().next().unwrap();
        state.permits[permit].value.details.clone()
    });
    details.scenario = NAME.to_owned();
    for narrowing in details.items.values_mut() {
        let columns = narrowing.columns.as_mut().unwrap();
        columns.retain(|name, _| ["trip_id", "day", "delay"].contains(&name.as_str()));
        let (column, value) = (ColumnName::new("trip_id").unwrap(), Literal::Integer(120));
        narrowing.rows = vec![Predicate::Compare { column, comparison: Comparison::Less, value }];
    }
    scenario.act(scenario.clerk(Who::Operator), Command::ApplyPermit { details: Box::new(details) }).await;
    let permit = scenario.app.read(|state| {
        let mut permits = state.permits.values().map(|permit| &permit.value);
        permits.find(|permit| permit.details.scenario == NAME).unwrap().id.clone()
    });
    scenario.act(scenario.chief(Who::Provider), Command::ConfirmPermit { permit: permit.clone() }).await;
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    scenario.act(scenario.chief(Who::Competent), opinion).await;
    scenario.act(scenario.chief(Who::Implementer), Command::ApprovePermit { permit: permit.clone() }).await;
    permit
}

/// The node that lost its secret can't mark as it committed to: it says so instead of marking otherwise.
#[tokio::test]
async fn a_share_that_was_exchanged_is_noticed() {
    let scenario = Scenario::open_marked(200).await;
    let first = scenario.order_marked(Who::First, &[Mode::Rows]).await;
    let second = scenario.order_marked(Who::Second, &[Mode::Rows]).await;
    let raw = sqlite(&scenario).await;
    for statement in [
        "DROP TRIGGER mark_share_append_only_update",
        "UPDATE mark_share SET sealed = (SELECT sealed FROM mark_share WHERE key_use LIKE '%/order/%' ORDER BY key_use LIMIT 1) \
         WHERE key_use LIKE '%/recipient/%'",
    ] {
        raw.execute_unprepared(statement).await.unwrap();
    }
    for order in [&first, &second] {
        let error = scenario.app.fingerprint_keys(&order.id).await.unwrap_err();
        assert_eq!(error.problem().status, 500, "{error}");
    }
    let report = scenario.app.replay_check().await.unwrap();
    let tables: Vec<&str> = report.differences.iter().map(|difference| difference.table.as_str()).collect();
    assert_eq!(tables, ["mark_share"; 2], "{:?}", report.differences);
}

async fn sqlite(scenario: &Scenario) -> sea_orm::DatabaseConnection {
    let file = scenario.directory().join("node").join("node.db");
    sea_orm::Database::connect(format!("sqlite:{}", file.display())).await.unwrap()
}
