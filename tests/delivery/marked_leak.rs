//! A copy that names its recipient: downloaded over HTTP, put through what a pirate does, traced by the node, and the evidence
//! checked by somebody who has nothing but the file.

use std::sync::{Arc, Barrier};

use jiff::SignedDuration;
use lingqu_app::{Trace, TraceVerdict, verify_trace};
use lingqu_crypto::{IndexKey, SigningKey};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, Scenario, Who};
use lingqu_transparency::{Evidence, EvidenceBuilder, EvidenceRecord, EvidenceTrust, LogProof, NoteSigner, RecordKind};

use crate::served::Served;
use crate::traced::{download, leaked, trace, trace_telling};

const MODES: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];
const TRIPS: usize = 6_000;
/// `trip_id,line,day,delay,vehicle,note`: the place of the marked column.
const DELAY: usize = 3;

/// A node with three orders of a marked product, two of one consumer.
pub struct Leaks {
    served: Served,
    pub first: Ordered,
    first_again: Ordered,
    pub second: Ordered,
}

impl Leaks {
    pub async fn open() -> Leaks {
        Leaks::open_behind(SignedDuration::ZERO).await
    }

    /// The same on a node whose clock runs so far behind the machine's, so that a test can let time pass.
    async fn open_behind(behind: SignedDuration) -> Leaks {
        let scenario = Scenario::open_marked_behind(TRIPS, behind).await;
        let served = Served::of(scenario, Settings::default()).await;
        let order = async |who| served.scenario.order_marked(who, &MODES).await;
        let [first, first_again, second] = [order(Who::First).await, order(Who::First).await, order(Who::Second).await];
        Leaks { first, first_again, second, served }
    }

    pub fn scenario(&self) -> &Scenario {
        &self.served.scenario
    }

    /// An order's file, without the key, the pseudonym and the names, in another order.
    pub async fn leak(&self, order: &Ordered, rows: usize) -> String {
        let file = download(&self.served, order, "/export?format=csv").await;
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let kept: Vec<String> = leaked(&file, rows, "")
            .lines()
            .skip(1)
            .map(|line| cells(line)[1..4].join(",") + "," + &cells(line)[5])
            .collect();
        format!("一,二,三,四\n{}\n", kept.join("\n"))
    }
}

/// The marked column rounded to even minutes.
fn rounded(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        if let Ok(minutes) = cells[DELAY - 1].parse::<f64>() {
            cells[DELAY - 1] = format!("{:.1}", (minutes / 2.0).round() * 2.0);
        }
        lines.push(cells.join(","));
    }
    lines.join("\n") + "\n"
}

