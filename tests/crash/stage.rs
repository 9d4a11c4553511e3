//! A simulated world of its own, and the processes that act in it.

use std::{
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::{Map, Value, json};
use stargate_sim::Sim;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{inputs::WorldFacts, shipped::Shipped, template::Template};

/// How long one process may take in a world that is this much faster than the real one.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct Stage {
    pub(crate) sim: Sim,
    workflow: Shipped,
    folder: TempDir,
    http: reqwest::Client,
    around: WorldFacts,
}

impl Stage {
    /// A copy of the world, which is gone when it is closed.
    pub(crate) async fn new(workflow: Shipped, template: &Template) -> Self {
        Self::open(workflow, template, false).await
    }

    /// A copy of the world that can be closed and copied itself.
    pub(crate) async fn kept(workflow: Shipped, template: &Template) -> Self {
        Self::open(workflow, template, true).await
    }

    async fn open(workflow: Shipped, template: &Template, keep: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sim = template.open(folder.path(), keep).await;
        let around = WorldFacts::of(&sim).await;
        Self { sim, workflow, folder, http: reqwest::Client::new(), around }
    }

    /// Closes the world; the folder has it.
    pub(crate) async fn close(self) -> TempDir {
        self.sim.shutdown().await.unwrap();
        self.folder
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// What the processes said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.output()).unwrap_or_default()
    }

    pub(crate) fn spawn(&self, verb: &str, kill_after: u64) -> Child {
        self.spawn_with(verb, kill_after, &self.workflow.inputs(&self.around))
    }

    fn spawn_with(&self, verb: &str, kill_after: u64, inputs: &Map<String, Value>) -> Child {
        let output = std::fs::File::options().create(true).append(true).open(self.output()).unwrap();
        let told = self.folder.path().join("inputs.json");
        std::fs::write(&told, serde_json::to_vec(inputs).unwrap()).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["child", self.workflow.name, verb, &kill_after.to_string()])
            .args([self.folder.path(), self.sim.dir()])
            .args([self.sim.http_url(), self.sim.subscription()])
            .env("CRASH_ARM_TOKEN", self.sim.token())
            .env("CRASH_TAILSCALE_ID", stargate_sim::tailnet::CLIENT_ID)
            .env("CRASH_TAILSCALE_SECRET", stargate_sim::tailnet::CLIENT_SECRET)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }

    /// Runs a process to its end.
    pub(crate) async fn run(&self, verb: &str, kill_after: u64) -> ExitStatus {
        let mut child = self.spawn(verb, kill_after);
        self.wait(&mut child).await
    }

    /// Runs a process to its end, with other inputs.
    pub(crate) async fn run_with(&self, verb: &str, kill_after: u64, inputs: &Map<String, Value>) -> ExitStatus {
        let mut child = self.spawn_with(verb, kill_after, inputs);
        self.wait(&mut child).await
    }

    pub(crate) async fn wait(&self, child: &mut Child) -> ExitStatus {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > patience {
                // A process that does not end ends here, and its case fails.
                child.kill().unwrap();
                return child.wait().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}/_world/{path}", self.sim.http_url());
        self.http.get(url).send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) {
        let url = format!("{}/_world/{path}", self.sim.http_url());
        self.http.post(url).json(&body).send().await.unwrap().error_for_status().unwrap();
    }

    /// The `nth` mutating request meets `fault`.
    pub(crate) async fn fault(&self, nth: usize, fault: &str) {
        self.post("faults", json!({ "nth": nth, "fault": { "kind": fault } })).await;
    }

    /// Waits until a request is held, or the process has ended without one.
    pub(crate) async fn held(&self, child: &mut Child) -> bool {
        let holds = || !self.sim.shared().paused_requests().list().is_empty();
        self.until(child, holds).await
    }

    /// Waits until commands have changed machines so many times, or the process has ended before.
    pub(crate) async fn written(&self, child: &mut Child, times: u64) -> bool {
        self.until(child, || self.host_writes() >= times).await
    }

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

    /// Requests and host changes so far that changed something.
    pub(crate) fn writes(&self) -> u64 {
        self.sim.shared().peek().traffic.mutating()
    }

    /// Changes of machines by commands so far.
    pub(crate) fn host_writes(&self) -> u64 {
        self.sim.shared().peek().hosts.written()
    }
}
