use serde_json::{Value, json};

use crate::harness::{Bench, open};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Answer to a request.
struct Answer {
    status: u16,
    warnings: Vec<String>,
    body: Value,
}

impl Answer {
    fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

async fn send(bench: &Bench, method: &str, path: &str, kind: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", bench.sim.kube_url().unwrap());
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = bench.client.request(method, url).bearer_auth(&bench.token).header("content-type", kind);
    let response = request.body(body.to_string()).send().await.unwrap();
    let warnings = response.headers().get_all("warning").iter();
    let warnings = warnings.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    Answer { status: response.status().as_u16(), warnings, body: response.json().await.unwrap() }
}

/// Deployment whose specification and container have further fields.
fn deployment(name: &str, spec: &Value, container: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] } },
        },
    });
    let add = |target: &mut Value, fields: &Value| {
        target.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    };
    add(&mut object["spec"], spec);
    add(&mut object["spec"]["template"]["spec"]["containers"][0], container);
    object
}

/// Deployment with one undeclared field in its container and one in its specification.
fn undeclared(name: &str) -> Value {
    deployment(name, &json!({ "bar": 2 }), &json!({ "foo": 1 }))
}

fn assert_pruned(stored: &Value) {
    assert!(stored["spec"].get("bar").is_none(), "{stored}");
    assert!(stored["spec"]["template"]["spec"]["containers"][0].get("foo").is_none(), "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_refuses_undeclared_fields() {
    let bench = open().await;
    let path = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let refused = send(&bench, "POST", &path, JSON, &undeclared("d")).await;
    let message = "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
                   unknown field \"spec.template.spec.containers[0].foo\", unknown field \"spec.bar\"";
    assert_eq!((refused.status, &refused.body["reason"]), (400, &json!("BadRequest")));
    assert_eq!(refused.message(), message);
    assert_eq!(bench.admin("GET", &format!("{DEPLOYMENTS}/d"), None).await.0, 404);
    assert_eq!(send(&bench, "POST", DEPLOYMENTS, JSON, &deployment("d", &json!({}), &json!({}))).await.status, 201);
    let path = format!("{DEPLOYMENTS}/d?fieldValidation=Strict");
    assert_eq!(send(&bench, "PUT", &path, JSON, &undeclared("d")).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn undeclared_fields_are_dropped_with_a_warning_unless_it_is_ignored() {
    let bench = open().await;
    for (name, parameter) in [("a", ""), ("b", "?fieldValidation=Warn")] {
        let created = send(&bench, "POST", &format!("{DEPLOYMENTS}{parameter}"), JSON, &undeclared(name)).await;
        let expected = [
            "299 - \"unknown field \\\"spec.template.spec.containers[0].foo\\\"\"",
            "299 - \"unknown field \\\"spec.bar\\\"\"",
        ];
        assert_eq!((created.status, created.warnings), (201, expected.map(str::to_owned).to_vec()));
        assert_pruned(&created.body);
        assert_pruned(&bench.admin("GET", &format!("{DEPLOYMENTS}/{name}"), None).await.1);
    }
    let created = send(&bench, "POST", &format!("{DEPLOYMENTS}?fieldValidation=Ignore"), JSON, &undeclared("c")).await;
    assert_eq!((created.status, created.warnings.len()), (201, 0));
    assert_pruned(&created.body);
    let refused = send(&bench, "POST", &format!("{DEPLOYMENTS}?fieldValidation=Bogus"), JSON, &undeclared("d")).await;
    let message = "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Bogus\": supported values: \
                   \"\", \"Ignore\", \"Strict\", \"Warn\"";
    assert_eq!((refused.status, refused.message()), (422, message));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_a_wrong_type_is_refused_in_the_words_of_the_decoder() {
    let bench = open().await;
    let none = json!({});
    let in_field = |found: &str, field: &str, go_type: &str| {
        format!("json: cannot unmarshal {found} into Go struct field {field} of type {go_type}")
    };
    let containers = "spec.template.spec.containers";
    let cases = [
        (json!({ "replicas": "x" }), none.clone(), in_field("string", "DeploymentSpec.spec.replicas", "int32")),
        (json!({ "replicas": 1.5 }), none.clone(), in_field("number 1.5", "DeploymentSpec.spec.replicas", "int32")),
        (json!({ "paused": "yes" }), none.clone(), in_field("string", "DeploymentSpec.spec.paused", "bool")),
        (
            json!({ "strategy": { "rollingUpdate": { "maxSurge": true } } }),
            none.clone(),
            in_field("bool", "RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge", "int32"),
        ),
        (
            none.clone(),
            json!({ "env": [{ "name": "x", "value": 1 }] }),
            in_field("number", &format!("EnvVar.{containers}.env.value"), "string"),
        ),
        (
            none.clone(),
            json!({ "env": "x" }),
            in_field("string", &format!("Container.{containers}.env"), "[]v1.EnvVar"),
        ),
        (none.clone(), json!({ "args": [1] }), in_field("number", &format!("Container.{containers}.args"), "string")),
        (
            none.clone(),
            json!({ "resources": "x" }),
            in_field("string", &format!("Container.{containers}.resources"), "v1.ResourceRequirements"),
        ),
        (
            none.clone(),
            json!({ "resources": { "limits": { "cpu": "x" } } }),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned(),
        ),
    ];
    for (spec, container, error) in cases {
        let refused = send(&bench, "POST", DEPLOYMENTS, JSON, &deployment("d", &spec, &container)).await;
        let expected = format!("Deployment in version \"v1\" cannot be handled as a Deployment: {error}");
        assert_eq!((refused.status, refused.message()), (400, expected.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_times_and_bytes_are_checked_too() {
    let bench = open().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let cases = [
        (
            MAPS,
            "ConfigMap",
            json!({ "metadata": { "name": "x", "labels": { "a": 1 } } }),
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            MAPS,
            "ConfigMap",
            json!({ "metadata": { "name": "x" }, "data": "x" }),
            "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            MAPS,
            "ConfigMap",
            json!({ "metadata": "x" }),
            "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
        ),
        (
            MAPS,
            "ConfigMap",
            json!({ "metadata": { "name": "x", "creationTimestamp": "yesterday" } }),
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
        ),
        (
            secrets,
            "Secret",
            json!({ "metadata": { "name": "x" }, "data": { "a": "###" } }),
            "illegal base64 data at input byte 0",
        ),
        (
            secrets,
            "Secret",
            json!({ "metadata": { "name": "x" }, "data": { "a": 1 } }),
            "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
        ),
        (
            leases,
            "Lease",
            json!({ "metadata": { "name": "x" }, "spec": { "renewTime": "2026-11-28T15:00:00Z" } }),
            "parsing time \"2026-11-28T15:00:00Z\" as \"2006-01-02T15:04:05.000000Z07:00\": cannot parse \"Z\" as \".000000\"",
        ),
        (
            leases,
            "Lease",
            json!({ "metadata": { "name": "x" }, "spec": { "renewTime": 5 } }),
            "json: cannot unmarshal number into Go struct field LeaseSpec.spec.renewTime of type string",
        ),
    ];
    for (path, kind, body, error) in cases {
        let refused = send(&bench, "POST", path, JSON, &body).await;
        let expected = format!("{kind} in version \"v1\" cannot be handled as a {kind}: {error}");
        assert_eq!((refused.status, refused.message()), (400, expected.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_stored_in_the_form_of_their_type() {
    let bench = open().await;
    let map = json!({ "metadata": { "name": "m" }, "data": { "a": null } });
    assert_eq!(send(&bench, "POST", MAPS, JSON, &map).await.body["data"], json!({ "a": "" }));
    let container = json!({ "resources": { "limits": { "cpu": 2, "memory": "1Gi" } } });
    let stored = send(&bench, "POST", DEPLOYMENTS, JSON, &deployment("d", &json!({}), &container)).await.body;
    let limits = &stored["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
    assert_eq!(*limits, json!({ "cpu": "2", "memory": "1Gi" }));
    let lease = json!({ "metadata": { "name": "l" }, "spec": { "renewTime": "2026-11-28T17:00:00.000001+02:00" } });
    let stored =
        send(&bench, "POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", JSON, &lease).await.body;
    assert_eq!(stored["spec"]["renewTime"], "2026-11-28T15:00:00.000001Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_are_checked_after_they_are_merged() {
    let bench = open().await;
    assert_eq!(send(&bench, "POST", DEPLOYMENTS, JSON, &deployment("d", &json!({}), &json!({}))).await.status, 201);
    let (path, strict) = (format!("{DEPLOYMENTS}/d"), format!("{DEPLOYMENTS}/d?fieldValidation=Strict"));
    for (kind, patch) in [
        (MERGE, json!({ "spec": { "foo": 1 } })),
        (JSON_PATCH, json!([{ "op": "add", "path": "/spec/foo", "value": 1 }])),
    ] {
        let refused = send(&bench, "PATCH", &strict, kind, &patch).await;
        assert_eq!((refused.status, &refused.body["reason"]), (422, &json!("Invalid")));
        let (start, end) = (
            " \"\" is invalid: patch: Invalid value: \"{\\\"",
            "}\": strict decoding error: unknown field \"spec.foo\"",
        );
        assert!(refused.message().starts_with(start) && refused.message().ends_with(end), "{}", refused.message());
        let patched = send(&bench, "PATCH", &path, kind, &patch).await;
        assert_eq!(
            (patched.status, patched.warnings),
            (200, vec!["299 - \"unknown field \\\"spec.foo\\\"\"".to_owned()])
        );
        assert!(patched.body["spec"].get("foo").is_none());
    }
    let cases = [
        (
            json!({ "spec": { "foo": 1, "bar": { "x": [1, true, null, "s"] } } }),
            "map[spec:map[bar:map[x:[1 true <nil> s]] foo:1]]",
            "strict decoding error: unknown field \"spec.bar\", unknown field \"spec.foo\"",
        ),
        (json!({ "spec": { "replicas": "x" } }), "map[spec:map[replicas:x]]", "unrecognized type: int32"),
        (
            json!({ "metadata": { "labels": { "x": 1 } } }),
            "map[metadata:map[labels:map[x:1]]]",
            "cannot convert int64 to string",
        ),
        (json!({ "metadata": { "labels": "x" } }), "map[metadata:map[labels:x]]", "cannot restore map from string"),
        (
            json!({ "metadata": { "finalizers": "x" } }),
            "map[metadata:map[finalizers:x]]",
            "cannot restore slice from string",
        ),
        (json!({ "spec": { "template": "x" } }), "map[spec:map[template:x]]", "cannot restore struct from: string"),
    ];
    for (patch, shown, error) in cases {
        let refused = send(&bench, "PATCH", &strict, STRATEGIC, &patch).await;
        let message = format!("Invalid value: \"{shown}\": {error}");
        assert_eq!((refused.status, refused.message()), (422, format!(" \"\" is invalid: patch: {message}").as_str()));
        let cause = json!({ "reason": "FieldValueInvalid", "message": message, "field": "patch" });
        assert_eq!(refused.body["details"], json!({ "causes": [cause] }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_side_apply_must_match_the_schema() {
    let bench = open().await;
    let cases = [
        (json!({ "foo": 1 }), ".spec.foo: field not declared in schema"),
        (json!({ "replicas": "x" }), ".spec.replicas: expected numeric (int or float), got string"),
        (json!({ "paused": "x" }), ".spec.paused: expected boolean, got &{x}"),
        (json!({ "template": "x" }), ".spec.template: expected map, got &{x}"),
        (json!({ "selector": { "matchLabels": ["x"] } }), ".spec.selector.matchLabels: expected map, got &{[x]}"),
        (
            json!({ "template": { "spec": { "containers": "x" } } }),
            ".spec.template.spec.containers: expected list, got &{x}",
        ),
        (
            json!({ "template": { "spec": { "tolerations": [{ "foo": 1 }] } } }),
            ".spec.template.spec.tolerations[0].foo: field not declared in schema",
        ),
        (
            json!({ "template": { "spec": { "containers": [{ "name": "c", "args": [1], "command": "x", "image": 1.5 }] } } }),
            "errors:\n  .spec.template.spec.containers[name=\"c\"].args[0]: expected string, got &value.valueUnstructured{Value:1}\n  \
             .spec.template.spec.containers[name=\"c\"].command: expected list, got &{x}\n  \
             .spec.template.spec.containers[name=\"c\"].image: expected string, got &value.valueUnstructured{Value:1.5}",
        ),
        (
            json!({ "template": { "spec": { "containers": [{ "name": "c", "ports": [{ "containerPort": 80, "foo": 1 }] }] } } }),
            ".spec.template.spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"].foo: field not declared in schema",
        ),
    ];
    for (spec, error) in cases {
        let body = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "namespace": "default" }, "spec": spec });
        for validation in ["", "&fieldValidation=Ignore"] {
            let path = format!("{DEPLOYMENTS}/d?fieldManager=m{validation}");
            let refused = send(&bench, "PATCH", &path, APPLY, &body).await;
            let expected =
                format!("failed to create typed patch object (default/d; apps/v1, Kind=Deployment): {error}");
            assert_eq!((refused.status, refused.message()), (500, expected.as_str()));
            assert_eq!((refused.body.get("reason"), refused.body.get("details")), (None, None));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_objects_are_checked_by_their_schema_and_the_type_of_their_metadata() {
    let bench = open().await;
    let nodes = "/apis/cilium.io/v2/ciliumnodes";
    let object = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": { "name": "n", "zz": 1 },
        "spec": { "foo": 1, "ipam": { "podCIDRs": ["10.0.0.0/24"] } },
    });
    let fields = ["metadata.zz", "spec.foo"];
    let refused = send(&bench, "POST", &format!("{nodes}?fieldValidation=Strict"), JSON, &object).await;
    let expected = fields.map(|field| format!("unknown field \"{field}\"")).join(", ");
    let message =
        format!("CiliumNode in version \"v2\" cannot be handled as a CiliumNode: strict decoding error: {expected}");
    assert_eq!((refused.status, refused.message()), (400, message.as_str()));
    let created = send(&bench, "POST", nodes, JSON, &object).await;
    let expected = fields.map(|field| format!("299 - \"unknown field \\\"{field}\\\"\""));
    assert_eq!((created.status, created.warnings.as_slice()), (201, expected.as_slice()));
    assert_eq!(created.body["spec"], json!({ "ipam": { "podCIDRs": ["10.0.0.0/24"] } }));
    let refused = send(&bench, "PATCH", &format!("{nodes}/n?fieldManager=m"), APPLY, &object).await;
    let start = "failed to create typed patch object (/n; cilium.io/v2, Kind=CiliumNode): ";
    let errors = fields.map(|field| format!("  .{field}: field not declared in schema")).join("\n");
    assert_eq!((refused.status, refused.message()), (500, format!("{start}errors:\n{errors}").as_str()));
    let wrong = json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": { "name": "x", "labels": { "a": 1 } }, "spec": {} });
    let refused = send(&bench, "POST", nodes, JSON, &wrong).await;
    let error = "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string";
    let expected = format!("CiliumNode in version \"v2\" cannot be handled as a CiliumNode: {error}");
    assert_eq!((refused.status, refused.message()), (400, expected.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_a_new_cluster_are_valid() {
    let bench = open().await;
    let (_, groups) = bench.admin("GET", "/apis", None).await;
    let named = groups["groups"].as_array().unwrap().iter();
    let named = named.map(|group| format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
    let mut count = 0;
    for version in named.chain(["/api/v1".to_owned()]) {
        let (_, served) = bench.admin("GET", &version, None).await;
        for resource in served["resources"].as_array().unwrap() {
            let (plural, is_listed) =
                (resource["name"].as_str().unwrap(), resource["verbs"].as_array().unwrap().contains(&json!("list")));
            if !is_listed {
                continue;
            }
            let (_, list) = bench.admin("GET", &format!("{version}/{plural}"), None).await;
            for object in list["items"].as_array().unwrap() {
                let metadata = &object["metadata"];
                let (namespace, name) = (metadata["namespace"].as_str(), metadata["name"].as_str().unwrap());
                let place = namespace.map_or_else(String::new, |namespace| format!("/namespaces/{namespace}"));
                let path = format!("{version}{place}/{plural}/{name}?fieldValidation=Strict&dryRun=All");
                let mut body = object.clone();
                body.as_object_mut().unwrap().remove("kind");
                body.as_object_mut().unwrap().remove("apiVersion");
                body["kind"] = resource["kind"].clone();
                body["apiVersion"] = json!(version.trim_start_matches("/apis/").trim_start_matches("/api/"));
                let answer = send(&bench, "PUT", &path, JSON, &body).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count} objects");
}
