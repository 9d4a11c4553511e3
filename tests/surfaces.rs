//! Faults of each surface that pod packets cross: `sync-pod-routes` repairs what the deployment
//! owns and names what it does not. `stargate plan` reports both, and a second run writes nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
#[path = "world/parties.rs"]
mod parties;
mod world;

use futures::future::BoxFuture;
use inputs::{AKS_ROUTER, DC_GROUP, DC_ROUTER, NODE_GROUP, WorldFacts};
use ipnet::IpNet;
use parties::{add_offline_device, associate_company_group, delete, expire, on_machine, write};
use serde_json::{Value, json};
use stargate_sim::{
    Sim,
    dataplane::{Plane, UnmanagedPod},
    host::ChainPolicy,
};
use world::Harness;

const SYNC: &str = "sync-pod-routes";
const PODS: [(&str, &str, &str); 4] = [
    ("aks-1", "aks-nodepool1-41954725-vmss000000", "10.244.0.9"),
    ("aks-2", "aks-nodepool1-41954725-vmss000001", "10.244.1.9"),
    ("dc-1", "worker-1", "10.244.64.9"),
    ("dc-2", "worker-2", "10.244.65.9"),
];

/// A fault of one surface.
struct SurfaceFault {
    /// Description for messages.
    what: String,
    /// Brings the fault about.
    apply: fn(&Sim) -> BoxFuture<'_, ()>,
    /// Removes it again; `None` if a run does.
    revert: Option<fn(&Sim) -> BoxFuture<'_, ()>>,
    /// Texts that a plan and a run must contain.
    named: &'static [&'static str],
    /// False if the fault alone kills no pair of pods.
    kills: bool,
}

async fn deployed() -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
    let pod = |(name, node, ip): (&str, &str, &str)| UnmanagedPod {
        name: name.into(),
        node: node.into(),
        ip: ip.parse().unwrap(),
    };
    harness.sim.shared().lock().pods = PODS.into_iter().map(pod).collect();
    assert_eq!(dead(&harness.sim), [""; 0], "all pairs are alive after the deployment");
    harness
}

/// Returns the pairs of pods without a connection, each with the reason.
fn dead(sim: &Sim) -> Vec<String> {
    let plane = Plane::of(&sim.shared().peek());
    let matrix = plane.matrix(plane.pods());
    if matrix.dead == 0 { vec![] } else { vec![format!("{} of {} pairs", matrix.dead, matrix.cells.len())] }
}

fn writes(harness: &Harness) -> u64 {
    harness.sim.shared().peek().traffic.mutating()
}

/// Returns the whole output of the last command.
fn output(harness: &Harness) -> String {
    harness.outputs.iter().rev().take(2).map(|(_, text)| String::from_utf8_lossy(text)).collect()
}

/// Runs a plan and a sync with a fault, and returns the deviations from what must hold.
async fn deviations(harness: &mut Harness, fault: &SurfaceFault) -> Vec<String> {
    (fault.apply)(&harness.sim).await;
    reaction(harness, fault).await
}

/// Returns the deviations with a fault that has been brought about.
async fn reaction(harness: &mut Harness, fault: &SurfaceFault) -> Vec<String> {
    let mut found = vec![];
    if fault.kills && !outside::becomes(|| !dead(&harness.sim).is_empty()).await {
        found.push("it kills no pair".to_owned());
    }
    let before = writes(harness);
    let code = harness.run_shipped(&["plan"], SYNC).await;
    let planned = output(harness);
    if matches!(code, Some(0) | None) || writes(harness) != before {
        found.push(format!("the plan ends with {code:?}"));
    }
    let code = harness.run_shipped(&["run", "workflow"], SYNC).await;
    let said = output(harness);
    let expected = if fault.revert.is_some() { 3 } else { 0 };
    if code != Some(expected) {
        found.push(format!("the run ends with {code:?}: {}", harness.last_output()));
    }
    for text in fault.named {
        found.extend((!planned.contains(text)).then(|| format!("the plan does not contain {text:?}")));
        found.extend(
            (fault.revert.is_some() && !said.contains(text))
                .then(|| format!("the run does not contain {text:?}: {}", harness.last_output())),
        );
    }
    if let Some(revert) = fault.revert {
        revert(&harness.sim).await;
    }
    if !outside::becomes(|| dead(&harness.sim).is_empty()).await {
        found.push(format!("{:?} are dead afterwards", dead(&harness.sim)));
    }
    let before = writes(harness);
    let code = harness.run_shipped(&["run", "workflow"], SYNC).await;
    if code != Some(0) || writes(harness) != before {
        let count = writes(harness) - before;
        found.push(format!("the next run ends with {code:?} and {count} writes: {}", harness.last_output()));
    }
    found.into_iter().map(|deviation| format!("{}: {deviation}", fault.what)).collect()
}

