use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, RunningProgram, command, wait_for};

/// Workflow that creates one machine and does nothing on it.
pub(crate) const MACHINE: &str = r"
name: machine
inputs:
  name: {type: string}
steps:
  network:
    uses: azure.virtual_network.discover
    with: {resource_group: MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral}
  nic:
    uses: azure.network_interface.ensure
    with:
      resource_group: ${{ steps.network.outputs.resource_group }}
      name: ${{ inputs.name }}-nic
      location: ${{ steps.network.outputs.location }}
      subnet_id: ${{ steps.network.outputs.node_subnet.id }}
      ip_forwarding: true
  vm:
    uses: azure.virtual_machine.ensure
    with:
      resource_group: ${{ steps.network.outputs.resource_group }}
      name: ${{ inputs.name }}
      location: ${{ steps.network.outputs.location }}
      size: Standard_D2s_v5
      network_interface_id: ${{ steps.nic.outputs.id }}
      admin_username: ubuntu
      ssh_public_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl test
      image: {publisher: Canonical, offer: 0001-com-ubuntu-server-jammy, sku: 22_04-lts-gen2}
outputs:
  private_ip: ${{ steps.nic.outputs.private_ip }}
";

/// Process of `stargate sim`, killed on drop.
pub(crate) struct SimWorld {
    child: Child,
    endpoints: Value,
    _folder: TempDir,
}

impl SimWorld {
    pub(crate) fn open(speed: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = command(folder.path(), &[], &["sim", "--speed", speed, "--no-hosts", "--dir", "world"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, endpoints: serde_json::from_str(&line).unwrap(), _folder: folder }
    }

    /// Returns a program that uses this world, with [`MACHINE`] in its folder.
    pub(crate) fn program(&self) -> Program {
        let text = |name: &str| self.text(name);
        let variables = [
            ("STARGATE_AZURE_ENDPOINT", text("http")),
            ("STARGATE_AZURE_SUBSCRIPTION", text("subscription")),
            ("STARGATE_AZURE_TOKEN", "env:SIM_TOKEN".to_owned()),
            ("SIM_TOKEN", text("token")),
            ("STARGATE_KUBECONFIG", text("kubeconfig")),
            ("STARGATE_TAILSCALE_ENDPOINT", text("http")),
            ("TAILSCALE_CLIENT_ID", text("tailscale_client_id")),
            ("TAILSCALE_CLIENT_SECRET", text("tailscale_client_secret")),
        ];
        let program = Program::new().with(variables.map(|(name, value)| (name.to_owned(), value)).into());
        program.write("machine.yaml", MACHINE);
        program
    }

    /// Returns an endpoint that `sim` prints at its start.
    pub(crate) fn text(&self, name: &str) -> String {
        self.endpoints[name].as_str().unwrap().to_owned()
    }

    pub(crate) fn writes(&self) -> u64 {
        self.ask("GET", "counters", &Value::Null)["mutating"].as_u64().unwrap()
    }

    /// Pauses requests with this method and path before they take effect.
    pub(crate) fn hold(&self, method: &str, path: &str) {
        let fault = json!({ "method": method, "path": path, "times": 0, "fault": { "kind": "hang_before" } });
        self.ask("POST", "faults", &fault);
    }

    pub(crate) fn wait_for_hold(&self) {
        wait_for("a paused request", || {
            let held = self.ask("GET", "holds?wait=1", &Value::Null);
            held.as_array().is_some_and(|held| !held.is_empty()).then_some(())
        });
    }

    pub(crate) fn release(&self) {
        self.ask("DELETE", "faults", &Value::Null);
        self.ask("POST", "holds/release", &Value::Null);
    }

    /// Starts a run that creates a virtual machine, and waits until Azure has accepted it and its
    /// operation is polled. That poll is paused until [`Self::release`].
    pub(crate) fn spawn_creation(&self, program: &Program, arguments: &[&str]) -> RunningProgram {
        self.hold("GET", "/Microsoft.Compute/locations/");
        let running = program.spawn(arguments);
        self.wait_for_hold();
        running
    }

    /// Sends a request to the simulator on a new connection. Returns `null` for a response without
    /// a body.
    pub(crate) fn ask(&self, method: &str, what: &str, body: &Value) -> Value {
        let address = self.endpoints["http"].as_str().unwrap().strip_prefix("http://").unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut connection = TcpStream::connect(address).unwrap();
        let token = self.text("control_token");
        let head = format!("Connection: close\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json");
        let length = body.len();
        write!(
            connection,
            "{method} /_world/{what} HTTP/1.1\r\nHost: {address}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {what}: {answer}");
        if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() }
    }
}

impl Drop for SimWorld {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
