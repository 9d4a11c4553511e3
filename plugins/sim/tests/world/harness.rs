use std::sync::Once;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use stargate_sim::{Scenario, Sim, SimOptions, start};
use tempfile::TempDir;

use crate::hang_guard::hang_guard;

/// Node group of the scenario's cluster.
pub(crate) const NODES: &str = "MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral";
pub(crate) const NETWORK: &str = "aks-vnet-11486953";

/// A world and a client of it.
pub(crate) struct WorldBench {
    pub(crate) sim: Sim,
    pub(crate) client: Client,
    pub(crate) dir: TempDir,
}

/// Status, headers and body of an answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> &str {
        self.body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> &str {
        self.body.pointer("/properties/provisioningState").and_then(Value::as_str).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.body);
        self
    }
}

pub(crate) fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

pub(crate) async fn open_in(dir: TempDir, change: impl FnOnce(&mut SimOptions)) -> WorldBench {
    use_ring();
    let mut options = SimOptions { hosts: false, speed: 200.0, ..SimOptions::new(dir.path()) };
    change(&mut options);
    let sim = start(options).await.unwrap();
    WorldBench { sim, client: Client::new(), dir }
}

/// A world with the log's cluster.
pub(crate) async fn open() -> WorldBench {
    open_in(tempfile::tempdir().unwrap(), |_| {}).await
}

/// A world with nothing but the group `g`.
pub(crate) async fn empty() -> WorldBench {
    let bench = open_in(tempfile::tempdir().unwrap(), |options| options.scenario = Scenario::Empty).await;
    bench.put("/resourcegroups/g", json!({ "location": "canadacentral" })).await.expect(201);
    bench
}

impl WorldBench {
    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.sim.subscription())
    }

    /// The id of something of `Microsoft.Network` in the group `g`.
    pub(crate) fn network_id(&self, rest: &str) -> String {
        format!("{}{}", self.subscription(), network(rest))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path =
            if path.starts_with("/subscriptions") { path.to_owned() } else { format!("{}{path}", self.subscription()) };
        let mark = if path.contains('?') { '&' } else { '?' };
        let version =
            if path.contains("api-version=") { String::new() } else { format!("{mark}api-version=2024-01-01") };
        self.client.request(method, format!("{}{path}{version}", self.sim.http_url())).bearer_auth(self.sim.token())
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        got(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Got {
        got(self.request(Method::PUT, path).json(&body).send().await.unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        got(self.request(Method::DELETE, path).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Got {
        got(self.request(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    /// Writes and waits until the operation is done; the resource as it is then.
    pub(crate) async fn made(&self, path: &str, body: Value) -> Value {
        let put = self.put(path, body).await;
        assert!(matches!(put.status, 200..=202), "{path}: {} {}", put.status, put.body);
        self.finish(&put).await;
        self.get(path).await.expect(200).body
    }

    /// Follows `Azure-AsyncOperation` to its end and gives the last status.
    pub(crate) async fn finish(&self, started: &Got) -> String {
        let Some(url) = started.header("azure-asyncoperation") else { return "Succeeded".to_owned() };
        let end = hang_guard(async {
            loop {
                let poll = self.poll(url).await.expect(200);
                let status = poll.body["status"].as_str().unwrap().to_owned();
                if status != "InProgress" {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        });
        end.await.unwrap()
    }

    /// Follows `Location` until it is no longer 202.
    pub(crate) async fn finish_location(&self, url: &str) -> Got {
        let end = hang_guard(async {
            loop {
                let poll = self.poll(url).await;
                if poll.status != 202 {
                    return poll;
                }
                tokio::task::yield_now().await;
            }
        });
        end.await.unwrap()
    }

    /// GETs an absolute URL verbatim.
    pub(crate) async fn poll(&self, url: &str) -> Got {
        got(self.client.get(url).bearer_auth(self.sim.token()).send().await.unwrap()).await
    }

    /// Makes a request to the control API, with its token.
    pub(crate) fn control(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/_world{path}", self.sim.http_url());
        self.client.request(method, url).bearer_auth(self.sim.control_token())
    }

    pub(crate) async fn world(&self, path: &str) -> Value {
        self.control(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn tell(&self, path: &str, body: Value) -> Got {
        got(self.control(Method::POST, path).json(&body).send().await.unwrap()).await
    }

    /// Names of the events so far, after those of the beginning.
    pub(crate) fn events(&self, after: u64) -> Vec<Value> {
        self.sim.shared().events_after(after).iter().map(|event| serde_json::to_value(event).unwrap()).collect()
    }

    pub(crate) fn latest(&self) -> u64 {
        *self.sim.shared().latest().borrow()
    }
}

pub(crate) async fn got(response: Response) -> Got {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Got { status, headers, body }
}

/// A path of `Microsoft.Network` in the group `g`.
pub(crate) fn network(rest: &str) -> String {
    format!("/resourceGroups/g/providers/Microsoft.Network/{rest}")
}

/// A path of `Microsoft.Compute` in the group `g`.
pub(crate) fn compute(rest: &str) -> String {
    format!("/resourceGroups/g/providers/Microsoft.Compute/{rest}")
}

/// A network `v` with the subnet `s`, 10.1.0.0/24.
pub(crate) async fn with_network(bench: &WorldBench) {
    let subnets = json!([{ "name": "s", "properties": { "addressPrefix": "10.1.0.0/24" } }]);
    let body = json!({ "location": "canadacentral", "properties": { "addressSpace": { "addressPrefixes": ["10.1.0.0/16"] }, "subnets": subnets } });
    bench.made(&network("virtualNetworks/v"), body).await;
}

/// The body of a NIC in the subnet `s`.
pub(crate) fn nic(bench: &WorldBench) -> Value {
    let subnet = bench.network_id("virtualNetworks/v/subnets/s");
    json!({
        "location": "canadacentral",
        "properties": { "ipConfigurations": [{ "name": "c", "properties": { "subnet": { "id": subnet } } }] },
    })
}

/// The body of a machine with the NIC `n`.
pub(crate) fn machine(bench: &WorldBench) -> Value {
    json!({
        "location": "canadacentral",
        "properties": {
            "hardwareProfile": { "vmSize": "Standard_D2s_v5" },
            "storageProfile": {
                "imageReference": { "publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts-gen2", "version": "latest" },
                "osDisk": { "createOption": "FromImage", "managedDisk": { "storageAccountType": "Premium_LRS" } },
            },
            "osProfile": {
                "computerName": "m",
                "adminUsername": "ubuntu",
                "customData": "I2Nsb3VkLWNvbmZpZwo=",
                "linuxConfiguration": { "disablePasswordAuthentication": true, "ssh": { "publicKeys": [{ "path": "/home/ubuntu/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA" }] } },
            },
            "networkProfile": { "networkInterfaces": [{ "id": bench.network_id("networkInterfaces/n"), "properties": { "primary": true } }] },
        },
    })
}
