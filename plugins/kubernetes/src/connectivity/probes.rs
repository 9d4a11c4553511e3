use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use futures::{StreamExt, future::join_all, stream};
use http::Method;
use serde_json::{Value, json};
use stargate_client::{Backoff, CallEffect, WaitState, Waiter};
use stargate_kubernetes_client::{
    BodyFormat, ExecCommand, JOBS, KubeClient, KubeError, KubeRequest, NETWORK_POLICIES, ObjectKind, ObjectName, PODS,
    SERVICES,
    json::{condition, list, name, text, text_or_empty},
};
use stargate_sdk::{ActionContext, ActionError};
use tokio::time::{Instant, sleep, timeout};

use super::{
    objects::{ProbeNetwork, ProbeObjects},
    pairs::ProbedNode,
    question::Answers,
};
use crate::probe_pod::{end_reason, has_ended};

/// Pods of a cluster start within seconds once the image is there.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// Number of concurrent requests and commands.
pub(super) const PARALLEL: usize = 8;
/// Longest time for one command: a stalled transfer of each address ends earlier.
const COMMAND_LIMIT: Duration = Duration::from_secs(80);
/// Longest time for the log of a pod, which is one line, with all attempts.
const LOG_LIMIT: Duration = Duration::from_secs(20);
/// Maximum number of requests for the log of a pod: the API server may fail for a moment.
const LOG_ATTEMPTS: usize = 5;
/// Number of times that a command is started whose connection fails.
const COMMAND_ATTEMPTS: usize = 2;
/// Reasons for which a container does not start, and will not without a change.
const FINAL_REASONS: [&str; 5] =
    ["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError", "CreateContainerError"];
const PROBE_CONTAINER: &str = "probe";

/// A probe pod that answers.
#[derive(Debug, Clone)]
pub(super) struct RunningProbe {
    name: String,
    /// Address of the pod.
    pub(super) ip: String,
}

/// Failure to read the log of a probe pod.
#[derive(Debug)]
pub(super) enum LogFailure {
    /// The API server answered, or waited, without a log of the kubelet.
    OfKubelet(String),
    /// The API server did not answer: nothing is known about the kubelet.
    NoAnswer(String),
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfKubelet(reason) => write!(f, "the API server does not reach its kubelet: {reason}"),
            Self::NoAnswer(reason) => write!(f, "the API server does not answer: {reason}"),
        }
    }
}

impl From<KubeError> for LogFailure {
    fn from(error: KubeError) -> Self {
        let has_answer = error.code.is_some();
        let message = ActionError::from(error).message;
        if has_answer { Self::OfKubelet(message) } else { Self::NoAnswer(message) }
    }
}

/// Probe pods of one network by the index of their node: the pod, or the reason for which it does
/// not run.
pub(super) type ProbeStates = BTreeMap<usize, Result<RunningProbe, String>>;

/// Probe pods on nodes.
pub(super) struct Probes<'a> {
    client: &'a KubeClient,
    cx: &'a ActionContext,
    objects: ProbeObjects,
    nodes: &'a [ProbedNode],
    /// Indexes of the nodes that have probe pods.
    involved: BTreeSet<usize>,
    networks: &'static [ProbeNetwork],
}

