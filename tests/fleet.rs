//! Many machines in one run: a rolling repave of a site.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]

#[path = "world/inputs.rs"]
mod inputs;
#[path = "world/outside.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod outside;
#[path = "world/parties.rs"]
#[expect(dead_code, reason = "each test uses a part of the module")]
mod parties;
mod world;

use inputs::{DC_GROUP, WorldFacts};
use serde_json::{Map, Value, json};
use stargate_sim::dataplane::Plane;
use world::Harness;

const SITE: &str = "repave-site";
const WORKERS: [&str; 4] = ["worker-1", "worker-2", "worker-3", "worker-4"];
/// Version before that of the cluster.
const FORMER: &str = "v1.33.4";

/// Returns a world with four registered workers, none of which is a node.
async fn deployed() -> Harness {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    harness.run_to_success("provision-aks-router").await;
    let mut inputs = inputs::of("provision-dc", &WorldFacts::of(&harness.sim).await);
    let worker = |(at, name): (usize, &&str)| json!({ "name": name, "private_ip": format!("10.50.1.{}", at + 5) });
    inputs.insert("workers".into(), WORKERS.iter().enumerate().map(worker).collect());
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    harness
}

async fn site_inputs(harness: &Harness, other: &Value) -> Map<String, Value> {
    let mut inputs = inputs::of(SITE, &WorldFacts::of(&harness.sim).await);
    inputs.insert("workers".into(), json!(WORKERS));
    inputs.extend(other.as_object().unwrap().clone());
    inputs
}

async fn repave(harness: &mut Harness, verb: &[&str], other: &Value) -> Option<i32> {
    let inputs = site_inputs(harness, other).await;
    harness.run_with_inputs(verb, SITE, &inputs).await
}

/// Returns the checksum of a kubelet in the simulated mirror.
async fn checksum(harness: &Harness, version: &str) -> Value {
    let url = format!("{}/_mirror/kubernetes/{version}/bin/linux/amd64/kubelet.sha256", harness.sim.http_url());
    reqwest::get(url).await.unwrap().text().await.unwrap().into()
}

/// Returns the version of each worker's kubelet, and whether pods can be scheduled on it.
async fn nodes(harness: &Harness) -> Vec<(String, String, bool)> {
    let nodes = outside::list(&harness.sim, "/api/v1/nodes").await;
    let node = |node: &Value| {
        let name = node["metadata"]["name"].as_str().unwrap().to_owned();
        let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap_or_default().to_owned();
        (name, version, node["spec"]["unschedulable"] != true)
    };
    let mut found: Vec<_> = nodes.iter().map(node).filter(|(name, ..)| name.starts_with("worker-")).collect();
    found.sort();
    found
}

fn writes(harness: &Harness) -> usize {
    harness.sim.shared().peek().traffic.log.iter().filter(|request| request.mutating).count()
}

/// Returns the steps of the run that was just executed in the order in which they started.
fn started(harness: &Harness) -> Vec<String> {
    let (_, lines) = &harness.outputs[harness.outputs.len() - 2];
    let events = String::from_utf8_lossy(lines);
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let started: Vec<_> = events.filter(|event| event["event"] == "step_started").collect();
    assert!(!started.is_empty(), "{}", harness.last_output());
    started.iter().map(|event| event["step"].as_str().unwrap().to_owned()).collect()
}

