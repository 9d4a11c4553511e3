//! The program in a simulated world of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use stargate_sim::{Sim, SimOptions};

/// The program in a world of its own, with everything that it ever said.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sim: Sim,
    pub(crate) said: Vec<(String, Vec<u8>)>,
    variables: Vec<(String, String)>,
}

impl Stage {
    pub(crate) async fn new(variables: &[(String, String)]) -> Self {
        // The second test of this process finds it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let options = SimOptions { speed: 100.0, ..SimOptions::new(folder.path().join("sim")) };
        Self { sim: stargate_sim::start(options).await.unwrap(), folder, said: vec![], variables: variables.to_vec() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program and keeps what it says; gives its exit code.
    pub(crate) async fn run(&mut self, arguments: &[&str]) -> Option<i32> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stargate"));
        command.args(arguments).args(["--log", "trace"]).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.folder.path());
        command.env("STARGATE_JOURNAL", self.path("journal.db")).env("STARGATE_AZURE_ENDPOINT", self.sim.http_url());
        command.env("STARGATE_AZURE_SUBSCRIPTION", self.sim.subscription());
        command.env("STARGATE_TAILSCALE_ENDPOINT", self.sim.http_url());
        command.env("STARGATE_AZURE_TOKEN", "env:ARM").env("ARM", self.sim.token());
        command.env("TAILSCALE_CLIENT_ID", stargate_sim::tailnet::CLIENT_ID);
        command.env("TAILSCALE_CLIENT_SECRET", stargate_sim::tailnet::CLIENT_SECRET);
        command.env("STARGATE_SSH_CONFIG", self.sim.ssh_config());
        command.envs(self.variables.iter().cloned());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        self.said.push((format!("standard output of {arguments:?}"), output.stdout));
        self.said.push((format!("standard error of {arguments:?}"), output.stderr));
        output.status.code()
    }

    /// The log's values for `provision-aks-router`, as arguments.
    pub(crate) fn router_inputs(&self) -> Vec<String> {
        let key = std::fs::read_to_string(self.path("sim/id_ed25519.pub")).unwrap();
        let inputs = [
            "cluster=stargate-aks-e2e-7".to_owned(),
            "resource_group=stargate-aks-e2e-7".to_owned(),
            "router=stargate-aks-e2e-7-router".to_owned(),
            "router_subnet=10.237.0.0/24".to_owned(),
            format!("ssh_public_key={}", key.trim()),
        ];
        inputs.into_iter().flat_map(|input| ["--input".to_owned(), input]).collect()
    }

    /// Runs `verb` of `provision-aks-router` with the log's values; gives its exit code.
    pub(crate) async fn router(&mut self, verb: &[&str]) -> Option<i32> {
        let inputs = self.router_inputs();
        let mut arguments = [verb, &["provision-aks-router", "-o", "json"]].concat();
        arguments.extend(inputs.iter().map(String::as_str));
        self.run(&arguments).await
    }
}
