use serde_json::json;

use crate::harness::{Bench, open};

const GROUP: &str = "/apis/nope.example.com/v1";

/// Message and status of a `GET` with a token.
async fn refused(bench: &Bench, path: &str, token: &str) -> (u16, String) {
    let (status, body) = bench.ask("GET", path, token, "", None).await;
    (status, body["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_permission_cannot_find_out_which_resources_are_served() {
    let bench = open().await;
    let token = bench.account("jane").await;
    let user = "User \"system:serviceaccount:default:jane\"";
    let cases = [
        (
            format!("{GROUP}/namespaces/default/foos"),
            format!(
                "foos.nope.example.com is forbidden: {user} cannot list resource \"foos\" in API group \"nope.example.com\" in the namespace \"default\""
            ),
        ),
        (
            format!("{GROUP}/foos/x"),
            format!(
                "foos.nope.example.com \"x\" is forbidden: {user} cannot get resource \"foos\" in API group \"nope.example.com\" at the cluster scope"
            ),
        ),
        (
            format!("{GROUP}/foos?watch=1"),
            format!(
                "foos.nope.example.com is forbidden: {user} cannot watch resource \"foos\" in API group \"nope.example.com\" at the cluster scope"
            ),
        ),
        (
            "/api/v1/namespaces/default/pods/x/nope".to_owned(),
            format!(
                "pods \"x\" is forbidden: {user} cannot get resource \"pods/nope\" in API group \"\" in the namespace \"default\""
            ),
        ),
    ];
    for (path, message) in cases {
        assert_eq!(refused(&bench, &path, &token).await, (403, message), "{path}");
        let unknown = (404, "the server could not find the requested resource".to_owned());
        assert_eq!(refused(&bench, &path, &bench.token).await, unknown, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_grants_a_resource_that_is_not_served_yet() {
    let bench = open().await;
    let token = bench.account("jane").await;
    let rule = json!({ "apiGroups": ["nope.example.com"], "resources": ["foos"], "verbs": ["list"] });
    bench.grant("jane", &[rule]).await;
    assert_eq!(refused(&bench, &format!("{GROUP}/foos"), &token).await.0, 404);
    assert_eq!(refused(&bench, &format!("{GROUP}/foos/x"), &token).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_for_authenticated_users_only() {
    let bench = open().await;
    for path in ["/apis/apps", "/apis/apps/v1", "/api/v1", "/apis/nope.example.com"] {
        let url = format!("{}{path}", bench.sim.kube_url().unwrap());
        let anonymous = bench.client.get(url).send().await.unwrap().status();
        assert_eq!(anonymous, 403, "{path}");
    }
    assert_eq!(bench.admin("GET", "/apis/apps/v1", None).await.0, 200);
    assert_eq!(bench.admin("GET", "/apis/nope.example.com", None).await.0, 404);
}
