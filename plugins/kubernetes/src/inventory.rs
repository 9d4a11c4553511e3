use std::{collections::BTreeMap, net::Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError};

use crate::{api::Api, field::name, kind::Kind, prefix::Prefix};

const SITES: Kind = Kind::of_ours("sites");
const SERVERS: Kind = Kind::of_ours("servers");
const REGISTER: &str = "`provision-aks-router` and `provision-dc` register sites and their machines";

/// Every site and machine that is registered, by name.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    pub(crate) sites: BTreeMap<String, Site>,
    pub(crate) servers: BTreeMap<String, Server>,
}

/// What kind of side a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SiteType {
    /// The cluster's own.
    Aks,
    /// A datacenter.
    Datacenter,
}

/// What carries packets inside a datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fabric {
    /// An Azure virtual network.
    #[default]
    Azure,
    /// One Ethernet segment.
    L2,
}

/// `spec` of a `Site`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Site {
    #[serde(rename = "type")]
    pub(crate) kind: SiteType,
    pub(crate) subnet: Prefix,
    #[serde(default)]
    pub(crate) virtual_network: Vec<Prefix>,
    #[serde(default)]
    pub(crate) pod_block: Option<Prefix>,
    #[serde(default)]
    pub(crate) fabric: Fabric,
    pub(crate) router: String,
    #[serde(default)]
    pub(crate) azure: Option<AzureNames>,
}

/// Where a site's resources in Azure are.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AzureNames {
    pub(crate) resource_group: String,
    pub(crate) location: String,
    pub(crate) virtual_network: String,
    pub(crate) subnet: String,
    pub(crate) route_table: String,
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// It takes packets to the other sites.
    Router,
    /// It is to be a node.
    Worker,
}

/// `spec` of a `Server`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Server {
    pub(crate) site: String,
    pub(crate) role: Role,
    pub(crate) ip: Ipv4Addr,
    #[serde(default, rename = "podCIDR")]
    pub(crate) pod_cidr: Option<Prefix>,
    #[serde(default, rename = "tailscaleIP")]
    pub(crate) tailscale_ip: Option<Ipv4Addr>,
    #[serde(default, rename = "nodeID")]
    pub(crate) node_id: Option<String>,
    pub(crate) ssh: Login,
}

/// How to log in to a machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Login {
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) host_key: String,
    #[serde(default)]
    pub(crate) port: Option<u16>,
}

impl Inventory {
    /// Reads all there is. Anything that does not fit together is a `Permanent` error that names the object.
    pub(crate) async fn read(api: &Api, cx: &ActionContext) -> Result<Self, ActionError> {
        let sites = api.list(cx, &SITES, None, None).await?.unwrap_or_default();
        let servers = api.list(cx, &SERVERS, None, None).await?.unwrap_or_default();
        Self::of(&sites, &servers)
    }

    fn of(sites: &[Value], servers: &[Value]) -> Result<Self, ActionError> {
        let inventory = Self { sites: specs("Site", sites)?, servers: specs("Server", servers)? };
        inventory.check_servers()?;
        inventory.check_sites()?;
        Ok(inventory)
    }

    fn check_servers(&self) -> Result<(), ActionError> {
        for (name, server) in &self.servers {
            let missing = match server.role {
                _ if !self.sites.contains_key(&server.site) => {
                    return Err(wrong("Server", name, &format!("its site {:?} is not registered", server.site)));
                }
                Role::Worker if server.pod_cidr.is_none() => "podCIDR",
                Role::Router if server.tailscale_ip.is_none() => "tailscaleIP",
                Role::Router if server.node_id.is_none() => "nodeID",
                Role::Worker | Role::Router => continue,
            };
            return Err(wrong("Server", name, &format!("spec.{missing} is missing")));
        }
        Ok(())
    }

    fn check_sites(&self) -> Result<(), ActionError> {
        for (name, site) in &self.sites {
            let router = self.servers.get(&site.router);
            if !router.is_some_and(|router| router.role == Role::Router && router.site == *name) {
                return Err(wrong("Site", name, &format!("{:?} is no registered router of its", site.router)));
            }
            let is_datacenter = site.kind == SiteType::Datacenter;
            if is_datacenter && site.pod_block.is_none() {
                return Err(wrong("Site", name, "spec.podBlock is missing"));
            }
            if is_datacenter && site.fabric == Fabric::Azure && site.azure.is_none() {
                return Err(wrong("Site", name, "spec.azure is missing, and its fabric is azure"));
            }
        }
        let own: Vec<&str> = self.of_kind(SiteType::Aks).map(|(name, _)| name.as_str()).collect();
        match own.as_slice() {
            [_, second, ..] => Err(wrong("Site", second, "there is another site of type aks")),
            _ => Ok(()),
        }
    }

