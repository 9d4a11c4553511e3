use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arm::deployment::template::compile;
use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::operation::{is_verbatim, signature};
use crate::arm::request::{ArmCall, ArmReply, ArmResult};
use crate::arm::retry_after::retry_after;
use crate::arm::store::{Arm, DeploymentState, StoredDeployment};

/// Answers a request for one deployment of a group.
pub(crate) fn answer(arm: &mut Arm, call: &ArmCall, method: &str, group: &str, name: &str) -> ArmResult {
    match method {
        "PUT" => put(arm, call, group, name),
        "GET" => find(arm, group, name).map(|deployment| ArmReply::json(200, body(deployment))),
        "HEAD" => Ok(ArmReply::empty(if find(arm, group, name).is_ok() { 204 } else { 404 })),
        "DELETE" => delete(arm, group, name),
        other => Err(ArmError::method_not_allowed(other)),
    }
}

/// Lists the deployments of a group.
pub(crate) fn list(arm: &Arm, group: &str) -> ArmResult {
    let prefix = key(arm, &group::find(arm, group)?.name, "");
    let found = arm.deployments.iter().filter(|(key, _)| key.starts_with(&prefix));
    let value: Vec<Value> = found.map(|(_, deployment)| body(deployment)).collect();
    Ok(ArmReply::json(200, json!({ "value": value })))
}

/// Returns the key of a deployment in the store.
fn key(arm: &Arm, group: &str, name: &str) -> String {
    id(arm, group, name).to_ascii_lowercase()
}

/// Returns the id of a deployment.
fn id(arm: &Arm, group: &str, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}",
        arm.subscription
    )
}

/// Returns a deployment of a group.
///
/// # Errors
/// 404 if the group or the deployment does not exist.
fn find<'a>(arm: &'a Arm, group: &str, name: &str) -> Result<&'a StoredDeployment, ArmError> {
    group::find(arm, group)?;
    arm.deployments
        .get(&key(arm, group, name))
        .ok_or_else(|| ArmError::gateway(404, "DeploymentNotFound", format!("Deployment '{name}' could not be found.")))
}

/// Starts a deployment. One that is running cannot be replaced.
fn put(arm: &mut Arm, call: &ArmCall, group: &str, name: &str) -> ArmResult {
    let group = group::writable(arm, group)?.name;
    let body_sent = call.object()?;
    let properties = body_sent.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    check_mode(properties.get("mode"))?;
    let known = arm.deployments.get(&key(arm, &group, name));
    if known.is_some_and(|known| known.state == DeploymentState::Running) {
        let message = format!("Unable to edit or replace deployment '{name}': previous deployment is still active.");
        return Err(ArmError::gateway(409, "DeploymentActive", message));
    }
    let (status, compiled) =
        (if known.is_some() { 200 } else { 201 }, compile(&arm.subscription, &group, &properties)?);
    let deployment = StoredDeployment {
        id: id(arm, &group, name),
        name: name.to_owned(),
        operation: arm.guid(),
        base: call.base.clone(),
        correlation: arm.guid(),
        template_hash: hash(properties.get("template")),
        parameters: compiled.parameters,
        outputs: compiled.outputs,
        resources: compiled.resources,
        state: DeploymentState::Running,
        error: None,
        started: call.now,
        changed: call.now,
        group,
    };
    let mut shown = body(&deployment);
    shown["properties"]["provisioningState"] = json!("Accepted");
    let reply = ArmReply::json(status, shown)
        .with_header("Azure-AsyncOperation", operation_url(arm, call, &deployment))
        .with_header("Retry-After", retry_after(10.0, arm.speed));
    arm.deployments.insert(deployment.id.to_ascii_lowercase(), deployment);
    Ok(reply)
}

/// Refuses modes other than `Incremental`: nothing is deleted here.
fn check_mode(mode: Option<&Value>) -> Result<(), ArmError> {
    let mode = mode.and_then(Value::as_str).unwrap_or_default();
    if mode.eq_ignore_ascii_case("incremental") {
        return Ok(());
    }
    let message = format!("The deployment mode '{mode}' is not valid here: only 'Incremental' is.");
    Err(ArmError::gateway(400, "InvalidRequestContent", message))
}

