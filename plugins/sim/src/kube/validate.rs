use serde_json::{Value, json};

use super::json::{at, list_at, name_of, str_at};
use super::resource::Resource;
use super::state::Kube;
use super::status::{Cause, Refusal};

/// Refuses an invalid object with 422 and all causes.
///
/// Checks the rules that clients are likely to violate, and not all rules of the real server.
pub(crate) fn object(resource: &Resource, object: &Value) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    name(resource, object, &mut causes);
    labels(object, &mut causes);
    match resource.qualified().as_str() {
        "pods" => containers(object, &["spec", "containers"], "spec.containers", &mut causes),
        "deployments.apps" | "daemonsets.apps" | "replicasets.apps" | "statefulsets.apps" => {
            workload(object, &mut causes);
        }
        "certificatesigningrequests.certificates.k8s.io" => signing_request(object, &mut causes),
        "customresourcedefinitions.apiextensions.k8s.io" => definition(object, &mut causes),
        "configmaps" => strings(object, "data", &mut causes),
        "leases.coordination.k8s.io" => lease(object, &mut causes),
        "clusterrolebindings.rbac.authorization.k8s.io" | "rolebindings.rbac.authorization.k8s.io" => {
            binding(object, &mut causes);
        }
        _ => {}
    }
    refuse(resource, object, &causes)
}

/// Refuses an object if there are causes.
fn refuse(resource: &Resource, object: &Value, causes: &[Cause]) -> Result<(), Refusal> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(&resource.group, &resource.kind, name_of(object), causes))
    }
}

/// Rule for names, in the words of the real server.
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
                         and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Checks the name of an object.
fn name(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let name = name_of(object);
    // Names of roles and bindings are path segments and may contain colons.
    let is_good = if resource.group == super::resource::RBAC {
        !name.is_empty() && !name.contains(['/', '%']) && name != "." && name != ".."
    } else {
        is_subdomain(name)
    };
    if !is_good {
        causes.push(Cause::invalid("metadata.name", &json!(name), SUBDOMAIN));
    }
}

/// Returns true for a DNS subdomain of RFC 1123 with at most 253 characters.
fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        let ends =
            |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
        ends(label.chars().next())
            && ends(label.chars().last())
            && label.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Checks the values of labels: at most 63 characters, alphanumeric at both ends.
fn labels(object: &Value, causes: &mut Vec<Cause>) {
    let labels = super::json::object_at(object, &["metadata", "labels"]);
    for (key, value) in labels.into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let edge = |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
        let is_good = value.is_string()
            && text.len() <= 63
            && edge(text.chars().next())
            && edge(text.chars().last())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        if !is_good || key.is_empty() {
            let detail = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
                          and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation \
                          is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            causes.push(Cause::invalid("metadata.labels", value, detail));
        }
    }
}

/// Requires at least one container, and a name and an image for each.
fn containers(object: &Value, path: &[&str], field: &str, causes: &mut Vec<Cause>) {
    let containers = list_at(object, path);
    if containers.is_empty() {
        causes.push(Cause::required(field, ""));
    }
    for (index, container) in containers.iter().enumerate() {
        for key in ["name", "image"] {
            if str_at(container, &[key]).is_empty() {
                causes.push(Cause::required(&format!("{field}[{index}].{key}"), ""));
            }
        }
    }
}

/// Checks the containers of a workload, and that its selector matches the labels of its template.
fn workload(object: &Value, causes: &mut Vec<Cause>) {
    containers(object, &["spec", "template", "spec", "containers"], "spec.template.spec.containers", causes);
    let selector = at(object, &["spec", "selector"]).cloned().unwrap_or_default();
    let labels = at(object, &["spec", "template", "metadata", "labels"]).cloned().unwrap_or_default();
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        causes.push(Cause::required("spec.selector", ""));
    } else if !super::selector::meets(&selector, &labels) {
        let detail = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", &labels, detail));
    }
}

/// Checks the content, usages, signer and lifetime of a certificate signing request.
fn signing_request(object: &Value, causes: &mut Vec<Cause>) {
    if super::authority::read_request(str_at(object, &["spec", "request"])).is_none() {
        let request = at(object, &["spec", "request"]).cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec.request", &request, "PEM block type must be CERTIFICATE REQUEST"));
    }
    if list_at(object, &["spec", "usages"]).is_empty() {
        causes.push(Cause::required("spec.usages", ""));
    }
    let signer = str_at(object, &["spec", "signerName"]);
    if signer.is_empty() {
        causes.push(Cause::required("spec.signerName", "signerName must be provided"));
    } else if !signer.contains('/') {
        causes.push(Cause::invalid(
            "spec.signerName",
            &json!(signer),
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ));
    }
    let seconds = at(object, &["spec", "expirationSeconds"]).and_then(Value::as_i64);
    if let Some(seconds) = seconds.filter(|seconds| *seconds < 600) {
        causes.push(Cause::invalid(
            "spec.expirationSeconds",
            &json!(seconds),
            "may not specify a duration less than 600 seconds (10 minutes)",
        ));
    }
}

