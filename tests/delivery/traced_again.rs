//! What somebody else can see of a trace for himself: the court's expert, who has the file and the sealed annex, finds every
//! observation that was forged or left out; a judge reads the report.

use std::sync::Arc;

use lingqu_app::{
    ObservedAgain, Trace, TraceCheck, TraceSettings, TraceWatch, trace_report_pdf, verify_trace, verify_trace_with,
};
use lingqu_crypto::sha256;
use lingqu_engine::source::{Fragment, FragmentOptions, StopSignal};
use lingqu_transparency::{Evidence, EvidenceTrust};

use crate::marked_leak::{Leaks, forged, forged_by};

/// The font that `make setup` installs.
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
const OBSERVATIONS: &str = "trace/observations.0";
/// The first line of the observations, and the bytes of each.
const HEAD: usize = b"lingqu-observations v1\n".len();
const OBSERVATION: usize = 36;
const ROWS: usize = 2_000;

fn fragment(leaks: &Leaks, name: &str, text: &str) -> Fragment {
    let path = leaks.scenario().directory().join(name);
    std::fs::write(&path, text).unwrap();
    Fragment::read(&path, &FragmentOptions::default()).unwrap()
}

async fn traced(leaks: &Leaks, fragment: Fragment) -> Trace {
    let settings = TraceSettings { keeps_originals: true, ..TraceSettings::default() };
    let watch = TraceWatch::new(|_| {}, Arc::new(StopSignal::default()));
    leaks.scenario().app.trace(fragment, &settings, &watch).await.unwrap()
}

fn looked(bundle: &[u8], annex: &[u8], file: &Fragment) -> TraceCheck {
    verify_trace_with(bundle, &EvidenceTrust::default(), Some((annex, file)))
}

fn problems(check: &TraceCheck, item: &str) -> String {
    let found = check.findings.iter().filter(|(place, _)| place == item);
    found.map(|(_, problem)| problem.clone()).collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expert_finds_what_was_forged_left_out_or_added() {
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, ROWS).await;
    let file = fragment(&leaks, "leak.csv", &leak);
    let found = traced(&leaks, file.clone()).await;
    let annex = found.sealed().unwrap().unwrap();
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let check = looked(&bundle, &annex, &file);
    assert!(check.verified, "{:?}", check.findings);
    let Some(ObservedAgain { rows, rows_traced, positions }) = check.observed else { panic!("{check:?}") };
    assert!(rows > 1_900 && rows_traced == ROWS as u64 && positions > 1_900, "{rows} of {rows_traced}: {positions}");
    // Without the annex nothing is said of it, and nothing of it is in the bundle.
    let plain = verify_trace(&bundle, &EvidenceTrust::default());
    assert!(plain.verified && plain.observed.is_none());
    let annex_text = String::from_utf8(annex.clone()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&annex_text).unwrap();
    let key = json["products"][0]["key"].as_str().unwrap();
    assert!(!String::from_utf8_lossy(&bundle).contains(key) && !format!("{found:?}").contains(key));

    let last = |bytes: &[u8]| bytes[bytes.len() - OBSERVATION..].to_vec();
    type Forgery = (&'static str, fn(Vec<u8>, Vec<u8>) -> Vec<u8>);
    let forgeries: [Forgery; 6] = [
        ("left out", |mut bytes, last| {
            bytes.truncate(bytes.len() - last.len());
            bytes
        }),
        ("more than once", |bytes, last| [bytes, last].concat()),
        ("are not what the file shows", |bytes, mut last| {
            last[OBSERVATION - 1] ^= 1;
            [bytes, last].concat()
        }),
        ("show something else", |mut bytes, _| {
            // The sign of the first residual: the bit is the other one.
            bytes[HEAD + 19] ^= 0x80;
            bytes
        }),
        ("show something else", |mut bytes, _| {
            // The bias.
            bytes[HEAD + 8] ^= 0x80;
            bytes
        }),
        ("are not what the file shows", |mut bytes, _| {
            // The row.
            bytes[HEAD + 4] ^= 1;
            bytes
        }),
    ];
    for (told, forgery) in forgeries {
        let forged = forged_by(&leaks, &bundle, OBSERVATIONS, |bytes| {
            let last = last(&bytes);
            forgery(bytes, last)
        });
        let check = looked(&forged, &annex, &file);
        assert!(problems(&check, OBSERVATIONS).contains(told), "{told}: {:?}", check.findings);
        assert!(!check.verified && check.observed.is_none());
    }

    // Another file, another annex, and one whose key was never committed to.
    let other = fragment(&leaks, "other.csv", &leak.replacen('1', "2", 1));
    assert!(problems(&looked(&bundle, &annex, &other), "sealed annex").contains("another file"));
    let another = format!("{}{}", if key.starts_with('0') { '1' } else { '0' }, &key[1..]);
    let changed = annex_text.replacen(key, &another, 1).into_bytes();
    assert!(problems(&looked(&bundle, &changed, &file), "sealed annex").contains("not the annex"));
    let named = forged(&leaks, &bundle, "trace/case.json", &sha256(&annex).to_string(), &sha256(&changed).to_string());
    let check = looked(&named, &changed, &file);
    assert!(problems(&check, OBSERVATIONS).contains("not the one that was committed to"), "{:?}", check.findings);
    let bare = leaks.scenario().app.export_trace(&crate::traced::trace(leaks.scenario(), &leak).await).await.unwrap();
    assert!(problems(&looked(&bare, &annex, &file), "sealed annex").contains("without an annex"));
    let parsed = Evidence::parse(&bare).unwrap();
    assert!(parsed.item(OBSERVATIONS).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_in_chinese_says_what_was_found_and_is_the_same_again() {
    let Ok(font) = std::fs::read(FONT) else {
        assert!(std::env::var_os("CI").is_none(), "no font was found for the report; run make setup");
        return;
    };
    let leaks = Leaks::open().await;
    let leak = leaks.leak(&leaks.first, ROWS).await;
    let found = traced(&leaks, fragment(&leaks, "leak.csv", &leak)).await;
    let bundle = leaks.scenario().app.export_trace(&found).await.unwrap();
    let check = verify_trace(&bundle, &EvidenceTrust::default());
    let pdf = trace_report_pdf(&found.report, None, font.clone()).unwrap();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 10_000);
    let written = trace_report_pdf(&found.report, None, font.clone()).unwrap();
    assert!(pdf == written, "the same report and font give the same bytes");
    // That of the evidence has what the check found, and is another one.
    let of_bundle = check.report.as_ref().unwrap();
    let checked = trace_report_pdf(of_bundle, Some(&check), font.clone()).unwrap();
    assert!(checked.len() > pdf.len());
    let nobody =
        traced(&leaks, fragment(&leaks, "few.csv", &leak.lines().take(9).collect::<Vec<_>>().join("\n"))).await;
    assert!(nobody.report.accused.is_empty() && nobody.sealed().unwrap().is_none());
    let undecided = trace_report_pdf(&nobody.report, None, font).unwrap();
    assert!(undecided.starts_with(b"%PDF-") && undecided.len() < pdf.len());
    assert!(trace_report_pdf(&found.report, None, b"no font".to_vec()).unwrap_err().to_string().contains("font"));
    if let Some(directory) = std::env::var_os("LINGQU_SHOW_REPORTS") {
        let directory = std::path::PathBuf::from(directory);
        for (name, pdf) in [("trace.pdf", &pdf), ("checked.pdf", &checked), ("undecided.pdf", &undecided)] {
            std::fs::write(directory.join(name), pdf).unwrap();
        }
    }
}
