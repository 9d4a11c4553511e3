use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::arm::call::Call;
use crate::arm::deployment::state::{Deployment, Planned, Progress, State};
use crate::arm::error::ArmError;
use crate::arm::operation::OperationFault;
use crate::arm::path::{Target, parse};
use crate::arm::store::Arm;
use crate::arm::write;

/// What a resource of a running deployment has come to.
enum Step {
    Stays,
    Moves(Progress),
    Fails(Value),
}

/// Goes on with every running deployment as far as it goes without waiting.
pub(crate) fn advance(arm: &mut Arm, now: Timestamp) {
    let running = arm.deployments.iter().filter(|(_, deployment)| deployment.state == State::Running);
    let running: Vec<String> = running.map(|(key, _)| key.clone()).collect();
    for key in running {
        // It is out of the store while it writes there.
        let Some(mut deployment) = arm.deployments.remove(&key) else { continue };
        while deployment.state == State::Running && moves(arm, &mut deployment, now) {}
        arm.deployments.insert(key, deployment);
    }
}

/// Takes one step; `false` if there is none to take.
fn moves(arm: &mut Arm, deployment: &mut Deployment, now: Timestamp) -> bool {
    for index in 0..deployment.resources.len() {
        match step(arm, deployment, &deployment.resources[index], now) {
            Step::Stays => {}
            Step::Moves(progress) => {
                deployment.resources[index].progress = progress;
                return true;
            }
            Step::Fails(error) => {
                end(deployment, State::Failed, now);
                deployment.error = Some(failure(&error));
                return true;
            }
        }
    }
    if deployment.resources.iter().all(|resource| resource.progress == Progress::Done) {
        end(deployment, State::Succeeded, now);
    }
    false
}

fn end(deployment: &mut Deployment, state: State, now: Timestamp) {
    deployment.state = state;
    deployment.changed = now;
}

fn step(arm: &mut Arm, deployment: &Deployment, resource: &Planned, now: Timestamp) -> Step {
    match resource.progress {
        Progress::Waiting if is_ready(deployment, resource) => begin(arm, deployment, resource, now),
        Progress::Done | Progress::Waiting => Step::Stays,
        Progress::Writing => match arm.find(&resource.id).map(|found| found.state.as_str()) {
            Some("Succeeded") => Step::Moves(Progress::Done),
            Some("Failed") | None => {
                let message = format!("The resource {} reached a terminal state other than Succeeded.", resource.id);
                Step::Fails(json!({ "code": "ResourceDeploymentFailure", "message": message }))
            }
            Some(_) => Step::Stays,
        },
    }
}

/// Whether what the resource needs and the template has is there.
fn is_ready(deployment: &Deployment, resource: &Planned) -> bool {
    let needed =
        |other: &&Planned| resource.needs.iter().any(|need| other.id.to_ascii_lowercase().ends_with(need.as_str()));
    deployment.resources.iter().filter(needed).all(|other| other.progress == Progress::Done)
}

fn begin(arm: &mut Arm, deployment: &Deployment, resource: &Planned, now: Timestamp) -> Step {
    let call = call(deployment, resource, now);
    let Target::Item { kind, group, id } = parse(&call.segments) else { return Step::Stays };
    match write::put(arm, &call, kind, &group, &id) {
        Ok(_) => Step::Moves(Progress::Writing),
        Err(error) if is_busy(&error) => Step::Stays,
        Err(error) => Step::Fails(error.body()["error"].clone()),
    }
}

/// Whether somebody else's write is in the way, which a deployment waits for.
fn is_busy(error: &ArmError) -> bool {
    matches!(&*error.code, "AnotherOperationInProgress" | "Conflict")
}

fn call(deployment: &Deployment, resource: &Planned, now: Timestamp) -> Call {
    Call {
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

fn failure(cause: &Value) -> Value {
    json!({
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
        "details": [cause],
    })
}
