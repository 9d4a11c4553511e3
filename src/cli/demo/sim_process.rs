//! Process of the simulated world, and questions to its control interface below `/_world`.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::cli::{Failure, command::sim};

/// Maximum time until the simulated world is ready; it needs less than a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Interval between two reads of the request log.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Simulated world in a process of its own, which is killed on drop.
pub(in crate::cli) struct SimProcess {
    child: Child,
    endpoints: Value,
    client: reqwest::Client,
}

impl SimProcess {
    /// Starts `command`, a `stargate sim`, and waits until it prints its endpoints.
    pub(in crate::cli) async fn open(mut command: Command) -> Result<Self, Failure> {
        // In its own process group, the simulator does not receive Ctrl-C: it outlives the run that
        // is interrupted.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| sim_error(&format!("cannot start: {error}")))?;
        let stdout = child.stdout.take().ok_or_else(|| sim_error("no standard output"))?;
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        let read = tokio::time::timeout(START_TIMEOUT, lines.read_line(&mut line)).await;
        read.map_err(|_| sim_error("not ready in time"))?.map_err(|error| sim_error(&error.to_string()))?;
        let endpoints = serde_json::from_str(&line).map_err(|_| sim_error("ended before it was ready"))?;
        Ok(Self { child, endpoints, client: reqwest::Client::new() })
    }

    /// Returns the environment variables that point `stargate` to this world.
    pub(in crate::cli) fn variables(&self) -> Vec<(&'static str, String)> {
        sim::variables(&self.endpoints)
    }

