use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use futures::{StreamExt, stream};
use serde_json::Value;
use stargate_kubernetes_client::{
    KubeClient, ObjectName, SERVERS, SERVICES,
    json::{name, text},
};
use stargate_sdk::{ActionContext, ActionError, FailureKind};

use super::{
    objects::{ProbeNetwork, ProbeObjects},
    pairs::{ProbedNode, choose_pairs},
    probes::{LogFailure, PARALLEL, ProbeStates, Probes, RunningProbe, all},
    question::{Answers, QuestionError, ask_cluster, ask_nodes, ask_pods},
    report::{ConnectivityCheck, ConnectivityReport, ReportBuilder},
};
use crate::node::{internal_ip, is_ready};

/// Number of addresses that one command asks at the same time: limits the traffic of a node.
const TARGETS_PER_COMMAND: usize = 8;
/// Site of a node that is not registered as a worker of a site.
const CLUSTER_SITE: &str = "cluster";
const NO_ANSWER: &str = "the command gave no answer";

/// Settings of a measurement.
#[derive(Debug)]
pub(crate) struct MeasurementSettings {
    /// Namespace of the probe pods.
    pub(crate) namespace: String,
    /// Image of the probe pods.
    pub(crate) image: String,
    /// Nodes of which at least one is in each pair; all nodes if it is empty.
    pub(crate) only: BTreeSet<String>,
    /// Number of nodes up to which all pairs are asked.
    pub(crate) max_nodes: usize,
    /// Size of a large request and of its answer, in bytes.
    pub(crate) large_bytes: u32,
    /// Kinds of questions in addition to those between pods.
    pub(crate) checks: BTreeSet<ConnectivityCheck>,
    /// Longest time for the probe pods to start.
    pub(crate) start_limit: Duration,
}

/// One measurement of a cluster.
pub(crate) struct Measurement<'a> {
    client: &'a KubeClient,
    cx: &'a ActionContext,
    settings: &'a MeasurementSettings,
}

/// Pods that one pod asks with one command.
struct PairBatch<'p> {
    from: usize,
    probe: &'p RunningProbe,
    targets: Vec<(usize, IpAddr)>,
}

impl<'a> Measurement<'a> {
    pub(crate) fn new(client: &'a KubeClient, cx: &'a ActionContext, settings: &'a MeasurementSettings) -> Self {
        Self { client, cx, settings }
    }

    /// Starts probe pods, lets them ask each other, and removes them, also after a failure or a
    /// cancellation.
    ///
    /// # Errors
    /// If the nodes cannot be listed, or the requests about the probe pods get no answer. A
    /// question without an answer is part of the report, not an error.
    pub(crate) async fn run(&self) -> Result<ConnectivityReport, ActionError> {
        let nodes = self.nodes().await?;
        let pairs = choose_pairs(&nodes, &self.settings.only, self.settings.max_nodes, self.cx.run());
        let involved: BTreeSet<usize> = pairs.iter().flat_map(|(from, to)| [*from, *to]).collect();
        self.cx.log(format!("{} pairs of {} nodes", pairs.len(), involved.len()));
        let key = self.cx.idempotency_key().as_str();
        let objects = ProbeObjects::new(key, &self.settings.namespace, &self.settings.image);
        let probes = Probes::new(self.client, self.cx, objects, (&nodes, involved), self.networks());
        let report = self.measure(&probes, &nodes, &pairs).await;
        let removed = probes.remove().await;
        let report = report?;
        match removed {
            Err(error) if error.kind == FailureKind::Permanent => {
                self.cx.log(format!("the cluster removes the probe pods at the end of their time: {error}"));
            }
            other => other?,
        }
        Ok(report)
    }

    fn wants(&self, check: ConnectivityCheck) -> bool {
        self.settings.checks.contains(&check)
    }

