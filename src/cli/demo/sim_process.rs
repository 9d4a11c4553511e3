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

/// How long the world may take to open; it takes well under a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the world is asked whether something has happened.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A simulated world in a process of its own. Dropping it ends the process.
pub(in crate::cli) struct SimProcess {
    child: Child,
    endpoints: Value,
    client: reqwest::Client,
}

impl SimProcess {
    /// Starts `command`, which is a `stargate sim`, and waits until the world answers.
    pub(in crate::cli) async fn open(mut command: Command) -> Result<Self, Failure> {
        // A group of its own: Ctrl-C reaches the run first, and the world only when the demonstration is over.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| sim_error(&format!("start it: {error}")))?;
        let stdout = child.stdout.take().ok_or_else(|| sim_error("it has no output"))?;
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        let read = tokio::time::timeout(START_TIMEOUT, lines.read_line(&mut line)).await;
        read.map_err(|_| sim_error("it does not open"))?.map_err(|error| sim_error(&error.to_string()))?;
        let endpoints = serde_json::from_str(&line).map_err(|_| sim_error("it has ended before it was open"))?;
        Ok(Self { child, endpoints, client: reqwest::Client::new() })
    }

    /// The variables under which `stargate` finds this world.
    pub(in crate::cli) fn variables(&self) -> Vec<(&'static str, String)> {
        sim::variables(&self.endpoints)
    }

