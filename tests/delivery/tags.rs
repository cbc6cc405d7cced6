//! Entity tags over REST: the same while data and rights are the same, and others with either of them.

use lingqu_domain::command::Command;
use lingqu_domain::resource::Grade;
use lingqu_domain::scope::Mode;
use lingqu_engine::source::SourceOptions;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_RECORDS, Who};
use reqwest::Method;

use crate::served::{Reply, Served};

const PATHS: [&str; 4] = [
    "/lookup/61",
    "/rows?limit=3",
    "/rows?columns=delay&filter=trip_id:eq:61",
    "/export?format=csv&columns=trip_id,delay",
];

/// What a client gets who has the answer of a tag.
async fn knowing(served: &Served, order: &Ordered, path: &str, tag: &str) -> Reply {
    let reply = Reply::of(served.request(Method::GET, order, path).header("if-none-match", tag)).await;
    if let Some(receipt) = reply.header("delivery-receipt") {
        served.closed_or_single(receipt).await;
    }
    reply
}

/// The tags of the answers by path, each of which was read whole.
async fn tags(served: &Served, order: &Ordered, paths: &[&'static str]) -> Vec<(&'static str, String)> {
    let mut tags = Vec::new();
    for path in paths {
        let reply = knowing(served, order, path, "\"other\"").await.ok();
        tags.push((*path, reply.header("etag").unwrap().to_owned()));
    }
    tags
}

/// Whoever has these answers has them still.
async fn are_known(served: &Served, order: &Ordered, tags: &[(&'static str, String)]) {
    for (path, tag) in tags {
        let reply = knowing(served, order, path, tag).await;
        assert_eq!((reply.status, reply.body.len(), reply.header("etag")), (304, 0, Some(tag.as_str())), "{path}");
        assert_eq!(reply.header("vary"), Some("Authorization, Accept"), "{path}");
    }
}

/// The same questions have other answers now. Gives their tags.
async fn are_others(served: &Served, order: &Ordered, tags: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    let mut others = Vec::new();
    for (path, tag) in tags {
        let reply = knowing(served, order, path, tag).await.ok();
        assert_ne!(reply.header("etag"), Some(tag.as_str()), "{path}");
        others.push((*path, reply.header("etag").unwrap().to_owned()));
    }
    others
}

/// A newer snapshot of trips, in which trip 61 was a minute later.
async fn take_in_anew(scenario: &Scenario) {
    let before = std::fs::read_to_string(scenario.directory().join("trips.csv")).unwrap();
    let after = before.replace("\n61,L1,2025-03-06,61,", "\n61,L1,2025-03-06,62,");
    assert_ne!(before, after);
    let file = scenario.directory().join("trips-later.csv");
    std::fs::write(&file, after).unwrap();
    let (clerk, trips) = (scenario.clerk(Who::Provider), scenario.resource("trips"));
    let imported = scenario.app.import_snapshot(clerk, trips, &file, SourceOptions::default()).await;
    imported.expect("the source is as its catalogue entry says");
}

/// From now on no file of columns of the trips' grade leaves.
async fn forbid_files(scenario: &Scenario) {
    let mut rulebook = scenario.app.read(|state| state.rulebook().into_owned());
    rulebook.version = "without files".to_owned();
    rulebook.grade_modes.get_mut(&Grade::General1).unwrap().retain(|mode| *mode != Mode::File);
    let rulebook = Box::new(rulebook);
    scenario.act(scenario.clerk(Who::Authority), Command::ProposeRulebook { rulebook: rulebook.clone() }).await;
    scenario.act(scenario.chief(Who::Authority), Command::AdoptRulebook { rulebook }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_good_until_the_data_or_the_right_is_another() {
    let served = Served::open(None, 500).await;
    let modes = [Mode::Lookup, Mode::Rows, Mode::File];
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &modes, (1_000, 20)).await;
    let first = tags(&served, &order, &PATHS).await;
    are_known(&served, &order, &first).await;

    take_in_anew(&served.scenario).await;
    let second = are_others(&served, &order, &first).await;
    assert_eq!(served.get(&order, "/lookup/61").await.ok().json()["rows"][0]["delay"], 62);
    are_known(&served, &order, &second).await;

    // The right shrinks to what these questions still ask.
    forbid_files(&served.scenario).await;
    let [of_others @ .., (export, tag)] = &second[..] else { panic!("{second:?}") };
    let third = are_others(&served, &order, of_others).await;
    are_known(&served, &order, &third).await;
    // And who has what may not leave any more does not hear that it is still the same.
    assert_eq!(knowing(&served, &order, export, tag).await.problem(), (403, "mode_not_granted".to_owned()));
}
