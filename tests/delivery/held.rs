//! Evidence as an operator could write it who has the node's own key and a genuine record of a trace: fewer registered than were
//! tested, another report beside the record, or no record. Each is told, with the p-values lowered to fit as well; and so is what
//! the report says of the accused and no record bears out, or what it says supports that and the observations don't.

use lingqu_app::{HeldAgainst, Trace, TraceCheck, verify_trace};
use lingqu_tests::scenario::Who;
use lingqu_transparency::{Evidence, EvidenceTrust, RecordKind};
use serde_json::{Value, json};

use crate::marked_leak::{Leaks, forged_by, without_records};
use crate::traced::trace;

const CASE: &str = "trace/case.json";

/// What a forger starts from.
struct Forger<'l> {
    leaks: &'l Leaks,
    bundle: &'l [u8],
    found: &'l Trace,
}

impl Forger<'_> {
    fn check(&self, change: &dyn Fn(String) -> String) -> TraceCheck {
        let written = |bytes| change(String::from_utf8(bytes).unwrap()).into_bytes();
        verify_trace(&forged_by(self.leaks, self.bundle, CASE, written), &EvidenceTrust::default())
    }

    /// The check of a forged case whose p-values are what the forged numbers make of them.
    fn fitted(&self, change: &dyn Fn(String) -> String) -> TraceCheck {
        let computed = self.check(change).accused;
        let accused = &self.found.report.accused[0];
        let of_order = &accused.orders[0];
        let claims = [
            (accused.log_p_value, accused.p_value, false),
            (of_order.log_p_value.unwrap(), of_order.p_value.unwrap(), true),
        ];
        let check = self.check(&|text| {
            let mut text = change(text);
            for (log, p, is_order) in claims {
                let fits = computed.iter().find(|found| found.order.is_some() == is_order).unwrap();
                let written = |name: &str, number: f64| format!("\"{name}\":{}", Value::from(number));
                text = replaced(&text, &written("log_p_value", log), &written("log_p_value", fits.log_p_value));
                text = replaced(&text, &written("p_value", p), &written("p_value", fits.p_value));
            }
            text
        });
        let told: Vec<&String> = check.findings.iter().map(|(_, problem)| problem).collect();
        assert!(!told.iter().any(|problem| problem.contains("p-value")), "the forgery does not fit: {told:?}");
        check
    }
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the case has no {from}");
    text.replace(from, to)
}

/// A case without the lines that begin so.
fn without(text: &str, name: &str) -> String {
    let kept: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with(name)).collect();
    assert!(kept.len() < text.lines().count(), "the case has no {name}");
    kept.join("\n")
}

fn without_tries(text: &str) -> String {
    let (before, rest) = text.split_once("\"tries\":{").unwrap();
    format!("{before}{}", rest.split_once("},").unwrap().1)
}

fn report_line(bundle: &[u8]) -> String {
    let case = Evidence::parse(bundle).unwrap().item(CASE).unwrap().bytes.clone();
    let text = String::from_utf8(case).unwrap();
    text.lines().find(|line| line.starts_with("  \"report\": ")).unwrap().to_owned()
}

