use serde::{Deserialize, Serialize};

/// A type of resource that this world knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// `Microsoft.Network/virtualNetworks`
    VirtualNetwork,
    /// `…/subnets`
    Subnet,
    /// `…/virtualNetworkPeerings`
    Peering,
    /// `Microsoft.Network/networkSecurityGroups`
    SecurityGroup,
    /// `…/securityRules`
    SecurityRule,
    /// `Microsoft.Network/publicIPAddresses`
    PublicIp,
    /// `Microsoft.Network/networkInterfaces`
    NetworkInterface,
    /// `Microsoft.Network/routeTables`
    RouteTable,
    /// `…/routes`
    Route,
    /// `Microsoft.Network/natGateways`
    NatGateway,
    /// `Microsoft.Compute/virtualMachines`
    VirtualMachine,
    /// `Microsoft.Compute/disks`
    Disk,
    /// `Microsoft.Compute/virtualMachineScaleSets`
    ScaleSet,
    /// `…/virtualMachines`
    ScaleSetVm,
    /// `…/networkInterfaces`
    ScaleSetNic,
    /// `Microsoft.ContainerService/managedClusters`
    ManagedCluster,
    /// `…/agentPools`
    AgentPool,
}

/// Which provider's manners a resource has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Family {
    /// `W/"guid"` etags; a PUT answers with `Azure-AsyncOperation` alone.
    Network,
    /// Counting etags; the location of a result is the operation's URL with `monitor=true`.
    Compute,
    /// Always 202; the operation carries the disk.
    Disk,
    /// Operation URLs have an api-version of their own.
    Aks,
}

pub(crate) const ALL: [Kind; 17] = [
    Kind::VirtualNetwork,
    Kind::Subnet,
    Kind::Peering,
    Kind::SecurityGroup,
    Kind::SecurityRule,
    Kind::PublicIp,
    Kind::NetworkInterface,
    Kind::RouteTable,
    Kind::Route,
    Kind::NatGateway,
    Kind::VirtualMachine,
    Kind::Disk,
    Kind::ScaleSet,
    Kind::ScaleSetVm,
    Kind::ScaleSetNic,
    Kind::ManagedCluster,
    Kind::AgentPool,
];

const NETWORK: &str = "Microsoft.Network";
const COMPUTE: &str = "Microsoft.Compute";
const CONTAINERS: &str = "Microsoft.ContainerService";

impl Kind {
    pub(crate) fn namespace(self) -> &'static str {
        match self.family() {
            Family::Network => NETWORK,
            Family::Compute | Family::Disk => COMPUTE,
            Family::Aks => CONTAINERS,
        }
    }

    /// The type's segments after the namespace, as the provider writes them.
    pub(crate) fn types(self) -> &'static [&'static str] {
        match self {
            Self::VirtualNetwork => &["virtualNetworks"],
            Self::Subnet => &["virtualNetworks", "subnets"],
            Self::Peering => &["virtualNetworks", "virtualNetworkPeerings"],
            Self::SecurityGroup => &["networkSecurityGroups"],
            Self::SecurityRule => &["networkSecurityGroups", "securityRules"],
            Self::PublicIp => &["publicIPAddresses"],
            Self::NetworkInterface => &["networkInterfaces"],
            Self::RouteTable => &["routeTables"],
            Self::Route => &["routeTables", "routes"],
            Self::NatGateway => &["natGateways"],
            Self::VirtualMachine => &["virtualMachines"],
            Self::Disk => &["disks"],
            Self::ScaleSet => &["virtualMachineScaleSets"],
            Self::ScaleSetVm => &["virtualMachineScaleSets", "virtualMachines"],
            Self::ScaleSetNic => &["virtualMachineScaleSets", "virtualMachines", "networkInterfaces"],
            Self::ManagedCluster => &["managedClusters"],
            Self::AgentPool => &["managedClusters", "agentPools"],
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::VirtualNetwork
            | Self::Subnet
            | Self::Peering
            | Self::SecurityGroup
            | Self::SecurityRule
            | Self::PublicIp
            | Self::NetworkInterface
            | Self::RouteTable
            | Self::Route
            | Self::NatGateway => Family::Network,
            Self::VirtualMachine | Self::ScaleSet | Self::ScaleSetVm | Self::ScaleSetNic => Family::Compute,
            Self::Disk => Family::Disk,
            Self::ManagedCluster | Self::AgentPool => Family::Aks,
        }
    }

    /// The `type` field, as recorded: AKS writes its own with a capital.
    pub(crate) fn type_name(self) -> String {
        match self {
            Self::ManagedCluster => format!("{CONTAINERS}/ManagedClusters"),
            Self::ScaleSetNic => format!("{COMPUTE}/virtualMachineScaleSets/virtualMachines/networkInterfaces"),
            _ => format!("{}/{}", self.namespace(), self.types().join("/")),
        }
    }

    pub(crate) fn is_child(self) -> bool {
        self.types().len() > 1
    }

    /// Kinds that the parent shows inside itself, with the property that holds them.
    pub(crate) fn embedded(self) -> &'static [(Kind, &'static str)] {
        match self {
            Self::VirtualNetwork => &[(Kind::Subnet, "subnets"), (Kind::Peering, "virtualNetworkPeerings")],
            Self::SecurityGroup => &[(Kind::SecurityRule, "securityRules")],
            Self::RouteTable => &[(Kind::Route, "routes")],
            Self::ManagedCluster => &[(Kind::AgentPool, "agentPoolProfiles")],
            _ => &[],
        }
    }

    /// Whether the resource itself can be written, or only what made it.
    pub(crate) fn is_writable(self) -> bool {
        !matches!(self, Self::ScaleSet | Self::ScaleSetVm | Self::ScaleSetNic)
    }

    /// Seconds that creating or changing one takes in the real service: orders of magnitude seen in portal activity logs.
    pub(crate) fn write_seconds(self) -> f64 {
        match self {
            Self::NetworkInterface => 0.0,
            Self::VirtualMachine => 25.0,
            Self::ManagedCluster => 240.0,
            Self::AgentPool => 120.0,
            Self::Disk => 2.0,
            _ => 1.5,
        }
    }

    /// Seconds that deleting one takes.
    pub(crate) fn delete_seconds(self) -> f64 {
        match self {
            Self::VirtualMachine => 30.0,
            Self::ManagedCluster => 180.0,
            Self::AgentPool => 60.0,
            Self::Disk => 2.0,
            _ => 3.0,
        }
    }

    /// The kind whose type segments these are, compared as ARM does: without case.
    pub(crate) fn find(namespace: &str, types: &[&str]) -> Option<Self> {
        ALL.into_iter().find(|kind| {
            kind.namespace().eq_ignore_ascii_case(namespace)
                && kind.types().len() == types.len()
                && kind.types().iter().zip(types).all(|(ours, theirs)| ours.eq_ignore_ascii_case(theirs))
        })
    }
}
