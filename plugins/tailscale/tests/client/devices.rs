use std::time::Duration;

use serde_json::{Value, json};

use crate::tailnet::TestTailnet;

fn device(name: &str, connected: bool, routes: &Value) -> Value {
    json!({"id": format!("1-{name}"), "nodeId": format!("n-{name}"), "name": format!("{name}.example.ts.net"),
        "hostname": name, "addresses": ["fd7a::1", "100.64.0.9"], "tags": ["tag:router"],
        "connectedToControl": connected, "advertisedRoutes": routes, "enabledRoutes": routes})
}

#[tokio::test]
async fn routes_of_other_devices_are_flat_sorted_and_without_default_routes() {
    let tailnet = TestTailnet::start().await;
    tailnet.fake.state().devices = vec![
        device("c", true, &json!(["192.168.0.0/24", "10.9.0.0/16"])),
        device("b", false, &json!(["10.8.0.0/16"])),
        device("own", true, &json!(["10.50.0.0/16"])),
        device("a", true, &json!(["0.0.0.0/0", "::/0", "10.7.0.0/16"])),
        device("plain", true, &Value::Null),
    ];
    let input = json!({"except": ["n-own"]});
    let output = tailnet.run("tailscale.devices.list", Duration::from_secs(10), input).await.expect("listed");
    let route = |prefix: &str, name: &str| json!({"prefix": prefix, "source": format!("device {name}.example.ts.net of the tailnet")});
    let routes = [route("10.7.0.0/16", "a"), route("10.9.0.0/16", "c"), route("192.168.0.0/24", "c")];
    assert_eq!(output["routes"], json!(routes));
    let names: Vec<_> = output["devices"].as_array().expect("devices").iter().map(|d| &d["hostname"]).collect();
    assert_eq!(names, ["a", "b", "c", "own", "plain"]);
    let first = &output["devices"][0];
    assert_eq!((&first["ipv4"], &first["node_id"]), (&json!("100.64.0.9"), &json!("n-a")));
    assert_eq!(output["devices"][1]["connected"], false);
}
