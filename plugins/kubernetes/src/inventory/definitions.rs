use serde_json::Value;
use stargate_kubernetes_client::{
    KubeClient, KubeRequest,
    json::{list, text},
};
use stargate_sdk::{ActionContext, ActionError};

/// API group of the kinds `Site` and `Server`.
const GROUP: &str = "stargate.io";
/// Collections of these kinds. Their objects are not in namespaces.
const COLLECTIONS: [&str; 2] = ["sites", "servers"];

/// Refuses a cluster in which an earlier program has defined `Site` or `Server` with objects in
/// namespaces. The scope of a kind cannot be changed.
///
/// Reads what the API server serves, which each account may.
///
/// # Errors
/// `Permanent` with the name of the definition and the commands that remove it.
pub(crate) async fn check_definitions(api: &KubeClient, cx: &ActionContext) -> Result<(), ActionError> {
    let Some(group) = read(api, cx, format!("/apis/{GROUP}")).await? else { return Ok(()) };
    for version in list(&group, "/versions").filter_map(|version| text(version, "/groupVersion")) {
        let Some(served) = read(api, cx, format!("/apis/{version}")).await? else { continue };
        if let Some(collection) = namespaced_collection(&served) {
            return Err(definition_error(collection));
        }
    }
    Ok(())
}

/// Reads a discovery document; `None` if the server does not serve it.
async fn read(api: &KubeClient, cx: &ActionContext, path: String) -> Result<Option<Value>, ActionError> {
    match api.call(cx, KubeRequest::read(path)).await {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The first of the collections that is in namespaces.
fn namespaced_collection(served: &Value) -> Option<&'static str> {
    let namespaced: Vec<&str> = list(served, "/resources")
        .filter(|resource| resource["namespaced"] == true)
        .filter_map(|resource| text(resource, "/name"))
        .collect();
    COLLECTIONS.into_iter().find(|collection| namespaced.contains(collection))
}

fn definition_error(collection: &str) -> ActionError {
    let name = format!("{collection}.{GROUP}");
    ActionError::permanent(format!(
        "CustomResourceDefinition {name:?} of the cluster has scope Namespaced, as an earlier program defined it: \
         Cluster is needed, and the scope cannot be changed"
    ))
    .with_hint(format!(
        "stop the controllers of that program, save its objects with `kubectl get {name} --all-namespaces -o yaml > \
         {collection}.yaml`, remove the kind with `kubectl delete crd {name}`, and run the workflow again: machines and \
         nodes keep running, and README describes how they are registered"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespaced_collection_is_found() {
        let served = |name: &str, namespaced: bool| json!({"resources": [{"name": name, "namespaced": namespaced}]});
        assert_eq!(namespaced_collection(&served("servers", true)), Some("servers"));
        assert_eq!(namespaced_collection(&served("sites", true)), Some("sites"));
        assert_eq!(namespaced_collection(&served("servers", false)), None);
        assert_eq!(namespaced_collection(&served("servers/status", true)), None);
        assert_eq!(namespaced_collection(&served("provisioningprofiles", true)), None);
    }
}
