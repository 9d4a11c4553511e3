use serde_json::{Value, json};

use super::flags::{advertised, apply, netfilter, parse};
use crate::host::io::Io;
use crate::host::process::{Exit, Process};
use crate::host::state::{Prefs, Tailscaled};

/// Runs the command `tailscale set [FLAGS]`.
///
/// Root and the user of `--operator` may change preferences. A refused flag leaves all of them
/// unchanged.
pub(super) fn set(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let flags = match parse(arguments, false) {
        Ok(flags) => flags,
        Err(message) => return process.fail(io, 2, message),
    };
    let mut prefs = process.with(|place| place.machine.tailscaled.prefs.clone())?;
    let operator = !prefs.operator.is_empty() && prefs.operator == process.actor.user;
    if let Err(message) = apply(&mut prefs, &flags) {
        return process.fail(io, 1, message);
    }
    if !process.actor.is_root() && !operator {
        let message = format!(
            "Access denied: checkprefs access denied\n\nUse 'sudo tailscale set {}'.\n\
             To not require root, use 'sudo tailscale set --operator=$USER' once.",
            arguments.join(" ")
        );
        return process.fail(io, 1, message);
    }
    change(process, |tailscaled| tailscaled.prefs = prefs)
}

/// Runs the command `tailscale down`, which disconnects and keeps the login. Requires root.
pub(super) fn down(process: &mut Process, io: &Io) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Access denied: prefs write access denied");
    }
    change(process, |tailscaled| tailscaled.prefs.want_running = false)
}

/// Runs the command `tailscale logout`, after which a new login is required. Requires root.
pub(super) fn logout(process: &mut Process, io: &Io) -> Exit {
    if !process.actor.is_root() {
        return process.fail(io, 1, "Access denied: logout access denied");
    }
    change(process, |tailscaled| {
        tailscaled.prefs.logged_out = true;
        tailscaled.prefs.want_running = false;
    })
}

/// Changes tailscaled's state and reports it to the coordination server.
fn change(process: &Process, change: impl FnOnce(&mut Tailscaled)) -> Exit {
    process
        .change("tailscale", |place| {
            change(&mut place.machine.tailscaled);
            place.machine.report(place.tailnet);
            Ok::<_, ()>(())
        })?
        .unwrap_or_default();
    Ok(0)
}

/// Runs the command `tailscale get [--json] [NAME]`.
pub(super) fn get(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let prefs = process.with(|place| place.machine.tailscaled.prefs.clone())?;
    let values = values(&prefs);
    if arguments.iter().any(|argument| argument == "--json" || argument == "-json") {
        process.print(io, format!("{}\n", pretty(&values, "  ")))?;
        return Ok(0);
    }
    let name = arguments.iter().find(|argument| !argument.starts_with('-'));
    let shown = values.as_object().into_iter().flatten().filter(|(field, _)| name.is_none_or(|name| name == *field));
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let lines: Vec<String> = match name {
        Some(_) => shown.map(|(_, value)| format!("{}\n", plain(value))).collect(),
        None => shown.map(|(field, value)| format!("{field:<30} {}\n", plain(value))).collect(),
    };
    if let Some(name) = name.filter(|_| lines.is_empty()) {
        return process.fail(io, 1, format!("unknown setting: {name}"));
    }
    process.print(io, lines.concat())?;
    Ok(0)
}

/// Returns the settings by the names of their flags, as `tailscale get --json` prints them.
fn values(prefs: &Prefs) -> Value {
    json!({
        "accept-dns": prefs.corp_dns,
        "accept-routes": prefs.route_all,
        "advertise-connector": false,
        "advertise-exit-node": prefs.advertise_routes.iter().any(|route| route.prefix_len() == 0),
        "advertise-routes": advertised(prefs),
        "auto-update": prefs.auto_update,
        "exit-node": "",
        "exit-node-allow-lan-access": false,
        "hostname": prefs.hostname,
        "netfilter-mode": netfilter(prefs),
        "nickname": "",
        "operator": prefs.operator,
        "relay-server-port": "",
        "relay-server-static-endpoints": "",
        "report-posture": false,
        "shields-up": prefs.shields_up,
        "snat-subnet-routes": !prefs.no_snat,
        "ssh": prefs.run_ssh,
        "stateful-filtering": !prefs.no_stateful_filtering,
        "update-check": true,
        "webclient": false,
    })
}

/// Runs the command `tailscale debug prefs`, which prints the preferences as JSON.
pub(super) fn debug(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    if arguments.first().is_none_or(|verb| verb != "prefs") {
        return process.fail(io, 1, "tailscale debug: unknown subcommand");
    }
    let tailscaled = process.with(|place| place.machine.tailscaled.clone())?;
    process.print(io, format!("{}\n", pretty(&prefs(&tailscaled), "\t")))?;
    Ok(0)
}

/// Returns the preferences under the names of their Go fields.
fn prefs(tailscaled: &Tailscaled) -> Value {
    let prefs = &tailscaled.prefs;
    let list = |items: Vec<String>| if items.is_empty() { Value::Null } else { json!(items) };
    let zero = "0".repeat(64);
    json!({
        "ControlURL": prefs.control_url,
        "RouteAll": prefs.route_all,
        "ExitNodeID": "",
        "ExitNodeIP": "",
        "InternalExitNodePrior": "",
        "ExitNodeAllowLANAccess": false,
        "CorpDNS": prefs.corp_dns,
        "RunSSH": prefs.run_ssh,
        "RunWebClient": false,
        "WantRunning": prefs.want_running,
        "LoggedOut": prefs.logged_out,
        "ShieldsUp": prefs.shields_up,
        "AdvertiseTags": list(prefs.advertise_tags.clone()),
        "Hostname": prefs.hostname,
        "NotepadURLs": false,
        "AdvertiseRoutes": list(prefs.advertise_routes.iter().map(ToString::to_string).collect()),
        "AdvertiseServices": null,
        "Sync": null,
        "NoSNAT": prefs.no_snat,
        "NoStatefulFiltering": prefs.no_stateful_filtering,
        "NetfilterMode": prefs.netfilter_mode,
        "OperatorUser": prefs.operator,
        "AutoUpdate": {"Check": true, "Apply": if prefs.auto_update { json!(true) } else { Value::Null }},
        "AppConnector": {"Advertise": false},
        "PostureChecking": false,
        "NetfilterKind": "",
        "DriveShares": null,
        "AllowSingleHosts": true,
        "Config": {
            "PrivateNodeKey": format!("privkey:{zero}"),
            "OldPrivateNodeKey": format!("privkey:{zero}"),
            "UserProfile": {
                "ID": 123,
                "LoginName": "owner@example.com",
                "DisplayName": "Owner",
                "ProfilePicURL": "",
            },
            "NetworkLockKey": format!("nlpriv:{zero}{zero}"),
            "NodeID": tailscaled.node.as_ref().map(|node| node.0.clone()).unwrap_or_default(),
        },
    })
}

/// Returns JSON on several lines, indented as by Go's encoder.
pub(super) fn pretty(value: &Value, indent: &str) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    serde::Serialize::serialize(value, &mut serializer).expect("JSON can be written to memory");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}
