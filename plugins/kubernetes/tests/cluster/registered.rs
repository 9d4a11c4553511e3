use serde_json::{Value, json};
use stargate_sdk::FailureKind;

use crate::cluster::Cluster;

const INVENTORY: &str = "kubernetes.inventory.read";
const SITES: &str = "/apis/stargate.io/v1alpha1/sites";
const SERVERS: &str = "/apis/stargate.io/v1alpha1/servers";

fn define(cluster: &Cluster) {
    for (plural, kind) in [("sites", "Site"), ("servers", "Server")] {
        let spec = json!({"group": "stargate.io", "names": {"plural": plural, "kind": kind}, "versions": [{"name": "v1alpha1"}]});
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.stargate.io");
        cluster.fake.state().put(&path, json!({"spec": spec}));
    }
}

fn put(cluster: &Cluster, path: &str, spec: &Value) {
    cluster.fake.state().put(path, json!({ "spec": spec }));
}

fn ssh(address: &str) -> Value {
    json!({"address": address, "user": "azureuser", "hostKey": "ssh-ed25519 AAAA"})
}

/// A cluster with its own site and a datacenter of two workers.
async fn registered() -> Cluster {
    let cluster = Cluster::start().await;
    define(&cluster);
    put(
        &cluster,
        &format!("{SITES}/aks"),
        &json!({"type": "aks", "subnet": "10.224.100.0/24",
        "virtualNetwork": ["10.224.0.0/12"], "router": "aks-router"}),
    );
    put(
        &cluster,
        &format!("{SITES}/dc"),
        &json!({"type": "datacenter", "subnet": "10.50.1.0/24", "virtualNetwork":
        ["10.50.0.0/16"], "podBlock": "10.244.64.0/18", "fabric": "azure", "router": "dc-router", "azure": {
        "resourceGroup": "rg", "location": "westeurope", "virtualNetwork": "v", "subnet": "s", "routeTable": "rt"}}),
    );
    for (site, name, ip) in [("aks", "aks-router", "10.224.100.4"), ("dc", "dc-router", "10.50.1.4")] {
        put(
            &cluster,
            &format!("{SERVERS}/{name}"),
            &json!({"site": site, "role": "router", "ip": ip,
            "tailscaleIP": "100.64.0.1", "nodeID": format!("n-{site}"), "ssh": ssh("20.0.0.1")}),
        );
    }
    for (name, ip, block) in [("w2", "10.50.1.6", "10.244.66.0/24"), ("w1", "10.50.1.5", "10.244.65.0/24")] {
        put(
            &cluster,
            &format!("{SERVERS}/{name}"),
            &json!({"site": "dc", "role": "worker", "ip": ip,
            "podCIDR": block, "ssh": ssh(ip)}),
        );
    }
    cluster
}

#[tokio::test]
async fn all_that_is_registered_is_told_in_the_shape_of_those_who_take_it() {
    let cluster = registered().await;
    let (output, _) = cluster.actions.step(INVENTORY, json!({})).await.expect("read");
    assert_eq!(
        output["aks"],
        json!({"name": "aks", "router_subnet": "10.224.100.0/24",
        "virtual_network": ["10.224.0.0/12"], "router": {"name": "aks-router", "ip": "10.224.100.4"},
        "datacenter_prefixes": []})
    );
    assert_eq!(output["strategy"], "per_site");
    assert_eq!(
        output["sites"],
        json!([{"name": "dc", "fabric": "azure", "subnet": "10.50.1.0/24",
        "virtual_network": ["10.50.0.0/16"], "pod_block": "10.244.64.0/18",
        "router": {"name": "dc-router", "ip": "10.50.1.4"}, "workers": [
            {"name": "w1", "internal_ip": "10.50.1.5", "pod_cidr": "10.244.65.0/24"},
            {"name": "w2", "internal_ip": "10.50.1.6", "pod_cidr": "10.244.66.0/24"}]}])
    );
    assert_eq!(output["azure_sites"][0]["machines"], json!(["dc-router", "w1", "w2"]));
    assert_eq!(output["azure_sites"][0]["addresses"], json!(["10.50.1.4", "10.50.1.5", "10.50.1.6"]));
    assert_eq!(output["routers"][1]["node_id"], "n-dc");
    assert_eq!(output["workers"][0]["host"]["via"]["address"], "20.0.0.1");
    let preview = cluster.actions.preview(INVENTORY, json!({})).await.expect("preview");
    assert!(format!("{preview:?}").contains("Unchanged"), "a plan can use the output: {preview:?}");
}

#[tokio::test]
async fn a_worker_is_read_with_its_ssh_access() {
    let cluster = registered().await;
    let (output, _) = cluster.actions.step("kubernetes.server.read", json!({"name": "w1"})).await.expect("read");
    assert_eq!(
        (&output["site"], &output["role"], &output["pod_cidr"]),
        (&json!("dc"), &json!("worker"), &json!("10.244.65.0/24"))
    );
    assert_eq!(output["host"]["address"], "10.50.1.5");
    let (kind, error) = cluster.fails("kubernetes.server.read", json!({"name": "w9"})).await;
    assert_eq!((kind, error.contains("\"w9\" is not registered")), (FailureKind::Permanent, true), "{error}");
}

