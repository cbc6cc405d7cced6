//! Quality rules: what they may be checked against, and by whom.

use lingqu_tests::scenario::id_number;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, PASSWORD, Reply, Served};

/// The handler of a second provider, who drafted a table of identity numbers that he tries.
struct Other {
    _served: Served,
    handler: Client,
    resource: String,
}

async fn other_provider() -> Other {
    let served = Served::open().await;
    let admin = served.sign_in("admin").await;
    let details = json!({
        "name": "另一提供单位", "name_en": "Another provider", "credit_code": "TEST45000000000998",
        "organisation": "enterprise", "roles": ["provider"], "tier": "region", "division": "450000",
    });
    let registered = admin.post("/api/v1/commands", &json!({ "command": "register_party", "details": details })).await;
    let party = made(&registered);
    let user = |login: &str, duty: &str| json!({ "party": party, "duties": [duty], "login": login, "display_name": login, "password": PASSWORD });
    assert_eq!(admin.post("/api/v1/users", &user("other.admin", "administrator")).await.status, 201);
    let own = served.sign_in("other.admin").await;
    assert_eq!(own.post("/api/v1/users", &user("other.clerk", "handler")).await.status, 201);
    let handler = served.sign_in("other.clerk").await;
    let resource = drafted(&handler, "guesses").await;
    Other { _served: served, handler, resource }
}

fn made(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["events"][0]["stream"].as_str().unwrap().to_owned()
}

/// Drafts a table of two columns of text with a person of the scenario, and takes it in.
async fn drafted(handler: &Client, table: &str) -> String {
    let column = |name: &str| json!({ "name": name, "data_type": "text", "meaning": name, "grade": "general_1" });
    let details = json!({
        "table": table, "name": table, "name_en": table, "summary": "测试", "division": "450000", "basis": "测试",
        "source": "a.csv", "columns": [column("who"), column("line")], "key": ["who"], "subject": null,
        "personal_basis": null, "sharing": "unconditional", "openness": "unconditional", "update_cycle_days": 0,
        "nature": "SYNTHETIC",
    });
    let drafted = handler.post("/api/v1/commands", &json!({ "command": "draft_resource", "details": details })).await;
    let resource = made(&drafted);
    let path = format!("/api/v1/resources/{resource}/snapshots?format=csv");
    let rows = format!("who,line\n{},L1\nnobody,L2\n", id_number(1));
    let taken = Reply::of(handler.request(Method::POST, &path).body(rows)).await;
    assert_eq!(taken.status, 201, "{}", taken.text);
    resource
}

/// A rule that looks for a column of the table `guesses` in another table.
fn looked_for(column: &str, table: &str, there: &str) -> Value {
    json!({
        "name": "测试规则", "version": "1", "rules": [{
            "id": "known", "table": "guesses", "columns": [column], "dimension": "consistent", "severity": "low",
            "opens_ticket": false, "sentence": "存在", "sentence_en": "is there",
            "demand": { "exists_in": { "table": table, "columns": [there] } },
        }],
    })
}

#[tokio::test]
async fn rules_learn_of_other_providers_what_is_open_and_of_the_rest_not_even_that_it_is_there() {
    let other = other_provider().await;
    let path = format!("/api/v1/resources/{}/quality-reports", other.resource);
    let mut answers = Vec::new();
    for (table, there) in [("people", "id_number"), ("people", "no_such_column"), ("nothing", "id_number")] {
        let reply = other.handler.post(&path, &looked_for("who", table, there)).await;
        assert_eq!(reply.problem(), (422, "invalid".to_owned()), "{}", reply.text);
        answers.push(reply.text.replace(table, "TABLE"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // What is open to anybody he may check his own by, and so he may by what is his.
    let open = other.handler.post(&path, &looked_for("line", "trips", "line")).await;
    assert_eq!(open.status, 201, "{}", open.text);
    drafted(&other.handler, "more").await;
    let own = other.handler.post(&path, &looked_for("who", "more", "who")).await;
    assert_eq!((own.status, &own.json()["report"]["findings"][0]["failing_count"]), (201, &json!(0)));
}

/// Who may not record the report is told so before anything is looked at: neither whether the rules fit, nor what they find.
#[tokio::test]
async fn who_may_not_record_a_report_runs_no_rules() {
    let served = Served::open().await;
    let path = format!("/api/v1/resources/{}/quality-reports", served.scenario.resource("people"));
    let consumer = served.sign_in("clerk8").await;
    let mut answers = Vec::new();
    for column in ["name", "no_such_column"] {
        let rules = json!({
            "name": "测试规则", "version": "1", "rules": [{
                "id": "present", "table": "people", "columns": [column], "dimension": "complete", "severity": "low",
                "opens_ticket": false, "sentence": "不为空", "sentence_en": "is there", "demand": "not_null",
            }],
        });
        let reply = consumer.post(&path, &rules).await;
        assert_eq!(reply.problem(), (403, "not_permitted".to_owned()), "{}", reply.text);
        answers.push(reply.text);
    }
    assert_eq!(answers[0], answers[1]);
}
