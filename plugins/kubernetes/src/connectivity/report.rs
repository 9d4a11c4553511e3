use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{pairs::ProbedNode, question::PairAnswer};

/// Maximum number of findings in a report; the checks count the others.
const MAX_FINDINGS: usize = 500;

/// Question that a measurement asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConnectivityCheck {
    /// A probe pod starts on the node.
    ProbePod,
    /// A pod answers small requests of another pod.
    Pods,
    /// Full packets pass in both directions: a large body is sent back.
    LargePackets,
    /// The asked pod sees the address of the asking pod.
    SourceAddress,
    /// A node connects to the kubelet of another node.
    Nodes,
    /// A pod reaches a service by its cluster address.
    Service,
    /// A pod finds the API server by its name in the cluster's DNS and connects to it.
    Dns,
    /// The API server reaches the kubelet: it returns logs and runs a command.
    Kubelet,
}

impl fmt::Display for ConnectivityCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProbePod => "probe pod",
            Self::Pods => "pod to pod",
            Self::LargePackets => "large packets",
            Self::SourceAddress => "source address",
            Self::Nodes => "node to node",
            Self::Service => "service",
            Self::Dns => "DNS",
            Self::Kubelet => "API server to kubelet",
        })
    }
}

/// Result of a measurement.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConnectivityReport {
    /// The nodes, sorted by site and name.
    pub nodes: Vec<MeasuredNode>,
    /// A row for each node that asks, with a character for each node that is asked: `.` all
    /// answered, `x` no answer, `l` large packets are lost, `s` another source address, `?` not
    /// known, `-` the node itself, and a blank if the pair was not asked.
    pub matrix: Vec<String>,
    /// Result of each kind of question.
    pub checks: Vec<CheckCount>,
    /// Questions that failed or whose answer is not known, at most 500.
    pub findings: Vec<ConnectivityFinding>,
    /// Latency and loss between sites.
    pub latency: Vec<SiteLatency>,
}

/// A node of the matrix.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MeasuredNode {
    /// Name of the node.
    pub name: String,
    /// Site of the node.
    pub site: String,
    /// Address of its probe pod; empty if it has none.
    pub pod_ip: String,
}

/// Counts of one kind of question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CheckCount {
    /// The kind of question.
    pub check: ConnectivityCheck,
    /// Number of questions that were answered as they should be.
    pub passed: usize,
    /// Number of questions that were not.
    pub failed: usize,
    /// Number of questions whose answer is not known.
    pub unknown: usize,
    /// Reason for which no question was asked; `null` if one was.
    pub skipped: Option<String>,
}

/// Question that was not answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConnectivityFinding {
    /// The kind of question.
    pub check: ConnectivityCheck,
    /// Node that asks.
    pub from: String,
    /// Node that is asked; `null` for a question about one node.
    pub to: Option<String>,
    /// True if the answer is not known; false if it is wrong or missing.
    pub unknown: bool,
    /// Observation that decides it, such as an error of a connection.
    pub reason: String,
}

impl fmt::Display for ConnectivityFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, from, to, unknown, reason } = self;
        let to = to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        let verdict = match check {
            ConnectivityCheck::ProbePod => "does not run",
            _ if *unknown => "not known",
            _ => "failed",
        };
        write!(f, "{check} {from}{to} {verdict}: {reason}")
    }
}

/// Small requests from the nodes of one site to those of another one, or of the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SiteLatency {
    /// Site that asks.
    pub from: String,
    /// Site that is asked.
    pub to: String,
    /// Number of requests.
    pub requests: usize,
    /// Number of requests without an answer.
    pub lost: usize,
    /// Median duration of an answered request with its connection, in milliseconds; `null` if none
    /// was answered.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the durations, in milliseconds.
    pub p99_ms: Option<f64>,
}

impl ConnectivityReport {
    /// Number of questions that failed.
    pub(crate) fn failed(&self) -> usize {
        self.checks.iter().map(|check| check.failed).sum()
    }

    /// Number of questions whose answer is not known.
    pub(crate) fn unknown(&self) -> usize {
        self.checks.iter().map(|check| check.unknown).sum()
    }
}

