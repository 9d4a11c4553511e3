use super::options::{known, prefix};
use crate::host::io::Io;
use crate::host::network::Interface;
use crate::host::process::{Exit, Process};
use crate::host::state::{KernelRoute, LOCAL_TABLE, MAIN_TABLE, Machine};
use crate::tailnet::Tailnet;

/// Runs the command `ip route add|replace|change|append|del`.
///
/// Requires root; the kernel's refusal is exit status 2. A successful command is counted as a
/// change of `route`.
pub(super) fn change(process: &Process, io: &Io, verb: &str, words: &[&str]) -> Exit {
    let request = match request(words) {
        Ok(request) => request,
        Err(message) => return process.fail(io, 1, message),
    };
    if !process.actor.is_root() {
        return process.fail(io, 2, "RTNETLINK answers: Operation not permitted");
    }
    let deleting = verb.starts_with('d');
    let changed = process.change("route", |place| {
        let device = request.route.device.as_deref();
        if let Some(device) = device.filter(|device| !known(place.machine, place.tailnet, device)) {
            return Err((1, format!("Cannot find device \"{device}\"")));
        }
        if deleting {
            return delete(place.machine, &request).map_err(|message| (2, message));
        }
        let route = completed(place.machine, place.tailnet, &request).map_err(|message| (2, message))?;
        add(place.machine, verb, route).map_err(|message| (2, message))
    })?;
    match changed {
        Ok(()) => Ok(0),
        Err((status, message)) => process.fail(io, status, message),
    }
}

/// Route of a command line, with flags for the properties that it names.
#[expect(clippy::struct_excessive_bools, reason = "each says whether one word was there")]
struct IpRequest {
    route: KernelRoute,
    scoped: bool,
    protocol: bool,
    metric: bool,
    onlink: bool,
}

/// Parses the words of `ip route add` and its relatives.
///
/// # Errors
///
/// The message of `ip`, if a word is unknown or a value is missing or not valid.
fn request(words: &[&str]) -> Result<IpRequest, String> {
    let mut words = words.iter().copied().peekable();
    let kind = words.next_if(|word| matches!(*word, "unicast" | "blackhole" | "unreachable" | "prohibit"));
    words.next_if(|word| *word == "to");
    let first = words.next().ok_or("Command line is not complete. Try option \"help\"")?;
    let mut request = IpRequest {
        route: KernelRoute::to(prefix(first)?),
        scoped: false,
        protocol: false,
        metric: false,
        onlink: false,
    };
    if let Some(kind) = kind {
        kind.clone_into(&mut request.route.kind);
    }
    while let Some(word) = words.next() {
        if word == "onlink" {
            request.onlink = true;
            continue;
        }
        let value = words.next().ok_or("Command line is not complete. Try option \"help\"")?;
        set(&mut request, word, value)?;
    }
    Ok(request)
}

/// Sets the property that `word` names. `mtu` and `advmss` are accepted and ignored.
fn set(request: &mut IpRequest, word: &str, value: &str) -> Result<(), String> {
    let address = || value.parse().map_err(|_| format!("Error: inet address is expected rather than \"{value}\"."));
    let number = |what: &str| {
        value.parse().map_err(|_| format!("Error: argument \"{value}\" is wrong: {what} value is invalid"))
    };
    match word {
        "via" => request.route.gateway = Some(address()?),
        "src" => request.route.source = Some(address()?),
        "dev" => request.route.device = Some(value.to_owned()),
        "metric" | "priority" | "preference" => {
            request.route.metric = number("\"metric\"")?;
            request.metric = true;
        }
        "table" => {
            request.route.table = match value {
                "main" => MAIN_TABLE,
                "local" => LOCAL_TABLE,
                _ => number("\"table\"")?,
            };
        }
        "proto" | "protocol" => {
            value.clone_into(&mut request.route.protocol);
            request.protocol = true;
        }
        "scope" => {
            value.clone_into(&mut request.route.scope);
            request.scoped = true;
        }
        "mtu" | "advmss" => {}
        _ => return Err(format!("Error: either \"to\" is duplicate, or \"{word}\" is a garbage.")),
    }
    Ok(())
}

/// Returns the route as the kernel completes it: with the gateway's device and the scope.
///
/// # Errors
///
/// The kernel's message, if host bits are set, the gateway is not on a link or the device is
/// missing.
fn completed(machine: &Machine, tailnet: &Tailnet, request: &IpRequest) -> Result<KernelRoute, String> {
    let mut route = request.route.clone();
    if route.prefix.trunc() != route.prefix {
        return Err("Error: Invalid prefix for given prefix length.".to_owned());
    }
    if route.kind != "unicast" {
        return Ok(route);
    }
    let interfaces = machine.interfaces(tailnet);
    if let Some(gateway) = route.gateway {
        let on_link = |interface: &&Interface| {
            let named = route.device.as_ref().is_none_or(|device| device == &interface.name);
            named && interface.addresses.iter().any(|address| address.contains(&gateway) && address.addr() != gateway)
        };
        match interfaces.iter().skip(1).find(on_link) {
            Some(interface) => route.device = Some(interface.name.clone()),
            None if request.onlink && route.device.is_some() => {}
            None => return Err("Error: Nexthop has invalid gateway.".to_owned()),
        }
    } else if route.device.is_none() {
        return Err("RTNETLINK answers: No such device".to_owned());
    } else if !request.scoped {
        "link".clone_into(&mut route.scope);
    }
    Ok(route)
}

/// Adds or replaces a route in the way of the verb.
///
/// `add` fails with `File exists` and `change` with `No such file or directory`.
fn add(machine: &mut Machine, verb: &str, route: KernelRoute) -> Result<(), String> {
    let routes = &mut machine.kernel_routes;
    let existing = routes.iter().position(|other| other.collides(&route));
    match (existing, verb) {
        (Some(_), "add" | "a") => return Err("RTNETLINK answers: File exists".to_owned()),
        (Some(at), "replace" | "change") => routes[at] = route,
        (None, "change") => return Err("RTNETLINK answers: No such file or directory".to_owned()),
        _ => routes.push(route),
    }
    Ok(())
}

/// Deletes the first route that has each property of the command line.
fn delete(machine: &mut Machine, request: &IpRequest) -> Result<(), String> {
    let wanted = &request.route;
    let fits = |route: &KernelRoute| {
        route.table == wanted.table
            && route.prefix == wanted.prefix
            && (wanted.kind == "unicast" || route.kind == wanted.kind)
            && wanted.gateway.is_none_or(|gateway| route.gateway == Some(gateway))
            && wanted.device.as_ref().is_none_or(|device| route.device.as_ref() == Some(device))
            && (!request.metric || route.metric == wanted.metric)
            && (!request.protocol || route.protocol == wanted.protocol)
    };
    match machine.kernel_routes.iter().position(fits) {
        Some(at) => {
            machine.kernel_routes.remove(at);
            Ok(())
        }
        None => Err("RTNETLINK answers: No such process".to_owned()),
    }
}
