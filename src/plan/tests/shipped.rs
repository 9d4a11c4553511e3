use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Recovery, Registry, SecretRef};

use super::fixtures::{StepResults, action, index, lines, map};
use crate::{
    plan::{CompiledPlan, Include, Plan},
    workflow::parse,
};

const TEXT: &str = include_str!("../../../workflows/provision-aks-router.yaml");
const OBJECTS: &str = include_str!("../../../workflows/cluster-objects.yaml");

/// Defines the input or output of an action, with the fields that the workflow uses.
macro_rules! record {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name { $($field: $type),* }
    };
}

record!(NamedInput { resource_group: String, name: String });
record!(Cluster { node_resource_group: String, pod_cidr: Option<String> });
record!(DiscoverInput { resource_group: String, cluster: String, router_subnet: String });
record!(Names { router_subnet: String, router_table: String, node_table: String });
record!(Prefixed { name: String, prefix: String });
record!(Network {
    resource_group: String, name: String, location: String, prefixes: Vec<String>, node_subnet: Prefixed,
    names: Names,
});
record!(ClusterInput { node_resource_group: Option<String> });
record!(ManifestInput { manifest: Value });
record!(RuleInput {
    name: String, priority: u16, direction: String, protocol: Option<String>, source: Option<String>,
    destination: Option<String>, destination_port: Option<String>,
});
record!(GroupInput {
    resource_group: String, name: String, location: String, rules: Vec<RuleInput>, owner: Option<String>
});
record!(SecurityGroup { id: String });
record!(SubnetInput {
    resource_group: String,
    virtual_network: String,
    name: String,
    prefix: String,
    network_security_group_id: String,
});
record!(SubnetOutput { id: String, name: String, gateway: String });
record!(LocatedInput { resource_group: String, name: String, location: String, owner: Option<String> });
record!(PublicIp { id: String, ip_address: String });
record!(NicInput {
    resource_group: String, name: String, location: String, owner: Option<String>, subnet_id: String, public_ip_id: Option<String>,
    ip_forwarding: bool,
});
record!(Nic { id: String, private_ip: String });
record!(Image { publisher: String, offer: String, sku: String, version: String });
record!(MachineInput {
    resource_group: String, name: String, location: String, owner: Option<String>, size: String, network_interface_id: String,
    admin_username: String, ssh_public_key: String, image: Image, cloud_config: Value,
    cloud_config_secrets: BTreeMap<String, SecretRef>,
});
record!(Machine { id: String, host_key: String });
record!(HostAddress { address: String, user: String, host_key: String });
record!(HostInput { host: HostAddress });
record!(Done {});
record!(SysctlInput { host: HostAddress, settings: BTreeMap<String, String> });
record!(Package { name: String });
record!(PackagesInput { host: HostAddress, packages: Vec<Package> });
record!(KernelRoute { prefix: String, via: String });
record!(KernelRoutesInput { host: HostAddress, routes: Vec<KernelRoute> });
record!(NodeId { node_id: String });
record!(DeviceInput { node_id: String, hostname: String, tag: String });
record!(Device { node_id: String, ipv4: String });
record!(PreferencesInput {
    host: HostAddress, accept_routes: bool, snat_subnet_routes: bool, stateful_filtering: bool, advertise_routes: Vec<String>,
});
record!(ApprovalInput { node_id: String, routes: Vec<String> });
record!(InForceInput { host: HostAddress, routes: Vec<String> });
record!(Table { id: String, name: String });
record!(AssociationInput { resource_group: String, virtual_network: String, subnet: String, route_table_id: String });
record!(Route { prefix: String, next_hop_ip: String });
record!(RoutesInput {
    resource_group: String, route_table: String, routes: Vec<Route>, cluster: String, next_hops: Vec<String>,
});

