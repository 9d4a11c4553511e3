//! Routes that win over desired ones because they are narrower.

use ipnet::Ipv4Net;

use super::inspected::{RouteEntry, SubnetFacts, TableFacts};
use crate::{conflict::Conflict, desired::CloudRoute};

/// Finds the routes of a subnet that take packets from the desired routes of its table: of all
/// routes that match a packet, Azure uses that with the longest prefix.
pub(super) fn narrower(subnet: &SubnetFacts, desired: &[CloudRoute]) -> Vec<Conflict> {
    let tables = subnet.route_table.iter().flat_map(|table| table.routes.iter().map(move |route| (table, route)));
    let user = tables.filter_map(|(table, route)| Some(route_conflict(table, route, losing(route, desired)?)));
    let system = subnet.network.iter().filter_map(|text| text.parse().ok());
    let system = system.filter_map(|prefix: Ipv4Net| Some(network_conflict(subnet, prefix, outer(prefix, desired)?)));
    user.chain(system).collect()
}

/// The desired route that loses packets to `route`. Managed routes of the cluster are left out:
/// those that are no longer desired are pruned.
fn losing<'a>(route: &RouteEntry, desired: &'a [CloudRoute]) -> Option<&'a CloudRoute> {
    let prefix = route.destination().filter(|_| !route.managed)?;
    outer(prefix, desired).filter(|desired| !route.is_via(desired.next_hop_ip))
}

/// The narrowest desired route that contains `prefix` and is not for the same one.
fn outer(prefix: Ipv4Net, desired: &[CloudRoute]) -> Option<&CloudRoute> {
    if desired.iter().any(|route| route.prefix == prefix) {
        return None;
    }
    let containing = desired.iter().filter(|route| route.prefix.contains(&prefix));
    containing.max_by_key(|route| route.prefix.prefix_len())
}

fn route_conflict(table: &TableFacts, route: &RouteEntry, desired: &CloudRoute) -> Conflict {
    let hop = route.next_hop_ip.as_ref().unwrap_or(&route.next_hop_type);
    let (group, name, table) = (&table.resource_group, &route.name, &table.name);
    let owner = route.other_cluster.as_ref().map(|cluster| format!(" of cluster {cluster}")).unwrap_or_default();
    let message = format!(
        "route {name}{owner} of route table {table} sends {} to {hop}: it is narrower than {}, which goes to {}",
        route.prefix, desired.prefix, desired.next_hop_ip
    );
    let hint = match &route.other_cluster {
        Some(cluster) => format!(
            "the deployments of both clusters use {}: give the site of one of them other prefixes; if cluster {cluster} \
             does not exist any more, {}",
            route.prefix,
            delete_command(group, table, name)
        ),
        None => delete_command(group, table, name),
    };
    Conflict::new(message, hint)
}

fn delete_command(group: &str, table: &str, name: &str) -> String {
    format!("az network route-table route delete --resource-group {group} --route-table-name {table} --name {name}")
}

fn network_conflict(subnet: &SubnetFacts, prefix: Ipv4Net, desired: &CloudRoute) -> Conflict {
    Conflict::new(
        format!(
            "the network of subnet {}, or a peered one, has {prefix}: it is narrower than {}, which goes to {}",
            subnet.name, desired.prefix, desired.next_hop_ip
        ),
        "use other prefixes in that network, or another site pod CIDR",
    )
}
