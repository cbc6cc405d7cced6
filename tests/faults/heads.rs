//! What a node showed of its log and its twin while it was killed again and again: never two roots for one size, and each a
//! beginning of what is there in the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lingqu_app::{App, AppSettings};
use lingqu_transparency::{Checkpoint, Hash, SignedNote, TreeHasher};

/// Pause between two looks at the checkpoints.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Where the checkpoints are served.
const PATHS: [&str; 2] = ["/log/checkpoint", "/log/sm3/checkpoint"];

/// Roots that were shown, by the log's name and its size.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<Mutex<BTreeMap<(String, u64), Hash>>>);

impl Shown {
    /// Looks at both checkpoints until the node is gone.
    pub async fn watch(self, url: String) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client needs nothing");
        loop {
            for path in PATHS {
                let Ok(response) = http.get(format!("{url}{path}")).send().await else { return };
                if response.status() != 200 {
                    continue;
                }
                let Ok(note) = response.text().await else { return };
                self.add(&note);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn add(&self, note: &str) {
        let note = SignedNote::parse(note).expect("what is served is whole");
        let Checkpoint { origin, size, root } = Checkpoint::from_text(note.text()).expect("a checkpoint is served");
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = shown.insert((origin.clone(), size), root);
        assert!(before.is_none_or(|before| before == root), "{origin} had two roots at size {size}");
    }

    /// Holds everything against the log of the stopped node; gives how many heads each log showed.
    pub async fn are_beginnings(&self, directory: PathBuf, database_url: Option<String>) -> BTreeMap<String, usize> {
        let settings = AppSettings { database_url, exclusive: false, ..AppSettings::of(directory) };
        let app = App::open(settings).await.expect("a stopped node can be read");
        let first = app.log_reader().expect("the node is initialised");
        let twin = app.twin_reader().expect("the node is initialised").expect("a twin is published by default");
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut counts = BTreeMap::new();
        for ((origin, size), root) in shown {
            let (reader, hasher) =
                if origin.ends_with("/sm3") { (&twin, TreeHasher::SM3) } else { (&first, TreeHasher::SHA256) };
            let (hashes, now) = reader.prove_consistency(size).await.expect("every size that was shown is in the log");
            let now = now.checkpoint;
            assert_eq!(now.origin, origin);
            let is_beginning = hasher.verify_consistency(size, &root, now.size, &now.root, &hashes);
            is_beginning.unwrap_or_else(|error| panic!("{origin} at {size} is not in the log any more: {error}"));
            *counts.entry(origin).or_default() += 1;
        }
        app.close().await.expect("a reader closes");
        counts
    }
}
