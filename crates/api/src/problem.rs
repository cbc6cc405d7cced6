//! Problem documents (RFC 9457): what the application refuses or fails with leaves in this form, and so does what the
//! control plane itself refuses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lingqu_app::{AppError, Problem};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a request was not answered as hoped, in Chinese and English, with what to do about it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:lingqu:problem:<code>`
    #[serde(rename = "type")]
    pub problem_type: String,
    /// HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// Chinese title.
    pub title: String,
    /// Chinese sentence that says what to do.
    pub detail: String,
    /// English title.
    pub title_en: String,
    /// English sentence.
    pub detail_en: String,
    /// What it concerns, such as an id, a field or a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// For faults: the id under which the node's log has the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// Seconds until it is worth while to ask again.
    #[serde(skip)]
    pub retry_after_s: Option<u64>,
}

impl From<Problem> for ProblemDocument {
    fn from(problem: Problem) -> Self {
        let retry_after_s = problem.retry_after_s();
        let Problem { problem_type, status, code, title, detail, title_en, detail_en, subject, correlation } = problem;
        Self { problem_type, status, code, title, detail, title_en, detail_en, subject, correlation, retry_after_s }
    }
}

impl From<AppError> for ProblemDocument {
    fn from(error: AppError) -> Self {
        error.problem().into()
    }
}

impl From<lingqu_domain::refusal::Refusal> for ProblemDocument {
    fn from(refusal: lingqu_domain::refusal::Refusal) -> Self {
        AppError::Refused(refusal).into()
    }
}

impl IntoResponse for ProblemDocument {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl ProblemDocument {
    /// Nobody is signed in.
    pub(crate) fn not_signed_in() -> Self {
        Problem::new(401, "not_signed_in", ("未登录", "Not signed in"), "请先登录", "sign in first").into()
    }

    /// A change that does not come from the console's own page, or without the session's token.
    pub(crate) fn cross_site() -> Self {
        Problem::new(
            403,
            "cross_site_request",
            ("跨站请求", "Cross-site request"),
            "请求未携带本会话的 X-CSRF-Token，或来自其他站点；请刷新页面后重试",
            "the request lacks this session's X-CSRF-Token or comes from another site; load the page again",
        )
        .into()
    }

    /// Too many attempts to sign in.
    pub(crate) fn too_many_attempts(seconds: u64) -> Self {
        let mut problem: ProblemDocument = Problem::new(
            429,
            "too_many_attempts",
            ("尝试次数过多", "Too many attempts"),
            format!("登录尝试次数过多，请 {seconds} 秒后再试"),
            format!("too many attempts to sign in; try again in {seconds} seconds"),
        )
        .into();
        problem.retry_after_s = Some(seconds);
        problem
    }

    /// A part of the request that is missing or malformed.
    pub(crate) fn invalid(subject: &str, zh: impl Into<String>, en: impl Into<String>) -> Self {
        let mut problem: ProblemDocument = Problem::new(422, "invalid", ("请求有误", "Invalid request"), zh, en).into();
        problem.subject = Some(subject.to_owned());
        problem
    }

    /// Something that does not exist, or whose existence is none of the asker's business.
    pub(crate) fn not_found(id: &str) -> Self {
        let shown: String = id.chars().take(80).collect();
        lingqu_domain::refusal::Refusal::not_found(shown).into()
    }

    /// A body larger than the limit.
    pub(crate) fn too_large(bytes_max: u64) -> Self {
        Problem::new(
            413,
            "body_too_large",
            ("内容过大", "Body too large"),
            format!("内容不得超过 {bytes_max} 字节，请拆分后再提交"),
            format!("a body has at most {bytes_max} bytes; split it"),
        )
        .into()
    }

    /// A body that does not arrive.
    pub(crate) fn too_slow() -> Self {
        let seconds = crate::BODY_TIME_MAX.as_secs();
        Problem::new(
            408,
            "body_too_slow",
            ("内容接收超时", "Body too slow"),
            format!("{seconds} 秒内未收到内容，请检查网络后重新提交"),
            format!("the body did not arrive within {seconds} seconds; check the line and send it again"),
        )
        .into()
    }

    /// Something here failed. The log has the rest under the document's correlation id.
    pub(crate) fn fault(what: impl Into<String>) -> Self {
        AppError::Fault(what.into()).into()
    }
}

/// Answers what lies under `/api` and has no handler, so that a wrong address is not answered with the console's page.
pub(crate) async fn no_such_address() -> ProblemDocument {
    Problem::new(
        404,
        "no_such_address",
        ("没有此接口", "No such address"),
        "没有此接口地址，请查阅 /api/v1/openapi.json",
        "there is nothing at this address; see /api/v1/openapi.json",
    )
    .into()
}

/// A JSON body, whose faults leave as problem documents that name the place and never repeat the content.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequest<S> for Body<T> {
    type Rejection = ProblemDocument;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Self::Rejection> {
        let read = axum::body::Bytes::from_request(request, state);
        let read = tokio::time::timeout(crate::BODY_TIME_MAX, read).await.map_err(|_| ProblemDocument::too_slow())?;
        let bytes = read.map_err(|_| ProblemDocument::too_large(crate::BODY_BYTES_MAX as u64))?;
        serde_json::from_slice(&bytes).map(Body).map_err(|error| {
            // serde's own sentence may hold values of the body, among them a password.
            let place = format!("line {} column {}", error.line(), error.column());
            let named = known_part(&error.to_string());
            ProblemDocument::invalid(
                "body",
                format!("请求内容不是所要求的 JSON（{place}{named}），请对照 /api/v1/openapi.json"),
                format!("the body is not the JSON that is asked for ({place}{named}); see /api/v1/openapi.json"),
            )
        })
    }
}

/// Query parameters, whose faults leave as problem documents.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequestParts<S> for Query<T> {
    type Rejection = ProblemDocument;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _state: &S) -> Result<Self, Self::Rejection> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|query| Query(query.0)).map_err(|_| {
            ProblemDocument::invalid(
                "query",
                "查询参数有误，请对照 /api/v1/openapi.json",
                "a query parameter is unknown or malformed; see /api/v1/openapi.json",
            )
        })
    }
}

/// The part of a parser's sentence that names a declared field or variant: names of the contract, never values.
fn known_part(sentence: &str) -> String {
    for start in ["missing field `", "unknown field `", "unknown variant `"] {
        if let Some(rest) = sentence.strip_prefix(start)
            && let Some(name) = rest.split('`').next()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            return format!(": {start}{name}`");
        }
    }
    String::new()
}
