//! Routes of the tailnet's other devices that take packets from the routers.

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Findings;
use crate::{conflict::Conflict, desired::AdvertisedRoutes};

/// Devices of the tailnet, and the routes that the routers must serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailnetFacts {
    /// All devices of the tailnet, in the form of `tailscale.devices.list`.
    pub devices: Vec<DeviceFacts>,
    /// Routers of the deployment.
    pub routers: Vec<RouterDevice>,
    /// Routes that the routers must serve.
    pub advertise: AdvertisedRoutes,
}

/// Device of a router, with what the deployment has recorded about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterDevice {
    /// Stable node id of the device.
    pub node_id: String,
    /// Devices that the router was before, whose routes are withdrawn.
    #[serde(default)]
    pub former: Vec<FormerRouter>,
    /// Recorded routes: those that the deployment advertises, or has advertised.
    #[schemars(with = "Vec<String>")]
    pub recorded: Vec<Ipv4Net>,
}

/// A device that a router was before. Other fields of the record are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FormerRouter {
    /// Stable node id of the device.
    pub node_id: String,
}

/// A device of the tailnet. Other fields of the listing are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceFacts {
    /// Stable node id of the device.
    pub node_id: String,
    /// Name in the tailnet, with the domain.
    pub name: String,
    /// True if the device is connected.
    pub connected: bool,
    /// Routes that the device advertises.
    pub advertised: Vec<String>,
    /// Routes of the device that are approved.
    pub enabled: Vec<String>,
}

/// Finds the routes of other devices that take packets from the routers.
///
/// Approved routes of the routers that are not recorded were added by another party. They stay, and
/// are named.
///
/// A device that is offline keeps its routes: a narrower one drops the packets until its approval
/// is withdrawn. For the same prefix the tailnet chooses a connected device, so one that is offline
/// only does harm when it returns.
#[must_use]
pub fn tailnet_findings(facts: &TailnetFacts) -> Findings {
    let own: Vec<Ipv4Net> = facts.advertise.aks.iter().chain(facts.advertise.dc.values().flatten()).copied().collect();
    let mut findings = Findings::default();
    let former: Vec<&String> = facts.routers.iter().flat_map(|router| &router.former).map(|it| &it.node_id).collect();
    for device in facts.devices.iter().filter(|device| !former.contains(&&device.node_id)) {
        if let Some(router) = facts.routers.iter().find(|router| router.node_id == device.node_id) {
            findings
                .warnings
                .extend(device.served().filter(|it| !router.recorded.contains(it)).map(|it| kept(device, it)));
            continue;
        }
        for prefix in device.served() {
            let Some(router) = own.iter().filter(|own| own.contains(&prefix)).max_by_key(|own| own.prefix_len()) else {
                continue;
            };
            let conflict = conflict(device, prefix, *router);
            if *router == prefix && !device.connected {
                findings.warnings.push(conflict.to_string());
            } else {
                findings.blockers.push(conflict);
            }
        }
    }
    findings
}

impl DeviceFacts {
    /// IPv4 routes that are advertised and approved, without default routes, which are those of an
    /// exit node.
    fn served(&self) -> impl Iterator<Item = Ipv4Net> + '_ {
        let approved = self.advertised.iter().filter(|route| self.enabled.contains(route));
        approved.filter_map(|route| route.parse().ok()).filter(|prefix: &Ipv4Net| prefix.prefix_len() > 0)
    }
}

fn kept(device: &DeviceFacts, prefix: Ipv4Net) -> String {
    format!("router {} has the approved route {prefix}, which this deployment did not add: it stays", device.name)
}

fn conflict(device: &DeviceFacts, prefix: Ipv4Net, router: Ipv4Net) -> Conflict {
    let state = if device.connected { "connected" } else { "offline" };
    let relation = if prefix == router { "equal to" } else { "narrower than" };
    let rest: Vec<&String> = device.enabled.iter().filter(|route| route.parse() != Ok(prefix)).collect();
    let rest: Vec<String> = rest.iter().map(|route| format!("\"{route}\"")).collect();
    let (name, id) = (&device.name, &device.node_id);
    Conflict::new(
        format!("device {name} ({id}, {state}) has the approved route {prefix}, {relation} {router} of a router"),
        format!(
            "curl -X POST -H \"Authorization: Bearer $TOKEN\" https://api.tailscale.com/api/v2/device/{id}/routes \
             -d '{{\"routes\": [{}]}}'",
            rest.join(", ")
        ),
    )
}
