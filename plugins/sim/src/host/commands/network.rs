use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::network::Interface;
use crate::host::process::{Exit, Process};
use crate::host::state::{KernelRoute, LOCAL_TABLE, MAIN_TABLE, Machine};
use crate::tailnet::Tailnet;

/// Runs the command `networkctl [--json=short] status|list|reload|reconfigure [DEVICE…]`.
pub(super) fn networkctl(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let options = CommandOptions::parse(arguments, "", &[]);
    let json = options.value('\0', "json").is_some_and(|style| style != "off");
    let (verb, devices) = options.rest.split_first().map_or(("list", &[][..]), |(verb, rest)| (verb.as_str(), rest));
    match verb {
        "status" | "list" => status(process, io, verb, json, devices),
        "reload" => reload(process, io),
        "reconfigure" => reconfigure(process, io, devices),
        _ => process.fail(io, 1, format!("Unknown command verb '{verb}'.")),
    }
}

/// Runs the command `networkctl status` and `networkctl list`, as text or as JSON.
fn status(process: &Process, io: &Io, verb: &str, json: bool, devices: &[String]) -> Exit {
    let interfaces = process.with(|place| place.machine.interfaces(place.tailnet))?;
    if let Some(missing) = devices.iter().find(|name| !interfaces.iter().any(|interface| interface.name == **name)) {
        return process.fail(io, 1, format!("Interface \"{missing}\" not found."));
    }
    let chosen: Vec<&Interface> =
        interfaces.iter().filter(|interface| devices.is_empty() || devices.contains(&interface.name)).collect();
    let shown: Vec<Value> = process
        .with(|place| chosen.iter().map(|interface| described(place.machine, place.tailnet, interface)).collect())?;
    let text = match (json, shown.as_slice()) {
        (true, [one]) if !devices.is_empty() => format!("{one}\n"),
        (true, all) => format!("{}\n", json!({"Interfaces": all})),
        (false, all) if verb == "list" || devices.is_empty() => list(all),
        (false, all) => all.iter().map(paragraph).collect::<Vec<_>>().join("\n"),
    };
    process.print(io, text)?;
    Ok(0)
}

/// Returns true for an Ethernet link.
///
/// systemd-networkd leaves loopback and the tunnel unmanaged.
fn managed(interface: &Interface) -> bool {
    interface.name.starts_with("eth")
}

/// Returns an interface as `networkctl --json` describes it, with its addresses and routes.
fn described(machine: &Machine, tailnet: &Tailnet, interface: &Interface) -> Value {
    let configuration = machine.link_configuration(&interface.name);
    let setup = if managed(interface) && configuration.file.is_some() { "configured" } else { "unmanaged" };
    let operational = if interface.name == "lo" { "carrier" } else { "routable" };
    let kind = match interface.name.as_str() {
        "lo" => "loopback",
        "tailscale0" => "none",
        _ => "ether",
    };
    let mut shown = json!({
        "Index": interface.index,
        "Name": interface.name,
        "Type": kind,
        "KernelOperationalStateString": if kind == "ether" { "up" } else { "unknown" },
        "MTU": if kind == "ether" { 1500 } else { 1280 },
        "AdministrativeState": setup,
        "OperationalState": operational,
        "CarrierState": "carrier",
        "AddressState": "routable",
        "IPv4AddressState": "routable",
        "IPv6AddressState": "degraded",
        "OnlineState": if managed(interface) { "online".into() } else { Value::Null },
    });
    if let Some(file) = &configuration.file {
        shown["NetworkFile"] = file.clone().into();
        if !configuration.drop_ins.is_empty() {
            shown["NetworkFileDropins"] = json!(configuration.drop_ins);
        }
    }
    shown["Addresses"] = interface
        .addresses
        .iter()
        .map(|address| {
            json!({"Family": 2, "Address": address.addr().octets(), "PrefixLength": address.prefix_len(),
                "ScopeString": "global", "ConfigSource": "static", "ConfigState": "configured"})
        })
        .collect();
    let routes = machine.routes(tailnet);
    let own = routes.iter().filter(|route| route.device.as_ref() == Some(&interface.name));
    shown["Routes"] = own.map(route).collect();
    shown
}

