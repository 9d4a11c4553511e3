use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use serde_json::json;
use stargate_sdk::FailureKind;

use super::*;

/// Requests that a server has received, with method, path, headers and body.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(String, HeaderMap, String)>>,
    count: AtomicU32,
}

async fn answer(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("text");
    let path = head.uri.path().to_owned();
    let line = format!("{} {path}", head.method);
    seen.requests.lock().expect("lock").push((line, head.headers, body.clone()));
    seen.count.fetch_add(1, Ordering::Relaxed);
    match path.as_str() {
        "/moved" => Redirect::temporary("/ok").into_response(),
        "/busy" => (StatusCode::SERVICE_UNAVAILABLE, "later").into_response(),
        "/gone" => (StatusCode::NOT_FOUND, "no such thing").into_response(),
        "/echo" => body.into_response(),
        "/large" => "x".repeat(MAX_BODY_BYTES + 1).into_response(),
        _ => ([("set-cookie", "session=1"), ("x-total", "7")], r#"{"items":[1,2]}"#).into_response(),
    }
}

/// Starts a server; returns its URL and what it receives.
async fn server() -> (String, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

fn context() -> ActionContext {
    ActionContext::detached("call", Arc::default())
}

/// A file with a secret, and the reference to it.
fn secret() -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "s3cr3t-token").expect("written");
    let reference = format!("file:{}", file.path().display());
    (file, reference)
}

fn input(value: Value) -> HttpRequestInput {
    serde_json::from_value(value).expect("an input")
}

async fn run(value: Value) -> Result<HttpRequestOutput, ActionError> {
    HttpRequest::new().expect("TLS").run(&context(), &input(value)).await
}

#[tokio::test]
async fn a_response_is_returned_with_its_value_and_without_cookies() {
    let (url, _) = server().await;
    let output = run(json!({ "url": format!("{url}/ok?signature=1") })).await.expect("a response");
    assert_eq!((output.status, &output.json["items"]), (200, &json!([1, 2])));
    assert_eq!(output.headers.get("x-total").map(String::as_str), Some("7"));
    assert!(!output.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn what_is_not_expected_is_an_error() {
    let (url, seen) = server().await;
    let gone = run(json!({ "url": format!("{url}/gone?signature=1") })).await.expect_err("404");
    assert_eq!((gone.kind, gone.code.as_deref()), (FailureKind::Permanent, Some("404")));
    assert!(gone.message.contains("no such thing") && !gone.message.contains("signature"), "{gone}");
    run(json!({ "url": format!("{url}/gone"), "expect": { "status": [404] } })).await.expect("404 is expected");
    let busy = run(json!({ "url": format!("{url}/busy") })).await.expect_err("503");
    assert_eq!(busy.kind, FailureKind::Transient);
    let post = run(json!({ "url": format!("{url}/busy"), "method": "POST" })).await.expect_err("503");
    assert_eq!(post.kind, FailureKind::Unknown);
    let other = json!({ "url": format!("{url}/ok"), "expect": { "contains": "items\":[3" } });
    let other = run(other).await.expect_err("another text");
    assert!(other.message.contains("does not contain"), "{other}");
    let large = run(json!({ "url": format!("{url}/large") })).await.expect_err("too large");
    assert!(large.message.contains("larger") || large.message.contains("more than"), "{large}");
    let before = seen.count.load(Ordering::Relaxed);
    let moved = run(json!({ "url": format!("{url}/moved") })).await.expect_err("a redirect");
    assert!(moved.hint.is_some_and(|hint| hint.contains("redirects")));
    assert_eq!(seen.count.load(Ordering::Relaxed), before + 1, "the redirect is not followed");
}

#[tokio::test]
async fn a_secret_is_sent_and_nowhere_shown() {
    let (url, seen) = server().await;
    let (_file, reference) = secret();
    let secrets = json!({ "token": reference });
    let headers = json!({ "Authorization": "Bearer {{token}}" });
    let body = json!({ "key": "{{token}}" });
    let request = json!({ "url": format!("{url}/echo"), "method": "PUT", "headers": headers, "body": body,
        "secrets": secrets });
    let output = run(request).await.expect("a response");
    let requests = std::mem::take(&mut *seen.requests.lock().expect("lock"));
    let (line, headers, body) = &requests[0];
    assert_eq!((line.as_str(), body.as_str()), ("PUT /echo", r#"{"key":"s3cr3t-token"}"#));
    assert_eq!(headers["authorization"], "Bearer s3cr3t-token");
    assert!(headers.contains_key("idempotency-key") && headers["content-type"] == "application/json");
    assert!(!output.body.contains("s3cr3t") && !output.json.to_string().contains("s3cr3t"), "{output:?}");
}

#[tokio::test]
async fn secrets_are_not_sent_without_encryption_or_placeholder() {
    let (_file, reference) = secret();
    let secrets = json!({ "token": reference });
    let headers = json!({ "authorization": "{{token}}" });
    let plain = run(json!({ "url": "http://192.0.2.1/", "headers": headers, "secrets": secrets })).await;
    assert!(plain.expect_err("http").message.contains("without encryption"));
    let unused = run(json!({ "url": "https://192.0.2.1/", "secrets": secrets })).await;
    assert!(unused.expect_err("no placeholder").message.contains("{{token}}"));
    for url in ["ftp://192.0.2.1/", "https://user:p4ssw0rd@192.0.2.1/", "nonsense"] {
        let error = run(json!({ "url": url })).await.expect_err(url);
        assert!(error.kind == FailureKind::Permanent && !error.to_string().contains("p4ss"), "{error}");
    }
}

#[tokio::test]
async fn only_a_request_that_may_be_repeated_is_repeated_after_a_loss() {
    let action = HttpRequest::new().expect("TLS");
    for (method, idempotent, expected) in [
        ("GET", false, true),
        ("PUT", false, true),
        ("POST", false, false),
        ("POST", true, true),
        ("PATCH", false, false),
    ] {
        let input = input(json!({ "url": "https://192.0.2.1/", "method": method, "idempotent": idempotent }));
        let found = action.find(&context(), &input).await.expect("a result");
        assert_eq!(matches!(found, FindResult::Absent), expected, "{method} {idempotent}: {found:?}");
    }
}
