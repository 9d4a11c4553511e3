use serde_json::{Value, json};

use crate::harness::open;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn definition() -> Value {
    let version =
        json!({ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "foos.example.com" },
        "spec": { "group": "example.com", "scope": "Namespaced", "names": { "kind": "Foo", "plural": "foos" }, "versions": [version] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_a_definition_is_immutable() {
    let bench = open().await;
    assert_eq!(bench.admin("POST", DEFINITIONS, Some(&definition())).await.0, 201);
    let path = format!("{DEFINITIONS}/foos.example.com");
    let start = "CustomResourceDefinition.apiextensions.k8s.io \"foos.example.com\" is invalid: ";
    let cases = [
        (json!({ "scope": "Cluster" }), "spec.scope: Invalid value: \"Cluster\": field is immutable"),
        (
            json!({ "scope": "Cluster", "names": { "kind": "Bar" } }),
            "[spec.scope: Invalid value: \"Cluster\": field is immutable, spec.names.kind: Invalid value: \"Bar\": field is immutable]",
        ),
    ];
    for (spec, message) in cases {
        let changes = json!({ "spec": spec });
        let (status, refused) =
            bench.ask("PATCH", &path, &bench.token, "application/merge-patch+json", Some(&changes)).await;
        assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")), "{refused}");
        assert_eq!(refused["message"], format!("{start}{message}"));
    }
    let (status, refused) = bench.admin("PUT", &path, Some(&definition())).await;
    let message = "customresourcedefinitions.apiextensions.k8s.io \"foos.example.com\" is invalid: \
                   metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    assert_eq!((status, refused["message"].as_str()), (422, Some(message)));
    let unchanged = bench.admin("GET", &path, None).await.1;
    assert_eq!(unchanged["spec"]["scope"], "Namespaced");
}
