use std::net::Ipv4Addr;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::arm::{self, DriftRequest};
use crate::host::ChainPolicy;
use crate::kube::{FieldEdit, edit_object};
use crate::tailnet::NodeId;
use crate::world::{Shared, World};

/// Field manager of changes by another party.
const SOMEBODY: &str = "kubectl-edit";
/// Name of tailscaled's interface.
const TUNNEL: &str = "tailscale0";

/// Change of one surface by another party: not counted, without faults, in force immediately.
///
/// `on` and the optional fields give the new state; if absent, the entry is removed.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum WorldDrift {
    /// IP forwarding of a machine's NIC, in Azure.
    NicForwarding {
        machine: String,
        #[serde(default)]
        on: bool,
    },
    /// IP forwarding of a host's kernel, now; the files of the host stay.
    KernelForwarding {
        host: String,
        #[serde(default)]
        on: bool,
    },
    /// Clamp of the TCP segment size into the tunnel, now; the files of the host stay.
    MssClamp {
        host: String,
        #[serde(default)]
        on: bool,
    },
    /// Policy of the packet filter for forwarded packets, now; the files of the host stay. `false`
    /// adds a table `inet filter` whose chain `forward` drops, `true` makes every chain accept.
    ForwardPolicy {
        host: String,
        #[serde(default)]
        on: bool,
    },
    /// `tailscale set --stateful-filtering` on a router.
    StatefulFiltering {
        router: String,
        #[serde(default)]
        on: bool,
    },
    /// `tailscale set --advertise-routes` on a router, with or without a prefix.
    Advertisement {
        router: String,
        prefix: IpNet,
        #[serde(default)]
        on: bool,
    },
    /// Approval of a prefix of a router's device in the tailnet.
    Approval {
        router: String,
        prefix: IpNet,
        #[serde(default)]
        on: bool,
    },
    /// Route for a prefix in the table of a subnet: to a next hop, or none.
    Route { network: Option<String>, subnet: String, prefix: Ipv4Net, next_hop: Option<Ipv4Addr> },
    /// Route table of a subnet: another one, or none.
    Association { network: Option<String>, subnet: String, table: Option<String> },
    /// Operation of Azure that is granted or withheld, in the subscription or in one of its groups.
    Permission {
        operation: String,
        group: Option<String>,
        #[serde(default)]
        on: bool,
    },
    /// Number of seconds by which the clock of the cluster's job controller is ahead: deadlines and
    /// times to live of jobs end earlier.
    JobTime { seconds: u32 },
    /// Value of `spec.ipam.podCIDRs` of a node's `CiliumNode`: a prefix, or nothing.
    PodCidr { node: String, prefix: Option<Ipv4Net> },
}

/// Applies a drift. Answers 204, Azure's own answer for a change of Azure, or 404 with a text for
/// an unknown name.
pub(crate) fn happen(shared: &Shared, drift: &WorldDrift) -> Response {
    let wanted = {
        let mut world = shared.lock();
        match drift {
            WorldDrift::NicForwarding { machine, on } => arm::nic_forwarding(&world.arm, machine, *on).map(Some),
            WorldDrift::Route { network, subnet, prefix, next_hop } => {
                arm::route(&world.arm, (network.as_deref(), subnet), *prefix, *next_hop).map(Some)
            }
            WorldDrift::Association { network, subnet, table } => {
                arm::association(&world.arm, (network.as_deref(), subnet), table.as_deref()).map(Some)
            }
            WorldDrift::KernelForwarding { host, on } => kernel_forwarding(&mut world, host, *on).map(|()| None),
            WorldDrift::MssClamp { host, on } => mss_clamp(&mut world, host, *on).map(|()| None),
            WorldDrift::ForwardPolicy { host, on } => forward_policy(&mut world, host, *on).map(|()| None),
            WorldDrift::StatefulFiltering { router, on } => stateful_filtering(&mut world, router, *on).map(|()| None),
            WorldDrift::Advertisement { router, prefix, on } => {
                advertisement(&mut world, router, *prefix, *on).map(|()| None)
            }
            WorldDrift::Approval { router, prefix, on } => approval(&mut world, router, *prefix, *on).map(|()| None),
            WorldDrift::Permission { operation, group, on } => {
                world.arm.access.set(operation, group.as_deref(), *on);
                Ok(None)
            }
            WorldDrift::JobTime { seconds } => {
                world.kube.jobs_ahead_seconds = *seconds;
                Ok(None)
            }
            WorldDrift::PodCidr { node, prefix } => pod_cidr(&mut world, node, *prefix).map(|()| None),
        }
    };
    match wanted {
        Ok(Some(DriftRequest { method, path, body })) => ask_azure(shared, method, &path, body),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(why) => (StatusCode::NOT_FOUND, why).into_response(),
    }
}

