//! Harness that runs the program in a simulated world.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Map, Value};
use stargate_sim::{Sim, SimOptions};

use crate::inputs::{self, WorldFacts};

/// Program with its own folder and simulated world, and all its output.
pub(crate) struct Harness {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sim: Sim,
    /// Standard output and standard error of each command, with a name, in order.
    pub(crate) outputs: Vec<(String, Vec<u8>)>,
    /// Filter for the diagnostics of the program.
    pub(crate) log: &'static str,
    variables: Vec<(String, String)>,
}

impl Harness {
    pub(crate) async fn new(variables: &[(String, String)]) -> Self {
        // An earlier test of this process may have installed it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let options = SimOptions { speed: 200.0, ..SimOptions::new(folder.path().join("sim")) };
        let sim = stargate_sim::start(options).await.unwrap();
        Self { sim, folder, outputs: vec![], log: "trace", variables: variables.to_vec() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program, keeps its output and returns the exit code.
    pub(crate) async fn run(&mut self, arguments: &[&str]) -> Option<i32> {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        self.outputs.push((format!("standard output of {arguments:?}"), output.stdout));
        self.outputs.push((format!("standard error of {arguments:?}"), output.stderr));
        output.status.code()
    }

    /// Returns the command that runs the program in this world.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargate"));
        command.args(["--log", self.log]).args(arguments).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.folder.path());
        command.env("STARGATE_JOURNAL", self.path("journal.db")).env("STARGATE_AZURE_ENDPOINT", self.sim.http_url());
        command.env("STARGATE_AZURE_SUBSCRIPTION", self.sim.subscription());
        command.env("STARGATE_TAILSCALE_ENDPOINT", self.sim.http_url());
        command.env("STARGATE_AZURE_TOKEN", "env:ARM").env("ARM", self.sim.token());
        command.env("TAILSCALE_CLIENT_ID", stargate_sim::tailnet::CLIENT_ID);
        command.env("TAILSCALE_CLIENT_SECRET", stargate_sim::tailnet::CLIENT_SECRET);
        command.env("STARGATE_SSH_CONFIG", self.sim.ssh_config()).env("STARGATE_KUBECONFIG", self.sim.kubeconfig());
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Runs `verb` of an embedded workflow with its inputs in the simulated world, and returns the
    /// exit code.
    pub(crate) async fn run_shipped(&mut self, verb: &[&str], workflow: &str) -> Option<i32> {
        let inputs = inputs::of(workflow, &WorldFacts::of(&self.sim).await);
        self.run_with_inputs(verb, workflow, &inputs).await
    }

    /// Runs `verb` of a workflow with these inputs, and returns the exit code.
    pub(crate) async fn run_with_inputs(
        &mut self,
        verb: &[&str],
        workflow: &str,
        inputs: &Map<String, Value>,
    ) -> Option<i32> {
        let inputs: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}={}", argument(value))).collect();
        let mut arguments = [verb, &[workflow, "-o", "json"]].concat();
        arguments.extend(inputs.iter().flat_map(|input| ["--input", input]));
        self.run(&arguments).await
    }

    /// Runs an embedded workflow and asserts that it succeeds.
    pub(crate) async fn run_to_success(&mut self, workflow: &str) {
        let code = self.run_shipped(&["run", "workflow"], workflow).await;
        assert_eq!(code, Some(0), "{workflow}: {}", self.last_output());
    }

    /// Returns the end of the output of the last command.
    pub(crate) fn last_output(&self) -> String {
        let last = self.outputs.iter().rev().take(2).map(|(_, text)| String::from_utf8_lossy(text));
        last.map(|text| text.chars().skip(text.chars().count().saturating_sub(4000)).collect::<String>()).collect()
    }
}

/// Converts a value to an argument of the command line.
fn argument(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
