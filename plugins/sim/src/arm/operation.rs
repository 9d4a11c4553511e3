use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::arm::call::{Answer, Call, Reply};
use crate::arm::compute;
use crate::arm::deployment;
use crate::arm::error::ArmError;
use crate::arm::group;
use crate::arm::kind::{Family, Kind};
use crate::arm::network;
use crate::arm::render::render;
use crate::arm::store::Arm;

/// Something that takes time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) family: Family,
    pub(crate) namespace: String,
    pub(crate) location: String,
    /// What its URL says; AKS has one of its own.
    pub(crate) api_version: String,
    /// Id of the resource or name of the group.
    pub(crate) target: String,
    /// Lower-case id of the top-level resource that it occupies.
    pub(crate) root: String,
    pub(crate) work: Work,
    pub(crate) started: Timestamp,
    pub(crate) due: Timestamp,
    pub(crate) status: Status,
    /// `properties.output` of a finished disk operation.
    pub(crate) output: Option<Value>,
    /// Set by a fault: it fails when it is due.
    pub(crate) fails: Option<String>,
    /// Set by the control API: its URL is 404.
    pub(crate) expired: bool,
}

/// What an operation does when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// The resource becomes `Succeeded`.
    Write { created: bool },
    /// The resource goes.
    Delete,
    /// The machine's power changes.
    Power(Power),
    /// The group goes, with all in it.
    DeleteGroup,
}

/// What is done to a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Power {
    Start,
    Restart,
    Stop,
    Deallocate,
    Redeploy,
}

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    InProgress,
    Succeeded,
    Failed,
}

/// What a fault does to the operation that a request starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OperationFault {
    /// Times longer.
    pub(crate) slow: Option<f64>,
    /// Fails with this code.
    pub(crate) fails: Option<String>,
}

/// The headers that tell a client where to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announce {
    /// `Azure-AsyncOperation` alone.
    Async,
    /// `Azure-AsyncOperation` and `Location`.
    Both,
}

/// Seconds after which the status of a finished operation is no longer kept.
const KEPT_SECONDS: i64 = 24 * 3600;

/// Starts an operation on the resource `id` and gives its id.
pub(crate) fn begin(arm: &mut Arm, call: &Call, kind: Kind, id: &str, location: &str, work: Work) -> String {
    let seconds = match work {
        Work::Delete => kind.delete_seconds(),
        Work::Power(_) => 10.0,
        Work::Write { created: true } | Work::DeleteGroup => kind.write_seconds(),
        // Changing a machine or a cluster takes a fraction of what making it takes.
        Work::Write { created: false } => kind.write_seconds().min(5.0),
    };
    let api_version = if kind.family() == Family::Aks { "2017-08-31" } else { call.api_version() };
    let operation = Operation {
        id: arm.guid(),
        family: kind.family(),
        namespace: kind.namespace().to_owned(),
        location: location.to_owned(),
        api_version: api_version.to_owned(),
        target: id.to_owned(),
        root: crate::arm::store::root_id(id).to_ascii_lowercase(),
        work,
        started: call.now,
        due: due(call, arm.speed, seconds),
        status: Status::InProgress,
        output: None,
        fails: call.fault.fails.clone(),
        expired: false,
    };
    let operation_id = operation.id.clone();
    arm.operations.insert(operation_id.clone(), operation);
    operation_id
}

/// When something that takes `seconds` in the real service is done here.
pub(crate) fn due(call: &Call, speed: f64, seconds: f64) -> Timestamp {
    let seconds = seconds * call.fault.slow.unwrap_or(1.0) / speed.max(f64::MIN_POSITIVE);
    let duration = SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::from_hours(24));
    call.now.checked_add(duration).unwrap_or(call.now)
}

/// Whether a write to the top-level resource `root` is in progress, and where to ask for it.
pub(crate) fn running_on<'a>(arm: &'a Arm, root: &str) -> Option<&'a Operation> {
    arm.operations.values().find(|operation| operation.status == Status::InProgress && operation.root == root)
}

/// Adds the headers of an operation to `reply`.
pub(crate) fn announce(arm: &Arm, call: &Call, reply: Reply, operation: &str, announce: Announce) -> Reply {
    let Some(operation) = arm.operations.get(operation) else { return reply };
    let reply = reply
        .with_header("Azure-AsyncNotification", "Enabled")
        .with_header("Azure-AsyncOperation", operation_url(arm, &call.base, operation, false));
    let reply = with_retry_after(arm, reply, operation.family);
    match announce {
        Announce::Async => reply,
        Announce::Both => reply.with_header("Location", operation_url(arm, &call.base, operation, true)),
    }
}

/// Speed from which a client is told to ask again at once. In slower worlds it is told a second at least: the Azure SDKs take 0 for
/// no advice, and then wait 30 seconds.
const AT_ONCE: f64 = 25.0;