/// Checks the name, versions and scope of a definition.
fn definition(object: &Value, causes: &mut Vec<Cause>) {
    let expected = format!("{}.{}", str_at(object, &["spec", "names", "plural"]), str_at(object, &["spec", "group"]));
    if name_of(object) != expected {
        causes.push(Cause::invalid(
            "metadata.name",
            &json!(name_of(object)),
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let versions = list_at(object, &["spec", "versions"]);
    let stored = versions.iter().filter(|version| version.get("storage") == Some(&json!(true))).count();
    if stored != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &json!(versions.len()),
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            causes.push(Cause::required(
                &format!("spec.versions[{index}].schema.openAPIV3Schema"),
                "schemas are required",
            ));
        }
    }
    let scope = at(object, &["spec", "scope"]).cloned().unwrap_or_default();
    let scopes = [json!("Cluster"), json!("Namespaced")];
    if !scopes.contains(&scope) {
        causes.push(Cause::unsupported("spec.scope", &scope, &scopes));
    }
}

/// Checks the duration and the number of transitions of a lease.
fn lease(object: &Value, causes: &mut Vec<Cause>) {
    let limits = [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ];
    for (field, minimum, detail) in limits {
        let value = at(object, &["spec", field]).and_then(Value::as_i64);
        if let Some(value) = value.filter(|value| *value < minimum) {
            causes.push(Cause::invalid(&format!("spec.{field}"), &json!(value), detail));
        }
    }
}

/// Requires all values of a map to be texts.
fn strings(object: &Value, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in super::json::object_at(object, &[field]).into_iter().flatten() {
        if !value.is_string() {
            causes.push(Cause::invalid(&format!("{field}[{key}]"), value, "must be a string"));
        }
    }
}

/// Requires the role of a binding.
fn binding(object: &Value, causes: &mut Vec<Cause>) {
    for key in ["kind", "name"] {
        if str_at(object, &["roleRef", key]).is_empty() {
            causes.push(Cause::required(&format!("roleRef.{key}"), ""));
        }
    }
}

/// Refuses an update that changes immutable fields.
pub(crate) fn update(resource: &Resource, held: &Value, new: &Value) -> Result<(), Refusal> {
    let mut causes = Vec::new();
    let mut fixed = |path: &[&str], detail: &str| {
        if at(held, path) != at(new, path) {
            let value = at(new, path).cloned().unwrap_or_default();
            causes.push(Cause::invalid(&path.join("."), &value, detail));
        }
    };
    match resource.qualified().as_str() {
        "deployments.apps" | "daemonsets.apps" | "replicasets.apps" | "statefulsets.apps" => {
            fixed(&["spec", "selector"], "field is immutable");
        }
        "secrets" => fixed(&["type"], "field is immutable"),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            for path in [&["spec", "scope"] as &[&str], &["spec", "names", "kind"], &["spec", "group"]] {
                fixed(path, "field is immutable");
            }
        }
        "certificatesigningrequests.certificates.k8s.io" => {
            fixed(&["spec"], "may not be changed once set");
        }
        "clusterrolebindings.rbac.authorization.k8s.io" | "rolebindings.rbac.authorization.k8s.io" => {
            fixed(&["roleRef"], "cannot change roleRef");
        }
        "pods" => pod_update(held, new, &mut causes),
        "nodes" => node_update(held, new, &mut causes),
        _ => {}
    }
    refuse(resource, held, &causes)
}

/// Allows changes of images, tolerations and deadlines of a pod only.
fn pod_update(held: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let bare = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for key in ["tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds"] {
            super::json::remove(&mut spec, &[key]);
        }
        for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
            super::json::remove(container, &["image"]);
        }
        spec
    };
    if bare(held) != bare(new) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                      `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                      `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(Cause::forbidden("spec", detail));
    }
}

/// Forbids changes of the prefix and the provider ID of a node once they are set.
fn node_update(held: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let changed = |path: &[&str]| {
        let before = at(held, path).filter(|value| **value != json!("") && **value != json!([]));
        before.is_some() && at(held, path) != at(new, path)
    };
    if changed(&["spec", "podCIDRs"]) || changed(&["spec", "podCIDR"]) {
        causes.push(Cause::forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid"));
    }
    if changed(&["spec", "providerID"]) {
        causes.push(Cause::forbidden(
            "spec.providerID",
            "node updates may not change providerID except from \"\" to valid",
        ));
    }
    if !causes.is_empty() {
        let detail = "node updates may only change labels, taints, or capacity (or configSource, if the DynamicKubeletConfig feature gate \
                      is enabled)";
        causes.push(Cause::forbidden("[]", detail));
    }
}

/// Refuses a definition of a kind that another definition of the group has.
pub(crate) fn unique(kube: &Kube, resource: &Resource, object: &Value) -> Result<(), Refusal> {
    if resource.kind != "CustomResourceDefinition" {
        return Ok(());
    }
    let of = |definition: &Value| {
        (str_at(definition, &["spec", "group"]).to_owned(), str_at(definition, &["spec", "names", "kind"]).to_owned())
    };
    let clash = kube.all(&resource.qualified()).any(|held| of(held) == of(object) && name_of(held) != name_of(object));
    if clash {
        let kind = at(object, &["spec", "names", "kind"]).cloned().unwrap_or_default();
        let cause = Cause::invalid("spec.names.kind", &kind, "is already in use");
        return Err(Refusal::invalid(&resource.group, &resource.kind, name_of(object), &[cause]));
    }
    Ok(())
}
