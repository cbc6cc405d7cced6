//! A permit can't slip past a suspension that commits at the same time: two processes' worth of nodes on one database
//! race them, on SQLite and on PostgreSQL.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lingqu_app::{App, AppSettings};
use lingqu_crypto::sha256;
use lingqu_domain::command::Command;
use lingqu_domain::id::PermitId;
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::scope::{Narrowing, Purpose};
use lingqu_tests::scenario::{PURPOSE, Scenario, Who};
use lingqu_tests::{StoreFactory, both};

const ROUNDS: u64 = 12;
/// The longest head start that one of the two gets.
const HEAD_START_US_MAX: u64 = 8_000;

fn seed() -> u64 {
    match std::env::var("LINGQU_SEED") {
        Ok(text) => text.parse().expect("LINGQU_SEED is a number"),
        Err(_) => u64::from(std::process::id()),
    }
}

fn draw(seed: u64, round: u64, what: &str) -> u64 {
    let digest = sha256(format!("{seed}/{round}/{what}").as_bytes());
    u64::from_be_bytes(digest.0[..8].try_into().expect("eight bytes"))
}

async fn prepared_permit(scenario: &Scenario, round: u64) -> PermitId {
    let details = PermitDetails {
        mandate: scenario.mandate(),
        scenario: format!("第 {round} 次竞争"),
        competent: scenario.party(Who::Competent).clone(),
        purposes: BTreeSet::from([Purpose(PURPOSE.to_owned())]),
        items: [(scenario.resource("trips").clone(), Narrowing::default())].into(),
        justification: "两个节点同时办理".to_owned(),
    };
    let apply = Command::ApplyPermit { details: Box::new(details) };
    let permit: PermitId = scenario.give(scenario.clerk(Who::Operator), apply, "permit.applied").await;
    scenario.act(scenario.chief(Who::Provider), Command::ConfirmPermit { permit: permit.clone() }).await;
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    scenario.act(scenario.chief(Who::Competent), opinion).await;
    permit
}

async fn second_node(factory: &StoreFactory, directory: &std::path::Path) -> Arc<App> {
    let settings = AppSettings { database_url: Some(factory.config().url), ..AppSettings::of(directory.to_owned()) };
    App::open(settings).await.expect("a second node opens on the same database")
}

/// Position of the last event of a kind in a stream.
async fn position_of(app: &App, stream: &str, kind: &str) -> Option<u64> {
    let records = app.store().read_stream(stream, 0, 1_000).await.expect("the journal can be read");
    records.iter().filter(|record| record.kind == kind).map(|record| record.position).next_back()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permit_never_slips_past_a_suspension() {
    let seed = seed();
    println!("seed {seed}; repeat with LINGQU_SEED={seed}");
    both(async |factory: StoreFactory| {
        let scenario = Scenario::open(Some(factory.config().url), 10).await;
        let other_directory = tempfile::tempdir().expect("the temporary directory is writable");
        let other = second_node(&factory, other_directory.path()).await;
        let mut slipped_after = 0;
        for round in 0..ROUNDS {
            let permit = prepared_permit(&scenario, round).await;
            let mandate = scenario.mandate();
            let suspend = Command::SuspendMandate { mandate: mandate.clone(), reason: "竞争".to_owned() };
            let approve = Command::ApprovePermit { permit: permit.clone() };
            let implementer = scenario.chief(Who::Implementer);
            let wait = |what: &str| Duration::from_micros(draw(seed, round, what) % HEAD_START_US_MAX);
            let (suspended, approved) = tokio::join!(
                async {
                    tokio::time::sleep(wait("suspend")).await;
                    scenario.app.execute(implementer, suspend, Default::default()).await
                },
                async {
                    tokio::time::sleep(wait("approve")).await;
                    other.execute(implementer, approve, Default::default()).await
                }
            );
            suspended.expect("a mandate in force can be suspended");
            let suspended_at = position_of(&scenario.app, mandate.as_str(), "mandate.suspended").await;
            let approved_at = position_of(&scenario.app, permit.as_str(), "permit.approved").await;
            assert_eq!(approved.is_ok(), approved_at.is_some(), "seed {seed}, round {round}: {approved:?}");
            match approved_at {
                Some(approved_at) => {
                    assert!(Some(approved_at) < suspended_at, "seed {seed}, round {round}: the permit slipped past");
                }
                None => slipped_after += 1,
            }
            let resume = Command::ResumeMandate { mandate, reason: "复核完成".to_owned() };
            scenario.act(implementer, resume).await;
        }
        println!("{:?}: {slipped_after} of {ROUNDS} permits came too late and were refused", factory.backend());
        let report = scenario.app.replay_check().await.expect("the journal folds");
        let in_tables: Vec<_> =
            report.differences.iter().filter(|difference| difference.table != "log_entry").collect();
        assert!(in_tables.is_empty(), "seed {seed}: {in_tables:?}");
    })
    .await;
}
