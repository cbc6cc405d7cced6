//! The node itself: tier, division, versions, and how far its journal and log have come.

use axum::Json;
use axum::extract::State;
use lingqu_domain::node::NODE_STREAM;
use lingqu_domain::party::{Division, Tier};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::ProblemDocument;
use crate::session::Viewer;
use crate::{Api, Shared};

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
}

/// The node.
#[utoipa::path(get, path = "/api/v1/node", operation_id = "get_node", tag = "node",
    responses((status = 200, body = NodeView), (status = 401, body = ProblemDocument)))]
pub(crate) async fn node(State(api): Shared, _viewer: Viewer) -> Result<Json<NodeView>, ProblemDocument> {
    let checkpoint = checkpoint(&api).await?;
    let now = api.app.now().to_string();
    Ok(Json(api.app.read(|state| {
        let node = state.node.get(NODE_STREAM).map(|node| &node.value);
        let rulebook = state.rulebook();
        NodeView {
            id: node.map(|node| node.id.to_string()),
            tier: node.map(|node| node.tier),
            division: node.map(|node| node.division.clone()),
            rulebook_version: rulebook.version.clone(),
            calendar_version: rulebook.calendar.version.clone(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            position: state.position,
            now,
            checkpoint,
        }
    })))
}

/// Reads the checkpoint that the log serves. Its first three lines are origin, size and root.
async fn checkpoint(api: &Api) -> Result<Option<Checkpoint>, ProblemDocument> {
    let path = api.settings.log_dir.join("checkpoint");
    let note = match tokio::fs::read_to_string(&path).await {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ProblemDocument::fault(format!("can't read the log's checkpoint: {error}"))),
    };
    let mut lines = note.lines();
    let (origin, size, root) = (lines.next(), lines.next().and_then(|size| size.parse().ok()), lines.next());
    let (Some(origin), Some(size), Some(root)) = (origin, size, root) else {
        return Err(ProblemDocument::fault("the log's checkpoint is malformed"));
    };
    let (origin, root) = (origin.to_owned(), root.to_owned());
    Ok(Some(Checkpoint { origin, size, root, note }))
}
