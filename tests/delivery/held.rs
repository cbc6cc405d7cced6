//! Evidence as an operator could write it who has the node's own key and a genuine record of a trace: fewer registered than were
//! tested, another report beside the record, or no record. Each is told, with the p-values lowered to fit as well; and so is what
//! the report says of the accused and no record bears out.

use lingqu_app::{HeldAgainst, Trace, TraceCheck, verify_trace};
use lingqu_tests::scenario::Who;
use lingqu_transparency::{Evidence, EvidenceTrust, RecordKind};
use serde_json::Value;

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
        let of_order = accused.orders[0].log_p_value.unwrap();
        let check = self.check(&|text| {
            let mut text = change(text);
            for (claim, is_order) in [(accused.log_p_value, false), (of_order, true)] {
                let fits = computed.iter().find(|found| found.order.is_some() == is_order).unwrap().log_p_value;
                let written = |log: f64| format!("\"log_p_value\":{}", Value::from(log));
                text = replaced(&text, &written(claim), &written(fits));
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
    for check in [forger.check(&stripped), forger.check(&|text| without_tries(&stripped(text)))] {
        assert_eq!((check.findings.as_slice(), check.held), ([].as_slice(), HeldAgainst::Nothing));
        assert!(!check.verified && check.recorded.is_none());
        assert!(check.problem().unwrap().1.contains("no record of the trace"), "{:?}", check.problem());
    }
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
