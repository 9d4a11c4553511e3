//! Simulated world of one case, and the processes that act in it.

use std::{
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Map, Value, json};
use stargate_sim::Sim;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{inputs::WorldFacts, outside, shipped::Shipped, template::Template};

/// Timeout of one process, to find one that hangs. Its world is 200 times faster than the real one,
/// but the delays between attempts are not.
const PATIENCE: Duration = Duration::from_mins(10);

/// Exit code of a process whose run another one has overtaken.
pub(crate) const OVERTAKEN: u8 = 21;

/// Duration of a short lease, in milliseconds.
const SHORT_LEASE_MILLIS: &str = "1500";

/// World of one case, with its folder and its workflow.
pub(crate) struct Stage {
    pub(crate) sim: Sim,
    workflow: Shipped,
    folder: TempDir,
    around: WorldFacts,
    writes_at_start: u64,
}

impl Stage {
    /// Opens a copy of the world that is deleted when it is closed.
    pub(crate) async fn new(workflow: Shipped, template: &Template) -> Self {
        Self::open(workflow, template, false).await
    }

    /// Opens a copy of the world that can be closed and copied again.
    pub(crate) async fn kept(workflow: Shipped, template: &Template) -> Self {
        Self::open(workflow, template, true).await
    }

    /// Opens a copy of the world of `other`, with a copy of its journal.
    pub(crate) async fn with_journal(other: &Self, template: &Template) -> Self {
        let stage = Self::open(other.workflow, template, false).await;
        for suffix in ["", "-wal"] {
            let name = format!("journal.db{suffix}");
            let from = other.folder.path().join(&name);
            if from.exists() {
                std::fs::copy(from, stage.folder.path().join(&name)).unwrap();
            }
        }
        stage
    }

    /// Opens a copy of the world in a new folder.
    async fn open(workflow: Shipped, template: &Template, keep: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = template.open(folder.path(), keep).await;
        let around = WorldFacts::of(&sim).await;
        let writes_at_start = sim.shared().peek().traffic.mutating();
        Self { sim, workflow, folder, around, writes_at_start }
    }

