//! Report of `kubernetes.connectivity.measure`, as text and as `JUnit` XML.

use std::{collections::BTreeSet, fmt::Write as _};

use serde::Deserialize;

use super::{
    format,
    ui::{self, Tone},
};

/// Number of findings that are shown.
const MAX_SHOWN: usize = 30;

/// Characters of pairs whose packets do not arrive.
const DEAD: [char; 2] = ['x', 'l'];

/// The parts of the report that are shown. Its meaning is documented by the action's schema.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct ShownReport {
    nodes: Vec<ReportNode>,
    matrix: Vec<String>,
    checks: Vec<ReportCheck>,
    findings: Vec<ReportFinding>,
    latency: Vec<ReportLatency>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ReportNode {
    name: String,
    site: String,
    pod_ip: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ReportCheck {
    check: String,
    passed: usize,
    failed: usize,
    unknown: usize,
    skipped: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ReportFinding {
    check: String,
    from: String,
    to: Option<String>,
    unknown: bool,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ReportLatency {
    from: String,
    to: String,
    requests: usize,
    lost: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl ShownReport {
    /// Number of questions that failed or whose answer is not known.
    pub(crate) fn failures(&self) -> usize {
        self.checks.iter().map(|check| check.failed + check.unknown).sum()
    }

    /// Addresses of the probe pods of pairs that did not answer: one pair of each two sites.
    pub(crate) fn dead_pairs(&self) -> Vec<[&str; 2]> {
        let mut seen = BTreeSet::new();
        let cells = self.matrix.iter().zip(&self.nodes).flat_map(|(row, from)| {
            row.chars().zip(&self.nodes).filter(|(cell, _)| DEAD.contains(cell)).map(move |(_, to)| (from, to))
        });
        let known = cells.filter(|(from, to)| !from.pod_ip.is_empty() && !to.pod_ip.is_empty());
        let first = known.filter(|(from, to)| seen.insert((&from.site, &to.site)));
        first.map(|(from, to)| [from.pod_ip.as_str(), to.pod_ip.as_str()]).collect()
    }

    /// Lines for people: the matrix of pairs, the counts, the latency and what failed.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.matrix_lines();
        lines.extend(self.check_lines());
        lines.extend(self.latency_lines());
        lines.extend(self.findings.iter().take(MAX_SHOWN).map(ReportFinding::line));
        let more = self.failures().saturating_sub(MAX_SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more; `--output json` shows them"));
        }
        lines
    }

    /// A line for each node that asks, with a column for each node that is asked.
    fn matrix_lines(&self) -> Vec<String> {
        let width = self.nodes.len().to_string().len();
        let numbers: Vec<String> = (1..=self.nodes.len()).map(|number| format!(" {number:>width$}")).collect();
        let numbers = numbers.concat();
        let row = |(at, node): (usize, &ReportNode)| {
            let cells = self.matrix.get(at).map(String::as_str).unwrap_or_default();
            let cells: Vec<String> =
                cells.chars().map(|cell| format!(" {}{}", " ".repeat(width - 1), painted(cell))).collect();
            format!("{:>width$}{}  {} ({})", at + 1, cells.concat(), node.name, node.site)
        };
        let mut lines = vec![format!("{:width$}{numbers}", "")];
        lines.extend(self.nodes.iter().enumerate().map(row));
        lines.push(
            "rows ask columns: . answered, x no answer, l large packets lost, s source changed, ? not known".into(),
        );
        lines
    }

    fn check_lines(&self) -> Vec<String> {
        let line = |check: &ReportCheck| {
            let (total, word) = (check.passed + check.failed + check.unknown, check.check.replace('_', " "));
            match (&check.skipped, check.failed + check.unknown) {
                (Some(reason), _) => format!("{word}: not asked, {reason}"),
                (None, 0) => format!("{word}: {}", ui::paint_out(Tone::Good, &format!("{total} of {total}"))),
                (None, _) => {
                    let unknown =
                        if check.unknown == 0 { String::new() } else { format!(", {} not known", check.unknown) };
                    let counts = format!("{} of {total}, {} failed{unknown}", check.passed, check.failed);
                    format!("{word}: {}", ui::paint_out(Tone::Bad, &counts))
                }
            }
        };
        self.checks.iter().map(line).collect()
    }

    fn latency_lines(&self) -> Vec<String> {
        let line = |latency: &ReportLatency| {
            let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
            let ReportLatency { from, to, requests, lost, p50_ms, p99_ms } = latency;
            let requests = format::plural(*requests, "request");
            format!("{from} to {to}: {requests}, {lost} lost, median {}, p99 {}", ms(*p50_ms), ms(*p99_ms))
        };
        self.latency.iter().map(line).collect()
    }

    /// The report as `JUnit` XML: a test case for each finding, and one for each kind of
    /// question that has none.
    pub(crate) fn junit(&self) -> String {
        let tests: usize = self.checks.iter().map(|check| check.passed + check.failed + check.unknown).sum();
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let failures = self.failures();
        _ = writeln!(xml, "<testsuites name=\"stargate verify\" tests=\"{tests}\" failures=\"{failures}\">");
        for check in &self.checks {
            xml += &self.junit_suite(check);
        }
        xml + "</testsuites>\n"
    }

    fn junit_suite(&self, check: &ReportCheck) -> String {
        let ReportCheck { check: name, passed, failed, unknown, skipped } = check;
        let (tests, skips) =
            (passed + failed + unknown + usize::from(skipped.is_some()), usize::from(skipped.is_some()));
        let mut xml = format!(
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{}\" skipped=\"{skips}\">\n",
            failed + unknown
        );
        for finding in self.findings.iter().filter(|finding| finding.check == *name) {
            let (case, reason) = (xml_text(&finding.pair()), xml_text(&finding.reason));
            let kind = if finding.unknown { "unknown" } else { "failed" };
            _ = writeln!(
                xml,
                "    <testcase classname=\"{name}\" name=\"{case}\"><failure type=\"{kind}\" message=\"{reason}\"/></testcase>"
            );
        }
        for number in 0..*passed {
            _ = writeln!(xml, "    <testcase classname=\"{name}\" name=\"passed {}\"/>", number + 1);
        }
        if let Some(reason) = skipped {
            let reason = xml_text(reason);
            _ = writeln!(
                xml,
                "    <testcase classname=\"{name}\" name=\"all\"><skipped message=\"{reason}\"/></testcase>"
            );
        }
        xml + "  </testsuite>\n"
    }
}

impl ReportFinding {
    fn pair(&self) -> String {
        match &self.to {
            Some(to) => format!("{} to {to}", self.from),
            None => self.from.clone(),
        }
    }

    fn line(&self) -> String {
        let word = if self.unknown { "not known" } else { "failed" };
        let word = ui::paint_out(Tone::Bad, word);
        format!("{word}: {} {}: {}", self.check.replace('_', " "), self.pair(), self.reason)
    }
}

/// A character of the matrix with its colour.
fn painted(cell: char) -> String {
    match cell {
        '.' => ui::paint_out(Tone::Good, "."),
        'x' | 'l' | 's' | '?' => ui::paint_out(Tone::Bad, &cell.to_string()),
        other => other.to_string(),
    }
}

/// Text as the value of an attribute. Characters that XML cannot contain are replaced.
fn xml_text(text: &str) -> String {
    let escaped = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> ShownReport {
        let report = json!({
            "nodes": [{"name": "aks-0", "site": "cluster", "pod_ip": ""}, {"name": "w1", "site": "dc", "pod_ip": ""}],
            "matrix": ["-.", "x-"],
            "checks": [
                {"check": "pods", "passed": 1, "failed": 1, "unknown": 0, "skipped": null},
                {"check": "dns", "passed": 0, "failed": 0, "unknown": 0, "skipped": "there is no \"kube-dns\""},
            ],
            "findings": [{"check": "pods", "from": "w1", "to": "aks-0", "unknown": false, "reason": "(28) <timed out>\u{1b}[2J"}],
            "latency": [{"from": "cluster", "to": "dc", "requests": 5, "lost": 0, "p50_ms": 1.25, "p99_ms": 2.0}],
        });
        serde_json::from_value(report).expect("a report")
    }

    #[test]
    fn the_text_has_the_matrix_the_counts_and_what_failed() {
        assert_eq!(
            report().lines(),
            [
                "  1 2",
                "1 - .  aks-0 (cluster)",
                "2 x -  w1 (dc)",
                "rows ask columns: . answered, x no answer, l large packets lost, s source changed, ? not known",
                "pods: 1 of 2, 1 failed",
                "dns: not asked, there is no \"kube-dns\"",
                "cluster to dc: 5 requests, 0 lost, median 1.2 ms, p99 2.0 ms",
                "failed: pods w1 to aks-0: (28) <timed out>\u{1b}[2J",
            ]
        );
    }

    #[test]
    fn junit_has_a_case_for_each_question_and_is_well_formed() {
        let xml = report().junit();
        assert!(xml.contains("<testsuites name=\"stargate verify\" tests=\"2\" failures=\"1\">"), "{xml}");
        assert!(
            xml.contains(
                "name=\"w1 to aks-0\"><failure type=\"failed\" message=\"(28) &lt;timed out&gt;\u{fffd}[2J\"/>"
            )
        );
        assert!(xml.contains("<skipped message=\"there is no &quot;kube-dns&quot;\"/>"), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), 3);
    }
}
