//! Users: the command in the journal and the login beside it are made together.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use lingqu_app::NewUser;
use lingqu_domain::access::Duty;
use lingqu_domain::id::{PartyId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Shared;
use crate::command::options;
use crate::problem::{Body, ProblemDocument};
use crate::session::Changing;

/// A user to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserForm {
    /// The party he acts for.
    party: PartyId,
    /// His posts.
    duties: BTreeSet<Duty>,
    /// What he types to sign in: 2 to 64 of a-z, 0-9, `.`, `_` and `-`.
    login: String,
    /// His name; it is kept sealed.
    display_name: String,
    /// His first password, at least 12 characters.
    password: String,
}

/// A user that was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct AddedUser {
    /// His id.
    user: UserId,
}

/// Adds a user with his login.
#[utoipa::path(post, path = "/api/v1/users", operation_id = "add_user", tag = "commands", request_body = UserForm,
    params(("Idempotency-Key" = String, Header, description = "a new one for each change")),
    responses((status = 201, body = AddedUser), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument), (status = 422, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(crate) async fn add(
    State(api): Shared,
    Changing(viewer): Changing,
    headers: HeaderMap,
    Body(form): Body<UserForm>,
) -> Result<(StatusCode, Json<AddedUser>), ProblemDocument> {
    let options = options(&headers)?;
    let UserForm { party, duties, login, display_name, password } = form;
    let new = NewUser { party, duties, login, display_name: display_name.into(), password: password.into() };
    let user = api.app.add_user(&viewer.actor(), new, options).await?;
    Ok((StatusCode::CREATED, Json(AddedUser { user })))
}
