use std::time::Duration;

use serde_json::{Value, json};
use stargate_sdk::{ActionError, FailureKind};

use crate::tailnet::TestTailnet;

fn device(node_id: &str, authorized: bool) -> Value {
    json!({
        "id": "1", "nodeId": node_id, "name": "router.example.ts.net", "hostname": "router", "authorized": authorized,
        "addresses": ["fd7a:115c:a1e0::7", "100.64.0.7"], "tags": ["tag:router"], "enabledRoutes": ["10.1.0.0/16"],
    })
}

async fn wait(tailnet: &TestTailnet, hostname: &str, tag: &str) -> Result<Value, ActionError> {
    let input = json!({"node_id": "n1", "hostname": hostname, "tag": tag});
    tailnet.run("tailscale.device.wait", Duration::from_secs(5), input).await
}

#[tokio::test]
async fn the_action_waits_until_the_device_has_joined_and_is_authorised() {
    let tailnet = TestTailnet::start().await;
    let join = async {
        for devices in [vec![device("n1", false)], vec![device("n1", true)]] {
            let requests = tailnet.fake.state().count("GET /device/n1");
            while tailnet.fake.state().count("GET /device/n1") == requests {
                tokio::task::yield_now().await;
            }
            tailnet.fake.state().devices = devices;
        }
    };
    let (output, ()) = tokio::join!(wait(&tailnet, "router", "tag:router"), join);
    assert_eq!(output.expect("device")["ipv4"], "100.64.0.7");
    assert!(tailnet.messages().contains("not authorised yet"), "{}", tailnet.messages());
}

#[tokio::test]
async fn a_stale_device_of_the_same_name_is_logged() {
    let tailnet = TestTailnet::start().await;
    tailnet.fake.state().devices = vec![device("n0", true), device("n1", true)];
    wait(&tailnet, "router", "tag:router").await.expect("device");
    assert!(
        tailnet.messages().contains("(n0), connected now, with the approved routes 10.1.0.0/16"),
        "{}",
        tailnet.messages()
    );
}

#[tokio::test]
async fn another_name_or_tag_is_a_permanent_failure() {
    let tailnet = TestTailnet::start().await;
    tailnet.fake.state().devices = vec![device("n1", true)];
    for (hostname, tag) in [("other", "tag:router"), ("router", "tag:other")] {
        let error = wait(&tailnet, hostname, tag).await.expect_err("differs");
        assert_eq!(error.kind, FailureKind::Permanent);
        assert!(error.hint.is_some());
    }
}

#[tokio::test]
async fn a_timeout_names_the_device_that_has_not_joined() {
    let tailnet = TestTailnet::start().await;
    let input = json!({"node_id": "n1", "hostname": "router", "tag": "tag:router"});
    let error = tailnet.run("tailscale.device.wait", Duration::from_millis(100), input).await.expect_err("never");
    assert!(error.message.contains("device n1: the device is not in the tailnet yet"), "{error}");
}