action!(ReadCluster, "azure.managed_cluster.read", NamedInput => Cluster);
action!(Discover, "azure.virtual_network.discover", DiscoverInput => Network);
action!(EnsureGroup, "azure.network_security_group.ensure", GroupInput => SecurityGroup);
action!(EnsureSubnet, "azure.subnet.ensure", SubnetInput => SubnetOutput);
action!(EnsurePublicIp, "azure.public_ip.ensure", LocatedInput => PublicIp);
action!(EnsureNic, "azure.network_interface.ensure", NicInput => Nic);
action!(EnsureMachine, "azure.virtual_machine.ensure", MachineInput => Machine);
action!(EnsureTable, "azure.route_table.ensure", LocatedInput => Table);
action!(Associate, "azure.subnet.associate", AssociationInput => Done);
action!(SyncRoutes, "azure.routes.sync", RoutesInput => Done);
action!(Reachable, "ssh.host.reachable", HostInput => Done);
action!(CloudInit, "ssh.cloud_init.wait", HostInput => Done);
action!(Sysctl, "ssh.sysctl.ensure", SysctlInput => Done);
action!(Packages, "ssh.package.ensure", PackagesInput => Done);
action!(Clamp, "ssh.mss_clamp.ensure", HostInput => Done);
action!(KernelRoutes, "ssh.routes.ensure", KernelRoutesInput => Done);
action!(Identity, "ssh.tailscale.identity", HostInput => NodeId);
action!(Preferences, "ssh.tailscale.preferences", PreferencesInput => Done);
action!(InForce, "ssh.tailscale.routes_in_force", InForceInput => Done);
action!(WaitDevice, "tailscale.device.wait", DeviceInput => Device);
action!(Approve, "tailscale.routes.approve", ApprovalInput => Done);
action!(ReadApi, "kubernetes.cluster.read", ClusterInput => Done);
action!(Apply, "kubernetes.manifest.apply", ManifestInput => Done);

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.add(ReadCluster);
    registry.add(Discover);
    registry.add(EnsureGroup);
    registry.add(EnsureSubnet);
    registry.add(EnsurePublicIp);
    registry.add(EnsureNic);
    registry.add(EnsureMachine);
    registry.add(EnsureTable);
    registry.add(Associate);
    registry.add(SyncRoutes);
    registry.add(Reachable);
    registry.add(CloudInit);
    registry.add(Sysctl);
    registry.add(Packages);
    registry.add(Clamp);
    registry.add(KernelRoutes);
    registry.add(Identity);
    registry.add(Preferences);
    registry.add(InForce);
    registry.add(WaitDevice);
    registry.add(Approve);
    registry.add(ReadApi);
    registry.add(Apply);
    registry
}

fn load(include: Include<'_>) -> Result<(String, String), String> {
    let file = include.path;
    if file == "cluster-objects.yaml" { Ok((file.into(), OBJECTS.into())) } else { Err("no such file".into()) }
}

fn mistakes(text: &str) -> Vec<String> {
    let checked = parse("test.yaml", text).check(&registry(), &load);
    checked.err().map(|e| lines(&e)).unwrap_or_default()
}

fn plan() -> Plan {
    let checked = parse("test.yaml", TEXT).check(&registry(), &load).unwrap_or_else(|e| panic!("{:#?}", lines(&e)));
    let inputs = json!({
        "cluster": "aks", "resource_group": "rg", "router": "router", "router_subnet": "10.1.9.0/24",
        "ssh_public_key": "ssh-ed25519 AAAA", "ssh_source": "198.51.100.7/32", "datacenter_prefixes": ["10.50.0.0/16"],
    });
    checked.plan(map(inputs)).unwrap_or_else(|e| panic!("{:#?}", lines(&e)))
}

