//! `kill -9` at random moments during commands and deliveries: nothing acknowledged is lost, no receipt is missing for
//! bytes that left, journal and tables agree, neither log has two roots for a size, and the next start is quick.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lingqu_tests::node::{self, Node};
use lingqu_tests::{Dice, PrivatePostgres};
use sea_orm::ConnectionTrait;

use crate::check::{INTERRUPTED, Records};
use crate::heads::Shown;
use crate::load::{CLIENT_TIME_MAX, Clients, Outcome, Promises, Users, acknowledged_of};
use crate::prepared::Prepared;

/// How often the node is killed on each database.
const KILLS: usize = 55;
/// Enough that a whole file takes longer than the node lives.
const TRIPS: usize = 60_000;
/// Most kills come within so many milliseconds of the load's beginning.
const DELAY_MS: u64 = 300;
/// Some come later, so that the log is being published too, which happens every second.
const LONG_DELAY_MS: u64 = 1_600;
/// Fewest heads that each log must have shown, or the log was never watched while it grew.
const HEADS_MIN: usize = 3;
/// Names the seed of an earlier run.
const SEED_VARIABLE: &str = "LINGQU_SEED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_kills_on_sqlite() {
    let prepared = Prepared::make(None, TRIPS).await;
    let (records, promises) = kill_again_and_again(&prepared, None).await;
    quota_is_exact(&prepared, None, &records, promises).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_kills_on_postgres() {
    let Some(server) = PrivatePostgres::needed("kills on PostgreSQL") else { return };
    let url = server.create_database().await;
    let prepared = Prepared::make(Some(url.clone()), TRIPS).await;
    let (records, promises) = kill_again_and_again(&prepared, Some(url.clone())).await;
    quota_is_exact(&prepared, Some(url), &records, promises).await;
}

/// Starts, hammers, kills, [`KILLS`] times; then starts once more. Checks everything after each start.
async fn kill_again_and_again(prepared: &Prepared, database_url: Option<String>) -> (Records, Promises) {
    let mut dice = dice_from_environment();
    let mut promises = Promises::default();
    let shown = Shown::default();
    let mut users: Option<Users> = None;
    let mut starts = Vec::new();
    let mut sent_again = (0u64, 0u64);
    for round in 0..=KILLS {
        if let Some(url) = &database_url {
            a_minute_passes(url).await;
        }
        let node = Node::serve(&prepared.node());
        starts.push(node.ready_after);
        let clients = Clients::of(&node.url);
        let watching = tokio::spawn(shown.clone().watch(node.url.clone()));
        let users = match &users {
            Some(users) => users.clone(),
            None => users.insert(clients.sign_in().await).clone(),
        };
        // What was never answered is asked once more with the same key, as a client would.
        for sent in std::mem::take(&mut promises.unanswered) {
            match clients.send_again(&sent).await {
                Outcome::Done(answer) => {
                    sent_again.0 += 1;
                    sent_again.1 += u64::from(answer["repeated"] == true);
                    promises.acknowledged.extend(acknowledged_of(&answer));
                }
                // A service key that had been issued is not shown a second time.
                Outcome::Refused(code) => assert_eq!(code, "invalid", "{sent:?}"),
                Outcome::Gone => panic!("an idle node is gone: {}", node.log()),
            }
        }
        let records = Records::read(prepared.node(), database_url.clone()).await;
        records.must_hold(&promises);
        orders_are_as_promised(&records, &promises);
        records.quotas_are_exact();
        if let Some((order, key)) = promises.service_keys.last() {
            assert!(clients.is_key_taken(key).await, "the key of {order} was shown and is not known");
        }
        if round == KILLS {
            node.stop();
            tell(&records, &promises, &mut starts, sent_again);
            let replay = node::run(&["replay", "--check", "--dir", &prepared.node().display().to_string()]);
            assert_eq!(replay.code, Some(0), "{replay:?}");
            let heads = shown.are_beginnings(prepared.node(), database_url.clone()).await;
            println!("heads that were shown: {heads:?}");
            assert!(heads.len() == 2 && heads.values().all(|count| *count > HEADS_MIN), "{heads:?}");
            return (Records::read(prepared.node(), database_url).await, promises);
        }
        let mut running = prepared.hammer(&clients, &users, round);
        // Where the machine is so busy that no delivery was cut off yet, the node is given more time, round by round.
        let is_busy = promises.arrived.iter().all(|arrived| arrived.is_whole);
        let patience = if is_busy { 1 + round as u64 / 5 } else { 1 };
        let delay_ms = patience * dice.below(if round % 5 == 4 { LONG_DELAY_MS } else { DELAY_MS });
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let log = node.log();
        node.kill();
        watching.await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let deadline = Instant::now() + CLIENT_TIME_MAX;
        while let Some(client) = running.join_next().await {
            promises.add(client.unwrap_or_else(|error| panic!("round {round}: {error}; the node's log: {log}")));
            assert!(Instant::now() < deadline, "a client went on after the node was killed");
        }
    }
    unreachable!("the last round returns")
}

