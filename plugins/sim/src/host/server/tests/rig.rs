use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::SignedDuration;
use serde_json::Value;
use tempfile::TempDir;

use crate::event::{Event, MachineSpec, Nic};
use crate::host::server::runtime::Runtime;
use crate::host::server::session::{captured, login};
use crate::host::server::{HostOptions, HostServer, Output, serve};
use crate::tailnet::Key;
use crate::{Shared, World};

pub(super) const ROUTER: &str = "router";

pub(super) struct Rig {
    pub(super) dir: TempDir,
    pub(super) shared: Shared,
    pub(super) server: HostServer,
}

pub(super) fn nic() -> Nic {
    Nic {
        id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/router-nic".into(),
        machine: Some(ROUTER.into()),
        network: "aks-vnet".into(),
        subnet: "router-subnet".into(),
        subnet_prefix: "10.237.0.0/24".into(),
        private_ip: "10.237.0.4".into(),
        public_ip: Some("203.0.113.4".into()),
        ssh_closed: false,
        ip_forwarding: true,
        mac: "7C-1E-52-00-00-01".into(),
    }
}

pub(super) fn machine(user_data: String, admin_key: String) -> Event {
    Event::MachineCreated(MachineSpec {
        name: ROUTER.into(),
        id: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/router".into(),
        user_data,
        admin_user: "ubuntu".into(),
        admin_keys: vec![admin_key],
        nics: vec![nic()],
    })
}

impl Rig {
    /// Starts machines that boot `speed` times faster than real ones; the world has none yet.
    pub(super) fn open(speed: f64) -> Self {
        let dir = TempDir::new().expect("directory");
        let shared = Shared::new(World::default());
        let options = HostOptions { dir: dir.path().join("hosts"), speed, seed: 7 };
        let server = serve(shared.clone(), options).expect("hosts");
        Self { dir, shared, server }
    }

    pub(super) fn create(&self, user_data: &str) {
        let key = fs::read_to_string(self.server.identity().with_extension("pub")).expect("public key");
        self.shared.emit(&mut self.shared.lock(), machine(user_data.to_owned(), key));
    }

    /// Creates one machine and waits for the end of its boot.
    pub(super) async fn booted(user_data: &str) -> Self {
        let rig = Self::open(1000.0);
        rig.create(user_data);
        rig.server.booted(ROUTER).await;
        rig
    }

    /// Creates a router that has joined the tailnet in the way of the workflow.
    pub(super) async fn joined() -> Self {
        let rig = Self::open(1000.0);
        let key = rig.key();
        rig.create(&workflow_user_data(&key));
        rig.server.booted(ROUTER).await;
        rig
    }

    /// Creates an auth key for one machine.
    pub(super) fn key(&self) -> String {
        let now = jiff::Timestamp::now();
        let properties = Key {
            id: String::new(),
            value: String::new(),
            description: String::new(),
            created: now,
            expires: now + SignedDuration::from_hours(1),
            reusable: false,
            ephemeral: false,
            preauthorized: true,
            tags: ["tag:stargate-router".to_owned()].into(),
            used: None,
            revoked: None,
        };
        self.shared.lock().tailnet.mint_key(properties).value.clone()
    }

    pub(super) fn runtime(&self) -> Runtime {
        self.server.runtime.clone()
    }

    /// Runs a command line as a user would after a login.
    pub(super) async fn run_as(&self, user: &str, line: &str) -> Output {
        let boot = self.shared.lock().hosts.machines[ROUTER].boots;
        let process = login(&self.runtime(), ROUTER, boot, user, &[].into()).expect("account");
        let line = line.to_owned();
        tokio::task::spawn_blocking(move || captured(process, &line)).await.expect("ran")
    }

    pub(super) async fn check(&self, line: &str, status: i32, stdout: &str, stderr: &str) {
        let output = self.run_as("ubuntu", line).await;
        let expected = Output { status, stdout: stdout.into(), stderr: stderr.into() };
        assert_eq!(output, expected, "{line}");
    }

    pub(super) async fn json(&self, line: &str) -> Value {
        let output = self.run_as("ubuntu", line).await;
        assert_eq!(output.status, 0, "{line}: {}", output.stderr);
        serde_json::from_str(&output.stdout).expect("JSON")
    }

    pub(super) fn written(&self) -> u64 {
        self.shared.lock().hosts.written()
    }

    /// Returns a command of OpenSSH's own client, with its own known hosts and master socket.
    pub(super) fn ssh(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.server.ssh_config());
        let known = format!("UserKnownHostsFile={}", self.dir.path().join("known_hosts").display());
        command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new", "-o", &known]).args(arguments);
        command
    }
}

/// Returns the cloud-config of the shipped workflow with its values filled in.
pub(super) fn workflow_user_data(key: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows/provision-aks-router.yaml");
    let workflow: Value = serde_saphyr::from_str(&fs::read_to_string(path).expect("workflow")).expect("YAML");
    let config = workflow.pointer("/steps/vm/with/cloud_config").expect("cloud config").to_string();
    let filled = [
        ("${{ inputs.router }}", ROUTER),
        ("${{ inputs.login_server }}", "https://controlplane.tailscale.com"),
        ("${{ inputs.tag }}", "tag:stargate-router"),
        ("{{auth_key}}", key),
    ];
    let config = filled.iter().fold(config, |text, (placeholder, value)| text.replace(placeholder, value));
    assert!(!config.contains("{{"), "unfilled: {config}");
    format!("#cloud-config\n{config}\n")
}

pub(super) async fn waited(command: Command) -> Output {
    let mut command = command;
    let output = tokio::task::spawn_blocking(move || command.output().expect("ssh")).await.expect("waited");
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(super) async fn with_input(mut command: Command, input: &'static str) -> Output {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ssh");
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("input");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().expect("ssh")).await.expect("waited");
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
