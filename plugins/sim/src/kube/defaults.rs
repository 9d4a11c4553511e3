use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::json::{default, object_mut, remove, rfc3339, set, str_at};
use super::resource::Resource;

/// Sets the defaults of the server for fields that are absent or null.
///
/// Covers the kinds that clients use here, and not every default of the real server; other kinds
/// are unchanged.
pub(crate) fn complete(resource: &Resource, object: &mut Value, now: Timestamp) {
    match resource.qualified().as_str() {
        "pods" => pod(object),
        "nodes" => node(object),
        "namespaces" => namespace(object),
        "secrets" => default(object, &["type"], json!("Opaque")),
        "services" => service(object),
        "deployments.apps" => deployment(object),
        "daemonsets.apps" => daemon_set(object),
        "replicasets.apps" | "statefulsets.apps" => {
            default(object, &["spec", "replicas"], json!(1));
            template(object);
        }
        "jobs.batch" => {
            for (field, value) in [("parallelism", 1), ("completions", 1), ("backoffLimit", 6)] {
                default(object, &["spec", field], json!(value));
            }
            template(object);
        }
        "certificatesigningrequests.certificates.k8s.io" => {
            default(object, &["status"], json!({}));
            stamp_conditions(object, now);
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition(object, now),
        "poddisruptionbudgets.policy" => {
            let nothing =
                json!({ "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0 });
            default(object, &["status"], nothing);
        }
        "clusterrolebindings.rbac.authorization.k8s.io" | "rolebindings.rbac.authorization.k8s.io" => subjects(object),
        _ => {}
    }
}

/// Moves `stringData` of a secret to `data`, in base64. The server never returns `stringData`.
pub(crate) fn merge_string_data(resource: &Resource, object: &mut Value) {
    if resource.qualified() != "secrets" {
        return;
    }
    let Some(Value::Object(texts)) = remove(object, &["stringData"]) else { return };
    let data = object_mut(object, &["data"]);
    data.extend(texts.into_iter().map(|(key, text)| (key, json!(STANDARD.encode(text.as_str().unwrap_or_default())))));
}

/// Sets the defaults of a pod, and its initial phase and quality of service.
fn pod(pod: &mut Value) {
    pod_spec(object_value(pod, "spec"));
    default(pod, &["status", "phase"], json!("Pending"));
    let class = quality(pod);
    default(pod, &["status", "qosClass"], json!(class));
}

/// Returns the value under a key of an object, created as an object if it is absent.
fn object_value<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    object_mut(object, &[]).entry(key.to_owned()).or_insert_with(|| json!({}))
}

/// Returns the quality-of-service class of a pod.
///
/// The class `Guaranteed` is not simulated.
fn quality(pod: &Value) -> &'static str {
    let containers = super::json::list_at(pod, &["spec", "containers"]);
    let stated = |container: &Value, kind: &str| {
        container.pointer(&format!("/resources/{kind}")).and_then(Value::as_object).is_some_and(|map| !map.is_empty())
    };
    if containers.iter().any(|container| stated(container, "limits") || stated(container, "requests")) {
        "Burstable"
    } else {
        "BestEffort"
    }
}

/// Sets the defaults of a pod specification, which pods and templates share.
fn pod_spec(spec: &mut Value) {
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(container);
    }
    default(spec, &["restartPolicy"], json!("Always"));
    default(spec, &["terminationGracePeriodSeconds"], json!(30));
    default(spec, &["dnsPolicy"], json!("ClusterFirst"));
    default(spec, &["securityContext"], json!({}));
    default(spec, &["schedulerName"], json!("default-scheduler"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default(spec, &["serviceAccount"], account);
    }
}

/// Sets the defaults that admission adds to a pod, but not to a template.
///
/// An absent toleration of an unready or unreachable node is added for 300 seconds, as by the
/// plugin `DefaultTolerationSeconds`.
pub(crate) fn admitted_pod(pod: &mut Value) {
    let spec = object_value(pod, "spec");
    default(spec, &["serviceAccountName"], json!("default"));
    default(spec, &["serviceAccount"], json!("default"));
    default(spec, &["priority"], json!(0));
    default(spec, &["enableServiceLinks"], json!(true));
    default(spec, &["preemptionPolicy"], json!("PreemptLowerPriority"));
    let mut tolerations = spec.get("tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|each| {
            each.get("key").is_none_or(|held| held == key) && matches!(str_at(each, &["effect"]), "" | "NoExecute")
        });
        if !tolerated {
            tolerations
                .push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
        }
    }
    set(spec, &["tolerations"], Value::Array(tolerations));
}

/// Sets the defaults of a container. An image without tag or digest is always pulled, like
/// `:latest`.
fn container(container: &mut Value) {
    let image = str_at(container, &["image"]).to_owned();
    let is_latest = image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains([':', '@']);
    default(container, &["resources"], json!({}));
    default(container, &["terminationMessagePath"], json!("/dev/termination-log"));
    default(container, &["terminationMessagePolicy"], json!("File"));
    default(container, &["imagePullPolicy"], json!(if is_latest { "Always" } else { "IfNotPresent" }));
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, &["protocol"], json!("TCP"));
    }
}

