use jiff::Timestamp;
use serde_json::{Value, json};

use super::json::{at, list_at, name_of, str_at};
use super::jsonpath;
use super::resource::Resource;

/// Column with its name and a function that returns the cell of an object.
type Column = (String, Box<dyn Fn(&Value) -> Value>);

/// Returns an object, or a list, as a `Table` with the columns that `kubectl get` prints.
///
/// The columns follow the real server for the kinds in use; other kinds have name and age only.
pub(crate) fn table(resource: &Resource, body: &Value, now: Timestamp) -> Value {
    let columns = columns(resource, now);
    let is_list = str_at(body, &["kind"]) == resource.list_kind;
    let objects: Vec<&Value> = if is_list { list_at(body, &["items"]).iter().collect() } else { vec![body] };
    let rows: Vec<Value> = objects.into_iter().map(|object| row(&columns, object)).collect();
    let definitions: Vec<Value> = columns
        .iter()
        .map(|(name, _)| {
            let format = if name == "Name" { "name" } else { "" };
            json!({ "name": name, "type": "string", "format": format, "description": "", "priority": priority(name) })
        })
        .collect();
    let metadata = if is_list { body.get("metadata").cloned() } else { None };
    let metadata =
        metadata.unwrap_or_else(|| json!({ "resourceVersion": str_at(body, &["metadata", "resourceVersion"]) }));
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows })
}

/// Returns the row of an object: cells and metadata.
fn row(columns: &[Column], object: &Value) -> Value {
    let cells: Vec<Value> = columns.iter().map(|(_, cell)| cell(object)).collect();
    json!({ "cells": cells, "object": partial(object) })
}

/// Returns the metadata of an object as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata") })
}

/// Returns the metadata of a list, or of one object.
pub(crate) fn partials(resource: &Resource, body: &Value) -> Value {
    if str_at(body, &["kind"]) != resource.list_kind {
        return partial(body);
    }
    let items: Vec<Value> = list_at(body, &["items"]).iter().map(partial).collect();
    json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": body.get("metadata"), "items": items })
}

/// Returns 1 for a column that only `-o wide` shows, otherwise 0.
fn priority(name: &str) -> u8 {
    let wide = [
        "IP",
        "Node",
        "Internal-IP",
        "External-IP",
        "OS-Image",
        "Kernel-Version",
        "Container-Runtime",
        "Containers",
        "Images",
        "Selector",
    ];
    u8::from(wide.contains(&name))
}

/// Creates a column.
fn column(name: &str, cell: impl Fn(&Value) -> Value + 'static) -> Column {
    (name.to_owned(), Box::new(cell))
}

/// Creates a column with the value at a path, or `<none>`.
fn text(name: &str, path: &'static [&'static str]) -> Column {
    column(name, move |object| at(object, path).cloned().unwrap_or_else(|| json!("<none>")))
}

/// Creates a column with the number at a path, or 0.
fn count(name: &str, path: &'static [&'static str]) -> Column {
    column(name, move |object| at(object, path).cloned().unwrap_or_else(|| json!(0)))
}

/// Returns the columns of a resource. A custom resource has those of its definition.
fn columns(resource: &Resource, now: Timestamp) -> Vec<Column> {
    let mut columns = vec![column("Name", |object| json!(name_of(object)))];
    let age = column("Age", move |object| age(str_at(object, &["metadata", "creationTimestamp"]), now));
    if let Some(version) = &resource.custom {
        let printed = list_at(version, &["additionalPrinterColumns"]);
        columns.extend(printed.iter().map(|printer| custom(printer, now)));
        if printed.is_empty() {
            columns.push(age);
        }
        return columns;
    }
    columns.extend(match resource.qualified().as_str() {
        "nodes" => node_columns(),
        "pods" => pod_columns(),
        "namespaces" => vec![text("Status", &["status", "phase"])],
        "secrets" => vec![
            text("Type", &["type"]),
            column("Data", |secret| json!(super::json::object_at(secret, &["data"]).map_or(0, serde_json::Map::len))),
        ],
        "configmaps" => {
            vec![column("Data", |map| json!(super::json::object_at(map, &["data"]).map_or(0, serde_json::Map::len)))]
        }
        "services" => vec![
            text("Type", &["spec", "type"]),
            text("Cluster-IP", &["spec", "clusterIP"]),
            column("External-IP", |_| json!("<none>")),
            column("Port(s)", ports),
        ],
        "deployments.apps" => vec![
            column("Ready", |object| {
                json!(format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")))
            }),
            count("Up-to-date", &["status", "updatedReplicas"]),
            count("Available", &["status", "availableReplicas"]),
        ],
        "replicasets.apps" => vec![
            count("Desired", &["spec", "replicas"]),
            count("Current", &["status", "replicas"]),
            count("Ready", &["status", "readyReplicas"]),
        ],
        "daemonsets.apps" => vec![
            count("Desired", &["status", "desiredNumberScheduled"]),
            count("Current", &["status", "currentNumberScheduled"]),
            count("Ready", &["status", "numberReady"]),
            count("Up-to-date", &["status", "updatedNumberScheduled"]),
            count("Available", &["status", "numberAvailable"]),
            column("Node Selector", |object| json!(selector(object.pointer("/spec/template/spec/nodeSelector")))),
        ],
        "poddisruptionbudgets.policy" => vec![
            column("Min Available", |object| {
                object.pointer("/spec/minAvailable").cloned().unwrap_or_else(|| json!("N/A"))
            }),
            column("Max Unavailable", |object| {
                object.pointer("/spec/maxUnavailable").cloned().unwrap_or_else(|| json!("N/A"))
            }),
            count("Allowed Disruptions", &["status", "disruptionsAllowed"]),
        ],
        "certificatesigningrequests.certificates.k8s.io" => vec![
            text("SignerName", &["spec", "signerName"]),
            text("Requestor", &["spec", "username"]),
            column("Condition", |object| json!(request_condition(object))),
        ],
        "leases.coordination.k8s.io" => vec![text("Holder", &["spec", "holderIdentity"])],
        "customresourcedefinitions.apiextensions.k8s.io" => {
            vec![column("Created At", |object| json!(str_at(object, &["metadata", "creationTimestamp"])))]
        }
        _ => Vec::new(),
    });
    let place = columns.len().min(if resource.plural == "nodes" {
        3
    } else if resource.plural == "pods" {
        4
    } else {
        usize::MAX
    });
    if resource.plural != "customresourcedefinitions" {
        columns.insert(place.min(columns.len()), age);
    }
    columns
}

/// Returns the number at a JSON pointer, or 0.
fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or_default()
}

