use jiff::Timestamp;

use super::commit::apply;
use super::controllers::{self, CONTROLLERS};
use super::dispatch;
use super::effect::Effect;
use super::kubelet::KubeletPass;
use super::request::{ApiRequest, ApiResponse};
use super::state::{Kube, Kubelet, KubeletKeys, KubeletState, NodeFacts};
use super::status::Refusal;

/// Maximum number of rounds until the controllers settle.
///
/// Each round advances every object by one step, and no chain of steps is longer than a few. More
/// rounds mean that two controllers undo each other's changes.
const MAX_ROUNDS: usize = 100;

/// Answers a request, applies its changes, and runs the controllers after a write.
///
/// The controllers of a real cluster run in the background. Here they have settled before the reply
/// is returned, so that the outcome is deterministic.
pub(crate) fn handle(kube: &mut Kube, request: &ApiRequest) -> Result<ApiResponse, Refusal> {
    let decision = dispatch::handle(kube, request)?;
    apply(kube, decision.effects, request.now);
    if request.method != "GET" && !request.is_dry_run() {
        settle(kube, request.now);
    }
    Ok(decision.value)
}

/// Runs the controllers until none of them changes an object.
pub(crate) fn settle(kube: &mut Kube, now: Timestamp) {
    for _ in 0..MAX_ROUNDS {
        let before = kube.revision();
        for controller in CONTROLLERS {
            for object in (controller.due)(kube, now) {
                let effects = (controller.reconcile)(kube, &object, now);
                apply(kube, effects, now);
            }
        }
        if kube.revision() == before {
            return;
        }
    }
    tracing::warn!("the controllers of the simulated cluster do not settle");
}

/// Runs the controllers if a job has reached the end of its time: nothing else changes without a
/// request. Returns true if they ran.
pub(crate) fn advance_jobs(kube: &mut Kube) -> bool {
    let now = Timestamp::now();
    let is_due = controllers::is_job_due(kube, now);
    if is_due {
        settle(kube, now);
    }
    is_due
}

/// Runs the next steps of a running kubelet.
///
/// The kubelet requests its client certificate with the bootstrap token, registers, requests a
/// serving certificate (`serverTLSBootstrap`) and reports its status. Can be called at any time;
/// unchanged state is not written again.
///
/// `bootstrap_token` is that of `--bootstrap-kubeconfig`, needed only without a client certificate.
pub fn kubelet_step(
    kube: &mut Kube,
    keys: &mut KubeletKeys,
    bootstrap_token: Option<&str>,
    facts: &NodeFacts,
) -> KubeletState {
    let now = Timestamp::now();
    let mut pass = KubeletPass::new(bootstrap_token, facts, now);
    run_pass(kube, keys, &mut pass, now).unwrap_or_else(|refusal| KubeletState::Refused(refusal.message().to_owned()))
}

/// Sends the requests of one pass until none is due, and records the state of the kubelet.
fn run_pass(
    kube: &mut Kube,
    keys: &mut KubeletKeys,
    pass: &mut KubeletPass<'_>,
    now: Timestamp,
) -> Result<KubeletState, Refusal> {
    while let Some(request) = pass.next_request(kube, keys)? {
        let response = handle(kube, &request.api_request)?;
        let effects = pass.answered(keys, request.purpose, &response);
        apply(kube, effects, now);
    }
    let effects = pass.record(kube);
    if !effects.is_empty() {
        apply(kube, effects, now);
        settle(kube, now);
    }
    Ok(pass.state(kube, keys))
}

/// Records that the kubelet of a node has stopped: the node becomes unreachable, and its pods
/// become unready and remain.
pub fn kubelet_stopped(kube: &mut Kube, node: &str) {
    let now = Timestamp::now();
    let Some(kubelet) = kube.kubelets.get(node).filter(|kubelet| kubelet.running) else { return };
    let stopped = Kubelet { running: false, agent: false, ..kubelet.clone() };
    let mut effects = vec![Effect::SetKubelet { node: node.to_owned(), kubelet: Some(stopped) }];
    effects.extend(controllers::node_lost(kube, node, now));
    apply(kube, effects, now);
    settle(kube, now);
}
