use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::host::state::Prefs;

/// Coordination server that `tailscale` uses by default.
pub(super) const DEFAULT_SERVER: &str = "https://controlplane.tailscale.com";

/// Flags that take a value and are not switches.
const VALUED: [&str; 12] = [
    "login-server",
    "auth-key",
    "authkey",
    "hostname",
    "advertise-routes",
    "advertise-tags",
    "netfilter-mode",
    "operator",
    "timeout",
    "exit-node",
    "nickname",
    "client-secret",
];

/// Switches of both `up` and `set`.
const SWITCHES: [&str; 8] = [
    "accept-dns",
    "accept-routes",
    "advertise-exit-node",
    "shields-up",
    "snat-subnet-routes",
    "ssh",
    "stateful-filtering",
    "auto-update",
];

/// Switches of `up` that do not set a preference.
const UP_ONLY: [&str; 4] = ["reset", "force-reauth", "json", "qr"];

/// Parses flags as Go's `flag` package does.
///
/// A flag has one dash or two. The value of a switch follows only after `=`.
///
/// # Errors
///
/// The message of `tailscale`, if a flag is unknown or has no value.
pub(super) fn parse(arguments: &[String], up: bool) -> Result<BTreeMap<String, String>, String> {
    let mut flags = BTreeMap::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let word = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
        let Some(word) = word else { return Err(format!("too many non-flag arguments: [\"{argument}\"]")) };
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value.to_owned())));
        let value = if VALUED.contains(&name) {
            value.or_else(|| arguments.next().cloned()).ok_or_else(|| format!("flag needs an argument: -{name}"))?
        } else if SWITCHES.contains(&name) || (up && UP_ONLY.contains(&name)) {
            value.unwrap_or_else(|| "true".to_owned())
        } else {
            return Err(format!("flag provided but not defined: -{name}"));
        };
        flags.insert(name.to_owned(), value);
    }
    Ok(flags)
}

/// Applies parsed flags to preferences.
///
/// # Errors
///
/// The message of `tailscale`, if a value is not valid. Some flags may have been applied then: the
/// caller works on a copy.
pub(super) fn apply(prefs: &mut Prefs, flags: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in flags {
        let on =
            || value.parse::<bool>().map_err(|_| format!("invalid boolean value \"{value}\" for -{name}: parse error"));
        match name.as_str() {
            "accept-dns" => prefs.corp_dns = on()?,
            "accept-routes" => prefs.route_all = on()?,
            "advertise-routes" => prefs.advertise_routes = with_exit_node(&prefs.advertise_routes, routes(value)?),
            "advertise-exit-node" => exit_node(&mut prefs.advertise_routes, on()?),
            "advertise-tags" => prefs.advertise_tags = tags(value)?,
            "auto-update" => prefs.auto_update = on()?,
            "hostname" => prefs.hostname.clone_from(value),
            "login-server" => prefs.control_url.clone_from(value),
            "netfilter-mode" => {
                prefs.netfilter_mode = match value.as_str() {
                    "off" => 0,
                    "nodivert" => 1,
                    "on" => 2,
                    _ => return Err(format!("invalid value --netfilter-mode=\"{value}\"")),
                }
            }
            "operator" => prefs.operator.clone_from(value),
            "shields-up" => prefs.shields_up = on()?,
            "snat-subnet-routes" => prefs.no_snat = !on()?,
            "ssh" => prefs.run_ssh = on()?,
            "stateful-filtering" => prefs.no_stateful_filtering = !on()?,
            _ => {}
        }
    }
    Ok(())
}

/// Returns the two routes that an exit node advertises.
fn exit_routes() -> [IpNet; 2] {
    ["0.0.0.0/0", "::/0"].map(|prefix| prefix.parse().expect("it is a prefix"))
}

/// Adds the routes of an exit node that were advertised before.
///
/// `--advertise-routes` does not change them.
fn with_exit_node(before: &BTreeSet<IpNet>, mut routes: BTreeSet<IpNet>) -> BTreeSet<IpNet> {
    routes.extend(exit_routes().into_iter().filter(|route| before.contains(route)));
    routes
}

