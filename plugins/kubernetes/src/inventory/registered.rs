use std::{collections::BTreeMap, net::Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::Prefix;
use stargate_kubernetes_client::{KubeClient, SERVERS, SITES, json::name};
use stargate_sdk::{ActionContext, ActionError};

const REGISTER_HINT: &str = "run `provision-aks-router` and `provision-dc`, which register sites and their machines";

/// All registered sites and machines, by name. The references between them have been checked.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    /// Specs of the `Site` objects.
    pub(crate) sites: BTreeMap<String, SiteSpec>,
    /// Specs of the `Server` objects.
    pub(crate) servers: BTreeMap<String, ServerSpec>,
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

impl Inventory {
    /// Reads all `Site` and `Server` objects, and checks the references between them.
    ///
    /// # Errors
    /// `Permanent` for an object that is incomplete or refers to a missing one; it names the
    /// object.
    pub(crate) async fn read(api: &KubeClient, cx: &ActionContext) -> Result<Self, ActionError> {
        let sites = api.list(cx, &SITES, None, None).await?.unwrap_or_default();
        let servers = api.list(cx, &SERVERS, None, None).await?.unwrap_or_default();
        Self::parse(&sites, &servers)
    }

    fn parse(sites: &[Value], servers: &[Value]) -> Result<Self, ActionError> {
        let inventory = Self { sites: specs("Site", sites)?, servers: specs("Server", servers)? };
        inventory.check_servers()?;
        inventory.check_sites()?;
        Ok(inventory)
    }

    fn check_servers(&self) -> Result<(), ActionError> {
        for (name, server) in &self.servers {
            let missing = match server.role {
                _ if !self.sites.contains_key(&server.site) => {
                    return Err(object_error("Server", name, &format!("its site {:?} is not registered", server.site)));
                }
                MachineRole::Worker if server.pod_cidr.is_none() => "podCIDR",
                MachineRole::Router if server.tailscale_ip.is_none() => "tailscaleIP",
                MachineRole::Router if server.node_id.is_none() => "nodeID",
                MachineRole::Worker | MachineRole::Router => continue,
            };
            return Err(object_error("Server", name, &format!("spec.{missing} is missing")));
        }
        Ok(())
    }

    fn check_sites(&self) -> Result<(), ActionError> {
        for (name, site) in &self.sites {
            let router = self.servers.get(&site.router);
            if !router.is_some_and(|router| router.role == MachineRole::Router && router.site == *name) {
                return Err(object_error(
                    "Site",
                    name,
                    &format!("{:?} is not a registered router of the site", site.router),
                ));
            }
            let is_datacenter = site.kind == SiteType::Datacenter;
            if is_datacenter && site.pod_block.is_none() {
                return Err(object_error("Site", name, "spec.podBlock is missing"));
            }
            if is_datacenter && site.fabric == FabricType::Azure && site.azure.is_none() {
                return Err(object_error("Site", name, "spec.azure is missing, and its fabric is azure"));
            }
        }
        let own: Vec<&str> = self.of_type(SiteType::Aks).map(|(name, _)| name.as_str()).collect();
        match own.as_slice() {
            [_, second, ..] => Err(object_error("Site", second, "there is another site of type aks")),
            _ => Ok(()),
        }
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
        let missing =
            || ActionError::permanent("no site of type aks is registered in the cluster").with_hint(REGISTER_HINT);
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
        self.servers.get_key_value(&site.router).expect("a site without its router was refused")
    }

    /// The machine of a name.
    ///
    /// # Errors
    /// `Permanent` if it is not registered.
    pub(crate) fn server(&self, name: &str) -> Result<&ServerSpec, ActionError> {
        let missing = || {
            ActionError::permanent(format!("Server {name:?} is not registered in the cluster")).with_hint(REGISTER_HINT)
        };
        self.servers.get(name).ok_or_else(missing)
    }
}

fn specs<T: for<'de> Deserialize<'de>>(kind: &str, objects: &[Value]) -> Result<BTreeMap<String, T>, ActionError> {
    let read = |object: &Value| {
        let spec =
            T::deserialize(&object["spec"]).map_err(|e| object_error(kind, name(object), &format!("spec: {e}")))?;
        Ok((name(object).to_owned(), spec))
    };
    objects.iter().map(read).collect()
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
        Inventory::parse(sites, servers).expect_err("refused").to_string()
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
        let nothing = Inventory::parse(&[], &[]).expect("an empty inventory");
        assert!(nothing.aks().expect_err("missing").to_string().contains("no site of type aks"));
    }
}
