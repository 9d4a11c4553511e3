use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::open;

const NODE: &str = "aks-nodepool1-41954725-vmss00000";

#[tokio::test]
async fn paths_and_the_matrix_are_told_to_whoever_asks() {
    let bench = open().await;
    let pod = |number: u8| json!({ "name": format!("pod-{number}"), "node": format!("{NODE}{number}"), "ip": format!("10.244.{number}.5") });
    let pods = json!([pod(0), pod(1)]);
    let put = bench.control(Method::PUT, "/pods").json(&pods).send().await.unwrap();
    assert_eq!(put.status(), 204);
    assert_eq!(bench.world("/pods").await, pods);
    let path = bench.world("/path?from=pod-0&to=10.244.1.5").await;
    assert_eq!((&path["ok"], &path["to"]["host"]), (&json!(true), &json!(format!("{NODE}1"))));
    assert_eq!(path["request"]["hops"][0]["what"], format!("Azure carries 10.244.1.5 to node {NODE}1"));
    // Pods of `PUT /_world/pods` exist besides those of the cluster.
    let among = |matrix: &Value, names: [&str; 2]| {
        let is = |end: &Value| names.iter().any(|name| end.as_str().unwrap().starts_with(name));
        matrix["cells"].as_array().unwrap().iter().filter(|cell| is(&cell["from"]) && is(&cell["to"])).count()
    };
    assert_eq!(among(&bench.world("/matrix").await, ["pod-", NODE]), 2);
    let matrix = bench.world("/matrix?machines=1").await;
    assert_eq!((among(&matrix, ["pod-", NODE]), &matrix["dead"]), (12, &json!(0)));
    let unknown = bench.control(Method::GET, "/path?from=pod-0&to=nobody").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.text().await.unwrap(), "no pod or machine is called or has the address \"nobody\"");
}
