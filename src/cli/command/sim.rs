//! Implementation of the command `sim`.
//!
//! Stdout has one line of JSON with the endpoints, for programs; stderr has instructions for
//! people.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use stargate_sim::{Scenario, Sim, SimError, SimOptions, instructions, tailnet};

use crate::cli::{
    Failure, Settings,
    args::{ScenarioName, SimArgs},
    exit::Exit,
    signals::SignalListener,
    ui,
    work_dir::WorkDir,
};

/// Command `sim`: serves the simulated world until a signal or a shutdown request. Its endpoints
/// are printed on stdout as one line of JSON once they are ready.
pub(crate) async fn sim(settings: &Settings, args: &SimArgs) -> Result<Exit, Failure> {
    if !(args.speed.is_finite() && args.speed > 0.0) {
        return Err(Failure::usage(format!("the speed {} is not a number above 0", args.speed), "try `--speed 20`"));
    }
    let mut signals = SignalListener::listen()?;
    let folder = WorkDir::open(args.dir.as_deref(), &settings.temp_dir, "sim")?;
    let sim = stargate_sim::start(options(args, &folder)).await.map_err(|error| failure(&error))?;
    ui::err(&instructions(&sim));
    ui::err(&exports(&sim));
    ui::err("press Ctrl-C to stop the simulated world");
    ui::out_json(&endpoints(&sim));
    tokio::select! {
        () = signals.next() => {}
        () = sim.stopped() => {}
    }
    sim.shutdown().await.map_err(|error| failure(&error))?;
    Ok(Exit::Success)
}

fn options(args: &SimArgs, folder: &WorkDir) -> SimOptions {
    SimOptions {
        dir: folder.path().to_owned(),
        state_file: args.state.clone(),
        keep: true,
        http: args.listen,
        https: args.https_listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        allow_hosts: args.allow_host.clone(),
        seed: args.seed,
        speed: args.speed,
        hosts: !args.no_hosts,
        tailnet: !args.no_tailnet,
        kube: true,
        kubernetes: args.kubernetes_listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        scenario: match args.scenario {
            ScenarioName::Log => Scenario::Log,
            ScenarioName::Empty => Scenario::Empty,
        },
    }
}

/// Returns the shell commands that point `stargate` to this world.
fn exports(sim: &Sim) -> String {
    let lines: Vec<_> = variables(&endpoints(sim)).into_iter().map(|(k, v)| format!("export {k}='{v}'")).collect();
    format!("# stargate\n{}", lines.join("\n"))
}

/// Returns the environment variables that point `stargate` to the world with these endpoints.
pub(in crate::cli) fn variables(endpoints: &Value) -> Vec<(&'static str, String)> {
    let text = |key: &str| endpoints.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    vec![
        ("STARGATE_AZURE_ENDPOINT", text("http")),
        ("STARGATE_AZURE_SUBSCRIPTION", text("subscription")),
        ("STARGATE_AZURE_TOKEN", "env:SIM_TOKEN".into()),
        ("SIM_TOKEN", text("token")),
        ("STARGATE_TAILSCALE_ENDPOINT", text("http")),
        ("TAILSCALE_CLIENT_ID", text("tailscale_client_id")),
        ("TAILSCALE_CLIENT_SECRET", text("tailscale_client_secret")),
        ("STARGATE_SSH_CONFIG", text("ssh_config")),
        ("STARGATE_KUBECONFIG", text("kubeconfig")),
    ]
}

/// Returns endpoints and credentials of the world. The secrets are generated and valid only here.
fn endpoints(sim: &Sim) -> Value {
    json!({
        "http": sim.http_url(),
        "https": sim.https_url(),
        "ca": sim.ca_file(),
        "subscription": sim.subscription(),
        "tenant": sim.tenant(),
        "token": sim.token(),
        "control_token": sim.control_token(),
        "exposed": sim.exposed(),
        "tailscale_client_id": tailnet::CLIENT_ID,
        "tailscale_client_secret": tailnet::CLIENT_SECRET,
        "dir": sim.dir(),
        "ssh_config": sim.ssh_config(),
        "kubeconfig": sim.kubeconfig(),
        "ssh_public_key": sim.dir().join("id_ed25519.pub"),
    })
}

fn failure(error: &SimError) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    let hint = match error {
        SimError::Listen { .. } => "add `--listen 127.0.0.1:0` to use a free port",
        SimError::State(_) => "add `--state PATH` to use another file",
        SimError::Directory { .. } | SimError::Tls(_) | SimError::Hosts { .. } => {
            "add `--dir DIR` to use another folder"
        }
    };
    Failure::usage(format!("cannot start the simulated world: {error}{cause}"), hint)
}
