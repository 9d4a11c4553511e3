use std::{collections::BTreeMap, net::Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_kubernetes_client::{
    KubeClient, SERVERS, SITES,
    json::{name, text},
};
use stargate_sdk::{ActionContext, ActionError};

use crate::inventory::{AdvertisedUnit, STRATEGY_ANNOTATION, aks_site_object};

const REGISTER_HINT: &str = "run `provision-aks-router` and `provision-dc`, which register sites and their machines";

/// Annotation of a `Site` object whose site is being removed.
const LEAVING_ANNOTATION: &str = "stargate.io/leaving";

/// Registered sites and machines, by name.
///
/// Each site has its router, and each machine its site. Objects of which this is not true are
/// separate, so that one of them does not stop the work for the others: an interrupted run can
/// register a site and not yet its router.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    /// Specs of the `Site` objects.
    pub(crate) sites: BTreeMap<String, SiteSpec>,
    /// Specs of the `Server` objects.
    pub(crate) servers: BTreeMap<String, ServerSpec>,
    /// Recorded strategy of the deployment.
    pub(crate) strategy: AdvertisedUnit,
    /// Objects that are incomplete, unreadable or refer to a missing one.
    pub(crate) invalid: Vec<InvalidObject>,
    /// Names of the sites that are being removed. They and their machines are in no other field: no
    /// route leads to them.
    pub(crate) leaving: Vec<String>,
    /// Node ids of the routers of these sites, which are devices of the tailnet until they are
    /// deleted.
    pub(crate) leaving_devices: Vec<String>,
}

/// `Site` or `Server` object that cannot be used.
#[derive(Debug, Clone)]
pub(crate) struct InvalidObject {
    /// Kind of the object.
    pub(crate) kind: &'static str,
    /// Name of the object.
    pub(crate) name: String,
    /// Reason for which it cannot be used.
    pub(crate) reason: String,
}

impl InvalidObject {
    fn error(&self) -> ActionError {
        object_error(self.kind, &self.name, &self.reason)
    }

    /// Error of an object that cannot be used, with the other ones: each can be the cause.
    fn error_with(&self, all: &[Self]) -> ActionError {
        let others = all.iter().filter(|other| (other.kind, &other.name) != (self.kind, &self.name));
        let others = others.map(|other| format!("; {} {:?}: {}", other.kind, other.name, other.reason));
        object_error(self.kind, &self.name, &format!("{}{}", self.reason, others.collect::<String>()))
    }
}

/// Type of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SiteType {
    /// Network of the cluster.
    Aks,
    /// Network of a datacenter.
    Datacenter,
}

/// Network between the machines of a datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FabricType {
    /// An Azure virtual network.
    #[default]
    Azure,
    /// One Ethernet segment, on which the machines' kernels have the routes.
    L2,
}

/// `spec` of a `Site` object.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SiteSpec {
    /// Type of the site.
    #[serde(rename = "type")]
    pub(crate) kind: SiteType,
    /// Subnet of the router, and of the workers.
    pub(crate) subnet: Prefix,
    /// Address space of the virtual network; empty on a segment.
    #[serde(default)]
    pub(crate) virtual_network: Vec<Prefix>,
    /// Prefixes of datacenters behind the cluster's router that are not registered as sites.
    #[serde(default)]
    pub(crate) datacenter_prefixes: Vec<Prefix>,
    /// Site pod CIDR; each datacenter has one.
    #[serde(default)]
    pub(crate) pod_block: Option<Prefix>,
    /// Network between the machines.
    #[serde(default)]
    pub(crate) fabric: FabricType,
    /// Name of the router's `Server` object.
    pub(crate) router: String,
    /// Resources in Azure; each datacenter in Azure has them.
    #[serde(default)]
    pub(crate) azure: Option<AzureSiteNames>,
}

/// Names of a site's resources in Azure.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AzureSiteNames {
    /// Name of the resource group of all of them.
    pub(crate) resource_group: String,
    /// Azure region, such as `westeurope`.
    pub(crate) location: String,
    /// Name of the virtual network.
    pub(crate) virtual_network: String,
    /// Name of the subnet of router and workers.
    pub(crate) subnet: String,
    /// Name of the route table of the subnet.
    pub(crate) route_table: String,
}

/// Role of a registered machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MachineRole {
    /// The machine forwards packets between its site and the tailnet.
    Router,
    /// The machine joins the cluster as a node.
    Worker,
}