    /// The sites of a kind, in the order of their names.
    pub(crate) fn of_kind(&self, kind: SiteType) -> impl Iterator<Item = (&String, &Site)> {
        self.sites.iter().filter(move |(_, site)| site.kind == kind)
    }

    /// The cluster's own side; `Permanent` while it is not registered.
    pub(crate) fn aks(&self) -> Result<(&String, &Site), ActionError> {
        let missing = || ActionError::permanent("no site of type aks is registered in the cluster").with_hint(REGISTER);
        self.of_kind(SiteType::Aks).next().ok_or_else(missing)
    }

    /// The workers of a site, in the order of their names.
    pub(crate) fn workers<'a>(&'a self, site: &'a str) -> impl Iterator<Item = (&'a String, &'a Server)> {
        self.servers.iter().filter(move |(_, server)| server.role == Role::Worker && server.site == site)
    }

    /// The names of all workers.
    pub(crate) fn workers_of_all(&self) -> impl Iterator<Item = &String> {
        self.servers.iter().filter(|(_, server)| server.role == Role::Worker).map(|(name, _)| name)
    }

    /// The router of a site.
    pub(crate) fn router(&self, site: &Site) -> (&String, &Server) {
        self.servers.get_key_value(&site.router).expect("a site without its router was refused")
    }

    /// One machine; `Permanent` while it is not registered.
    pub(crate) fn server(&self, name: &str) -> Result<&Server, ActionError> {
        let missing =
            || ActionError::permanent(format!("Server {name:?} is not registered in the cluster")).with_hint(REGISTER);
        self.servers.get(name).ok_or_else(missing)
    }
}

fn specs<T: for<'de> Deserialize<'de>>(kind: &str, objects: &[Value]) -> Result<BTreeMap<String, T>, ActionError> {
    let read = |object: &Value| {
        let spec = T::deserialize(&object["spec"]).map_err(|e| wrong(kind, name(object), &format!("spec: {e}")))?;
        Ok((name(object).to_owned(), spec))
    };
    objects.iter().map(read).collect()
}

fn wrong(kind: &str, name: &str, what: &str) -> ActionError {
    ActionError::permanent(format!("{kind} {name:?} of the cluster: {what}"))
        .with_hint(format!("`kubectl get {}s {name} -o yaml` shows it; {REGISTER}", kind.to_lowercase()))
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
        Inventory::of(sites, servers).expect_err("refused").to_string()
    }

    #[test]
    fn what_fits_together_is_taken() {
        let site = object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"}));
        let inventory = Inventory::of(&[site], &[object("r", &router("aks"))]).expect("in order");
        assert_eq!(inventory.aks().expect("it is there").0, "aks");
        assert_eq!(inventory.workers("aks").count(), 0);
    }

    #[test]
    fn each_mistake_names_its_object() {
        let own = object("aks", &json!({"type": "aks", "subnet": "10.237.0.0/24", "router": "r"}));
        let dc = json!({"type": "datacenter", "subnet": "10.50.1.0/24", "router": "d"});
        let server = object("r", &router("aks"));
        assert!(refused(&[], std::slice::from_ref(&server)).contains("\"aks\" is not registered"));
        assert!(refused(std::slice::from_ref(&own), &[]).contains("\"r\" is no registered router"));
        assert!(refused(&[object("aks", &json!({"type": "aks"}))], &[]).contains("missing field `subnet`"));
        let servers = [server, object("d", &router("dc"))];
        assert!(refused(&[own.clone(), object("dc", &dc)], &servers).contains("podBlock"));
        let mut worker = router("aks");
        worker["role"] = json!("worker");
        assert!(refused(&[own], &[servers[0].clone(), object("w", &worker)]).contains("podCIDR"));
        let nothing = Inventory::of(&[], &[]).expect("nothing is no mistake");
        assert!(nothing.aks().expect_err("missing").to_string().contains("no site of type aks"));
    }
}
