//! Access rules of a tailnet's policy: grants and ACLs. They only admit, and their order is without
//! meaning (<https://tailscale.com/kb/1538/grants-syntax>, <https://tailscale.com/kb/1337/acl-syntax>).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

/// A new TCP connection through subnet routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccessFlow {
    /// End that opens the connection.
    pub(crate) from: AccessEnd,
    /// End that answers.
    pub(crate) to: AccessEnd,
    /// Port of the end that answers.
    pub(crate) port: u16,
}

/// End of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccessEnd {
    pub(crate) address: Ipv4Addr,
    /// True if the end is a device of the tailnet, which tags, users and groups can mean.
    pub(crate) is_device: bool,
}

/// Decision about a connection, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Admitted,
    Refused,
    /// A part of the policy that is not evaluated decides.
    Unknown,
}

impl Decision {
    fn of(admits: bool) -> Self {
        if admits { Self::Admitted } else { Self::Refused }
    }

    /// Decision of two conditions: both must admit.
    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Refused => Self::Refused,
            Self::Admitted => other(),
            Self::Unknown if other() == Self::Refused => Self::Refused,
            Self::Unknown => Self::Unknown,
        }
    }

    /// Decision of several rules: one that admits is enough.
    fn any(decisions: impl Iterator<Item = Self>) -> Self {
        let mut result = Self::Refused;
        for decision in decisions {
            match decision {
                Self::Admitted => return Self::Admitted,
                Self::Unknown => result = Self::Unknown,
                Self::Refused => {}
            }
        }
        result
    }
}

/// Decides whether a policy, as the API returns it, admits a connection. A policy with neither
/// section is not evaluated: the service's default is not part of it.
pub(crate) fn decide(policy: &Value, flow: &AccessFlow) -> Decision {
    let section = |name: &str| policy.get(name).and_then(Value::as_array);
    let (grants, acls) = (section("grants"), section("acls"));
    if grants.is_none() && acls.is_none() {
        return Decision::Unknown;
    }
    let granted = grants.into_iter().flatten().map(|grant| of_grant(policy, grant, flow));
    let accepted = acls.into_iter().flatten().map(|acl| of_acl(policy, acl, flow));
    Decision::any(granted.chain(accepted))
}

fn of_grant(policy: &Value, grant: &Value, flow: &AccessFlow) -> Decision {
    // A grant of applications alone, which has no `ip`, admits no packets.
    let capabilities = texts(grant.get("ip")).map(|capability| capability_admits(capability, flow.port));
    let ends = Decision::any(texts(grant.get("src")).map(|text| means(policy, text, flow.from)))
        .and(|| Decision::any(texts(grant.get("dst")).map(|text| means(policy, text, flow.to))));
    let admits = Decision::any(capabilities).and(|| ends);
    // The posture of a device behind a router is not known, nor is the router that `via` means.
    let is_restricted = ["srcPosture", "via"].iter().any(|name| texts(grant.get(*name)).next().is_some());
    if is_restricted && admits == Decision::Admitted { Decision::Unknown } else { admits }
}

fn of_acl(policy: &Value, acl: &Value, flow: &AccessFlow) -> Decision {
    let either = |new: &str, old: &str| texts(acl.get(new).or_else(|| acl.get(old))).collect::<Vec<_>>();
    let proto = acl.get("proto").and_then(Value::as_str).unwrap_or_default();
    let destinations = either("dst", "ports");
    let destinations = destinations.into_iter().map(|text| match text.rsplit_once(':') {
        Some((selector, ports)) => ports_admit(ports, flow.port).and(|| means(policy, selector, flow.to)),
        None => Decision::Unknown,
    });
    let sources = either("src", "users").into_iter().map(|text| means(policy, text, flow.from));
    Decision::of(matches!(proto, "" | "tcp" | "6")).and(|| Decision::any(sources)).and(|| Decision::any(destinations))
}

/// Decides whether a capability of `ip`, such as `*`, `443`, `80-90` or `tcp:443`, admits a TCP
/// port.
fn capability_admits(capability: &str, port: u16) -> Decision {
    match capability.split_once(':') {
        Some(("tcp" | "6" | "*", ports)) => ports_admit(ports, port),
        Some(_) => Decision::Refused,
        None => ports_admit(capability, port),
    }
}

/// Decides whether `*`, ports and ranges of ports admit a port.
fn ports_admit(ports: &str, port: u16) -> Decision {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?)
    };
    let admits = |part: &str| part == "*" || range(part).is_some_and(|range| range.contains(&port));
    Decision::of(ports.split(',').any(|part| admits(part.trim())))
}

/// Decides whether a selector means an end. Pods and machines behind a router have addresses only.
fn means(policy: &Value, selector: &str, end: AccessEnd) -> Decision {
    if selector == "*" {
        return Decision::Admitted;
    }
    if let Some(means) = covers(selector, end.address) {
        // A device has an address of the tailnet as well, which is not known here.
        return if !means && end.is_device { Decision::Unknown } else { Decision::of(means) };
    }
    if let Some(alias) = policy.pointer("/hosts").and_then(|hosts| hosts.get(selector)).and_then(Value::as_str) {
        return covers(alias, end.address).map_or(Decision::Unknown, Decision::of);
    }
    match selector.split_once(':') {
        Some(("ipset" | "host" | "svc", _)) => Decision::Unknown,
        Some(("autogroup", "danger-all")) => Decision::Admitted,
        Some(("autogroup", "internet")) => Decision::Refused,
        _ if selector.contains('-') && is_range(selector) => Decision::Unknown,
        _ if end.is_device => Decision::Unknown,
        _ => Decision::Refused,
    }
}

