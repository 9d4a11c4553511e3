use crate::harness::{Bench, open};

const NODE: &str = "aks-nodepool1-41954725-vmss000000";

/// Runs each command and checks that what it prints has the text; does nothing where there is no
/// kubectl.
async fn check(bench: &Bench, commands: &[(&[&str], &str)]) {
    for (arguments, expected) in commands {
        let Some(output) = bench.kubectl(arguments).await else { return };
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains(expected), "kubectl {} printed:\n{printed}", arguments.join(" "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_gets_and_describes() {
    let bench = open().await;
    let commands: [(&[&str], &str); 6] = [
        (&["get", "nodes", "-o", "wide"], "10.224.0.5"),
        (&["get", "ciliumnodes"], "169.254.23.0"),
        (&["get", "nnc", "-n", "kube-system"], "routingdomain"),
        (&["describe", "node", NODE], "kubernetes.azure.com/ebpf-dataplane=cilium"),
        (&["get", "pods", "-A", "-l", "k8s-app=coredns"], "Running"),
        (&["api-resources"], "ciliumendpoints"),
    ];
    check(&bench, &commands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_patches_and_deletes() {
    let bench = open().await;
    let one = bench
        .file("one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\ndata: {x: '1'}\n");
    let two = bench
        .file("two.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: default}\ndata: {x: '2'}\n");
    let commands: [(&[&str], &str); 8] = [
        (&["apply", "-f", &one], "created"),
        (&["apply", "-f", &one], "unchanged"),
        (&["apply", "-f", &two], "configured"),
        (&["apply", "--server-side", "-f", &one], "conflict with \"kubectl-client-side-apply\" using v1: .data.x"),
        (&["apply", "--server-side", "--force-conflicts", "-f", &one], "serverside-applied"),
        (&["patch", "configmap", "c", "--type=merge", "-p", "{\"data\":{\"y\":\"3\"}}"], "patched"),
        (&["get", "configmap", "c", "-o", "jsonpath={.data.x}{.data.y}"], "13"),
        (&["delete", "configmap", "c"], "deleted"),
    ];
    check(&bench, &commands).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_drains_and_waits() {
    let bench = open().await;
    let commands: [(&[&str], &str); 7] = [
        (&["cordon", NODE], "cordoned"),
        (&["get", "nodes"], "SchedulingDisabled"),
        (&["drain", NODE, "--ignore-daemonsets", "--timeout=60s"], "drained"),
        (&["uncordon", NODE], "uncordoned"),
        (&["wait", "--for=condition=Ready", &format!("node/{NODE}"), "--timeout=30s"], "condition met"),
        (&["run", "p", "--image=x:1"], "created"),
        (&["wait", "--for=condition=Ready", "pod/p", "--timeout=30s"], "condition met"),
    ];
    check(&bench, &commands).await;
}
