use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::preferences::pretty;
use crate::host::commands::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::Machine;
use crate::tailnet::{Device, Tailnet};

/// Runs the command `tailscale status [--json]`.
pub(super) fn status(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    if arguments.iter().any(|argument| argument == "--json" || argument == "-json") {
        let shown = process.with(|place| described(place.machine, place.tailnet))?;
        process.print(io, pretty(&shown, "  "))?;
        return Ok(0);
    }
    let (state, text) =
        process.with(|place| (place.machine.backend_state(place.tailnet), lines(place.machine, place.tailnet)))?;
    let complaint = match state {
        "Running" => {
            process.print(io, text)?;
            return Ok(0);
        }
        "Stopped" => "Tailscale is stopped.",
        "NeedsLogin" => "Logged out.",
        "NeedsMachineAuth" => "Machine is not yet approved by tailnet admin.",
        _ => "unexpected state: NoState",
    };
    process.print(io, format!("{complaint}\n"))?;
    Ok(1)
}

/// Returns the machine's own device, if it has ever logged in and still exists.
fn own<'a>(machine: &Machine, tailnet: &'a Tailnet) -> Option<&'a Device> {
    machine.tailscaled.node.as_ref().and_then(|node| tailnet.device(node))
}

/// Returns the text output: one line per device, the machine's own first.
fn lines(machine: &Machine, tailnet: &Tailnet) -> String {
    let Some(me) = own(machine, tailnet) else { return String::new() };
    let owner = |device: &Device| if device.tags.is_empty() { "owner@" } else { "tagged-devices" };
    let line = |device: &Device, state: &str| {
        let name = device.label.as_str();
        format!("{:<15} {name:<20} {:<12} linux   {state}\n", device.ipv4.to_string(), owner(device))
    };
    let state = |device: &Device| {
        if device.online { "-".to_owned() } else { format!("offline, last seen {}", device.last_seen) }
    };
    let peers = tailnet.peers(&me.node_id).map(|peer| line(peer, &state(peer)));
    std::iter::once(line(me, "-")).chain(peers).collect()
}

/// Returns the JSON output, with the fields of Go's `ipnstate.Status`.
///
/// Peers are listed under their node keys, and only while the machine is connected.
fn described(machine: &Machine, tailnet: &Tailnet) -> Value {
    let state = machine.backend_state(tailnet);
    let device = own(machine, tailnet).filter(|device| state != "NeedsLogin" || device.has_expired());
    let suffix = &tailnet.dns_suffix;
    let addresses = device.map_or(Value::Null, addresses);
    let me = device.map_or_else(|| logged_out(machine), |device| peer(tailnet, device, Some(machine)));
    let mut peers = Map::new();
    if let Some(device) = device.filter(|_| state == "Running") {
        let mut all: Vec<&Device> = tailnet.peers(&device.node_id).collect();
        all.sort_by_key(|device| &device.node_key);
        peers.extend(all.into_iter().map(|device| (device.node_key.clone(), peer(tailnet, device, None))));
    }
    let current = json!({"Name": tailnet.name, "MagicDNSSuffix": suffix, "MagicDNSEnabled": false});
    json!({
        "Version": "1.100.0-ERR-BuildInfo",
        "TUN": true,
        "BackendState": state,
        "HaveNodeKey": device.is_some(),
        "AuthURL": "",
        "TailscaleIPs": addresses,
        "Self": me,
        "Health": health(state),
        "MagicDNSSuffix": device.map_or("", |_| suffix.as_str()),
        "CurrentTailnet": device.map_or(Value::Null, |_| current),
        "CertDomains": null,
        "ExtraRecords": null,
        "Peer": if peers.is_empty() { Value::Null } else { Value::Object(peers) },
        "User": {"123": {"ID": 123, "LoginName": "owner@example.com", "DisplayName": "Owner", "ProfilePicURL": ""}},
        "ClientVersion": null,
    })
}

/// Returns the health messages for a backend state.
fn health(state: &str) -> Value {
    match state {
        "NeedsLogin" => json!(["You are logged out."]),
        "Stopped" => json!(["Tailscale is stopped."]),
        _ => json!([]),
    }
}

/// Returns the device's IPv4 and IPv6 addresses.
fn addresses(device: &Device) -> Value {
    json!([device.ipv4, device.ipv6])
}

/// Zero value of Go's `time.Time`, the value of fields whose event has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Returns the `Self` object of a machine that is not logged in.
fn logged_out(machine: &Machine) -> Value {
    json!({
        "ID": "", "NodeID": 0, "PublicKey": format!("nodekey:{}", "0".repeat(64)), "HostName": machine.hostname,
        "DNSName": "", "OS": "linux", "UserID": 0, "TailscaleIPs": null, "Addrs": [], "CurAddr": "", "Relay": "",
        "PeerRelay": "", "RxBytes": 0, "TxBytes": 0, "Created": NEVER, "LastWrite": NEVER, "LastSeen": NEVER,
        "LastHandshake": NEVER, "Online": false, "ExitNode": false, "ExitNodeOption": false, "Active": false,
        "PeerAPIURL": null, "TaildropTarget": 0, "NoFileSharingReason": "", "InNetworkMap": false, "InMagicSock": false,
        "InEngine": false,
    })
}