    /// Returns the name of the workflow.
    pub(crate) fn workflow_name(&self) -> &'static str {
        self.workflow.name
    }

    /// Runs another workflow until it exits.
    pub(crate) async fn run_other(&self, name: &str) -> ExitStatus {
        let workflow = Shipped::named(name).unwrap();
        let mut child = self.command_of(workflow, "run", 0, &workflow.inputs(&self.around)).spawn().unwrap();
        self.wait(&mut child).await
    }

    /// Runs the workflow with other inputs until it exits.
    ///
    /// # Errors
    ///
    /// The status of a run that failed.
    pub(crate) async fn run_later(&self) -> Result<(), String> {
        let status = self.run_with("run", 0, &self.workflow.other_inputs(&self.around)).await;
        if matches!(status.code(), Some(0 | 10)) { Ok(()) } else { Err(format!("the later run ended with {status}")) }
    }

    /// Closes the world and returns the folder that holds it.
    pub(crate) async fn close(self) -> TempDir {
        self.sim.shutdown().await.unwrap();
        self.folder
    }

    /// Returns the path of the journal of the processes.
    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    /// Returns the path of the file with the output of the processes.
    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// Returns the output of all processes so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.output()).unwrap_or_default()
    }

    /// Starts a child process with the inputs of the workflow. `kill_after` 0 never kills it.
    pub(crate) fn spawn(&self, verb: &str, kill_after: u64) -> Child {
        self.spawn_with(verb, kill_after, &self.workflow.inputs(&self.around))
    }

    /// Starts a child process whose leases end soon.
    pub(crate) fn spawn_with_short_lease(&self, verb: &str) -> Child {
        let mut command = self.command(verb, 0, &self.workflow.inputs(&self.around));
        command.env("CRASH_LEASE_MS", SHORT_LEASE_MILLIS).spawn().unwrap()
    }

    /// Starts a child process with the given inputs.
    fn spawn_with(&self, verb: &str, kill_after: u64, inputs: &Map<String, Value>) -> Child {
        self.command(verb, kill_after, inputs).spawn().unwrap()
    }

    fn command(&self, verb: &str, kill_after: u64, inputs: &Map<String, Value>) -> Command {
        self.command_of(self.workflow, verb, kill_after, inputs)
    }

    fn command_of(&self, workflow: Shipped, verb: &str, kill_after: u64, inputs: &Map<String, Value>) -> Command {
        let output = std::fs::File::options().create(true).append(true).open(self.output()).unwrap();
        let told = self.folder.path().join("inputs.json");
        std::fs::write(&told, serde_json::to_vec(inputs).unwrap()).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["child", workflow.name, verb, &kill_after.to_string()])
            .args([self.folder.path(), self.sim.dir()])
            .args([self.sim.http_url(), self.sim.subscription()])
            .env("CRASH_ARM_TOKEN", self.sim.token())
            .env("CRASH_TAILSCALE_ID", stargate_sim::tailnet::CLIENT_ID)
            .env("CRASH_TAILSCALE_SECRET", stargate_sim::tailnet::CLIENT_SECRET)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        command
    }

    /// Runs a process until it exits.
    pub(crate) async fn run(&self, verb: &str, kill_after: u64) -> ExitStatus {
        let mut child = self.spawn(verb, kill_after);
        self.wait(&mut child).await
    }

    /// Runs a process with the given inputs until it exits.
    pub(crate) async fn run_with(&self, verb: &str, kill_after: u64, inputs: &Map<String, Value>) -> ExitStatus {
        let mut child = self.spawn_with(verb, kill_after, inputs);
        self.wait(&mut child).await
    }

    /// Waits until the process exits, for at most [`PATIENCE`].
    pub(crate) async fn wait(&self, child: &mut Child) -> ExitStatus {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > patience {
                // A process that exceeds the timeout is killed, and its case fails.
                child.kill().unwrap();
                return child.wait().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads a part of the world through its HTTP interface.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = outside::control(&self.sim, Method::GET, path).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    /// Sends a command to the world through its HTTP interface.
    pub(crate) async fn post(&self, path: &str, body: Value) {
        let request = outside::control(&self.sim, Method::POST, path).json(&body);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Applies `fault` to the `nth` mutating request.
    pub(crate) async fn fault(&self, nth: usize, fault: &str) {
        self.post("faults", json!({ "nth": nth, "fault": { "kind": fault } })).await;
    }

    /// Waits until a request is held.
    ///
    /// Returns false if the process exits or the timeout expires before.
    pub(crate) async fn held(&self, child: &mut Child) -> bool {
        let holds = || !self.sim.shared().paused_requests().list().is_empty();
        self.until(child, holds).await
    }

    /// Waits until commands have changed machines `times` times.
    ///
    /// Returns false if the process exits or the timeout expires before.
    pub(crate) async fn written(&self, child: &mut Child, times: u64) -> bool {
        self.until(child, || self.host_writes() >= times).await
    }

    /// Waits until there have been `writes` changes.
    ///
    /// Returns false if the process exits or the timeout expires before.
    pub(crate) async fn changed(&self, child: &mut Child, writes: u64) -> bool {
        self.until(child, || self.writes() >= writes).await
    }

    /// Waits until `holds` is true. Returns false if the process exits or the timeout expires
    /// before.
    async fn until(&self, child: &mut Child, holds: impl Fn() -> bool) -> bool {
        let patience = Instant::now() + PATIENCE;
        loop {
            if holds() {
                return true;
            }
            if child.try_wait().unwrap().is_some() || Instant::now() > patience {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Returns the number of changes so far, by requests and by commands on hosts.
    pub(crate) fn writes(&self) -> u64 {
        self.sim.shared().peek().traffic.mutating()
    }

    /// Returns the number of changes before the first process of the case.
    pub(crate) fn writes_at_start(&self) -> u64 {
        self.writes_at_start
    }

    /// Returns the number of the latest request.
    pub(crate) fn latest_request(&self) -> u64 {
        self.sim.shared().peek().traffic.log.back().map_or(0, |request| request.seq)
    }

    /// Returns the changes after the request with this number, as text.
    pub(crate) fn changes_after(&self, seq: u64) -> Vec<String> {
        let state = self.sim.shared().peek();
        let changes = state.traffic.log.iter().filter(|request| request.seq > seq && request.mutating);
        changes.map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    /// Returns the number of changes of machines by commands so far.
    pub(crate) fn host_writes(&self) -> u64 {
        self.sim.shared().peek().hosts.written()
    }
}