/// Report in the making.
#[derive(Debug)]
pub(super) struct ReportBuilder<'a> {
    nodes: &'a [ProbedNode],
    report: ConnectivityReport,
    cells: Vec<Vec<char>>,
    durations: BTreeMap<(&'a str, &'a str), SiteSample>,
}

#[derive(Debug, Default)]
struct SiteSample {
    durations_ms: Vec<f64>,
    lost: usize,
}

impl<'a> ReportBuilder<'a> {
    pub(super) fn new(nodes: &'a [ProbedNode]) -> Self {
        let row = |own: usize| (0..nodes.len()).map(|at| if at == own { '-' } else { ' ' }).collect();
        let cells = (0..nodes.len()).map(row).collect();
        Self { nodes, report: ConnectivityReport::default(), cells, durations: BTreeMap::new() }
    }

    /// Records a question about one node; `failure` is the reason for which it failed.
    pub(super) fn node(&mut self, check: ConnectivityCheck, node: usize, failure: Option<String>) {
        self.record(check, node, None, failure, false);
    }

    /// Records a question about a node whose answer is not known.
    pub(super) fn node_unknown(&mut self, check: ConnectivityCheck, node: usize, reason: &str) {
        self.record(check, node, None, Some(reason.to_owned()), true);
    }

    /// Records a question from one node to another.
    pub(super) fn between_nodes(&mut self, from: usize, to: usize, failure: Option<String>, unknown: bool) {
        self.record(ConnectivityCheck::Nodes, from, Some(to), failure, unknown);
    }

    /// Records that no question of this kind was asked.
    pub(super) fn skip(&mut self, check: ConnectivityCheck, reason: &str) {
        self.count(check).skipped = Some(reason.to_owned());
    }

    /// Records the answers of one pod to another; `source` is the address of the asking pod.
    pub(super) fn pair(&mut self, from: usize, to: usize, source: &str, answer: &PairAnswer) {
        let sites = (self.nodes[from].site.as_str(), self.nodes[to].site.as_str());
        let sample = self.durations.entry(sites).or_default();
        sample.durations_ms.extend(&answer.durations_ms);
        sample.lost += answer.lost;
        if answer.sources.is_empty() {
            let reason = answer.loss_reason.clone().unwrap_or_default();
            self.record(ConnectivityCheck::Pods, from, Some(to), Some(reason), false);
            self.cells[from][to] = 'x';
            return;
        }
        self.record(ConnectivityCheck::Pods, from, Some(to), None, false);
        let foreign = answer.sources.iter().find(|seen| *seen != source);
        let changed = foreign.map(|seen| format!("the pod's address is {source}, the asked pod saw {seen}"));
        self.cells[from][to] = match (&answer.large_failure, &changed) {
            (Some(_), _) => 'l',
            (None, Some(_)) => 's',
            (None, None) => '.',
        };
        self.record(ConnectivityCheck::LargePackets, from, Some(to), answer.large_failure.clone(), false);
        self.record(ConnectivityCheck::SourceAddress, from, Some(to), changed, false);
    }

    /// Records that it is not known whether one pod answers another.
    pub(super) fn pair_unknown(&mut self, from: usize, to: usize, reason: &str) {
        self.cells[from][to] = '?';
        self.record(ConnectivityCheck::Pods, from, Some(to), Some(reason.to_owned()), true);
    }

    fn record(
        &mut self,
        check: ConnectivityCheck,
        from: usize,
        to: Option<usize>,
        failure: Option<String>,
        unknown: bool,
    ) {
        let count = self.count(check);
        let Some(reason) = failure else {
            count.passed += 1;
            return;
        };
        *(if unknown { &mut count.unknown } else { &mut count.failed }) += 1;
        if self.report.findings.len() < MAX_FINDINGS {
            let name = |at: usize| self.nodes[at].name.clone();
            self.report.findings.push(ConnectivityFinding {
                check,
                from: name(from),
                to: to.map(name),
                unknown,
                reason,
            });
        }
    }

