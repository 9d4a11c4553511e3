use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde_json::Value;

use super::state::Tailnet;

/// Packet filter that the coordination server sends to every device: what `grants` and `acls` of
/// the policy admit, and nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessFilter(Vec<AccessFilterRule>);

/// Connections that one rule admits.
#[derive(Debug, Clone)]
struct AccessFilterRule {
    sources: Vec<IpNet>,
    destinations: Vec<IpNet>,
    /// First and last port, both included.
    ports: Vec<(u16, u16)>,
    /// Transport protocol; `None` for all.
    protocol: Option<String>,
}

impl AccessFilter {
    /// Compiles the policy of a tailnet. Users, groups and tags become the addresses of devices,
    /// of which no pod has one.
    pub(crate) fn of(tailnet: &Tailnet) -> Self {
        let policy = tailnet.policy.json().unwrap_or_default();
        let compiler = AccessCompiler { tailnet, policy: &policy };
        let grants = compiler.section("grants").flat_map(|grant| compiler.grant(grant));
        Self(grants.chain(compiler.section("acls").flat_map(|acl| compiler.acl(acl))).collect())
    }

    /// Returns `true` if a rule admits a new connection. `service` is the protocol and the port.
    pub(crate) fn admits(&self, source: Ipv4Addr, to: Ipv4Addr, service: Option<(&str, u16)>) -> bool {
        let holds =
            |prefixes: &[IpNet], address: Ipv4Addr| prefixes.iter().any(|prefix| prefix.contains(&IpAddr::V4(address)));
        self.0.iter().any(|rule| {
            let is_service = service.is_none_or(|(protocol, port)| {
                rule.protocol.as_deref().is_none_or(|only| only == protocol)
                    && rule.ports.iter().any(|(first, last)| (*first..=*last).contains(&port))
            });
            is_service && holds(&rule.sources, source) && holds(&rule.destinations, to)
        })
    }
}

/// Policy, and the tailnet in which its names are looked up.
struct AccessCompiler<'a> {
    tailnet: &'a Tailnet,
    policy: &'a Value,
}

impl<'a> AccessCompiler<'a> {
    fn section(&self, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.policy[name].as_array().into_iter().flatten()
    }

    /// Returns a rule for each entry of `ip`.
    fn grant(&self, grant: &Value) -> Vec<AccessFilterRule> {
        let sources = self.all(&grant["src"]);
        let destinations = self.all(&grant["dst"]);
        let rule = |entry: &str| {
            let (protocol, ports) = match entry.split_once(':') {
                Some((protocol, ports)) => (Some(protocol).filter(|name| *name != "*"), ports),
                None => (None, entry),
            };
            let protocol = protocol.map(str::to_owned);
            AccessFilterRule {
                sources: sources.clone(),
                destinations: destinations.clone(),
                ports: ports_of(ports),
                protocol,
            }
        };
        list(&grant["ip"]).map(rule).collect()
    }

    /// Returns a rule for each destination with its ports.
    fn acl(&self, acl: &Value) -> Vec<AccessFilterRule> {
        let sources = self.all(&acl["src"]);
        let split = list(&acl["dst"]).filter_map(|entry| entry.rsplit_once(':'));
        split
            .map(|(selector, ports)| AccessFilterRule {
                sources: sources.clone(),
                destinations: self.addresses(selector),
                ports: ports_of(ports),
                protocol: acl["proto"].as_str().map(str::to_owned),
            })
            .collect()
    }

    fn all(&self, selectors: &Value) -> Vec<IpNet> {
        list(selectors).flat_map(|selector| self.addresses(selector)).collect()
    }

    fn addresses(&self, selector: &str) -> Vec<IpNet> {
        let text = self.policy["hosts"][selector].as_str().unwrap_or(selector);
        if text == "*" {
            return vec![IpNet::V4(ipnet::Ipv4Net::default())];
        }
        if let Ok(prefix) = text.parse() {
            return vec![prefix];
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return vec![address.into()];
        }
        let tagged = self.tailnet.devices.values().filter(|device| device.tags.contains(text));
        tagged.map(|device| IpNet::from(IpAddr::V4(device.ipv4))).collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Returns the ranges of `*`, `80`, `80,443` or `8000-9000`.
fn ports_of(text: &str) -> Vec<(u16, u16)> {
    let range = |part: &str| {
        if part == "*" {
            return Some((0, u16::MAX));
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    text.split(',').filter_map(range).collect()
}
