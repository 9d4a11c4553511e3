//! A fresh simulated world, and the processes that act in it.

use std::{
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use stargate_sim::{Sim, SimOptions};
use tokio::time::Instant;

use crate::shipped::Shipped;

/// How long one process may take in a world that is this much faster than the real one.
const PATIENCE: Duration = Duration::from_secs(90);
const SPEED: f64 = 100.0;

pub(crate) struct Stage {
    pub(crate) sim: Sim,
    workflow: Shipped,
    folder: tempfile::TempDir,
    http: reqwest::Client,
}

impl Stage {
    pub(crate) async fn new(workflow: Shipped) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = SimOptions { speed: SPEED, ..SimOptions::new(folder.path().join("sim")) };
        let sim = stargate_sim::start(options).await.unwrap();
        Self { sim, workflow, folder, http: reqwest::Client::new() }
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
        let output = std::fs::File::options().create(true).append(true).open(self.output()).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["child", self.workflow.name, verb, &kill_after.to_string()])
            .args([self.folder.path(), self.sim.http_url().as_ref(), self.sim.subscription().as_ref()])
            .arg(self.sim.ssh_config())
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

    pub(crate) async fn wait(&self, child: &mut Child) -> ExitStatus {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < patience, "no end after {PATIENCE:?}: {}", self.said());
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
        let patience = Instant::now() + PATIENCE;
        loop {
            if self.get("holds").await.as_array().is_some_and(|holds| !holds.is_empty()) {
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < patience, "no request was held: {}", self.said());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Requests and host changes so far that changed something.
    pub(crate) fn writes(&self) -> u64 {
        self.sim.shared().lock().traffic.mutating()
    }
}
