use std::process::{Command, Output};

use serde_json::{Value, json};
use stargate_sim::Scenario;

use crate::hang_guard::hang_guard;
use crate::harness::{WorldBench, compute, empty, machine, network, nic, open_in, with_network};

const SUBNET: &str = "virtualNetworks/v/subnets/s";

/// A NIC `n` in the subnet `s` with a public address `p` of a kind.
async fn with_public_address(bench: &WorldBench, sku: &str) {
    with_network(bench).await;
    let public = json!({ "location": "canadacentral", "sku": { "name": sku }, "properties": { "publicIPAllocationMethod": "Static" } });
    bench.made(&network("publicIPAddresses/p"), public).await;
    put_nic(bench, None).await;
}

async fn put_nic(bench: &WorldBench, group: Option<&str>) {
    let mut body = nic(bench);
    let inner = &mut body["properties"]["ipConfigurations"][0]["properties"];
    inner["publicIPAddress"] = json!({ "id": bench.network_id("publicIPAddresses/p") });
    if let Some(group) = group {
        body["properties"]["networkSecurityGroup"] = json!({ "id": bench.network_id(group) });
    }
    bench.made(&network("networkInterfaces/n"), body).await;
}

/// Gives the subnet a group, or takes it away.
async fn put_subnet(bench: &WorldBench, group: Option<&str>) {
    let mut body = json!({ "properties": { "addressPrefix": "10.1.0.0/24" } });
    if let Some(group) = group {
        body["properties"]["networkSecurityGroup"] = json!({ "id": bench.network_id(group) });
    }
    bench.made(&network(SUBNET), body).await;
}

async fn put_rule(bench: &WorldBench, group: &str, name: &str, priority: u16, more: Value) {
    let mut rule = json!({
        "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22",
    });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bench.made(&network(&format!("{group}/securityRules/{name}")), json!({ "properties": rule })).await;
}

/// Creates a group with Azure's own rules.
async fn put_group(bench: &WorldBench, group: &str) {
    bench.made(&network(group), json!({ "location": "canadacentral" })).await;
}

/// Returns the latest published state of the NIC.
fn is_closed(bench: &WorldBench) -> bool {
    let events = bench.events(0);
    let last = events.iter().rfind(|event| event["type"] == "nic_changed" && event["public_ip"].is_string());
    last.unwrap()["ssh_closed"].as_bool().unwrap()
}

#[tokio::test]
async fn a_standard_address_is_closed_until_the_groups_of_subnet_and_nic_let_logins_in() {
    let bench = empty().await;
    with_public_address(&bench, "Standard").await;
    assert!(is_closed(&bench), "there is no group");
    let (of_subnet, of_nic) = ("networkSecurityGroups/of-subnet", "networkSecurityGroups/of-nic");
    put_group(&bench, of_subnet).await;
    put_subnet(&bench, Some(of_subnet)).await;
    assert!(is_closed(&bench), "Azure's own rules deny it");
    put_rule(&bench, of_subnet, "ssh", 200, json!({ "sourceAddressPrefix": "203.0.113.0/24" })).await;
    assert!(is_closed(&bench), "others may log in");
    put_rule(&bench, of_subnet, "ssh", 200, json!({ "sourceAddressPrefix": "198.51.100.7/32" })).await;
    assert!(!is_closed(&bench), "it is let in");
    put_rule(&bench, of_subnet, "theirs", 100, json!({ "access": "Deny", "sourceAddressPrefix": "Internet" })).await;
    assert!(is_closed(&bench), "a rule before it denies it");
    bench.finish(&bench.delete(&network(&format!("{of_subnet}/securityRules/theirs"))).await.expect(202)).await;
    assert!(!is_closed(&bench), "that is gone");
    put_group(&bench, of_nic).await;
    put_nic(&bench, Some(of_nic)).await;
    assert!(is_closed(&bench), "the NIC's group denies it");
    put_rule(&bench, of_nic, "ssh", 200, json!({ "destinationAddressPrefix": "10.1.0.4" })).await;
    assert!(!is_closed(&bench), "both let it in");
    put_subnet(&bench, None).await;
    assert!(!is_closed(&bench), "the NIC's group is enough");
}

#[tokio::test]
async fn a_basic_address_is_open_until_a_group_closes_it() {
    let bench = empty().await;
    with_public_address(&bench, "Basic").await;
    assert!(!is_closed(&bench));
    put_group(&bench, "networkSecurityGroups/g").await;
    put_subnet(&bench, Some("networkSecurityGroups/g")).await;
    assert!(is_closed(&bench));
}

/// Runs `ssh` to the machine's public address until it answers or times out.
fn ssh(bench: &WorldBench, address: &str) -> Output {
    let mut command = Command::new("ssh");
    command.arg("-F").arg(bench.sim.ssh_config());
    for option in ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=1"] {
        command.args(["-o", option]);
    }
    command.arg(format!("ubuntu@{address}")).arg("hostname").output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_closed_address_waits_in_vain() {
    let bench = open_in(tempfile::tempdir().unwrap(), |options| {
        options.scenario = Scenario::Empty;
        options.hosts = true;
    })
    .await;
    bench.put("/resourcegroups/g", json!({ "location": "canadacentral" })).await.expect(201);
    with_public_address(&bench, "Standard").await;
    let mut body = machine(&bench);
    let key = std::fs::read_to_string(bench.sim.dir().join("id_ed25519.pub")).unwrap();
    body["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"] = json!(key.trim());
    bench.made(&compute("virtualMachines/m"), body).await;
    let public = bench.get(&network("publicIPAddresses/p")).await.body;
    let address = public["properties"]["ipAddress"].as_str().unwrap();
    until(&bench, "booted", || bench.sim.shared().peek().hosts.machines["m"].phase == stargate_sim::host::Phase::Up)
        .await;
    let closed = ssh(&bench, address);
    let said = String::from_utf8_lossy(&closed.stderr).into_owned();
    assert!(!closed.status.success() && said.contains("Connection timed out"), "{said}");
    put_group(&bench, "networkSecurityGroups/g").await;
    put_subnet(&bench, Some("networkSecurityGroups/g")).await;
    put_rule(&bench, "networkSecurityGroups/g", "ssh", 200, json!({})).await;
    until(&bench, "open", || ssh(&bench, address).status.success()).await;
}

async fn until(bench: &WorldBench, what: &str, holds: impl Fn() -> bool) {
    let held = hang_guard(async {
        while !tokio::task::block_in_place(&holds) {
            tokio::task::yield_now().await;
        }
    });
    assert!(held.await.is_ok(), "{what}: {:?}", bench.events(0));
}
