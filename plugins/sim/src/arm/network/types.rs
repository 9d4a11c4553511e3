use crate::arm::assemble;
use crate::arm::behaviour::{Behaviour, always_unused, no_references, none_of_delete, none_of_write, shows_nothing};
use crate::arm::network::{nic, public_ip, references, route, security, show, vnet};

/// Behaviour that most network resources share: an operation of 1.5 seconds to write, of 3 to
/// delete.
const PLAIN: Behaviour = Behaviour {
    prepare: None,
    show: shows_nothing,
    assemble: assemble::etag_first,
    instance_view: None,
    finish: none_of_write,
    after_delete: none_of_delete,
    references: no_references,
    check_unused: always_unused,
    is_synchronous: false,
    create_seconds: 1.5,
    delete_seconds: 3.0,
};

/// Behaviour of virtual networks.
pub(crate) const VIRTUAL_NETWORK: Behaviour = Behaviour {
    prepare: Some(|arm, target, top, properties| vnet::prepare(arm, target, top, properties)),
    references: references::of_network,
    check_unused: vnet::check_network_unused,
    ..PLAIN
};

/// Behaviour of subnets.
pub(crate) const SUBNET: Behaviour = Behaviour {
    prepare: Some(|arm, target, _, properties| vnet::prepare_subnet(arm, target, properties)),
    show: show::subnet,
    references: references::of_subnet,
    check_unused: vnet::check_subnet_unused,
    ..PLAIN
};

/// Behaviour of peerings of virtual networks.
pub(crate) const PEERING: Behaviour = Behaviour {
    prepare: Some(|arm, target, _, properties| vnet::prepare_peering(arm, target, properties)),
    show: show::peering,
    references: references::of_child,
    ..PLAIN
};

/// Behaviour of security groups.
pub(crate) const SECURITY_GROUP: Behaviour = Behaviour {
    prepare: Some(|_, target, top, properties| security::prepare(target, top, properties)),
    show: show::security_group,
    check_unused: references::check_security_group,
    ..PLAIN
};

/// Behaviour of security rules.
pub(crate) const SECURITY_RULE: Behaviour = Behaviour {
    prepare: Some(|arm, target, _, properties| security::prepare_rule(arm, target, properties)),
    references: references::of_child,
    ..PLAIN
};

/// Behaviour of public addresses.
pub(crate) const PUBLIC_IP: Behaviour = Behaviour {
    prepare: Some(|arm, target, top, properties| public_ip::prepare(arm, target, top, properties)),
    show: show::public_ip,
    check_unused: references::check_public_ip,
    ..PLAIN
};

/// Behaviour of NICs, whose writes finish immediately.
pub(crate) const NETWORK_INTERFACE: Behaviour = Behaviour {
    prepare: Some(nic::prepare),
    show: show::interface,
    assemble: assemble::network_interface,
    references: references::of_interface,
    check_unused: references::check_interface,
    is_synchronous: true,
    create_seconds: 0.0,
    ..PLAIN
};

/// Behaviour of route tables.
pub(crate) const ROUTE_TABLE: Behaviour = Behaviour {
    prepare: Some(|arm, target, top, properties| route::prepare(arm, target, top, properties)),
    show: show::route_table,
    check_unused: references::check_route_table,
    ..PLAIN
};

/// Behaviour of routes.
pub(crate) const ROUTE: Behaviour = Behaviour {
    prepare: Some(|arm, target, _, properties| route::prepare_route(arm, target, properties)),
    references: references::of_child,
    ..PLAIN
};

/// Behaviour of NAT gateways.
pub(crate) const NAT_GATEWAY: Behaviour = Behaviour {
    prepare: Some(|arm, target, top, properties| public_ip::prepare_nat_gateway(arm, target, top, properties)),
    show: show::nat_gateway,
    check_unused: references::check_nat_gateway,
    ..PLAIN
};
