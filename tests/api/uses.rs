//! A person sees where his data went: every delivery with a row of his and no other's, each with what it is checked by.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use lingqu_crypto::{DigestPair, Salt};
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_store::vault::VaultRead;
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{
    Ordered, PERSON_CHECK, PERSON_VISITS, PURPOSE, Scenario, TRIP_CHECK, VISITORS, VISITS_OF_EACH, Who, id_number,
};
use lingqu_transparency::{LogEntry, LogProof, NoteVerifier};
use roaring::RoaringTreemap;
use serde_json::{Value, json};

use crate::client::{Client, Reply, Served};
use crate::consents::party;

/// A served scenario whose data plane answers too, with two orders and an agent.
struct Uses {
    served: Served,
    deliveries: String,
    first: Ordered,
    second: Ordered,
    agent: Client,
}

impl Uses {
    async fn open(database_url: Option<String>) -> Uses {
        let scenario = Scenario::open(database_url, 200).await;
        let first = scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (200, 0)).await;
        let second = scenario.order(Who::Second, PERSON_CHECK, &[Mode::Verification], (200, 0)).await;
        for person in 0..4 {
            for who in [Who::First, Who::Second] {
                let details = ConsentDetails { consumer: scenario.party(who).clone(), ..scenario.consent_details() };
                scenario.app.give_consent(&id_number(person), details).await.unwrap();
            }
        }
        Uses::of(scenario, first, second).await
    }

    async fn of(scenario: Scenario, first: Ordered, second: Ordered) -> Uses {
        let served = Served::of(scenario).await;
        let router = lingqu_gateway::router_on(Deliveries::new(served.scenario.app.clone(), Settings::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let deliveries = format!("http://{}/data/v1", listener.local_addr().unwrap());
        let router = Router::new().nest("/data/v1", router);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let (login, _) = party(&served, 9, &["consent_agent"], &[]).await;
        let agent = served.sign_in(&login).await;
        Uses { served, deliveries, first, second, agent }
    }

    /// Verifies a claim about each of some persons; gives the receipt.
    async fn verify(&self, order: &Ordered, people: &[usize]) -> String {
        let claim = |person: &usize| json!({"key": {"id_number": id_number(*person)}, "claim": {"qualified": true}});
        let claims: Vec<Value> = people.iter().map(claim).collect();
        let request = self.agent.http.post(format!("{}/{}/verify", self.deliveries, order.product));
        let request = request.bearer_auth(&order.key).header("content-type", "application/json");
        let reply = request.body(json!({ "claims": claims }).to_string()).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        reply.headers()["delivery-receipt"].to_str().unwrap().to_owned()
    }

    /// Asks a statement; gives the receipt and the answer.
    async fn ask(&self, order: &Ordered, sql: &str) -> (String, Value) {
        let request = self.agent.http.post(format!("{}/{}/query", self.deliveries, order.product));
        let request = request.bearer_auth(&order.key).header("content-type", "application/json");
        let reply = Reply::of(request.body(json!({ "sql": sql }).to_string())).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        (reply.header("delivery-receipt").unwrap().to_owned(), reply.json())
    }

    /// Exports the data set; gives the receipt and how many rows it has.
    async fn export(&self, order: &Ordered) -> (String, usize) {
        let request = self.agent.http.get(format!("{}/{}/export?format=csv", self.deliveries, order.product));
        let reply = Reply::of(request.bearer_auth(&order.key)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        // The first line is the header's.
        (reply.header("delivery-receipt").unwrap().to_owned(), reply.text.lines().count() - 1)
    }

    /// The records of a delivery with their positions, in order.
    async fn records(&self, receipt: &str) -> Vec<(u64, ReceiptRecord)> {
        let log = self.served.scenario.app.receipts();
        let mut records = Vec::new();
        for position in log.positions_of_receipt(receipt).await.unwrap() {
            let stored = log.read(position).await.unwrap().unwrap();
            records.push((position, serde_json::from_slice(&stored.receipt.record).unwrap()));
        }
        records
    }

    /// Publishes the log and holds every record of a person's uses against it, as anybody could; gives how many records there were,
    /// and of how many the text was told.
    async fn check_by_the_log(&self, person: usize) -> (usize, usize) {
        let app = &self.served.scenario.app;
        let head = app.publish_log().await.unwrap();
        let pass = self.pass(person).await;
        let page = self.page(&pass, "").await.json();
        let (key, twin): (NoteVerifier, _) = (head.vkey.parse().unwrap(), head.twin.as_ref().unwrap());
        let (mut checked, mut told) = (0, 0);
        for item in page["items"].as_array().unwrap() {
            for record in item["records"].as_array().unwrap() {
                let entry_index = record["log_entry"].as_u64().unwrap();
                let proof = LogProof::from_text(page["proofs"][entry_index.to_string()].as_str().unwrap()).unwrap();
                assert_eq!(proof.index, entry_index);
                // As anybody takes it from the public bundles.
                let (entry, _) = app.log_reader().unwrap().prove(entry_index).await.unwrap();
                proof.verify(&entry, &key).unwrap();
                let place = record["place"].as_u64().unwrap() as usize;
                let pair = LogEntry::decode(&entry).unwrap().pairs()[place];
                assert_eq!(record["sha256"], pair.to_string().split_once(':').unwrap().0);
                assert_eq!(record["sm3"], pair.to_string().split_once(':').unwrap().1);
                let twin_proof = page["twin_proofs"][entry_index.to_string()].as_str().unwrap();
                LogProof::from_text(twin_proof).unwrap().verify(&entry, &twin.vkey.parse().unwrap()).unwrap();
                checked += 1;
                if let Some(text) = record["text"].as_str() {
                    let salt: Salt = record["salt"].as_str().unwrap().parse().unwrap();
                    assert_eq!(DigestPair::of_salted(&salt, text.as_bytes()), pair);
                    let read: ReceiptRecord = serde_json::from_str(text).unwrap();
                    assert_eq!(item["receipt"], read.receipt.as_str());
                    told += 1;
                }
            }
        }
        (checked, told)
    }

    async fn pass(&self, person: usize) -> String {
        let form = json!({"identity": format!(" {} ", id_number(person))});
        let given = self.agent.post("/api/v1/subjects/passes", &form).await;
        assert_eq!(given.status, 201, "{}", given.text);
        assert!(!given.text.contains(&id_number(person)), "a pass is sealed");
        given.json()["pass"].as_str().unwrap().to_owned()
    }

    /// A page of uses, read by nobody but who has the pass: no session.
    async fn page(&self, pass: &str, query: &str) -> Reply {
        let stranger = self.served.stranger();
        let request = stranger.request(reqwest::Method::GET, &format!("/api/v1/subjects/me/uses{query}"));
        Reply::of(request.bearer_auth(pass)).await
    }

    async fn uses(&self, person: usize) -> Vec<Value> {
        let pass = self.pass(person).await;
        let page = self.page(&pass, "").await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.json()["items"].as_array().unwrap().clone()
    }
}

fn receipts(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["receipt"].as_str().unwrap()).collect()
}

async fn a_person_sees_his_own(database_url: Option<String>) {
    let node = Uses::open(database_url).await;
    let alone = node.verify(&node.first, &[0]).await;
    let together = node.verify(&node.second, &[1, 0, 2]).await;
    let of_other = node.verify(&node.first, &[1]).await;
    let without_consent = node.verify(&node.first, &[3, 7]).await;

    let items = node.uses(0).await;
    assert_eq!(receipts(&items), [together.as_str(), alone.as_str()], "newest first");
    for (item, who) in items.iter().zip([Who::Second, Who::First]) {
        assert_eq!(item["consumer"], node.served.scenario.party(who).as_str());
        assert!(!item["consumer_name"].as_str().unwrap().is_empty());
        assert_eq!(
            (&item["rows"], &item["mode"], &item["protocol"]),
            (&json!(1), &json!("verification"), &json!("rest"))
        );
        assert_eq!((&item["nature"], &item["counted_in_statistic"]), (&json!("SYNTHETIC"), &json!(false)));
        assert!(item["permits"][0]["permit"].as_str().unwrap().starts_with("pmt_"), "{item}");
        assert!(!item["permits"][0]["scenario"].as_str().unwrap().is_empty());
        assert_eq!(item["columns"], json!(["qualified"]));
        assert_eq!(item["snapshots"].as_array().unwrap().len(), 1);
    }
    assert_eq!(items[1]["order"], node.first.id.as_str());
    // What would tell rows of others is not told.
    assert!(items[0]["records"][0].get("text").is_none(), "{}", items[0]);
    assert!(items[0]["records"][0].get("salt").is_none());
    assert!(items[1]["records"][0]["text"].as_str().unwrap().contains(&alone));

    assert_eq!(receipts(&node.uses(1).await), [of_other.as_str(), together.as_str()]);
    assert_eq!(receipts(&node.uses(3).await), [without_consent.as_str()]);
    // He did not consent, so no row of his was looked at; nobody of this name is anywhere.
    assert_eq!(node.uses(7).await, Vec::<Value>::new());
    assert_eq!(node.uses(99).await, Vec::<Value>::new());
    // Data about nobody is nobody's use.
    let trips = node.served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (10, 0)).await;
    let request = node.agent.http.post(format!("{}/{}/verify", node.deliveries, trips.product)).bearer_auth(&trips.key);
    let claim = json!({"key": {"trip_id": 60}, "claim": {"late": true}}).to_string();
    let reply = request.header("content-type", "application/json").body(claim).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(node.uses(0).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_every_delivery_with_a_row_of_his_and_no_other() {
    a_person_sees_his_own(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgresql() {
    let Some(server) = PrivatePostgres::needed("uses on PostgreSQL") else { return };
    a_person_sees_his_own(Some(server.create_database().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_checked_with_the_public_log_alone() {
    let node = Uses::open(None).await;
    node.verify(&node.first, &[0]).await;
    node.verify(&node.second, &[0, 1]).await;
    let pass = node.pass(0).await;
    let early = node.page(&pass, "").await.json();
    assert_eq!(early["proofs"], json!({}), "nothing is published yet");
    assert!(early["items"][0]["records"][0].get("log_entry").is_none());
    // A record that names the rows of others too is proven, and its text is not told.
    assert_eq!(node.check_by_the_log(0).await, (2, 1));
}

/// Rows and a data set that were streamed, in parts, and a statistic: each is told to those of whom it had rows, and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_streamed_and_statistics_are_told_to_whom_they_were_of() {
    const CONSENTING: usize = 24;
    let scenario = Scenario::open_visited().await;
    let order = async |modes: &[Mode]| scenario.order(Who::First, PERSON_VISITS, modes, (10, 1)).await;
    let (rows, counts) = (order(&[Mode::Rows, Mode::File]).await, order(&[Mode::Statistics]).await);
    let people: Vec<String> = (0..CONSENTING).map(id_number).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    scenario.app.give_consents(&people, scenario.visitor_consent()).await.unwrap();
    let node = Uses::of(scenario, rows, counts).await;
    let scenario = &node.served.scenario;
    // The clock of the machine may be set back meanwhile, and not by a minute.
    let minute = SignedDuration::from_mins(1);
    let begun = scenario.app.now() - minute;

    let (exported, row_count) = node.export(&node.first).await;
    assert_eq!(row_count, CONSENTING * VISITS_OF_EACH);
    let east = format!("SELECT visit_id, minutes FROM {PERSON_VISITS} WHERE district = 'east'");
    let (listed, answer) = node.ask(&node.first, &east).await;
    assert_eq!(answer["row_count"], CONSENTING / 2 * VISITS_OF_EACH);
    let west = format!("SELECT count(*) AS visits FROM {PERSON_VISITS} WHERE district = 'west'");
    let (counted, answer) = node.ask(&node.second, &west).await;
    assert_eq!(answer["rows"], json!([{"visits": CONSENTING / 2 * VISITS_OF_EACH}]));
    let ended = scenario.app.now() + minute;

    // The first and the last of those who consented in each district.
    for person in [0, 1, CONSENTING - 2, CONSENTING - 1] {
        let items = node.uses(person).await;
        // A statistic names every row that there was for it, whatever it shows.
        let mut expected = vec![(&counted, "statistics", &node.second), (&exported, "file", &node.first)];
        if person % 2 == 0 {
            expected.insert(1, (&listed, "rows", &node.first));
        }
        assert_eq!(items.len(), expected.len(), "{items:?}");
        for (item, &(receipt, mode, order)) in items.iter().zip(&expected) {
            assert_eq!(
                (&item["receipt"], &item["mode"]),
                (&json!(receipt), &json!(mode)),
                "person {person}: newest first"
            );
            assert_eq!(item["counted_in_statistic"], mode == "statistics");
            assert_eq!(item["consumer"], scenario.party(Who::First).as_str());
            assert_eq!((&item["order"], &item["purpose"]), (&json!(order.id.as_str()), &json!(PURPOSE)));
            assert_eq!(item["permits"].as_array().unwrap().len(), 1);
            assert_eq!(item["permits"][0]["permit"], scenario.visits_permit().as_str());
            assert_eq!((&item["rows"], &item["nature"]), (&json!(VISITS_OF_EACH), &json!("SYNTHETIC")));
            let records = node.records(receipt).await;
            let at = records[0].1.at;
            assert_eq!(item["at"], at.to_string());
            assert!(begun < at && at < ended, "{at}");
            // What began the delivery, and the parts with rows of his: no other part, and none is left out.
            let first_row = (person * VISITS_OF_EACH) as u64;
            let own = RoaringTreemap::from_iter(first_row..first_row + VISITS_OF_EACH as u64);
            let is_his = |record: &ReceiptRecord| match &record.body {
                ReceiptBody::Opened(_) => true,
                ReceiptBody::Part { row_set, .. } => !(rows_of(row_set) & &own).is_empty(),
                ReceiptBody::Single { .. } | ReceiptBody::Closed { .. } => false,
            };
            let his: Vec<u64> = records.iter().filter(|(_, record)| is_his(record)).map(|(at, _)| *at).collect();
            let shown: Vec<u64> =
                item["records"].as_array().unwrap().iter().map(|of| of["position"].as_u64().unwrap()).collect();
            assert_eq!(shown, his, "person {person}, {mode}");
            assert!(shown.len() > 1 && item["records"][0]["kind"] == "opened" && item["records"][1]["kind"] == "part");
        }
        // Of each delivery its beginning is told, and no part, which names rows of others.
        let record_count: usize = items.iter().map(|item| item["records"].as_array().unwrap().len()).sum();
        assert_eq!(node.check_by_the_log(person).await, (record_count, expected.len()));
    }
    let parts = node.records(&exported).await.into_iter().filter(|(_, record)| record.kind() == "part").count();
    assert!(parts > 1, "a part without rows of a person is not put to the test");
    // Who did not consent is in no answer, and who has no visit in no product.
    for person in [CONSENTING, VISITORS - 1, VISITORS] {
        assert_eq!(node.uses(person).await, Vec::<Value>::new(), "person {person}");
    }
}

/// The rows that a receipt names.
fn rows_of(row_set: &str) -> RoaringTreemap {
    RoaringTreemap::deserialize_from(&STANDARD.decode(row_set).unwrap()[..]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_one_another_and_miss_nothing() {
    let node = Uses::open(None).await;
    let mut expected = Vec::new();
    for round in 0..9 {
        let people: &[usize] = if round % 3 == 0 { &[1] } else { &[0, 2] };
        let receipt = node.verify(&node.first, people).await;
        if round % 3 != 0 {
            expected.push(receipt);
        }
    }
    expected.reverse();
    let pass = node.pass(2).await;
    let mut found = Vec::new();
    let mut query = "?limit=2".to_owned();
    // Ten pages are more than there can be.
    for _ in 0..10 {
        let page = node.page(&pass, &query).await.json();
        let items = page["items"].as_array().unwrap().clone();
        assert!(items.len() <= 2);
        found.extend(items.iter().map(|item| item["receipt"].as_str().unwrap().to_owned()));
        // What comes meanwhile is newer than every page that follows.
        node.verify(&node.first, &[2]).await;
        match page["next_cursor"].as_str() {
            Some(next) => query = format!("?limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, expected);
    for bad in ["?limit=0", "?limit=101", "?cursor=x", "?before=3"] {
        assert_eq!(node.page(&pass, bad).await.status, 422, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_anothers_uses() {
    let node = Uses::open(None).await;
    node.verify(&node.first, &[0]).await;
    let refused = (403, "not_permitted".to_owned());
    let form = json!({"identity": id_number(0)});
    // The data authority, an implementer, an operator, a provider, the consumer himself.
    for login in ["clerk0", "clerk1", "clerk3", "clerk4", "clerk8"] {
        let client = node.served.sign_in(login).await;
        assert_eq!(client.post("/api/v1/subjects/passes", &form).await.problem(), refused, "{login}");
        // His session is no pass.
        let reply = client.get("/api/v1/subjects/me/uses").await;
        assert_eq!(reply.problem(), (401, "bad_pass".to_owned()), "{login}");
    }
    assert_eq!(node.served.stranger().post("/api/v1/subjects/passes", &form).await.status, 401);
    for identity in ["", "  ", &"9".repeat(257)] {
        let reply = node.agent.post("/api/v1/subjects/passes", &json!({ "identity": identity })).await;
        assert_eq!(reply.status, 422, "{identity}");
    }
    let pass = node.pass(0).await;
    assert_eq!(node.page(&pass, "").await.status, 200);
    let mut changed = pass.clone().into_bytes();
    for at in (0..changed.len()).step_by(7) {
        let kept = changed[at];
        changed[at] = if kept == b'0' { b'1' } else { b'0' };
        let reply = node.page(std::str::from_utf8(&changed).unwrap(), "").await;
        assert_eq!(reply.problem(), (401, "bad_pass".to_owned()), "letter {at}");
        changed[at] = kept;
    }
    for bad in ["", "lqp_", "lqp_00", node.first.key.as_str(), &format!("{pass}00"), &"lqp_0".repeat(2_000)] {
        assert_eq!(node.page(bad, "").await.status, 401, "{bad}");
    }
    // An agent that is no longer one vouches for nobody.
    let other = Uses::open(None).await;
    assert_eq!(other.page(&pass, "").await.status, 401, "a pass of another node");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_request_leaves_the_use_and_its_proof() {
    let node = Uses::open(None).await;
    let receipt = node.verify(&node.first, &[0]).await;
    let app = &node.served.scenario.app;
    app.publish_log().await.unwrap();
    let before = node.uses(0).await;
    app.receipts().erase_request(&receipt, "2026-11-29T00:00:00Z").await.unwrap();
    assert!(!matches!(app.request(&receipt.parse().unwrap()).await.unwrap(), VaultRead::Present(_)));
    assert_eq!(node.uses(0).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_lost_is_made_anew() {
    let node = Uses::open(None).await;
    node.verify(&node.first, &[0]).await;
    node.verify(&node.second, &[2, 0]).await;
    let before = node.uses(0).await;
    assert_eq!(before.len(), 2);
    let rows = node.served.scenario.directory().join("node/uses/rows");
    let files: Vec<_> = std::fs::read_dir(&rows).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one for the one product with persons");
    // No identity is in it.
    let bytes = std::fs::read(&files[0]).unwrap();
    let number = id_number(0).into_bytes();
    assert!(!bytes.windows(number.len()).any(|window| window == number));
    // Damaged it tells whom to ask; gone it is made anew; with somebody else's rows in it, nobody is told of them.
    std::fs::write(&files[0], &bytes[..bytes.len() - 1]).unwrap();
    let pass = node.pass(0).await;
    assert_eq!(node.page(&pass, "").await.status, 500);
    std::fs::remove_file(&files[0]).unwrap();
    assert_eq!(node.uses(0).await, before);
    // The first person's row and the second's, each under the other's name.
    let mut swapped = bytes.clone();
    let (first, second) = (8..16, 16..24);
    assert_ne!(bytes[first.clone()], bytes[second.clone()]);
    swapped[first.clone()].copy_from_slice(&bytes[second.clone()]);
    swapped[second].copy_from_slice(&bytes[first]);
    std::fs::write(&files[0], swapped).unwrap();
    for person in 0..2 {
        assert_eq!(node.uses(person).await, Vec::<Value>::new(), "person {person}");
    }
    assert_eq!(node.uses(2).await.len(), 1);
}
