use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::options::{IpOptions, print_json, read_network};
use crate::host::io::Io;
use crate::host::network::Lookup;
use crate::host::process::{Exit, Process};
use crate::host::state::{KernelRoute, TAILSCALE_TABLE};

/// Runs the command `ip route get ADDRESS`.
///
/// Shows the route that a packet of the machine itself would use. Exits with 2 if there is none.
pub(super) fn get(process: &Process, io: &Io, options: IpOptions, words: &[&str]) -> Exit {
    let Some(destination) = words.iter().find(|word| **word != "to") else {
        return process.fail(io, 1, "need at least a destination address");
    };
    let Ok(destination) = destination.split('/').next().unwrap_or_default().parse::<Ipv4Addr>() else {
        return process.fail(io, 1, format!("Error: any valid prefix is expected rather than \"{destination}\"."));
    };
    let user = process.actor.user.clone();
    let (found, uid) = read_network(process, |machine, tailnet| {
        (machine.look_up(tailnet, destination), machine.account(&user).map_or(0, |account| account.uid))
    })?;
    let shown = match found {
        Lookup::Unreachable => return process.fail(io, 2, "RTNETLINK answers: Network is unreachable"),
        Lookup::Local(address) => json!({
            "type": "local", "dst": address, "dev": "lo", "prefsrc": address, "flags": [], "uid": uid, "cache": ["local"],
        }),
        Lookup::Route(route, source) => route_get_json(destination, &route, source, uid),
    };
    if options.json {
        return print_json(process, io, &[shown]);
    }
    process.print(io, route_get_text(&shown))?;
    Ok(0)
}

/// Returns the result of `ip -json route get` for a destination outside the machine.
fn route_get_json(destination: Ipv4Addr, route: &KernelRoute, source: Option<Ipv4Addr>, uid: u32) -> Value {
    let mut shown = json!({"dst": destination});
    if let Some(gateway) = route.gateway {
        shown["gateway"] = gateway.to_string().into();
    }
    shown["dev"] = route.device.clone().into();
    if route.table == TAILSCALE_TABLE {
        shown["table"] = "52".into();
    }
    if let Some(source) = source {
        shown["prefsrc"] = source.to_string().into();
    }
    shown["flags"] = json!([]);
    shown["uid"] = uid.into();
    shown["cache"] = json!([]);
    shown
}

/// Returns the text of `ip route get` for a JSON result.
fn route_get_text(shown: &Value) -> String {
    let text = |field: &str| shown.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    words.extend(shown.get("type").map(|_| "local".to_owned()));
    words.push(text("dst").to_owned());
    for (field, word) in [("gateway", "via"), ("dev", "dev"), ("table", "table"), ("prefsrc", "src")] {
        if !text(field).is_empty() {
            words.push(format!("{word} {}", text(field)));
        }
    }
    words.push(format!("uid {}", shown["uid"]));
    let local = shown.get("type").map_or("", |_| "<local> ");
    format!("{} \n    cache {local}\n", words.join(" "))
}