    /// One of the endpoints by name.
    pub(in crate::cli) fn endpoint(&self, name: &str) -> &str {
        self.endpoints.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Requests so far that were to change something, whatever they went to.
    pub(in crate::cli) async fn writes(&self) -> Result<u64, Failure> {
        let counters = self.query("counters").await?;
        counters.get("mutating").and_then(Value::as_u64).ok_or_else(|| sim_error("its counters cannot be read"))
    }

    /// Requests so far for a machine to be created.
    pub(in crate::cli) async fn machine_creation_requests(&self) -> Result<usize, Failure> {
        let requests = self.query("requests?surface=arm&mutating=true").await?;
        let is_creation = |request: &&Value| request["method"] == "PUT" && path(request).contains("/virtualmachines/");
        Ok(requests.as_array().map_or(0, |requests| requests.iter().filter(is_creation).count()))
    }

    /// Waits until a machine's creation was accepted and is being waited for; `false` if `run` ends before.
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
            // Either the run ends, or it is time to look again.
            if tokio::time::timeout(POLL_INTERVAL, run.wait()).await.is_ok() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// The kubelet that goes with the cluster.
    pub(in crate::cli) async fn kubelet(&self) -> Result<KubeletDownload, Failure> {
        let state = self.query("state").await?;
        let mut resources = state["arm"]["resources"].as_object().into_iter().flatten();
        let version = resources.find_map(|(_, one)| one["properties"]["currentKubernetesVersion"].as_str());
        let version = format!("v{}", version.ok_or_else(|| sim_error("it has no cluster"))?);
        let index = self.fetch("_mirror/index.json").await?;
        let sha256 = index[format!("kubernetes/{version}/bin/linux/amd64/kubelet")].as_str();
        let sha256 = sha256.ok_or_else(|| sim_error("its mirror has no kubelet of the cluster's version"))?.to_owned();
        Ok(KubeletDownload { mirror: format!("{}/_mirror/kubernetes", self.endpoint("http")), version, sha256 })
    }

    /// Walks a packet between every two pods of the demonstration.
    pub(in crate::cli) async fn matrix(&self) -> Result<ReachabilityMatrix, Failure> {
        let matrix = "matrix?namespace=default&selector=app%3Ddemo";
        let dead = self.query(matrix).await?["dead"].as_u64().ok_or_else(|| sim_error("its matrix cannot be read"))?;
        let url = format!("{}/_world/{matrix}&format=text", self.endpoint("http"));
        let answer = async { self.client.get(url).send().await?.error_for_status()?.text().await };
        let table = answer.await.map_err(|error: reqwest::Error| sim_error(&error.to_string()))?;
        Ok(ReachabilityMatrix { table, dead })
    }

    /// Lets AKS replace the last of its nodes.
    pub(in crate::cli) async fn replace_node(&self) -> Result<RemovedNode, Failure> {
        let state = self.query("state").await?;
        let configs = state["kube"]["objects"]["nodenetworkconfigs.acn.azure.com"].as_object();
        let (key, config) =
            configs.and_then(|all| all.iter().next_back()).ok_or_else(|| sim_error("it has no nodes"))?;
        let name = key.rsplit('/').next().unwrap_or(key).to_owned();
        let pod_cidr = config["status"]["networkContainers"][0]["primaryIP"].as_str().unwrap_or_default().to_owned();
        let url = format!("{}/_world/aks-nodes", self.endpoint("http"));
        self.send(self.client.delete(format!("{url}/{name}"))).await?;
        self.send(self.client.post(url).json(&new_node(&name))).await?;
        Ok(RemovedNode { name, pod_cidr })
    }

    /// Where a prefix is mentioned: route tables, the tailnet, and what the cluster has on its nodes.
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

    /// Closes the world.
    pub(in crate::cli) async fn close(mut self) -> Result<(), Failure> {
        let url = format!("{}/_world/shutdown", self.endpoint("http"));
        self.client.post(url).send().await.map_err(|error| sim_error(&error.to_string()))?;
        let ended = tokio::time::timeout(START_TIMEOUT, self.child.wait()).await;
        ended.map_err(|_| sim_error("it does not close"))?.map_err(|error| sim_error(&error.to_string()))?;
        Ok(())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(), Failure> {
        let answer = async { request.send().await?.error_for_status() };
        answer.await.map(drop).map_err(|error| sim_error(&error.to_string()))
    }

    async fn query(&self, what: &str) -> Result<Value, Failure> {
        self.fetch(&format!("_world/{what}")).await
    }

    async fn fetch(&self, path: &str) -> Result<Value, Failure> {
        let url = format!("{}/{path}", self.endpoint("http"));
        let answer = async { self.client.get(url).send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| sim_error(&error.to_string()))
    }
}

/// A kubelet of the cluster's version in the world's mirror.
pub(in crate::cli) struct KubeletDownload {
    /// Where the mirror has kubelets, by version.
    pub(in crate::cli) mirror: String,
    /// As `v1.33.5`.
    pub(in crate::cli) version: String,
    /// Its checksum.
    pub(in crate::cli) sha256: String,
}

/// Who reaches whom.
pub(in crate::cli) struct ReachabilityMatrix {
    /// For people.
    pub(in crate::cli) table: String,
    /// Pairs that do not reach each other.
    pub(in crate::cli) dead: u64,
}

/// A node that AKS has taken away.
pub(in crate::cli) struct RemovedNode {
    pub(in crate::cli) name: String,
    pub(in crate::cli) pod_cidr: String,
}

/// What AKS brings in its place: other in everything.
fn new_node(gone: &str) -> Value {
    let pool = gone.trim_end_matches(|digit: char| digit.is_ascii_digit());
    json!({"name": format!("{pool}000007"), "address": "10.224.0.9", "pod_cidr": "10.244.7.0/24"})
}

/// Where in `value` the text is, as JSON pointers.
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

/// Looks at the operation after which it is certainly under way, and has been seen to be.
const MIN_POLLS: usize = 2;

/// Whether the log of requests holds a machine's accepted PUT, and after it looks at the operation that it began.
fn is_being_created(requests: &Value) -> bool {
    let requests = requests.as_array().map(Vec::as_slice).unwrap_or_default();
    let accepted = |request: &Value| {
        request["method"] == "PUT" && request["status"] == 201 && path(request).contains("/virtualmachines/")
    };
    let Some(at) = requests.iter().position(accepted) else { return false };
    let is_look =
        |request: &&Value| request["method"] == "GET" && path(request).contains("microsoft.compute/locations");
    requests[at..].iter().filter(is_look).count() >= MIN_POLLS
}

/// Where a request went; ARM's paths have no case.
fn path(request: &Value) -> String {
    request["path"].as_str().unwrap_or_default().to_ascii_lowercase()
}

fn sim_error(reason: &str) -> Failure {
    Failure::internal(format!("use the simulated world: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_being_created_once_somebody_waits_for_the_accepted_request() {
        let put = json!({"method": "PUT", "status": 201, "path": "/s/x/virtualMachines/v"});
        let poll = json!({"method": "GET", "status": 200, "path": "/s/x/providers/Microsoft.Compute/locations/l/operations/1"});
        assert!(is_being_created(&json!([put, poll, poll])));
        assert!(!is_being_created(&json!([poll, poll, put])));
        assert!(!is_being_created(&json!([put])));
    }

    #[test]
    fn a_prefix_is_found_wherever_it_is() {
        let mut found = vec![];
        find_text("10.244.1.0/24", &json!({"a": [{"p": "10.244.1.0/24"}], "b": "10.244.1.0/2"}), "Azure", &mut found);
        assert_eq!(found, ["Azure/a/0/p"]);
    }
}