    fn count(&mut self, check: ConnectivityCheck) -> &mut CheckCount {
        let counts = &mut self.report.checks;
        let at = counts.iter().position(|count| count.check == check).unwrap_or_else(|| {
            counts.push(CheckCount { check, passed: 0, failed: 0, unknown: 0, skipped: None });
            counts.len() - 1
        });
        &mut counts[at]
    }

    /// The report; `pod_ip` is the address of the probe pod of a node.
    pub(super) fn finish(mut self, pod_ip: impl Fn(usize) -> String) -> ConnectivityReport {
        let measured = |(at, node): (usize, &ProbedNode)| MeasuredNode {
            name: node.name.clone(),
            site: node.site.clone(),
            pod_ip: pod_ip(at),
        };
        self.report.nodes = self.nodes.iter().enumerate().map(measured).collect();
        self.report.matrix = self.cells.iter().map(|row| row.iter().collect()).collect();
        self.report.checks.sort_by_key(|count| count.check);
        let latency = |((from, to), sample): ((&str, &str), SiteSample)| sample.latency(from, to);
        self.report.latency = self.durations.into_iter().map(latency).collect();
        self.report
    }
}

impl SiteSample {
    fn latency(mut self, from: &str, to: &str) -> SiteLatency {
        self.durations_ms.sort_by(f64::total_cmp);
        let requests = self.durations_ms.len() + self.lost;
        let (p50_ms, p99_ms) = (self.percentile(50), self.percentile(99));
        SiteLatency { from: from.into(), to: to.into(), requests, lost: self.lost, p50_ms, p99_ms }
    }

    /// Smallest duration that `percent` of all are not above, rounded to microseconds.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.durations_ms.len() * percent).div_ceil(100).max(1);
        self.durations_ms.get(rank - 1).map(|ms| (ms * 1000.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<ProbedNode> {
        let node = |name: &str, site: &str| ProbedNode {
            name: name.into(),
            site: site.into(),
            address: String::new(),
            is_ready: true,
        };
        vec![node("a", "aks"), node("w", "dc"), node("v", "dc")]
    }

    fn answer(source: &str, large_failure: Option<&str>) -> PairAnswer {
        PairAnswer {
            sources: vec![source.into()],
            durations_ms: vec![2.0],
            lost: 0,
            loss_reason: None,
            large_failure: large_failure.map(str::to_owned),
        }
    }

    #[test]
    fn each_pair_has_a_character_and_what_failed_has_a_finding() {
        let nodes = nodes();
        let mut report = ReportBuilder::new(&nodes);
        report.pair(0, 1, "10.0.0.1", &answer("10.0.0.1", None));
        report.pair(0, 2, "10.0.0.1", &answer("10.0.0.1", Some("stalled")));
        report.pair(1, 0, "10.1.0.1", &answer("10.9.9.9", None));
        let dead = PairAnswer { sources: Vec::new(), lost: 2, loss_reason: Some("timeout".into()), ..answer("", None) };
        report.pair(1, 2, "10.1.0.1", &PairAnswer { durations_ms: Vec::new(), ..dead });
        report.pair_unknown(2, 0, "no probe pod");
        let report = report.finish(|_| String::new());
        assert_eq!(report.matrix, ["-.l", "s-x", "? -"]);
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            findings,
            [
                "large packets a to v failed: stalled",
                "source address w to a failed: the pod's address is 10.1.0.1, the asked pod saw 10.9.9.9",
                "pod to pod w to v failed: timeout",
                "pod to pod v to a not known: no probe pod",
            ]
        );
        assert_eq!((report.failed(), report.unknown()), (3, 1));
        let latency = report.latency.iter().find(|latency| latency.from == "dc" && latency.to == "dc");
        assert_eq!(latency.map(|latency| (latency.requests, latency.lost, latency.p50_ms)), Some((2, 2, None)));
    }

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        let sample = SiteSample { durations_ms: (1..=200).map(f64::from).collect(), lost: 0 };
        let latency = sample.latency("a", "b");
        assert_eq!((latency.p50_ms, latency.p99_ms), (Some(100.0), Some(198.0)));
    }
}
