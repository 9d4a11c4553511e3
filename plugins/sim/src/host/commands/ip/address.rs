use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::options::{IpOptions, print_json, read_network};
use crate::host::io::Io;
use crate::host::network::Interface;
use crate::host::process::{Exit, Process};
use crate::host::state::Machine;

/// Runs the command `ip addr` and `ip link`, with `show [dev] NAME`.
///
/// Commands that change an address or a link are not simulated and exit with 255.
pub(super) fn addresses(process: &Process, io: &Io, options: IpOptions, words: &[&str], addresses: bool) -> Exit {
    let words: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "show" | "list" | "ls" | "dev")).collect();
    if let Some(verb) = words.first().filter(|verb| matches!(**verb, "add" | "del" | "set" | "flush" | "replace")) {
        let object = if addresses { "addr" } else { "link" };
        return process.fail(io, 255, format!("ip {object} {verb}: not simulated"));
    }
    let interfaces = read_network(process, Machine::interfaces)?;
    let name = words.first();
    if let Some(name) = name
        && !interfaces.iter().any(|interface| interface.name == *name)
    {
        return process.fail(io, 1, format!("Device \"{name}\" does not exist."));
    }
    let shown: Vec<&Interface> =
        interfaces.iter().filter(|interface| name.is_none_or(|name| interface.name == *name)).collect();
    if options.json {
        let values: Vec<Value> = shown.iter().map(|interface| interface_json(interface, addresses)).collect();
        return print_json(process, io, &values);
    }
    let text: String = shown.iter().map(|interface| interface_text(interface, addresses)).collect();
    process.print(io, text)?;
    Ok(0)
}

/// Properties of an interface that follow from its type.
struct IpObjectKind {
    flags: &'static [&'static str],
    discipline: &'static str,
    state: &'static str,
    queue: u32,
    link: &'static str,
}

/// Returns the properties for the type of the interface: loopback, tunnel or Ethernet.
fn kind(interface: &Interface) -> IpObjectKind {
    match interface.name.as_str() {
        "lo" => IpObjectKind {
            flags: &["LOOPBACK", "UP", "LOWER_UP"],
            discipline: "noqueue",
            state: "UNKNOWN",
            queue: 1000,
            link: "loopback",
        },
        "tailscale0" => IpObjectKind {
            flags: &["POINTOPOINT", "MULTICAST", "NOARP", "UP", "LOWER_UP"],
            discipline: "pfifo_fast",
            state: "UNKNOWN",
            queue: 500,
            link: "none",
        },
        _ => IpObjectKind {
            flags: &["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
            discipline: "mq",
            state: "UP",
            queue: 1000,
            link: "ether",
        },
    }
}

/// Returns an interface as `ip -json addr` or, without `addresses`, `ip -json link` shows it.
fn interface_json(interface: &Interface, addresses: bool) -> Value {
    let kind = kind(interface);
    let mut shown = json!({
        "ifindex": interface.index, "ifname": interface.name, "flags": kind.flags, "mtu": interface.mtu,
        "qdisc": kind.discipline, "operstate": kind.state,
    });
    if !addresses {
        shown["linkmode"] = "DEFAULT".into();
    }
    shown["group"] = "default".into();
    shown["txqlen"] = kind.queue.into();
    shown["link_type"] = kind.link.into();
    match kind.link {
        "loopback" => {
            shown["address"] = "00:00:00:00:00:00".into();
            shown["broadcast"] = "00:00:00:00:00:00".into();
        }
        "ether" => {
            shown["address"] = interface.mac.clone().into();
            shown["broadcast"] = "ff:ff:ff:ff:ff:ff".into();
        }
        _ => {}
    }
    if addresses {
        shown["addr_info"] = interface.addresses.iter().map(|address| address_json(interface, *address)).collect();
    }
    shown
}

/// Returns an element of `addr_info`. Each address is valid forever.
fn address_json(interface: &Interface, address: Ipv4Net) -> Value {
    let mut shown = json!({"family": "inet", "local": address.addr(), "prefixlen": address.prefix_len()});
    if kind(interface).link == "ether" {
        shown["broadcast"] = address.broadcast().to_string().into();
    }
    shown["scope"] = if interface.name == "lo" { "host" } else { "global" }.into();
    shown["label"] = interface.name.clone().into();
    shown["valid_life_time"] = u32::MAX.into();
    shown["preferred_life_time"] = u32::MAX.into();
    shown
}

/// Returns an interface as `ip addr` or, without `addresses`, `ip link` shows it.
fn interface_text(interface: &Interface, addresses: bool) -> String {
    let kind = kind(interface);
    let address = match kind.link {
        "loopback" => "link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00".to_owned(),
        "ether" => format!("link/ether {} brd ff:ff:ff:ff:ff:ff", interface.mac),
        _ => "link/none".to_owned(),
    };
    let mode = if addresses { "" } else { " mode DEFAULT" };
    let mut text = format!(
        "{}: {}: <{}> mtu {} qdisc {} state {}{mode} group default qlen {}\n    {address}\n",
        interface.index,
        interface.name,
        kind.flags.join(","),
        interface.mtu,
        kind.discipline,
        kind.state,
        kind.queue,
    );
    for address in interface.addresses.iter().filter(|_| addresses) {
        let scope = if interface.name == "lo" { "host" } else { "global" };
        let broadcast = if kind.link == "ether" { format!(" brd {}", address.broadcast()) } else { String::new() };
        text.extend([format!(
            "    inet {address}{broadcast} scope {scope} {}\n       valid_lft forever preferred_lft forever\n",
            interface.name
        )]);
    }
    text
}
