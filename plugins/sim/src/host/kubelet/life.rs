use std::collections::BTreeSet;

use super::check::{KubeletCheck, concerns};
use super::command_line::CommandLine;
use super::configuration::Configuration;
use super::{UNIT, cni, credentials};
use crate::World;
use crate::host::state::{Machine, Phase, parent};
use crate::kube::{Kube, KubeletKeys, KubeletState, NodeFacts, kubelet_step, kubelet_stopped};
use crate::tailnet::Tailnet;

/// Advances each kubelet by one step, and marks the nodes of stopped kubelets as lost.
///
/// Returns true if something has changed. The call can be repeated at any time.
pub(crate) fn advance(world: &mut World) -> bool {
    let before = world.kube.revision();
    let mut alive = BTreeSet::new();
    let mut changed = false;
    let hosts = &mut world.hosts;
    hosts.kubelet_checks.retain(|name, _| hosts.machines.contains_key(name));
    for (name, machine) in hosts.machines.iter_mut().filter(|(_, machine)| concerns(machine)) {
        let touched = hosts.touched.get(name).copied().unwrap_or_default();
        let has_node = machine.kubelet.node.as_ref().is_some_and(|node| has_node(&world.kube, node));
        let check = hosts.kubelet_checks.get(name);
        if check.is_none_or(|check| check.is_stale(machine, touched, world.kube.revision(), has_node)) {
            let again = check.is_some_and(KubeletCheck::is_due) && is_restarting(machine);
            let busy = turn(machine, &mut world.kube, &world.tailnet);
            count_restart(machine, again);
            hosts.kubelet_checks.insert(name.clone(), KubeletCheck::now(machine, touched, world.kube.revision(), busy));
            changed |= busy;
        }
        alive.extend(machine.kubelet.node.clone());
    }
    for node in world.hosts.nodes.difference(&alive) {
        kubelet_stopped(&mut world.kube, node);
    }
    changed |= world.hosts.nodes != alive;
    world.hosts.nodes = alive;
    changed || world.kube.revision() != before
}

/// Returns true if the cluster has a node with this name.
fn has_node(kube: &Kube, name: &str) -> bool {
    kube.named("nodes", name).is_some()
}

/// Returns true if systemd is about to start the kubelet again.
fn is_restarting(machine: &Machine) -> bool {
    machine.units.get(UNIT).is_some_and(|unit| unit.sub == "auto-restart")
}

/// Counts a restart after which the kubelet exited again.
///
/// The unit's state is the same as before, so only this count shows the restart.
fn count_restart(machine: &mut Machine, again: bool) {
    if let Some(unit) = machine.units.get_mut(UNIT).filter(|unit| again && unit.sub == "auto-restart") {
        unit.restarts += 1;
    }
}

/// Advances the kubelet of one machine. Returns true if its state has changed.
fn turn(machine: &mut Machine, kube: &mut Kube, tailnet: &Tailnet) -> bool {
    let runs = machine.phase >= Phase::Listening
        && machine.units.get(UNIT).is_some_and(|unit| unit.active == "active" || unit.sub == "auto-restart");
    let before = machine.kubelet.clone();
    if runs {
        match live(machine, kube, tailnet) {
            Ok(said) => {
                machine.kubelet.said = said;
                set(machine, "active", "running", 0);
            }
            Err(said) => {
                machine.kubelet.node = None;
                machine.kubelet.said = said;
                end(machine);
            }
        }
    } else {
        machine.kubelet.node = None;
    }
    machine.kubelet != before
}

/// Executes one step of a running kubelet and returns its message.
///
/// # Errors
///
/// The message with which the kubelet exits.
fn live(machine: &mut Machine, kube: &mut Kube, tailnet: &Tailnet) -> Result<String, String> {
    let line = CommandLine::of(machine)?;
    let configuration = Configuration::read(machine, line.flag("config"))?;
    let mut keys = std::mem::take(&mut machine.kubelet.keys);
    credentials::read_keys(machine, &line, &mut keys);
    let outcome = speak(machine, &line, &configuration, &mut keys, (kube, tailnet));
    credentials::write_keys(machine, &line, &keys, kube);
    machine.kubelet.keys = keys;
    outcome
}

