use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::sim;
use crate::cli::Failure;

/// How long the world may take to open; it takes well under a second.
const OPENING: Duration = Duration::from_secs(20);
/// How often the world is asked whether something has happened.
const LOOK: Duration = Duration::from_millis(50);

/// A simulated world in a process of its own. Dropping it ends the process.
pub(super) struct World {
    child: Child,
    endpoints: Value,
    client: reqwest::Client,
}

impl World {
    /// Starts `command`, which is a `stargate sim`, and waits until the world answers.
    pub(super) async fn open(mut command: Command) -> Result<Self, Failure> {
        // A group of its own: Ctrl-C reaches the run first, and the world only when the demonstration is over.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| broken(&format!("start it: {error}")))?;
        let stdout = child.stdout.take().ok_or_else(|| broken("it has no output"))?;
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        let read = tokio::time::timeout(OPENING, lines.read_line(&mut line)).await;
        read.map_err(|_| broken("it does not open"))?.map_err(|error| broken(&error.to_string()))?;
        let endpoints = serde_json::from_str(&line).map_err(|_| broken("it has ended before it was open"))?;
        Ok(Self { child, endpoints, client: reqwest::Client::new() })
    }

    /// The variables under which `stargate` finds this world.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        sim::variables(&self.endpoints)
    }

    /// One of the endpoints by name.
    pub(super) fn endpoint(&self, name: &str) -> &str {
        self.endpoints.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Requests so far that were to change something, whatever they went to.
    pub(super) async fn writes(&self) -> Result<u64, Failure> {
        let counters = self.ask("counters").await?;
        counters.get("mutating").and_then(Value::as_u64).ok_or_else(|| broken("its counters cannot be read"))
    }

    /// Requests so far for a machine to be created.
    pub(super) async fn machines_asked_for(&self) -> Result<usize, Failure> {
        let requests = self.ask("requests?surface=arm&mutating=true").await?;
        let is_creation = |request: &&Value| request["method"] == "PUT" && path(request).contains("/virtualmachines/");
        Ok(requests.as_array().map_or(0, |requests| requests.iter().filter(is_creation).count()))
    }

    /// Waits until a machine's creation was accepted and is being waited for; `false` if `run` ends before.
    pub(super) async fn machine_is_being_created(&self, run: &mut Child, limit: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if is_being_created(&self.ask("requests?surface=arm").await?) {
                return Ok(true);
            }
            // Either the run ends, or it is time to look again.
            if tokio::time::timeout(LOOK, run.wait()).await.is_ok() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Closes the world.
    pub(super) async fn close(mut self) -> Result<(), Failure> {
        let url = format!("{}/_world/shutdown", self.endpoint("http"));
        self.client.post(url).send().await.map_err(|error| broken(&error.to_string()))?;
        let ended = tokio::time::timeout(OPENING, self.child.wait()).await;
        ended.map_err(|_| broken("it does not close"))?.map_err(|error| broken(&error.to_string()))?;
        Ok(())
    }

    async fn ask(&self, what: &str) -> Result<Value, Failure> {
        let url = format!("{}/_world/{what}", self.endpoint("http"));
        let answer = async { self.client.get(url).send().await?.error_for_status()?.json().await };
        answer.await.map_err(|error: reqwest::Error| broken(&error.to_string()))
    }
}

/// Looks at the operation after which it is certainly under way, and has been seen to be.
const LOOKS: usize = 2;

/// Whether the log of requests holds a machine's accepted PUT, and after it looks at the operation that it began.
fn is_being_created(requests: &Value) -> bool {
    let requests = requests.as_array().map(Vec::as_slice).unwrap_or_default();
    let accepted = |request: &Value| {
        request["method"] == "PUT" && request["status"] == 201 && path(request).contains("/virtualmachines/")
    };
    let Some(at) = requests.iter().position(accepted) else { return false };
    let is_look =
        |request: &&Value| request["method"] == "GET" && path(request).contains("microsoft.compute/locations");
    requests[at..].iter().filter(is_look).count() >= LOOKS
}

/// Where a request went; ARM's paths have no case.
fn path(request: &Value) -> String {
    request["path"].as_str().unwrap_or_default().to_ascii_lowercase()
}

fn broken(reason: &str) -> Failure {
    Failure::internal(format!("use the simulated world: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_is_being_created_once_somebody_waits_for_the_accepted_request() {
        let put = json!({"method": "PUT", "status": 201, "path": "/s/x/virtualMachines/v"});
        let poll = json!({"method": "GET", "status": 200, "path": "/s/x/providers/Microsoft.Compute/locations/l/operations/1"});
        assert!(is_being_created(&json!([put, poll, poll])));
        assert!(!is_being_created(&json!([poll, poll, put])));
        assert!(!is_being_created(&json!([put])));
    }
}
