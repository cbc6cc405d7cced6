//! Signing in and out, and what protects a session.

use reqwest::Method;
use serde_json::json;

use crate::client::{PASSWORD, Reply, Served, new_key};

#[tokio::test]
async fn a_session_begins_shows_itself_and_ends() {
    let served = Served::open().await;
    assert_eq!(served.stranger().get("/api/v1/session").await.problem(), (401, "not_signed_in".to_owned()));
    let client = served.sign_in("chief1").await;
    let session = client.get("/api/v1/session").await;
    assert_eq!(session.status, 200);
    assert_eq!(session.json()["csrf"].as_str(), client.csrf.as_deref());
    assert_eq!(session.json()["roles"], json!(["implementer"]));
    assert_eq!(session.json()["duties"], json!(["approver"]));
    assert_eq!(session.header("cache-control"), Some("no-store"));

    // Signing out is a change like any other.
    let mut without_token = served.stranger();
    without_token.cookie = client.cookie.clone();
    let refused = Reply::of(without_token.request(Method::DELETE, "/api/v1/session")).await;
    assert_eq!(refused.problem(), (403, "cross_site_request".to_owned()));
    assert_eq!(client.get("/api/v1/session").await.status, 200);
    let ended = Reply::of(client.request(Method::DELETE, "/api/v1/session")).await;
    assert_eq!(ended.status, 204);
    assert!(ended.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(client.get("/api/v1/session").await.problem().0, 401);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_look_the_same() {
    let served = Served::open().await;
    let client = served.stranger();
    let wrong = client.post("/api/v1/session", &json!({ "login": "chief1", "password": "not the password" })).await;
    let unknown = client.post("/api/v1/session", &json!({ "login": "nobody", "password": PASSWORD })).await;
    assert_eq!(wrong.problem(), (401, "bad_credentials".to_owned()));
    assert_eq!(wrong.text, unknown.text);
    assert!(wrong.header("set-cookie").is_none());
}

#[tokio::test]
async fn too_many_wrong_passwords_have_to_wait_and_only_for_that_login() {
    let served = Served::open().await;
    let client = served.stranger();
    let mut last = None;
    for _ in 0..11 {
        last = Some(client.post("/api/v1/session", &json!({ "login": "chief1", "password": "guess" })).await);
    }
    let last = last.unwrap();
    assert_eq!(last.problem(), (429, "too_many_attempts".to_owned()));
    assert!(last.header("retry-after").unwrap().parse::<u64>().unwrap() <= 300);
    // Not even the right password gets in while the name waits.
    let right = client.post("/api/v1/session", &json!({ "login": "chief1", "password": PASSWORD })).await;
    assert_eq!(right.status, 429);
    served.sign_in("chief2").await;
}

#[tokio::test]
async fn changes_come_from_the_consoles_own_page() {
    let served = Served::open().await;
    let client = served.sign_in("chief1").await;
    let body =
        json!({ "command": "suspend_mandate", "mandate": "mdt_00000000000000000000000000000000", "reason": "x" });
    let posting = || client.posting("/api/v1/commands", &body).header("idempotency-key", new_key());
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let reply = Reply::of(posting().header(name, value)).await;
        assert_eq!(reply.problem(), (403, "cross_site_request".to_owned()), "{name}: {value}");
    }
    let reply = Reply::of(posting().header("origin", &served.base)).await;
    assert_eq!(reply.problem(), (404, "not_found".to_owned()));
    let mut forger = served.stranger();
    (forger.cookie, forger.csrf) = (client.cookie.clone(), Some("another".to_owned()));
    let reply = Reply::of(forger.posting("/api/v1/commands", &body).header("idempotency-key", new_key())).await;
    assert_eq!(reply.problem(), (403, "cross_site_request".to_owned()));
}

#[tokio::test]
async fn a_malformed_body_is_refused_without_repeating_it() {
    let served = Served::open().await;
    let client = served.stranger();
    for body in [r#"{"login":"a","password":"hunter2hunter2""#, r#"{"login":"a","pass":"hunter2hunter2"}"#, "[]"] {
        let request = client.request(Method::POST, "/api/v1/session").body(body);
        let reply = Reply::of(request).await;
        assert_eq!(reply.problem(), (422, "invalid".to_owned()));
        assert!(!reply.text.contains("hunter2"), "{}", reply.text);
    }
    let large = client.request(Method::POST, "/api/v1/session").body(vec![b' '; 2 << 20]);
    assert_eq!(Reply::of(large).await.problem(), (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn a_user_changes_the_password_that_his_administrator_chose() {
    let served = Served::open().await;
    let client = served.sign_in("chief1").await;
    let elsewhere = served.sign_in("chief1").await;
    const NEW: &str = "known-to-me-alone";
    let change = |login: &str, current: &str, new: &str| json!({ "login": login, "current": current, "new": new });
    let path = "/api/v1/session/password";
    let wrong = client.post(path, &change("chief1", "not the password", NEW)).await;
    assert_eq!(wrong.problem(), (401, "bad_credentials".to_owned()));
    // Not even with the right password of another.
    let other = client.post(path, &change("chief2", PASSWORD, NEW)).await;
    assert_eq!(other.problem(), (401, "bad_credentials".to_owned()));
    for new in ["short", PASSWORD] {
        assert_eq!(client.post(path, &change("chief1", PASSWORD, new)).await.problem(), (422, "invalid".to_owned()));
    }
    let changed = client.post(path, &change("chief1", PASSWORD, NEW)).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    for ended in [&client, &elsewhere] {
        assert_eq!(ended.get("/api/v1/session").await.problem().0, 401, "every session has ended");
    }
    let sign_in = |password: &str| json!({ "login": "chief1", "password": password });
    let stranger = served.stranger();
    assert_eq!(stranger.post("/api/v1/session", &sign_in(PASSWORD)).await.status, 401);
    assert_eq!(stranger.post("/api/v1/session", &sign_in(NEW)).await.status, 200);
    served.sign_in("chief2").await;
}
