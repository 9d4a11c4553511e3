//! `Microsoft.Network`: virtual networks, addresses, NICs, route tables and security groups.

mod address;
mod attachments;
mod effective;
mod nic;
mod prefixes;
mod public_ip;
mod references;
mod route;
mod security;
mod show;
mod types;
mod vnet;

pub(crate) use address::{check_address, first_free, usages, used_in};
pub(crate) use attachments::{nics_of, public_address};
pub(crate) use effective::effective_routes;
pub(crate) use prefixes::{prefixes_of, subnet_nets};
pub(crate) use security::{default_rules, list_default_rules};
pub(crate) use show::add_part_ids;
pub(crate) use types::{
    NAT_GATEWAY, NETWORK_INTERFACE, PEERING, PUBLIC_IP, ROUTE, ROUTE_TABLE, SECURITY_GROUP, SECURITY_RULE, SUBNET,
    VIRTUAL_NETWORK,
};
