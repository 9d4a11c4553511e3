use serde::{Deserialize, Serialize};

/// Resource type that the simulator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ArmResourceType {
    /// Top-level type `Microsoft.Network/virtualNetworks`.
    VirtualNetwork,
    /// Child type `virtualNetworks/subnets`.
    Subnet,
    /// Child type `virtualNetworks/virtualNetworkPeerings`.
    Peering,
    /// Top-level type `Microsoft.Network/networkSecurityGroups`.
    SecurityGroup,
    /// Child type `networkSecurityGroups/securityRules`.
    SecurityRule,
    /// Top-level type `Microsoft.Network/publicIPAddresses`.
    PublicIp,
    /// Top-level type `Microsoft.Network/networkInterfaces`.
    NetworkInterface,
    /// Top-level type `Microsoft.Network/routeTables`.
    RouteTable,
    /// Child type `routeTables/routes`.
    Route,
    /// Top-level type `Microsoft.Network/natGateways`.
    NatGateway,
    /// Top-level type `Microsoft.Compute/virtualMachines`.
    VirtualMachine,
    /// Top-level type `Microsoft.Compute/disks`.
    Disk,
    /// Top-level type `Microsoft.Compute/virtualMachineScaleSets`.
    ScaleSet,
    /// Child type `virtualMachineScaleSets/virtualMachines`: an instance.
    ScaleSetVm,
    /// Child type `networkInterfaces` of an instance.
    ScaleSetNic,
    /// Top-level type `Microsoft.ContainerService/managedClusters`.
    ManagedCluster,
    /// Child type `managedClusters/agentPools`.
    AgentPool,
}

/// Family of resource types with one protocol for etags and operations.
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

/// Every resource type, parents before their children.
pub(crate) const ALL_TYPES: [ArmResourceType; 17] = [
    ArmResourceType::VirtualNetwork,
    ArmResourceType::Subnet,
    ArmResourceType::Peering,
    ArmResourceType::SecurityGroup,
    ArmResourceType::SecurityRule,
    ArmResourceType::PublicIp,
    ArmResourceType::NetworkInterface,
    ArmResourceType::RouteTable,
    ArmResourceType::Route,
    ArmResourceType::NatGateway,
    ArmResourceType::VirtualMachine,
    ArmResourceType::Disk,
    ArmResourceType::ScaleSet,
    ArmResourceType::ScaleSetVm,
    ArmResourceType::ScaleSetNic,
    ArmResourceType::ManagedCluster,
    ArmResourceType::AgentPool,
];

const NETWORK: &str = "Microsoft.Network";
const COMPUTE: &str = "Microsoft.Compute";
const CONTAINERS: &str = "Microsoft.ContainerService";

/// Fixed properties of a resource type.
struct TypeFacts {
    /// Segments after the namespace, as the provider writes them.
    segments: &'static [&'static str],
    family: Family,
    /// Types that the parent shows inside itself, with the property that holds them.
    embedded: &'static [(ArmResourceType, &'static str)],
    /// Name of the operation that writes it, as the network provider's errors call it.
    put_operation: &'static str,
}

/// Returns the facts of a type without embedded children.
const fn facts(segments: &'static [&'static str], family: Family) -> TypeFacts {
    TypeFacts { segments, family, embedded: &[], put_operation: "PutNetworkSecurityGroupOperation" }
}

impl ArmResourceType {
    /// Returns the row of this type: the only `match` over all types in the store.
    const fn facts(self) -> TypeFacts {
        use Family::{Aks, Compute, Disk, Network};
        match self {
            Self::VirtualNetwork => TypeFacts {
                embedded: &[(Self::Subnet, "subnets"), (Self::Peering, "virtualNetworkPeerings")],
                put_operation: "PutVirtualNetworkOperation",
                ..facts(&["virtualNetworks"], Network)
            },
            Self::Subnet => {
                TypeFacts { put_operation: "PutSubnetOperation", ..facts(&["virtualNetworks", "subnets"], Network) }
            }
            Self::Peering => facts(&["virtualNetworks", "virtualNetworkPeerings"], Network),
            Self::SecurityGroup => TypeFacts {
                embedded: &[(Self::SecurityRule, "securityRules")],
                ..facts(&["networkSecurityGroups"], Network)
            },
            Self::SecurityRule => facts(&["networkSecurityGroups", "securityRules"], Network),
            Self::PublicIp => {
                TypeFacts { put_operation: "PutPublicIpAddressOperation", ..facts(&["publicIPAddresses"], Network) }
            }
            Self::NetworkInterface => facts(&["networkInterfaces"], Network),
            Self::RouteTable => TypeFacts {
                embedded: &[(Self::Route, "routes")],
                put_operation: "PutRouteTableOperation",
                ..facts(&["routeTables"], Network)
            },
            Self::Route => facts(&["routeTables", "routes"], Network),
            Self::NatGateway => facts(&["natGateways"], Network),
            Self::VirtualMachine => facts(&["virtualMachines"], Compute),
            Self::Disk => facts(&["disks"], Disk),
            Self::ScaleSet => facts(&["virtualMachineScaleSets"], Compute),
            Self::ScaleSetVm => facts(&["virtualMachineScaleSets", "virtualMachines"], Compute),
            Self::ScaleSetNic => facts(&["virtualMachineScaleSets", "virtualMachines", "networkInterfaces"], Compute),
            Self::ManagedCluster => {
                TypeFacts { embedded: &[(Self::AgentPool, "agentPoolProfiles")], ..facts(&["managedClusters"], Aks) }
            }
            Self::AgentPool => facts(&["managedClusters", "agentPools"], Aks),
        }
    }

    /// Returns the provider's namespace, such as `Microsoft.Network`.
    pub(crate) fn namespace(self) -> &'static str {
        match self.family() {
            Family::Network => NETWORK,
            Family::Compute | Family::Disk => COMPUTE,
            Family::Aks => CONTAINERS,
        }
    }

    /// Returns the type's segments after the namespace, as the provider writes them.
    pub(crate) fn types(self) -> &'static [&'static str] {
        self.facts().segments
    }

    /// Returns the family whose protocol the type follows.
    pub(crate) fn family(self) -> Family {
        self.facts().family
    }

    /// Returns the `type` member as recorded: AKS writes its own with a capital.
    pub(crate) fn type_name(self) -> String {
        match self {
            Self::ManagedCluster => format!("{CONTAINERS}/ManagedClusters"),
            _ => format!("{}/{}", self.namespace(), self.types().join("/")),
        }
    }

    /// True if the type is part of another one, by its number of segments.
    pub(crate) fn is_child(self) -> bool {
        self.types().len() > 1
    }

    /// Returns the types that the parent shows inside itself, with the property that holds them.
    pub(crate) fn embedded(self) -> &'static [(Self, &'static str)] {
        self.facts().embedded
    }

    /// Returns the name of the operation that writes the type, as the network provider's errors
    /// call it.
    pub(crate) fn put_operation(self) -> &'static str {
        self.facts().put_operation
    }

    /// Returns the type with these segments, compared without case as ARM does.
    pub(crate) fn find(namespace: &str, types: &[&str]) -> Option<Self> {
        ALL_TYPES.into_iter().find(|kind| {
            kind.namespace().eq_ignore_ascii_case(namespace)
                && kind.types().len() == types.len()
                && kind.types().iter().zip(types).all(|(own, other)| own.eq_ignore_ascii_case(other))
        })
    }
}
