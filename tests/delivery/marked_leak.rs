//! A copy that names its recipient: downloaded over HTTP, put through what a pirate does, traced by the node, and the evidence
//! checked by somebody who has nothing but the file.

use lingqu_app::{Trace, TraceVerdict, verify_trace};
use lingqu_crypto::{IndexKey, SigningKey};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, Scenario, Who};
use lingqu_transparency::{Evidence, EvidenceBuilder, EvidenceRecord, EvidenceTrust, LogProof, NoteSigner};

use crate::served::Served;
use crate::traced::{download, leaked, trace};

const MODES: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];
const TRIPS: usize = 6_000;
/// `trip_id,line,day,delay,vehicle,note`: the place of the marked column.
const DELAY: usize = 3;

struct Leaks {
    served: Served,
    first: Ordered,
    first_again: Ordered,
    second: Ordered,
}

impl Leaks {
    async fn open() -> Leaks {
        let scenario = Scenario::open_marked(TRIPS).await;
        let served = Served::of(scenario, Settings::default()).await;
        let order = async |who| served.scenario.order_marked(who, &MODES).await;
        let [first, first_again, second] = [order(Who::First).await, order(Who::First).await, order(Who::Second).await];
        Leaks { first, first_again, second, served }
    }

    fn scenario(&self) -> &Scenario {
        &self.served.scenario
    }

    /// An order's file, without the key, the pseudonym and the names, in another order.
    async fn leak(&self, order: &Ordered, rows: usize) -> String {
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
        ("trace/case.json", "\"bound\": 5e-7", "\"bound\": 5e-3"),
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

/// The bundle with one item changed, signed anew by who has the node's secret.
fn forged(leaks: &Leaks, bundle: &[u8], item: &str, from: &str, to: &str) -> Vec<u8> {
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
    for record in evidence.records().unwrap() {
        let EvidenceRecord { entry_index, .. } = record;
        if !builder.has_entry(entry_index) {
            let entry = &evidence.item(&format!("entry/{entry_index}")).unwrap().bytes;
            builder.entry(entry, &LogProof::from_text(&text(&format!("proof/{entry_index}"))).unwrap()).unwrap();
        }
        builder.record(&record).unwrap();
    }
    for found in evidence.items.iter().filter(|found| found.name.starts_with("trace/")) {
        let mut bytes = found.bytes.clone();
        if found.name == item {
            let whole = String::from_utf8(bytes).unwrap();
            assert!(whole.contains(from), "{item} has no {from}");
            bytes = whole.replace(from, to).into_bytes();
        }
        builder.item(&found.name, &bytes).unwrap();
    }
    builder.build(&signer).unwrap()
}