fn fewer_recipients(text: String) -> String {
    replaced(&replaced(&text, "\"registered\": 2", "\"registered\": 1"), "\"registered\":2", "\"registered\":1")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_record_of_a_trace_says_can_t_be_told_otherwise() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let found = trace(leaks.scenario(), &leak).await;
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let forger = Forger { leaks: &leaks, bundle: &bundle, found: &found };
    let check = forger.check(&|text| text);
    assert!(check.verified && check.held == HeldAgainst::Report, "{:?}", check.findings);
    assert_eq!(check.problem(), None);

    // Another report that a genuine record stands beside: that of another try of the same file.
    let again = trace(leaks.scenario(), &leak).await;
    let [own, other] = [&bundle, &leaks.scenario().app.export_trace(&again).await.unwrap()].map(|of| report_line(of));
    type Change<'c> = &'c dyn Fn(String) -> String;
    let forgeries: [(&str, Change<'_>); 6] = [
        ("fewer registered recipients", &fewer_recipients),
        ("number of recipients", &|text| replaced(&fewer_recipients(text), "\"tested\":2", "\"tested\":1")),
        ("codes of each product", &|text| replaced(&text, "\"registered\": 3", "\"registered\": 2")),
        ("otherwise: report", &|text| replaced(&text, "\"rows_read\":2000", "\"rows_read\":2001")),
        ("otherwise: report", &|text| {
            let (_, report) = own.split_once(": ").unwrap();
            replaced(&text, report, &report.replace("\"reason\":\"", "\"reason\":\"必是："))
        }),
        ("tries", &|text| without_tries(&text)),
    ];
    for (expected, change) in forgeries {
        let check = forger.fitted(change);
        let told: Vec<&String> = check.findings.iter().map(|(_, problem)| problem).collect();
        assert!(told.iter().any(|problem| problem.contains(expected)), "{expected}: {told:?}");
        assert!(!check.verified && check.held == HeldAgainst::Nothing && check.recorded.is_none());
    }
    // Nearly all of the bound for the one test that is liked, and no more together than is left.
    let check = forger.fitted(&|text| {
        let text = text.replacen("\"bound\": 2.5e-7", "\"bound\": 1e-8", 1);
        replaced(&text, "\"bound\": 2.5e-7", "\"bound\": 4.9e-7")
    });
    assert!(check.findings.iter().any(|(_, problem)| problem.contains("even share")), "{:?}", check.findings);
    let doubled = forged_by(&leaks, &bundle, "trace/keys.json", |bytes| {
        let mut keys: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        keys.push(keys[0].clone());
        serde_json::to_vec(&keys).unwrap()
    });
    let check = verify_trace(&doubled, &EvidenceTrust::default());
    assert!(check.findings.iter().any(|(_, problem)| problem.contains("disclosed twice")), "{:?}", check.findings);
    let check = forger.check(&|text| replaced(&text, &own, &other));
    assert!(check.findings.iter().any(|(_, problem)| problem.contains("otherwise: report")), "{:?}", check.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_without_a_record_of_its_trace_is_not_verified() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let found = trace(leaks.scenario(), &leak).await;
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let forger = Forger { leaks: &leaks, bundle: &bundle, found: &found };
    let stripped = |text: String| without(&text, "\"recorded\": ");
    let check = forger.check(&stripped);
    assert_eq!((check.findings.as_slice(), check.held), ([].as_slice(), HeldAgainst::Nothing));
    assert!(!check.verified && check.recorded.is_none());
    assert!(check.problem().unwrap().1.contains("no record of the trace"), "{:?}", check.problem());
    // One that was tried before tries were counted had the whole bound, of which these tests have half.
    let check = forger.check(&|text| without_tries(&stripped(text)));
    assert!(!check.verified && (check.held, &check.recorded) == (HeldAgainst::Nothing, &None));
    assert!(check.findings.iter().any(|(_, problem)| problem.contains("even share")), "{:?}", check.findings);
    // What can be seen without the record is.
    let check = forger.fitted(&|text| fewer_recipients(stripped(text)));
    assert!(check.findings.iter().any(|(_, problem)| problem.contains("than were tested")), "{:?}", check.findings);
}

/// An id with another last letter.
fn another(id: &str) -> String {
    let last = if id.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &id[..id.len() - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_the_accused_is_borne_out_by_records() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let found = trace(leaks.scenario(), &leak).await;
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let forger = Forger { leaks: &leaks, bundle: &bundle, found: &found };
    let must_tell = |check: &TraceCheck, words: &str| {
        let told: Vec<&String> = check.findings.iter().map(|(_, problem)| problem).collect();
        assert!(!check.verified && told.iter().any(|problem| problem.contains(words)), "{words}: {told:?}");
    };
    // Of the consumer's two orders one had the rows, and both are named.
    let accused = &found.report.accused[0];
    assert_eq!((accused.orders.len(), accused.deliveries.len()), (2, 1), "{accused:?}");
    let (delivery, holder) = (&accused.deliveries[0], &accused.keys_held_by[0]);
    let second = leaks.scenario().party(Who::Second);
    let other_name = leaks.scenario().app.read(|state| state.parties[second].value.name.clone());
    let name = |name: &str| format!("\"name\":\"{name}\",\"orders\"");
    let protocol = |protocol: &str| format!("\"protocol\":\"{protocol}\"");
    let [permit, order] = [accused.orders[0].permits[0].to_string(), accused.orders[1].order.to_string()];
    let [receipt, holder] = [delivery.receipt.to_string(), holder.to_string()];
    for (from, to, words) in [
        (name(&accused.name), name(&other_name), "by the proven records"),
        (protocol(&delivery.protocol), protocol("fax"), "is of another delivery"),
        (delivery.at.clone(), another(&delivery.at), "is of another delivery"),
        (permit.clone(), another(&permit), "made by other permits"),
        (order.clone(), another(&order), "commits to the keys"),
        (receipt.clone(), another(&receipt), "not among the proven records"),
        (holder.clone(), another(&holder), "held by others than are named"),
    ] {
        must_tell(&forger.check(&|text| replaced(&text, &from, &to)), words);
    }
    // Nor does a bundle verify that lacks the records of what its report says, whatever the record of the trace commits to.
    for (kind, part, words) in [
        (RecordKind::Receipt, "", "not among the proven records"),
        (RecordKind::Journal, "\"kind\":\"party.registered\"", "what pty_"),
        (RecordKind::Journal, "\"kind\":\"permit.approved\"", "no proven record approves"),
        (RecordKind::Journal, "\"kind\":\"product.drafted\"", "no proven record drafts"),
    ] {
        let shorter = without_records(&leaks, &bundle, |record| {
            record.kind == kind && String::from_utf8_lossy(&record.bytes).contains(part)
        });
        let check = verify_trace(&shorter, &EvidenceTrust::default());
        assert_eq!(check.held, HeldAgainst::Report, "{:?}", check.findings);
        must_tell(&check, words);
    }
}

/// A case of whose report one part was replaced.
fn told_otherwise(text: &str, part: &str, by: &Value) -> String {
    let mut case: Value = serde_json::from_str(text).unwrap();
    let place = case.pointer_mut(&format!("/report{part}"));
    *place.unwrap_or_else(|| panic!("the report has no {part}")) = by.clone();
    case.to_string()
}

/// Whoever has the node's key may write a report before its record as well as after it: so of what is computed again each part has its
/// own finding, whatever the record says.
#[tokio::test(flavor = "multi_thread")]
async fn what_supports_an_accusation_is_held_against_the_observations() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let found = trace(leaks.scenario(), &leak).await;
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let forger = Forger { leaks: &leaks, bundle: &bundle, found: &found };
    let told = |part: &str, by: &Value| -> Vec<String> {
        let check = forger.check(&|text| told_otherwise(&text, part, by));
        check.findings.into_iter().map(|(_, problem)| problem).collect()
    };
    let report = serde_json::to_value(&found.report).unwrap();
    let written = |part: &str| report.pointer(part).unwrap_or_else(|| panic!("the report has no {part}")).clone();
    // Nothing is found of the same report, but that numbers which were read and written again may have other digits.
    let same = told("/accused/0/pass", &written("/accused/0/pass"));
    assert!(same.iter().all(|one| one.ends_with("otherwise: report")), "{same:?}");

    let (accused, marks) = (&found.report.accused[0], found.report.products[0].marks.as_ref().unwrap());
    let delay = &accused.channels["delay"];
    let support =
        |columns: &[&str], count: u64, score: f64| json!({ "columns": columns, "positions": count, "score": score });
    let own = support(&["delay"], delay.positions, delay.score);
    assert_eq!(written("/accused/0/channels/delay"), own);
    let supports = format!("supports the accusation of {}", accused.consumer);
    let p_value = |of: &str| format!("the p-value of {of}");
    let shows = format!("the marks of {} show", accused.product);
    let of_order = accused.orders[0].order.as_str();
    for (part, by, problem, named) in [
        (
            "/accused/0/channels/delay",
            support(&["delay"], delay.positions + 1, delay.score),
            &supports,
            "channel delay",
        ),
        (
            "/accused/0/channels/delay",
            support(&["delay"], delay.positions, delay.score * 1.000_01),
            &supports,
            "channel delay",
        ),
        ("/accused/0/channels/delay", support(&["line"], delay.positions, delay.score), &supports, "channel delay"),
        ("/accused/0/channels", json!({ "delay": own, "decoy": support(&[], 7, 50.0) }), &supports, "channel decoy"),
        ("/accused/0/channels", json!({}), &supports, "channel delay"),
        ("/accused/0/decoder", json!("another"), &supports, "decoder"),
        ("/accused/0/pass", json!(accused.pass + 1), &supports, "pass"),
        ("/accused/0/p_value", json!(0.5), &p_value(accused.consumer.as_str()), ""),
        ("/accused/0/log_p_value", json!(accused.log_p_value - 1.0), &p_value(accused.consumer.as_str()), ""),
        ("/accused/0/orders/0/p_value", json!(0.5), &p_value(of_order), ""),
        ("/accused/0/orders/0/p_value", Value::Null, &p_value(of_order), ""),
        ("/accused/0/orders", json!([]), &"leaves out".to_owned(), of_order),
        ("/products/0/marks/epoch", json!(marks.epoch + 1), &shows, "epoch"),
        ("/products/0/marks/positions", json!(marks.positions + 1), &shows, "positions"),
        ("/products/0/marks/order_positions", json!(marks.order_positions + 1), &shows, "positions of orders"),
        ("/products/0/marks/possible", json!(false), &shows, "possible"),
        ("/products/0/marks/power", json!(marks.power - 0.01), &shows, "power"),
        ("/products/0/marks/needed", json!(2.0 * marks.needed.unwrap()), &shows, "needed"),
        ("/products/0/marks/needed", Value::Null, &shows, "needed"),
        ("/products/0/marks/channels/delay/replaced", json!(0.4), &shows, "channel delay"),
        ("/products/0/marks/channels", json!({}), &shows, "channel delay"),
        ("/accused", json!([written("/accused/0"), written("/accused/0")]), &"accused twice".to_owned(), ""),
        ("/reason", json!("必是该接收方所为"), &"otherwise".to_owned(), "reason"),
    ] {
        let told = told(part, &by);
        let is_told = told.iter().any(|one| one.contains(problem.as_str()) && one.contains(named));
        assert!(is_told, "{part} became {by}: {told:?}");
    }

    // What voids the answer stands in report and case, in both languages, and a case that leaves out any of it is not verified.
    let assumptions = &found.report.assumptions;
    let case = String::from_utf8(Evidence::parse(&bundle).unwrap().item(CASE).unwrap().bytes.clone()).unwrap();
    for (words, words_en) in [
        ("同时持有密钥两半者可以伪造", "who holds both halves of the keys can make a copy"),
        ("副本可能被盗", "a copy can be stolen"),
        ("应以交付回执与他人留存的检查点佐证", "corroborate by receipts and by checkpoints that others kept"),
    ] {
        assert!(assumptions.iter().any(|one| one.text.contains(words) && one.text_en.contains(words_en)), "{words_en}");
        assert!(case.contains(words) && case.contains(words_en), "{words_en}");
    }
    for left_out in 0..assumptions.len() {
        let mut fewer = assumptions.clone();
        fewer.remove(left_out);
        let told = told("/assumptions", &json!(fewer));
        assert!(told.iter().any(|one| one.contains("what voids its answer")), "{left_out}: {told:?}");
    }
}

/// The keys of those whom the evidence accuses are fewer than were tested, and come to what all of them came to.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_two_leaks_in_one_file_comes_to_the_same() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let other = leaks.leak(&leaks.second, 700).await;
    let mixed = format!("{leak}{}", other.split_once('\n').unwrap().1);
    let found = trace(leaks.scenario(), &mixed).await;
    assert_eq!(found.report.accused.len(), 2, "{:?}", found.report.accused);
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
}