fn consumers(trace: &Trace) -> Vec<String> {
    let mut names: Vec<String> = trace.report.accused.iter().map(|accused| accused.consumer.to_string()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaked_copy_names_its_recipient_and_order_with_evidence_that_anybody_checks() {
    let leaks = Leaks::open().await;
    let (first, second) =
        (leaks.scenario().party(Who::First).to_string(), leaks.scenario().party(Who::Second).to_string());
    // All have a copy, so the receipts alone tell nothing.
    for order in [&leaks.first_again, &leaks.second] {
        download(&leaks.served, order, "/export?format=csv").await;
    }
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let found = trace(leaks.scenario(), &leak).await;
    let report = &found.report;
    assert_eq!(report.verdict, TraceVerdict::Accused, "{report:?}");
    assert_eq!(consumers(&found), std::slice::from_ref(&first));
    let accused = &report.accused[0];
    assert!(accused.log_p_value < report.bound.ln(), "{accused:?}");
    // The order that leaked is told apart from the consumer's other one.
    let told: Vec<_> = accused.orders.iter().filter(|order| order.log_p_value.is_some()).collect();
    assert_eq!(told.len(), 1, "{:?}", accused.orders);
    assert_eq!((&told[0].order, accused.orders.len()), (&leaks.first.id, 2));
    assert!(accused.channels["delay"].positions > 1_000 && accused.channels["delay"].score > 100.0, "{accused:?}");
    assert!(accused.deliveries.iter().any(|delivery| delivery.order == leaks.first.id && delivery.rows > 1_900));
    assert_eq!(report.tested, 2);

    let found = trace(leaks.scenario(), &rounded(&leak)).await;
    assert_eq!(consumers(&found), std::slice::from_ref(&first), "{:?}", found.report);

    // Two leaks in one file.
    let other = leaks.leak(&leaks.second, 2_000).await;
    let mixed = format!("{leak}{}", other.split_once('\n').unwrap().1);
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(consumers(&trace(leaks.scenario(), &mixed).await), both);

    // Too little: one copy in some fifty million accuses by eight rows.
    let few: String = leak.lines().take(9).map(|line| format!("{line}\n")).collect();
    let found = trace(leaks.scenario(), &few).await;
    assert_eq!((found.report.verdict, found.report.accused.len()), (TraceVerdict::Undecided, 0), "{:?}", found.report);
    assert!(found.report.reason_en.contains("no accusation is possible"), "{}", found.report.reason_en);
    assert!(leaks.scenario().app.export_trace(&found).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_a_trace_holds_offline_and_nothing_in_it_can_be_changed() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    leaks.leak(&leaks.second, 10).await;
    let found = trace(leaks.scenario(), &leak).await;
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
    assert_eq!(check.fragment_digest.as_ref(), Some(&found.report.fragment.digest));
    assert_eq!(check.accused.len(), 2, "the recipient's key and the order's: {:?}", check.accused);
    assert!(check.accused.iter().all(|accused| accused.consumer == *leaks.scenario().party(Who::First)));
    // By how many the p-values are multiplied is told: two consumers had keys.
    assert!(check.accused.iter().all(|accused| accused.registered >= 2 && accused.bound > 0.0), "{:?}", check.accused);
    let of_recipients = check.accused.iter().find(|accused| accused.order.is_none()).map(|accused| accused.registered);
    assert_eq!(of_recipients, Some(2));
    assert!(check.accused.iter().all(|accused| accused.holder == *leaks.scenario().party(Who::Auditor)));
    let parsed = Evidence::parse(&bundle).unwrap();
    // No value of the table is in it, and no key of anybody else.
    let text = String::from_utf8_lossy(&bundle);
    assert!(
        !text.contains("途经各站") && !text.contains(leaks.scenario().party(Who::Second).as_str()),
        "a value or another's name"
    );
    assert!(!parsed.records().unwrap().is_empty());

    // Every byte counts.
    for place in (0..bundle.len()).step_by(bundle.len() / 40) {
        let mut other = bundle.clone();
        other[place] ^= 1;
        assert!(!verify_trace(&other, &EvidenceTrust::default()).verified, "byte {place}");
    }
    // And what the node itself writes anew and signs: another consumer's name, a larger bound, a key that was never committed to.
    let first = leaks.scenario().party(Who::First).to_string();
    let second = leaks.scenario().party(Who::Second).to_string();
    for (item, from, to) in [
        ("trace/case.json", first.as_str(), second.as_str()),
        ("trace/keys.json", first.as_str(), second.as_str()),
        ("trace/case.json", "\"registered\": 2", "\"registered\": 1"),
        // The first trace of a file may use a half of one in a million, which recipients and orders share.
        ("trace/case.json", "\"bound\": 2.5e-7", "\"bound\": 5e-7"),
        ("trace/case.json", "\"before\":0", "\"before\":1"),
        ("trace/case.json", "\"tested\":2", "\"tested\":3"),
        ("trace/case.json", "\"recorded\": \"trc_0", "\"recorded\": \"trc_7"),
        ("trace/keys.json", "\"key\": \"", "\"key\": \"00"),
        ("trace/keys.json", "\"salt\": \"", "\"salt\": \"00"),
    ] {
        let forged = forged(&leaks, &bundle, item, from, to);
        let check = verify_trace(&forged, &EvidenceTrust::default());
        assert!(!check.verified, "{item}: {from} became {to}");
    }
    // The signature is the node's own: who trusts its key finds the signature right and the claim wrong.
    let untouched = forged(&leaks, &bundle, "trace/case.json", "lingqu-trace v1", "lingqu-trace v1");
    assert!(verify_trace(&untouched, &EvidenceTrust::default()).verified);
}

/// Keys that were disclosed mark no further copy; copies from before and after are both traced, to the same consumer.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_disclosure_the_next_copies_are_marked_by_other_keys() {
    const EXPORT: &str = "/export?format=csv";
    let leaks = Leaks::open().await;
    let (served, scenario) = (&leaks.served, leaks.scenario());
    let first = scenario.party(Who::First).to_string();
    let before = leaks.leak(&leaks.first, 2_000).await;
    let copy_before = download(served, &leaks.first, EXPORT).await;
    let other_before = download(served, &leaks.second, EXPORT).await;
    let found = trace(scenario, &before).await;
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let held = scenario.app.serving(&leaks.first.key).await.unwrap();

    scenario.renew_mark_keys(&leaks.first.id).await;
    // Nothing more leaves by the old keys, at none of the consumer's orders: no new delivery, and none that runs.
    for order in [&leaks.first, &leaks.first_again] {
        assert_eq!(served.get(order, EXPORT).await.problem().1, "mark_keys_missing");
    }
    assert!(scenario.app.still_granted(&held).is_err());
    assert_eq!(download(served, &leaks.second, EXPORT).await, other_before, "another consumer is not touched");

    for order in [&leaks.first, &leaks.first_again] {
        scenario.give_key_shares(&order.id).await;
    }
    let copy_after = download(served, &leaks.first, EXPORT).await;
    assert_ne!(copy_after, copy_before);
    assert_eq!(download(served, &leaks.first, EXPORT).await, copy_after, "a repeated download is the same");
    let after = leaks.leak(&leaks.first, 2_000).await;

    let named = |trace: &Trace| -> Vec<(String, u32)> {
        let accused = trace.report.accused.iter();
        let mut named: Vec<_> = accused.map(|found| (found.consumer.to_string(), found.code_epoch)).collect();
        named.sort();
        named
    };
    let again = trace(scenario, &before).await;
    assert_eq!(named(&again), [(first.clone(), 0)], "the old copy is still traceable");
    // Three codes: two of the first consumer, one of the second.
    assert_eq!(again.report.tested, 3);
    let found_after = trace(scenario, &after).await;
    assert_eq!(named(&found_after), [(first.clone(), 1)]);
    let told: Vec<_> =
        found_after.report.accused[0].orders.iter().filter(|order| order.log_p_value.is_some()).collect();
    assert_eq!((told.len(), &told[0].order), (1, &leaks.first.id));
    // Both copies hold the same rows: beside each code stand the deliveries that were marked by it, and no other.
    let delivered = |trace: &Trace| trace.report.accused[0].deliveries.len();
    assert_eq!([delivered(&again), delivered(&found_after)], [2, 3], "{:?}", found_after.report.accused);
    let mixed = format!("{before}{}", after.split_once('\n').unwrap().1);
    assert_eq!(named(&trace(scenario, &mixed).await), [(first.clone(), 0), (first.clone(), 1)]);

    // Evidence names the epoch; that from before goes on holding, and neither discloses a key of the other.
    let bundle_after = scenario.app.export_trace(&found_after).await.unwrap();
    for (bundle, epoch) in [(&bundle, 0), (&bundle_after, 1)] {
        let check = verify_trace(bundle, &EvidenceTrust::default());
        assert!(check.verified, "{:?}", check.findings);
        assert_eq!(check.accused.len(), 2);
        assert!(check.accused.iter().all(|found| found.code_epoch == epoch), "{:?}", check.accused);
    }
    let keys = |bundle: &[u8]| Evidence::parse(bundle).unwrap().item("trace/keys.json").unwrap().bytes.clone();
    assert_ne!(keys(&bundle), keys(&bundle_after));
    for (item, from, to) in [
        ("trace/keys.json", "\"code_epoch\": 1", "\"code_epoch\": 2"),
        ("trace/keys.json", "\"code_epoch\": 1", "\"code_epoch\": 0"),
        ("trace/case.json", "\"code_epoch\":1", "\"code_epoch\":0"),
    ] {
        let forged = forged(&leaks, &bundle_after, item, from, to);
        assert!(!verify_trace(&forged, &EvidenceTrust::default()).verified, "{item}: {from} became {to}");
    }
    let report = scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// Codes that come while a trace runs were not tested by it, and its evidence holds all the same.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_renewed_while_a_trace_runs_leave_its_evidence_whole() {
    let leaks = Leaks::open().await;
    let scenario = leaks.scenario();
    let leak = leaks.leak(&leaks.first, 2_000).await;
    // The trace waits where it has counted the codes, until they are others.
    let (waits, goes_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let tell = {
        let (waits, goes_on) = (Arc::clone(&waits), Arc::clone(&goes_on));
        move |doing: &str| {
            if doing.starts_with("testing") {
                waits.wait();
                goes_on.wait();
            }
        }
    };
    let renewing = async {
        tokio::task::spawn_blocking(move || waits.wait()).await.unwrap();
        scenario.renew_mark_keys(&leaks.first.id).await;
        for order in [&leaks.first, &leaks.first_again] {
            scenario.give_key_shares(&order.id).await;
        }
        tokio::task::spawn_blocking(move || goes_on.wait()).await.unwrap();
    };
    let (found, ()) = tokio::join!(trace_telling(scenario, &leak, tell), renewing);
    assert_eq!((consumers(&found), found.report.tested), (vec![scenario.party(Who::First).to_string()], 2));
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
    // Three orders were tested, and the bundle has commitments to the keys of four, two of them from after that.
    let records = Evidence::parse(&bundle).unwrap().records().unwrap();
    let commits = |record: &&EvidenceRecord| String::from_utf8_lossy(&record.bytes).contains("\"mark_keys_committed\"");
    let registered = check.accused.iter().find(|accused| accused.order.is_some()).map(|accused| accused.registered);
    assert_eq!((records.iter().filter(commits).count(), registered), (4, Some(3)));

    // The record names the position by which codes were counted, as the report does.
    let is_of_trace = |record: &&EvidenceRecord| {
        record.kind == RecordKind::Journal && String::from_utf8_lossy(&record.bytes).contains("\"trace.recorded\"")
    };
    let record = records.iter().find(is_of_trace).unwrap();
    let position = found.report.journal_position.unwrap();
    assert!(String::from_utf8_lossy(&record.bytes).contains(&format!("\"journal_position\":{position},")));
    assert!(position < record.position && check.journal_position == Some(position));
    assert_eq!(check.records_between, Some(record.position - position - 1));
    assert!(check.records_between > Some(1), "the keys of two orders were committed to meanwhile");

    // Codes that are said to be of when fewer or more were registered, or of no such time, are found.
    let (day, _) = found.report.traced_at.split_once('T').unwrap();
    let (traced_at, at_position) = (format!("\"traced_at\":\"{day}"), format!("\"journal_position\":{position},"));
    let after = format!("\"journal_position\":{},", record.position);
    for (from, to, told) in [
        (&traced_at, "\"traced_at\":\"2021-01-01", "within a day"),
        (&traced_at, "\"traced_at\":\"2121-01-01", "after it was recorded"),
        (&at_position, "\"journal_position\":1,", "clocks of the node's processes agree"),
        (&at_position, after.as_str(), "its own record is"),
        (&at_position, "", "position in the journal"),
    ] {
        let other = forged(&leaks, &bundle, "trace/case.json", from, to);
        let check = verify_trace(&other, &EvidenceTrust::default());
        assert!(check.findings.iter().any(|(_, problem)| problem.contains(told)), "{to}: {:?}", check.findings);
    }
    // Later codes, at the time of the trace's own record, which is none before theirs however long it took to renew the keys.
    let recorded: serde_json::Value = serde_json::from_slice(&record.bytes).unwrap();
    let other = forged_by(&leaks, &bundle, "trace/case.json", |bytes| {
        let case = String::from_utf8(bytes).unwrap();
        let case = case.replace(&found.report.traced_at, recorded["at"].as_str().unwrap());
        case.replace(&at_position, &format!("\"journal_position\":{},", record.position - 1)).into_bytes()
    });
    let findings = verify_trace(&other, &EvidenceTrust::default()).findings;
    let told = "its own records commit to 4 keys";
    assert!(findings.iter().any(|(_, problem)| problem.contains(told)), "{findings:?}");
}

/// What takes long comes before the codes are taken, and a test of them that takes long is dated by its end, so a trace of more than a
/// day has evidence.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_more_than_a_day_has_evidence() {
    let leaks = Leaks::open_behind(SignedDuration::from_hours(70)).await;
    let scenario = leaks.scenario();
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let (began, clock) = (scenario.app.now(), scenario.app.clock().clone());
    let tell = move |doing: &str| {
        if doing.starts_with("asking the receipts") || doing.starts_with("testing") {
            clock.advance(SignedDuration::from_hours(30));
        }
    };
    let found = trace_telling(scenario, &leak, tell).await;
    assert!(scenario.app.now().duration_since(began) > SignedDuration::from_hours(48));
    assert_eq!(consumers(&found), [scenario.party(Who::First).to_string()]);
    let bundle = scenario.app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(check.verified, "{:?}", check.findings);
}

/// Each further trace of a file has less of the bound, and evidence can't claim to be of an earlier one.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_tried_again_has_less_of_the_bound() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let mut bounds = Vec::new();
    for before in 0..3 {
        let found = trace(leaks.scenario(), &leak).await;
        let tries = found.report.tries.unwrap();
        assert_eq!((tries.before, tries.of_same_versions), (before, 0));
        let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
        let check = verify_trace(&bundle, &EvidenceTrust::default());
        assert!(check.verified, "{:?}", check.findings);
        assert_eq!((check.tries, check.recorded.as_ref()), (Some(tries), Some(&found.recorded)));
        // Recipients and orders share what is left.
        bounds.push(check.accused.iter().map(|accused| accused.bound).fold(0.0, f64::max) * 2.0 / found.report.bound);
        if before == 2 {
            let earlier = forged(&leaks, &bundle, "trace/case.json", "\"before\":2", "\"before\":0");
            let check = verify_trace(&earlier, &EvidenceTrust::default());
            assert!(check.findings.iter().any(|(_, problem)| problem.contains("tries")), "{:?}", check.findings);
        }
    }
    for (bound, share) in bounds.iter().zip([1.0 / 2.0, 1.0 / 6.0, 1.0 / 12.0]) {
        assert!((bound - share).abs() < 1e-9, "{bounds:?}");
    }
    // Another file of the same version is another case, and is told.
    let other = leaks.leak(&leaks.second, 1_000).await;
    let tries = trace(leaks.scenario(), &other).await.report.tries.unwrap();
    assert_eq!((tries.before, tries.of_same_versions), (0, 3));
}

/// The bundle with a text of one item changed, signed anew by who has the node's secret.
pub fn forged(leaks: &Leaks, bundle: &[u8], item: &str, from: &str, to: &str) -> Vec<u8> {
    forged_by(leaks, bundle, item, |bytes| {
        let whole = String::from_utf8(bytes).unwrap();
        assert!(whole.contains(from), "{item} has no {from}");
        whole.replace(from, to).into_bytes()
    })
}

/// The bundle with one item changed, signed anew by who has the node's secret.
pub fn forged_by(leaks: &Leaks, bundle: &[u8], item: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    signed_anew(leaks, bundle, |_| false, |name, bytes| if name == item { change(bytes) } else { bytes })
}

/// The bundle without some records, signed anew by who has the node's secret.
pub fn without_records(leaks: &Leaks, bundle: &[u8], is_left_out: impl Fn(&EvidenceRecord) -> bool) -> Vec<u8> {
    signed_anew(leaks, bundle, is_left_out, |_, bytes| bytes)
}

fn signed_anew(
    leaks: &Leaks,
    bundle: &[u8],
    is_left_out: impl Fn(&EvidenceRecord) -> bool,
    item_of: impl Fn(&str, Vec<u8>) -> Vec<u8>,
) -> Vec<u8> {
    let evidence = Evidence::parse(bundle).unwrap();
    let secret = std::fs::read_to_string(leaks.scenario().app.directory().join("keys/node.secret")).unwrap();
    let mut root = [0; 32];
    for (place, byte) in root.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&secret[2 * place..2 * place + 2], 16).unwrap();
    }
    let seed = IndexKey::from_bytes(root).digest("lingqu node key v1", b"signing").0;
    let signer = NoteSigner::new(&evidence.node, SigningKey::from_seed(seed)).unwrap();
    let mut builder = EvidenceBuilder::new(&evidence.order, &evidence.created_at, &evidence.node);
    let text = |name: &str| String::from_utf8(evidence.item(name).unwrap().bytes.clone()).unwrap();
    builder.checkpoint(&text("checkpoint")).unwrap();
    builder.vkey(signer.verifier()).unwrap();
    for record in evidence.records().unwrap().into_iter().filter(|record| !is_left_out(record)) {
        let EvidenceRecord { entry_index, .. } = record;
        if !builder.has_entry(entry_index) {
            let entry = &evidence.item(&format!("entry/{entry_index}")).unwrap().bytes;
            builder.entry(entry, &LogProof::from_text(&text(&format!("proof/{entry_index}"))).unwrap()).unwrap();
        }
        builder.record(&record).unwrap();
    }
    for found in evidence.items.iter().filter(|found| found.name.starts_with("trace/")) {
        builder.item(&found.name, &item_of(&found.name, found.bytes.clone())).unwrap();
    }
    builder.build(&signer).unwrap()
}
