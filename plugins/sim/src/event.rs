//! The stream of events: changes of the world, for the processes that realize them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Change of the world that a follower must realize: the simulated hosts, or real machines that
/// follow the stream under `/_world/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A virtual network exists, or its prefixes changed.
    NetworkChanged {
        /// Resource id of the network.
        id: String,
        /// Name of the network.
        name: String,
        /// Address space of the network.
        prefixes: Vec<String>,
    },
    /// The creation of a virtual machine has finished: it must boot.
    MachineCreated(MachineSpec),
    /// A virtual machine was deleted.
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
    /// A NIC was deleted.
    NicDeleted {
        /// Resource id of the NIC.
        id: String,
    },
    /// The routes in force in a subnet: those of the route table associated with it, none if there
    /// is none.
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
    /// AKS has created a node: its scale set has grown. Nodes of the opened world have no event.
    AksNodeCreated(AksNodeSpec),
    /// AKS has removed a node: its scale set has shrunk.
    AksNodeDeleted {
        /// Name of the node.
        name: String,
    },
}

/// Node that AKS manages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AksNodeSpec {
    /// Name in the cluster.
    pub name: String,
    /// Resource id of the scale set's instance; empty without a scale set.
    pub id: String,
    /// Name of the virtual network.
    pub network: String,
    /// Name of the subnet.
    pub subnet: String,
    /// Prefix of the subnet.
    pub subnet_prefix: String,
    /// Private address of the node.
    pub private_ip: String,
    /// Prefix from which its pods get addresses.
    pub pod_cidr: String,
}

/// A virtual machine as its first boot needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSpec {
    /// Name of the machine, and its host name.
    pub name: String,
    /// Resource id of the machine.
    pub id: String,
    /// Value of `osProfile.customData`, decoded.
    pub user_data: String,
    /// Value of `osProfile.adminUsername`.
    pub admin_user: String,
    /// Values of `osProfile.linuxConfiguration.ssh.publicKeys[].keyData`.
    pub admin_keys: Vec<String>,
    /// Its NICs, the primary first.
    pub nics: Vec<Nic>,
}

/// A NIC as the network sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    /// Resource id of the NIC.
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
    /// True if logins from this machine to the public address are dropped: no security group admits
    /// them.
    #[serde(default)]
    pub ssh_closed: bool,
    /// Value of `enableIPForwarding`.
    pub ip_forwarding: bool,
    /// Value of `macAddress`, in Azure's form.
    pub mac: String,
}

/// A user-defined route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Prefix of the destination.
    pub prefix: String,
    /// Type of the next hop: `VirtualAppliance`, `Internet`, `None`, …
    pub next_hop_type: String,
    /// Address of the next hop, for `VirtualAppliance`.
    pub next_hop: Option<String>,
}

/// Event with its number in the stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberedEvent {
    /// 1 for the first event; no gaps.
    pub seq: u64,
    /// Time of the event.
    pub at: Timestamp,
    /// Change of the world that it reports.
    #[serde(flatten)]
    pub event: Event,
}
