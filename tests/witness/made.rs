//! A log made by hand, which can lie, served as a log is (C2SP tlog-tiles).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use lingqu_crypto::{SigningKey, Suite};
use lingqu_transparency::{
    AddCheckpoint, Checkpoint, NoteSigner, NoteVerifier, TiledTree, TreeHasher, TreeState, sign_note,
};

/// One history of a log: every checkpoint that it ever had, and all its files.
pub struct MadeLog {
    signer: NoteSigner,
    files: BTreeMap<String, Vec<u8>>,
    notes: Vec<String>,
}

impl MadeLog {
    /// A log of `count` entries over SHA-256 that parts from other histories at `parting`.
    pub fn new(origin: &str, count: u64, parting: u64, history: u64) -> MadeLog {
        MadeLog::of(Suite::International, origin, count, parting, history)
    }

    /// The same of either suite.
    pub fn of(suite: Suite, origin: &str, count: u64, parting: u64, history: u64) -> MadeLog {
        MadeLog::padded(suite, origin, count, (parting, history), 0)
    }

    /// The same with so many bytes more in each entry.
    pub fn padded(suite: Suite, origin: &str, count: u64, (parting, history): (u64, u64), padding: usize) -> MadeLog {
        let key = match suite {
            Suite::International => SigningKey::from_seed([41; 32]),
            Suite::National => SigningKey::national_from_seed([41; 32]).unwrap(),
        };
        let signer = NoteSigner::new(origin, key).unwrap();
        let mut state = TreeState::empty_of(TreeHasher::of(suite));
        let (mut files, mut notes) = (BTreeMap::new(), Vec::new());
        for number in 0..=count {
            let checkpoint = Checkpoint { origin: origin.to_owned(), size: state.size(), root: state.root() };
            notes.push(checkpoint.sign(&signer).unwrap());
            if number == count {
                break;
            }
            let entry = if number < parting { [number, 0] } else { [number, history] };
            let mut entry = entry.map(u64::to_be_bytes).concat();
            entry.resize(entry.len() + padding, 0);
            let growth = state.append(&[entry]).unwrap();
            files.extend(growth.files);
            state = growth.state;
        }
        MadeLog { signer, files, notes }
    }

    pub fn key(&self) -> &NoteVerifier {
        self.signer.verifier()
    }

    /// A checkpoint of its key under any name.
    pub fn named(&self, origin: &str) -> String {
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: 1, root: [7; 32] };
        sign_note(&checkpoint.to_text(), &[&self.signer]).unwrap()
    }

    fn hasher(&self) -> TreeHasher {
        TreeHasher::of(self.key().key_type().suite())
    }

    /// The checkpoint of a size.
    pub fn note(&self, size: u64) -> &str {
        &self.notes[size as usize]
    }

    /// A request for a cosignature, from an old size; a proof from a larger one there is not.
    pub fn request(&self, old_size: u64, size: u64) -> AddCheckpoint {
        let read = |path: &str| self.files.get(path).cloned();
        let proof = match old_size {
            0 => Vec::new(),
            old_size if old_size > size => Vec::new(),
            old_size => TiledTree::new(self.hasher(), &read, size).consistency_proof(old_size).unwrap(),
        };
        AddCheckpoint { old_size, proof, note: self.note(size).to_owned() }
    }
}

/// What a log shows to whoever asks.
#[derive(Clone, Default)]
pub struct Shown {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    looks: Arc<AtomicU64>,
}

impl Shown {
    /// Shows the files of a history and the checkpoint of a size.
    pub fn show(&self, log: &MadeLog, size: u64) {
        self.show_note(log, log.note(size));
    }

    /// Shows the files of a history under any note.
    pub fn show_note(&self, log: &MadeLog, note: &str) {
        let mut files = log.files.clone();
        files.insert("checkpoint".to_owned(), note.as_bytes().to_vec());
        *self.files.lock().unwrap() = files;
    }

    /// Shows a file of another history in place of this one's.
    pub fn replace(&self, other: &MadeLog, path: &str) {
        self.files.lock().unwrap().insert(path.to_owned(), other.files[path].clone());
    }

    /// How often the checkpoint was asked for.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::SeqCst)
    }

    /// Serves them; answers the address.
    pub async fn serve(&self) -> String {
        let router = Router::new().route("/log/{*path}", get(file)).with_state(self.clone());
        serve(router, "/log").await
    }
}

async fn file(State(shown): State<Shown>, Path(path): Path<String>) -> Result<Vec<u8>, StatusCode> {
    if path == "checkpoint" {
        shown.looks.fetch_add(1, Ordering::SeqCst);
    }
    shown.files.lock().unwrap().get(&path).cloned().ok_or(StatusCode::NOT_FOUND)
}

/// Serves a router on a port that the system chooses; answers the address with a path behind it.
pub async fn serve(router: Router, path: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}{path}")
}
