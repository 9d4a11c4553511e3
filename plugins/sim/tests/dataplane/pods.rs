use serde_json::{Value, json};
use stargate_sim::World;
use stargate_sim::dataplane::{DropCause, Plane, reach};
use stargate_sim::host::Phase;

use crate::bench::{DataplaneBench, open};

#[track_caller]
fn check(world: &World, (from, to): (&str, &str), at: &str, cause: DropCause, why: &str) {
    let path = reach(world, from, to).unwrap();
    let died = path.died().unwrap_or_else(|| panic!("it arrived: {path:#?}"));
    assert_eq!((died.at.as_str(), died.cause, died.why.as_str()), (at, cause, why), "{path:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_runs_at_once_with_an_address_of_its_nodes_true_range() {
    let bench = open().await;
    for (node, address) in [("aks-1", "10.244.0."), ("worker-2", "10.244.65.")] {
        let pod = bench.pod(&format!("on-{node}"), Some(node)).await;
        assert_eq!(pod["status"]["phase"], "Running");
        assert!(pod["status"]["podIP"].as_str().unwrap().starts_with(address), "{}", pod["status"]);
    }
    let pod = bench.pod("anywhere", None).await;
    assert_eq!(pod["status"]["phase"], "Running");
    let (node, ip) = (pod["spec"]["nodeName"].as_str().unwrap(), pod["status"]["podIP"].as_str().unwrap());
    let block = match node {
        "aks-1" => "10.244.0.",
        "aks-2" => "10.244.1.",
        "worker-1" => "10.244.64.",
        _ => "10.244.65.",
    };
    assert!(ip.starts_with(block), "{node}: {ip}");
    let path = reach(&bench.sim.shared().peek(), "anywhere", "on-worker-2").unwrap();
    assert_eq!(path.from.host, node);
    assert!(path.ok, "{path:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_the_hosts_network_are_their_nodes() {
    let bench = open().await;
    let plane = Plane::of(&bench.sim.shared().peek());
    let agent = plane.pods().iter().find(|pod| pod.name.starts_with("kube-system/cilium-") && pod.host == "aks-1");
    assert_eq!(agent.unwrap().ip.to_string(), "10.224.0.4");
    assert_eq!(agent.unwrap().site, "AKS");
}

/// The machine's range is another than what is routed to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_nothing_routes_is_the_cause() {
    let bench = open().await;
    bench.pod("asks", Some("aks-1")).await;
    bench.sim.shared().lock().kube.compact();
    assert!(stargate_sim::kube::remove_node(&mut bench.sim.shared().lock().kube, "worker-1"));
    bench.join("worker-1", "10.50.1.5", "10.244.80.0/24");
    bench.pod("answers", Some("worker-1")).await;
    let why = "its pods have addresses of 10.244.80.0/24, and what is routed to it is 10.244.64.0/24";
    check(&bench.sim.shared().peek(), ("asks", "answers"), "worker-1", DropCause::PodRange, why);
}

/// The cluster still has a pod that the newly installed machine does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_another_range_is_not_there() {
    let bench = open().await;
    bench.pods().await;
    bench.join("worker-1", "10.50.1.5", "10.244.80.0/24");
    let why = "its pods have addresses of 10.244.80.0/24, so none has 10.244.64.2";
    let world = bench.sim.shared().peek();
    check(&world, ("echo-aks-1", "echo-worker-1"), "worker-1", DropCause::PodRange, why);
    check(&world, ("echo-worker-1", "echo-aks-1"), "worker-1", DropCause::PodRange, why);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_has_not_booted_has_no_pods() {
    let bench = open().await;
    bench.pods().await;
    let mut world = bench.sim.shared().lock();
    world.hosts.machines.get_mut("worker-2").unwrap().phase = Phase::Booting;
    let why = "the machine has not booted yet";
    check(&world, ("echo-aks-1", "echo-worker-2"), "worker-2", DropCause::MachineOff, why);
    check(&world, ("echo-worker-2", "echo-aks-1"), "worker-2", DropCause::MachineOff, why);
    assert!(reach(&world, "echo-aks-1", "echo-worker-1").unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_machine_reaches_nobody() {
    let bench = open().await;
    bench.pods().await;
    bench.sim.shared().lock().hosts.machines.remove("worker-1");
    let world = bench.sim.shared().peek();
    check(&world, ("echo-worker-1", "echo-aks-1"), "worker-1", DropCause::Nobody, "the machine is gone");
    assert!(!reach(&world, "echo-aks-1", "echo-worker-1").unwrap().ok);
}

fn cells(matrix: &Value) -> usize {
    matrix["cells"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_is_of_the_pods_that_are_chosen() {
    let bench = open().await;
    bench.pods().await;
    let ask = async |bench: &DataplaneBench, query: &str| -> Value {
        serde_json::from_str(&bench.fetch(&format!("matrix{query}")).await).unwrap()
    };
    let matrix = bench.matrix().await;
    assert_eq!((cells(&matrix), &matrix["dead"]), (12, &json!(0)));
    assert_eq!(cells(&ask(&bench, "?selector=app%3Dother").await), 0);
    assert_eq!(cells(&ask(&bench, "?namespace=kube-system&selector=app%3Decho").await), 0);
    assert!(cells(&ask(&bench, "").await) > 12, "pods of every namespace");
    assert!(bench.fetch("matrix?selector=a%20b%20c").await.contains("selector"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_as_text_has_a_line_for_each_dead_pair() {
    let bench = open().await;
    bench.pods().await;
    let text = bench.fetch("matrix?selector=app%3Decho&format=text").await;
    let expected = "12 of 12 pairs answer, source addresses kept

                                AKS      DC dc-vnet
                                1   2    3   4
AKS          1 echo-aks-1       .   +    +   +
             2 echo-aks-2       +   .    +   +
DC dc-vnet   3 echo-worker-1    +   +    .   +
             4 echo-worker-2    +   +    +   .

+ answers   ~ answers, but sees another source address   x dead   . itself
";
    assert_eq!(text, expected);
    bench.drift(&json!({ "kind": "kernel_forwarding", "host": "dc-router" })).await;
    let text = bench.fetch("matrix?selector=app%3Decho&format=text").await;
    assert!(text.starts_with("4 of 12 pairs answer"), "{text}");
    let line = "echo-aks-1 -> echo-worker-1: dies at dc-router: the kernel does not forward packet for 10.244.64.2 \
                (net.ipv4.ip_forward) (kernel_forwarding)";
    assert!(text.lines().any(|each| each == line), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains(": dies at ")).count(), 8, "{text}");
}
