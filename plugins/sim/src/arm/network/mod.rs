//! `Microsoft.Network`: virtual networks, addresses, NICs, route tables and security groups.

mod address;
mod effective;
mod nic;
mod public_ip;
mod references;
mod route;
mod security;
mod show;
mod vnet;

use crate::arm::error::ArmError;
use crate::arm::json::Object;
use crate::arm::kind::Kind;
use crate::arm::store::Arm;
use crate::arm::write::{Draft, Place};

pub(crate) use address::{check_address, first_free, usages, used_in};
pub(crate) use effective::effective_routes;
pub(crate) use nic::{nics_of, public_address};
pub(crate) use references::{check_unused, related};
pub(crate) use security::{default_rules, list_default_rules};
pub(crate) use show::computed;
pub(crate) use vnet::{prefixes_of, subnet_nets};

/// Checks what a network resource is to become and fills in what the provider fills in.
pub(crate) fn prepare(arm: &mut Arm, place: &Place, top: Object, properties: Object) -> Result<Draft, ArmError> {
    match place.kind {
        Kind::VirtualNetwork => vnet::prepare(arm, place, top, properties),
        Kind::Subnet => vnet::prepare_subnet(arm, place, properties),
        Kind::Peering => vnet::prepare_peering(arm, place, properties),
        Kind::SecurityGroup => security::prepare(place, top, properties),
        Kind::SecurityRule => security::prepare_rule(arm, place, properties),
        Kind::PublicIp => public_ip::prepare(arm, place, top, properties),
        Kind::NetworkInterface => nic::prepare(arm, place, top, properties),
        Kind::RouteTable => route::prepare(arm, place, top, properties),
        Kind::Route => route::prepare_route(arm, place, properties),
        Kind::NatGateway => public_ip::prepare_nat_gateway(arm, place, top, properties),
        Kind::VirtualMachine
        | Kind::Disk
        | Kind::ScaleSet
        | Kind::ScaleSetVm
        | Kind::ScaleSetNic
        | Kind::ManagedCluster
        | Kind::AgentPool => Err(ArmError::method_not_allowed("PUT")),
    }
}
