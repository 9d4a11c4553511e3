use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::connectivity::{ConnectivityFinding, ConnectivityReport};

/// Number of findings in the message of the error.
const MAX_SHOWN: usize = 5;

/// Action `kubernetes.connectivity.check`: fails if a question of a measurement failed.
///
/// It is a step of its own, so that the measurement itself is kept.
pub(crate) struct ConnectivityVerdict;

/// Result of `kubernetes.connectivity.measure`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectivityVerdictInput {
    /// Output of `kubernetes.connectivity.measure`.
    report: ConnectivityReport,
    /// If true, a question whose answer is not known is a warning, not a failure.
    #[serde(default)]
    allow_unknown: bool,
}

/// Result for a measurement without a failure.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ConnectivityVerdictOutput {
    /// Number of questions that were answered as they should be.
    pub passed: usize,
    /// Texts about the questions whose answer is not known.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Action for ConnectivityVerdict {
    type Input = ConnectivityVerdictInput;
    type Output = ConnectivityVerdictOutput;
    const NAME: &'static str = "kubernetes.connectivity.check";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Fails if a measurement of connectivity found a failure, and names it.";

    async fn run(
        &self,
        _: &ActionContext,
        input: &ConnectivityVerdictInput,
    ) -> Result<ConnectivityVerdictOutput, ActionError> {
        verdict(input)
    }

    async fn preview(&self, cx: &ActionContext, input: &ConnectivityVerdictInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for ConnectivityVerdict {
    const PERMISSIONS: &'static [Permission] = &[];
}

/// # Errors
/// `Permanent` if a question failed, or if the answer of one is not known and has to be.
fn verdict(input: &ConnectivityVerdictInput) -> Result<ConnectivityVerdictOutput, ActionError> {
    let report = &input.report;
    if report.failed() > 0 || (report.unknown() > 0 && !input.allow_unknown) {
        return Err(failure(report));
    }
    let passed = report.checks.iter().map(|check| check.passed).sum();
    Ok(ConnectivityVerdictOutput { passed, warnings: warnings(report) })
}

/// The first questions whose answer is not known, and the number of the others.
fn warnings(report: &ConnectivityReport) -> Vec<String> {
    let unknown = report.findings.iter().filter(|finding| finding.unknown);
    let mut warnings: Vec<String> = unknown.take(MAX_SHOWN).map(ConnectivityFinding::to_string).collect();
    let more = report.unknown().saturating_sub(warnings.len());
    if more > 0 {
        warnings.push(format!("{more} more answers are not known"));
    }
    warnings
}

/// The error that counts all failures and names the first ones.
fn failure(report: &ConnectivityReport) -> ActionError {
    let counts = report.checks.iter().filter(|check| check.failed + check.unknown > 0);
    let counts = counts.map(|count| {
        let total = count.passed + count.failed + count.unknown;
        let unknown = if count.unknown == 0 { String::new() } else { format!(", {} not known", count.unknown) };
        format!("{}: {} of {total} failed{unknown}", count.check, count.failed)
    });
    let shown: Vec<String> = report.findings.iter().take(MAX_SHOWN).map(ConnectivityFinding::to_string).collect();
    let more = (report.failed() + report.unknown()).saturating_sub(shown.len());
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    ActionError::permanent(format!("{}: {}{more}", counts.collect::<Vec<_>>().join("; "), shown.join("; ")))
        .with_hint("run `stargate trace FROM TO` for two of the nodes to see what drops their packets")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_error_counts_all_failures_and_names_the_first() {
        let report = json!({
            "nodes": [], "matrix": [], "latency": [],
            "checks": [
                {"check": "pods", "passed": 10, "failed": 1, "unknown": 1, "skipped": null},
                {"check": "dns", "passed": 4, "failed": 0, "unknown": 0, "skipped": null},
            ],
            "findings": [
                {"check": "pods", "from": "a", "to": "w", "unknown": false, "reason": "timed out"},
                {"check": "pods", "from": "w", "to": "a", "unknown": true, "reason": "no probe pod"},
            ],
        });
        let report = serde_json::from_value(report).expect("a report");
        assert_eq!(
            failure(&report).to_string(),
            "pod to pod: 1 of 12 failed, 1 not known: pod to pod a to w failed: timed out; pod to pod w to a not known: no probe pod"
        );
    }
    #[tokio::test]
    async fn unknown_answers_are_warnings_if_the_input_allows_them() {
        let check = |passed: usize, failed: usize, unknown: usize| {
            json!({"nodes": [], "matrix": [], "latency": [], "checks": [
                {"check": "pods", "passed": passed, "failed": failed, "unknown": unknown, "skipped": null},
            ], "findings": [
                {"check": "probe_pod", "from": "w", "to": null, "unknown": true, "reason": "ImagePullBackOff"},
            ]})
        };
        for (report, allow_unknown, expected) in [
            (check(1, 0, 7), false, None),
            (check(1, 1, 7), true, None),
            (
                check(1, 0, 7),
                true,
                Some(vec!["probe pod w does not run: ImagePullBackOff", "6 more answers are not known"]),
            ),
        ] {
            let input =
                serde_json::from_value(json!({"report": report, "allow_unknown": allow_unknown})).expect("an input");
            assert_eq!(
                verdict(&input).ok().map(|output| output.warnings),
                expected.map(|texts| texts.into_iter().map(str::to_owned).collect())
            );
        }
    }
}