/// `Retry-After`: whole seconds, shorter in a faster world.
pub(crate) fn retry_after(seconds: f64, speed: f64) -> String {
    if speed >= AT_ONCE { "0".to_owned() } else { format!("{:.0}", (seconds / speed.max(1.0)).ceil()) }
}

fn with_retry_after(arm: &Arm, reply: Reply, family: Family) -> Reply {
    let seconds = match family {
        Family::Network | Family::Disk => 2.0,
        Family::Compute | Family::Aks => 10.0,
    };
    reply.with_header("Retry-After", retry_after(seconds, arm.speed))
}

fn operation_url(arm: &Arm, base: &str, operation: &Operation, result: bool) -> String {
    let segment = match (operation.family, result) {
        (Family::Disk, _) => "DiskOperations",
        (Family::Network, true) => "operationResults",
        (Family::Aks, true) => "operationresults",
        (_, false) | (Family::Compute, true) => "operations",
    };
    let monitor =
        if result && matches!(operation.family, Family::Compute | Family::Disk) { "&monitor=true" } else { "" };
    let principal = if operation.family == Family::Compute {
        format!("p={}&", crate::arm::store::uuid(&Sha256::digest(&operation.id)))
    } else {
        String::new()
    };
    format!(
        "{base}/subscriptions/{}/providers/{}/locations/{}/{segment}/{}?{principal}api-version={}{monitor}&{}",
        arm.subscription,
        operation.namespace,
        operation.location,
        operation.id,
        operation.api_version,
        signature(arm.seed, &operation.id)
    )
}

/// The `t`, `c`, `s` and `h` of an operation's URL: as long as in reality, and only right if sent back verbatim.
pub(crate) fn signature(seed: u64, operation: &str) -> String {
    let bytes = |label: &str, length: usize| {
        let blocks = (0_u32..).flat_map(|block| {
            let digest = Sha256::new_with_prefix(seed.to_be_bytes()).chain_update(operation).chain_update(label);
            digest.chain_update(block.to_be_bytes()).finalize().to_vec()
        });
        URL_SAFE_NO_PAD.encode(blocks.take(length).collect::<Vec<u8>>())
    };
    let ticks = u64::from_be_bytes(Sha256::digest(operation)[..8].try_into().unwrap_or_default()) % 1_000_000_000_000;
    format!("t=639000{ticks:012}&c=MII{}&s={}&h={}", bytes("c", 2175), bytes("s", 256), bytes("h", 32))
}

/// Whether the query is the one that was given out with the operation.
pub(crate) fn is_verbatim(seed: u64, operation: &str, api_version: &str, call: &Call) -> bool {
    let expected = signature(seed, operation);
    let signed = expected.split('&').all(|pair| {
        pair.split_once('=').is_some_and(|(key, value)| call.query.get(key).is_some_and(|given| given == value))
    });
    signed && call.api_version() == api_version
}

/// Answers a poll of an operation's status or of its result.
pub(crate) fn poll(arm: &Arm, call: &Call, id: &str) -> Answer {
    let operation = arm.operations.get(id).filter(|operation| !operation.expired && !is_stale(operation, call.now));
    let operation = operation
        .filter(|operation| is_verbatim(arm.seed, id, &operation.api_version, call))
        .ok_or_else(|| not_found(id))?;
    let of_result = call.segments.get(6).is_some_and(|segment| segment.eq_ignore_ascii_case("operationResults"));
    if of_result || call.query.contains_key("monitor") {
        Ok(result(arm, call, operation))
    } else {
        Ok(status(arm, operation))
    }
}

fn not_found(id: &str) -> ArmError {
    ArmError::new(
        404,
        "OperationNotFound",
        format!("The entity was not found: operation '{id}' does not exist or has expired."),
    )
}

fn is_stale(operation: &Operation, now: Timestamp) -> bool {
    operation.status != Status::InProgress && now.duration_since(operation.due).as_secs() > KEPT_SECONDS
}

fn status(arm: &Arm, operation: &Operation) -> Reply {
    let word = match operation.status {
        Status::InProgress => "InProgress",
        Status::Succeeded => "Succeeded",
        Status::Failed => "Failed",
    };
    let mut body = json!({ "status": word });
    if operation.family != Family::Network {
        body["name"] = json!(operation.id);
        body["startTime"] = json!(operation.started.to_string());
    }
    if operation.family != Family::Network && operation.status != Status::InProgress {
        body["endTime"] = json!(operation.due.to_string());
    }
    if let Some(output) = &operation.output {
        body["properties"] = json!({ "output": output });
    }
    if operation.status == Status::Failed {
        body["error"] = failure(operation);
    }
    let reply = Reply::json(200, body);
    if operation.status == Status::InProgress { with_retry_after(arm, reply, operation.family) } else { reply }
}

