use std::collections::BTreeSet;
use std::sync::Once;

use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use stargate_routes::{Facts, SiteFabric as Fabric, Strategy};
use stargate_sim::kube::{KubeletKeys, KubeletState, NodeFacts, add_aks_node, kubelet_step, remove_node};
use stargate_sim::{Sim, SimOptions, start};
use tempfile::TempDir;

use crate::{
    deployment::{Deployment, facts},
    hang_guard::hang_guard,
};

/// The token that workers join with, id and secret.
const TOKEN: (&str, &str) = ("d4y594", "w3rja73p8bcjqxav");

/// A world with the log's deployment, its nodes in the cluster, whose administrator is at hand.
pub(crate) struct DataplaneBench {
    pub(crate) sim: Sim,
    client: Client,
    token: String,
    _dir: TempDir,
}

/// The log's deployment with the names that the states have.
pub(crate) fn named() -> Facts {
    let mut facts = facts(2, &[(2, Fabric::Azure)], Strategy::PerNode);
    for (number, node) in (1..).zip(&mut facts.aks.nodes) {
        node.name = format!("aks-{number}");
    }
    let site = &mut facts.sites[0];
    site.name = "dc".into();
    site.router.name = "dc-router".into();
    for (number, worker) in (1..).zip(&mut site.workers) {
        worker.name = format!("worker-{number}");
    }
    facts
}

