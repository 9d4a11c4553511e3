use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::Prefix;
use stargate_sdk::ActionError;

use crate::{
    actions::virtual_network_discover::SubnetView,
    client::{ClusterName, NetworkName, ResourceId},
    route_owner::name_part,
};

/// Names of the first cluster in a network.
const ROUTER_SUBNET: &str = "stargate-aks-router-subnet";
const ROUTER_TABLE: &str = "stargate-router-rt";
const NODE_TABLE: &str = "stargate-workers-rt";
/// Maximum length of a cluster's name in these names, which have 80 characters at most.
const MAX_CLUSTER_CHARS: usize = 52;

/// Names of the subnet and the route tables that a cluster's deployment has in the cluster's
/// network.
///
/// The first cluster in a network, and of the networks of a resource group, has the names of
/// earlier versions; those of further ones carry the cluster. Names in use do not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DeploymentNames {
    /// Name of the router's subnet.
    pub router_subnet: String,
    /// Name of the route table of the router's subnet.
    pub router_table: String,
    /// Name of the route table of the nodes' subnet.
    pub node_table: String,
}

/// Chooses the names for a cluster, whose router's subnet has the prefix `router_prefix`.
/// `foreign_tables` are the route tables of other networks in the resource group.
///
/// # Errors
/// `Permanent`, if Azure would refuse a name.
pub(crate) fn deployment_names(
    subnets: &[SubnetView],
    node_subnet: &SubnetView,
    foreign_tables: &[String],
    cluster: Option<&ClusterName>,
    router_prefix: Option<Prefix>,
) -> Result<DeploymentNames, ActionError> {
    let own = |suffix: &str| match cluster {
        None => Ok(None),
        Some(cluster) => {
            let name = format!("stargate-{}-{suffix}", name_part(cluster, MAX_CLUSTER_CHARS));
            NetworkName::parse(name)
                .map(|name| Some(name.to_string()))
                .map_err(|e| ActionError::permanent(e.to_string()))
        }
    };
    let has_prefix = |subnet: &&SubnetView| router_prefix.is_some() && subnet.prefix.parse().ok() == router_prefix;
    let actual = subnets.iter().find(has_prefix);
    let is_foreign = |name: &str| foreign_tables.iter().any(|table| table.eq_ignore_ascii_case(name));
    let others = || subnets.iter().filter(|subnet| Some(subnet.id.as_str()) != actual.map(|it| it.id.as_str()));

    let is_taken = router_prefix.is_some() && others().any(|subnet| subnet.name.eq_ignore_ascii_case(ROUTER_SUBNET));
    let router_subnet = choose(actual.map(|it| it.name.as_str()), ROUTER_SUBNET, own("router-subnet")?, is_taken);
    let is_taken = !router_subnet.eq_ignore_ascii_case(ROUTER_SUBNET)
        || is_foreign(ROUTER_TABLE)
        || others().any(|subnet| has_table(subnet, ROUTER_TABLE));
    let router_table = choose(actual.and_then(table_name).as_deref(), ROUTER_TABLE, own("router-rt")?, is_taken);
    let mut neighbours = others().filter(|subnet| subnet.id != node_subnet.id);
    let is_taken = is_foreign(NODE_TABLE) || neighbours.any(|subnet| has_table(subnet, NODE_TABLE));
    let node_table = choose(table_name(node_subnet).as_deref(), NODE_TABLE, own("workers-rt")?, is_taken);
    Ok(DeploymentNames { router_subnet, router_table, node_table })
}

/// The name in use if it is one of the two; else `first`, unless another cluster has taken it.
fn choose(actual: Option<&str>, first: &str, own: Option<String>, is_taken: bool) -> String {
    let Some(own) = own else { return first.to_owned() };
    match actual {
        Some(name) if name.eq_ignore_ascii_case(first) => first.to_owned(),
        Some(name) if name.eq_ignore_ascii_case(&own) => own,
        _ if is_taken => own,
        _ => first.to_owned(),
    }
}

/// True if the route table of a subnet has this name.
fn has_table(subnet: &SubnetView, name: &str) -> bool {
    table_name(subnet).is_some_and(|table| table.eq_ignore_ascii_case(name))
}