/// Returns a `PeerStatus` object.
///
/// It describes the machine itself if `machine` is given, and a peer otherwise.
fn peer(tailnet: &Tailnet, device: &Device, machine: Option<&Machine>) -> Value {
    let primary: BTreeSet<IpNet> = tailnet.primary_routes(&device.node_id);
    let own = [format!("{}/32", device.ipv4), format!("{}/128", device.ipv6)];
    let allowed: Vec<String> = own.into_iter().chain(primary.iter().map(ToString::to_string)).collect();
    let endpoint = machine.and_then(|machine| machine.spec.nics.first()).map(|nic| format!("{}:41641", nic.private_ip));
    let mut shown = json!({
        "ID": device.node_id,
        "NodeID": device.id,
        "PublicKey": device.node_key,
        "HostName": device.hostname,
        "DNSName": format!("{}.{}.", device.label, tailnet.dns_suffix),
        "OS": "linux",
        "UserID": 123,
        "TailscaleIPs": addresses(device),
        "AllowedIPs": allowed,
    });
    if !device.tags.is_empty() {
        shown["Tags"] = json!(device.tags);
    }
    if device.has_expired() {
        shown["Expired"] = json!(true);
    }
    if !primary.is_empty() {
        shown["PrimaryRoutes"] = json!(primary);
    }
    let rest = json!({
        "Addrs": endpoint.map_or(Value::Null, |endpoint| json!([endpoint])),
        "CurAddr": "",
        "Relay": "sim",
        "PeerRelay": "",
        "RxBytes": 0,
        "TxBytes": 0,
        "Created": device.created,
        "LastWrite": NEVER,
        "LastSeen": if device.online { NEVER.into() } else { json!(device.last_seen) },
        "LastHandshake": NEVER,
        "Online": device.online,
        "ExitNode": false,
        "ExitNodeOption": false,
        "Active": false,
        "PeerAPIURL": [format!("http://{}:58436", device.ipv4), format!("http://[{}]:58436", device.ipv6)],
        "TaildropTarget": 0,
        "NoFileSharingReason": "",
        "InNetworkMap": true,
        "InMagicSock": machine.is_none(),
        "InEngine": machine.is_none(),
    });
    if let (Some(shown), Value::Object(rest)) = (shown.as_object_mut(), rest) {
        shown.extend(rest);
    }
    shown
}

/// Runs the command `tailscale ip [-4|-6] [-1]`. Fails while the machine is not connected.
pub(super) fn ip(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let device = process.with(|place| {
        let running = place.machine.tailscale_running(place.tailnet);
        own(place.machine, place.tailnet).filter(|_| running).map(|device| (device.ipv4, device.ipv6))
    })?;
    let Some((four, six)) = device else { return process.fail(io, 1, "no current Tailscale IPs; state: NeedsLogin") };
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let mut text = String::new();
    if !has("-6") {
        text.extend([format!("{four}\n")]);
    }
    if !has("-4") && !has("-1") {
        text.extend([format!("{six}\n")]);
    }
    process.print(io, text)?;
    Ok(0)
}

/// Runs the command `tailscale ping [-c N] [--until-direct=false] ADDRESS`.
///
/// Each reply arrives over a relay, as if no direct UDP path existed. With the default
/// `--until-direct` the exit status is therefore 1.
pub(super) fn ping(process: &mut Process, io: &Io, options: &CommandOptions) -> Exit {
    let Some(target) = options.rest.first() else {
        return process.fail(io, 1, "usage: tailscale ping <hostname-or-IP>");
    };
    let answer = process.with(|place| answering(place.machine, place.tailnet, target))?;
    let Some((name, address, online)) = answer else {
        return process.fail(io, 1, format!("error looking up IP of \"{target}\": no matching peer"));
    };
    let count: usize = options.value('c', "c").and_then(|count| count.parse().ok()).unwrap_or(10);
    for _ in 0..count {
        let line = if online {
            format!("pong from {name} ({address}) via DERP(sim) in 12ms\n")
        } else {
            format!("ping \"{address}\" timed out\n")
        };
        process.print(io, line)?;
    }
    match (online, options.value('\0', "until-direct")) {
        (false, _) => process.fail(io, 1, "no reply"),
        (true, Some("false")) => Ok(0),
        (true, _) => process.fail(io, 1, "direct connection not established"),
    }
}

/// Returns name, address and online state of the device that answers for `target`.
///
/// The target is a device's name, its own address, or an address in a prefix that it routes. The
/// longest prefix decides.
fn answering(machine: &Machine, tailnet: &Tailnet, target: &str) -> Option<(String, Ipv4Addr, bool)> {
    let node = machine.tailscaled.node.as_ref()?;
    let address = target.parse::<Ipv4Addr>().ok();
    let direct = tailnet.peers(node).find(|peer| peer.label == target || Some(peer.ipv4) == address);
    let behind = || {
        let address = std::net::IpAddr::V4(address?);
        let routes = tailnet.peers_routes(node);
        let route = routes
            .iter()
            .filter(|route| route.prefix.contains(&address))
            .max_by_key(|route| route.prefix.prefix_len())?;
        tailnet.device(&route.node)
    };
    direct.or_else(behind).map(|device| (device.label.clone(), device.ipv4, device.online))
}