    /// Returns an endpoint by name.
    pub(in crate::cli) fn endpoint(&self, name: &str) -> &str {
        self.endpoints.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Counts the requests so far that change something, on all surfaces.
    pub(in crate::cli) async fn writes(&self) -> Result<u64, Failure> {
        let counters = self.query("counters").await?;
        counters.get("mutating").and_then(Value::as_u64).ok_or_else(|| sim_error("unreadable counters"))
    }

    /// Counts the requests so far that create a machine.
    pub(in crate::cli) async fn machine_creation_requests(&self) -> Result<usize, Failure> {
        let requests = self.query("requests?surface=arm&mutating=true").await?;
        let is_creation = |request: &&Value| request["method"] == "PUT" && path(request).contains("/virtualmachines/");
        Ok(requests.as_array().map_or(0, |requests| requests.iter().filter(is_creation).count()))
    }

    /// Waits until Azure has accepted a machine and its creation is polled. Returns false if `run`
    /// ends before, or after `limit`.
    pub(in crate::cli) async fn wait_for_machine_creation(
        &self,
        run: &mut Child,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if is_being_created(&self.query("requests?surface=arm").await?) {
                return Ok(true);
            }
            // The run ends, or the interval has passed.
            if tokio::time::timeout(POLL_INTERVAL, run.wait()).await.is_ok() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Returns the kubelet that fits the version of the cluster.
    pub(in crate::cli) async fn kubelet(&self) -> Result<KubeletDownload, Failure> {
        let state = self.query("state").await?;
        let mut resources = state["arm"]["resources"].as_object().into_iter().flatten();
        let version = resources.find_map(|(_, one)| one["properties"]["currentKubernetesVersion"].as_str());
        let version = format!("v{}", version.ok_or_else(|| sim_error("no cluster"))?);
        let index = self.fetch("_mirror/index.json").await?;
        let sha256 = index[format!("kubernetes/{version}/bin/linux/amd64/kubelet")].as_str();
        let sha256 = sha256.ok_or_else(|| sim_error("no kubelet of the cluster's version in its mirror"))?.to_owned();
        Ok(KubeletDownload { mirror: format!("{}/_mirror/kubernetes", self.endpoint("http")), version, sha256 })
    }

    /// Computes the connections between all pods of the demonstration.
    pub(in crate::cli) async fn matrix(&self) -> Result<ReachabilityMatrix, Failure> {
        let matrix = "matrix?namespace=default&selector=app%3Ddemo";
        let dead = self.query(matrix).await?["dead"].as_u64().ok_or_else(|| sim_error("unreadable matrix"))?;
        let url = format!("{}/_world/{matrix}&format=text", self.endpoint("http"));
        let token = self.endpoint("control_token");
        let answer = async { self.client.get(url).bearer_auth(token).send().await?.error_for_status()?.text().await };
        let table = answer.await.map_err(|error: reqwest::Error| sim_error(&error.to_string()))?;
        Ok(ReachabilityMatrix { table, dead })
    }

    /// Replaces the last node of AKS.
    pub(in crate::cli) async fn replace_node(&self) -> Result<RemovedNode, Failure> {
        let state = self.query("state").await?;
        let configs = state["kube"]["objects"]["nodenetworkconfigs.acn.azure.com"].as_object();
        let (key, config) = configs.and_then(|all| all.iter().next_back()).ok_or_else(|| sim_error("no nodes"))?;
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let pod_cidr = config["status"]["networkContainers"][0]["primaryIP"].as_str().unwrap_or_default().to_owned();
        let url = format!("{}/_world/aks-nodes", self.endpoint("http"));
        self.send(self.client.delete(format!("{url}/{name}"))).await?;
        self.send(self.client.post(url).json(&new_node(&name))).await?;
        Ok(RemovedNode { name, pod_cidr })
    }

    /// Returns the positions at which a prefix occurs: in Azure, the tailnet and the cluster's
    /// objects.
    pub(in crate::cli) async fn mentions_of(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let state = self.query("state").await?;
        let objects = &state["kube"]["objects"];
        let surfaces = [
            ("Azure", &state["arm"]["resources"]),
            ("the tailnet", &state["tailnet"]["devices"]),
            ("CiliumNodes", &objects["ciliumnodes.cilium.io"]),
            ("Nodes", &objects["nodes"]),
        ];
        let mut found = Vec::new();
        for (name, value) in surfaces {
            find_text(prefix, value, name, &mut found);
        }
        Ok(found)
    }

    /// Stops the simulated world.
    pub(in crate::cli) async fn close(mut self) -> Result<(), Failure> {
        let url = format!("{}/_world/shutdown", self.endpoint("http"));
        self.client
            .post(url)
            .bearer_auth(self.endpoint("control_token"))
            .send()
            .await
            .map_err(|error| sim_error(&error.to_string()))?;
        let ended = tokio::time::timeout(START_TIMEOUT, self.child.wait()).await;
        ended.map_err(|_| sim_error("does not stop"))?.map_err(|error| sim_error(&error.to_string()))?;
        Ok(())
    }

    /// Sends a request to the control interface and checks its status.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(), Failure> {
        let request = request.bearer_auth(self.endpoint("control_token"));
        let answer = async { request.send().await?.error_for_status() };
        answer.await.map(drop).map_err(|error| sim_error(&error.to_string()))
    }

    /// Reads a page of the control interface.
    async fn query(&self, what: &str) -> Result<Value, Failure> {
        self.fetch(&format!("_world/{what}")).await
    }

    async fn fetch(&self, path: &str) -> Result<Value, Failure> {
        let request = self.client.get(format!("{}/{path}", self.endpoint("http")));
        let answer = async {
            request.bearer_auth(self.endpoint("control_token")).send().await?.error_for_status()?.json().await
        };
        answer.await.map_err(|error: reqwest::Error| sim_error(&error.to_string()))
    }
}

/// Kubelet in the mirror of the simulated world.
pub(in crate::cli) struct KubeletDownload {
    /// URL of the mirror, with one folder per version.
    pub(in crate::cli) mirror: String,
    /// Version, such as `v1.33.5`.
    pub(in crate::cli) version: String,
    /// SHA-256 in hexadecimal.
    pub(in crate::cli) sha256: String,
}

/// Connections between pods.
pub(in crate::cli) struct ReachabilityMatrix {
    /// Matrix as text.
    pub(in crate::cli) table: String,
    /// Number of pairs without a connection.
    pub(in crate::cli) dead: u64,
}

/// Node that AKS has removed.
pub(in crate::cli) struct RemovedNode {
    pub(in crate::cli) name: String,
    pub(in crate::cli) pod_cidr: String,
}

/// Returns the node that replaces `removed`, with another name, address and pod CIDR.
fn new_node(removed: &str) -> Value {
    let pool = removed.trim_end_matches(|digit: char| digit.is_ascii_digit());
    json!({"name": format!("{pool}000007"), "address": "10.224.0.9", "pod_cidr": "10.244.7.0/24"})
}

/// Adds the JSON pointers, below `at`, of all strings in `value` that equal the text.
fn find_text(text: &str, value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(own) if own == text => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| find_text(text, item, &format!("{at}/{i}"), found));
        }
        Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| find_text(text, value, &format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

/// Number of polls after which the creation is certainly running.
const MIN_POLLS: usize = 2;

/// True if the request log contains an accepted PUT of a machine, followed by polls of its
/// operation.
fn is_being_created(requests: &Value) -> bool {
    let requests = requests.as_array().map(Vec::as_slice).unwrap_or_default();
    let accepted = |request: &Value| {
        request["method"] == "PUT" && request["status"] == 201 && path(request).contains("/virtualmachines/")
    };
    let Some(at) = requests.iter().position(accepted) else { return false };
    let is_poll =
        |request: &&Value| request["method"] == "GET" && path(request).contains("microsoft.compute/locations");
    requests[at..].iter().filter(is_poll).count() >= MIN_POLLS
}

/// Returns the path of a request in lower case, because paths of ARM are case-insensitive.
fn path(request: &Value) -> String {
    request["path"].as_str().unwrap_or_default().to_ascii_lowercase()
}

/// Creates the failure for an unexpected answer of the simulator.
fn sim_error(reason: &str) -> Failure {
    Failure::internal(format!("simulated world: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_being_created_when_its_accepted_request_is_polled() {
        let put = json!({"method": "PUT", "status": 201, "path": "/s/x/virtualMachines/v"});
        let poll = json!({"method": "GET", "status": 200, "path": "/s/x/providers/Microsoft.Compute/locations/l/operations/1"});
        assert!(is_being_created(&json!([put, poll, poll])));
        assert!(!is_being_created(&json!([poll, poll, put])));
        assert!(!is_being_created(&json!([put])));
    }

    #[test]
    fn a_prefix_is_found_at_each_depth() {
        let mut found = vec![];
        find_text("10.244.1.0/24", &json!({"a": [{"p": "10.244.1.0/24"}], "b": "10.244.1.0/2"}), "Azure", &mut found);
        assert_eq!(found, ["Azure/a/0/p"]);
    }
}
