//! Fragments that were found somewhere, traced by the node that delivered them: by its receipts, where the product is exact.

use std::collections::BTreeSet;
use std::sync::Arc;

use lingqu_app::{ExplainedBy, Trace, TraceSettings, TraceVerdict, TraceWatch};
use lingqu_crypto::sha256;
use lingqu_domain::event::canonical;
use lingqu_domain::id::OrderId;
use lingqu_domain::scope::Mode;
use lingqu_engine::source::{Fragment, FragmentOptions, SourceOptions, StopSignal};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_RECORDS, Who};
use reqwest::Method;

use crate::served::{Reply, Served};

const ROWS: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];

/// Traces a text as it would lie in a file.
pub async fn trace(scenario: &Scenario, text: &str) -> Trace {
    trace_telling(scenario, text, |_| {}).await
}

/// The same; `tell` hears what is being done.
pub async fn trace_telling(scenario: &Scenario, text: &str, tell: impl Fn(&str) + Send + Sync + 'static) -> Trace {
    let path = scenario.directory().join("found.txt");
    std::fs::write(&path, text).unwrap();
    let fragment = Fragment::read(&path, &FragmentOptions::default()).unwrap();
    let watch = TraceWatch::new(tell, Arc::new(StopSignal::default()));
    scenario.app.trace(fragment, &TraceSettings::default(), &watch).await.unwrap()
}

/// A CSV file of an order, read whole and closed.
pub async fn download(served: &Served, order: &Ordered, path: &str) -> String {
    let reply = served.get(order, path).await.ok();
    served.closed(reply.header("delivery-receipt").unwrap()).await;
    reply.text()
}

/// Rows of a statement.
async fn query(served: &Served, order: &Ordered, sql: &'static str) -> String {
    let request = served.request(Method::POST, order, "/query").header("accept", "text/csv").body(sql);
    let reply = Reply::of(request).await.ok();
    served.closed(reply.header("delivery-receipt").unwrap()).await;
    reply.text()
}