/// `spec` of a `Server` object.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServerSpec {
    /// Name of the machine's site.
    pub(crate) site: String,
    /// Role of the machine.
    pub(crate) role: MachineRole,
    /// Address in the subnet of the site.
    pub(crate) ip: Ipv4Addr,
    /// Pod CIDR; each worker has one.
    #[serde(default, rename = "podCIDR")]
    pub(crate) pod_cidr: Option<Prefix>,
    /// Address in the tailnet; each router has one.
    #[serde(default, rename = "tailscaleIP")]
    pub(crate) tailscale_ip: Option<Ipv4Addr>,
    /// Node id in the tailnet; each router has one.
    #[serde(default, rename = "nodeID")]
    pub(crate) node_id: Option<String>,
    /// SSH access to the machine.
    pub(crate) ssh: SshLogin,
}

/// SSH access to a machine, without a jump host.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SshLogin {
    /// Address or name of the machine.
    pub(crate) address: String,
    /// Name of the account.
    pub(crate) user: String,
    /// Public key of the machine: type and base64, as in `known_hosts`.
    pub(crate) host_key: String,
    /// TCP port; `None` for 22.
    #[serde(default)]
    pub(crate) port: Option<u16>,
}

impl SiteSpec {
    /// Returns the reason for which the site is incomplete.
    fn missing(&self, name: &str, servers: &BTreeMap<String, ServerSpec>) -> Option<String> {
        let router = servers.get(&self.router);
        let is_datacenter = self.kind == SiteType::Datacenter;
        if !router.is_some_and(|router| router.role == MachineRole::Router && router.site == *name) {
            Some(format!("{:?} is not a registered router of the site", self.router))
        } else if is_datacenter && self.pod_block.is_none() {
            Some("spec.podBlock is missing".into())
        } else if is_datacenter && self.fabric == FabricType::Azure && self.azure.is_none() {
            Some("spec.azure is missing, and its fabric is azure".into())
        } else {
            None
        }
    }
}

impl Inventory {
    /// Reads all `Site` and `Server` objects, and checks the references between them.
    ///
    /// # Errors
    /// `Permanent` if two sites are of type `aks`.
    pub(crate) async fn read(api: &KubeClient, cx: &ActionContext) -> Result<Self, ActionError> {
        let sites = api.list(cx, &SITES, None, None).await?.unwrap_or_default();
        let servers = api.list(cx, &SERVERS, None, None).await?.unwrap_or_default();
        Self::parse(&sites, &servers)
    }

    fn parse(sites: &[Value], servers: &[Value]) -> Result<Self, ActionError> {
        let strategy = AdvertisedUnit::recorded(sites).map_err(|word| strategy_error(sites, word))?;
        let (leaving, sites): (Vec<_>, Vec<_>) = sites.iter().partition(|site| is_leaving(site));
        let leaving: Vec<String> = leaving.into_iter().map(|site| name(site).to_owned()).collect();
        let is_left = |server: &&Value| leaving.iter().any(|site| server["spec"]["site"] == site.as_str());
        let (left, servers): (Vec<_>, Vec<_>) = servers.iter().partition(is_left);
        let node_ids = left.into_iter().filter_map(|server| text(server, "/spec/nodeID"));
        let leaving_devices = node_ids.map(str::to_owned).collect();
        let mut invalid = vec![];
        let sites = specs("Site", sites, &mut invalid);
        let servers = specs("Server", servers, &mut invalid);
        let mut inventory = Self { sites, servers, strategy, invalid, leaving, leaving_devices };
        inventory.reject_servers();
        inventory.reject_sites();
        inventory.check_aks()?;
        Ok(inventory)
    }

    /// Moves the servers that lack a field or a site to the invalid objects.
    fn reject_servers(&mut self) {
        let Self { sites, servers, invalid, .. } = self;
        let is_site = |name: &str, invalid: &[InvalidObject]| {
            sites.contains_key(name) || invalid.iter().any(|object| object.kind == "Site" && object.name == name)
        };
        servers.retain(|name, server| {
            let missing = match server.role {
                _ if !is_site(&server.site, invalid) => format!("its site {:?} is not registered", server.site),
                MachineRole::Worker if server.pod_cidr.is_none() => "spec.podCIDR is missing".into(),
                MachineRole::Router if server.tailscale_ip.is_none() => "spec.tailscaleIP is missing".into(),
                MachineRole::Router if server.node_id.is_none() => "spec.nodeID is missing".into(),
                MachineRole::Worker | MachineRole::Router => return true,
            };
            invalid.push(InvalidObject { kind: "Server", name: name.clone(), reason: missing });
            false
        });
    }

