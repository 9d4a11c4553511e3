use serde_json::{Value, json};

use super::effect::{Decision, EffectList};
use super::json::{at, holds, is_terminating, namespace_of, str_at};
use super::request::{ApiRequest, ApiResponse, Target};
use super::resource::Resource;
use super::state::Kube;
use super::status::Refusal;
use super::{delete, selector};

/// Handles `POST` to the `eviction` of a pod: deletes the pod unless its disruption budget forbids
/// it.
pub(crate) fn evict(
    kube: &Kube,
    request: &ApiRequest,
    resource: &Resource,
    target: &Target,
) -> Result<Decision<ApiResponse>, Refusal> {
    let (namespace, name) =
        (target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or_default());
    let pod = kube
        .object(resource, &resource.place(namespace, name))
        .cloned()
        .ok_or_else(|| Refusal::not_found(resource, name))?;
    let options = if request.body.is_empty() { json!({}) } else { request.json()? };
    let options = at(&options, &["deleteOptions"]).cloned().unwrap_or_else(|| json!({}));
    // A pod that does not run, or is being deleted, can be evicted without a disruption.
    if !matches!(str_at(&pod, &["status", "phase"]), "Pending" | "Succeeded" | "Failed") && !is_terminating(&pod) {
        check_budget(kube, &pod)?;
    }
    let mut effects = EffectList::new(kube);
    if !request.is_dry_run() {
        delete::begin(kube, request.now, resource, &pod, &options, &mut effects);
    }
    let response = ApiResponse::created(
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }),
    );
    Ok(Decision::new(response, effects))
}

/// Refuses an eviction with 429 `TooManyRequests` if the budget of the pod allows no disruption.
///
/// A pod that is not ready is evicted if the budget has its healthy pods, or if its policy is
/// `AlwaysAllow`. A pod with more than one budget is refused with 500, as by the real server.
fn check_budget(kube: &Kube, pod: &Value) -> Result<(), Refusal> {
    let labels = pod.pointer("/metadata/labels").cloned().unwrap_or_default();
    let budgets: Vec<&Value> = kube
        .all("poddisruptionbudgets.policy")
        .filter(|budget| namespace_of(budget) == namespace_of(pod))
        .filter(|budget| budget.pointer("/spec/selector").is_some_and(|selector| selector::meets(selector, &labels)))
        .collect();
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [budget] => budget,
        _ => {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Refusal::new(500, "InternalError", message, None));
        }
    };
    let state = state(kube, budget);
    let is_healthy = state.desired > 0 && state.healthy >= state.desired;
    let always = str_at(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    if state.allowed > 0 || (!holds(pod, "Ready") && (is_healthy || always)) {
        return Ok(());
    }
    let why = format!(
        "The disruption budget {} needs {} healthy pods and has {} currently",
        super::json::name_of(budget),
        state.desired,
        state.healthy
    );
    let details = json!({ "causes": [{ "reason": "DisruptionBudget", "message": why }] });
    Err(Refusal::new(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        Some(details),
    ))
}

/// Pod counts of a disruption budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetState {
    /// Number of pods that the owners of the selected pods require.
    pub(crate) expected: i64,
    /// Number of selected pods that are ready.
    pub(crate) healthy: i64,
    /// Minimum number of ready pods.
    pub(crate) desired: i64,
    /// Number of ready pods that can be evicted now; never negative.
    pub(crate) allowed: i64,
}

/// Counts the pods of a budget. Pods that are being deleted do not count.
pub(crate) fn state(kube: &Kube, budget: &Value) -> BudgetState {
    let selector = budget.pointer("/spec/selector").cloned().unwrap_or_default();
    let of_budget = |pod: &&Value| {
        namespace_of(pod) == namespace_of(budget)
            && selector::meets(&selector, pod.pointer("/metadata/labels").unwrap_or(&Value::Null))
    };
    let pods: Vec<&Value> =
        kube.all("pods").filter(of_budget).filter(|pod| !super::json::is_terminating(pod)).collect();
    let healthy = i64::try_from(pods.iter().filter(|pod| holds(pod, "Ready")).count()).unwrap_or(i64::MAX);
    let expected = expected(kube, &pods);
    let desired = match (budget.pointer("/spec/minAvailable"), budget.pointer("/spec/maxUnavailable")) {
        (Some(least), _) => amount(least, expected),
        (None, Some(most)) => (expected - amount(most, expected)).max(0),
        (None, None) => 1,
    };
    BudgetState { expected, healthy, desired, allowed: (healthy - desired).max(0) }
}

/// Returns the sum of the replicas that the owners require. A pod without a replica set counts as
/// one.
fn expected(kube: &Kube, pods: &[&Value]) -> i64 {
    let mut owners = std::collections::BTreeMap::new();
    let mut alone = 0;
    for pod in pods {
        let owner = str_at(pod.pointer("/metadata/ownerReferences/0").unwrap_or(&Value::Null), &["uid"]);
        let set = kube.all("replicasets.apps").find(|set| !owner.is_empty() && super::json::uid_of(set) == owner);
        match set.and_then(|set| set.pointer("/spec/replicas").and_then(Value::as_i64)) {
            Some(replicas) => drop(owners.insert(owner, replicas)),
            None => alone += 1,
        }
    }
    alone + owners.values().sum::<i64>()
}

/// Returns a number, or a percentage of `all` rounded up.
fn amount(value: &Value, all: i64) -> i64 {
    let share = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|percent| percent.parse::<i64>().ok());
    match share {
        Some(percent) => (all * percent + 99) / 100,
        None => value.as_i64().unwrap_or_default(),
    }
}
