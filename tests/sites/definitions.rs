//! Objects of the cluster that the workflows need, and kinds of an earlier program in their place.

use serde_json::{Value, json};

use crate::{
    deployment::{output, two_datacenters},
    outside,
    world::Harness,
};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WORKFLOWS: [&str; 5] =
    ["provision-aks-router", "provision-dc", "sync-pod-routes", "remove-worker", "cluster-objects"];

async fn define_servers_of_an_earlier_program(harness: &Harness) {
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version =
        json!({ "name": "v1alpha1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "servers.stargate.io" },
        "spec": {
            "group": "stargate.io",
            "scope": "Namespaced",
            "names": { "plural": "servers", "singular": "server", "kind": "Server" },
            "versions": [version],
        },
    });
    outside::create(&harness.sim, DEFINITIONS, &definition).await;
}

#[tokio::test]
async fn kinds_of_an_earlier_program_are_refused_before_anything_is_written() {
    let mut harness = Harness::new(&[]).await;
    harness.log = "warn";
    define_servers_of_an_earlier_program(&harness).await;
    let before = harness.sim.shared().peek().traffic.mutating();
    for workflow in WORKFLOWS {
        let code = match workflow {
            "cluster-objects" => harness.run(&["run", "workflow", workflow, "-o", "json"]).await,
            _ => harness.run_shipped(&["run", "workflow"], workflow).await,
        };
        assert_eq!(code, Some(3), "{workflow}: {}", harness.last_output());
        let said = output(&harness);
        for text in ["servers.stargate.io", "scope Namespaced", "kubectl delete crd servers.stargate.io"] {
            assert!(said.contains(text), "{workflow}: {said}");
        }
        let leases = 0; // locks do not count as changes
        assert_eq!(harness.sim.shared().peek().traffic.mutating(), before + leases, "{workflow}");
    }
    let code = harness.run(&["doctor", "sync-pod-routes", "-o", "json"]).await;
    assert_eq!(code, Some(3));
    assert!(output(&harness).contains("scope Namespaced"), "{}", output(&harness));

    // The way that the hint names.
    outside::delete(&harness.sim, &format!("{DEFINITIONS}/servers.stargate.io")).await;
    harness.run_to_success("provision-aks-router").await;
    harness.run_to_success("provision-dc").await;
}

#[tokio::test]
async fn doctor_names_a_deleted_role_and_the_command_that_creates_it() {
    let mut harness = two_datacenters().await;
    assert_eq!(finding(&mut harness).await["status"], "ok");
    outside::delete(&harness.sim, "/apis/rbac.authorization.k8s.io/v1/clusterroles/stargate-sync").await;
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings/stargate-sync";
    outside::delete(&harness.sim, binding).await;
    let found = finding(&mut harness).await;
    assert_eq!(found["status"], "failed", "{found}");
    for object in ["ClusterRole stargate-sync", "RoleBinding kube-system/stargate-sync"] {
        assert!(found["message"].as_str().unwrap().contains(object), "{found}");
    }
    assert!(found["hint"].as_str().unwrap().contains("stargate run workflow cluster-objects"), "{found}");
    assert_eq!(harness.run(&["run", "workflow", "cluster-objects"]).await, Some(0), "{}", harness.last_output());
    assert_eq!(finding(&mut harness).await["status"], "ok");
}

async fn finding(harness: &mut Harness) -> Value {
    harness.run(&["doctor", "sync-pod-routes", "-o", "json"]).await;
    let (_, findings) = &harness.outputs[harness.outputs.len() - 2];
    let findings: Vec<Value> = serde_json::from_slice(findings).unwrap();
    findings.into_iter().find(|finding| finding["id"] == "kubernetes.objects").unwrap()
}
