//! Actions of the provider, one file each. A new action needs one line in each of the two lists
//! below.

mod forwarding_sync;
mod managed_cluster;
pub(crate) mod nat_gateway;
pub(crate) mod network_interface;
pub(crate) mod public_ip;
mod resource_group;
mod resources_check;
mod resources_delete;
pub(crate) mod route;
pub(crate) mod route_table;
mod routes_sync;
pub(crate) mod security_group;
mod security_rules;
mod subnet;
mod subnet_association;
mod subnet_delete;
mod subnet_inspect;
pub(crate) mod virtual_machine;
mod virtual_machine_delete;
pub(crate) mod virtual_network;
pub(crate) mod virtual_network_discover;

use stargate_sdk::Registry;

use crate::{arm_resource::ensure, client::ArmClient};

/// Adds the actions to `registry`. They share `arm`, and with it the token and the write locks.
pub(crate) fn add_actions(registry: &mut Registry, arm: &ArmClient) {
    registry.add(ensure::<forwarding_sync::ForwardingInput>(arm));
    registry.add(managed_cluster::ManagedCluster(arm.clone()));
    registry.add(ensure::<nat_gateway::NatGatewayInput>(arm));
    registry.add(ensure::<network_interface::NetworkInterfaceInput>(arm));
    registry.add(ensure::<public_ip::PublicIpInput>(arm));
    registry.add(ensure::<resource_group::ResourceGroupInput>(arm));
    registry.add(resources_check::ResourcesCheck(arm.clone()));
    registry.add(resources_delete::ResourcesDelete(arm.clone()));
    registry.add(ensure::<route::RouteInput>(arm));
    registry.add(ensure::<route_table::RouteTableInput>(arm));
    registry.add(ensure::<routes_sync::RoutesSyncInput>(arm));
    registry.add(ensure::<security_group::SecurityGroupInput>(arm));
    registry.add(ensure::<security_rules::SecurityRulesInput>(arm));
    registry.add(ensure::<subnet::SubnetInput>(arm));
    registry.add(ensure::<subnet_association::SubnetAssociationInput>(arm));
    registry.add(subnet_delete::SubnetDelete(arm.clone()));
    registry.add(subnet_inspect::SubnetInspect(arm.clone()));
    registry.add(ensure::<virtual_machine::VirtualMachineInput>(arm));
    registry.add(virtual_machine_delete::VirtualMachineDelete(arm.clone()));
    registry.add(ensure::<virtual_network::VirtualNetworkInput>(arm));
    registry.add(virtual_network_discover::VirtualNetworkDiscovery(arm.clone()));
}
