use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::arm::request::{ArmCall, ArmReply};
use crate::arm::resource_types::behaviour;
use crate::arm::retry_after::retry_after;
use crate::arm::store::{Arm, ArmResourceType, Family, OperationStatus, OperationWork, StoredOperation, root_id, uuid};

/// Headers with the URLs that a client polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PollHeaders {
    /// The header `Azure-AsyncOperation` alone.
    Async,
    /// Both headers, `Azure-AsyncOperation` and `Location`.
    Both,
}

/// Duration of a change of a machine's power in the real service, in seconds.
const POWER_SECONDS: f64 = 10.0;

/// Starts an operation on the resource `id` and returns its id.
pub(crate) fn begin(
    arm: &mut Arm,
    call: &ArmCall,
    kind: ArmResourceType,
    id: &str,
    location: &str,
    work: OperationWork,
) -> String {
    let behaviour = behaviour(kind);
    let seconds = match work {
        OperationWork::Delete => behaviour.delete_seconds,
        OperationWork::Power(_) => POWER_SECONDS,
        OperationWork::Write { created: true } | OperationWork::DeleteGroup => behaviour.create_seconds,
        OperationWork::Write { created: false } => behaviour.update_seconds(),
    };
    let api_version = if kind.family() == Family::Aks { "2017-08-31" } else { call.api_version() };
    let operation = StoredOperation {
        id: arm.guid(),
        family: kind.family(),
        namespace: kind.namespace().to_owned(),
        location: location.to_owned(),
        api_version: api_version.to_owned(),
        target: id.to_owned(),
        root: root_id(id).to_ascii_lowercase(),
        work,
        started: call.now,
        due: due(call, arm.speed, seconds),
        status: OperationStatus::InProgress,
        output: None,
        fails: call.fault.fails.clone(),
        expired: false,
    };
    let operation_id = operation.id.clone();
    arm.operations.insert(operation_id.clone(), operation);
    operation_id
}

/// Returns the time at which work of `seconds` in the real service finishes here.
pub(crate) fn due(call: &ArmCall, speed: f64, seconds: f64) -> Timestamp {
    let seconds = seconds * call.fault.slow.unwrap_or(1.0) / speed.max(f64::MIN_POSITIVE);
    let duration = SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::from_hours(24));
    call.now.checked_add(duration).unwrap_or(call.now)
}

/// Returns the operation in progress on the top-level resource `root`.
pub(crate) fn running_on<'a>(arm: &'a Arm, root: &str) -> Option<&'a StoredOperation> {
    arm.operations.values().find(|operation| operation.status == OperationStatus::InProgress && operation.root == root)
}

/// Adds the headers of an operation to `reply`.
pub(crate) fn with_poll_headers(
    arm: &Arm,
    call: &ArmCall,
    reply: ArmReply,
    operation: &str,
    headers: PollHeaders,
) -> ArmReply {
    let Some(operation) = arm.operations.get(operation) else { return reply };
    let reply = reply
        .with_header("Azure-AsyncNotification", "Enabled")
        .with_header("Azure-AsyncOperation", operation_url(arm, &call.base, operation, false));
    let reply = with_retry_after(arm, reply, operation.family);
    match headers {
        PollHeaders::Async => reply,
        PollHeaders::Both => reply.with_header("Location", operation_url(arm, &call.base, operation, true)),
    }
}

/// Adds `Retry-After` with the interval that the family recommends.
pub(crate) fn with_retry_after(arm: &Arm, reply: ArmReply, family: Family) -> ArmReply {
    let seconds = match family {
        Family::Network | Family::Disk => 2.0,
        Family::Compute | Family::Aks => 10.0,
    };
    reply.with_header("Retry-After", retry_after(seconds, arm.speed))
}

/// Returns the URL of an operation's status, or of its result.
fn operation_url(arm: &Arm, base: &str, operation: &StoredOperation, result: bool) -> String {
    let segment = match (operation.family, result) {
        (Family::Disk, _) => "DiskOperations",
        (Family::Network, true) => "operationResults",
        (Family::Aks, true) => "operationresults",
        (_, false) | (Family::Compute, true) => "operations",
    };
    let monitor =
        if result && matches!(operation.family, Family::Compute | Family::Disk) { "&monitor=true" } else { "" };
    let principal = if operation.family == Family::Compute {
        format!("p={}&", uuid(&Sha256::digest(&operation.id)))
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

/// Returns the signature in an operation's URL, as long as a real one: `t`, `c`, `s` and `h`. It is
/// valid only if it comes back verbatim.
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

/// True if the query equals the signed query of the operation's URL.
pub(crate) fn is_verbatim(seed: u64, operation: &str, api_version: &str, call: &ArmCall) -> bool {
    let expected = signature(seed, operation);
    let signed = expected.split('&').all(|pair| {
        pair.split_once('=').is_some_and(|(key, value)| call.query.get(key).is_some_and(|given| given == value))
    });
    signed && call.api_version() == api_version
}
