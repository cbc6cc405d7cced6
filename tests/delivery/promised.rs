//! What a marking promises is held against each new version of its product: whoever runs the node hears of what no longer holds, and
//! whoever ordered the data gets it all the same.

use lingqu_domain::scope::Mode;
use lingqu_engine::source::SourceOptions;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Scenario, TRIP_MARKED, Who};

use crate::marked::{file, of_csv};
use crate::served::Served;

const TRIPS: usize = 4_000;

/// Takes in the trips with other delays.
async fn take_in(scenario: &Scenario, delay: impl Fn(&str, &str) -> String) {
    let whole = std::fs::read_to_string(scenario.directory().join("trips.csv")).unwrap();
    let mut lines = whole.lines();
    let mut csv = format!("{}\n", lines.next().unwrap());
    for line in lines {
        let mut cells: Vec<String> = line.split(',').map(str::to_owned).collect();
        cells[3] = delay(&cells[1], &cells[3]);
        csv += &(cells.join(",") + "\n");
    }
    let source = scenario.directory().join("trips-later.csv");
    std::fs::write(&source, csv).unwrap();
    let (clerk, trips) = (scenario.clerk(Who::Provider), scenario.resource("trips"));
    scenario.app.import_snapshot(clerk, trips, &source, SourceOptions::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_a_later_version_breaks_is_told_and_delivered() {
    let served = Served::of(Scenario::open_marked(TRIPS).await, Settings::default()).await;
    let (scenario, app) = (&served.scenario, &served.scenario.app);
    let order = scenario.order_marked(Who::First, &[Mode::File]).await;
    let broken = || {
        let kept = app.kept_promises().unwrap();
        assert!(kept.iter().all(|kept| kept.product == *scenario.product(TRIP_MARKED)));
        kept.into_iter().map(|kept| kept.broken.map(|broken| broken.en)).collect::<Vec<_>>()
    };
    assert_eq!(broken(), Vec::<Option<String>>::new());
    assert_eq!(app.check_promises().await.unwrap(), 1);
    assert_eq!(broken(), [None]);
    assert_eq!(app.check_promises().await.unwrap(), 0, "the same data was looked at twice");

    // Now a line has one delay, which a mark of single trips takes apart.
    take_in(scenario, |line, _| format!("{}0", line[1..].parse::<u32>().unwrap() + 1)).await;
    assert_eq!(app.check_promises().await.unwrap(), 1);
    let told = broken();
    assert!(told.len() == 1 && told[0].as_ref().is_some_and(|told| told.contains("line determines delay")), "{told:?}");
    let copy = of_csv(&file(&served, &order, "csv").await.text(), 3);
    let moved = copy.values().flatten().filter(|delay| *delay % 10 != 0).count();
    assert!(copy.len() > TRIPS * 9 / 10 && moved > TRIPS / 2, "{} rows, {moved} marked", copy.len());

    // Data that bears them again is told as well.
    take_in(scenario, |_, delay| delay.to_owned()).await;
    assert_eq!(app.check_promises().await.unwrap(), 1);
    assert_eq!(broken(), [None]);
}
