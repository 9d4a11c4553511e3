//! The stream of events: what became true in the world, for whoever makes it real.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that became true in the world, for whoever makes it real: the simulated hosts, or real machines that follow
/// the stream under `/_world/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A virtual network exists, or its prefixes changed.
    NetworkChanged {
        /// Resource id.
        id: String,
        /// Name of the network.
        name: String,
        /// Address space.
        prefixes: Vec<String>,
    },
    /// A virtual machine's creation has finished: it is to boot.
    MachineCreated(Machine),
    /// A virtual machine is gone.
    MachineDeleted {
        /// Name of the machine.
        name: String,
    },
    /// A virtual machine was asked to restart.
    MachineRestarted {
        /// Name of the machine.
        name: String,
    },
    /// A NIC's address, public address, forwarding flag or machine changed.
    NicChanged(Nic),
    /// A NIC is gone.
    NicDeleted {
        /// Resource id.
        id: String,
    },
    /// The routes in force in a subnet: those of the route table associated with it, none if there is none.
    RoutesChanged {
        /// Name of the virtual network.
        network: String,
        /// Name of the subnet.
        subnet: String,
        /// Prefix of the subnet.
        subnet_prefix: String,
        /// Every user-defined route in force.
        routes: Vec<Route>,
    },
    /// AKS has brought a node: its scale set has grown. Nodes that were there when the world was opened are not told.
    AksNodeCreated(AksNode),
    /// AKS has taken a node away: its scale set has shrunk.
    AksNodeDeleted {
        /// Name of the node.
        name: String,
    },
}

/// A node that AKS looks after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AksNode {
    /// Its name in the cluster.
    pub name: String,
    /// Resource id of the scale set's instance; empty without a scale set.
    pub id: String,
    /// Name of the virtual network.
    pub network: String,
    /// Name of the subnet.
    pub subnet: String,
    /// Prefix of the subnet.
    pub subnet_prefix: String,
    /// Its private address.
    pub private_ip: String,
    /// What its pods have their addresses of.
    pub pod_cidr: String,
}

/// A virtual machine as its first boot needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Name of the machine, and its host name.
    pub name: String,
    /// Resource id.
    pub id: String,
    /// `osProfile.customData`, decoded.
    pub user_data: String,
    /// `osProfile.adminUsername`.
    pub admin_user: String,
    /// `osProfile.linuxConfiguration.ssh.publicKeys[].keyData`.
    pub admin_keys: Vec<String>,
    /// Its NICs, the primary first.
    pub nics: Vec<Nic>,
}

/// A NIC as the network sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    /// Resource id.
    pub id: String,
    /// Name of the machine that has it, if any.
    pub machine: Option<String>,
    /// Name of the virtual network.
    pub network: String,
    /// Name of the subnet.
    pub subnet: String,
    /// Prefix of the subnet.
    pub subnet_prefix: String,
    /// Its private address.
    pub private_ip: String,
    /// Its public address, if any.
    pub public_ip: Option<String>,
    /// Whether logins from this machine to the public address are dropped: no security group lets them in.
    #[serde(default)]
    pub ssh_closed: bool,
    /// `enableIPForwarding`.
    pub ip_forwarding: bool,
    /// `macAddress`, in Azure's form.
    pub mac: String,
}

/// A user-defined route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub prefix: String,
    /// `VirtualAppliance`, `Internet`, `None`, …
    pub next_hop_type: String,
    /// Address of the next hop, for `VirtualAppliance`.
    pub next_hop: Option<String>,
}

/// An [`Event`] with its place in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// 1 for the first event; no gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}
