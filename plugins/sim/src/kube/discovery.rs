use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::openapi;
use super::rbac;
use super::request::{ApiRequest, ApiResponse};
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;
use super::versions::{REVIEWS, VERSION, by_version};

/// Verbs of each stored resource.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Answers requests for the served resources, the version and the health of the server. Returns
/// `None` for any other path.
pub(crate) fn answer(kube: &Kube, request: &ApiRequest) -> Option<Result<ApiResponse, Refusal>> {
    let path = request.path.trim_end_matches('/');
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let served: Option<Value> = match segments.as_slice() {
        ["version"] => Some(version()),
        ["healthz" | "livez" | "readyz", ..] => Some(json!("ok")),
        ["api"] if is_aggregated(request) => Some(aggregated(kube, true)),
        ["apis"] if is_aggregated(request) => Some(aggregated(kube, false)),
        ["api"] => Some(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })),
        ["apis"] => Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups(kube) })),
        ["apis", group] => one_group(kube, group),
        ["api", version] => resources(kube, "", version),
        ["apis", group, version] => resources(kube, group, version),
        ["openapi", "v3"] => Some(openapi::index(kube)),
        ["openapi", "v3", rest @ ..] => openapi::document(kube, &rest.join("/")),
        ["openapi", "v2"] => Some(openapi::whole(kube)),
        _ => return None,
    };
    Some(permitted(kube, request, path).and_then(|()| served.map(ApiResponse::ok).ok_or_else(Refusal::no_such_path)))
}

/// Refuses a path that the roles of the user do not grant under `nonResourceURLs`.
fn permitted(kube: &Kube, request: &ApiRequest, path: &str) -> Result<(), Refusal> {
    if rbac::may_path(kube, &request.user, "get", path) {
        return Ok(());
    }
    let message = format!("forbidden: User \"{}\" cannot get path \"{path}\"", request.user.name);
    Err(Refusal::new(403, "Forbidden", &message, Some(json!({}))))
}

/// Returns true if the client requests aggregated discovery: all groups in one document.
pub(crate) fn is_aggregated(request: &ApiRequest) -> bool {
    request.accept.contains("as=APIGroupDiscoveryList") && request.accept.contains("v=v2")
}

/// Returns the content type of aggregated discovery, in the version that the client accepts.
pub(crate) fn aggregated_type(request: &ApiRequest) -> String {
    let version =
        if request.accept.contains("v=v2;") || request.accept.contains("v=v2,") || request.accept.ends_with("v=v2") {
            "v2"
        } else {
            "v2beta1"
        };
    format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
}

/// Returns the version that `GET /version` reports.
fn version() -> Value {
    let (major, minor) = ("1", "33");
    json!({
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": "32",
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.24.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// Returns the entry of an API group in `APIGroupList`. The first version is the preferred one.
fn group_json(group: &str, versions: &[&String]) -> Value {
    let shown: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    json!({ "name": group, "versions": shown, "preferredVersion": shown.first() })
}

/// Returns all named groups; the core group is not one of them.
fn groups(kube: &Kube) -> Vec<Value> {
    let versions = by_version(kube);
    let mut groups: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for (group, version) in versions.keys().filter(|(group, _)| !group.is_empty()) {
        groups.entry(group).or_default().push(version);
    }
    groups.into_iter().map(|(group, versions)| group_json(group, &versions)).collect()
}

/// Returns an `APIGroup`; `None` if the group has no versions.
fn one_group(kube: &Kube, group: &str) -> Option<Value> {
    let mut found = groups(kube).into_iter().find(|each| each.get("name") == Some(&json!(group)))?;
    found["kind"] = json!("APIGroup");
    found["apiVersion"] = json!("v1");
    Some(found)
}

/// Returns the `APIResourceList` of a group and version; `None` if it is not served.
fn resources(kube: &Kube, group: &str, version: &str) -> Option<Value> {
    let versions = by_version(kube);
    let served = versions.get(&(group.to_owned(), version.to_owned()))?;
    let mut listed: Vec<Value> = served.iter().flat_map(legacy).collect();
    listed.extend(REVIEWS.iter().filter(|(each, _, _)| *each == group).map(|(_, plural, kind)| {
        json!({ "name": plural, "singularName": kind.to_ascii_lowercase(), "namespaced": false, "kind": kind, "verbs": ["create"] })
    }));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed }))
}

