use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::router;
use crate::tailnet::{CLIENT_ID, CLIENT_SECRET};
use crate::{Shared, World};

struct Api {
    shared: Shared,
    client: Client,
    base: String,
    token: String,
}

impl Api {
    /// The API on a port of its own, with a token of the seeded client.
    async fn open() -> Self {
        // Another test of this process may have been first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let shared = Shared::new(World::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
        let base = format!("http://{}/api/v2", listener.local_addr().expect("address"));
        let app = router(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut api = Self { shared, client: Client::new(), base, token: String::new() };
        let form = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
        let (status, token) = answer(api.request(Method::POST, "/oauth/token").form(&form)).await;
        assert_eq!((status, &token["token_type"], &token["expires_in"]), (200, &json!("Bearer"), &json!(3600)));
        api.token = token["access_token"].as_str().expect("token").to_owned();
        api
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path).bearer_auth(&self.token)).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).bearer_auth(&self.token).json(&body)).await
    }

    fn key(tags: &[&str]) -> Value {
        json!({"capabilities": {"devices": {"create": {"reusable": false, "preauthorized": true, "tags": tags}}}, "expirySeconds": 3600})
    }

    fn join(&self, hostname: &str) -> String {
        let tailnet = &mut self.shared.lock().tailnet;
        let secret = format!("{CLIENT_SECRET}?ephemeral=false");
        tailnet.join(&secret, hostname, &["tag:stargate-router".to_owned()]).expect("joined").0
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn who_has_no_token_is_told_so() {
    let api = Api::open().await;
    let (status, body) = answer(api.request(Method::GET, "/tailnet/-/devices")).await;
    assert_eq!((status, body), (401, json!({"message": "API token invalid"})));
    let basic = api.request(Method::POST, "/oauth/token").basic_auth(CLIENT_ID, Some("wrong"));
    assert_eq!(answer(basic).await.0, 401);
    let basic = api
        .request(Method::POST, "/oauth/token")
        .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
        .form(&[("scope", "devices:core:read")]);
    let (status, narrow) = answer(basic).await;
    assert_eq!((status, &narrow["scope"]), (200, &json!("devices:core:read")));
    let token = narrow["access_token"].as_str().expect("token");
    assert_eq!(answer(api.request(Method::GET, "/tailnet/-/devices").bearer_auth(token)).await.0, 200);
    assert_eq!(answer(api.request(Method::POST, "/tailnet/-/keys").bearer_auth(token).json(&json!({}))).await.0, 403);
}

#[tokio::test]
async fn a_key_is_shown_once_and_joins_one_machine() {
    let api = Api::open().await;
    let (status, key) = api.post("/tailnet/-/keys", Api::key(&["tag:stargate-router"])).await;
    assert_eq!(status, 200);
    let value = key["key"].as_str().expect("value").to_owned();
    let path = format!("/tailnet/-/keys/{}", key["id"].as_str().expect("id"));
    let (_, again) = api.get(&path).await;
    assert_eq!((again.get("key"), &again["invalid"]), (None, &json!(false)));
    api.shared.lock().tailnet.join(&value, "router", &[]).expect("joined");
    assert_eq!(api.get(&path).await.1["invalid"], true);
    let error = api.shared.lock().tailnet.join(&value, "router", &[]).expect_err("spent").to_string();
    assert!(error.ends_with("not valid"), "{error}");
    for (body, message) in [
        (Api::key(&[]), "tailnet-owned auth key must have tags set"),
        (Api::key(&["tag:foreign"]), "requested tags [tag:foreign] are invalid or not permitted"),
        (json!({}), "capabilities.devices is required"),
    ] {
        assert_eq!(api.post("/tailnet/-/keys", body).await, (400, json!({"message": message})));
    }
}

#[tokio::test]
async fn approving_replaces_the_whole_list_and_serves_what_is_advertised() {
    let api = Api::open().await;
    let node = api.join("router");
    let path = format!("/device/{node}/routes");
    let (status, routes) = api.post(&path, json!({"routes": ["10.1.0.0/16", "10.2.0.0/16"]})).await;
    assert_eq!(
        (status, routes),
        (200, json!({"advertisedRoutes": [], "enabledRoutes": ["10.1.0.0/16", "10.2.0.0/16"]}))
    );
    let id = crate::tailnet::NodeId(node.clone());
    api.shared
        .lock()
        .tailnet
        .set_advertised(&id, ["10.2.0.0/16".parse().expect("prefix"), "10.3.0.0/16".parse().expect("prefix")].into());
    let primary: Vec<String> = api.shared.lock().tailnet.primary_routes(&id).iter().map(ToString::to_string).collect();
    assert_eq!(primary, ["10.2.0.0/16"]);
    assert_eq!(api.post(&path, json!({"routes": ["10.1.0.1/16"]})).await.0, 400);
    api.post(&path, json!({"routes": []})).await;
    assert_eq!(api.get(&path).await.1["enabledRoutes"], json!([]));
    assert_eq!(api.get("/device/nNoneCNTRL/routes").await, (404, json!({"message": "device not found"})));
}

#[tokio::test]
async fn devices_are_filtered_and_deleted() {
    let api = Api::open().await;
    let (first, second) = (api.join("router"), api.join("router"));
    let (_, all) = api.get("/tailnet/-/devices?fields=all&hostname=router&tags=tag:stargate-router").await;
    let names: Vec<&str> =
        all["devices"].as_array().expect("devices").iter().filter_map(|device| device["name"].as_str()).collect();
    assert_eq!(names, ["router.tail51a8e.ts.net", "router-1.tail51a8e.ts.net"]);
    assert!(all["devices"][0]["enabledRoutes"].is_array());
    assert_eq!(api.get("/tailnet/-/devices?hostname=other").await.1, json!({"devices": []}));
    assert_eq!(api.get("/tailnet/-/devices").await.1["devices"][0].get("enabledRoutes"), None);
    let numeric = api.get(&format!("/device/{second}")).await.1["id"].as_str().expect("id").to_owned();
    assert_eq!(api.get(&format!("/device/{numeric}")).await.1["nodeId"], json!(second));
    let delete = |id: &str| api.request(Method::DELETE, &format!("/device/{id}")).bearer_auth(&api.token);
    assert_eq!(answer(delete(&numeric)).await, (200, Value::String(String::new())));
    assert_eq!(answer(delete(&numeric)).await.0, 404);
    api.shared.lock().tailnet.device_mut(&crate::tailnet::NodeId(first.clone())).expect("device").external = true;
    assert_eq!(
        answer(delete(&first)).await,
        (501, json!({"message": "cannot delete devices outside of your tailnet"}))
    );
}

#[tokio::test]
async fn the_policy_is_guarded_by_its_etag_and_approves_by_itself() {
    let api = Api::open().await;
    let response = api.request(Method::GET, "/tailnet/-/acl").bearer_auth(&api.token).send().await.expect("answer");
    let etag = response.headers()["etag"].to_str().expect("text").to_owned();
    let policy = "{\"tagOwners\": {\"tag:stargate-router\": []}, // why\n\"autoApprovers\": {\"routes\": {\"10.50.0.0/16\": [\"tag:stargate-router\"]}},}";
    let write = |guard: &str| {
        let request = api.request(Method::POST, "/tailnet/-/acl").bearer_auth(&api.token);
        request.header("If-Match", guard).header("Content-Type", "application/hujson").body(policy)
    };
    assert_eq!(answer(write("\"other\"")).await, (412, json!({"message": "precondition failed, invalid old hash"})));
    assert_eq!(answer(write(&etag)).await.0, 200);
    assert_eq!(answer(write("ts-default")).await.0, 412);
    let node = crate::tailnet::NodeId(api.join("router"));
    let tailnet = &mut api.shared.lock().tailnet;
    tailnet.set_advertised(
        &node,
        ["10.50.1.0/24".parse().expect("prefix"), "10.60.0.0/16".parse().expect("prefix")].into(),
    );
    let enabled: Vec<String> = tailnet.device(&node).expect("device").enabled.iter().map(ToString::to_string).collect();
    assert_eq!(enabled, ["10.50.1.0/24"]);
}