/// Exchanges state with the cluster: certificate requests, registration and node status.
///
/// # Errors
///
/// The message with which the kubelet exits.
fn speak(
    machine: &mut Machine,
    line: &CommandLine,
    configuration: &Configuration,
    keys: &mut KubeletKeys,
    (kube, tailnet): (&mut Kube, &Tailnet),
) -> Result<String, String> {
    let token = match keys.client {
        // The token is needed if the certificate has expired.
        Some(_) => credentials::check_kubeconfig(machine, line, kube)
            .map(|()| credentials::bootstrap_token(machine, line, kube).ok())?,
        None => Some(credentials::bootstrap_token(machine, line, kube)?),
    };
    let name = line.flag("hostname-override").unwrap_or(&machine.hostname).to_owned();
    // The plugin must exist before the facts are read, since the network is incomplete without it.
    install_agent_plugin(machine, kube, &name);
    let facts = facts(machine, line, tailnet, name);
    if !configuration.asks_for_serving {
        // The kubelet signs its own serving certificate, which no other component checks.
        keys.server.get_or_insert_with(String::new);
    }
    match kubelet_step(kube, keys, token.as_deref(), &facts) {
        KubeletState::Refused(why) => {
            machine.kubelet.node = None;
            Ok(why)
        }
        KubeletState::WaitsForCertificate(name) => Ok(format!("waiting for the certificate request {name}")),
        KubeletState::Registered { ready, .. } => {
            machine.kubelet.node = Some(facts.name);
            Ok(format!("node registered, ready: {ready}"))
        }
    }
}

/// Installs the CNI plugin of the Cilium agent, as its pod does when it starts on the node.
fn install_agent_plugin(machine: &mut Machine, kube: &Kube, node: &str) {
    let path = format!("{}/cilium-cni", cni::plugins(machine));
    if kube.has_agent(node) && machine.files.get(&path).is_none() {
        machine.files.make_directories(parent(&path));
        machine.files.put_program(&path);
    }
}

/// Returns the properties that the kubelet reports about its machine.
fn facts(machine: &Machine, line: &CommandLine, tailnet: &Tailnet, name: String) -> NodeFacts {
    let own = machine.interfaces(tailnet).into_iter().skip(1).flat_map(|interface| interface.addresses).next();
    let address = own.map(|address| address.addr().to_string()).unwrap_or_default();
    let release = machine.files.text("/etc/os-release").unwrap_or_default();
    let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    NodeFacts {
        name,
        address: line.flag("node-ip").map_or(address, str::to_owned),
        labels: line.labels(),
        taints: line.taints(),
        provider_id: None,
        version: line.version.clone(),
        runtime: machine.unit_active("containerd").then(|| "containerd://1.7.24".to_owned()),
        pod_cidr: cni::range(machine),
        kernel: "6.12.48+deb13-cloud-amd64".to_owned(),
        os_image: os.unwrap_or("Linux").trim_matches('"').to_owned(),
        machine_id: machine.machine_id(),
        boot_id: machine.boot_id(),
    }
}

/// Records an exit with status 1.
///
/// systemd starts the kubelet again if its unit has `Restart=always` or `on-failure`.
fn end(machine: &mut Machine) {
    let sections = machine.unit_sections(UNIT);
    let settings = sections.iter().filter(|(name, _)| name == "Service").flat_map(|(_, settings)| settings);
    let again = settings.rev().find(|(key, _)| key == "Restart").map(|(_, value)| value.as_str());
    match again {
        Some("always" | "on-failure") => set(machine, "activating", "auto-restart", 1),
        _ => set(machine, "failed", "failed", 1),
    }
}

/// Sets the state of the kubelet's unit, if it differs.
///
/// The number of restarts is kept, and increases with `auto-restart`.
fn set(machine: &mut Machine, active: &str, sub: &str, status: i32) {
    let is_so = machine.units.get(UNIT).is_some_and(|unit| unit.active == active && unit.sub == sub);
    if !is_so {
        let restarts = machine.units.get(UNIT).map_or(0, |unit| unit.restarts);
        machine.set_unit(UNIT, active, sub, status);
        if let Some(unit) = machine.units.get_mut(UNIT) {
            unit.restarts = restarts + u32::from(sub == "auto-restart");
        }
    }
}
