use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::{ConnectionPool, Remote, RemoteCommand},
    operations::{
        kubelet_release::KubeletRelease,
        resolver::PodResolver,
        unit_files::{SYSTEM, UnitFile, UnitFiles},
    },
};

/// Unit of a kubelet.
const UNIT: &str = "kubelet.service";
/// Settings other than `Exec…` with which a drop-in changes the process of a service.
const PROCESS_SETTINGS: [&str; 6] = ["Type", "User", "Group", "DynamicUser", "RootDirectory", "RootImage"];

/// A host, and the kubelet that will run on it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KubeletPreflightInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Version of the kubelet, such as `v1.33.5`.
    pub version: String,
    /// SHA-256 of the kubelet for the host's architecture, in hexadecimal.
    pub sha256: String,
    /// URL of the mirror, which has the kubelet and its checksum (`.sha256`) at
    /// `VERSION/bin/linux/ARCHITECTURE/kubelet`.
    pub mirror: String,
    /// Absolute path at which the kubelet will be installed.
    pub path: String,
    /// Absolute path of the resolver file for pods. If absent: /etc/resolv.conf, or the file of
    /// systemd-resolved where /etc/resolv.conf names the host itself.
    #[serde(default)]
    pub resolv_conf: Option<String>,
}

/// Properties of the host that the configuration of its kubelet depends on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct KubeletPreflightOutput {
    /// Architecture as releases of Kubernetes name it: `amd64` or `arm64`.
    pub architecture: String,
    /// URL of the kubelet for this architecture.
    pub url: String,
    /// Absolute path of the resolver file, for `resolvConf`.
    pub resolv_conf: String,
    /// Problems that do not prevent a kubelet from running.
    pub warnings: Vec<String>,
}

/// Action `ssh.kubelet.preflight`: checks that a kubelet can be installed and started on a host.
///
/// All problems are reported by one attempt, as `Permanent` errors: the engine does not retry them.
pub(crate) struct KubeletPreflight {
    pool: Arc<ConnectionPool>,
}

/// Problems with their remedies, and warnings.
#[derive(Debug, Default)]
struct KubeletFindings {
    problems: Vec<String>,
    remedies: Vec<String>,
    warnings: Vec<String>,
}

