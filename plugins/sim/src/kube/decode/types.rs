use k8s_openapi::api::{
    apps, batch, certificates, coordination, core, discovery, networking, policy, rbac, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use serde_json::Value;

use super::decoder::{Decoded, decode_into};

/// Decodes an object of a built-in resource, named as `plural.group`, into its type.
///
/// Returns `None` for a resource without a type.
pub(crate) fn decode(qualified: &str, object: &Value) -> Option<Decoded> {
    let decode = match qualified {
        "configmaps" => decode_into::<core::v1::ConfigMap>,
        "endpoints" => decode_into::<core::v1::Endpoints>,
        "events" => decode_into::<core::v1::Event>,
        "namespaces" => decode_into::<core::v1::Namespace>,
        "nodes" => decode_into::<core::v1::Node>,
        "pods" => decode_into::<core::v1::Pod>,
        "secrets" => decode_into::<core::v1::Secret>,
        "serviceaccounts" => decode_into::<core::v1::ServiceAccount>,
        "services" => decode_into::<core::v1::Service>,
        "customresourcedefinitions.apiextensions.k8s.io" => decode_into::<apiextensions::v1::CustomResourceDefinition>,
        "controllerrevisions.apps" => decode_into::<apps::v1::ControllerRevision>,
        "daemonsets.apps" => decode_into::<apps::v1::DaemonSet>,
        "deployments.apps" => decode_into::<apps::v1::Deployment>,
        "replicasets.apps" => decode_into::<apps::v1::ReplicaSet>,
        "statefulsets.apps" => decode_into::<apps::v1::StatefulSet>,
        "cronjobs.batch" => decode_into::<batch::v1::CronJob>,
        "jobs.batch" => decode_into::<batch::v1::Job>,
        "certificatesigningrequests.certificates.k8s.io" => decode_into::<certificates::v1::CertificateSigningRequest>,
        "leases.coordination.k8s.io" => decode_into::<coordination::v1::Lease>,
        "endpointslices.discovery.k8s.io" => decode_into::<discovery::v1::EndpointSlice>,
        "networkpolicies.networking.k8s.io" => decode_into::<networking::v1::NetworkPolicy>,
        "poddisruptionbudgets.policy" => decode_into::<policy::v1::PodDisruptionBudget>,
        "clusterrolebindings.rbac.authorization.k8s.io" => decode_into::<rbac::v1::ClusterRoleBinding>,
        "clusterroles.rbac.authorization.k8s.io" => decode_into::<rbac::v1::ClusterRole>,
        "rolebindings.rbac.authorization.k8s.io" => decode_into::<rbac::v1::RoleBinding>,
        "roles.rbac.authorization.k8s.io" => decode_into::<rbac::v1::Role>,
        "priorityclasses.scheduling.k8s.io" => decode_into::<scheduling::v1::PriorityClass>,
        "storageclasses.storage.k8s.io" => decode_into::<storage::v1::StorageClass>,
        _ => return None,
    };
    Some(decode(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::decode;
    use crate::kube::resource::built_in;

    #[test]
    fn each_built_in_resource_has_a_type() {
        for resource in built_in() {
            let decoded = decode(&resource.qualified(), &json!({ "nothing": 1 })).expect("it has a type");
            assert_eq!(decoded.findings.len(), 1, "{}", resource.kind);
        }
    }
}
