use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::command;

/// Simulator with a state file, killed on drop.
struct KilledSimulator {
    child: Child,
    endpoints: Value,
    client: Client,
}

impl KilledSimulator {
    /// Starts the simulator in a folder, with the state that an earlier one left there.
    fn open(folder: &Path) -> Self {
        let arguments = ["sim", "--no-hosts", "--dir", "world", "--state", "world.json"];
        let mut command = command(folder, &[], &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoints: Value = serde_json::from_str(&line).unwrap();
        let authority = std::fs::read(endpoints["ca"].as_str().unwrap()).unwrap();
        let authority = Certificate::from_pem(&authority).unwrap();
        Self { child, endpoints, client: Client::builder().tls_certs_merge([authority]).build().unwrap() }
    }

    fn text(&self, name: &str) -> &str {
        self.endpoints[name].as_str().unwrap()
    }

    /// Returns a setting of the kubeconfig.
    fn kubeconfig(&self, name: &str) -> String {
        let config = std::fs::read_to_string(self.text("kubeconfig")).unwrap();
        config.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().to_owned()
    }

    /// Makes a request to one of the APIs, with its credentials.
    fn request(&self, api: &str, method: Method, path: &str) -> RequestBuilder {
        let base = self.text("http");
        let (base, token) = match api {
            "arm" => (format!("{base}/subscriptions/{}", self.text("subscription")), self.text("token").to_owned()),
            "kubernetes" => (self.kubeconfig("server: "), self.kubeconfig("token: ")),
            "control" => (base.to_owned(), self.text("control_token").to_owned()),
            _ => (format!("{base}/api/v2"), stargate_sim::tailnet::API_KEY.to_owned()),
        };
        self.client.request(method, format!("{base}{path}")).bearer_auth(token)
    }

    /// Sends SIGKILL and waits for the end.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for KilledSimulator {
    fn drop(&mut self) {
        // The test may have killed it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A write to each API, and the path at which it can be read.
fn writes() -> [(&'static str, Method, &'static str, Value, &'static str); 4] {
    let group = "/resourcegroups/kept?api-version=2024-07-01";
    let maps = "/api/v1/namespaces/default/configmaps";
    let capabilities =
        json!({"devices": {"create": {"reusable": false, "preauthorized": true, "tags": ["tag:stargate-router"]}}});
    [
        ("arm", Method::PUT, group, json!({"location": "canadacentral"}), group),
        (
            "kubernetes",
            Method::POST,
            maps,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}),
            "/api/v1/namespaces/default/configmaps/kept",
        ),
        (
            "tailscale",
            Method::POST,
            "/tailnet/-/keys",
            json!({"capabilities": capabilities, "description": "kept"}),
            "/tailnet/-/keys?all=true",
        ),
        (
            "control",
            Method::PUT,
            "/_world/pods",
            json!([{"name": "kept", "node": "n", "ip": "10.9.9.9"}]),
            "/_world/pods",
        ),
    ]
}

#[tokio::test]
async fn what_the_simulator_answered_is_there_after_sigkill() {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let mut sim = KilledSimulator::open(folder.path());
    let ports =
        |sim: &KilledSimulator| [sim.text("http").to_owned(), sim.text("https").to_owned(), sim.kubeconfig("server: ")];
    for (api, method, path, body, at) in writes() {
        let answer = sim.request(api, method, path).json(&body).send().await.unwrap();
        let (status, answer) = (answer.status(), answer.text().await.unwrap());
        sim.kill();
        assert!(status.is_success(), "{api}: {status} {answer}");
        let before = ports(&sim);
        sim = KilledSimulator::open(folder.path());
        assert_eq!(ports(&sim), before, "{api}");
        let read = sim.request(api, Method::GET, at).send().await.unwrap().error_for_status().unwrap();
        let text = read.text().await.unwrap();
        // Keys are listed by id only.
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let expected = answer["id"].as_str().filter(|_| api == "tailscale").unwrap_or("kept");
        assert!(text.contains(expected), "{api}: {text}");
    }
}

#[tokio::test]
async fn an_event_that_was_followed_is_there_after_sigkill() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let mut sim = KilledSimulator::open(folder.path());
    let seen = sim.request("control", Method::GET, "/_world/events").send().await.unwrap().text().await.unwrap();
    assert!(!seen.is_empty());
    sim.kill();
    sim = KilledSimulator::open(folder.path());
    let again = sim.request("control", Method::GET, "/_world/events").send().await.unwrap().text().await.unwrap();
    assert_eq!(again, seen);
}
