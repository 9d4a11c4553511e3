use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::host::io::Io;
use crate::host::network::{Interface, Lookup};
use crate::host::process::{Exit, Halted, Process};
use crate::host::state::{KernelRoute, LOCAL_TABLE, MAIN_TABLE, Machine, TAILSCALE_TABLE};
use crate::tailnet::Tailnet;

/// Runs the command `ip [-json] [-details] [-4|-6] OBJECT COMMAND …`.
///
/// Objects are `address`, `link`, `route` and `rule`, which may be abbreviated. The simulated
/// kernel has IPv4 only: with `-6` every list of routes is empty.
pub(super) fn ip(process: &mut Process, io: &Io, arguments: &[String]) -> Exit {
    let count = arguments.iter().take_while(|word| word.starts_with('-')).count();
    let (options, words) = arguments.split_at(count);
    let has = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
    let output = Output { json: has(&["-j", "-json", "--json"]), six: has(&["-6"]) };
    if has(&["-V", "-Version"]) {
        process.print(io, "ip utility, iproute2-6.15.0, libbpf 1.5.0\n")?;
        return Ok(0);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((object, rest)) = words.split_first() else {
        return process.fail(io, 255, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }");
    };
    let is = |name: &str, shortest: usize| object.len() >= shortest && name.starts_with(object);
    if is("address", 1) {
        addresses(process, io, output, rest, true)
    } else if is("link", 1) {
        addresses(process, io, output, rest, false)
    } else if is("route", 1) {
        route(process, io, output, rest)
    } else if is("rule", 2) {
        rules(process, io, output, rest)
    } else {
        process.fail(io, 1, format!("Object \"{object}\" is unknown, try \"ip help\"."))
    }
}

/// Options of `ip` that apply to each object.
#[derive(Clone, Copy)]
struct Output {
    json: bool,
    six: bool,
}

/// Prints one JSON array on one line, as `ip -json` does.
fn print_json(process: &Process, io: &Io, values: &[Value]) -> Exit {
    process.print(io, format!("{}\n", Value::from(values.to_vec())))?;
    Ok(0)
}

/// Reads the machine and the tailnet; the access is not counted as a write.
fn looking<R>(process: &Process, look: impl FnOnce(&Machine, &Tailnet) -> R) -> Result<R, Halted> {
    process.with(|place| look(place.machine, place.tailnet))
}

/// Runs the command `ip addr` and `ip link`, with `show [dev] NAME`.
///
/// Commands that change an address or a link are not simulated and exit with 255.
fn addresses(process: &Process, io: &Io, output: Output, words: &[&str], addresses: bool) -> Exit {
    let words: Vec<&str> =
        words.iter().copied().filter(|word| !matches!(*word, "show" | "list" | "ls" | "dev")).collect();
    if let Some(verb) = words.first().filter(|verb| matches!(**verb, "add" | "del" | "set" | "flush" | "replace")) {
        let object = if addresses { "addr" } else { "link" };
        return process.fail(io, 255, format!("ip {object} {verb}: not simulated"));
    }
    let interfaces = looking(process, Machine::interfaces)?;
    let name = words.first();
    if let Some(name) = name
        && !interfaces.iter().any(|interface| interface.name == *name)
    {
        return process.fail(io, 1, format!("Device \"{name}\" does not exist."));
    }
    let shown: Vec<&Interface> =
        interfaces.iter().filter(|interface| name.is_none_or(|name| interface.name == *name)).collect();
    if output.json {
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

/// Runs the command `ip rule show`.
///
/// The rules of tailscaled (priorities 5210 to 5270) are listed while its unit is active. A change
/// of the rules is not simulated.
fn rules(process: &Process, io: &Io, output: Output, words: &[&str]) -> Exit {
    if words.first().is_some_and(|verb| !matches!(*verb, "show" | "list" | "ls" | "lst")) {
        return process.fail(io, 255, format!("Command \"{}\" is unknown, try \"ip rule help\".", words[0]));
    }
    let tailscale = looking(process, |machine, _| machine.unit_active("tailscaled"))?;
    if output.json {
        let mut values = vec![json!({"priority": 0, "src": "all", "table": "local"})];
        if tailscale {
            let marked = |priority: u32, key: &str, value: &str| json!({"priority": priority, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", key: value});
            values.extend([
                marked(5210, "table", "main"),
                marked(5230, "table", "default"),
                marked(5250, "action", "unreachable"),
                json!({"priority": 5270, "src": "all", "table": "52"}),
            ]);
        }
        values.push(json!({"priority": 32766, "src": "all", "table": "main"}));
        values.push(json!({"priority": 32767, "src": "all", "table": "default"}));
        return print_json(process, io, &values);
    }
    let marked = "5210:\tfrom all fwmark 0x80000/0xff0000 lookup main\n5230:\tfrom all fwmark 0x80000/0xff0000 lookup default\n\
        5250:\tfrom all fwmark 0x80000/0xff0000 unreachable\n5270:\tfrom all lookup 52\n";
    let marked = if tailscale { marked } else { "" };
    let text =
        format!("0:\tfrom all lookup local\n{marked}32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n");
    process.print(io, text)?;
    Ok(0)
}

/// Runs the command `ip route COMMAND …`; the default command is `show`.
fn route(process: &Process, io: &Io, output: Output, words: &[&str]) -> Exit {
    let (verb, rest) = words.split_first().map_or(("show", words), |(verb, rest)| (*verb, rest));
    match verb {
        "show" | "list" | "ls" | "sh" => show(process, io, output, rest),
        "get" | "g" => get(process, io, output, rest),
        "add" | "a" | "replace" | "change" | "append" | "del" | "delete" | "d" => change(process, io, verb, rest),
        _ => process.fail(io, 255, format!("Command \"{verb}\" is unknown, try \"ip route help\".")),
    }
}

/// Filter of a route listing; `None` matches every route.
#[derive(Default)]
struct Selection {
    table: Option<String>,
    device: Option<String>,
    protocol: Option<String>,
    gateway: Option<String>,
    exact: Option<Ipv4Net>,
    within: Option<Ipv4Net>,
}

/// Runs the command `ip route show [SELECTOR]`.
///
/// Exits with 2 for a table that has no route, as the real command does for a table that does not
/// exist.
fn show(process: &Process, io: &Io, output: Output, words: &[&str]) -> Exit {
    let selection = match selection(words) {
        Ok(selection) => selection,
        Err(message) => return process.fail(io, 1, message),
    };
    let table = match selection.table.as_deref() {
        None | Some("main") => Some(MAIN_TABLE),
        Some("local") => Some(LOCAL_TABLE),
        Some("all" | "0") => None,
        Some("default") => Some(253),
        Some(number) => match number.parse() {
            Ok(table) => Some(table),
            Err(_) => {
                return process.fail(
                    io,
                    255,
                    format!("Error: argument \"{number}\" is wrong: table id value is invalid"),
                );
            }
        },
    };
    if let Some(device) = &selection.device
        && !looking(process, |machine, tailnet| known(machine, tailnet, device))?
    {
        return process.fail(io, 1, format!("Cannot find device \"{device}\""));
    }
    let routes = looking(process, Machine::routes)?;
    let missing = |table: u32| {
        !matches!(table, MAIN_TABLE | LOCAL_TABLE | 253) && !routes.iter().any(|route| route.table == table)
    };
    if table.is_some_and(missing) && !output.six {
        process.print(io, if output.json { "[" } else { "" })?;
        return process.fail(io, 2, "Error: ipv4: FIB table does not exist.\nDump terminated");
    }
    let chosen: Vec<&KernelRoute> = routes
        .iter()
        .filter(|route| !output.six && table.is_none_or(|table| route.table == table) && selection.takes(route))
        .collect();
    if output.json {
        let values: Vec<Value> = chosen.iter().map(|route| listed(route, table, &selection)).collect();
        return print_json(process, io, &values);
    }
    process.print(io, chosen.iter().map(|route| route.text()).collect::<String>())?;
    Ok(0)
}

impl Selection {
    /// Returns true if the route matches each given condition. The table is checked by the caller.
    fn takes(&self, route: &KernelRoute) -> bool {
        let gateway = route.gateway.map(|gateway| gateway.to_string());
        self.device.as_ref().is_none_or(|device| route.device.as_ref() == Some(device))
            && self.protocol.as_ref().is_none_or(|protocol| &route.protocol == protocol)
            && self.gateway.as_ref().is_none_or(|wanted| gateway.as_ref() == Some(wanted))
            && self.exact.is_none_or(|exact| route.prefix == exact)
            && self.within.is_none_or(|within| within.contains(&route.prefix))
    }
}

/// Returns a route as `ip -json route show` lists it.
///
/// A device or protocol that the command line selects is not repeated. The table is named only in a
/// listing of all tables, and only if it is not the main one.
fn listed(route: &KernelRoute, table: Option<u32>, selection: &Selection) -> Value {
    let mut shown = route.json();
    if let Some(fields) = shown.as_object_mut() {
        if selection.device.is_some() {
            fields.shift_remove("dev");
        }
        if selection.protocol.is_some() {
            fields.shift_remove("protocol");
        }
        if table.is_none() && route.table != MAIN_TABLE {
            fields.insert("table".to_owned(), table_name(route.table).into());
        }
    }
    shown
}

/// Returns the name of a table as iproute2 shows it, or its number.
fn table_name(table: u32) -> String {
    match table {
        MAIN_TABLE => "main".to_owned(),
        LOCAL_TABLE => "local".to_owned(),
        table => table.to_string(),
    }
}

/// Parses the words of a route listing.
///
/// # Errors
///
/// The message of `ip`, if a prefix is not valid.
fn selection(words: &[&str]) -> Result<Selection, String> {
    let mut selection = Selection::default();
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match word {
            "table" => selection.table = Some(value().to_owned()),
            "dev" => selection.device = Some(value().to_owned()),
            "proto" | "protocol" => selection.protocol = Some(value().to_owned()),
            "via" => selection.gateway = Some(value().to_owned()),
            "root" => selection.within = Some(prefix(value())?),
            "exact" | "to" => selection.exact = Some(prefix(value())?),
            "scope" | "type" | "src" => drop(value()),
            "default" => selection.exact = Some(Ipv4Net::default()),
            word => selection.exact = Some(prefix(word)?),
        }
    }
    Ok(selection)
}

/// Parses a prefix or an address; `default`, `all` and `any` are `0.0.0.0/0`.
fn prefix(text: &str) -> Result<Ipv4Net, String> {
    if matches!(text, "default" | "all" | "any") {
        return Ok(Ipv4Net::default());
    }
    let parsed = text.parse::<Ipv4Net>().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from));
    parsed.ok_or_else(|| format!("Error: any valid prefix is expected rather than \"{text}\"."))
}

/// Returns true if the machine has an interface with this name.
fn known(machine: &Machine, tailnet: &Tailnet, device: &str) -> bool {
    machine.interfaces(tailnet).iter().any(|interface| interface.name == device)
}

/// Runs the command `ip route get ADDRESS`.
///
/// Shows the route that a packet of the machine itself would use. Exits with 2 if there is none.
fn get(process: &Process, io: &Io, output: Output, words: &[&str]) -> Exit {
    let Some(destination) = words.iter().find(|word| **word != "to") else {
        return process.fail(io, 1, "need at least a destination address");
    };
    let Ok(destination) = destination.split('/').next().unwrap_or_default().parse::<Ipv4Addr>() else {
        return process.fail(io, 1, format!("Error: any valid prefix is expected rather than \"{destination}\"."));
    };
    let user = process.actor.user.clone();
    let (found, uid) = looking(process, |machine, tailnet| {
        (machine.look_up(tailnet, destination), machine.account(&user).map_or(0, |account| account.uid))
    })?;
    let shown = match found {
        Lookup::Unreachable => return process.fail(io, 2, "RTNETLINK answers: Network is unreachable"),
        Lookup::Local(address) => json!({
            "type": "local", "dst": address, "dev": "lo", "prefsrc": address, "flags": [], "uid": uid, "cache": ["local"],
        }),
        Lookup::Route(route, source) => got(destination, &route, source, uid),
    };
    if output.json {
        return print_json(process, io, &[shown]);
    }
    process.print(io, got_text(&shown))?;
    Ok(0)
}

/// Returns the result of `ip -json route get` for a destination outside the machine.
fn got(destination: Ipv4Addr, route: &KernelRoute, source: Option<Ipv4Addr>, uid: u32) -> Value {
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
fn got_text(shown: &Value) -> String {
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

/// Runs the command `ip route add|replace|change|append|del`.
///
/// Requires root; the kernel's refusal is exit status 2. A successful command is counted as a
/// change of `route`.
fn change(process: &Process, io: &Io, verb: &str, words: &[&str]) -> Exit {
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