/// True if `text` is a range of addresses, such as `10.0.0.1-10.0.0.9`.
fn is_range(text: &str) -> bool {
    text.split_once('-').is_some_and(|(first, _)| first.parse::<Ipv4Addr>().is_ok())
}

/// True if an address or a prefix covers `address`; `None` if `text` is neither.
fn covers(text: &str, address: Ipv4Addr) -> Option<bool> {
    let prefix = text.parse::<Ipv4Net>().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from));
    let is_ipv6 = || text.parse::<ipnet::Ipv6Net>().is_ok() || text.parse::<std::net::Ipv6Addr>().is_ok();
    prefix.map(|prefix| prefix.contains(&address)).or_else(|| is_ipv6().then_some(false))
}

/// The texts of a list.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn end(text: &str) -> AccessEnd {
        AccessEnd { address: text.parse().expect("an address"), is_device: false }
    }

    fn decided(policy: &Value) -> Decision {
        decide(policy, &AccessFlow { from: end("10.244.0.9"), to: end("10.244.64.9"), port: 80 })
    }

    fn grant(src: &str, dst: &str, ip: &str) -> Value {
        json!({ "grants": [{ "src": [src], "dst": [dst], "ip": [ip] }], "hosts": { "pods": "10.244.64.0/18", "old": "10.9.0.0/16" } })
    }

    fn acl(src: &str, dst: &str) -> Value {
        json!({ "acls": [{ "action": "accept", "src": [src], "dst": [dst] }] })
    }

    #[test]
    fn what_admits_the_addresses_and_the_port_admits() {
        for policy in [
            grant("*", "*", "*"),
            grant("10.244.0.0/16", "10.244.64.9", "80"),
            grant("10.244.0.9", "pods", "tcp:80-90"),
            grant("autogroup:danger-all", "*", "443,80"),
            acl("*", "*:*"),
            acl("10.244.0.0/24", "10.244.64.0/18:22,80"),
            json!({ "acls": [{ "action": "accept", "users": ["*"], "ports": ["10.0.0.0/8:*"], "proto": "tcp" }] }),
            json!({ "grants": [], "acls": [{ "action": "accept", "src": ["*"], "dst": ["*:80"], "proto": "6" }] }),
        ] {
            assert_eq!(decided(&policy), Decision::Admitted, "{policy}");
        }
    }

    #[test]
    fn what_means_others_refuses() {
        for policy in [
            json!({ "grants": [] }),
            json!({ "acls": [] }),
            grant("tag:stargate-router", "tag:stargate-router", "*"),
            grant("autogroup:member", "*", "*"),
            grant("group:eng", "*", "*"),
            grant("ada@example.com", "*", "*"),
            grant("10.244.64.0/18", "10.244.0.0/18", "*"),
            grant("*", "old", "*"),
            grant("*", "autogroup:internet", "*"),
            grant("*", "*", "443"),
            grant("*", "*", "udp:80"),
            grant("*", "fd7a:115c:a1e0::/48", "*"),
            json!({ "grants": [{ "src": ["*"], "dst": ["*"], "app": { "example.com/cap": [] } }] }),
            acl("*", "10.244.64.0/18:443"),
            acl("*", "tag:stargate-router:*"),
            json!({ "acls": [{ "action": "accept", "src": ["*"], "dst": ["*:*"], "proto": "udp" }] }),
        ] {
            assert_eq!(decided(&policy), Decision::Refused, "{policy}");
        }
    }

    #[test]
    fn what_is_not_evaluated_is_not_known() {
        for policy in [
            json!({}),
            grant("ipset:pods", "*", "*"),
            grant("*", "10.244.64.1-10.244.64.20", "*"),
            json!({ "grants": [{ "src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["tag:stargate-router"] }] }),
            json!({ "grants": [{ "src": ["*"], "dst": ["*"], "ip": ["*"], "srcPosture": ["posture:managed"] }] }),
        ] {
            assert_eq!(decided(&policy), Decision::Unknown, "{policy}");
        }
        let refused_anyway = json!({ "grants": [{ "src": ["ipset:pods"], "dst": ["*"], "ip": ["443"] }] });
        assert_eq!(decided(&refused_anyway), Decision::Refused);
    }

    #[test]
    fn a_device_is_meant_by_more_than_its_address() {
        let mut flow = AccessFlow { from: end("10.237.0.4"), to: end("10.244.64.9"), port: 80 };
        let policy = grant("tag:stargate-router", "*", "*");
        assert_eq!(decide(&policy, &flow), Decision::Refused);
        flow.from.is_device = true;
        assert_eq!(decide(&policy, &flow), Decision::Unknown);
        assert_eq!(decide(&grant("100.64.0.0/10", "*", "*"), &flow), Decision::Unknown);
    }
}