/// Sends a request of another party to Azure and returns the answer.
pub(crate) fn ask_azure(shared: &Shared, method: &str, path: &str, body: Option<Value>) -> Response {
    let (status, body) = arm::third_party(shared, method, path, body);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        Some(body) => (status, Json(body)).into_response(),
        None => status.into_response(),
    }
}

fn kernel_forwarding(world: &mut World, host: &str, on: bool) -> Result<(), String> {
    let machine = world.hosts.machines.get_mut(host).ok_or_else(|| format!("there is no host {host}"))?;
    machine.set_sysctl("net.ipv4.ip_forward", if on { "1" } else { "0" });
    Ok(())
}

fn mss_clamp(world: &mut World, host: &str, on: bool) -> Result<(), String> {
    let machine = world.hosts.machines.get_mut(host).ok_or_else(|| format!("there is no host {host}"))?;
    machine.ruleset.remove_clamps();
    if on {
        machine.ruleset.clamp_by_hand(TUNNEL);
    }
    Ok(())
}

fn forward_policy(world: &mut World, host: &str, on: bool) -> Result<(), String> {
    let machine = world.hosts.machines.get_mut(host).ok_or_else(|| format!("there is no host {host}"))?;
    machine.ruleset.set_forward_policy(if on { ChainPolicy::Accept } else { ChainPolicy::Drop });
    Ok(())
}

fn stateful_filtering(world: &mut World, router: &str, on: bool) -> Result<(), String> {
    let machine = world.hosts.machines.get_mut(router).ok_or_else(|| format!("there is no host {router}"))?;
    machine.tailscaled.prefs.no_stateful_filtering = !on;
    Ok(())
}

fn advertisement(world: &mut World, router: &str, prefix: IpNet, on: bool) -> Result<(), String> {
    let machine = world.hosts.machines.get_mut(router).ok_or_else(|| format!("there is no host {router}"))?;
    let advertised = &mut machine.tailscaled.prefs.advertise_routes;
    if on {
        advertised.insert(prefix)
    } else {
        advertised.remove(&prefix)
    };
    machine.report(&mut world.tailnet);
    Ok(())
}

fn approval(world: &mut World, router: &str, prefix: IpNet, on: bool) -> Result<(), String> {
    let node = device_of(world, router).ok_or_else(|| format!("the tailnet has no device of {router}"))?;
    let device = world.tailnet.device_mut(&node).ok_or_else(|| format!("device {node} is gone"))?;
    if on {
        device.enabled.insert(prefix)
    } else {
        device.enabled.remove(&prefix)
    };
    Ok(())
}

/// Returns the device that a router is logged in as, or else the one with its name.
fn device_of(world: &World, router: &str) -> Option<NodeId> {
    let by_host = world.hosts.machines.get(router).and_then(|machine| machine.tailscaled.node.clone());
    let named = || world.tailnet.devices.values().find(|device| device.label == router);
    by_host.or_else(|| named().map(|device| device.node_id.clone()))
}

fn pod_cidr(world: &mut World, node: &str, prefix: Option<Ipv4Net>) -> Result<(), String> {
    let missing = || format!("there is no CiliumNode {node}");
    let nodes = world.kube.resource("cilium.io", "v2", "ciliumnodes").ok_or_else(missing)?;
    world.kube.object(&nodes, node).ok_or_else(missing)?;
    let prefixes: Vec<Ipv4Net> = prefix.into_iter().collect();
    let field = FieldEdit::set(&["spec", "ipam", "podCIDRs"], json!(prefixes));
    edit_object(&mut world.kube, &nodes, node, (SOMEBODY, Timestamp::now()), vec![field]);
    Ok(())
}
