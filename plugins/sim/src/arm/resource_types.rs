use crate::arm::behaviour::Behaviour;
use crate::arm::store::ResourceType;
use crate::arm::{aks, compute, network};

/// Returns the behaviour of a resource type.
///
/// A new type is a variant of [`ResourceType`], its row there, a constant in the folder of its provider, and a line here.
pub(crate) fn behaviour(kind: ResourceType) -> &'static Behaviour {
    match kind {
        ResourceType::VirtualNetwork => &network::VIRTUAL_NETWORK,
        ResourceType::Subnet => &network::SUBNET,
        ResourceType::Peering => &network::PEERING,
        ResourceType::SecurityGroup => &network::SECURITY_GROUP,
        ResourceType::SecurityRule => &network::SECURITY_RULE,
        ResourceType::PublicIp => &network::PUBLIC_IP,
        ResourceType::NetworkInterface => &network::NETWORK_INTERFACE,
        ResourceType::RouteTable => &network::ROUTE_TABLE,
        ResourceType::Route => &network::ROUTE,
        ResourceType::NatGateway => &network::NAT_GATEWAY,
        ResourceType::VirtualMachine => &compute::VIRTUAL_MACHINE,
        ResourceType::Disk => &compute::DISK,
        ResourceType::ScaleSet => &compute::SCALE_SET,
        ResourceType::ScaleSetVm => &compute::SCALE_SET_VM,
        ResourceType::ScaleSetNic => &compute::SCALE_SET_NIC,
        ResourceType::ManagedCluster => &aks::MANAGED_CLUSTER,
        ResourceType::AgentPool => &aks::AGENT_POOL,
    }
}