    fn networks(&self) -> &'static [ProbeNetwork] {
        let nodes = self.wants(ConnectivityCheck::Nodes);
        if nodes { &[ProbeNetwork::Pod, ProbeNetwork::Node] } else { &[ProbeNetwork::Pod] }
    }

    /// Nodes of the cluster, sorted by site and name.
    async fn nodes(&self) -> Result<Vec<ProbedNode>, ActionError> {
        let servers = self.client.list(self.cx, &SERVERS, None, None).await?.unwrap_or_default();
        let site = |server: &Value| Some((name(server).to_owned(), text(server, "/spec/site")?.to_owned()));
        let sites: BTreeMap<String, String> = servers.iter().filter_map(site).collect();
        let nodes = self.client.nodes(self.cx, None).await?;
        let mut nodes: Vec<ProbedNode> = nodes.iter().map(|node| probed(node, &sites)).collect();
        nodes.sort_by(|a, b| (&a.site, &a.name).cmp(&(&b.site, &b.name)));
        let unknown = self.settings.only.iter().find(|only| !nodes.iter().any(|node| node.name == **only));
        match unknown {
            Some(unknown) => Err(ActionError::permanent(format!("node {unknown:?}: not found"))
                .with_hint("`kubectl get nodes` lists the nodes")),
            None => Ok(nodes),
        }
    }

    async fn measure(
        &self,
        probes: &Probes<'_>,
        nodes: &[ProbedNode],
        pairs: &[(usize, usize)],
    ) -> Result<ConnectivityReport, ActionError> {
        let mut report = ReportBuilder::new(nodes);
        let (service, states) = self.start(probes).await?;
        let pods = &states[0];
        for (at, state) in pods {
            match state {
                Ok(_) => report.node(ConnectivityCheck::ProbePod, *at, None),
                Err(reason) => report.node_unknown(ConnectivityCheck::ProbePod, *at, reason),
            }
        }
        let askers = self.ask_kubelets(probes, pods, &mut report).await;
        self.ask_cluster(probes, &askers, service.as_deref(), &mut report).await?;
        self.ask_pods(probes, (&askers, pods), pairs, &mut report).await;
        if let Some(in_node_network) = states.get(1) {
            let askers = commandable(in_node_network, &askers);
            ask_kubelet_ports(probes, nodes, &askers, pairs, &mut report).await;
        }
        let ip = |at: usize| pods.get(&at).and_then(|pod| Some(pod.as_ref().ok()?.ip.clone()));
        Ok(report.finish(|at| ip(at).unwrap_or_default()))
    }

    /// Starts the probe pods. Returns the address of their service and the states of the pods by
    /// network. If the cluster refuses them, none of them runs, and the answers are not known.
    async fn start(&self, probes: &Probes<'_>) -> Result<(Option<String>, Vec<ProbeStates>), ActionError> {
        match probes.create().await {
            Ok(service) => Ok((service, probes.started(self.settings.start_limit).await?)),
            Err(error) if error.kind == FailureKind::Permanent => Ok((None, probes.refused(&error.to_string()))),
            Err(error) => Err(error),
        }
    }

    /// Asks the API server for the log of each probe pod. Returns the pods in which commands can be
    /// run: commands go the same way, so none is run where the log cannot be read.
    async fn ask_kubelets(
        &self,
        probes: &Probes<'_>,
        pods: &ProbeStates,
        report: &mut ReportBuilder<'_>,
    ) -> ProbeStates {
        let (mut askers, running) = (pods.clone(), running(pods));
        let failures = all(running.iter().map(|(_, pod)| probes.log_failure(pod)).collect()).await;
        for ((at, _), failure) in running.iter().zip(failures) {
            if let Some(failure) = &failure {
                askers.insert(*at, Err(failure.to_string()));
            }
            match failure {
                _ if !self.wants(ConnectivityCheck::Kubelet) => {}
                None => report.node(ConnectivityCheck::Kubelet, *at, None),
                Some(LogFailure::OfKubelet(reason)) => report.node(ConnectivityCheck::Kubelet, *at, Some(reason)),
                Some(LogFailure::NoAnswer(reason)) => report.node_unknown(ConnectivityCheck::Kubelet, *at, &reason),
            }
        }
        askers
    }

    /// Asks the service and the cluster's DNS from each node.
    async fn ask_cluster(
        &self,
        probes: &Probes<'_>,
        pods: &ProbeStates,
        service: Option<&str>,
        report: &mut ReportBuilder<'_>,
    ) -> Result<(), ActionError> {
        let wants_dns = self.wants(ConnectivityCheck::Dns);
        let dns = wants_dns && self.has_dns().await?;
        if wants_dns && !dns {
            report.skip(ConnectivityCheck::Dns, "there is no service kube-system/kube-dns");
        }
        let wants_service = self.wants(ConnectivityCheck::Service);
        if wants_service && service.is_none() {
            report.skip(ConnectivityCheck::Service, "the cluster gave the service no address");
        }
        let service = service.filter(|_| wants_service);
        if service.is_none() && !dns {
            return Ok(());
        }
        let (running, words) = (running(pods), ask_cluster(service, dns));
        let answers = all(running.iter().map(|(_, pod)| probes.command(pod, &words)).collect()).await;
        for ((at, _), answers) in running.iter().zip(&answers) {
            if service.is_some() {
                record_node(report, ConnectivityCheck::Service, *at, answers, "service");
            }
            if dns {
                record_node(report, ConnectivityCheck::Dns, *at, answers, "dns");
            }
        }
        Ok(())
    }

    async fn has_dns(&self) -> Result<bool, ActionError> {
        let service = ObjectName::namespaced("kube-system", "kube-dns")?;
        Ok(self.client.get(self.cx, &SERVICES, service).await?.is_some())
    }

    /// Lets each pod ask its peers.
    async fn ask_pods(
        &self,
        probes: &Probes<'_>,
        (askers, pods): (&ProbeStates, &ProbeStates),
        pairs: &[(usize, usize)],
        report: &mut ReportBuilder<'_>,
    ) {
        let batches = batches(askers, pods, pairs, report);
        let (total, mut done) = (batches.len(), 0);
        let asked: Vec<_> = batches.into_iter().map(|batch| self.ask_batch(probes, batch)).collect();
        let mut asked = stream::iter(asked).buffer_unordered(PARALLEL);
        while let Some((batch, answers)) = asked.next().await {
            done += 1;
            self.cx.progress(format!("{done} of {total} groups of pairs were asked"));
            for (to, address) in &batch.targets {
                let answer = answers.as_ref().map(|answers| answers.pair(*address, self.settings.large_bytes));
                match answer {
                    Ok(Some(answer)) => report.pair(batch.from, *to, &batch.probe.ip, &answer),
                    Ok(None) => report.pair_unknown(batch.from, *to, NO_ANSWER),
                    Err(reason) => report.pair_unknown(batch.from, *to, reason),
                }
            }
        }
    }

    async fn ask_batch<'p>(
        &self,
        probes: &Probes<'_>,
        batch: PairBatch<'p>,
    ) -> (PairBatch<'p>, Result<Answers, String>) {
        let addresses: Vec<IpAddr> = batch.targets.iter().map(|(_, address)| *address).collect();
        let answers = probes.command(batch.probe, &ask_pods(self.settings.large_bytes, &addresses)).await;
        (batch, answers)
    }
}

