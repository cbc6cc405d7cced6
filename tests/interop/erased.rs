//! `lingqu erase`, run as the operator of a node runs it who has a person's demand before him.

use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::node::{Ended, run};
use lingqu_tests::scenario::{PERSON_CHECK, Scenario, Who, id_number};
use serde_json::{Value, json};

use crate::doors;

const WHY: &str = "本人依法要求删除";

fn told(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_demand_is_answered_by_the_command() {
    let scenario = Scenario::open(None, 20).await;
    let order = scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (20, 0)).await;
    let identity = id_number(0);
    scenario.consent(&identity).await;
    let http = doors::http(Deliveries::new(scenario.app.clone(), Settings::default())).await;
    let claim = json!({"key": {"id_number": identity}, "claim": {"qualified": true}});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{http}/data/v1/{PERSON_CHECK}/verify")).bearer_auth(&order.key);
    let answer = request.header("content-type", "application/json").body(claim.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let receipt = answer.headers()["delivery-receipt"].to_str().unwrap().to_owned();

    let node = scenario.closed_copy().await.display().to_string();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(files.path().join(name), format!("{text}\n")).unwrap();
        files.path().join(name).display().to_string()
    };
    let (password, person) = (file("password", "scenario-password-1"), file("identity", &identity));
    let erase = |login: &str, arguments: &[&str]| {
        let given = ["--why", WHY, "--login", login, "--password-file", &password, "--dir", &node];
        let ended = run(&[&["erase"], arguments, &given].concat());
        assert!(!ended.stdout.contains(&identity) && !ended.stderr.contains(&identity), "{ended:?}");
        ended
    };
    for (login, arguments, words) in [
        ("chief0", &["request", "rcp_1"][..], "is not an id of the form rcp_"),
        ("chief0", &["request", "rcp_00000000000000000000000000000001"], "no delivery of this node"),
        ("chief0", &["subject", "sub_00000000000000000000000000000001"], "never had a subject"),
        ("clerk0", &["request", &receipt], "not_permitted"),
        ("clerk0", &["subject", "--identity-file", &person], "not_permitted"),
        ("nobody", &["request", &receipt], "login or password is wrong"),
    ] {
        let ended = erase(login, arguments);
        assert!(ended.code == Some(1) && ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }

    let first = told(&erase("chief0", &["request", &receipt, "--json"]));
    assert_eq!((&first["object"]["request"], &first["reason"]), (&json!(receipt), &json!(WHY)));
    assert!(first["by"].as_str().unwrap().starts_with("usr_"), "{first}");
    let again = told(&erase("chief0", &["request", &receipt, "--json"]));
    assert_eq!((&again["erasure"], &again["repeated"]), (&first["erasure"], &json!(true)));
    let whom = told(&erase("chief0", &["subject", "--identity-file", &person, "--json"]));
    assert_eq!((&whom["consents_withdrawn"], &whom["repeated"]), (&json!(1), &json!(false)));
    let ended = erase("chief0", &["subject", "--identity-file", &person]);
    assert!(ended.code == Some(1) && ended.stderr.contains("is erased already"), "{}", ended.stderr);
    let ended = erase("chief0", &["subject", whom["object"]["subject"].as_str().unwrap()]);
    assert!(ended.code == Some(0) && ended.stdout.contains("not for the first time"), "{ended:?}");

    let ended = run(&["replay", "--check", "--dir", &node]);
    assert!(ended.code == Some(0) && ended.stdout.contains("they agree"), "{ended:?}");
    let ended = run(&["doctor", "--dir", &node]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
