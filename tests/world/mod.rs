//! The program in a simulated world of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Map, Value};
use stargate_sim::{Sim, SimOptions};

use crate::inputs::{self, Surroundings};

/// The program in a world of its own, with everything that it ever said.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sim: Sim,
    pub(crate) said: Vec<(String, Vec<u8>)>,
    /// How much the program says of itself; everything, unless that is too much.
    pub(crate) log: &'static str,
    variables: Vec<(String, String)>,
}

impl Stage {
    pub(crate) async fn new(variables: &[(String, String)]) -> Self {
        // The second test of this process finds it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let options = SimOptions { speed: 200.0, ..SimOptions::new(folder.path().join("sim")) };
        let sim = stargate_sim::start(options).await.unwrap();
        Self { sim, folder, said: vec![], log: "trace", variables: variables.to_vec() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program and keeps what it says; gives its exit code.
    pub(crate) async fn run(&mut self, arguments: &[&str]) -> Option<i32> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargate"));
        command.args(arguments).args(["--log", self.log]).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.folder.path());
        command.env("STARGATE_JOURNAL", self.path("journal.db")).env("STARGATE_AZURE_ENDPOINT", self.sim.http_url());
        command.env("STARGATE_AZURE_SUBSCRIPTION", self.sim.subscription());
        command.env("STARGATE_TAILSCALE_ENDPOINT", self.sim.http_url());
        command.env("STARGATE_AZURE_TOKEN", "env:ARM").env("ARM", self.sim.token());
        command.env("TAILSCALE_CLIENT_ID", stargate_sim::tailnet::CLIENT_ID);
        command.env("TAILSCALE_CLIENT_SECRET", stargate_sim::tailnet::CLIENT_SECRET);
        command.env("STARGATE_SSH_CONFIG", self.sim.ssh_config()).env("STARGATE_KUBECONFIG", self.sim.kubeconfig());
        command.envs(self.variables.iter().cloned());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        self.said.push((format!("standard output of {arguments:?}"), output.stdout));
        self.said.push((format!("standard error of {arguments:?}"), output.stderr));
        output.status.code()
    }

    /// Runs `verb` of a workflow that ships, with what it is run with in the simulated world; gives its exit code.
    pub(crate) async fn shipped(&mut self, verb: &[&str], workflow: &str) -> Option<i32> {
        let inputs = inputs::of(workflow, &Surroundings::of(&self.sim).await);
        self.with_inputs(verb, workflow, &inputs).await
    }

    /// Runs `verb` of a workflow with inputs; gives its exit code.
    pub(crate) async fn with_inputs(
        &mut self,
        verb: &[&str],
        workflow: &str,
        inputs: &Map<String, Value>,
    ) -> Option<i32> {
        let inputs: Vec<String> = inputs.iter().map(|(name, value)| format!("{name}={}", word(value))).collect();
        let mut arguments = [verb, &[workflow, "-o", "json"]].concat();
        arguments.extend(inputs.iter().flat_map(|input| ["--input", input]));
        self.run(&arguments).await
    }

    /// Runs a workflow that ships to its end, which must be a good one.
    pub(crate) async fn done(&mut self, workflow: &str) {
        let code = self.shipped(&["run", "workflow"], workflow).await;
        assert_eq!(code, Some(0), "{workflow}: {}", self.last_words());
    }

    /// The end of all that it has said last.
    pub(crate) fn last_words(&self) -> String {
        let last = self.said.iter().rev().take(2).map(|(_, text)| String::from_utf8_lossy(text));
        last.map(|text| text.chars().skip(text.chars().count().saturating_sub(4000)).collect::<String>()).collect()
    }
}

/// A value as it is given on a command line.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