/// Groups the pairs by the pod that asks. A pair without one of its pods is recorded as unknown.
fn batches<'p>(
    askers: &'p ProbeStates,
    pods: &ProbeStates,
    pairs: &[(usize, usize)],
    report: &mut ReportBuilder<'_>,
) -> Vec<PairBatch<'p>> {
    let mut batches = Vec::new();
    for (from, targets) in by_source(pairs) {
        let mut reachable = Vec::new();
        for to in targets {
            match (&askers[&from], &pods[&to]) {
                (Err(reason), _) => report.pair_unknown(from, to, &format!("it cannot ask: {reason}")),
                (Ok(_), Err(reason)) => report.pair_unknown(from, to, &format!("no pod to ask: {reason}")),
                (Ok(_), Ok(target)) => match target.ip.parse() {
                    Ok(address) => reachable.push((to, address)),
                    Err(_) => report.pair_unknown(from, to, &format!("{:?} is no address", target.ip)),
                },
            }
        }
        if let Ok(probe) = &askers[&from] {
            let targets = reachable.chunks(TARGETS_PER_COMMAND);
            batches.extend(targets.map(|targets| PairBatch { from, probe, targets: targets.to_vec() }));
        }
    }
    batches
}

/// Pods in which commands can be run, if they can be run in other pods of the same nodes.
fn commandable(pods: &ProbeStates, others: &ProbeStates) -> ProbeStates {
    let state = |(at, pod): (&usize, &Result<RunningProbe, String>)| {
        let pod = others.get(at).and_then(|other| other.as_ref().err()).map_or_else(|| pod.clone(), |e| Err(e.clone()));
        (*at, pod)
    };
    pods.iter().map(state).collect()
}

