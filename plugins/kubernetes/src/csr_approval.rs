use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    api::Api,
    field::name,
    kind::{At, REQUESTS},
};

/// Approves the request as it was checked. `false` if it has changed since or is gone: it is to be looked at anew.
pub(crate) async fn approve(api: &Api, cx: &ActionContext, csr: &Value) -> Result<bool, ActionError> {
    let mut body = csr.clone();
    let approval = json!({"type": "Approved", "status": "True", "reason": "StargateApproved",
        "message": "the request is the node's own"});
    body["apiVersion"] = "certificates.k8s.io/v1".into();
    body["kind"] = "CertificateSigningRequest".into();
    match body.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        Some(conditions) => conditions.push(approval),
        None => body["status"] = json!({"conditions": [approval]}),
    }
    match api.replace(cx, &REQUESTS, At::cluster(name(csr)), Some("approval"), body).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_stale() || error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
