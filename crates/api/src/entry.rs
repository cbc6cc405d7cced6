//! The form in which every entity is shown, and paging through the folded state: newest first, by cursor.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use lingqu_domain::state::{Entity, Listed, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::choice::{CommandChoice, choices};
use crate::problem::ProblemDocument;
use crate::session::Viewer;
use crate::visibility::{Sight, Visible};

/// Items of a page when the request does not say.
const PAGE_ITEMS: u32 = 50;
/// Most items of a page.
const PAGE_ITEMS_MAX: u32 = 200;

/// An entity with what the journal knows of it and what the viewer could do with it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entry<T> {
    /// Its id.
    pub(crate) id: String,
    /// Name of its state.
    pub(crate) state: String,
    /// Its title.
    pub(crate) title: String,
    /// The id of whom or what it belongs to.
    pub(crate) owner: String,
    /// Version of its stream: what `If-Match` names.
    pub(crate) stream_version: u64,
    /// Time of its first event, RFC 3339.
    pub(crate) created_at: String,
    /// Time of its last event, RFC 3339.
    pub(crate) updated_at: String,
    /// Journal position of its last event.
    pub(crate) position: u64,
    /// Commands that concern it, each with whether the viewer could give it now.
    pub(crate) commands: Vec<CommandChoice>,
    /// The entity.
    pub(crate) body: T,
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The items, newest first.
    pub(crate) items: Vec<Entry<T>>,
    /// Where the next page begins; absent after the last item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

/// Which items a list shows.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// At most so many items: 1 to 200.
    limit: Option<u32>,
    /// Only items in this state.
    state: Option<String>,
    /// Only items of this owner.
    owner: Option<String>,
}

/// How many items a page has at most: as asked, or as usual. Error: `invalid` for 0 and for more than `most`.
pub(crate) fn limit_of(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, ProblemDocument> {
    let limit = asked.unwrap_or(usual);
    if limit == 0 || limit > most {
        let (zh, en) = (format!("limit 为 1 至 {most}"), format!("limit is 1 to {most}"));
        return Err(ProblemDocument::invalid("limit", zh, en));
    }
    Ok(limit)
}

/// One page of a map of entities.
pub(crate) fn page<I, T>(
    state: &State,
    map: &BTreeMap<I, Entity<T>>,
    query: &ListQuery,
    viewer: &Viewer,
    now: jiff::Timestamp,
) -> Result<Page<T>, ProblemDocument>
where
    I: Ord + FromStr + Display,
    T: Listed + Visible,
{
    let limit = limit_of(query.limit, PAGE_ITEMS, PAGE_ITEMS_MAX)?;
    let before = match &query.cursor {
        None => None,
        Some(text) => Some(text.parse::<I>().map_err(|_| {
            ProblemDocument::invalid(
                "cursor",
                "cursor 须取自上一页的 next_cursor",
                "a cursor is the next_cursor of a page",
            )
        })?),
    };
    let sight = Sight::new(viewer, state);
    let mut items = Vec::new();
    let mut next_cursor = None;
    for (id, entity) in map.iter().rev() {
        if before.as_ref().is_some_and(|before| id >= before) || !fits(entity, query) {
            continue;
        }
        if !entity.value.is_visible(&sight) {
            continue;
        }
        if items.len() == limit as usize {
            next_cursor = items.last().map(|item: &Entry<T>| item.id.clone());
            break;
        }
        items.push(entry(&sight, &id.to_string(), entity, now));
    }
    Ok(Page { items, next_cursor })
}

fn fits<T: Listed>(entity: &Entity<T>, query: &ListQuery) -> bool {
    query.state.as_ref().is_none_or(|state| entity.value.state() == state)
        && query.owner.as_ref().is_none_or(|owner| entity.value.owner() == *owner)
}

/// One entity, if the viewer may know of it. Error: `not_found` else.
pub(crate) fn one<I, T>(
    state: &State,
    map: &BTreeMap<I, Entity<T>>,
    id: &str,
    viewer: &Viewer,
    now: jiff::Timestamp,
) -> Result<Entry<T>, ProblemDocument>
where
    I: Ord + FromStr,
    T: Listed + Visible,
{
    let sight = Sight::new(viewer, state);
    let entity = id.parse::<I>().ok().and_then(|id| map.get(&id));
    match entity {
        Some(entity) if entity.value.is_visible(&sight) => Ok(entry(&sight, id, entity, now)),
        _ => Err(ProblemDocument::not_found(id)),
    }
}

fn entry<T: Listed + Visible>(sight: &Sight<'_>, id: &str, entity: &Entity<T>, now: jiff::Timestamp) -> Entry<T> {
    Entry {
        id: id.to_owned(),
        state: entity.value.state().to_owned(),
        title: entity.value.title(),
        owner: entity.value.owner(),
        stream_version: entity.version,
        created_at: entity.created_at.to_string(),
        updated_at: entity.updated_at.to_string(),
        position: entity.position,
        commands: choices(sight.state, sight.viewer, now, id),
        body: entity.value.shown(sight),
    }
}
