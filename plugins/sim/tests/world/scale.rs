use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::harness::{WorldBench, open};

/// Number of nodes that the cluster gets besides its first two.
const NODES: u16 = 998;

async fn grown() -> WorldBench {
    let bench = open().await;
    let node = |number: u16| {
        let [high, low] = (number + 4).to_be_bytes();
        let [_, block] = number.to_be_bytes();
        json!({
            "name": format!("aks-nodepool1-41954725-vmss{number:06}"),
            "address": format!("10.224.{high}.{low}"),
            "pod_cidr": format!("10.{}.{block}.0/24", 244 + (number >> 8)),
        })
    };
    let nodes: Vec<Value> = (2..NODES + 2).map(node).collect();
    bench.tell("/aks-nodes", json!(nodes)).await.expect(201);
    bench
}

fn administrator(bench: &WorldBench) -> (Client, String) {
    let authority = Certificate::from_pem(&std::fs::read(bench.sim.ca_file()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([authority]).build().unwrap();
    let config = std::fs::read_to_string(bench.sim.kubeconfig()).unwrap();
    let token = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap().to_owned();
    (client, token)
}

/// Reads all pages of a list.
async fn pages(bench: &WorldBench, path: &str, limit: usize) -> Vec<Value> {
    let (client, token) = administrator(bench);
    let base = format!("{}{path}?limit={limit}", bench.sim.kube_url().unwrap());
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let text = client.get(format!("{base}&continue={next}")).bearer_auth(&token).send().await.unwrap().text().await;
        let page: Value = serde_json::from_str(&text.unwrap()).unwrap();
        page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut next);
        pages.push(page);
        if next.is_empty() {
            return pages;
        }
    }
}

fn items(pages: &[Value]) -> usize {
    pages.iter().map(|page| page["items"].as_array().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_nodes_are_listed_in_pages_or_in_one_answer() {
    let bench = grown().await;
    for path in [
        "/api/v1/nodes",
        "/apis/acn.azure.com/v1alpha/namespaces/kube-system/nodenetworkconfigs",
        "/apis/cilium.io/v2/ciliumnodes",
    ] {
        let whole = pages(&bench, path, 0).await;
        assert_eq!((whole.len(), items(&whole)), (1, 1000), "{path}");
        let parts = pages(&bench, path, 300).await;
        assert_eq!((parts.len(), items(&parts)), (4, 1000), "{path}");
        assert_eq!(parts[0]["metadata"]["remainingItemCount"], 700, "{path}");
    }
    let plane = stargate_sim::dataplane::Plane::of(&bench.sim.shared().peek());
    assert_eq!(plane.machines().len(), 1000);
}
