use jiff::Timestamp;
use serde_json::{Value, json};

use super::json::{at, list_at, name_of, str_at};
use super::jsonpath;
use super::resource::Resource;

/// Column with its name and a function that returns the cell of an object.
pub(super) type Column = (String, Box<dyn Fn(&Value) -> Value>);

/// Returns 1 for a column that only `-o wide` shows, otherwise 0.
pub(super) fn priority(name: &str) -> u8 {
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
pub(super) fn columns(resource: &Resource, now: Timestamp) -> Vec<Column> {
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
    columns.extend(built_in(&resource.qualified()));
    let position = match resource.plural.as_str() {
        "customresourcedefinitions" => return columns,
        "nodes" => 3,
        "pods" => 4,
        _ => columns.len(),
    };
    columns.insert(position, age);
    columns
}

/// Returns the columns of a built-in resource, apart from name and age. Other resources have none.
fn built_in(qualified: &str) -> Vec<Column> {
    match qualified {
        "nodes" => node_columns(),
        "pods" => pod_columns(),
        "namespaces" => vec![text("Status", &["status", "phase"])],
        "secrets" => vec![text("Type", &["type"]), data()],
        "configmaps" => vec![data()],
        "services" => service_columns(),
        "deployments.apps" => deployment_columns(),
        "replicasets.apps" => vec![
            count("Desired", &["spec", "replicas"]),
            count("Current", &["status", "replicas"]),
            count("Ready", &["status", "readyReplicas"]),
        ],
        "daemonsets.apps" => daemon_set_columns(),
        "poddisruptionbudgets.policy" => budget_columns(),
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
    }
}

/// Creates the column with the number of entries in `data`.
fn data() -> Column {
    column("Data", |object| json!(super::json::object_at(object, &["data"]).map_or(0, serde_json::Map::len)))
}

/// Returns the columns of services.
fn service_columns() -> Vec<Column> {
    vec![
        text("Type", &["spec", "type"]),
        text("Cluster-IP", &["spec", "clusterIP"]),
        column("External-IP", |_| json!("<none>")),
        column("Port(s)", ports),
    ]
}

/// Returns the columns of deployments.
fn deployment_columns() -> Vec<Column> {
    let ready = |object: &Value| {
        json!(format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")))
    };
    vec![
        column("Ready", ready),
        count("Up-to-date", &["status", "updatedReplicas"]),
        count("Available", &["status", "availableReplicas"]),
    ]
}

/// Returns the columns of daemon sets.
fn daemon_set_columns() -> Vec<Column> {
    vec![
        count("Desired", &["status", "desiredNumberScheduled"]),
        count("Current", &["status", "currentNumberScheduled"]),
        count("Ready", &["status", "numberReady"]),
        count("Up-to-date", &["status", "updatedNumberScheduled"]),
        count("Available", &["status", "numberAvailable"]),
        column("Node Selector", |object| json!(selector(object.pointer("/spec/template/spec/nodeSelector")))),
    ]
}

/// Returns the columns of disruption budgets.
fn budget_columns() -> Vec<Column> {
    let limit =
        |path: &'static str| move |object: &Value| object.pointer(path).cloned().unwrap_or_else(|| json!("N/A"));
    vec![
        column("Min Available", limit("/spec/minAvailable")),
        column("Max Unavailable", limit("/spec/maxUnavailable")),
        count("Allowed Disruptions", &["status", "disruptionsAllowed"]),
    ]
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
    if super::json::is_terminating(pod) {
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