/// Sets the defaults of the pod template of a workload.
fn template(object: &mut Value) {
    default(object, &["spec", "template", "metadata"], json!({}));
    if let Some(spec) = object.pointer_mut("/spec/template/spec") {
        pod_spec(spec);
    }
    default(object, &["status"], json!({}));
}

/// Sets the defaults of a deployment.
fn deployment(object: &mut Value) {
    default(object, &["spec", "replicas"], json!(1));
    default(object, &["spec", "strategy", "type"], json!("RollingUpdate"));
    if str_at(object, &["spec", "strategy", "type"]) == "RollingUpdate" {
        default(object, &["spec", "strategy", "rollingUpdate"], json!({ "maxUnavailable": "25%", "maxSurge": "25%" }));
    }
    default(object, &["spec", "revisionHistoryLimit"], json!(10));
    default(object, &["spec", "progressDeadlineSeconds"], json!(600));
    template(object);
}

/// Sets the defaults of a daemon set.
fn daemon_set(object: &mut Value) {
    default(
        object,
        &["spec", "updateStrategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } }),
    );
    default(object, &["spec", "revisionHistoryLimit"], json!(10));
    template(object);
}

/// Sets the defaults of a node. Texts of `nodeInfo` are empty if its kubelet does not report them.
fn node(object: &mut Value) {
    default(object, &["spec"], json!({}));
    default(object, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"], json!(0));
    for key in [
        "machineID",
        "systemUUID",
        "bootID",
        "kernelVersion",
        "osImage",
        "containerRuntimeVersion",
        "kubeletVersion",
        "kubeProxyVersion",
        "operatingSystem",
        "architecture",
    ] {
        default(object, &["status", "nodeInfo", key], json!(""));
    }
    // `podCIDR` equals the first item of `podCIDRs`: each is derived from the other.
    if let Some(first) = object.pointer("/spec/podCIDRs/0").cloned() {
        default(object, &["spec", "podCIDR"], first);
    } else if let Some(one) = object.pointer("/spec/podCIDR").filter(|one| **one != json!("")).cloned() {
        default(object, &["spec", "podCIDRs"], json!([one]));
    }
}

/// Sets the defaults of a namespace. The finalizer `kubernetes` keeps it until its content is
/// deleted.
fn namespace(object: &mut Value) {
    let name = super::json::name_of(object).to_owned();
    default(object, &["metadata", "labels", "kubernetes.io/metadata.name"], json!(name));
    if !super::json::is_terminating(object) {
        default(object, &["spec", "finalizers"], json!(["kubernetes"]));
    }
    default(object, &["status", "phase"], json!("Active"));
}

/// Sets the defaults of a service. `targetPort` equals `port` unless it is set.
fn service(object: &mut Value) {
    default(object, &["spec", "type"], json!("ClusterIP"));
    default(object, &["spec", "sessionAffinity"], json!("None"));
    default(object, &["spec", "internalTrafficPolicy"], json!("Cluster"));
    default(object, &["spec", "ipFamilies"], json!(["IPv4"]));
    default(object, &["spec", "ipFamilyPolicy"], json!("SingleStack"));
    for port in object.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, &["protocol"], json!("TCP"));
        let number = port.get("port").cloned().unwrap_or_default();
        default(port, &["targetPort"], number);
    }
    default(object, &["status"], json!({ "loadBalancer": {} }));
}

/// Sets the API group of the subjects and of the role of a binding.
fn subjects(object: &mut Value) {
    for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if matches!(str_at(subject, &["kind"]), "User" | "Group") {
            default(subject, &["apiGroup"], json!(super::resource::RBAC));
        }
    }
    default(object, &["roleRef", "apiGroup"], json!(super::resource::RBAC));
}

/// Sets the missing times of conditions to `now`.
fn stamp_conditions(object: &mut Value, now: Timestamp) {
    for condition in object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        default(condition, &["lastUpdateTime"], rfc3339(now));
        default(condition, &["lastTransitionTime"], rfc3339(now));
    }
}

/// Sets the defaults of a definition and marks it as established.
///
/// A real server establishes a definition after a short delay.
fn definition(object: &mut Value, now: Timestamp) {
    let names = object.pointer("/spec/names").cloned().unwrap_or_default();
    let kind = str_at(&names, &["kind"]).to_owned();
    default(object, &["spec", "names", "singular"], json!(kind.to_ascii_lowercase()));
    default(object, &["spec", "names", "listKind"], json!(format!("{kind}List")));
    default(object, &["spec", "conversion"], json!({ "strategy": "None" }));
    let accepted = object.pointer("/spec/names").cloned().unwrap_or_default();
    set(object, &["status", "acceptedNames"], accepted);
    let condition = |kind: &str, reason: &str, message: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": rfc3339(now), "reason": reason, "message": message });
    let conditions = json!([
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ]);
    default(object, &["status", "conditions"], conditions);
    let versions = super::json::list_at(object, &["spec", "versions"]);
    let stored: Vec<Value> = versions
        .iter()
        .filter(|version| version.get("storage") == Some(&json!(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    default(object, &["status", "storedVersions"], Value::Array(stored));
}