/// Adds or removes the routes of an exit node.
fn exit_node(routes: &mut BTreeSet<IpNet>, on: bool) {
    for route in exit_routes() {
        if on {
            routes.insert(route);
        } else {
            routes.remove(&route);
        }
    }
}

/// Parses the comma-separated routes of `--advertise-routes`.
///
/// The default routes of IPv4 and IPv6 must be advertised together.
fn routes(text: &str) -> Result<BTreeSet<IpNet>, String> {
    let routes: BTreeSet<IpNet> =
        text.split(',').filter(|word| !word.is_empty()).map(route).collect::<Result<_, String>>()?;
    let [four, six] = exit_routes();
    if routes.contains(&four) != routes.contains(&six) {
        let (given, missing) = if routes.contains(&four) { (four, six) } else { (six, four) };
        return Err(format!(
            "{given} advertised without its IPv{} counterpart, please also advertise {missing}",
            if missing == six { 6 } else { 4 }
        ));
    }
    Ok(routes)
}

/// Parses one route, which must have a prefix length and no host bits.
fn route(word: &str) -> Result<IpNet, String> {
    if word.parse::<IpAddr>().is_ok() && !word.contains('/') {
        return Err(format!("\"{word}\" is not a valid IP address or CIDR prefix"));
    }
    let route: IpNet = word.parse().map_err(|_| format!("\"{word}\" is not a valid IP address or CIDR prefix"))?;
    if route != route.trunc() {
        return Err(format!("{route} has non-address bits set; expected {}", route.trunc()));
    }
    Ok(route)
}

/// Parses comma-separated tags, each of which starts with `tag:`.
fn tags(text: &str) -> Result<Vec<String>, String> {
    let tags: Vec<String> = text.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    match tags.iter().find(|tag| !tag.starts_with("tag:")) {
        Some(tag) => Err(format!("tag: \"{tag}\": tags must start with 'tag:'")),
        None => Ok(tags),
    }
}

/// Returns the value of `--advertise-routes`: comma-separated, without the routes of an exit node.
pub(super) fn advertised(prefs: &Prefs) -> String {
    let exit = exit_routes();
    let routes = prefs.advertise_routes.iter().filter(|route| !exit.contains(route));
    routes.map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Returns the flags for the preferences that differ from the defaults.
///
/// Each value is the flag as a command line would contain it, under the name of the flag.
pub(super) fn not_default(prefs: &Prefs) -> BTreeMap<&'static str, String> {
    let default = Prefs::default();
    let mut flags = BTreeMap::new();
    let mut differs = |name: &'static str, differs: bool, shown: String| {
        if differs {
            flags.insert(name, shown);
        }
    };
    differs("accept-dns", prefs.corp_dns != default.corp_dns, "--accept-dns=false".to_owned());
    differs("accept-routes", prefs.route_all, "--accept-routes".to_owned());
    let routes = advertised(prefs);
    differs("advertise-routes", !routes.is_empty(), format!("--advertise-routes={routes}"));
    differs(
        "advertise-tags",
        !prefs.advertise_tags.is_empty(),
        format!("--advertise-tags={}", prefs.advertise_tags.join(",")),
    );
    differs("hostname", !prefs.hostname.is_empty(), format!("--hostname={}", prefs.hostname));
    let server = prefs.control_url.as_str();
    differs("login-server", server != DEFAULT_SERVER && !server.is_empty(), format!("--login-server={server}"));
    differs("netfilter-mode", prefs.netfilter_mode != 2, format!("--netfilter-mode={}", netfilter(prefs)));
    differs("operator", !prefs.operator.is_empty(), format!("--operator={}", prefs.operator));
    differs("shields-up", prefs.shields_up, "--shields-up".to_owned());
    differs("snat-subnet-routes", prefs.no_snat, "--snat-subnet-routes=false".to_owned());
    differs("ssh", prefs.run_ssh, "--ssh".to_owned());
    differs("stateful-filtering", !prefs.no_stateful_filtering, "--stateful-filtering".to_owned());
    flags
}

/// Returns the value of `--netfilter-mode`: `off`, `nodivert` or `on`.
pub(super) fn netfilter(prefs: &Prefs) -> &'static str {
    ["off", "nodivert", "on"].get(usize::from(prefs.netfilter_mode)).copied().unwrap_or("on")
}
