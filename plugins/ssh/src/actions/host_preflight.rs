use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Preview, Recovery, RequiredPermissions};

use crate::{
    Host,
    operations::host_facts::{Answer, HostFacts},
    pool::Pool,
};

const MIB: u64 = 1024 * 1024;

/// What a host has to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreflightInput {
    /// The host.
    pub host: Host,
    /// The name that it has to call itself.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Memory that it has to have, in MiB. kubeadm asks for 1,700 of a control plane; a worker does with less.
    #[serde(default = "memory")]
    pub minimum_memory_mib: u64,
    /// Room that /var has to have, in MiB: a runtime, a kubelet and a few images.
    #[serde(default = "disk")]
    pub minimum_disk_mib: u64,
    /// URLs that have to answer from the host, with whatever status.
    #[serde(default)]
    pub reach: Vec<String>,
}

fn memory() -> u64 {
    1024
}

fn disk() -> u64 {
    2048
}

/// What the host is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PreflightOutput {
    /// Name of its distribution, such as `ubuntu`.
    pub os: String,
    /// Version of that, such as `22.04`.
    pub os_version: String,
    /// Such as `x86_64`.
    pub architecture: String,
    /// Release of its kernel.
    pub kernel: String,
    /// Of /etc/machine-id.
    pub machine_id: String,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Room that /var has, in MiB.
    pub disk_free_mib: u64,
    /// `v1` or `v2`.
    pub cgroup: String,
    /// What should be seen to and keeps nobody from going on.
    pub warnings: Vec<String>,
}

/// `ssh.host.preflight`.
pub(crate) struct HostPreflight {
    pool: Arc<Pool>,
}

impl HostPreflight {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for HostPreflight {}

impl Action for HostPreflight {
    type Input = PreflightInput;
    type Output = PreflightOutput;
    const NAME: &'static str = "ssh.host.preflight";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Looks whether a host can become a node, changes nothing, and tells all that is wrong.";

    async fn run(&self, cx: &ActionContext, input: &PreflightInput) -> Result<PreflightOutput, ActionError> {
        input.reach.iter().try_for_each(|url| check_url(url))?;
        let remote = self.pool.remote(cx, &input.host)?;
        let facts = HostFacts::read(&remote, &input.reach).await?;
        let findings = findings(input, &facts);
        if !findings.is_empty() {
            let error = ActionError::permanent(findings.join("; "));
            return Err(remote.context(error.with_hint("mend these on the host, then resume")));
        }
        let warnings = warnings(&facts);
        for warning in &warnings {
            cx.log(format!("warning: {warning}"));
        }
        Ok(output(facts, warnings))
    }

    async fn preview(&self, cx: &ActionContext, input: &PreflightInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

fn check_url(url: &str) -> Result<(), ActionError> {
    if ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(());
    }
    Err(ActionError::permanent(format!("{url:?} is neither an https nor an http URL")))
}

fn output(facts: HostFacts, warnings: Vec<String>) -> PreflightOutput {
    PreflightOutput {
        memory_mib: facts.memory / MIB,
        disk_free_mib: facts.disk_free / MIB,
        warnings,
        os: facts.os,
        os_version: facts.os_version,
        architecture: facts.architecture,
        kernel: facts.kernel,
        machine_id: facts.machine_id,
        cgroup: facts.cgroup,
    }
}

fn findings(input: &PreflightInput, facts: &HostFacts) -> Vec<String> {
    let (memory, disk) = (facts.memory / MIB, facts.disk_free / MIB);
    let name = input.hostname.as_ref().filter(|name| **name != facts.hostname);
    let unreached = facts.reached.iter().filter_map(|reached| match &reached.answer {
        Answer::None(trouble) => Some(format!("{} does not answer from the host: {trouble}", reached.url)),
        Answer::Some | Answer::NotAsked => None,
    });
    let user = &input.host.user;
    let sudo = facts.sudo_refusal.as_ref();
    [
        sudo.map(|words| format!("the user {user:?} may not use sudo without a password: {words}")),
        name.map(|name| format!("the host calls itself {:?}, not {name:?}", facts.hostname)),
        (!["x86_64", "aarch64"].contains(&facts.architecture.as_str()))
            .then(|| format!("there are no kubelets for the architecture {}", facts.architecture)),
        (memory < input.minimum_memory_mib)
            .then(|| format!("it has {memory} MiB of memory, and needs {}", input.minimum_memory_mib)),
        (disk < input.minimum_disk_mib)
            .then(|| format!("/var has {disk} MiB free, and needs {}", input.minimum_disk_mib)),
        facts.swap.then(|| "swap is on, with which a kubelet does not start: `swapoff -a` and /etc/fstab".to_owned()),
        (!["running", "degraded"].contains(&facts.system.as_str()))
            .then(|| format!("systemd says that the system is {}", facts.system)),
    ]
    .into_iter()
    .flatten()
    .chain(unreached)
    .collect()
}

fn warnings(facts: &HostFacts) -> Vec<String> {
    let clock = match facts.synchronised {
        Some(true) => None,
        Some(false) => Some("its clock is not synchronised, and certificates are about time"),
        None => Some("whether its clock is synchronised is not known"),
    };
    let cgroup = (facts.cgroup == "v1").then_some("its control groups are of version 1, which Kubernetes gives up");
    let system = (facts.system == "degraded").then_some("some unit of it has failed: `systemctl --failed`");
    let unasked = facts.reached.iter().filter(|reached| matches!(reached.answer, Answer::NotAsked));
    let unasked = unasked.map(|reached| format!("without curl, whether {} answers is not known", reached.url));
    [clock, cgroup, system].into_iter().flatten().map(str::to_owned).chain(unasked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::host_facts::Reached;

    fn input() -> PreflightInput {
        serde_json::from_value(serde_json::json!({
            "host": {"address": "10.0.0.1", "user": "u", "host_key": "ssh-ed25519 AAAA"}, "hostname": "worker-1",
        }))
        .expect("an input")
    }

    fn facts() -> HostFacts {
        HostFacts {
            hostname: "worker-1".into(),
            os: "ubuntu".into(),
            os_version: "22.04".into(),
            architecture: "x86_64".into(),
            kernel: "6.8.0".into(),
            machine_id: "0".into(),
            memory: 4096 * MIB,
            disk_free: 9000 * MIB,
            swap: false,
            synchronised: Some(true),
            sudo_refusal: None,
            cgroup: "v2".into(),
            system: "degraded".into(),
            reached: vec![],
        }
    }

    #[test]
    fn a_host_in_order_has_no_findings_and_another_has_all_of_them_told() {
        assert_eq!(findings(&input(), &facts()), Vec::<String>::new());
        assert_eq!(warnings(&facts()).len(), 1, "degraded");
        let answer = Answer::None("Connection refused".into());
        let bad = HostFacts {
            hostname: "other".into(),
            architecture: "riscv64".into(),
            memory: 100 * MIB,
            disk_free: 0,
            swap: true,
            sudo_refusal: Some("a password is required".into()),
            synchronised: Some(false),
            cgroup: "v1".into(),
            system: "starting".into(),
            reached: vec![Reached { url: "https://api".into(), answer }],
            ..facts()
        };
        assert_eq!(findings(&input(), &bad).len(), 8);
        assert_eq!(warnings(&bad).len(), 2);
    }
}
