//! The journal as people read it: every decision with when, who and on what. Those who supervise see all of it with what
//! was written; everybody else sees the history of what he may open. It holds no personal data.

use axum::Json;
use axum::extract::State;
use lingqu_app::{Direction, JournalView};
use lingqu_domain::access::Actor;
use lingqu_domain::state::State as Folded;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::entry::limit_of;
use crate::problem::{ProblemDocument, Query};
use crate::session::Viewer;
use crate::visibility::Sight;

/// Events of a page when the request does not say, and at most.
const PAGE_EVENTS: u32 = 100;
const PAGE_EVENTS_MAX: u32 = 500;

/// An event of the journal.
#[derive(Serialize, ToSchema)]
pub(crate) struct JournalEvent {
    /// Its place, from 1, without gaps.
    position: u64,
    /// When, RFC 3339.
    at: String,
    /// Who gave the command: a user's id, a subject's id, one before whom a subject acted (`sub_…/usr_…`), or `node`.
    actor: String,
    /// The party he acted for, in Chinese; absent for the node and for subjects who acted before nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<String>,
    /// … in English.
    #[serde(skip_serializing_if = "Option::is_none")]
    party_en: Option<String>,
    /// The command's id.
    command_id: String,
    /// The entity it happened to.
    stream: String,
    /// The kind of entity, such as `mandate`.
    entity: String,
    /// The entity's title now.
    title: String,
    /// Whether the viewer may open the entity.
    open: bool,
    /// Version of the entity after it.
    stream_version: u64,
    /// Its kind, such as `mandate.suspended`.
    kind: String,
    /// What happened, in the journal's canonical form; for the data authority and the auditor alone.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Value>,
}

/// A page of the journal.
#[derive(Serialize, ToSchema)]
pub(crate) struct JournalPage {
    /// The events, oldest first, or newest first if that was asked for.
    items: Vec<JournalEvent>,
    /// What `after` of the next page is; absent at the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
    /// What `before` of the next page is, newest first; absent at the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<u64>,
}

/// Which events are shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct JournalQuery {
    /// Oldest first: only events after this position.
    after: Option<u64>,
    /// Newest first: only events before this position.
    before: Option<u64>,
    /// Newest first instead of oldest first.
    newest_first: Option<bool>,
    /// At most so many: 1 to 500.
    limit: Option<u32>,
    /// Only events of this entity, by id.
    stream: Option<String>,
    /// Only events of this kind, such as `mandate.suspended`, or of this kind of entity, such as `mandate`.
    kind: Option<String>,
}

/// Events of the journal: all of them for the data authority and the auditor, for everybody else those of the entities that
/// he may open. A page may be shorter than its limit; it was the last one when it names no next page.
#[utoipa::path(get, path = "/api/v1/journal", operation_id = "list_journal", tag = "oversight", params(JournalQuery),
    responses((status = 200, body = JournalPage), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn journal(
    State(api): Shared,
    viewer: Viewer,
    Query(query): Query<JournalQuery>,
) -> Result<Json<JournalPage>, ProblemDocument> {
    let limit = limit_of(query.limit, PAGE_EVENTS, PAGE_EVENTS_MAX)?;
    let newest_first = query.newest_first.unwrap_or(false);
    if (newest_first && query.after.is_some()) || (!newest_first && query.before.is_some()) {
        return Err(ProblemDocument::invalid(
            "newest_first",
            "after 用于由旧到新，before 用于由新到旧（newest_first=true），请改用相应的参数",
            "`after` goes with oldest first, `before` with newest_first=true; send the one that fits",
        ));
    }
    if let Some(stream) = &query.stream {
        let is_known = api.app.read(|state| {
            let sight = Sight::new(&viewer, state);
            state.version(stream) > 0 && (sight.is_oversight() || sight.sees(stream))
        });
        if !is_known {
            return Err(ProblemDocument::not_found(stream));
        }
    }
    let direction =
        if newest_first { Direction::Before(query.before) } else { Direction::After(query.after.unwrap_or(0)) };
    let mut walk = api.app.walk_journal(query.stream.clone(), direction);
    let mut items: Vec<JournalEvent> = Vec::new();
    while items.len() < limit as usize {
        let Some(records) = walk.next().await? else { break };
        let shown = api.app.read(|state| shown(&Sight::new(&viewer, state), &query, records));
        let room = limit as usize - items.len();
        items.extend(shown?.into_iter().take(room));
    }
    let next = if items.len() < limit as usize { walk.unfinished() } else { items.last().map(|event| event.position) };
    let (next_after, next_before) = if newest_first { (None, next) } else { (next, None) };
    Ok(Json(JournalPage { items, next_after, next_before }))
}

/// Those of the records that are asked for and that the viewer may see.
fn shown(
    sight: &Sight<'_>,
    query: &JournalQuery,
    records: Vec<JournalView>,
) -> Result<Vec<JournalEvent>, ProblemDocument> {
    let mut events = Vec::new();
    for record in records {
        let is_wanted = query.kind.as_ref().is_none_or(|kind| {
            record.kind.strip_prefix(kind.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let open = is_wanted && sight.sees(&record.stream);
        if is_wanted && (open || sight.is_oversight()) {
            events.push(event_of(sight, record, open)?);
        }
    }
    Ok(events)
}

fn event_of(sight: &Sight<'_>, record: JournalView, open: bool) -> Result<JournalEvent, ProblemDocument> {
    let body = match sight.is_oversight() {
        true => Some(
            serde_json::from_str(&record.body)
                .map_err(|error| ProblemDocument::fault(format!("event {} can't be read: {error}", record.position)))?,
        ),
        false => None,
    };
    let (party, party_en) = party_of(sight.state, &record.actor).unzip();
    let row = sight.state.row(&record.stream);
    Ok(JournalEvent {
        position: record.position,
        at: record.at,
        actor: record.actor,
        party,
        party_en,
        command_id: record.command_id,
        entity: row.as_ref().map(|row| row.kind.table().to_owned()).unwrap_or_default(),
        title: row.map(|row| row.title).unwrap_or_default(),
        stream: record.stream,
        open,
        stream_version: record.stream_version,
        kind: record.kind,
        body,
    })
}

/// The party of a user, who acts or vouches for a subject, in Chinese and English; none for other subjects and the node.
pub(crate) fn party_of(state: &Folded, actor: &str) -> Option<(String, String)> {
    let actor = actor.parse::<Actor>().ok()?;
    let user = state.users.get(actor.user()?)?;
    let party = &state.parties.get(&user.value.party)?.value;
    Some((party.name.clone(), party.name_en.clone()))
}
