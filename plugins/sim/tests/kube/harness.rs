use std::io::Write as _;
use std::process::{Command, Output};
use std::sync::{Arc, Once};

use reqwest::{Certificate, Client, Method};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use stargate_sim::{Sim, SimOptions, start};
use tempfile::TempDir;

/// Says that a test is skipped, and why, past what the test harness captures.
pub(crate) fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let told = writeln!(std::io::stderr(), "skipped: {name}: {why}");
    told.expect("standard error is open");
}

/// A world with the log's cluster, and its administrator.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) client: Client,
    pub(crate) token: String,
    dir: TempDir,
}

pub(crate) async fn open() -> Bench {
    open_with(false).await
}

/// The same; with machines if `hosts`.
pub(crate) async fn open_with(hosts: bool) -> Bench {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let sim = start(SimOptions { hosts, speed: 1000.0, ..SimOptions::new(dir.path()) }).await.unwrap();
    let authority = Certificate::from_pem(&std::fs::read(sim.ca_file()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([authority]).build().unwrap();
    let config = std::fs::read_to_string(sim.kubeconfig()).unwrap();
    let token = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned();
    Bench { sim, client, token, dir }
}

impl Bench {
    /// Status and body of a request.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let url = format!("{}{path}", self.sim.kube_url().unwrap());
        let mut request = self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The same as the administrator, with JSON.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.ask(method, path, &self.token, "application/json", body).await
    }

    /// Creates a service account in `default` and returns a token for it.
    pub(crate) async fn account(&self, name: &str) -> String {
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        let account = json!({ "metadata": { "name": name } });
        assert_eq!(self.admin("POST", accounts, Some(&account)).await.0, 201);
        let request = json!({ "spec": {} });
        let (status, token) = self.admin("POST", &format!("{accounts}/{name}/token"), Some(&request)).await;
        assert_eq!(status, 201, "{token}");
        token["status"]["token"].as_str().unwrap().to_owned()
    }

    /// Grants rules to a service account of `default` in the whole cluster.
    pub(crate) async fn grant(&self, name: &str, rules: &[Value]) {
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let role = json!({ "metadata": { "name": name }, "rules": rules });
        assert_eq!(self.admin("POST", &format!("{rbac}/clusterroles"), Some(&role)).await.0, 201);
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": "default" }],
        });
        assert_eq!(self.admin("POST", &format!("{rbac}/clusterrolebindings"), Some(&binding)).await.0, 201);
    }

    /// What trusts the world's own authority.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.sim.ca_file()).unwrap()).unwrap();
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    /// A file beside the world.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `kubectl`; none where there is none.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Option<Output> {
        let mut command = Command::new("kubectl");
        command.args(arguments).env("KUBECONFIG", self.sim.kubeconfig()).env("HOME", self.dir.path());
        match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
            Ok(output) => Some(output),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                skipped("there is no kubectl");
                None
            }
            Err(error) => panic!("kubectl: {error}"),
        }
    }
}
