use stargate_sdk::{Ensure, Registry};

use crate::{
    ArmClient, ArmSettings, SettingsError,
    checks::{Clock, Credential, Permissions, Subscription},
    forwarding_sync::ForwardingSync,
    managed_cluster::ManagedCluster,
    nat_gateway::NatGateway,
    network::VirtualNetwork,
    network_interface::NetworkInterface,
    public_ip::PublicIp,
    resource_group::ResourceGroup,
    route::Route,
    route_table::RouteTable,
    routes_sync::RoutesSync,
    security_group::SecurityGroup,
    subnet::Subnet,
    subnet_association::SubnetAssociation,
    virtual_machine::VirtualMachine,
    virtual_machine_delete::VirtualMachineDelete,
    virtual_network::VirtualNetworkDiscovery,
};

/// Adds every `azure.…` action and check to `registry`. Nothing is called yet; tokens are obtained at the first call.
///
/// The actions share one client, so that writes to one network or route table go one after the other.
pub fn register(registry: &mut Registry, settings: ArmSettings) -> Result<(), SettingsError> {
    let arm = ArmClient::new(settings)?;
    registry.add_check(Credential(arm.clone()));
    registry.add_check(Subscription(arm.clone()));
    registry.add_check(Clock(arm.clone()));
    registry.add_check(Permissions(arm.clone()));
    registry.add(ManagedCluster(arm.clone()));
    registry.add(VirtualNetworkDiscovery(arm.clone()));
    registry.add(Ensure(ResourceGroup(arm.clone())));
    registry.add(Ensure(VirtualNetwork(arm.clone())));
    registry.add(Ensure(SecurityGroup(arm.clone())));
    registry.add(Ensure(NatGateway(arm.clone())));
    registry.add(Ensure(Subnet(arm.clone())));
    registry.add(Ensure(PublicIp(arm.clone())));
    registry.add(Ensure(NetworkInterface(arm.clone())));
    registry.add(Ensure(ForwardingSync(arm.clone())));
    registry.add(Ensure(VirtualMachine(arm.clone())));
    registry.add(VirtualMachineDelete(arm.clone()));
    registry.add(Ensure(RouteTable(arm.clone())));
    registry.add(Ensure(Route(arm.clone())));
    registry.add(Ensure(RoutesSync(arm.clone())));
    registry.add(Ensure(SubnetAssociation(arm)));
    Ok(())
}
