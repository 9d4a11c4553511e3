use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};
use stargate_routes::{Facts, NodeFacts as Node, SiteFabric as Fabric};
use stargate_sim::Arm;

use crate::entries::{NODES, ROUTER, SurfaceEntry, site_subnet};

const LOCATION: &str = "canadacentral";
const GROUP: &str = "/subscriptions/s/resourceGroups/MC_g/providers";

/// Security group of a subnet or of a machine's NIC, with rules besides Azure's own.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// The subnet or the machine.
    pub(crate) of: String,
    /// Name and properties.
    pub(crate) rules: Vec<(String, Value)>,
}

impl Guard {
    /// With Azure's own rules alone.
    pub(crate) fn of(owner: &str) -> Self {
        Self { of: owner.to_owned(), rules: Vec::new() }
    }

    /// Adds a rule: for any source, destination and port that the properties do not restrict.
    pub(crate) fn rule(mut self, name: &str, direction: &str, priority: u16, access: &str, more: &Value) -> Self {
        let mut rule = json!({
            "direction": direction, "priority": priority, "access": access, "protocol": "*",
            "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*",
        });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.rules.push((name.to_owned(), rule));
        self
    }
}

/// Builds the state of Azure's API as its state file has it.
pub(crate) struct Azure<'a> {
    entries: &'a [SurfaceEntry],
    guards: &'a [Guard],
    resources: Map<String, Value>,
}

pub(crate) fn network(site: Option<&str>) -> String {
    site.map_or_else(|| "aks-vnet".to_owned(), |site| format!("{site}-vnet"))
}

pub(crate) fn nic_id(machine: &str) -> String {
    format!("{GROUP}/Microsoft.Network/networkInterfaces/{machine}-nic")
}

fn group_id(owner: &str) -> String {
    format!("{GROUP}/Microsoft.Network/networkSecurityGroups/{owner}-nsg")
}

/// The networks of a deployment, with what the entries say.
pub(crate) fn arm(facts: &Facts, entries: &[SurfaceEntry], guards: &[Guard]) -> Arm {
    let mut azure = Azure { entries, guards, resources: Map::new() };
    for guard in guards {
        azure.group(guard);
    }
    azure.cluster(facts);
    let space = facts.aks.virtual_network.clone();
    azure.network(&network(None), &space, &[(NODES, facts.aks.node_subnet), (ROUTER, facts.aks.router_subnet)]);
    for (index, node) in facts.aks.nodes.iter().enumerate() {
        azure.instance(index, node);
    }
    azure.nic(&facts.aks.router.name, &facts.aks.router.ip.to_string(), &network(None), ROUTER);
    for site in facts.sites.iter().filter(|site| site.fabric == Fabric::Azure) {
        let (vnet, subnet) = (network(Some(&site.name)), site_subnet(&site.name));
        azure.network(&vnet, &site.virtual_network, &[(&subnet, site.subnet)]);
        azure.nic(&site.router.name, &site.router.ip.to_string(), &vnet, &subnet);
        for worker in &site.workers {
            azure.nic(&worker.name, &worker.internal_ip.unwrap().to_string(), &vnet, &subnet);
        }
    }
    let group = json!({ "name": "MC_g", "location": LOCATION, "tags": null, "managed_by": null, "state": "Succeeded" });
    let groups = json!({ "mc_g": group });
    serde_json::from_value(json!({ "subscription": "s", "groups": groups, "resources": azure.resources })).unwrap()
}

impl Azure<'_> {
    fn put(&mut self, id: &str, kind: &str, properties: &Value) {
        let order = self.resources.len();
        let resource = json!({
            "id": id, "name": id.rsplit('/').next().unwrap(), "kind": kind, "top": { "location": LOCATION }, "properties": properties, "state": "Succeeded",
            "etag": "e", "version": 1, "guid": "g", "created": "2026-01-01T00:00:00Z", "order": order, "hidden": {},
        });
        self.resources.insert(id.to_lowercase(), resource);
    }

    fn cluster(&mut self, facts: &Facts) {
        let id = format!("{GROUP}/Microsoft.ContainerService/managedClusters/c").replace("MC_g", "g");
        let profile = json!({ "podCidr": facts.aks.pod_cidr });
        self.put(&id, "ManagedCluster", &json!({ "nodeResourceGroup": "MC_g", "networkProfile": profile }));
    }

    fn network(&mut self, name: &str, space: &[Ipv4Net], subnets: &[(&str, Ipv4Net)]) {
        let id = format!("{GROUP}/Microsoft.Network/virtualNetworks/{name}");
        self.put(&id, "VirtualNetwork", &json!({ "addressSpace": { "addressPrefixes": space } }));
        for (subnet, prefix) in subnets {
            let table = self.table(subnet);
            let mut properties = json!({ "addressPrefix": prefix });
            if self.entries.contains(&SurfaceEntry::Association((*subnet).to_owned())) {
                properties["routeTable"] = json!({ "id": table });
            }
            self.guarded(subnet, &mut properties);
            self.put(&format!("{id}/subnets/{subnet}"), "Subnet", &properties);
        }
    }

    fn group(&mut self, guard: &Guard) {
        let id = group_id(&guard.of);
        self.put(&id, "SecurityGroup", &json!({}));
        for (name, properties) in &guard.rules {
            self.put(&format!("{id}/securityRules/{name}"), "SecurityRule", properties);
        }
    }

    /// Gives a subnet or a NIC its group, if it has one.
    fn guarded(&self, owner: &str, properties: &mut Value) {
        if self.guards.iter().any(|guard| guard.of == owner) {
            properties["networkSecurityGroup"] = json!({ "id": group_id(owner) });
        }
    }

    fn table(&mut self, of: &str) -> String {
        let id = format!("{GROUP}/Microsoft.Network/routeTables/{of}-rt");
        self.put(&id, "RouteTable", &json!({}));
        for (number, entry) in self.entries.iter().enumerate() {
            if let SurfaceEntry::Cloud { subnet, prefix, hop } = entry
                && subnet == of
            {
                let route =
                    json!({ "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop });
                self.put(&format!("{id}/routes/r{number}"), "Route", &route);
            }
        }
        id
    }

    fn nic(&mut self, machine: &str, address: &str, network: &str, subnet: &str) {
        let forwards = self.entries.contains(&SurfaceEntry::Nic(machine.to_owned()));
        let mut properties = interface(address, network, subnet, forwards);
        self.guarded(machine, &mut properties);
        self.put(&nic_id(machine), "NetworkInterface", &properties);
    }

    /// AKS's own machines, whose NICs forward.
    fn instance(&mut self, index: usize, node: &Node) {
        let id = format!("{GROUP}/Microsoft.Compute/virtualMachineScaleSets/v/virtualMachines/{index}");
        self.put(&id, "ScaleSetVm", &json!({ "osProfile": { "computerName": node.name.to_uppercase() } }));
        let nic = interface(&node.internal_ip.unwrap().to_string(), &network(None), NODES, true);
        self.put(&format!("{id}/networkInterfaces/n"), "ScaleSetNic", &nic);
    }
}

fn interface(address: &str, network: &str, subnet: &str, forwards: bool) -> Value {
    let subnet = format!("{GROUP}/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}");
    let inner = json!({ "privateIPAddress": address, "subnet": { "id": subnet } });
    json!({ "enableIPForwarding": forwards, "ipConfigurations": [{ "name": "c", "properties": inner }] })
}