pub(crate) async fn open() -> DataplaneBench {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let sim = start(SimOptions { hosts: false, ..SimOptions::new(dir.path()) }).await.unwrap();
    let authority = Certificate::from_pem(&std::fs::read(sim.ca_file()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_merge([authority]).build().unwrap();
    let config = std::fs::read_to_string(sim.kubeconfig()).unwrap();
    let token = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned();
    let bench = DataplaneBench { sim, client, token, _dir: dir };
    bench.deploy(&named()).await;
    bench
}

impl DataplaneBench {
    /// Replaces the content of the world by a deployment, except for the cluster, whose nodes
    /// become the deployment's.
    async fn deploy(&self, facts: &Facts) {
        {
            let mut world = self.sim.shared().lock();
            let mut next = Deployment::of(facts.clone()).guarded_as_shipped().world();
            next.kube = std::mem::take(&mut world.kube);
            next.arm.speed = 200.0;
            next.pods.clear();
            for name in ["aks-nodepool1-41954725-vmss000000", "aks-nodepool1-41954725-vmss000001"] {
                assert!(remove_node(&mut next.kube, name));
            }
            for node in &facts.aks.nodes {
                let block = node.pod_cidr.unwrap().to_string();
                add_aks_node(&mut next.kube, &node.name, &node.internal_ip.unwrap().to_string(), &block);
            }
            *world = next;
        }
        self.allow().await;
        for worker in &facts.sites[0].workers {
            self.join(&worker.name, &worker.internal_ip.unwrap().to_string(), &worker.pod_cidr.unwrap().to_string());
        }
    }

    /// Permits workers to join.
    async fn allow(&self) {
        let (id, secret) = TOKEN;
        let data = json!({ "token-id": id, "token-secret": secret, "usage-bootstrap-authentication": "true",
            "auth-extra-groups": "system:bootstrappers:t", "expiration": "2099-01-01T00:00:00Z" });
        let body = json!({ "metadata": { "name": format!("bootstrap-token-{id}") }, "type": "bootstrap.kubernetes.io/token", "stringData": data });
        self.create("/api/v1/namespaces/kube-system/secrets", &body).await;
        for role in ["system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient"] {
            let binding = json!({
                "metadata": { "name": format!("t:{role}") },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
                "subjects": [{ "kind": "Group", "name": "system:bootstrappers:t" }],
            });
            self.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
        }
    }

    /// Registers a worker's kubelet with a pod CIDR.
    pub(crate) fn join(&self, name: &str, address: &str, range: &str) {
        let facts = NodeFacts {
            name: name.to_owned(),
            address: address.to_owned(),
            labels: [("kubernetes.azure.com/ebpf-dataplane".to_owned(), "cilium".to_owned())].into(),
            version: "v1.33.5".to_owned(),
            runtime: Some("containerd://1.7.24".to_owned()),
            pod_cidr: Some(range.to_owned()),
            ..NodeFacts::default()
        };
        let token = format!("{}.{}", TOKEN.0, TOKEN.1);
        let keys = &mut KubeletKeys::default();
        let state = kubelet_step(&mut self.sim.shared().lock().kube, keys, Some(&token), &facts);
        assert!(matches!(state, KubeletState::Registered { ready: true, .. }), "{state:?}");
    }

    async fn create(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.sim.kube_url().unwrap());
        let response = self.client.post(url).bearer_auth(&self.token).json(body).send().await.unwrap();
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        assert_eq!(status, 201, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Creates a pod, on a node if one is named.
    pub(crate) async fn pod(&self, name: &str, node: Option<&str>) -> Value {
        let mut spec = json!({ "containers": [{ "name": "c", "image": "x:1" }] });
        if let Some(node) = node {
            spec["nodeName"] = json!(node);
        }
        let pod = json!({ "metadata": { "name": name, "labels": { "app": "echo" } }, "spec": spec });
        self.create("/api/v1/namespaces/default/pods", &pod).await;
        let url = format!("{}/api/v1/namespaces/default/pods/{name}", self.sim.kube_url().unwrap());
        let response = self.client.get(url).bearer_auth(&self.token).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    /// A pod on every node, called `echo-NODE`.
    pub(crate) async fn pods(&self) {
        for node in ["aks-1", "aks-2", "worker-1", "worker-2"] {
            self.pod(&format!("echo-{node}"), Some(node)).await;
        }
    }

    /// Makes a change of another party, as soon as Azure has finished the writes before it.
    pub(crate) async fn drift(&self, drift: &Value) {
        let url = format!("{}/_world/drift", self.sim.http_url());
        let made = hang_guard(async {
            loop {
                let response =
                    self.client.post(&url).bearer_auth(self.sim.control_token()).json(drift).send().await.unwrap();
                let (status, text) = (response.status(), response.text().await.unwrap());
                if status.as_u16() != 429 {
                    assert!(status.is_success(), "{drift}: {status} {text}");
                    return;
                }
            }
        });
        assert!(made.await.is_ok(), "{drift}: an operation of Azure does not end");
    }

    pub(crate) async fn fetch(&self, what: &str) -> String {
        let url = format!("{}/_world/{what}", self.sim.http_url());
        self.client.get(url).bearer_auth(self.sim.control_token()).send().await.unwrap().text().await.unwrap()
    }

    /// Returns the matrix of the pods that `pods` has created.
    pub(crate) async fn matrix(&self) -> Value {
        serde_json::from_str(&self.fetch("matrix?namespace=default&selector=app%3Decho").await).unwrap()
    }

    /// Returns the dead pairs by node.
    pub(crate) async fn dead(&self) -> BTreeSet<(String, String)> {
        let matrix = self.matrix().await;
        let cells = matrix["cells"].as_array().unwrap().iter().filter(|cell| cell["ok"] == false);
        let node = |cell: &Value, end: &str| cell[end].as_str().unwrap().trim_start_matches("echo-").to_owned();
        cells.map(|cell| (node(cell, "from"), node(cell, "to"))).collect()
    }

    /// Waits until exactly these pairs are dead: writes to Azure finish after a moment.
    pub(crate) async fn until_dead(&self, wanted: &BTreeSet<(String, String)>, name: &str) {
        let reached = hang_guard(async {
            while self.dead().await != *wanted {
                tokio::task::yield_now().await;
            }
        });
        let reached = reached.await.is_ok();
        assert!(reached, "{name}: {}", self.fetch("matrix?selector=app%3Decho&format=text").await);
    }
}
