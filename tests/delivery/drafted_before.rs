//! Products that were drafted before it was asked whether their rows are of the persons they name, as older journals hold them.

use std::sync::Arc;

use lingqu_app::{App, AppSettings};
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{PERSON_CHECK, Scenario, Who};
use sea_orm::{ConnectionTrait, Database};

const SQL: &str = "SELECT id_number, points < 12 AS qualified FROM people";
/// Tells with one person's consent what another has.
const OTHERS: &str =
    "SELECT a.id_number, b.points < 12 AS qualified FROM people a JOIN people b ON a.points = b.points";

/// Changes the draft in the journal, and opens the node anew.
async fn opened_with(scenario: &Scenario, from: &str, to: &str) -> Arc<App> {
    let directory = scenario.app.directory().to_owned();
    let raw = Database::connect(format!("sqlite://{}", directory.join("node.db").display())).await.unwrap();
    raw.execute_unprepared("DROP TRIGGER IF EXISTS journal_append_only_update").await.unwrap();
    let (from, to) = (from.replace('\'', "''"), to.replace('\'', "''"));
    let change = format!(
        "UPDATE journal SET body = replace(body, '{from}', '{to}') WHERE kind = 'product.drafted' AND body LIKE '%FROM people%'"
    );
    let changed = raw.execute_unprepared(&change).await.unwrap();
    assert_eq!(changed.rows_affected(), 1, "{change}");
    raw.close().await.unwrap();
    App::open(AppSettings { exclusive: false, ..AppSettings::of(directory) }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_from_before_is_asked_whose_its_rows_are() {
    let scenario = Scenario::open(None, 40).await;
    let order = scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (20, 0)).await;

    // It goes on where its rows are of the persons it names.
    let app = opened_with(&scenario, r#""by_person":true,"#, "").await;
    let serving = app.serving(&order.key).await.unwrap();
    assert!(!serving.details.shape.by_person, "the journal does not say so");
    assert!(app.journey(&order.id).await.unwrap().in_force);
    app.close().await.unwrap();

    let app = opened_with(&scenario, SQL, OTHERS).await;
    let problem = app.serving(&order.key).await.unwrap_err().problem();
    assert_eq!((problem.status, problem.code.as_str()), (403, "not_in_force"));
    let journey = app.journey(&order.id).await.unwrap();
    let refusal = journey.refusal.unwrap();
    assert!(!journey.in_force && refusal.en.contains("draft_product"), "{refusal:?}");
    app.close().await.unwrap();
}
