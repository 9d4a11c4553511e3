use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stargate_kubernetes_client::json::text;
use stargate_sdk::{RemoteHolder, RemoteLockRequest};

use super::election::LeaseHolder;

/// Namespace of the leases: it exists in each cluster.
pub(crate) const LEASE_NAMESPACE: &str = "kube-system";
/// Label selector of the leases that are locks, as a parameter of a list.
pub(crate) const LEASE_SELECTOR: (&str, &str) = ("labelSelector", "app.kubernetes.io/managed-by=stargate");
/// Annotation of a lease that its holder deletes instead of releasing it.
pub(crate) const DELETED_ON_RELEASE: &str = "stargate.io/deleted-on-release";
/// Maximum length of the readable part of a lease's name.
const MAX_READABLE: usize = 60;
const LOCK: &str = "stargate.io/lock";
const HOLDER: &str = "stargate.io/holder";

/// More about the holder, in an annotation. It is void if another program has changed the holder
/// since.
#[derive(Serialize, Deserialize)]
struct HolderDetails {
    /// The `holderIdentity` that it is about.
    identity: String,
    workflow: String,
    process: String,
}

/// Returns the name of the lease that is the lock: readable, valid in DNS, and different for each
/// lock.
pub(super) fn name_of(lock: &str) -> String {
    let digest = Sha256::digest(lock);
    let number = digest.iter().take(5).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let readable: String = lock
        .chars()
        .take(MAX_READABLE)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    format!("stargate-lock-{}-{number:010x}", readable.trim_matches('-'))
}

/// Returns a new lease that the run holds from `now` on.
pub(super) fn new(request: &RemoteLockRequest, now: Timestamp) -> Value {
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name_of(&request.lock),
            "namespace": LEASE_NAMESPACE,
            "labels": {"app.kubernetes.io/managed-by": "stargate"},
        },
        "spec": {"leaseTransitions": 0},
    });
    hold(&mut lease, request, now);
    lease
}

/// Makes the run the holder from `now` on, and counts the transition.
pub(super) fn take(lease: &mut Value, request: &RemoteLockRequest, now: Timestamp) {
    let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_u64).unwrap_or_default();
    hold(lease, request, now);
    lease["spec"]["leaseTransitions"] = json!(transitions + 1);
}

fn hold(lease: &mut Value, request: &RemoteLockRequest, now: Timestamp) {
    lease["metadata"]["annotations"][LOCK] = json!(request.lock);
    let identity = LeaseHolder::of(request).to_string();
    lease["spec"]["holderIdentity"] = json!(identity);
    let details = HolderDetails { identity, workflow: request.workflow.clone(), process: request.process.clone() };
    lease["metadata"]["annotations"][HOLDER] = json!(serde_json::to_string(&details).unwrap_or_default());
    lease["spec"]["leaseDurationSeconds"] = json!(whole_seconds(request.duration));
    lease["spec"]["acquireTime"] = json!(micro_time(now));
    renew(lease, now);
}

/// Marks the lease as renewed at `now`.
pub(super) fn renew(lease: &mut Value, now: Timestamp) {
    lease["spec"]["renewTime"] = json!(micro_time(now));
}

/// Removes the holder. The lease stays, for the next run.
pub(super) fn release(lease: &mut Value, now: Timestamp) {
    renew(lease, now);
    if let Some(spec) = lease["spec"].as_object_mut() {
        spec.remove("holderIdentity");
    }
}

/// Returns the holder; `None` if the lease is released.
pub(super) fn holder(lease: &Value) -> Option<LeaseHolder> {
    text(lease, "/spec/holderIdentity").filter(|text| !text.is_empty()).map(LeaseHolder::parse)
}

/// Returns the id of the run that holds the lease; empty for another program, `None` if it is
/// released.
pub(crate) fn holding_run(lease: &Value) -> Option<String> {
    holder(lease).map(|holder| holder.run)
}

/// True if the holder deletes the lease instead of releasing it.
pub(super) fn is_deleted_on_release(lease: &Value) -> bool {
    lease["metadata"]["annotations"][DELETED_ON_RELEASE] == "true"
}

/// Returns the time after which the lease expires if its holder does not renew it, or `usual` if
/// the lease has none.
pub(super) fn duration(lease: &Value, usual: Duration) -> Duration {
    let seconds = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64);
    seconds.map_or(usual, Duration::from_secs)
}

/// Describes the holder for operators.
pub(super) fn remote_holder(lease: &Value, holder: &LeaseHolder, duration: Duration, now: Timestamp) -> RemoteHolder {
    let details = lease["metadata"]["annotations"][HOLDER].as_str();
    let details = details.and_then(|details| serde_json::from_str::<HolderDetails>(details).ok());
    let details = details.filter(|details| text(lease, "/spec/holderIdentity") == Some(&details.identity));
    let (workflow, process) = details.map(|details| (details.workflow, details.process)).unwrap_or_default();
    RemoteHolder {
        run: holder.run.clone(),
        workflow,
        owner: holder.owner.clone(),
        process,
        since: text(lease, "/spec/acquireTime").unwrap_or_default().to_owned(),
        may_have_ended: !is_recent(lease, duration, now),
    }
}

/// True if the lease was renewed less than `duration` ago, as far as the two clocks agree.
pub(super) fn is_recent(lease: &Value, duration: Duration, now: Timestamp) -> bool {
    let renewed = text(lease, "/spec/renewTime").and_then(|text| text.parse::<Timestamp>().ok());
    renewed.is_some_and(|renewed| now.duration_since(renewed).unsigned_abs() < duration)
}

/// Formats a time as the API's `MicroTime`, which has exactly six decimal places.
fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_in_dns_and_differ_for_each_lock() {
        assert_eq!(name_of("cluster/Prod_1"), "stargate-lock-cluster-prod-1-56efa4c4e5");
        let names = ["cluster/a-b", "cluster/a/b", "cluster/a_b", "cluster/a-b-"].map(name_of);
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        let long = name_of(&"worker/ä ".repeat(40));
        assert!(long.len() < 100 && long.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
    }

    #[test]
    fn times_have_six_decimal_places() {
        let at: Timestamp = "2026-11-28T15:00:01.5Z".parse().expect("time");
        assert_eq!(micro_time(at), "2026-11-28T15:00:01.500000Z");
    }

    #[test]
    fn a_time_in_the_lease_tells_only_whether_the_holder_may_have_ended() {
        let now: Timestamp = "2026-11-28T15:00:31Z".parse().expect("time");
        let recent = |renewed: &str| is_recent(&json!({"spec": {"renewTime": renewed}}), Duration::from_secs(30), now);
        assert!(recent("2026-11-28T15:00:20.000000Z") && recent("2026-11-28T15:00:50.000000Z"));
        assert!(!recent("2026-11-28T15:00:00.000000Z") && !recent("2026-11-28T15:02:00.000000Z") && !recent(""));
    }
}