/// Name of the route table of a subnet; `None` without one.
fn table_name(subnet: &SubnetView) -> Option<String> {
    let id: ResourceId = subnet.route_table_id.as_ref()?.parse().ok()?;
    Some(id.name().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NETWORK: &str =
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network";

    fn subnet(name: &str, prefix: &str, table: Option<&str>) -> SubnetView {
        let mut view =
            json!({"name": name, "id": format!("{NETWORK}/virtualNetworks/v/subnets/{name}"), "prefix": prefix});
        if let Some(table) = table {
            view["route_table_id"] = json!(format!("{NETWORK}/routeTables/{table}"));
        }
        serde_json::from_value(view).expect("a subnet")
    }

    /// Names of cluster `b`, whose nodes are in the first of the subnets.
    fn names(subnets: &[SubnetView]) -> [String; 3] {
        names_beside(&[], subnets)
    }

    /// The same beside route tables of other networks.
    fn names_beside(tables: &[&str], subnets: &[SubnetView]) -> [String; 3] {
        let tables: Vec<_> = tables.iter().map(|table| (*table).to_owned()).collect();
        let cluster = ClusterName::parse("b").expect("a name");
        let prefix = "10.230.0.0/24".parse().expect("a prefix");
        let names = deployment_names(subnets, &subnets[0], &tables, Some(&cluster), Some(prefix)).expect("names");
        [names.router_subnet, names.router_table, names.node_table]
    }

    const FIRST: [&str; 3] = [ROUTER_SUBNET, ROUTER_TABLE, NODE_TABLE];
    const OWN: [&str; 3] = ["stargate-b-router-subnet", "stargate-b-router-rt", "stargate-b-workers-rt"];

    #[test]
    fn the_first_cluster_keeps_the_names_of_earlier_versions() {
        let nodes = || subnet("nodes", "10.224.0.0/16", None);
        assert_eq!(names(&[nodes()]), FIRST);
        assert_eq!(names(&[nodes(), subnet(ROUTER_SUBNET, "10.230.0.0/24", None)]), FIRST);
        let nodes = subnet("nodes", "10.224.0.0/16", Some(NODE_TABLE));
        assert_eq!(names(&[nodes, subnet(ROUTER_SUBNET, "10.230.0.0/24", Some(ROUTER_TABLE))]), FIRST);
        // A second cluster has come since.
        let nodes = subnet("nodes", "10.224.0.0/16", Some(NODE_TABLE));
        let own = subnet(ROUTER_SUBNET, "10.230.0.0/24", Some(ROUTER_TABLE));
        let other = subnet("stargate-a-router-subnet", "10.231.0.0/24", Some("stargate-a-router-rt"));
        assert_eq!(names(&[nodes, own, other]), FIRST);
    }

    #[test]
    fn names_of_a_second_cluster_carry_it() {
        let others = || {
            let nodes = subnet("nodes-a", "10.225.0.0/16", Some(NODE_TABLE));
            [nodes, subnet(ROUTER_SUBNET, "10.229.7.0/24", Some(ROUTER_TABLE))]
        };
        let nodes = |table| subnet("nodes", "10.224.0.0/16", table);
        let with = |own: Vec<SubnetView>| own.into_iter().chain(others()).collect::<Vec<_>>();
        assert_eq!(names(&with(vec![nodes(None)])), OWN);
        let partly = vec![nodes(None), subnet(OWN[0], "10.230.0.0/24", None)];
        assert_eq!(names(&with(partly)), OWN);
        let whole = vec![nodes(Some(OWN[2])), subnet(OWN[0], "10.230.0.0/24", Some(OWN[1]))];
        assert_eq!(names(&with(whole.clone())), OWN);
        assert_eq!(names(&whole), OWN, "the first cluster is gone");
    }

    #[test]
    fn tables_of_another_network_in_the_resource_group_are_taken() {
        let nodes = subnet("nodes", "10.224.0.0/16", None);
        let tables = ["Stargate-Router-rt", NODE_TABLE];
        assert_eq!(names_beside(&tables, std::slice::from_ref(&nodes)), [ROUTER_SUBNET, OWN[1], OWN[2]]);
        // An earlier version has shared the table.
        let shared = subnet(ROUTER_SUBNET, "10.230.0.0/24", Some(ROUTER_TABLE));
        assert_eq!(names_beside(&tables, &[nodes, shared]), [ROUTER_SUBNET, ROUTER_TABLE, OWN[2]]);
    }

    #[test]
    fn a_subnet_of_another_party_is_not_adopted() {
        let company = subnet("corp", "10.230.0.0/24", Some("corp-rt"));
        assert_eq!(names(&[subnet("nodes", "10.224.0.0/16", Some("corp-rt")), company]), FIRST);
    }
}