fn failure(operation: &Operation) -> Value {
    let code = operation.fails.as_deref().unwrap_or("InternalServerError");
    json!({ "code": code, "message": format!("The operation on {} failed: {code}.", operation.target), "details": [] })
}

fn result(arm: &Arm, call: &Call, operation: &Operation) -> Reply {
    match (operation.status, operation.work) {
        (Status::InProgress, _) => {
            with_retry_after(arm, Reply::empty(202), operation.family).with_header("Location", call.url.clone())
        }
        (Status::Failed, _) => Reply::json(409, json!({ "error": failure(operation) })),
        (Status::Succeeded, Work::Delete) if operation.family != Family::Compute => Reply::empty(204),
        (Status::Succeeded, Work::Delete | Work::Power(_) | Work::DeleteGroup) => Reply::empty(200),
        (Status::Succeeded, Work::Write { .. }) => match arm.find(&operation.target) {
            Some(resource) => Reply::json(200, render(arm, resource)),
            None => Reply::empty(204),
        },
    }
}

/// When the next operation is due.
pub(crate) fn next_due(arm: &Arm) -> Option<Timestamp> {
    arm.operations
        .values()
        .filter(|operation| operation.status == Status::InProgress)
        .map(|operation| operation.due)
        .min()
}

/// Does what the operations that are due do.
pub(crate) fn settle(arm: &mut Arm, now: Timestamp) {
    let mut due: Vec<(Timestamp, String)> = arm
        .operations
        .values()
        .filter(|operation| operation.status == Status::InProgress && operation.due <= now)
        .map(|operation| (operation.due, operation.id.clone()))
        .collect();
    due.sort();
    for (_, id) in due {
        finish(arm, &id);
    }
    deployment::advance(arm, now);
}

/// Makes every finished operation's URL answer 404.
pub(crate) fn expire_operations(arm: &mut Arm) {
    for operation in arm.operations.values_mut().filter(|operation| operation.status != Status::InProgress) {
        operation.expired = true;
    }
}

fn finish(arm: &mut Arm, id: &str) {
    let Some(operation) = arm.operations.get(id).cloned() else { return };
    let failed = operation.fails.is_some();
    match operation.work {
        Work::Write { created } => finish_write(arm, &operation.target, created, failed),
        Work::Delete | Work::Power(_) if failed => set_state(arm, &operation.target, "Failed"),
        Work::Delete => remove(arm, &operation.target),
        Work::Power(power) => compute::finish_power(arm, &operation.target, power),
        Work::DeleteGroup if failed => group::restore(arm, &operation.target),
        Work::DeleteGroup => group::remove(arm, &operation.target),
    }
    let output = (operation.family == Family::Disk && !failed)
        .then(|| arm.find(&operation.target).map(|disk| render(arm, disk)))
        .flatten();
    if let Some(operation) = arm.operations.get_mut(id) {
        operation.status = if failed { Status::Failed } else { Status::Succeeded };
        operation.output = output;
    }
}

fn set_state(arm: &mut Arm, id: &str, state: &str) {
    if let Some(resource) = arm.find_mut(id) {
        state.clone_into(&mut resource.state);
    }
    arm.touch(id);
}

fn finish_write(arm: &mut Arm, id: &str, created: bool, failed: bool) {
    let state = if failed { "Failed" } else { "Succeeded" };
    let prefix = format!("{}/", id.to_ascii_lowercase());
    let children: Vec<String> = arm
        .resources
        .range(prefix.clone()..)
        .take_while(|(key, _)| key.starts_with(&prefix))
        .filter(|(_, resource)| !resource.is_settled())
        .map(|(key, _)| key.clone())
        .collect();
    for child in children {
        set_state(arm, &child, state);
    }
    set_state(arm, id, state);
    if !failed && let Some(kind) = arm.find(id).map(|resource| resource.kind) {
        match kind {
            Kind::VirtualMachine => compute::finish_machine(arm, id, created),
            Kind::ManagedCluster if created => crate::arm::aks::finish_create(arm, id),
            _ => {}
        }
    }
}

/// Takes a resource and its parts out of the world, with what its kind takes along.
pub(crate) fn remove(arm: &mut Arm, id: &str) {
    let key = id.to_ascii_lowercase();
    let Some(resource) = arm.resources.get(&key).cloned() else { return };
    let related = network::related(arm, &resource);
    let prefix = format!("{key}/");
    arm.resources.retain(|other, _| *other != key && !other.starts_with(&prefix));
    for id in related {
        arm.touch(&id);
    }
    match resource.kind {
        Kind::VirtualMachine => compute::after_delete(arm, &resource),
        Kind::ManagedCluster => crate::arm::aks::after_delete(arm, &resource),
        _ => {}
    }
}