/// Lets each node connect to the kubelets of its peers.
async fn ask_kubelet_ports(
    probes: &Probes<'_>,
    nodes: &[ProbedNode],
    pods: &ProbeStates,
    pairs: &[(usize, usize)],
    report: &mut ReportBuilder<'_>,
) {
    let sources: Vec<(usize, Vec<usize>)> = by_source(pairs).into_iter().collect();
    let asked = sources.iter().map(|(from, targets)| ask_ports_of(probes, nodes, &pods[from], targets));
    let answers = all(asked.collect()).await;
    for ((from, targets), answers) in sources.iter().zip(answers) {
        for to in targets {
            match answers.as_ref().map(|answers| answers.check("node", &nodes[*to].address)) {
                Ok(Ok(())) => report.between_nodes(*from, *to, None, false),
                Ok(Err(QuestionError::Failed(reason))) => report.between_nodes(*from, *to, Some(reason), false),
                Ok(Err(QuestionError::Unanswered)) => report.between_nodes(*from, *to, Some(NO_ANSWER.into()), true),
                Err(reason) => report.between_nodes(*from, *to, Some(reason.clone()), true),
            }
        }
    }
}

async fn ask_ports_of(
    probes: &Probes<'_>,
    nodes: &[ProbedNode],
    probe: &Result<RunningProbe, String>,
    targets: &[usize],
) -> Result<Answers, String> {
    let addresses: Vec<&str> = targets.iter().map(|to| nodes[*to].address.as_str()).collect();
    match probe {
        Ok(probe) => probes.command(probe, &ask_nodes(&addresses)).await,
        Err(reason) => Err(format!("it cannot ask: {reason}")),
    }
}

fn record_node(
    report: &mut ReportBuilder<'_>,
    check: ConnectivityCheck,
    node: usize,
    answers: &Result<Answers, String>,
    question: &str,
) {
    match answers.as_ref().map(|answers| answers.check(question, "-")) {
        Ok(Ok(())) => report.node(check, node, None),
        Ok(Err(QuestionError::Failed(reason))) => report.node(check, node, Some(reason)),
        Ok(Err(QuestionError::Unanswered)) => report.node_unknown(check, node, NO_ANSWER),
        Err(reason) => report.node_unknown(check, node, reason),
    }
}

fn probed(node: &Value, sites: &BTreeMap<String, String>) -> ProbedNode {
    let name = name(node).to_owned();
    let site = sites.get(&name).cloned().unwrap_or_else(|| CLUSTER_SITE.to_owned());
    ProbedNode { site, address: internal_ip(node), is_ready: is_ready(node), name }
}

/// Pods that run, by the index of their node.
fn running(pods: &ProbeStates) -> Vec<(usize, &RunningProbe)> {
    pods.iter().filter_map(|(at, pod)| Some((*at, pod.as_ref().ok()?))).collect()
}

/// Asked nodes by the node that asks.
fn by_source(pairs: &[(usize, usize)]) -> BTreeMap<usize, Vec<usize>> {
    let mut sources: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (from, to) in pairs {
        sources.entry(*from).or_default().push(*to);
    }
    sources
}
