use std::net::IpAddr;

use sha2::{Digest, Sha256};
use stargate_client::Prefix;
use stargate_sdk::ActionError;

use crate::{
    actions::route::{default_name, prefix},
    client::{ArmObject, ClusterName, NetworkName},
};

/// Start of the names of managed routes.
const MANAGED_PREFIX: &str = "stargate-";
/// Maximum length of a cluster's name in the name of a route, which has 80 characters at most.
const MAX_CLUSTER_CHARS: usize = 52;

/// Cluster whose routes a table has, next to those of other clusters and of other parties.
///
/// Names of managed routes carry the cluster. Those of earlier versions did not: such a route is
/// the cluster's if its next hop is in a subnet of the cluster.
pub(crate) struct RouteOwner<'a> {
    pub(crate) cluster: Option<&'a ClusterName>,
    /// Prefixes of the next hops; `None` for any.
    pub(crate) next_hops: Option<&'a [Prefix]>,
}

impl RouteOwner<'_> {
    /// Name of the cluster's route for a prefix.
    ///
    /// # Errors
    /// `Permanent`, if Azure would refuse the name.
    pub(crate) fn name(&self, prefix: Prefix) -> Result<NetworkName, ActionError> {
        let Some(cluster) = self.cluster else { return default_name(prefix) };
        let name = format!("{MANAGED_PREFIX}{}-{}", name_part(cluster, MAX_CLUSTER_CHARS), prefix.name_part());
        NetworkName::parse(name).map_err(|e| ActionError::permanent(e.to_string()))
    }

    /// True if a route is the cluster's, under a present or an earlier name.
    pub(crate) fn owns(&self, route: &ArmObject) -> bool {
        self.has_present_name(route) || self.has_earlier_name(route)
    }

    /// True if a route is the cluster's and has a name of an earlier version.
    pub(crate) fn has_earlier_name(&self, route: &ArmObject) -> bool {
        let is_for_prefix = |rest: &str| rest.bytes().all(|b| b.is_ascii_digit() || b".-".contains(&b));
        let is_earlier = |rest: &str| self.cluster.is_none() || is_for_prefix(rest);
        rest_of_name(route).is_some_and(is_earlier) && !self.has_present_name(route) && self.has_own_next_hop(route)
    }

    /// True if the name of a route is the one that the cluster's route for its prefix has.
    fn has_present_name(&self, route: &ArmObject) -> bool {
        let name = prefix(route).filter(|_| self.cluster.is_some()).and_then(|prefix| self.name(prefix).ok());
        name.is_some_and(|name| name.as_str().eq_ignore_ascii_case(route.name()))
    }

    fn has_own_next_hop(&self, route: &ArmObject) -> bool {
        let Some(subnets) = self.next_hops else { return true };
        let hop: Option<IpAddr> = route.text("/properties/nextHopIpAddress").and_then(|hop| hop.parse().ok());
        hop.is_some_and(|hop| subnets.iter().any(|subnet| subnet.contains_address(hop)))
    }
}

/// True if the name of a route is that of a managed route of any cluster.
pub(crate) fn has_managed_name(route: &ArmObject) -> bool {
    rest_of_name(route).is_some()
}

/// Cluster in the name of a managed route; `None` for other routes and for names of earlier
/// versions.
pub(crate) fn cluster_in_name(route: &ArmObject) -> Option<&str> {
    let of_prefix = format!("-{}", prefix(route)?.name_part());
    rest_of_name(route)?.strip_suffix(&of_prefix).filter(|cluster| !cluster.is_empty())
}

/// Name of a route without the start of managed names, in any case; `None` for other names.
fn rest_of_name(route: &ArmObject) -> Option<&str> {
    let (start, rest) = route.name().split_at_checked(MANAGED_PREFIX.len())?;
    start.eq_ignore_ascii_case(MANAGED_PREFIX).then_some(rest)
}

/// The name of a cluster, or its start with a digest if it is longer than `max` characters.
pub(crate) fn name_part(cluster: &ClusterName, max: usize) -> String {
    let cluster = cluster.as_str();
    if cluster.len() <= max {
        return cluster.to_owned();
    }
    let digest = Sha256::digest(cluster.as_bytes());
    let start: String = cluster.chars().take(max - 9).collect();
    format!("{start}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actions::route::ROUTE;

    fn route(name: &str, prefix: &str, hop: &str) -> ArmObject {
        let id = format!(
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Network/routeTables/t/routes/{name}"
        );
        let properties = json!({"addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop});
        ArmObject::part(&json!({"id": id, "name": name, "properties": properties}), ROUTE).expect("a route")
    }

    /// Ownership of a route by a cluster: under a present name, or under an earlier one.
    fn owned(cluster: &str, name: &str, hop: &str) -> (bool, bool) {
        let cluster = ClusterName::parse(cluster).expect("a name");
        let subnets = ["10.237.0.0/24".parse().expect("a prefix")];
        let owner = RouteOwner { cluster: Some(&cluster), next_hops: Some(&subnets) };
        let route = route(name, "10.50.0.0/16", hop);
        (owner.owns(&route), owner.has_earlier_name(&route))
    }

    #[test]
    fn a_route_is_owned_by_the_cluster_in_its_name() {
        assert_eq!(owned("a", "stargate-a-10.50.0.0-16", "10.9.9.9"), (true, false));
        assert_eq!(owned("a", "Stargate-A-10.50.0.0-16", "10.9.9.9"), (true, false), "Azure compares without case");
        assert_eq!(owned("a", "stargate-b-10.50.0.0-16", "10.237.0.4"), (false, false), "of another cluster");
        assert_eq!(owned("x", "stargate-x-y-10.50.0.0-16", "10.237.0.4"), (false, false), "its name starts likewise");
        assert_eq!(owned("a", "stargate-a-10.51.0.0-16", "10.9.9.9"), (false, false), "named for another prefix");
        assert_eq!(owned("a", "corp-10.50.0.0-16", "10.237.0.4"), (false, false));
        assert_eq!(owned("a", "x", "10.237.0.4"), (false, false));
    }

    #[test]
    fn an_earlier_name_is_owned_with_a_next_hop_of_the_cluster() {
        assert_eq!(owned("stargate-aks", "stargate-10.50.0.0-16", "10.237.0.4"), (true, true));
        assert_eq!(owned("stargate-aks", "stargate-10.50.0.0-16", "10.238.0.4"), (false, false));
    }

    #[test]
    fn the_cluster_of_a_managed_route_is_in_its_name() {
        let of = |name: &str| cluster_in_name(&route(name, "10.50.0.0/16", "10.9.9.9")).map(str::to_owned);
        assert_eq!(of("stargate-a-b-10.50.0.0-16").as_deref(), Some("a-b"));
        for name in ["stargate-10.50.0.0-16", "stargate-a-10.51.0.0-16", "corp-a-10.50.0.0-16"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn a_long_name_of_a_cluster_fits() {
        let prefix: Prefix = "255.255.255.252/30".parse().expect("a prefix");
        let name = |cluster: &str| {
            let cluster = ClusterName::parse(cluster).expect("a name");
            RouteOwner { cluster: Some(&cluster), next_hops: None }.name(prefix).expect("a name").to_string()
        };
        let long = "c".repeat(62);
        assert_ne!(name(&format!("{long}1")), name(&format!("{long}2")));
        assert!(name(&long).len() <= 80);
    }
}
