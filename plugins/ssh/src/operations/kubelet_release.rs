use stargate_sdk::ActionError;

use super::file;
use crate::client::{NOT_INSTALLED, Remote, RemoteCommand};

/// Timeout of a request to the mirror, in seconds, for curl.
const REQUEST_TIMEOUT_SECONDS: &str = "10";
/// Message parts of curl for servers that do not implement `HEAD`.
const NO_HEAD: [&str; 2] = ["error: 405", "error: 501"];

/// Kubelet of a version for the architecture of a host, at a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KubeletRelease {
    /// Version, such as `v1.33.5`.
    pub(crate) version: String,
    /// Architecture as releases name it: `amd64` or `arm64`.
    pub(crate) architecture: &'static str,
    /// URL of the program.
    pub(crate) url: String,
}

/// Problem of a release, and the command or input that solves it.
pub(crate) type ReleaseProblem = (String, String);

impl KubeletRelease {
    /// The release of `version` for a machine whose hardware name is `machine`; `None` if there are
    /// no kubelets for it.
    pub(crate) fn of(mirror: &str, version: &str, machine: &str) -> Option<Self> {
        let architecture = match machine {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            _ => return None,
        };
        let url = format!("{}/{version}/bin/linux/{architecture}/kubelet", mirror.trim_end_matches('/'));
        Some(Self { version: version.to_owned(), architecture, url })
    }

    /// Checks from the host that the mirror has the program, and that the published checksum is
    /// `sha256`. A host on which `program` already has the checksum needs no mirror.
    pub(crate) async fn problem(
        &self,
        remote: &Remote<'_>,
        program: &str,
        sha256: &str,
    ) -> Result<Option<ReleaseProblem>, ActionError> {
        if file::sha256(remote, program).await?.is_some_and(|actual| actual.eq_ignore_ascii_case(sha256)) {
            return Ok(None);
        }
        let published = format!("{}.sha256", self.url);
        let checksum = match fetched(remote, &[], &published).await? {
            Ok(text) => text,
            Err(reason) => return Ok(Some(self.missing(&published, &reason))),
        };
        if let Some(problem) = self.checksum_problem(&published, &checksum, sha256) {
            return Ok(Some(problem));
        }
        let head = ["--head", "-o", "/dev/null"];
        Ok(match fetched(remote, &head, &self.url).await? {
            Err(reason) if !NO_HEAD.iter().any(|refusal| reason.contains(refusal)) => {
                Some(self.missing(&self.url, &reason))
            }
            _ => None,
        })
    }

    fn missing(&self, url: &str, reason: &str) -> ReleaseProblem {
        let hint = format!(
            "give a kubelet_version that is offered for {}, or a kubernetes_mirror that the host reaches and that has it",
            self.architecture
        );
        (format!("kubelet {} for {}: {url}: {reason}", self.version, self.architecture), hint)
    }

    fn checksum_problem(&self, url: &str, text: &str, sha256: &str) -> Option<ReleaseProblem> {
        let label = format!("kubelet {} for {}", self.version, self.architecture);
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        if word.len() != 64 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let hint = "give a kubernetes_mirror that publishes the checksum of each kubelet beside it".to_owned();
            return Some((format!("{label}: {url} is not a SHA-256 checksum"), hint));
        }
        (!word.eq_ignore_ascii_case(sha256)).then(|| {
            let hint = format!(
                "give the kubelet_sha256 of this version for {}, after comparing it with the publisher's",
                self.architecture
            );
            (format!("{label}: {url} is {word}, not {sha256}"), hint)
        })
    }
}

/// Requests a URL from the host. The inner error is the reason that curl printed.
async fn fetched(remote: &Remote<'_>, options: &[&str], url: &str) -> Result<Result<String, String>, ActionError> {
    let arguments = [&["-fsSL"], options, &["--max-time", REQUEST_TIMEOUT_SECONDS, url]].concat();
    let curl = RemoteCommand::read("curl").args(arguments);
    let output = remote.run(&curl).await?;
    if output.is_success() {
        return Ok(Ok(output.stdout));
    }
    let is_missing = output.to_error(&curl).code.as_deref() == Some(NOT_INSTALLED);
    Ok(Err(if is_missing { "the host has no curl".to_owned() } else { output.text().trim().to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_of_one_architecture() {
        let release = KubeletRelease::of("https://dl.k8s.io/release/", "v1.33.5", "aarch64").expect("a release");
        assert_eq!(release.url, "https://dl.k8s.io/release/v1.33.5/bin/linux/arm64/kubelet");
        assert_eq!(KubeletRelease::of("https://m", "v1.33.5", "riscv64"), None);
    }

    #[test]
    fn a_checksum_is_well_formed_and_the_expected_one() {
        let release = KubeletRelease::of("https://m", "v1.33.5", "x86_64").expect("a release");
        let sum = "0a".repeat(32);
        let problem = |text: &str| release.checksum_problem("URL", text, &sum).map(|(problem, _)| problem);
        assert_eq!(problem(&format!("{}  kubelet\n", sum.to_uppercase())), None);
        for broken in ["", "<html>", &sum[1..]] {
            assert!(problem(broken).expect(broken).contains("is not a SHA-256 checksum"), "{broken}");
        }
        let other = problem(&"0b".repeat(32)).expect("another checksum");
        assert!(other.starts_with("kubelet v1.33.5 for amd64: URL is 0b0b"), "{other}");
    }
}
