use std::time::Duration;

use serde_json::{Value, json};
use stargate_sdk::{ActionError, FailureKind};

use crate::tailnet::Tailnet;

fn device(node_id: &str, authorized: bool) -> Value {
    json!({
        "id": "1", "nodeId": node_id, "name": "router.example.ts.net", "hostname": "router", "authorized": authorized,
        "addresses": ["fd7a:115c:a1e0::7", "100.64.0.7"], "tags": ["tag:router"], "enabledRoutes": ["10.1.0.0/16"],
    })
}

async fn wait(tailnet: &Tailnet, hostname: &str, tag: &str) -> Result<Value, ActionError> {
    let input = json!({"node_id": "n1", "hostname": hostname, "tag": tag});
    tailnet.run("tailscale.device.wait", Duration::from_secs(5), input).await
}

#[tokio::test]
async fn a_device_is_waited_for_until_it_is_there_and_authorised() {
    let tailnet = Tailnet::start().await;
    let late = async {
        for devices in [vec![device("n1", false)], vec![device("n1", true)]] {
            let asked = tailnet.fake.world().count("GET /device/n1");
            while tailnet.fake.world().count("GET /device/n1") == asked {
                tokio::task::yield_now().await;
            }
            tailnet.fake.world().devices = devices;
        }
    };
    let (output, ()) = tokio::join!(wait(&tailnet, "router", "tag:router"), late);
    assert_eq!(output.expect("device")["ipv4"], "100.64.0.7");
    assert!(tailnet.told().contains("not authorised yet"), "{}", tailnet.told());
}

#[tokio::test]
async fn a_stale_device_of_the_same_name_is_mentioned() {
    let tailnet = Tailnet::start().await;
    tailnet.fake.world().devices = vec![device("n0", true), device("n1", true)];
    wait(&tailnet, "router", "tag:router").await.expect("device");
    assert!(tailnet.told().contains("(n0), connected now, with the approved routes 10.1.0.0/16"), "{}", tailnet.told());
}

#[tokio::test]
async fn another_name_or_tag_is_a_permanent_failure() {
    let tailnet = Tailnet::start().await;
    tailnet.fake.world().devices = vec![device("n1", true)];
    for (hostname, tag) in [("other", "tag:router"), ("router", "tag:other")] {
        let error = wait(&tailnet, hostname, tag).await.expect_err("differs");
        assert_eq!(error.kind, FailureKind::Permanent);
        assert!(error.hint.is_some());
    }
}

#[tokio::test]
async fn a_device_that_never_comes_is_named_at_the_end() {
    let tailnet = Tailnet::start().await;
    let input = json!({"node_id": "n1", "hostname": "router", "tag": "tag:router"});
    let error = tailnet.run("tailscale.device.wait", Duration::from_millis(100), input).await.expect_err("never");
    assert!(error.message.contains("device n1: the device is not in the tailnet yet"), "{error}");
}
