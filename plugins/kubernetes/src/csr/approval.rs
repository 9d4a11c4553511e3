use serde_json::{Value, json};
use stargate_kubernetes_client::{CERTIFICATE_REQUESTS, KubeClient, ObjectName, json::name};
use stargate_sdk::{ActionContext, ActionError};

/// Approves a request as it was checked. Returns false if it has changed since then or is gone: the
/// caller reads it again.
pub(crate) async fn approve(api: &KubeClient, cx: &ActionContext, csr: &Value) -> Result<bool, ActionError> {
    let mut body = csr.clone();
    let approval = json!({"type": "Approved", "status": "True", "reason": "StargateApproved",
        "message": "the request is the node's own"});
    body["apiVersion"] = "certificates.k8s.io/v1".into();
    body["kind"] = "CertificateSigningRequest".into();
    match body.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        Some(conditions) => conditions.push(approval),
        None => body["status"] = json!({"conditions": [approval]}),
    }
    match api.replace(cx, &CERTIFICATE_REQUESTS, ObjectName::cluster(name(csr))?, Some("approval"), body).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_stale() || error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
