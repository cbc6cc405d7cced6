//! `POST /api/v1/commands`: the one way to change anything. The body is the serde form of a domain command.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use lingqu_app::{AppError, CommandOptions};
use lingqu_domain::access::permission;
use lingqu_domain::command::Command;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Body, ProblemDocument};
use crate::session::{Changing, Viewer};
use crate::visibility::Sight;
use crate::{Api, Shared};

/// Longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 128;
/// Most streams of an `If-Match`.
const EXPECTED_MAX: usize = 32;
/// A stream that there is not.
const UNKNOWN_STREAM: &str = "unknown";

/// What a command came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandResult {
    /// The command's id in the journal.
    command_id: String,
    /// What happened, in order.
    events: Vec<CommandEvent>,
    /// True when the idempotency key was known: this is the first answer again, and nothing happened a second time.
    repeated: bool,
}

/// One event of a command.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandEvent {
    /// The entity it happened to.
    stream: String,
    /// Its kind, such as `mandate.suspended`.
    kind: String,
}

/// Gives a command. Commands that carry facts which the node itself establishes (snapshots, metering windows, service
/// keys) are refused here; they have addresses of their own.
#[utoipa::path(post, path = "/api/v1/commands", operation_id = "give_command", tag = "commands", request_body = Command,
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 128 printable characters; the same key and command again answer the first result"),
        ("If-Match" = Option<String>, Header, description = "what the user saw: `stream=version`, several separated by commas; a stream that has moved since is a conflict (409)"),
    ),
    responses((status = 200, body = CommandResult), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn give(
    State(api): Shared,
    Changing(viewer): Changing,
    headers: HeaderMap,
    Body(command): Body<Command>,
) -> Result<Json<CommandResult>, ProblemDocument> {
    let mut options = options(&headers)?;
    must_know(&api, &viewer, &command, &mut options)?;
    let executed = api.app.execute(&viewer.actor(), command, options).await?;
    let mut events = Vec::new();
    for event in executed.events {
        events.push(CommandEvent { stream: event.stream, kind: event.kind });
    }
    Ok(Json(CommandResult { command_id: executed.command_id, events, repeated: executed.repeated }))
}

/// Answers a command on what the viewer may not know of as if there were no such thing. Whoever may not give the command at
/// all is refused for that, as he is for any id; so neither answer tells whether there is one.
fn must_know(
    api: &Api,
    viewer: &Viewer,
    command: &Command,
    options: &mut CommandOptions,
) -> Result<(), ProblemDocument> {
    let hidden = api.app.read(|state| {
        let sight = Sight::new(viewer, state);
        for (stream, expected) in &mut options.expected {
            if sight.is_hidden(stream) {
                // Of what does not exist the version is 0, and nothing else is seen.
                if *expected != 0 {
                    let (stream, expected) = (stream.clone(), *expected);
                    return Err(AppError::Conflict { stream, expected, found: 0 });
                }
                *stream = UNKNOWN_STREAM.to_owned();
            }
        }
        Ok(sight.hidden_in(command))
    })?;
    let is_internal = permission(command.name()).is_none_or(|permission| permission.internal);
    match hidden {
        Some(id) if !is_internal && api.app.must_be_within_duty(&viewer.actor(), command).is_ok() => {
            Err(ProblemDocument::not_found(&id))
        }
        Some(_) | None => Ok(()),
    }
}

/// Reads `Idempotency-Key`, which every change needs, and `If-Match`, which it may have.
pub(crate) fn options(headers: &HeaderMap) -> Result<CommandOptions, ProblemDocument> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::trim);
    let key = key.filter(|key| !key.is_empty() && key.len() <= KEY_CHARS_MAX).ok_or_else(|| {
        ProblemDocument::invalid(
            "Idempotency-Key",
            format!("请在 Idempotency-Key 请求头中给出 1 至 {KEY_CHARS_MAX} 个字符，每次办理各用一个"),
            format!("send an Idempotency-Key header of 1 to {KEY_CHARS_MAX} characters, a new one for each change"),
        )
    })?;
    let mut expected = Vec::new();
    if let Some(matched) = headers.get("if-match") {
        for part in matched.to_str().unwrap_or_default().split(',').take(EXPECTED_MAX + 1) {
            let pair = part.trim().trim_matches('"').split_once('=');
            let pair = pair.and_then(|(stream, version)| Some((stream.to_owned(), version.parse().ok()?)));
            expected.push(pair.ok_or_else(bad_match)?);
        }
    }
    if expected.len() > EXPECTED_MAX {
        return Err(bad_match());
    }
    Ok(CommandOptions { idempotency_key: Some(key.to_owned()), expected })
}

fn bad_match() -> ProblemDocument {
    ProblemDocument::invalid(
        "If-Match",
        format!("If-Match 的形式为“编号=版本”，以逗号分隔，最多 {EXPECTED_MAX} 项"),
        format!("If-Match is a list of `stream=version`, separated by commas, at most {EXPECTED_MAX}"),
    )
}