/// Creates the column of a printer column of a definition. Several values are joined by commas.
fn custom(printer: &Value, now: Timestamp) -> Column {
    let (path, is_date) = (str_at(printer, &["jsonPath"]).to_owned(), str_at(printer, &["type"]) == "date");
    column(str_at(printer, &["name"]), move |object| {
        let found = jsonpath::find(object, &path);
        match found.as_slice() {
            [] => json!(""),
            [one] if is_date => age(one.as_str().unwrap_or_default(), now),
            [one] => (*one).clone(),
            many => json!(many.iter().filter_map(|value| value.as_str()).collect::<Vec<_>>().join(",")),
        }
    })
}

/// Returns the columns of nodes, apart from name and age.
fn node_columns() -> Vec<Column> {
    vec![
        column("Status", |node| json!(node_status(node))),
        column("Roles", |node| json!(roles(node))),
        text("Version", &["status", "nodeInfo", "kubeletVersion"]),
        column("Internal-IP", |node| json!(address(node, "InternalIP"))),
        column("External-IP", |node| json!(address(node, "ExternalIP"))),
        text("OS-Image", &["status", "nodeInfo", "osImage"]),
        text("Kernel-Version", &["status", "nodeInfo", "kernelVersion"]),
        text("Container-Runtime", &["status", "nodeInfo", "containerRuntimeVersion"]),
    ]
}

/// Returns the status of a node as `kubectl` shows it.
fn node_status(node: &Value) -> String {
    let ready = super::json::condition(node, "Ready").map(|ready| str_at(ready, &["status"]));
    let status = if ready == Some("True") { "Ready" } else { "NotReady" };
    let cordoned = node.pointer("/spec/unschedulable") == Some(&json!(true));
    if cordoned { format!("{status},SchedulingDisabled") } else { status.to_owned() }
}

/// Returns the roles of a node from its labels, joined by commas.
fn roles(node: &Value) -> String {
    let labels = super::json::object_at(node, &["metadata", "labels"]);
    let roles: Vec<&str> =
        labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")).collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

/// Returns the address of a node of a type, or `<none>`.
fn address(node: &Value, kind: &str) -> String {
    let found = list_at(node, &["status", "addresses"]).iter().find(|address| str_at(address, &["type"]) == kind);
    found.map_or_else(|| "<none>".to_owned(), |address| str_at(address, &["address"]).to_owned())
}

/// Returns the columns of pods, apart from name and age.
fn pod_columns() -> Vec<Column> {
    vec![
        column("Ready", |pod| {
            let all = list_at(pod, &["spec", "containers"]).len();
            let ready = list_at(pod, &["status", "containerStatuses"])
                .iter()
                .filter(|status| status.get("ready") == Some(&json!(true)))
                .count();
            json!(format!("{ready}/{all}"))
        }),
        column("Status", |pod| json!(pod_status(pod))),
        column("Restarts", |_| json!(0)),
        text("IP", &["status", "podIP"]),
        text("Node", &["spec", "nodeName"]),
    ]
}

/// Returns the status of a pod: that of its deletion, of a waiting container, or its phase.
fn pod_status(pod: &Value) -> String {
    if super::json::is_going(pod) {
        return "Terminating".to_owned();
    }
    let waiting = list_at(pod, &["status", "containerStatuses"])
        .iter()
        .find_map(|status| status.pointer("/state/waiting/reason")?.as_str());
    waiting.unwrap_or_else(|| str_at(pod, &["status", "phase"])).to_owned()
}

/// Returns the ports of a service as `port/protocol`, joined by commas.
fn ports(service: &Value) -> Value {
    let ports = list_at(service, &["spec", "ports"]).iter();
    let shown: Vec<String> =
        ports.map(|port| format!("{}/{}", number(port, "/port"), str_at(port, &["protocol"]))).collect();
    json!(shown.join(","))
}

/// Returns a selector as `key=value`, joined by commas.
fn selector(selector: Option<&Value>) -> String {
    let pairs: Vec<String> = selector
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// Returns the conditions of a signing request, joined by commas.
fn request_condition(request: &Value) -> String {
    let mut shown: Vec<&str> =
        list_at(request, &["status", "conditions"]).iter().map(|condition| str_at(condition, &["type"])).collect();
    if shown.is_empty() {
        shown.push("Pending");
    }
    if !str_at(request, &["status", "certificate"]).is_empty() {
        shown.push("Issued");
    }
    shown.join(",")
}

/// Returns the time since a moment in the unit that `kubectl` uses for it.
///
/// The real `kubectl` shows two units for short times, such as `3m5s`.
fn age(since: &str, now: Timestamp) -> Value {
    let Ok(since) = since.parse::<Timestamp>() else { return json!("<unknown>") };
    let seconds = now.duration_since(since).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    json!(match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{minutes}m"),
        7_200..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    })
}
