use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::error::ArmError;
use crate::arm::path::{ArmTarget, parse};
use crate::arm::request::{ArmCall, OperationFault};
use crate::arm::store::{Arm, DeploymentState, PlannedResource, PlannedState, StoredDeployment};
use crate::arm::write;

/// Result of one step of a planned resource.
enum StepResult {
    Stays,
    Moves(PlannedState),
    Fails(Value),
}

/// Advances every running deployment as far as possible without waiting.
pub(crate) fn advance(arm: &mut Arm, now: Timestamp) {
    let running = arm.deployments.iter().filter(|(_, deployment)| deployment.state == DeploymentState::Running);
    let running: Vec<String> = running.map(|(key, _)| key.clone()).collect();
    for key in running {
        // The deployment is out of the store while its resources are written there.
        let Some(mut deployment) = arm.deployments.remove(&key) else { continue };
        while deployment.state == DeploymentState::Running && moves(arm, &mut deployment, now) {}
        arm.deployments.insert(key, deployment);
    }
}

/// Takes one step of a deployment; returns `false` if none is possible now.
fn moves(arm: &mut Arm, deployment: &mut StoredDeployment, now: Timestamp) -> bool {
    for index in 0..deployment.resources.len() {
        match step(arm, deployment, &deployment.resources[index], now) {
            StepResult::Stays => {}
            StepResult::Moves(progress) => {
                deployment.resources[index].progress = progress;
                return true;
            }
            StepResult::Fails(error) => {
                end(deployment, DeploymentState::Failed, now);
                deployment.error = Some(failure(&error));
                return true;
            }
        }
    }
    if deployment.resources.iter().all(|resource| resource.progress == PlannedState::Done) {
        end(deployment, DeploymentState::Succeeded, now);
    }
    false
}

/// Ends a deployment with this state.
fn end(deployment: &mut StoredDeployment, state: DeploymentState, now: Timestamp) {
    deployment.state = state;
    deployment.changed = now;
}

/// Takes the next step of one planned resource, if its dependencies permit it.
fn step(arm: &mut Arm, deployment: &StoredDeployment, resource: &PlannedResource, now: Timestamp) -> StepResult {
    match resource.progress {
        PlannedState::Waiting if is_ready(deployment, resource) => begin(arm, deployment, resource, now),
        PlannedState::Done | PlannedState::Waiting => StepResult::Stays,
        PlannedState::Writing => match arm.find(&resource.id).map(|found| found.state.as_str()) {
            Some("Succeeded") => StepResult::Moves(PlannedState::Done),
            Some("Failed") | None => {
                let message = format!("The resource {} reached a terminal state other than Succeeded.", resource.id);
                StepResult::Fails(json!({ "code": "ResourceDeploymentFailure", "message": message }))
            }
            Some(_) => StepResult::Stays,
        },
    }
}

/// True if all dependencies of the resource within the template have finished.
fn is_ready(deployment: &StoredDeployment, resource: &PlannedResource) -> bool {
    let needed = |other: &&PlannedResource| {
        resource.needs.iter().any(|need| other.id.to_ascii_lowercase().ends_with(need.as_str()))
    };
    deployment.resources.iter().filter(needed).all(|other| other.progress == PlannedState::Done)
}

/// Sends the PUT of a planned resource.
fn begin(arm: &mut Arm, deployment: &StoredDeployment, resource: &PlannedResource, now: Timestamp) -> StepResult {
    let call = call(deployment, resource, now);
    let ArmTarget::Item { kind, group, id } = parse(&call.segments) else { return StepResult::Stays };
    match write::put(arm, &call, kind, &group, &id) {
        Ok(_) => StepResult::Moves(PlannedState::Writing),
        Err(error) if is_busy(&error) => StepResult::Stays,
        Err(error) => StepResult::Fails(error.body()["error"].clone()),
    }
}

/// True if another write is in progress on the resource. The deployment waits for it and tries
/// again.
fn is_busy(error: &ArmError) -> bool {
    matches!(&*error.code, "AnotherOperationInProgress" | "Conflict")
}

/// Returns the PUT of a planned resource as the deployment sends it.
fn call(deployment: &StoredDeployment, resource: &PlannedResource, now: Timestamp) -> ArmCall {
    ArmCall {
        method: "PUT".to_owned(),
        segments: resource.id.split('/').skip(1).map(str::to_owned).collect(),
        query: BTreeMap::from([("api-version".to_owned(), resource.api_version.clone())]),
        if_match: None,
        if_none_match: None,
        body: Some(Value::Object(resource.body.clone())),
        base: deployment.base.clone(),
        url: format!("{}{}?api-version={}", deployment.base, resource.id, resource.api_version),
        fault: OperationFault::default(),
        now,
    }
}

/// Returns the error of a deployment with the error of its resource as the only detail.
fn failure(cause: &Value) -> Value {
    json!({
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        "details": [cause],
    })
}