/// Returns the hash of a template: a number of at most 20 digits, as ARM shows it.
fn hash(template: Option<&Value>) -> String {
    let digest = Sha256::digest(template.map(Value::to_string).unwrap_or_default());
    u64::from_be_bytes(digest[..8].try_into().unwrap_or_default()).to_string()
}

/// Returns the signed URL of the operation.
fn operation_url(arm: &Arm, call: &ArmCall, deployment: &StoredDeployment) -> String {
    let (id, operation) = (&deployment.id, &deployment.operation);
    format!(
        "{}{id}/operationStatuses/{operation}?api-version={}&{}",
        call.base,
        call.api_version(),
        signature(arm.seed, operation)
    )
}

/// Answers a poll of the operation that a PUT started.
pub(crate) fn poll(arm: &Arm, call: &ArmCall, group: &str, name: &str, operation: &str) -> ArmResult {
    let deployment = find(arm, group, name)?;
    if deployment.operation != operation || !is_verbatim(arm.seed, operation, call.api_version(), call) {
        return Err(ArmError::gateway(404, "NotFound", "The operation status could not be found."));
    }
    let mut body = json!({ "status": deployment.state.word() });
    if let Some(error) = &deployment.error {
        body["error"] = error.clone();
    }
    let reply = ArmReply::json(200, body);
    let running = deployment.state == DeploymentState::Running;
    Ok(if running { reply.with_header("Retry-After", retry_after(10.0, arm.speed)) } else { reply })
}

/// Deletes the record of a deployment; its resources stay.
fn delete(arm: &mut Arm, group: &str, name: &str) -> ArmResult {
    group::find(arm, group)?;
    arm.deployments.remove(&key(arm, group, name));
    Ok(ArmReply::empty(204))
}

/// Returns the JSON of a deployment; outputs are shown after success.
fn body(deployment: &StoredDeployment) -> Value {
    let mut properties = json!({
        "templateHash": deployment.template_hash,
        "parameters": deployment.parameters,
        "mode": "Incremental",
        "provisioningState": deployment.state.word(),
        "timestamp": deployment.changed.to_string(),
        "duration": duration(deployment),
        "correlationId": deployment.correlation,
        "providers": providers(deployment),
        "dependencies": [],
    });
    if deployment.state == DeploymentState::Succeeded {
        properties["outputs"] = json!(deployment.outputs);
        let made = deployment.resources.iter().map(|resource| json!({ "id": resource.id }));
        properties["outputResources"] = made.collect();
    }
    if let Some(error) = &deployment.error {
        properties["error"] = error.clone();
    }
    json!({
        "id": deployment.id,
        "name": deployment.name,
        "type": "Microsoft.Resources/deployments",
        "properties": properties,
    })
}

/// Returns the running time in ISO 8601, such as `PT1.500S`.
fn duration(deployment: &StoredDeployment) -> String {
    let seconds = deployment.changed.duration_since(deployment.started).as_secs_f64();
    format!("PT{seconds:.3}S")
}

/// Returns the resource types of the template by provider.
fn providers(deployment: &StoredDeployment) -> Value {
    let mut shown: Vec<Value> = Vec::new();
    for resource in &deployment.resources {
        let mut segments = resource.id.split('/').skip(6);
        let namespace = segments.next().unwrap_or_default();
        let types: Vec<&str> = segments.step_by(2).collect();
        let location = resource.body.get("location");
        let kind = json!({ "resourceType": types.join("/"), "locations": [location] });
        match shown.iter_mut().find(|provider| provider["namespace"] == json!(namespace)) {
            Some(provider) => {
                provider["resourceTypes"].as_array_mut().into_iter().for_each(|types| types.push(kind.clone()));
            }
            None => shown.push(json!({ "namespace": namespace, "resourceTypes": [kind] })),
        }
    }
    json!(shown)
}