#[tokio::test]
async fn machines_on_a_segment_are_listed_apart() {
    let cluster = registered().await;
    let (output, _) = cluster.actions.step(INVENTORY, json!({})).await.expect("read");
    assert_eq!(output["segment_machines"], json!([]));
    let segment = json!({"type": "datacenter", "subnet": "10.50.1.0/24", "podBlock": "10.244.64.0/18",
        "fabric": "l2", "router": "dc-router"});
    put(&cluster, &format!("{SITES}/dc"), &segment);
    let (output, _) = cluster.actions.step(INVENTORY, json!({})).await.expect("read");
    let machines = output["segment_machines"].as_array().expect("a list").iter();
    let names: Vec<_> = machines.filter_map(|it| it["name"].as_str()).collect();
    assert_eq!((names, &output["azure_sites"]), (vec!["dc-router", "w1", "w2"], &json!([])));
}

#[tokio::test]
async fn a_worker_is_found_and_other_machines_are_refused() {
    let cluster = registered().await;
    let find = "kubernetes.worker.find";
    let (output, _) = cluster.actions.step(find, json!({"name": "w1"})).await.expect("found");
    assert_eq!((&output["site"], &output["is_node"]), (&json!("dc"), &json!(false)));
    assert_eq!(output["hosts"][0]["via"]["address"], "20.0.0.1");
    let node = json!({"metadata": {"labels": {"kubernetes.azure.com/managed": "false"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    cluster.fake.state().put("/api/v1/nodes/w1", node);
    cluster.fake.state().put("/api/v1/nodes/aks-1", json!({}));
    let (output, _) = cluster.actions.step(find, json!({"name": "w1"})).await.expect("found");
    assert_eq!(output["is_node"], json!(true));
    let refusals = [
        (json!({"name": "dc-router"}), "is a router"),
        (json!({"name": "aks-1"}), "is managed by AKS"),
        (json!({"name": "w1", "host_is_gone": true}), "is ready"),
        (json!({"name": "w9"}), "registered are: w1, w2"),
    ];
    for (input, said) in refusals {
        let error = cluster.actions.step(find, input).await.expect_err(said);
        let told = format!("{error} {:?}", error.hint);
        assert_eq!((error.kind, told.contains(said)), (FailureKind::Permanent, true), "{told}");
    }
    cluster.fake.state().objects.remove("/api/v1/nodes/w1");
    let gone = json!({"name": "w1", "host_is_gone": true});
    let (output, _) = cluster.actions.step(find, gone).await.expect("found");
    assert_eq!(output["hosts"], json!([]), "a machine that is gone has no SSH access");
}

#[tokio::test]
async fn an_inconsistent_object_is_named() {
    let cluster = Cluster::start().await;
    let check = async |text: &str| {
        let (kind, error) = cluster.fails(INVENTORY, json!({})).await;
        assert_eq!((kind, error.contains(text)), (FailureKind::Permanent, true), "{text}: {error}");
    };
    check("no site of type aks is registered").await;
    define(&cluster);
    check("no site of type aks is registered").await;
    put(&cluster, &format!("{SITES}/aks"), &json!({"type": "aks", "subnet": "10.0.0.0/24", "router": "r"}));
    check("Site \"aks\"").await;
    let router = |site: &str| {
        json!({"site": site, "role": "router", "ip": "10.0.0.4", "tailscaleIP": "100.64.0.1",
        "nodeID": "n", "ssh": ssh("a")})
    };
    put(&cluster, &format!("{SERVERS}/r"), &router("elsewhere"));
    check("site \"elsewhere\" is not registered").await;
    put(&cluster, &format!("{SERVERS}/r"), &router("aks"));
    put(
        &cluster,
        &format!("{SERVERS}/w"),
        &json!({"site": "aks", "role": "worker", "ip": "10.0.0.5", "ssh": ssh("a")}),
    );
    let (output, _) = cluster.actions.step(INVENTORY, json!({})).await.expect("the others are consistent");
    let invalid = json!([{"kind": "Server", "name": "w", "reason": "spec.podCIDR is missing"}]);
    assert_eq!((&output["invalid"], &output["workers"]), (&invalid, &json!([])));
    cluster.fake.state().objects.remove(&format!("{SERVERS}/w"));
    cluster.actions.step(INVENTORY, json!({})).await.expect("consistent");
    put(&cluster, &format!("{SITES}/b"), &json!({"type": "aks", "subnet": "10.0.1.0/24", "router": "r2"}));
    put(&cluster, &format!("{SERVERS}/r2"), &router("b"));
    check("there is another site of type aks").await;
}

#[tokio::test]
async fn objects_of_a_kind_are_listed_whole() {
    let cluster = registered().await;
    let input = json!({"api_version": "stargate.io/v1alpha1", "kind": "Server"});
    let (output, _) = cluster.actions.step("kubernetes.objects.list", input).await.expect("listed");
    assert_eq!(output["objects"].as_array().map(Vec::len), Some(4));
    assert_eq!(output["objects"][0]["kind"], "Server");
    let (kind, error) = cluster.fails("kubernetes.objects.list", json!({"api_version": "v1", "kind": "Widget"})).await;
    assert_eq!((kind, error.contains("no kind Widget")), (FailureKind::Permanent, true), "{error}");
}

#[tokio::test]
async fn a_kubelet_version_that_does_not_fit_is_refused_with_both_versions() {
    let cluster = Cluster::start().await;
    let (kind, error) = cluster.fails("kubernetes.cluster.read", json!({"kubelet_version": "v1.34.0"})).await;
    assert_eq!(kind, FailureKind::Permanent);
    assert!(error.contains("v1.34.0") && error.contains("v1.33.5"), "{error}");
}
