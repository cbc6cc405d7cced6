//! Signing in, and who asks: the session's cookie is read by [`Viewer`]; a change also needs the session's token in
//! `X-CSRF-Token` and must come from the console's own page ([`Changing`]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lingqu_app::{AppError, SessionView};
use lingqu_domain::access::{Actor, Duty};
use lingqu_domain::id::{PartyId, UserId};
use lingqu_domain::party::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pace::Caller;
use crate::problem::{Body, ProblemDocument};
use crate::{Api, Shared};

/// Name of the session's cookie.
pub(crate) const COOKIE: &str = "lingqu_session";
/// Header that repeats the session's token.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";
/// Longest login and password, in bytes: a longer one is nobody's, and hashing it would be work for nothing.
const CREDENTIAL_BYTES_MAX: usize = 1_024;

/// What a person types.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// Login name.
    login: String,
    /// Password.
    password: String,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordForm {
    /// The viewer's login name.
    login: String,
    /// His present password.
    current: String,
    /// The new one, at least 12 characters.
    new: String,
}

/// The session in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// The user.
    user: UserId,
    /// His name, for the page's corner.
    display_name: String,
    /// The party he acts for.
    party: PartyId,
    /// Its name in Chinese.
    party_name: String,
    /// … in English.
    party_name_en: String,
    /// The party's roles.
    roles: BTreeSet<Role>,
    /// His posts.
    duties: BTreeSet<Duty>,
    /// What every change repeats in `X-CSRF-Token`.
    csrf: String,
    /// When the session ends at the latest, RFC 3339.
    expires_at: String,
}

/// Whoever is signed in, for a request that reads.
pub(crate) struct Viewer {
    pub(crate) session: SessionView,
    /// The roles of his party.
    pub(crate) roles: BTreeSet<Role>,
}

impl Viewer {
    /// The author of the commands he gives.
    pub(crate) fn actor(&self) -> Actor {
        Actor::User(self.session.user.clone())
    }

    /// True when his party has one of the roles.
    pub(crate) fn has_role(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
}

impl FromRequestParts<Arc<Api>> for Viewer {
    type Rejection = ProblemDocument;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ProblemDocument> {
        let token = cookie(&parts.headers).ok_or_else(ProblemDocument::not_signed_in)?;
        let session = api.app.session(token).await?.ok_or_else(ProblemDocument::not_signed_in)?;
        // What other processes decided is known before anything is shown or decided here.
        api.app.refresh().await?;
        let roles = api.app.read(|state| state.parties.get(&session.party).map(|party| party.value.roles_in(state)));
        Ok(Viewer { session, roles: roles.unwrap_or_default() })
    }
}

/// Whoever is signed in, for a request that changes something.
pub(crate) struct Changing(pub(crate) Viewer);

impl FromRequestParts<Arc<Api>> for Changing {
    type Rejection = ProblemDocument;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ProblemDocument> {
        let viewer = Viewer::from_request_parts(parts, api).await?;
        let token = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
        if token != Some(viewer.session.csrf.as_str()) || !is_same_site(&parts.headers) {
            return Err(ProblemDocument::cross_site());
        }
        Ok(Changing(viewer))
    }
}

/// True unless the browser says that the request comes from another site. Programs send neither header; they hold the
/// token, which no other site can read.
fn is_same_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match (text("origin"), text("host")) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    for line in headers.get_all(header::COOKIE) {
        for pair in line.to_str().ok()?.split(';') {
            if let Some((name, value)) = pair.trim().split_once('=')
                && name == COOKIE
                && !value.is_empty()
            {
                return Some(value);
            }
        }
    }
    None
}

fn set_cookie(api: &Api, value: &str, age: Option<u32>) -> HeaderValue {
    let secure = if api.settings.secure_cookies { "; Secure" } else { "" };
    let age = age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("lingqu_session=; Max-Age=0"))
}

fn describe(api: &Api, session: &SessionView) -> Session {
    let party = api.app.read(|state| {
        let party = &state.parties.get(&session.party)?.value;
        Some((party.name.clone(), party.name_en.clone(), party.roles_in(state)))
    });
    let (party_name, party_name_en, roles) = party.unwrap_or_default();
    Session {
        user: session.user.clone(),
        display_name: session.display_name.clone(),
        party: session.party.clone(),
        party_name,
        party_name_en,
        roles,
        duties: session.duties.clone(),
        csrf: session.csrf.clone(),
        expires_at: session.expires_at.to_string(),
    }
}

/// An attempt at a login's password that is counted.
struct Attempt<'a> {
    api: &'a Api,
    login: &'a str,
    from: IpAddr,
}