/// On PostgreSQL a process is taken for dead when it was not seen for a minute.
pub async fn a_minute_passes(url: &str) {
    let database = sea_orm::Database::connect(url).await.expect("the server is there");
    let sql = "UPDATE quota_process SET seen_at_unix = seen_at_unix - 61 WHERE seen_at_unix > 61";
    database.execute_unprepared(sql).await.expect("processes are rows of the database");
    database.close().await.expect("a connection closes");
}

/// Each order that was asked for exists once: a command whose answer was lost is not carried out twice.
fn orders_are_as_promised(records: &Records, promises: &Promises) {
    let is_placed = |kind: &str| kind == "order.placed";
    let in_journal = records.journal.iter().filter(|record| is_placed(&record.kind)).count();
    let promised = promises.acknowledged.iter().flat_map(|command| &command.events).filter(|(_, kind)| is_placed(kind));
    // The four that the node was prepared with are the others.
    assert_eq!(in_journal, promised.count() + 4);
}

/// A start gives back what the dead process had leased, by what the receipts tell: the quota can be used to its last call, and
/// not beyond.
async fn quota_is_exact(prepared: &Prepared, database_url: Option<String>, records: &Records, mut promises: Promises) {
    let order = &prepared.capped;
    let mut left = prepared.capped_calls - records.calls.get(order.id.as_str()).copied().unwrap_or(0);
    let node = Node::serve(&prepared.node());
    let clients = Clients::of(&node.url);
    while left > 0 {
        let batch = left.min(1_000);
        assert_eq!(clients.verify_batch(&order.key, batch).await, Ok(()), "{left} calls are left: {}", node.log());
        left -= batch;
    }
    assert_eq!(clients.verify_batch(&order.key, 1).await, Err("quota_exceeded".to_owned()));
    node.stop();
    let records = Records::read(prepared.node(), database_url).await;
    promises.unanswered.clear();
    records.must_hold(&promises);
    assert_eq!(records.calls[order.id.as_str()], prepared.capped_calls);
}

/// Prints what happened, and sees to it that something did: a test that kills an idle node proves nothing.
fn tell(records: &Records, promises: &Promises, starts: &mut [Duration], (again, repeated): (u64, u64)) {
    starts.sort();
    let ends = records.ends();
    let whole = promises.arrived.iter().filter(|arrived| arrived.is_whole).count();
    let cut = promises.arrived.len() - whole;
    println!(
        "{KILLS} kills; {} commands acknowledged; {again} unanswered ones sent again, {repeated} had been carried out; \
         {whole} deliveries arrived whole, {cut} in part; ends by receipts {ends:?}; refused {:?}; \
         ready after {:?} at least, {:?} in the middle, {:?} at most; {} events, {} deliveries",
        promises.acknowledged.len(),
        promises.refused,
        starts[0],
        starts[starts.len() / 2],
        starts[starts.len() - 1],
        records.journal.len(),
        records.deliveries.len(),
    );
    assert!(promises.acknowledged.len() > KILLS, "hardly a command was given");
    assert!(again > 0, "no command was cut off");
    let (rows, bytes) = records.let_out_in_part();
    println!("{rows} rows and {bytes} bytes were let out to be counted by deliveries that a kill cut off");
    assert!(cut > 0 && ends.get(INTERRUPTED).is_some_and(|count| *count > 0), "no delivery was cut off");
    let unexpected: BTreeMap<_, _> = promises.refused.iter().filter(|(code, _)| *code != "quota_exceeded").collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}

/// Chance by the seed that is named, or by the clock.
fn dice_from_environment() -> Dice {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => {
            let since_epoch = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
            since_epoch.as_nanos() as u64
        }
    };
    println!("seed {seed}: {SEED_VARIABLE}={seed} kills at the same moments again");
    Dice(seed)
}
