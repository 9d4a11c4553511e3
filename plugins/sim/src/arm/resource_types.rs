use crate::arm::behaviour::Behaviour;
use crate::arm::store::ArmResourceType;
use crate::arm::{aks, compute, network};

/// Returns the behaviour of a resource type.
///
/// A new type is a variant of [`ArmResourceType`], its row there, a constant in the folder of its
/// provider, and a line here.
pub(crate) fn behaviour(kind: ArmResourceType) -> &'static Behaviour {
    match kind {
        ArmResourceType::VirtualNetwork => &network::VIRTUAL_NETWORK,
        ArmResourceType::Subnet => &network::SUBNET,
        ArmResourceType::Peering => &network::PEERING,
        ArmResourceType::SecurityGroup => &network::SECURITY_GROUP,
        ArmResourceType::SecurityRule => &network::SECURITY_RULE,
        ArmResourceType::PublicIp => &network::PUBLIC_IP,
        ArmResourceType::NetworkInterface => &network::NETWORK_INTERFACE,
        ArmResourceType::RouteTable => &network::ROUTE_TABLE,
        ArmResourceType::Route => &network::ROUTE,
        ArmResourceType::NatGateway => &network::NAT_GATEWAY,
        ArmResourceType::VirtualMachine => &compute::VIRTUAL_MACHINE,
        ArmResourceType::Disk => &compute::DISK,
        ArmResourceType::ScaleSet => &compute::SCALE_SET,
        ArmResourceType::ScaleSetVm => &compute::SCALE_SET_VM,
        ArmResourceType::ScaleSetNic => &compute::SCALE_SET_NIC,
        ArmResourceType::ManagedCluster => &aks::MANAGED_CLUSTER,
        ArmResourceType::AgentPool => &aks::AGENT_POOL,
    }
}