    /// Moves the sites without a router or a field to the invalid objects, and forgets their
    /// servers.
    fn reject_sites(&mut self) {
        let Self { sites, servers, invalid, .. } = self;
        sites.retain(|name, site| {
            let Some(reason) = site.missing(name, servers) else { return true };
            invalid.push(InvalidObject { kind: "Site", name: name.clone(), reason });
            false
        });
        servers.retain(|_, server| sites.contains_key(&server.site));
    }

    /// Refuses a second site of type `aks`: either could be the cluster's.
    fn check_aks(&self) -> Result<(), ActionError> {
        let own: Vec<&str> = self.of_type(SiteType::Aks).map(|(name, _)| name.as_str()).collect();
        match own.as_slice() {
            [_, second, ..] => Err(object_error("Site", second, "there is another site of type aks")),
            _ => Ok(()),
        }
    }

    /// Requires that each object is valid.
    ///
    /// # Errors
    /// `Permanent` for the first invalid object.
    pub(crate) fn check_complete(&self) -> Result<(), ActionError> {
        self.invalid.first().map_or(Ok(()), |object| Err(object.error()))
    }

    /// Requires that the machine is not an invalid object.
    ///
    /// # Errors
    /// `Permanent` with the reason.
    pub(crate) fn check_server(&self, name: &str) -> Result<(), ActionError> {
        let invalid = self.invalid.iter().find(|object| object.kind == "Server" && object.name == name);
        invalid.map_or(Ok(()), |object| Err(object.error()))
    }

    /// The sites of a type, sorted by name.
    pub(crate) fn of_type(&self, kind: SiteType) -> impl Iterator<Item = (&String, &SiteSpec)> {
        self.sites.iter().filter(move |(_, site)| site.kind == kind)
    }

    /// The site of the cluster.
    ///
    /// # Errors
    /// `Permanent` if it is not registered.
    pub(crate) fn aks(&self) -> Result<(&String, &SiteSpec), ActionError> {
        let missing = || {
            let invalid = self.invalid.iter().find(|object| object.kind == "Site");
            invalid.map_or_else(
                || ActionError::permanent("no site of type aks is registered in the cluster").with_hint(REGISTER_HINT),
                |site| site.error_with(&self.invalid),
            )
        };
        self.of_type(SiteType::Aks).next().ok_or_else(missing)
    }

    /// The workers of a site, sorted by name.
    pub(crate) fn workers<'a>(&'a self, site: &'a str) -> impl Iterator<Item = (&'a String, &'a ServerSpec)> {
        self.servers.iter().filter(move |(_, server)| server.role == MachineRole::Worker && server.site == site)
    }

    /// Names of all workers, sorted.
    pub(crate) fn worker_names(&self) -> impl Iterator<Item = &String> {
        self.servers.iter().filter(|(_, server)| server.role == MachineRole::Worker).map(|(name, _)| name)
    }

    /// The router of a site, with its name.
    pub(crate) fn router(&self, site: &SiteSpec) -> (&String, &ServerSpec) {
        self.servers.get_key_value(&site.router).expect("a site without its router is invalid")
    }

    /// The machine of a name.
    ///
    /// # Errors
    /// `Permanent` if it is not registered, or invalid.
    pub(crate) fn server(&self, name: &str) -> Result<&ServerSpec, ActionError> {
        let missing = || {
            ActionError::permanent(format!("Server {name:?} is not registered in the cluster")).with_hint(REGISTER_HINT)
        };
        self.check_server(name)?;
        self.servers.get(name).ok_or_else(missing)
    }
}

/// Reads the specs of all objects of a kind. Objects whose spec cannot be read are `invalid`.
fn specs<'a, T: for<'de> Deserialize<'de>>(
    kind: &'static str,
    objects: impl IntoIterator<Item = &'a Value>,
    invalid: &mut Vec<InvalidObject>,
) -> BTreeMap<String, T> {
    let mut specs = BTreeMap::new();
    for object in objects {
        let name = name(object).to_owned();
        match T::deserialize(&object["spec"]) {
            Ok(spec) => drop(specs.insert(name, spec)),
            Err(error) => invalid.push(InvalidObject { kind, name, reason: format!("spec: {error}") }),
        }
    }
    specs
}

/// True if a `Site` object is marked as being removed.
fn is_leaving(site: &Value) -> bool {
    site["metadata"]["annotations"][LEAVING_ANNOTATION] == "true"
}

