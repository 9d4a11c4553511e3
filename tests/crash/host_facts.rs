//! Relevant state of the machines: files that workflows write, units, settings, routes, packages
//! and tailscaled.

use serde_json::{Map, Value, json};

/// Path prefixes to which workflows write, directly or by installing packages.
const COMPARED: &[&str] =
    &["/etc/", "/usr/local/bin/", "/opt/", "/run/stargate", "/var/lib/kubelet/", "/home/", "/root/", "/tmp/"];
/// Path prefixes of files whose content differs between worlds.
///
/// They hold keys, certificates and names of the machine. Only existence, owner and mode are
/// compared.
const OWN: &[&str] =
    &["/etc/ssh/", "/etc/machine-id", "/etc/netplan/", "/etc/systemd/network/", "/var/lib/kubelet/pki/"];

/// Unit of the boot numbers: each machine starts at a different multiple of it.
const OF_ONE_BIRTH: u64 = 1_000_000;

/// Returns the comparable state of all machines by name.
pub(crate) fn of(machines: &Value) -> Value {
    let machines = machines.as_object().into_iter().flatten();
    machines.map(|(name, machine)| (name.clone(), facts(machine))).collect::<Map<_, _>>().into()
}

/// Returns the comparable state of one machine.
fn facts(machine: &Value) -> Value {
    json!({
        "files": files(&machine["files"]["nodes"]),
        "units": units(&machine["units"]),
        "sysctls": machine["sysctls"],
        "routes": machine["kernel_routes"],
        "packages": machine["packages"],
        "tailscale": machine["tailscaled"]["prefs"],
        "reboots": machine["boots"].as_u64().map(|boots| boots % OF_ONE_BIRTH),
    })
}

/// Returns the compared files by path.
fn files(nodes: &Value) -> Value {
    let nodes = nodes.as_object().into_iter().flatten();
    let compared = nodes.filter(|(path, _)| COMPARED.iter().any(|place| path.starts_with(place)));
    compared.map(|(path, node)| (path.clone(), file(path, node))).collect::<Map<_, _>>().into()
}

/// Returns the content, mode and owner of a file.
fn file(path: &str, node: &Value) -> Value {
    let is_own = OWN.iter().any(|place| path.starts_with(place));
    let kind = if is_own { Value::Null } else { node["kind"].clone() };
    json!({ "kind": kind, "mode": node["mode"], "owner": node["owner"], "group": node["group"] })
}

/// Returns the active state and the sub-state of each unit.
fn units(units: &Value) -> Value {
    let units = units.as_object().into_iter().flatten();
    units.map(|(name, unit)| (name.clone(), json!([unit["active"], unit["sub"]]))).collect::<Map<_, _>>().into()
}