impl<'a> Attempt<'a> {
    /// Error: the address asks too often, or too many passwords of the login were wrong.
    fn begin(api: &'a Api, login: &'a str, from: IpAddr) -> Result<Self, ProblemDocument> {
        let now = Instant::now();
        let begun = api.password_pace.begin(from, now).and_then(|()| api.attempts.begin(login, from, now));
        begun.map_err(ProblemDocument::too_many_attempts)?;
        Ok(Self { api, login, from })
    }

    /// It counts as a wrong password when that is what came of it, or when nothing did because the client went away.
    fn ended<T>(self, outcome: Result<T, AppError>) -> Result<T, AppError> {
        match &outcome {
            Ok(_) => self.api.attempts.succeeded(self.login, self.from),
            Err(AppError::BadCredentials) => {}
            Err(_) => self.api.attempts.taken_back(self.login, self.from),
        }
        outcome
    }
}

/// Signs in: sets the session's cookie and answers the token for changes. Unknown login and wrong password get the same
/// answer; too many attempts of one login name have to wait.
#[utoipa::path(post, path = "/api/v1/session", operation_id = "sign_in", tag = "session", request_body = Credentials,
    responses((status = 200, body = Session), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument), (status = 429, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(crate) async fn sign_in(
    State(api): Shared,
    Caller(from): Caller,
    headers: HeaderMap,
    Body(credentials): Body<Credentials>,
) -> Result<Response, ProblemDocument> {
    if !is_same_site(&headers) {
        return Err(ProblemDocument::cross_site());
    }
    let Credentials { login, password } = credentials;
    if login.len() > CREDENTIAL_BYTES_MAX || password.len() > CREDENTIAL_BYTES_MAX {
        return Err(AppError::BadCredentials.into());
    }
    let attempt = Attempt::begin(&api, &login, from)?;
    let signed_in = attempt.ended(api.app.sign_in(&login, &password).await)?;
    let cookie = set_cookie(&api, &signed_in.token, None);
    let session = describe(&api, &signed_in.session);
    Ok(([(header::SET_COOKIE, cookie)], Json(session)).into_response())
}

/// Changes the viewer's own password: the first one is known to the administrator who added him. All his sessions end.
#[utoipa::path(post, path = "/api/v1/session/password", operation_id = "change_password", tag = "session", request_body = PasswordForm,
    responses((status = 204), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument), (status = 422, body = ProblemDocument), (status = 429, body = ProblemDocument), (status = 503, body = ProblemDocument)))]
pub(crate) async fn change_password(
    State(api): Shared,
    Caller(from): Caller,
    Changing(viewer): Changing,
    Body(form): Body<PasswordForm>,
) -> Result<Response, ProblemDocument> {
    let PasswordForm { login, current, new } = form;
    if [&login, &current, &new].iter().any(|text| text.len() > CREDENTIAL_BYTES_MAX) {
        return Err(AppError::BadCredentials.into());
    }
    let attempt = Attempt::begin(&api, &login, from)?;
    attempt.ended(api.app.change_password(&viewer.session.user, &login, &current, &new).await)?;
    let cookie = set_cookie(&api, "", Some(0));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// The session of the cookie.
#[utoipa::path(get, path = "/api/v1/session", operation_id = "current_session", tag = "session",
    responses((status = 200, body = Session), (status = 401, body = ProblemDocument)))]
pub(crate) async fn current(State(api): Shared, viewer: Viewer) -> Json<Session> {
    Json(describe(&api, &viewer.session))
}

/// Signs out: the session ends here and everywhere.
#[utoipa::path(delete, path = "/api/v1/session", operation_id = "sign_out", tag = "session",
    responses((status = 204), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument)))]
pub(crate) async fn sign_out(
    State(api): Shared,
    headers: HeaderMap,
    _changing: Changing,
) -> Result<Response, ProblemDocument> {
    if let Some(token) = cookie(&headers) {
        api.app.sign_out(token).await?;
    }
    let cookie = set_cookie(&api, "", Some(0));
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        assert_eq!(cookie(&headers(&[("cookie", "a=b; lingqu_session=tok ; c=d")])), Some("tok"));
        assert_eq!(cookie(&headers(&[("cookie", "xlingqu_session=tok")])), None);
        assert_eq!(cookie(&headers(&[("cookie", "lingqu_session=")])), None);
        assert_eq!(cookie(&headers(&[])), None);
    }

    #[test]
    fn another_site_is_refused() {
        assert!(is_same_site(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(is_same_site(&headers(&[("origin", "http://a:1"), ("host", "a:1")])));
        assert!(is_same_site(&headers(&[("host", "a:1")])));
        assert!(!is_same_site(&headers(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://a:1"),
            ("host", "a:1")
        ])));
        assert!(!is_same_site(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(!is_same_site(&headers(&[("origin", "http://evil"), ("host", "a:1")])));
        assert!(!is_same_site(&headers(&[("origin", "null"), ("host", "a:1")])));
    }
}