/// Returns the worker of a step's name.
fn worker_of(step: &str) -> &str {
    step.trim_start_matches("repave[").split(']').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_of_a_site_are_repaved_one_after_the_other() {
    let mut harness = deployed().await;
    assert_eq!(repave(&mut harness, &["plan"], &json!({})).await, Some(2), "{}", harness.last_output());
    assert_eq!(repave(&mut harness, &["run", "workflow"], &json!({})).await, Some(0), "{}", harness.last_output());
    let joined = WORKERS.map(|name| (name.to_owned(), "v1.33.5".to_owned(), true));
    assert_eq!(nodes(&harness).await, joined);
    let mut order: Vec<String> = started(&harness).iter().map(|step| worker_of(step).to_owned()).collect();
    order.dedup();
    assert_eq!(order, WORKERS, "no worker begins before the one before it has ended");

    let before = writes(&harness);
    let code = repave(&mut harness, &["run", "workflow"], &json!({ "max_unavailable": 4 })).await;
    assert_eq!((code, writes(&harness)), (Some(0), before), "{}", harness.last_output());
    assert_eq!(repave(&mut harness, &["plan"], &json!({})).await, Some(0), "{}", harness.last_output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_checksum_stops_a_rolling_repave_before_the_first_drain() {
    let mut harness = deployed().await;
    assert_eq!(repave(&mut harness, &["run", "workflow"], &json!({ "max_unavailable": 3 })).await, Some(0));
    let (before, joined) = (writes(&harness), nodes(&harness).await);
    let bad = json!({ "kubelet_version": FORMER, "kubelet_sha256": "0".repeat(64) });
    assert_eq!(repave(&mut harness, &["run", "workflow"], &bad).await, Some(3));
    let concerned: Vec<String> = started(&harness);
    assert_eq!((writes(&harness), nodes(&harness).await), (before, joined), "{}", harness.last_output());
    assert!(concerned.iter().all(|step| worker_of(step) == "worker-1"), "{concerned:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_fails_stops_those_after_it_and_a_resume_continues_there() {
    let mut harness = deployed().await;
    assert_eq!(repave(&mut harness, &["run", "workflow"], &json!({ "max_unavailable": 4 })).await, Some(0));
    with_kubeadm(&harness, "worker-3", true);
    let sha = checksum(&harness, FORMER).await;
    let former = json!({ "kubelet_version": FORMER, "kubelet_sha256": sha });
    let code = repave(&mut harness, &["run", "workflow"], &former).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let versions: Vec<_> = nodes(&harness).await.into_iter().map(|(_, version, _)| version).collect();
    assert_eq!(versions, [FORMER, FORMER, "v1.33.5", "v1.33.5"], "{}", harness.last_output());
    with_kubeadm(&harness, "worker-3", false);
    assert_eq!(harness.run(&["resume"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(nodes(&harness).await, WORKERS.map(|name| (name.to_owned(), FORMER.to_owned(), true)));
}

/// Returns the pairs of the cluster's pods that do not reach each other, of one pod on each node.
async fn dead_pairs(harness: &Harness) -> Vec<String> {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "fleet" } });
    outside::create(&harness.sim, "/api/v1/namespaces", &namespace).await;
    let nodes = outside::list(&harness.sim, "/api/v1/nodes").await;
    for node in &nodes {
        let name = node["metadata"]["name"].as_str().unwrap();
        let container = json!({ "name": "c", "image": "registry.k8s.io/e2e-test-images/agnhost:2.53" });
        let spec = json!({ "nodeName": name, "containers": [container] });
        let metadata = json!({ "name": name, "namespace": "fleet" });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        outside::create(&harness.sim, "/api/v1/namespaces/fleet/pods", &pod).await;
    }
    let pods = || {
        let plane = Plane::of(&harness.sim.shared().peek());
        plane.pods().iter().filter(|pod| pod.name.starts_with("fleet/")).cloned().collect::<Vec<_>>()
    };
    let all_run = outside::becomes(|| pods().len() == nodes.len()).await;
    assert!(all_run, "{:?}", outside::list(&harness.sim, "/api/v1/namespaces/fleet/pods").await);
    let found = pods();
    let plane = Plane::of(&harness.sim.shared().peek());
    let dead = plane.matrix(&found).cells.into_iter().filter(|cell| !cell.ok);
    dead.map(|cell| format!("{} → {}", cell.from, cell.to)).collect()
}

/// Runs a command of the deployment whose inputs are in a file.
async fn deploy(harness: &mut Harness, command: &[&str]) -> Option<i32> {
    let file = harness.path("stargate.yaml");
    let inputs = inputs::of("deploy", &WorldFacts::of(&harness.sim).await);
    std::fs::write(&file, serde_json::to_string_pretty(&inputs).unwrap()).unwrap();
    let file = ["--inputs", file.to_str().unwrap(), "-o", "json"];
    harness.run(&[command, &file].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_two_sites_is_made_by_one_run_and_changed_by_no_second_one() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    assert_eq!(deploy(&mut harness, &["plan"]).await, Some(2), "{}", harness.last_output());
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(dead_pairs(&harness).await, Vec::<String>::new());
    let before = writes(&harness);
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(writes(&harness), before, "{}", harness.last_output());
    assert_eq!(deploy(&mut harness, &["plan"]).await, Some(0), "{}", harness.last_output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_fails_stops_no_other_one_and_the_next_run_adds_it() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    let mut inputs = inputs::of("deploy", &WorldFacts::of(&harness.sim).await);
    let mut sites = inputs["sites"].clone();
    // The second site's network overlaps the first one's.
    sites[1]["pod_block"] = json!("10.244.64.0/18");
    let good = inputs.insert("sites".into(), sites).unwrap();
    let code = harness.run_with_inputs(&["run", "workflow"], "deploy", &inputs).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let names: Vec<_> = nodes(&harness).await.into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["worker-1", "worker-2"], "the first site is complete: {}", harness.last_output());
    inputs.insert("sites".into(), good);
    let code = harness.run_with_inputs(&["run", "workflow"], "deploy", &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
    assert_eq!(dead_pairs(&harness).await, Vec::<String>::new());
}

/// Collections of the cluster in which a deployment has objects.
const COLLECTIONS: [&str; 11] = [
    "/api/v1/nodes",
    "/api/v1/namespaces/kube-system/configmaps",
    "/api/v1/namespaces/kube-system/serviceaccounts",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/apis/cilium.io/v2/ciliumnodes",
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
];

/// Returns the names of all objects in Azure, in the tailnet and in the cluster, and the subnets of
/// the cluster's network with their route tables.
async fn surfaces(harness: &Harness) -> Vec<String> {
    let sim = &harness.sim;
    let subscription = format!("/subscriptions/{}", sim.subscription());
    let mut found = Vec::new();
    for path in ["resourcegroups", "resources"] {
        let listed = outside::read_azure(sim, &format!("{subscription}/{path}?api-version=2021-04-01")).await;
        let ids = listed["value"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned());
        found.extend(ids);
    }
    let networks = outside::read_azure(sim, &outside::network(sim, inputs::NODE_GROUP, "virtualNetworks")).await;
    let subnets = networks["value"][0]["properties"]["subnets"].as_array().unwrap().iter();
    found.extend(subnets.map(|it| format!("{}: {}", it["id"], it["properties"]["routeTable"])));
    let devices = sim.shared().peek().tailnet.devices.values().map(|it| it.hostname.clone()).collect::<Vec<_>>();
    found.extend(devices);
    for path in COLLECTIONS {
        let objects = outside::list(sim, path).await;
        found.extend(objects.iter().map(|it| format!("{path}/{}", it["metadata"]["name"].as_str().unwrap())));
    }
    // The names of disks and certificate requests have a random end.
    for name in &mut found {
        let end = name.find("_OsDisk_").or_else(|| name.find("certificatesigningrequests/"));
        name.truncate(end.unwrap_or(name.len()));
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn more_workers_than_a_site_has_room_for_are_refused_before_the_first_write() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    let mut inputs = inputs::of("deploy", &WorldFacts::of(&harness.sim).await);
    inputs["sites"][1]["pod_block"] = json!("10.244.128.0/24");
    let before = writes(&harness);
    let code = harness.run_with_inputs(&["run", "workflow"], "deploy", &inputs).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    let reason = "pod CIDR 10.244.128.0/24 of site lyon has 1 × /24, fewer than the site has workers: 2";
    assert!(harness.last_output().contains(reason), "{}", harness.last_output());
    assert_eq!(writes(&harness), before, "{}", harness.last_output());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_deployment_serves_the_other_workflows() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    for command in [&["plan", "sync-pod-routes"][..], &["plan", "repave-site", "--input", "site=lyon"]] {
        assert_eq!(deploy(&mut harness, command).await, Some(0), "{command:?}: {}", harness.last_output());
    }
    let unknown = ["plan", "repave-site", "--input", "site=paris"];
    assert_eq!(deploy(&mut harness, &unknown).await, Some(65), "{}", harness.last_output());
    assert!(harness.last_output().contains("sites has no site paris with workers"), "{}", harness.last_output());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_party_has_created_is_kept_with_its_group() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    let table = json!({ "location": "westeurope", "properties": {} });
    parties::write(&harness.sim, DC_GROUP, "routeTables/company-rt", table).await;
    assert_eq!(deploy(&mut harness, &["down", "--yes"]).await, Some(0), "{}", harness.last_output());
    let left = surfaces(&harness).await;
    assert!(
        harness.last_output().contains("is kept, with resources of others: 1, such as"),
        "{}",
        harness.last_output()
    );
    let of_site: Vec<_> = left.iter().filter(|name| name.contains(DC_GROUP)).collect();
    assert_eq!(of_site.len(), 2, "the table and its group: {of_site:?}");
    assert!(left.iter().all(|name| !name.contains("stargate-aks-e2e-7-lyon")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_in_use_by_another_party_is_not_removed_in_part() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    let subnet = format!("virtualNetworks/{}-vnet/subnets/stargate-dc-subnet", inputs::DC_ROUTER);
    let subnet = outside::network(&harness.sim, DC_GROUP, &subnet);
    let subnet = subnet.split('?').next().unwrap();
    let configuration = json!({ "name": "ip", "properties": { "subnet": { "id": subnet } } });
    let nic = json!({ "location": "westeurope", "properties": { "ipConfigurations": [configuration] } });
    parties::write(&harness.sim, DC_GROUP, "networkInterfaces/company-nic", nic).await;
    let before = surfaces(&harness).await;
    let inputs =
        json!({ "cluster": inputs::CLUSTER, "cluster_resource_group": inputs::CLUSTER, "site": "dc", "verify": false });
    let code = harness.run_with_inputs(&["run", "workflow"], "remove-site", inputs.as_object().unwrap()).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    assert!(harness.last_output().contains("company-nic"), "{}", harness.last_output());
    assert_eq!(surfaces(&harness).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_being_removed_is_completed_only_after_its_removal() {
    let mut harness = deployed().await;
    let leaving = json!({ "metadata": { "annotations": { "stargate.io/leaving": "true" } } });
    outside::patch(&harness.sim, "/apis/stargate.io/v1alpha1/sites/dc", &leaving).await;
    let inputs = inputs::of("provision-dc", &WorldFacts::of(&harness.sim).await);
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
    assert_eq!(code, Some(3), "{}", harness.last_output());
    assert!(harness.last_output().contains("site dc is being removed"), "{}", harness.last_output());
    harness.run_to_success("sync-pod-routes").await;
    harness.run_to_success("remove-site").await;
    let code = harness.run_with_inputs(&["run", "workflow"], "provision-dc", &inputs).await;
    assert_eq!(code, Some(0), "{}", harness.last_output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_removed_completely_and_made_again_as_it_was() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    let before = surfaces(&harness).await;
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    let made = surfaces(&harness).await;
    assert_eq!(deploy(&mut harness, &["plan", "teardown"]).await, Some(2), "{}", harness.last_output());
    assert_eq!(deploy(&mut harness, &["down", "--yes"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(surfaces(&harness).await, before, "{}", harness.last_output());
    let writes_before = writes(&harness);
    assert_eq!(deploy(&mut harness, &["down", "--yes"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(writes(&harness), writes_before, "{}", harness.last_output());
    assert_eq!(deploy(&mut harness, &["up", "--yes"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(surfaces(&harness).await, made);
    assert_eq!(dead_pairs(&harness).await, Vec::<String>::new());
}

/// File of kubeadm's package, which a repave refuses.
const KUBEADM: &str = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf";

fn with_kubeadm(harness: &Harness, machine: &str, on: bool) {
    let mut world = harness.sim.shared().lock();
    let files = &mut world.hosts.machines.get_mut(machine).unwrap().files;
    if on {
        files.make_directories("/etc/systemd/system/kubelet.service.d");
        files.put(KUBEADM, 0o644, "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet\n");
    } else {
        files.nodes.remove(KUBEADM).unwrap();
    }
}