/// Returns the entries of a resource and its subresources in an `APIResourceList`.
fn legacy(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": VERBS,
    });
    if !resource.short_names.is_empty() {
        main["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        main["categories"] = json!(resource.categories);
    }
    let mut all = vec![main];
    all.extend(resource.subresources().into_iter().map(|sub| {
        let (group, version, kind, verbs) = subresource(resource, sub);
        let mut shown = json!({
            "name": format!("{}/{sub}", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": verbs,
        });
        if (group.as_str(), version.as_str()) != (resource.group.as_str(), resource.version.as_str()) {
            shown["group"] = json!(group);
            shown["version"] = json!(version);
        }
        shown
    }));
    all
}

/// Returns group, version, kind and verbs of a subresource.
///
/// Some subresources have a kind of another group, such as `Eviction` of `policy`.
fn subresource(resource: &Resource, sub: &str) -> (String, String, String, Vec<&'static str>) {
    let own = |kind: &str, verbs: &[&'static str]| {
        (resource.group.clone(), resource.version.clone(), kind.to_owned(), verbs.to_vec())
    };
    let other = |group: &str, kind: &str, verbs: &[&'static str]| {
        (group.to_owned(), "v1".to_owned(), kind.to_owned(), verbs.to_vec())
    };
    match sub {
        "eviction" => other("policy", "Eviction", &["create"]),
        "token" => other("authentication.k8s.io", "TokenRequest", &["create"]),
        "scale" => other("autoscaling", "Scale", &["get", "patch", "update"]),
        "binding" => own("Binding", &["create"]),
        "exec" => own("PodExecOptions", &["create", "get"]),
        "log" => own("Pod", &["get"]),
        "finalize" => own("Namespace", &["update"]),
        _ => own(&resource.kind, &["get", "patch", "update"]),
    }
}

/// Returns an `APIGroupDiscoveryList`, of the core group only or of all other groups.
fn aggregated(kube: &Kube, core: bool) -> Value {
    let versions = by_version(kube);
    let mut groups: BTreeMap<&String, Vec<Value>> = BTreeMap::new();
    for ((group, version), served) in versions.iter().filter(|((group, _), _)| group.is_empty() == core) {
        let mut resources: Vec<Value> = served.iter().map(discovered).collect();
        resources.extend(
            REVIEWS
                .iter()
                .filter(|(each, _, _)| each == group)
                .map(|(group, plural, kind)| review(group, plural, kind)),
        );
        groups
            .entry(group)
            .or_default()
            .push(json!({ "version": version, "resources": resources, "freshness": "Current" }));
    }
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let metadata = if group.is_empty() {
                json!({ "creationTimestamp": null })
            } else {
                json!({ "name": group, "creationTimestamp": null })
            };
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items })
}

/// Returns the entry of a review in aggregated discovery.
fn review(group: &str, plural: &str, kind: &str) -> Value {
    json!({
        "resource": plural,
        "responseKind": { "group": group, "version": "v1", "kind": kind },
        "scope": "Cluster",
        "singularResource": kind.to_ascii_lowercase(),
        "verbs": ["create"],
    })
}

/// Returns the entry of a resource in aggregated discovery, with its subresources.
fn discovered(resource: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    let below: Vec<Value> = resource
        .subresources()
        .into_iter()
        .map(|sub| {
            let (group, version, response, verbs) = subresource(resource, sub);
            json!({ "subresource": sub, "responseKind": kind(&group, &version, &response), "verbs": verbs })
        })
        .collect();
    let mut shown = json!({
        "resource": resource.plural,
        "responseKind": kind(&resource.group, &resource.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": VERBS,
    });
    for (key, value) in [
        ("shortNames", json!(resource.short_names)),
        ("categories", json!(resource.categories)),
        ("subresources", json!(below)),
    ] {
        if value.as_array().is_some_and(|list| !list.is_empty()) {
            shown[key] = value;
        }
    }
    shown
}
