use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::{Certificate, Client, Method};

use crate::harness::{WorldBench, open, open_in};

/// Sends a request with a header to each address of the world and returns the statuses.
async fn statuses(bench: &WorldBench, name: &str, value: &str) -> Vec<u16> {
    let authority = Certificate::from_pem(&std::fs::read(bench.sim.ca_file()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_merge([authority]).build().unwrap();
    let mut found = vec![];
    for url in [bench.sim.http_url(), bench.sim.https_url(), bench.sim.kube_url().unwrap()] {
        let request = client.get(format!("{url}/version")).header(name, value);
        found.push(request.send().await.unwrap().status().as_u16());
    }
    found
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_each_address() {
    let bench = open().await;
    for foreign in ["evil.example", "localhost.evil.example:80", "192.0.2.1"] {
        assert_eq!(statuses(&bench, "host", foreign).await, [421; 3], "{foreign}");
    }
    let state = bench.control(Method::GET, "/state").header("host", "evil.example").send().await.unwrap();
    assert_eq!(state.status(), 421, "the token does not help");
    assert!(state.text().await.unwrap().contains("--allow-host evil.example"));
    assert!(!statuses(&bench, "host", "localhost:1").await.contains(&421));
}

#[tokio::test]
async fn a_name_of_the_options_is_allowed() {
    let allow = |options: &mut stargate_sim::SimOptions| options.allow_hosts = vec!["sim.lab".to_owned()];
    let bench = open_in(tempfile::tempdir().unwrap(), allow).await;
    assert!(!statuses(&bench, "host", "sim.lab:9090").await.contains(&421));
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_on_each_address() {
    let bench = open().await;
    for foreign in ["https://evil.example", "null", "http://localhost:1", "file://"] {
        assert_eq!(statuses(&bench, "origin", foreign).await, [403; 3], "{foreign}");
    }
    let own = bench.control(Method::GET, "/health").header("origin", bench.sim.http_url());
    assert_eq!(own.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_control_api_needs_its_token_which_only_the_owner_can_read() {
    let bench = open().await;
    let url = bench.sim.http_url();
    for (method, path) in [
        (Method::GET, "state"),
        (Method::GET, "health"),
        (Method::POST, "shutdown"),
        (Method::DELETE, "aks-nodes/x"),
        (Method::POST, "kubernetes/compact"),
    ] {
        let request = bench.client.request(method, format!("{url}/_world/{path}"));
        for request in [request.try_clone().unwrap(), request.bearer_auth(bench.sim.token())] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        }
    }
    let file = bench.dir.path().join("control-token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), bench.sim.control_token());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_world_that_is_started_again_keeps_its_control_token() {
    let bench = open().await;
    let token = bench.sim.control_token().to_owned();
    bench.sim.shutdown().await.unwrap();
    assert_eq!(open_in(bench.dir, |_| {}).await.sim.control_token(), token);
    assert_ne!(open().await.sim.control_token(), token);
}

#[tokio::test]
async fn the_first_line_warns_of_addresses_beyond_loopback() {
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let bench = open_in(tempfile::tempdir().unwrap(), |options| options.http = any).await;
    let exposed = bench.sim.exposed();
    assert_eq!(exposed.len(), 1);
    let text = stargate_sim::instructions(&bench.sim);
    let first = text.lines().next().unwrap();
    assert!(first.contains("WARNING") && first.contains(&exposed[0].to_string()), "{first}");
    let bench = open().await;
    assert!(bench.sim.exposed().is_empty() && !stargate_sim::instructions(&bench.sim).contains("WARNING"));
}