/// Returns a route as `networkctl --json` describes it.
///
/// Routes of protocol `static` come from networkd's files; all others are `foreign`.
fn route(route: &KernelRoute) -> Value {
    let octets = |address: Ipv4Addr| json!(address.octets());
    let (table, name) = match route.table {
        MAIN_TABLE => (MAIN_TABLE, "main(254)".to_owned()),
        LOCAL_TABLE => (LOCAL_TABLE, "local(255)".to_owned()),
        other => (other, other.to_string()),
    };
    let mut shown = json!({
        "Family": 2, "Destination": octets(route.prefix.network()), "DestinationPrefixLength": route.prefix.prefix_len(),
    });
    if let Some(gateway) = route.gateway {
        shown["Gateway"] = octets(gateway);
    }
    if let Some(source) = route.source {
        shown["PreferredSource"] = octets(source);
    }
    shown["ScopeString"] = route.scope.clone().into();
    shown["ProtocolString"] = route.protocol.clone().into();
    shown["TypeString"] = route.kind.clone().into();
    shown["Priority"] = route.metric.into();
    shown["Table"] = table.into();
    shown["TableString"] = name.into();
    shown["ConfigSource"] = if route.protocol == "static" { "static" } else { "foreign" }.into();
    shown["ConfigState"] = "configured".into();
    shown
}

/// Returns the table of links that `networkctl list` prints.
fn list(all: &[Value]) -> String {
    let mut text = format!("{:>3} {:<10} {:<8} {:<11} {}\n\n", "IDX", "LINK", "TYPE", "OPERATIONAL", "SETUP");
    for shown in all {
        let field = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
        text.extend([format!(
            "{:>3} {:<10} {:<8} {:<11} {}\n",
            shown["Index"],
            field("Name"),
            field("Type"),
            field("OperationalState"),
            field("AdministrativeState")
        )]);
    }
    text + &format!("\n{} links listed.\n", all.len())
}

/// Returns the paragraph that `networkctl status DEVICE` prints.
fn paragraph(shown: &Value) -> String {
    let field = |name: &str| shown[name].as_str().unwrap_or("n/a").to_owned();
    let drop_ins = shown["NetworkFileDropins"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let more: String = drop_ins.flat_map(|drop_in| ["\n                               └─", drop_in]).collect();
    format!(
        "● {}: {}\n                   Link File: n/a\n                Network File: {}{more}\n                       State: {} ({})\n                Online state: {}\n                        Type: {}\n",
        shown["Index"],
        field("Name"),
        field("NetworkFile"),
        field("OperationalState"),
        field("AdministrativeState"),
        field("OnlineState"),
        field("Type"),
    )
}

/// Runs the command `networkctl reload`: applies configuration files that have changed. Requires
/// root.
fn reload(process: &Process, io: &Io) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Failed to reload network settings: Interactive authentication required.");
    }
    process
        .change("network", |place| {
            place.machine.apply_network(false);
            Ok::<_, ()>(())
        })?
        .unwrap_or_default();
    Ok(0)
}

/// Runs the command `networkctl reconfigure DEVICE…`: applies the configuration, changed or not.
/// Requires root.
fn reconfigure(process: &Process, io: &Io, devices: &[String]) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Failed to reconfigure network interface: Interactive authentication required.");
    }
    for device in devices {
        let known = process.with(|place| place.machine.links().contains(device))?;
        if !known {
            return process.fail(io, 1, format!("Failed to resolve interface \"{device}\": No such device"));
        }
        process
            .change("network", |place| {
                place.machine.reconfigure(device);
                Ok::<_, ()>(())
            })?
            .unwrap_or_default();
    }
    Ok(0)
}