/// The lines of a table in another order, some of them, under other names.
pub fn leaked(csv: &str, rows: usize, names: &str) -> String {
    let mut lines: Vec<&str> = csv.lines().skip(1).collect();
    // A fixed order that is neither the key's nor its reverse.
    lines.sort_by_key(|line| {
        line.bytes().fold(17u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    });
    lines.truncate(rows);
    format!("{names}\n{}\n", lines.join("\n"))
}

fn explained(trace: &Trace) -> (ExplainedBy, Vec<Vec<OrderId>>) {
    let receipts = &trace.report.products[0].receipts;
    (receipts.explained_by, receipts.explanations.iter().map(|set| set.orders.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receipts_of_an_exact_product_say_who_had_the_rows_and_accuse_nobody() {
    let served = Served::open(None, 3_000).await;
    let scenario = &served.scenario;
    let whole = scenario.order(Who::First, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let [left, right] = [
        scenario.order(Who::Second, TRIP_RECORDS, &ROWS, (1_000, 20)).await,
        scenario.order(Who::Second, TRIP_RECORDS, &ROWS, (1_000, 20)).await,
    ];
    let first =
        query(&served, &left, "SELECT trip_id, line, day, delay, note FROM trip_records WHERE line = 'L1'").await;
    let second =
        query(&served, &right, "SELECT trip_id, line, day, delay, note FROM trip_records WHERE line = 'L2'").await;
    let both = format!("{first}{}", second.split_once('\n').unwrap().1);

    // Before the whole was delivered to anybody, nobody alone had rows of both lines.
    let trace_of_both = trace(scenario, &leaked(&both, 800, "a,b,c,d,e")).await;
    assert_eq!(trace_of_both.report.verdict, TraceVerdict::Undecided, "{:?}", trace_of_both.report);
    assert!(trace_of_both.report.accused.is_empty());
    let mut pair = vec![left.id.clone(), right.id.clone()];
    pair.sort();
    assert_eq!(explained(&trace_of_both), (ExplainedBy::Pair, vec![pair]));
    let product = &trace_of_both.report.products[0];
    assert_eq!((product.table.as_str(), product.receipts.rows_nobody_had), (TRIP_RECORDS, 0));
    assert!(product.receipts.rows >= 795, "{product:?}");
    assert!(product.marks.is_none());

    let file = download(&served, &whole, "/export?format=csv").await;
    let trace_of_file = trace(scenario, &leaked(&file, 1_000, "p,q,r,s,t,u")).await;
    assert_eq!(trace_of_file.report.verdict, TraceVerdict::Undecided);
    assert_eq!(explained(&trace_of_file), (ExplainedBy::Single, vec![vec![whole.id.clone()]]));
    assert_eq!(trace_of_file.report.products[0].receipts.never_in_clear, Vec::<String>::new());
    // The provider's own file has in clear what every order has as a pseudonym, and the report says so.
    let own = std::fs::read_to_string(scenario.directory().join("trips.csv")).unwrap();
    let trace_of_own = trace(scenario, &own).await;
    assert_eq!(trace_of_own.report.products[0].receipts.never_in_clear, ["vehicle"], "{:?}", trace_of_own.report);
    // Rows of one line were had by two, and both are told; columns that one of them never had exclude it.
    let of_line = trace(scenario, &leaked(&first, 400, "a,b,c,d,e")).await;
    let mut had: Vec<OrderId> = explained(&of_line).1.into_iter().flatten().collect();
    had.sort();
    let mut expected = vec![whole.id.clone(), left.id.clone()];
    expected.sort();
    assert_eq!(had, expected);
    assert!(
        served.scenario.app.export_trace(&of_line).await.is_err(),
        "who is accused of nothing has no key disclosed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_had_a_row_in_any_version_had_it() {
    let served = Served::open(None, 3_000).await;
    let scenario = &served.scenario;
    let before = scenario.order(Who::First, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let after = scenario.order(Who::Second, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let first = download(&served, &before, "/export?format=csv").await;
    // The next version lacks the first trips, so that every row of it has another number than before.
    let whole = std::fs::read_to_string(scenario.directory().join("trips.csv")).unwrap();
    let mut lines = whole.lines();
    let rest: Vec<&str> = lines.next().into_iter().chain(lines.skip(500)).collect();
    let source = scenario.directory().join("trips-later.csv");
    std::fs::write(&source, rest.join("\n") + "\n").unwrap();
    let imported = scenario
        .app
        .import_snapshot(scenario.clerk(Who::Provider), scenario.resource("trips"), &source, SourceOptions::default())
        .await;
    assert_eq!(imported.unwrap().rows, 2_500);
    let second = download(&served, &after, "/export?format=csv").await;
    assert_eq!((first.lines().count(), second.lines().count()), (3_001, 2_501));

    let found = trace(scenario, &leaked(&second, 1_000, "p,q,r,s,t,u")).await;
    assert_eq!(found.report.versions_tried, 2);
    let mut both = vec![before.id.clone(), after.id.clone()];
    both.sort();
    let (by, sets) = explained(&found);
    let mut had: Vec<OrderId> = sets.into_iter().flatten().collect();
    had.sort();
    assert_eq!((by, had), (ExplainedBy::Single, both), "{:?}", found.report.products[0].receipts);
    // Rows that only the older version has were had by one.
    let old: String = first.lines().take(401).map(|line| format!("{line}\n")).collect();
    let found = trace(scenario, &leaked(&old, 400, "p,q,r,s,t,u")).await;
    assert_eq!(explained(&found), (ExplainedBy::Single, vec![vec![before.id.clone()]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_table_is_foreign_and_a_few_cells_are_too_little() {
    let served = Served::open(None, 3_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let file = download(&served, &order, "/export?format=csv").await;
    // The same columns and values, put together to rows that nobody had.
    let cells: Vec<Vec<&str>> = file.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let mixed: Vec<String> = (0..2_000)
        .map(|row| {
            let cell = |column: usize| cells[(row * 7 + column * 331) % cells.len()][column];
            (0..5).map(cell).collect::<Vec<_>>().join(",")
        })
        .collect();
    let found = trace(&served.scenario, &format!("a,b,c,d,e\n{}\n", mixed.join("\n"))).await;
    assert_eq!(found.report.verdict, TraceVerdict::Foreign, "{:?}", found.report);
    assert!(found.report.products.is_empty() && found.report.accused.is_empty());
    // Nothing of it but two columns of few values: it may come from anywhere.
    let few: Vec<String> = cells.iter().take(30).map(|cells| format!("{},{}", cells[1], cells[2])).collect();
    let found = trace(&served.scenario, &format!("x,y\n{}\n", few.join("\n"))).await;
    assert_eq!(found.report.verdict, TraceVerdict::Undecided, "{:?}", found.report);
    assert!(found.report.accused.is_empty());
}

/// What a trace found is known to nobody before the journal says that there was one, and the journal says of nobody that he was
/// accused.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_in_the_journal_before_its_report_is_shown() {
    let served = Served::open(None, 600).await;
    let scenario = &served.scenario;
    let order = scenario.order(Who::First, TRIP_RECORDS, &ROWS, (1_000, 20)).await;
    let csv = download(&served, &order, "/export?format=csv&columns=trip_id,line,day").await;
    let before = scenario.app.read(|state| state.position);
    let (mut seen, mut files) = (BTreeSet::new(), BTreeSet::new());
    for text in [leaked(&csv, 200, "a,b,c"), "x,y\n1,2\n3,4\n".to_owned()] {
        let found = trace(scenario, &text).await;
        let id = found.recorded.parse().unwrap();
        let recorded = scenario.app.read(|state| state.traces[&id].value.clone());
        // The journal knows the file again, and nobody can find it by trying what it might hold.
        let again = trace(scenario, &text).await;
        let second = scenario.app.read(|state| state.traces[&again.recorded.parse().unwrap()].value.clone());
        assert_eq!(recorded.details.fragment_digest, second.details.fragment_digest);
        assert_eq!((recorded.details.tries_before, second.details.tries_before), (0, 1));
        assert!(!canonical(&recorded).contains(&found.report.fragment.digest));
        assert!(files.insert(recorded.details.fragment_digest.clone()));
        // Whoever is shown a report can hold it against the journal.
        assert_eq!(recorded.details.report_digest, sha256(canonical(&found.report).as_bytes()).to_string());
        assert_eq!(recorded.details.bound.parse::<f64>().unwrap(), found.report.bound);
        assert_eq!(recorded.details.compared.len(), found.report.versions_tried);
        let written = canonical(&recorded);
        assert!(!written.contains(order.id.as_str()) && !written.contains("accused"), "{written}");
        assert!(seen.insert(id));
    }
    assert_eq!(scenario.app.read(|state| state.position), before + 4);
    assert!(scenario.app.replay_check().await.unwrap().agrees);
    // Settings that the journal could not hold are refused, and nothing is shown.
    let path = scenario.directory().join("found.txt");
    let fragment = Fragment::read(&path, &FragmentOptions::default()).unwrap();
    let settings = TraceSettings { case: Some("案\n卷".to_owned()), ..TraceSettings::default() };
    let watch = TraceWatch::new(|_| {}, Arc::new(StopSignal::default()));
    let refused = scenario.app.trace(fragment, &settings, &watch).await.unwrap_err();
    assert_eq!(refused.problem().code, "invalid");
    assert_eq!(scenario.app.read(|state| state.traces.len()), 4);
}