impl KubeletPreflight {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for KubeletPreflight {}

impl Action for KubeletPreflight {
    type Input = KubeletPreflightInput;
    type Output = KubeletPreflightOutput;
    const NAME: &'static str = "ssh.kubelet.preflight";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Checks that a kubelet can be installed on a host: its mirror, the files of its unit and the resolver file.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &KubeletPreflightInput,
    ) -> Result<KubeletPreflightOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let mut findings = KubeletFindings::default();
        findings.add_unit(&UnitFiles::read(&remote, UNIT).await?, &input.path);
        let resolver = PodResolver::read(&remote, input.resolv_conf.as_deref()).await?;
        findings.add_resolver(&resolver);
        let release = release(&remote, input, &mut findings).await?;
        let Some(release) = release.filter(|_| findings.problems.is_empty()) else {
            return Err(remote.context(findings.into_error()));
        };
        for warning in &findings.warnings {
            cx.log(format!("warning: {warning}"));
        }
        Ok(KubeletPreflightOutput {
            architecture: release.architecture.to_owned(),
            url: release.url,
            resolv_conf: resolver.path,
            warnings: findings.warnings,
        })
    }

    async fn preview(&self, cx: &ActionContext, input: &KubeletPreflightInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// Finds the release for the host's architecture and checks it at the mirror.
async fn release(
    remote: &Remote<'_>,
    input: &KubeletPreflightInput,
    findings: &mut KubeletFindings,
) -> Result<Option<KubeletRelease>, ActionError> {
    if !["https://", "http://"].iter().any(|scheme| input.mirror.starts_with(scheme)) {
        return Err(ActionError::permanent(format!("{:?} is neither an https nor an http URL", input.mirror)));
    }
    let machine = remote.succeed(&RemoteCommand::read("uname").args(["-m"])).await?.stdout;
    let Some(release) = KubeletRelease::of(&input.mirror, &input.version, machine.trim()) else {
        let problem = format!("there are no kubelets for the architecture {}", machine.trim());
        findings.add(problem, "use a machine of the architecture x86_64 or aarch64");
        return Ok(None);
    };
    if let Some((problem, remedy)) = release.problem(remote, &input.path, &input.sha256).await? {
        findings.add(problem, remedy);
    }
    Ok(Some(release))
}

impl KubeletFindings {
    fn add(&mut self, problem: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(problem.into());
        self.remedies.push(remedy.into());
    }

    /// Adds drop-ins that would change the process of the kubelet, and a unit file that would hide
    /// the one that is written to [`SYSTEM`].
    fn add_unit(&mut self, files: &UnitFiles, program: &str) {
        for file in &files.drop_ins {
            match changed_settings(file).as_slice() {
                [] if file.path.contains("/kubelet.service.d/") && !file.settings.is_empty() => {
                    self.warnings.push(format!("{} of another party stays in effect", file.path));
                }
                [] => {}
                keys => self.add(drop_in_problem(file, keys), removal(file)),
            }
        }
        match &files.main {
            Some(file) if file.overrides_system() => {
                self.add(format!("{} would hide {SYSTEM}/{UNIT}", file.path), removal(file));
            }
            Some(file) if file.program().is_some_and(|other| other != program) => {
                let other = file.program().unwrap_or_default();
                self.warnings.push(format!("{} starts {other}; {UNIT} of this cluster replaces it", file.path));
            }
            _ => {}
        }
    }

    fn add_resolver(&mut self, resolver: &PodResolver) {
        if let Some(problem) = &resolver.problem {
            self.add(problem, "give the input resolv_conf: a file of the host with the name servers for pods");
        } else if resolver.is_empty {
            self.warnings.push(format!("the resolver file {} names no name server", resolver.path));
        }
    }

    fn into_error(self) -> ActionError {
        let error = ActionError::permanent(self.problems.join("; "));
        error.with_hint(format!("{}; then run the workflow again", self.remedies.join("; ")))
    }
}

/// Names of the settings with which a file changes the process of the service.
fn changed_settings(file: &UnitFile) -> Vec<&str> {
    let mut keys: Vec<&str> = file.settings.iter().map(|(key, _)| key.as_str()).collect();
    keys.retain(|key| key.starts_with("Exec") || PROCESS_SETTINGS.contains(key));
    keys.dedup();
    keys
}

fn drop_in_problem(file: &UnitFile, keys: &[&str]) -> String {
    let effect = match file.program() {
        Some(program) => format!("{UNIT} would start {program} with another command line"),
        None => format!("{UNIT} would start in another way"),
    };
    format!("the drop-in {} sets {}: {effect}", file.path, keys.join(", "))
}

/// Command that puts a file of a unit out of effect. A file of a package is hidden, because the
/// package would install it again.
fn removal(file: &UnitFile) -> String {
    let path = &file.path;
    let Some((directory, name)) = path.strip_prefix("/usr").and(path.rsplit_once('/')) else {
        return format!("run on the host: sudo rm {path} && sudo systemctl daemon-reload");
    };
    let directory = directory.rsplit('/').next().unwrap_or(directory);
    let hidden = format!("{SYSTEM}/{directory}");
    format!(
        "run on the host: sudo mkdir -p {hidden} && sudo ln -s /dev/null {hidden}/{name} && sudo systemctl daemon-reload"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, settings: &[(&str, &str)]) -> UnitFile {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        UnitFile { path: path.into(), settings }
    }

    fn findings(files: &UnitFiles) -> KubeletFindings {
        let mut findings = KubeletFindings::default();
        findings.add_unit(files, "/usr/local/bin/kubelet");
        findings
    }

    #[test]
    fn a_drop_in_that_changes_the_process_is_refused_and_another_one_is_not() {
        let kubeadm = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf";
        let drop_ins = vec![
            file(kubeadm, &[("Environment", "A=b"), ("ExecStart", ""), ("ExecStart", "/usr/bin/kubelet $A")]),
            file("/etc/systemd/system/kubelet.service.d/20-user.conf", &[("User", "nobody")]),
            file("/etc/systemd/system/kubelet.service.d/30-proxy.conf", &[("Environment", "HTTPS_PROXY=x")]),
            file("/etc/systemd/system/kubelet.service.d/40-hidden.conf", &[]),
            file("/usr/lib/systemd/system/service.d/10-timeout.conf", &[("TimeoutStopSec", "9")]),
        ];
        let findings = findings(&UnitFiles { main: None, drop_ins });
        let [first, second] = findings.problems.as_slice() else { panic!("{findings:?}") };
        assert_eq!(
            first,
            &format!(
                "the drop-in {kubeadm} sets ExecStart: kubelet.service would start /usr/bin/kubelet with another command line"
            )
        );
        assert!(second.contains("20-user.conf sets User"), "{second}");
        let hidden = "/etc/systemd/system/kubelet.service.d";
        assert!(findings.remedies[0].contains(&format!("ln -s /dev/null {hidden}/10-kubeadm.conf")), "{findings:?}");
        assert!(findings.remedies[1].contains(&format!("sudo rm {hidden}/20-user.conf")), "{findings:?}");
        assert_eq!(findings.warnings.len(), 1, "the proxy: {findings:?}");
    }

    #[test]
    fn a_unit_file_that_hides_the_written_one_is_refused() {
        let command = [("ExecStart", "/usr/bin/kubelet")];
        let with = |path: &str| findings(&UnitFiles { main: Some(file(path, &command)), drop_ins: vec![] });
        assert_eq!(with("/run/systemd/transient/kubelet.service").problems.len(), 1);
        let replaced = with("/usr/lib/systemd/system/kubelet.service");
        assert_eq!((replaced.problems.len(), replaced.warnings.len()), (0, 1), "{replaced:?}");
    }
}