impl<'a> Probes<'a> {
    pub(super) fn new(
        client: &'a KubeClient,
        cx: &'a ActionContext,
        objects: ProbeObjects,
        (nodes, involved): (&'a [ProbedNode], BTreeSet<usize>),
        networks: &'static [ProbeNetwork],
    ) -> Self {
        Self { client, cx, objects, nodes, involved, networks }
    }

    /// Creates all objects, unless an earlier attempt has. Returns the address of the service, if
    /// there is one. No pod is created for a node that is not ready.
    ///
    /// # Errors
    /// If an object is refused.
    pub(super) async fn create(&self) -> Result<Option<String>, ActionError> {
        let ready = || self.involved.iter().map(|at| &self.nodes[*at]).filter(|node| node.is_ready);
        let Some(first) = ready().next() else { return Ok(None) };
        let owner = self.created(&JOBS, self.objects.job(first, ProbeNetwork::Pod)).await?;
        self.created(&NETWORK_POLICIES, self.objects.network_policy(&owner)).await?;
        let service = self.created(&SERVICES, self.objects.service(&owner)).await?;
        let (kind, jobs) = (&JOBS, ready().flat_map(|node| self.jobs(node)).collect::<Vec<_>>());
        let created = all(jobs.into_iter().map(|job| self.created(kind, job)).collect()).await;
        created.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(text(&service, "/spec/clusterIP").filter(|ip| !ip.is_empty() && *ip != "None").map(str::to_owned))
    }

    /// Jobs of a node, one for each network.
    fn jobs(&self, node: &ProbedNode) -> Vec<Value> {
        self.networks.iter().map(|network| self.objects.job(node, *network)).collect()
    }

    /// Creates one object; reads it if it exists already.
    async fn created(&self, kind: &ObjectKind, object: Value) -> Result<Value, ActionError> {
        let (namespace, object_name) = (self.objects.namespace(), name(&object).to_owned());
        match self.client.create(self.cx, kind, Some(namespace), object).await {
            Err(error) if error.already_exists() => {
                let held = self.client.get(self.cx, kind, ObjectName::namespaced(namespace, &object_name)?).await?;
                held.ok_or_else(|| ActionError::transient(format!("{object_name}: was removed by another party")))
            }
            result => Ok(result?),
        }
    }

    /// Waits until each pod runs, or cannot run, or `limit` has passed. Returns the states of the
    /// pods by network, in the order of the networks.
    ///
    /// # Errors
    /// If the pods cannot be listed.
    pub(super) async fn started(&self, limit: Duration) -> Result<Vec<ProbeStates>, ActionError> {
        let (selector, end) = (self.objects.selector(), Instant::now() + limit);
        let read = || async {
            let filter = Some(("labelSelector", selector.as_str()));
            let held = self.client.list(self.cx, &PODS, Some(self.objects.namespace()), filter).await?;
            let held = held.unwrap_or_default();
            let states: Vec<_> = self.networks.iter().map(|network| self.states(*network, &held)).collect();
            let waiting: usize = states.iter().map(|(_, waiting)| waiting).sum();
            if waiting == 0 || Instant::now() >= end {
                return Ok(WaitState::Ready(states.into_iter().map(|(states, _)| states).collect()));
            }
            Ok(WaitState::pending(format!("{waiting} probe pods have not started yet")))
        };
        Waiter::new(self.cx, BACKOFF).poll(read).await
    }

    /// States of pods of which none was created.
    pub(super) fn refused(&self, reason: &str) -> Vec<ProbeStates> {
        let states = || self.involved.iter().map(|at| (*at, Err(reason.to_owned()))).collect();
        self.networks.iter().map(|_| states()).collect()
    }

    /// State of each pod of a network, and the number of pods that may still start.
    fn states(&self, network: ProbeNetwork, held: &[Value]) -> (ProbeStates, usize) {
        let (mut states, mut waiting) = (ProbeStates::new(), 0);
        for at in &self.involved {
            let node = &self.nodes[*at];
            let job = self.objects.job_name(&node.name, network);
            let is_its = |pod: &&Value| text(pod, "/metadata/labels/batch.kubernetes.io~1job-name") == Some(&job);
            let state = if node.is_ready {
                probe_state(held.iter().rev().find(is_its))
            } else {
                Err(("the node is not ready".into(), true))
            };
            waiting += usize::from(matches!(state, Err((_, false))));
            states.insert(*at, state.map_err(|(reason, _)| reason));
        }
        (states, waiting)
    }

    /// Reason for which the log of a pod cannot be read; `None` if it can.
    pub(super) async fn log_failure(&self, pod: &RunningProbe) -> Option<LogFailure> {
        let pod = ObjectName::namespaced(self.objects.namespace(), &pod.name).ok()?;
        let mut failure = LogFailure::OfKubelet(format!("the log was not read within {} s", LOG_LIMIT.as_secs()));
        let read = async {
            for delay in BACKOFF.delays().take(LOG_ATTEMPTS) {
                match self.client.last_log_line(self.cx, pod).await {
                    Ok(_) => return true,
                    Err(error) => failure = error.into(),
                }
                if self.cx.cancellation().run_until_cancelled(sleep(delay)).await.is_none() {
                    break;
                }
            }
            false
        };
        let is_read = timeout(LOG_LIMIT, read).await == Ok(true);
        (!is_read).then_some(failure)
    }

    /// Output of a command in a pod, or the reason for which there is none.
    pub(super) async fn command(&self, pod: &RunningProbe, words: &[String]) -> Result<Answers, String> {
        let mut result = self.command_once(pod, words).await;
        for _ in 1..COMMAND_ATTEMPTS {
            if result.is_ok() || self.cx.cancellation().is_cancelled() {
                break;
            }
            result = self.command_once(pod, words).await;
        }
        result
    }

    async fn command_once(&self, pod: &RunningProbe, words: &[String]) -> Result<Answers, String> {
        let pod = ObjectName::namespaced(self.objects.namespace(), &pod.name).map_err(|e| e.message)?;
        let command = ExecCommand { pod, container: PROBE_CONTAINER, words, stdin: None, effect: CallEffect::ReadOnly };
        let status = timeout(COMMAND_LIMIT, self.client.exec(self.cx, &command)).await;
        let status = status.map_err(|_| format!("the command did not end within {} s", COMMAND_LIMIT.as_secs()))?;
        let status = status.map_err(|error| error.message)?;
        if status.exit_code != 0 {
            let stderr = String::from_utf8_lossy(&status.stderr);
            return Err(format!("the command exited with code {}: {}", status.exit_code, stderr.trim()));
        }
        Ok(Answers::parse(&String::from_utf8_lossy(&status.stdout)))
    }

    /// Removes all objects, even after a cancellation, so that none remains.
    ///
    /// # Errors
    /// If an object cannot be removed. The cluster removes it later.
    pub(super) async fn remove(&self) -> Result<(), ActionError> {
        let job_names = |network: &ProbeNetwork| {
            let names = self.involved.iter().map(|at| self.objects.job_name(&self.nodes[*at].name, *network));
            names.collect::<Vec<_>>()
        };
        let (kind, jobs) = (&JOBS, self.networks.iter().flat_map(job_names).collect::<Vec<_>>());
        let mut results = all(jobs.iter().map(|job| self.removed(kind, job)).collect()).await;
        let own = self.objects.name();
        results.extend(join_all([&SERVICES, &NETWORK_POLICIES].map(|kind| self.removed(kind, &own))).await);
        results.into_iter().collect()
    }

    async fn removed(&self, kind: &ObjectKind, name: &str) -> Result<(), ActionError> {
        let path = kind.object_path(ObjectName::namespaced(self.objects.namespace(), name)?, None);
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        match self.client.send_to_end(self.cx, &KubeRequest::write(Method::DELETE, path, BodyFormat::Json, body)).await
        {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Results of futures, of which some run at the same time.
///
/// They are a list, because a stream of futures that borrow is not `Send`.
pub(super) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    stream::iter(futures).buffered(PARALLEL).collect().await
}

/// The pod if it is ready; else the reason, and true if it will not become ready.
fn probe_state(pod: Option<&Value>) -> Result<RunningProbe, (String, bool)> {
    let Some(pod) = pod else { return Err(("it has not been created".into(), false)) };
    let ip = text_or_empty(pod, "/status/podIP");
    if condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True") && !ip.is_empty() {
        return Ok(RunningProbe { name: name(pod).to_owned(), ip });
    }
    if has_ended(pod) {
        return Err((format!("it ended: {}", end_reason(pod)), true));
    }
    let waiting = list(pod, "/status/containerStatuses").find_map(|status| status.pointer("/state/waiting"));
    let reason = waiting.and_then(|waiting| text(waiting, "/reason"));
    let message = waiting.and_then(|waiting| text(waiting, "/message")).map(|text| format!(": {text}"));
    let is_final = reason.is_some_and(|reason| FINAL_REASONS.contains(&reason));
    Err((format!("{}{}", reason.unwrap_or("Pending"), message.unwrap_or_default()), is_final))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"status": {"phase": "Pending", "containerStatuses": [
            {"state": {"waiting": {"reason": reason, "message": message}}}
        ]}})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_final_and_one_that_is_pulled_is_not() {
        let state = |pod: &Value| probe_state(Some(pod)).err();
        let pulled = waiting("ContainerCreating", "");
        assert_eq!(state(&pulled), Some(("ContainerCreating: ".into(), false)));
        let absent = waiting("ImagePullBackOff", "Back-off pulling image \"agnhost\"");
        assert_eq!(state(&absent), Some(("ImagePullBackOff: Back-off pulling image \"agnhost\"".into(), true)));
        let ended = json!({"status": {"phase": "Failed", "reason": "OutOfcpu"}});
        assert_eq!(state(&ended), Some(("it ended: OutOfcpu".into(), true)));
        let exited =
            json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]}});
        assert_eq!(state(&exited), Some(("it ended: its container exited with code 1".into(), true)));
        assert_eq!(probe_state(None).err().map(|(_, is_final)| is_final), Some(false));
    }
}
