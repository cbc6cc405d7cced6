//! The node itself: tier, division, versions, and how far its journal and log have come.

use axum::Json;
use axum::extract::State;
use lingqu_domain::node::{NODE_STREAM, RulebookProposal};
use lingqu_domain::party::{Division, Tier};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::problem::ProblemDocument;
use crate::session::Viewer;

/// The newest signed head of the transparency log.
#[derive(Serialize, ToSchema)]
pub(crate) struct Checkpoint {
    /// The log's name.
    origin: String,
    /// Entries it covers.
    size: u64,
    /// Root hash of the Merkle tree, base64.
    root: String,
    /// The whole signed note (C2SP tlog-checkpoint).
    note: String,
    /// The key that verifies it, in the form of C2SP signed-note.
    vkey: String,
    /// The head of the twin log over SM3, where the node publishes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    twin: Option<TwinCheckpoint>,
}

/// The newest signed head of the twin log over SM3.
#[derive(Serialize, ToSchema)]
pub(crate) struct TwinCheckpoint {
    /// The twin's name.
    origin: String,
    /// Entries it covers.
    size: u64,
    /// Root hash of the Merkle tree over SM3, base64.
    root: String,
    /// The whole note, signed with SM2.
    note: String,
    /// The key that verifies it, in the form of C2SP signed-note.
    vkey: String,
}

/// How far the published log is behind the node's records.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLag {
    /// Receipt records that no entry of the log commits to yet.
    receipts_uncommitted: u64,
    /// Entries that no published checkpoint covers yet.
    entries_unpublished: u64,
    /// Milliseconds since the published log held everything that was recorded; 0 while it does.
    behind_ms: u64,
}

/// The node.
#[derive(Serialize, ToSchema)]
pub(crate) struct NodeView {
    /// Its id; absent before it is initialised.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Its tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<Tier>,
    /// Its division.
    #[serde(skip_serializing_if = "Option::is_none")]
    division: Option<Division>,
    /// Version of the rulebook in force.
    rulebook_version: String,
    /// The rulebook that waits for another user's adoption: what `adopt_rulebook` repeats to the letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    rulebook_proposal: Option<RulebookProposal>,
    /// Version of the calendar in force.
    calendar_version: String,
    /// Version of the program.
    program_version: String,
    /// Position of the journal's last event.
    position: u64,
    /// The node's time, RFC 3339.
    now: String,
    /// The log's newest checkpoint, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
    /// How far the published log is behind, once there is a log.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_lag: Option<LogLag>,
}

/// The node.
#[utoipa::path(get, path = "/api/v1/node", operation_id = "get_node", tag = "node",
    responses((status = 200, body = NodeView), (status = 401, body = ProblemDocument)))]
pub(crate) async fn node(State(api): Shared, _viewer: Viewer) -> Result<Json<NodeView>, ProblemDocument> {
    let (checkpoint, lag) = match api.app.log_origin() {
        Ok(_) => (api.app.checkpoint().await?, Some(api.app.log_lag().await?)),
        // A node without an id has no log yet.
        Err(_) => (None, None),
    };
    let log_lag = lag.map(|lag| {
        let lingqu_app::LogLag { receipts_uncommitted, entries_unpublished, behind_ms } = lag;
        LogLag { receipts_uncommitted, entries_unpublished, behind_ms }
    });
    let checkpoint = checkpoint.map(|published| {
        let lingqu_app::CheckpointView { origin, size, root, note, vkey, twin } = published;
        let twin = twin.map(|twin| {
            let lingqu_app::TwinView { origin, size, root, note, vkey } = twin;
            TwinCheckpoint { origin, size, root, note, vkey }
        });
        Checkpoint { origin, size, root, note, vkey, twin }
    });
    let now = api.app.now().to_string();
    Ok(Json(api.app.read(|state| {
        let node = state.node.get(NODE_STREAM).map(|node| &node.value);
        let rulebook = state.rulebook();
        NodeView {
            id: node.map(|node| node.id.to_string()),
            tier: node.map(|node| node.tier),
            division: node.map(|node| node.division.clone()),
            rulebook_version: rulebook.version.clone(),
            rulebook_proposal: node.and_then(|node| node.proposal.clone()),
            calendar_version: rulebook.calendar.version.clone(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            position: state.position,
            now,
            checkpoint,
            log_lag,
        }
    })))
}