async fn check(harness: &mut Harness, faults: &[SurfaceFault]) {
    let mut found = vec![];
    for fault in faults {
        found.extend(deviations(harness, fault).await);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn faults_of_a_router_are_repaired_or_named() {
    let mut harness = deployed().await;
    let faults = [
        SurfaceFault {
            what: "tailscale down on the DC router".into(),
            apply: |sim| {
                Box::pin(async { on_machine(sim, DC_ROUTER, |machine| machine.tailscaled.prefs.want_running = false) })
            },
            revert: None,
            named: &["Stopped", "Running"],
            kills: true,
        },
        SurfaceFault {
            what: "tailscaled stopped on the AKS router".into(),
            apply: |sim| {
                Box::pin(async {
                    on_machine(sim, AKS_ROUTER, |machine| machine.set_unit("tailscaled", "inactive", "dead", 0));
                })
            },
            revert: None,
            named: &["tailscaled now"],
            kills: true,
        },
        SurfaceFault {
            what: "tailscaled disabled on the DC router".into(),
            apply: |sim| {
                Box::pin(async {
                    on_machine(sim, DC_ROUTER, |machine| {
                        let link = "/etc/systemd/system/multi-user.target.wants/tailscaled.service";
                        assert!(machine.files.nodes.remove(link).is_some());
                    });
                })
            },
            revert: None,
            named: &["tailscaled at boot"],
            kills: false,
        },
        SurfaceFault {
            what: "the firewall of the DC router drops what it forwards".into(),
            apply: |sim| {
                Box::pin(async {
                    on_machine(sim, DC_ROUTER, |machine| machine.ruleset.set_forward_policy(ChainPolicy::Drop));
                })
            },
            revert: Some(|sim| {
                Box::pin(async {
                    on_machine(sim, DC_ROUTER, |machine| machine.ruleset.set_forward_policy(ChainPolicy::Accept));
                })
            }),
            named: &[
                "chain forward of table inet filter drops packets of pods (its policy is drop)",
                "sudo nft insert rule inet filter forward iifname tailscale0 accept",
            ],
            kills: true,
        },
        SurfaceFault {
            what: "the AKS router is logged out".into(),
            apply: |sim| {
                Box::pin(async { on_machine(sim, AKS_ROUTER, |machine| machine.tailscaled.prefs.logged_out = true) })
            },
            revert: Some(|sim| {
                Box::pin(async { on_machine(sim, AKS_ROUTER, |machine| machine.tailscaled.prefs.logged_out = false) })
            }),
            named: &["logged out of the tailnet", "sudo tailscale up --force-reauth"],
            kills: true,
        },
        SurfaceFault {
            what: "the node key of the DC router has expired".into(),
            apply: |sim| Box::pin(async { expire(sim, DC_ROUTER, true) }),
            revert: Some(|sim| Box::pin(async { expire(sim, DC_ROUTER, false) })),
            named: &["node key has expired", "sudo tailscale up --force-reauth"],
            kills: true,
        },
    ];
    check(&mut harness, &faults).await;
}

const RULE: &str = "networkSecurityGroups/stargate-aks-e2e-7-dc-router-nsg/securityRules/no-pods";
const NARROW_ROUTE: &str = "routeTables/stargate-workers-rt/routes/quarantine";

#[tokio::test]
async fn security_rules_of_the_deployment_are_repaired_and_others_are_named() {
    let mut harness = deployed().await;
    let faults = [
        SurfaceFault {
            what: "a rule of the AKS router's group is deleted".into(),
            apply: |sim| {
                Box::pin(async {
                    let rule = format!("networkSecurityGroups/{AKS_ROUTER}-nsg/securityRules/stargate-from-aks-pods");
                    delete(sim, NODE_GROUP, &rule).await;
                })
            },
            revert: None,
            named: &["stargate-from-aks-pods"],
            kills: true,
        },
        SurfaceFault {
            what: "a rule of the DC router's group is deleted".into(),
            apply: |sim| {
                Box::pin(async {
                    let rule = format!("networkSecurityGroups/{DC_ROUTER}-nsg/securityRules/stargate-to-dc-pods");
                    delete(sim, DC_GROUP, &rule).await;
                })
            },
            revert: None,
            named: &["stargate-to-dc-pods"],
            kills: false, // Azure's default rules permit what the subnet has a route for
        },
        SurfaceFault {
            what: "the nodes' subnet has a group of the company that denies the rest".into(),
            apply: |sim| Box::pin(associate_company_group(sim, true)),
            revert: Some(|sim| Box::pin(associate_company_group(sim, false))),
            named: &[
                "rule deny-rest-in of security group corp-nodes-nsg denies",
                "10.244.64.0/18 → 10.224.0.0/16",
                "az network nsg rule create --resource-group MC_stargate-aks-e2e-7_stargate-aks-e2e-7_canadacentral",
            ],
            kills: true,
        },
        SurfaceFault {
            what: "a rule of another party in the datacenter's group".into(),
            apply: |sim| {
                Box::pin(async {
                    let rule = json!({ "priority": 900, "direction": "Outbound", "access": "Deny", "protocol": "*",
                        "sourceAddressPrefix": "10.244.65.0/24", "sourcePortRange": "*",
                        "destinationAddressPrefix": "10.244.0.0/24", "destinationPortRange": "*" });
                    write(sim, DC_GROUP, RULE, json!({ "properties": rule })).await;
                })
            },
            revert: Some(|sim| Box::pin(delete(sim, DC_GROUP, RULE))),
            named: &["rule no-pods of security group stargate-aks-e2e-7-dc-router-nsg denies", "--priority 899"],
            kills: true,
        },
        SurfaceFault {
            what: "a narrower route of another party".into(),
            apply: |sim| {
                Box::pin(async {
                    let route = json!({ "addressPrefix": "10.244.64.0/25", "nextHopType": "VirtualAppliance",
                        "nextHopIpAddress": "10.228.250.4" });
                    write(sim, NODE_GROUP, NARROW_ROUTE, json!({ "properties": route })).await;
                })
            },
            revert: Some(|sim| Box::pin(delete(sim, NODE_GROUP, NARROW_ROUTE))),
            named: &[
                "route quarantine of route table stargate-workers-rt sends 10.244.64.0/25 to 10.228.250.4",
                "az network route-table route delete",
            ],
            kills: true,
        },
        SurfaceFault {
            what: "an offline device with a narrower approved route".into(),
            apply: |sim| Box::pin(async { add_offline_device(sim) }),
            revert: Some(|sim| {
                Box::pin(async { sim.shared().lock().tailnet.devices.retain(|_, device| device.hostname != "old") })
            }),
            named: &["has the approved route 10.244.64.0/25, narrower than 10.244.64.0/18 of a router", "curl -X POST"],
            kills: true,
        },
    ];
    check(&mut harness, &faults).await;
}

#[tokio::test]
async fn only_entries_of_the_deployment_are_removed() {
    let mut harness = deployed().await;
    // A person advertises and approves a route on a router, and adds a route of another deployment.
    let foreign = "192.168.77.0/24".parse().unwrap();
    on_machine(&harness.sim, DC_ROUTER, |machine| {
        machine.tailscaled.prefs.advertise_routes.insert(foreign);
    });
    let stale = "10.244.99.0/24".parse().unwrap();
    {
        let mut world = harness.sim.shared().lock();
        let device = world.tailnet.devices.values_mut().find(|device| device.hostname == DC_ROUTER).unwrap();
        device.enabled.extend([foreign, stale]);
    }
    on_machine(&harness.sim, DC_ROUTER, |machine| {
        machine.tailscaled.prefs.advertise_routes.insert(stale);
    });
    let node = harness.sim.shared().peek().hosts.machines[DC_ROUTER].tailscaled.node.clone().unwrap();
    // This one the deployment has recorded: it was desired before.
    let recorded = json!({ "metadata": { "annotations": {
        format!("routes.stargate.io/{node}"): "10.50.1.0/24,10.244.64.0/18,10.244.99.0/24",
        "routes.stargate.io/nFormerCNTRL": "10.244.64.0/18",
    } } });
    outside::patch(&harness.sim, &format!("/apis/stargate.io/v1alpha1/servers/{DC_ROUTER}"), &recorded).await;
    add_former_device(&harness.sim);
    let other = |hop: &str| json!({ "properties": { "addressPrefix": "10.99.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop } });
    let table = "routeTables/stargate-workers-rt/routes";
    write(&harness.sim, NODE_GROUP, &format!("{table}/stargate-10.99.0.0-16"), other("10.238.0.4")).await;

    harness.run_to_success(SYNC).await;
    let said = output(&harness);
    assert!(said.contains("approved route 192.168.77.0/24, which this deployment did not add: it stays"), "{said}");
    {
        let world = harness.sim.shared().peek();
        let advertised = &world.hosts.machines[DC_ROUTER].tailscaled.prefs.advertise_routes;
        let device = world.tailnet.devices.values().find(|device| device.node_id == node).unwrap();
        for routes in [advertised, &device.enabled] {
            assert!(routes.contains(&foreign) && !routes.contains(&stale), "{routes:?}");
        }
        let former = world.tailnet.devices.values().find(|device| device.hostname == "former").unwrap();
        assert_eq!(former.enabled.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.168.1.0/24"]);
    }
    let routes = outside::read_azure(
        &harness.sim,
        &outside::network(&harness.sim, NODE_GROUP, "routeTables/stargate-workers-rt"),
    )
    .await;
    let names = routes["properties"]["routes"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|route| route["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"stargate-10.99.0.0-16"), "{names:?}");
    assert!(names.contains(&"stargate-stargate-aks-e2e-7-10.50.1.0-24"), "{names:?}");

    let before = writes(&harness);
    harness.run_to_success(SYNC).await;
    assert_eq!(writes(&harness), before, "a second run writes nothing");
}

/// Adds a route to those that the deployment has recorded for a router and that the router
/// advertises. Returns it.
async fn leave_advertised(sim: &Sim, router: &str, route: &str) -> IpNet {
    let path = format!("/apis/stargate.io/v1alpha1/servers/{router}");
    let servers = outside::list(sim, "/apis/stargate.io/v1alpha1/servers").await;
    let server = servers.iter().find(|server| server["metadata"]["name"] == router).unwrap();
    let annotations = server["metadata"]["annotations"].as_object().unwrap();
    let (key, recorded) = annotations.iter().find(|(key, _)| key.starts_with("routes.stargate.io/")).unwrap();
    let recorded = format!("{},{route}", recorded.as_str().unwrap());
    outside::patch(sim, &path, &json!({ "metadata": { "annotations": { key: recorded } } })).await;
    let route: IpNet = route.parse().unwrap();
    on_machine(sim, router, |machine| {
        machine.tailscaled.prefs.advertise_routes.insert(route);
    });
    route
}

#[tokio::test]
async fn no_surface_loses_more_than_the_share_in_one_run() {
    let mut harness = deployed().await;
    let approved = leave_advertised(&harness.sim, DC_ROUTER, "10.244.99.0/24").await;
    let advertised = leave_advertised(&harness.sim, AKS_ROUTER, "10.244.98.0/24").await;
    {
        let mut world = harness.sim.shared().lock();
        let device = world.tailnet.devices.values_mut().find(|device| device.hostname == DC_ROUTER).unwrap();
        device.enabled.insert(approved);
    }
    let name = "stargate-stargate-aks-e2e-7-10.99.0.0-16";
    let properties =
        json!({ "addressPrefix": "10.99.0.0/16", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.237.0.4" });
    let route = format!("routeTables/stargate-workers-rt/routes/{name}");
    write(&harness.sim, NODE_GROUP, &route, json!({ "properties": properties })).await;
    let left = async |harness: &Harness| {
        let path = outside::network(&harness.sim, NODE_GROUP, &route);
        let in_table = outside::find_azure(&harness.sim, &path).await.is_some();
        let world = harness.sim.shared().peek();
        let device = world.tailnet.devices.values().find(|device| device.hostname == DC_ROUTER).unwrap();
        let preferences = &world.hosts.machines[AKS_ROUTER].tailscaled.prefs;
        [in_table, device.enabled.contains(&approved), preferences.advertise_routes.contains(&advertised)]
    };

    let mut inputs = inputs::of(SYNC, &WorldFacts::of(&harness.sim).await);
    inputs.insert("max_prune_share".into(), json!(0.1));
    let code = harness.run_with_inputs(&["run", "workflow"], SYNC, &inputs).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let words = output(&harness);
    for step in [
        "stale_workers_routes".to_owned(),
        format!("stale_approvals[{DC_ROUTER}]"),
        format!("stale_advertisements[{AKS_ROUTER}]"),
    ] {
        let refused = words.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut refused = refused.filter(|event| event["event"] == "step_failed" && event["step"] == *step);
        let error = refused.next().unwrap_or_else(|| panic!("{step} has not failed: {words}"));
        assert!(error.to_string().contains("max_prune_share"), "{error}");
    }
    assert_eq!(left(&harness).await, [true; 3]);
    assert_eq!(dead(&harness.sim), [""; 0]);

    harness.run_to_success(SYNC).await;
    assert_eq!(left(&harness).await, [false; 3], "half of them is permitted");
}

/// Adds the device that a router was before it was created again: offline, with its approvals.
fn add_former_device(sim: &Sim) {
    let mut world = sim.shared().lock();
    let mut device = world.tailnet.devices.values().next().unwrap().clone();
    let routes = ["10.244.64.0/18", "192.168.1.0/24"].map(|text| text.parse().unwrap());
    device.id += 2000;
    (device.node_id.0, device.hostname, device.label) = ("nFormerCNTRL".into(), "former".into(), "former".into());
    (device.online, device.advertised, device.enabled) = (false, routes.into(), routes.into());
    world.tailnet.devices.insert(device.id, device);
}

/// Routes of an earlier version have no cluster in their names.
#[tokio::test]
async fn routes_of_an_earlier_version_are_renamed_in_one_write() {
    let mut harness = deployed().await;
    let path = outside::network(&harness.sim, NODE_GROUP, "routeTables/stargate-workers-rt");
    let mut table = outside::read_azure(&harness.sim, &path).await;
    for route in table["properties"]["routes"].as_array_mut().unwrap() {
        let name = route["name"].as_str().unwrap().replace("stargate-stargate-aks-e2e-7-", "stargate-");
        *route = json!({ "name": name, "properties": route["properties"] });
    }
    outside::change_azure(&harness.sim, "PUT", &path, table).await;
    assert_eq!(harness.run_shipped(&["plan"], SYNC).await, Some(2), "{}", harness.last_output());
    let before = writes(&harness);
    harness.run_to_success(SYNC).await;
    assert_eq!(writes(&harness) - before, 1, "one write of the table");
    assert_eq!(dead(&harness.sim), [""; 0]);
    let table = outside::read_azure(&harness.sim, &path).await;
    let routes = table["properties"]["routes"].as_array().unwrap();
    assert!(!routes.is_empty());
    for route in routes {
        let name = route["name"].as_str().unwrap();
        assert!(name.starts_with("stargate-stargate-aks-e2e-7-10."), "{name}");
    }
}

/// Broken states that the simulator's own tests and the rig know.
const CATALOGUE: &str = include_str!("../plugins/sim/tests/dataplane/broken-states.json");

/// Returns a drift of the catalogue with the names of this deployment, which advertises one prefix
/// for each site.
fn named_here(drift: &Value) -> Value {
    let mut drift = drift.clone();
    for key in ["machine", "host", "router", "subnet"] {
        let name = match drift[key].as_str() {
            Some("aks-router") => AKS_ROUTER,
            Some("dc-router") => DC_ROUTER,
            Some("routers") => "stargate-aks-router-subnet",
            Some("machines") => "stargate-dc-subnet",
            _ => continue,
        };
        drift[key] = name.into();
    }
    let is_of_site = drift["router"] == DC_ROUTER || drift["subnet"] == "aks-subnet";
    if is_of_site && drift["prefix"].as_str().is_some_and(|prefix| prefix.starts_with("10.244.6")) {
        drift["prefix"] = "10.244.64.0/18".into();
    }
    drift
}

#[tokio::test]
async fn each_broken_state_of_the_catalogue_is_planned_and_repaired() {
    let mut harness = deployed().await;
    harness.run_to_success("repave-worker").await; // one state is that of its CiliumNode
    let mut found = vec![];
    for state in serde_json::from_str::<Vec<Value>>(CATALOGUE).unwrap() {
        for change in state["break"].as_array().unwrap() {
            outside::drift(&harness.sim, &named_here(change)).await;
        }
        let fault = SurfaceFault {
            what: state["name"].as_str().unwrap().to_owned(),
            apply: |_| Box::pin(async {}),
            revert: None,
            named: &[],
            kills: !state["dead"].as_array().unwrap().is_empty(),
        };
        found.extend(reaction(&mut harness, &fault).await);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