#[test]
fn the_shipped_workflow_compiles() {
    let plan = plan();
    assert_eq!(plan.steps.len(), 28);
    assert_eq!(plan.locks, ["cluster/aks"]);
    let needs = |name: &str| {
        let step = plan.steps.iter().find(|step| step.name == name).expect("a step");
        step.needs.iter().map(|need| plan.steps[*need].name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(needs("cluster"), [""; 0]);
    // No step writes before the check that the kubeconfig is for this cluster.
    assert_eq!(needs("objects/access"), ["api", "objects/api"]);
    assert_eq!(needs("network"), ["cluster", "api"]);
    assert_eq!(needs("nic"), ["network", "subnet", "public_ip"]);
    assert_eq!(needs("preferences"), ["network", "public_ip", "vm", "forwarding", "clamp", "kernel_routes", "device"]);
    assert_eq!(needs("workers_routes"), ["network", "nic", "in_force", "workers_table"]);
}

fn network() -> Value {
    json!({
        "resource_group": "MC", "name": "vnet", "location": "weu", "prefixes": ["10.1.0.0/8"],
        "node_subnet": {"name": "aks", "prefix": "10.1.0.0/16"},
        "names": {"router_subnet": "routers", "router_table": "router-rt", "node_table": "node-rt"},
    })
}

#[test]
fn the_security_group_permits_ssh_and_pod_traffic() {
    let plan = CompiledPlan::new(Arc::new(plan())).expect("a valid plan");
    for (cluster, pods) in [
        (json!({"node_resource_group": "MC", "pod_cidr": "10.244.0.0/16"}), "10.244.0.0/16"),
        (json!({"node_resource_group": "MC"}), "10.1.0.0/16"),
    ] {
        let results = StepResults::default().with(&plan, "network", network()).with(&plan, "cluster", cluster);
        let security = plan.input(index(&plan, "security"), None, &results).expect("an input");
        let rule = |name: &str, key: &str| {
            let rules = security["rules"].as_array().expect("rules");
            rules.iter().find(|rule| rule["name"] == name).expect("the rule")[key].clone()
        };
        assert_eq!(rule("stargate-ssh", "source"), "198.51.100.7/32");
        assert_eq!(rule("stargate-from-aks-pods", "source"), pods);
        assert_eq!(rule("stargate-to-aks-pods", "destination"), pods);
    }
}

#[test]
fn inputs_of_steps_are_evaluated() {
    let plan = CompiledPlan::new(Arc::new(plan())).expect("a valid plan");
    let results = StepResults::default()
        .with(&plan, "network", network())
        .with(&plan, "nic", json!({"id": "/nic", "private_ip": "10.1.9.4"}))
        .with(&plan, "workers_table", json!({"id": "/t", "name": "table"}));
    let vm = plan.input(index(&plan, "vm"), None, &results).expect("an input");
    assert_eq!(vm["cloud_config_secrets"]["auth_key"], "tailscale-auth-key:tags=tag:stargate-router&expiry=1h");
    assert_eq!(vm["cloud_config"]["write_files"][1]["content"], "{{auth_key}}");
    assert_eq!(vm["cloud_config"]["runcmd"][3][4], "--hostname=router");
    let input = plan.input(index(&plan, "workers_routes"), None, &results).expect("an input");
    let expected = json!({
        "resource_group": "MC", "route_table": "table", "cluster": "aks", "next_hops": ["10.1.9.0/24"],
        "routes": [{"prefix": "10.50.0.0/16", "next_hop_ip": "10.1.9.4"}],
    });
    assert_eq!(input, expected);
}

#[test]
fn typing_mistakes_are_found() {
    let cases = [
        (
            "outputs.node_resource_group",
            "outputs.node_group",
            "step \"cluster\" (azure.managed_cluster.read) has no output \"node_group\"",
        ),
        (
            "outputs.node_subnet.prefix",
            "outputs.node_subnet.prefixes",
            "steps.network.outputs.node_subnet has no field \"prefixes\"",
        ),
        ("ip_forwarding: true", "ip_forwarding: 'true'", "with.ip_forwarding must be true or false, this is text"),
        (
            "accept_routes: true",
            "acept_routes: true",
            "with cannot have \"acept_routes\"; did you mean \"accept_routes\"?",
        ),
        ("auth_key: tailscale-auth-key:tags=${{ inputs.tag }}&expiry=1h", "auth_key: tskey", "is a secret"),
        ("needs: [in_force]", "needs: [in_forse]", "there is no step \"in_forse\"; did you mean \"in_force\"?"),
        ("uses: azure.routes.sync", "uses: azure.routs.sync", "did you mean \"azure.routes.sync\"?"),
    ];
    for (from, to, expected) in cases {
        let found = mistakes(&TEXT.replace(from, to));
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{to}: {found:?}");
    }
}
