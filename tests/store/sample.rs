//! Small appends that the tests of this binary share.

use lingqu_store::Store;
use lingqu_store::journal::{Append, Appended, NewRecord};
use lingqu_store::row::RowChange;
use serde_json::json;

/// An append of one record to `stream`, which was read at `version`.
pub fn append(stream: &str, version: u64, kind: &str) -> Append {
    Append {
        command_id: format!("cmd_{stream}_{version}"),
        actor: "usr_1".into(),
        at: "2026-03-02T09:00:00+08:00".into(),
        rulebook_version: "2026-1".into(),
        reads: vec![(stream.into(), version)],
        records: vec![NewRecord {
            stream: stream.into(),
            kind: kind.into(),
            body: json!({"id": stream, "n": version + 1}),
        }],
        ..Append::default()
    }
}

/// A row of the mandate table.
pub fn row(id: &str, version: u64, state: &str) -> RowChange {
    RowChange {
        table: "mandate".into(),
        id: id.into(),
        stream_version: version,
        state: state.into(),
        title: format!("授权 {id}"),
        owner: "pty_1".into(),
        created_at: "2026-03-02T09:00:00+08:00".into(),
        updated_at: "2026-03-02T09:00:00+08:00".into(),
        body: json!({"state": state, "id": id}),
    }
}

/// Appends and gives the first position.
pub async fn append_new(store: &Store, append: Append) -> u64 {
    match store.append(append).await.expect("the append is in order") {
        Appended::New { positions, .. } => positions.start,
        Appended::Repeated { .. } => panic!("the append has no idempotency key"),
    }
}