fn strategy_error(sites: &[Value], word: &str) -> ActionError {
    let site = aks_site_object(sites).map(name).unwrap_or_default();
    ActionError::permanent(format!("Site {site:?} of the cluster: annotation {STRATEGY_ANNOTATION} is {word:?}"))
        .with_hint(format!(
            "`kubectl annotate --overwrite sites {site} {STRATEGY_ANNOTATION}=per_site` corrects it, or per_node"
        ))
}

fn object_error(kind: &str, name: &str, reason: &str) -> ActionError {
    ActionError::permanent(format!("{kind} {name:?} of the cluster: {reason}"))
        .with_hint(format!("`kubectl get {}s {name} -o yaml` shows it; {REGISTER_HINT}", kind.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, spec: &Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn router(site: &str) -> Value {
        json!({"site": site, "role": "router", "ip": "10.237.0.4", "tailscaleIP": "100.64.0.1", "nodeID": "n1",
            "ssh": {"address": "203.0.113.4", "user": "ubuntu", "hostKey": "ssh-ed25519 AAAA"}})
    }

    fn refused(sites: &[Value], servers: &[Value]) -> String {
        let inventory = Inventory::parse(sites, servers).expect("one site of type aks");
        inventory.check_complete().expect_err("an invalid object").to_string()
    }

    #[test]
    fn a_consistent_inventory_is_accepted() {
        let site = object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"}));
        let inventory = Inventory::parse(&[site], &[object("r", &router("aks"))]).expect("consistent");
        assert_eq!(inventory.aks().expect("registered").0, "aks");
        assert_eq!(inventory.workers("aks").count(), 0);
    }

    #[test]
    fn each_error_names_its_object() {
        let own = object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"}));
        let dc = json!({"type": "datacenter", "subnet": "10.50.1.0/24", "router": "d"});
        let server = object("r", &router("aks"));
        assert!(refused(&[], std::slice::from_ref(&server)).contains("\"aks\" is not registered"));
        assert!(refused(std::slice::from_ref(&own), &[]).contains("\"r\" is not a registered router"));
        assert!(refused(&[object("aks", &json!({"type": "aks"}))], &[]).contains("missing field `subnet`"));
        let servers = [server, object("d", &router("dc"))];
        assert!(refused(&[own.clone(), object("dc", &dc)], &servers).contains("podBlock"));
        let mut worker = router("aks");
        worker["role"] = json!("worker");
        assert!(refused(&[own], &[servers[0].clone(), object("w", &worker)]).contains("podCIDR"));
        let twice = [
            object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"})),
            object("b", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "b"})),
        ];
        let routers = [object("r", &router("aks")), object("b", &router("b"))];
        assert!(Inventory::parse(&twice, &routers).expect_err("two").to_string().contains("another site of type aks"));
        let nothing = Inventory::parse(&[], &[]).expect("an empty inventory");
        assert!(nothing.aks().expect_err("missing").to_string().contains("no site of type aks"));
    }

    #[test]
    fn a_site_that_is_being_removed_is_left_out_with_its_machines() {
        let own = object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"}));
        let mut dc = object("dc", &json!({"type": "datacenter", "subnet": "10.50.1.0/24", "router": "d"}));
        dc["metadata"]["annotations"] = json!({LEAVING_ANNOTATION: "true"});
        let servers = [object("r", &router("aks")), object("d", &router("dc"))];
        let inventory = Inventory::parse(&[own, dc], &servers).expect("one site of type aks");
        assert_eq!(
            (inventory.leaving.as_slice(), inventory.leaving_devices.as_slice()),
            (&["dc".into()][..], &["n1".into()][..])
        );
        assert_eq!(inventory.servers.keys().collect::<Vec<_>>(), ["r"]);
        inventory.check_complete().expect("its machines are not invalid");
    }

    #[test]
    fn an_invalid_object_does_not_stop_the_others() {
        let own = object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"}));
        let dc = json!({"type": "datacenter", "fabric": "l2", "subnet": "10.50.1.0/24", "router": "d", "podBlock": "10.244.64.0/18"});
        let unreadable = object("x", &json!({"site": "aks"}));
        let servers = [object("r", &router("aks")), object("w", &router("dc")), unreadable];
        let inventory = Inventory::parse(&[own, object("dc", &dc)], &servers).expect("one site of type aks");
        assert_eq!(inventory.aks().expect("registered").0, "aks");
        assert_eq!(inventory.servers.keys().collect::<Vec<_>>(), ["r"]);
        let invalid: Vec<&str> = inventory.invalid.iter().map(|object| object.name.as_str()).collect();
        assert_eq!(invalid, ["x", "dc"], "a server of an invalid site is not reported again");
        assert!(inventory.server("x").expect_err("invalid").to_string().contains("missing field"));
    }
}
