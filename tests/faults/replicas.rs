//! Two processes of one node on one PostgreSQL database, with one log directory: the one that publishes is stopped (SIGSTOP), the
//! other takes its place, and the first goes on as if nothing had happened.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lingqu_tests::PrivatePostgres;
use lingqu_tests::node::Node;

use crate::check::Records;
use crate::heads::Shown;
use crate::load::{Clients, Promises};
use crate::prepared::{Prepared, copy_tree};

/// How long a checkpoint may take to come: a place is free ten seconds after its holder fell silent.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the two go on side by side after that.
const SIDE_BY_SIDE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_stopped_and_goes_on_publishes_no_more() {
    let Some(server) = PrivatePostgres::needed("a process that is stopped beside another") else { return };
    let url = server.create_database().await;
    let prepared = Prepared::make(Some(url.clone()), 1_000).await;
    let (first_directory, second_directory) = (prepared.node(), prepared.beside("second"));
    copy_tree(&first_directory, &second_directory);
    let log = first_directory.join("log");
    for directory in [&first_directory, &second_directory] {
        configure(directory, &url, &log);
    }
    let shown = Shown::default();
    let first = Node::serve(&first_directory);
    let watching_first = tokio::spawn(shown.clone().watch(first.url.clone()));
    let prepared_size = size_in(&log);
    let use_it = async |node: &Node| {
        let answered = Clients::of(&node.url).verify_batch(&prepared.check.key, 10).await;
        assert_eq!(answered, Ok(()), "{}", node.log());
    };
    use_it(&first).await;
    let before = grown(&log, prepared_size).await;

    let second = Node::serve(&second_directory);
    let watching_second = tokio::spawn(shown.clone().watch(second.url.clone()));
    first.pause();
    use_it(&second).await;
    let taken_over = grown(&log, before).await;
    first.resume();
    let begun = Instant::now();
    while begun.elapsed() < SIDE_BY_SIDE {
        use_it(&first).await;
        use_it(&second).await;
        tokio::time::sleep(LOOK_EVERY).await;
    }
    grown(&log, taken_over).await;
    // One that ends in order leaves its place at once; the other goes on with it.
    assert!(second.stop().success());
    let stopped_at = size_in(&log);
    use_it(&first).await;
    let last = grown(&log, stopped_at).await;
    assert!(first.stop().success());
    for watching in [watching_first, watching_second] {
        watching.await.expect("no head of another history was shown");
    }
    assert!(last > taken_over && taken_over > before);
    Records::read(first_directory.clone(), Some(url.clone())).await.must_hold(&Promises::default());
    let heads = shown.are_beginnings(first_directory, Some(url)).await;
    println!("heads that were shown: {heads:?}");
    assert_eq!(heads.len(), 2);
}

fn configure(directory: &Path, url: &str, log: &Path) {
    let text = format!("database = {url:?}\n\n[log]\ndirectory = {:?}\n", log.display().to_string());
    fs::write(directory.join("lingqu.toml"), text).expect("the node's directory is writable");
}

/// The size of the published log.
fn size_in(log: &Path) -> u64 {
    let note = fs::read_to_string(log.join("checkpoint")).expect("a checkpoint was published");
    note.lines().nth(1).and_then(|line| line.parse().ok()).expect("its second line is the size")
}

/// Waits until the published log is larger; gives its size.
async fn grown(log: &Path, than: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let size = size_in(log);
        if size > than {
            return size;
        }
        assert!(begun.elapsed() < WAIT_MAX, "the log did not grow beyond {than}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
