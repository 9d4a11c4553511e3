use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::arm::aks::cluster::DEFAULT_VERSION;
use crate::arm::error::ArmError;
use crate::arm::json::field;
use crate::arm::request::{ArmReply, ArmResult};
use crate::arm::store::{Arm, ClusterAccess, StoredResource, group_of};

/// Answers an action of a cluster: credentials or versions.
pub(crate) fn action(arm: &mut Arm, method: &str, id: &str, verb: &str) -> ArmResult {
    let cluster = arm.find(id).cloned().ok_or_else(|| ArmError::child_not_found(id))?;
    match (method, verb) {
        ("POST", "listclusterusercredential") => Ok(credentials(arm, &cluster, "clusterUser")),
        ("POST", "listclusteradmincredential") => Ok(credentials(arm, &cluster, "clusterAdmin")),
        ("GET", "availableagentpoolversions") => {
            let version = json!({ "default": true, "kubernetesVersion": DEFAULT_VERSION });
            let id = format!("{id}/availableAgentPoolVersions");
            Ok(ArmReply::json(
                200,
                json!({ "id": id, "name": "default", "properties": { "agentPoolVersions": [version] } }),
            ))
        }
        (method, _) => Err(ArmError::method_not_allowed(method)),
    }
}

/// Answers with a kubeconfig for a role.
fn credentials(arm: &mut Arm, cluster: &StoredResource, role: &str) -> ArmReply {
    let name = &cluster.name;
    let user = format!("{role}_{}_{name}", group_of(&cluster.id));
    // A cluster that is not served has an address and a token all the same, as one that is stopped.
    let access = arm.cluster.clone().unwrap_or_else(|| ClusterAccess {
        server: format!("https://{}:443", field(&cluster.properties, "fqdn").unwrap_or_default()),
        authority: String::new(),
        token: arm.guid().replace('-', ""),
    });
    let config = access.kubeconfig(name, &user);
    ArmReply::json(200, json!({ "kubeconfigs": [{ "name": role, "value": STANDARD.encode(config) }] }))
}

/// Answers with the Kubernetes versions of a location.
pub(crate) fn versions() -> ArmReply {
    let version = |text: &str, default: bool| {
        let patch = format!("{text}.5");
        json!({ "version": text, "isDefault": default, "patchVersions": { patch: { "upgrades": [] } } })
    };
    ArmReply::json(200, json!({ "values": [version("1.33", true), version("1.32", false)] }))
}
