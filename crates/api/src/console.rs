//! The console: the built web app from inside the binary. Where it was not built, one page says how to build it, so that
//! Rust work needs no Node.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::problem::no_such_address;

/// The built web app; empty where it was not built.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web/dist"]
#[allow_missing = true]
struct Built;

const STUB: &str = "<!doctype html><html lang=\"zh-CN\"><meta charset=\"utf-8\"><title>灵渠</title>\
    <body style=\"font-family:sans-serif;max-width:40em;margin:4em auto\">\
    <h1>灵渠 Lingqu</h1>\
    <p>本程序未包含控制台网页。请先运行 <code>make web</code>，再重新编译；接口说明见 <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>。</p>\
    <p lang=\"en\">This program was built without the console. Run <code>make web</code> and build it again; \
    the API is described at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>";

/// Answers a file of the console; an address of one of its pages gets the page that finds its way by itself.
pub(crate) async fn file(method: Method, uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    // What programs ask for is never answered with a page.
    if method != Method::GET && method != Method::HEAD {
        return no_such_address().await.into_response();
    }
    if ["data/", "delta-sharing/", "public/", "log/"].iter().any(|plane| path.starts_with(plane)) {
        return no_such_address().await.into_response();
    }
    if let Some(found) = Built::get(path) {
        // Names of built assets carry their content's hash.
        let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        return answer(found.data.into_owned(), content_type(path), cache);
    }
    if path.starts_with("assets/") {
        return (StatusCode::NOT_FOUND, "not found").into_response();
    }
    match Built::get("index.html") {
        Some(page) => answer(page.data.into_owned(), "text/html; charset=utf-8", "no-cache"),
        None => answer(STUB.as_bytes().to_vec(), "text/html; charset=utf-8", "no-cache"),
    }
}

fn answer(bytes: Vec<u8>, content_type: &'static str, cache: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    (headers, bytes).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json" | "map") => "application/json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
