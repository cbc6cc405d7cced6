//! 待办: the entities whose next step is the viewer's now, last changed first.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::Json;
use axum::extract::State;
use lingqu_domain::state::{Entity, Listed};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::choice::{CommandChoice, choices, is_due, is_of_his_duty};
use crate::problem::ProblemDocument;
use crate::session::Viewer;
use crate::visibility::{Sight, Visible};

/// Entities of each kind that are looked at, newest first.
const LOOKED_AT_MAX: usize = 500;
/// Most items of the answer.
const ITEMS_MAX: usize = 200;

/// Something that waits for the viewer.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxItem {
    /// The kind of entity, such as `mandate`.
    kind: String,
    /// Its id.
    id: String,
    /// Its title.
    title: String,
    /// Its state.
    state: String,
    /// Version of its stream: what `If-Match` names.
    stream_version: u64,
    /// Time of its last event, RFC 3339.
    updated_at: String,
    /// The commands of the viewer's duty: those that he could give now, and those that he could not yet, with why.
    commands: Vec<CommandChoice>,
}

/// What waits for the viewer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Inbox {
    /// The items, last changed first; at most 200.
    items: Vec<InboxItem>,
}

/// What waits for the viewer: entities whose next step he could take now.
#[utoipa::path(get, path = "/api/v1/inbox", operation_id = "inbox", tag = "commands",
    responses((status = 200, body = Inbox), (status = 401, body = ProblemDocument)))]
pub(crate) async fn inbox(State(api): Shared, viewer: Viewer) -> Json<Inbox> {
    let now = api.app.now();
    let mut items = Vec::new();
    api.app.read(|state| {
        let mut desk = Desk { sight: Sight::new(&viewer, state), now, items: &mut items };
        desk.look("resource", &state.resources);
        desk.look("ticket", &state.tickets);
        desk.look("registration", &state.registrations);
        desk.look("supply", &state.supplies);
        desk.look("plan", &state.plans);
        desk.look("mandate", &state.mandates);
        desk.look("permit", &state.permits);
        desk.look("product", &state.products);
        desk.look("order", &state.orders);
        desk.look("settlement", &state.settlements);
    });
    items.sort_by(|one, other| other.updated_at.cmp(&one.updated_at).then_with(|| one.id.cmp(&other.id)));
    items.truncate(ITEMS_MAX);
    Json(Inbox { items })
}

struct Desk<'a> {
    sight: Sight<'a>,
    now: jiff::Timestamp,
    items: &'a mut Vec<InboxItem>,
}

impl Desk<'_> {
    fn look<I: Display, T: Listed + Visible>(&mut self, kind: &str, map: &BTreeMap<I, Entity<T>>) {
        for (id, entity) in map.iter().rev().take(LOOKED_AT_MAX) {
            if !entity.value.is_visible(&self.sight) {
                continue;
            }
            let id = id.to_string();
            let mut commands = choices(self.sight.state, self.sight.viewer, self.now, &id);
            if !commands.iter().any(is_due) {
                continue;
            }
            commands.retain(is_of_his_duty);
            self.items.push(InboxItem {
                kind: kind.to_owned(),
                id,
                title: entity.value.title(),
                state: entity.value.state().to_owned(),
                stream_version: entity.version,
                updated_at: entity.updated_at.to_string(),
                commands,
            });
        }
    }
}
