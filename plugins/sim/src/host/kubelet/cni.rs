use serde_json::Value;

use crate::host::containerd::CONFIGURATION;
use crate::host::state::Machine;

/// Directory with the network configurations of the container runtime.
const CONFIGURATIONS: &str = "/etc/cni/net.d";
/// Directory in which containerd looks for plugins by default.
const PLUGINS: &str = "/opt/cni/bin";

/// Returns the prefix from which pods get addresses.
///
/// The runtime uses the first configuration by name. `None` if there is none, or if one of its
/// plugins is missing.
pub(super) fn range(machine: &Machine) -> Option<String> {
    let mut files: Vec<String> = machine
        .files
        .children(CONFIGURATIONS)
        .map(|(name, _)| name.to_owned())
        .filter(|name| [".conf", ".conflist", ".json"].iter().any(|end| name.ends_with(end)))
        .collect();
    files.sort();
    let text = machine.files.text(&format!("{CONFIGURATIONS}/{}", files.first()?))?;
    let configuration: Value = serde_json::from_str(&text).ok()?;
    let plugin = configuration.pointer("/plugins/0").unwrap_or(&configuration);
    let is_there = |name: Option<&str>| name.is_some_and(|name| has_plugin(machine, name));
    let complete = is_there(plugin["type"].as_str()) && is_there(plugin["ipam"]["type"].as_str());
    let subnet = plugin.pointer("/ipam/ranges/0/0/subnet").or_else(|| plugin.pointer("/ipam/subnet"))?;
    subnet.as_str().filter(|_| complete).map(str::to_owned)
}

/// Returns the directory in which containerd looks for plugins, from its configuration.
pub(super) fn plugins(machine: &Machine) -> String {
    let text = machine.files.text(CONFIGURATION).unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("bin_dir")?.trim_start().strip_prefix('='));
    line.map_or(PLUGINS, |value| value.trim().trim_matches('"')).to_owned()
}

/// Returns true if the plugin directory has a file called `name`.
fn has_plugin(machine: &Machine, name: &str) -> bool {
    machine.files.get(&format!("{}/{name}", plugins(machine))).is_some_and(|node| !node.is_directory())
}
