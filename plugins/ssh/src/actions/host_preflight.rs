use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Preview, Recovery};

use crate::{
    Host,
    operations::host_facts::{HostFacts, Reached},
    pool::Pool,
};

/// A certificate that was issued a moment ago is not valid yet for a clock that is further behind.
const CLOCK_TOLERANCE_SECONDS: u64 = 30;
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
    /// `v1` or `v2`.
    pub cgroup: String,
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

impl Action for HostPreflight {
    type Input = PreflightInput;
    type Output = PreflightOutput;
    const NAME: &'static str = "ssh.host.preflight";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Looks whether a host can become a node, changes nothing, and tells all that is wrong.";

    async fn run(&self, cx: &ActionContext, input: &PreflightInput) -> Result<PreflightOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let facts = HostFacts::read(&remote, &input.reach).await?;
        let findings = findings(input, &facts);
        if findings.is_empty() {
            return Ok(output(facts));
        }
        Err(remote
            .context(ActionError::permanent(findings.join("; ")).with_hint("mend these on the host, then resume")))
    }

    async fn preview(&self, cx: &ActionContext, input: &PreflightInput) -> Result<Preview, ActionError> {
        Preview::in_order(&self.run(cx, input).await?)
    }
}

fn output(facts: HostFacts) -> PreflightOutput {
    PreflightOutput {
        memory_mib: facts.memory / MIB,
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
    let unreached = facts.reached.iter().filter_map(|Reached { url, trouble }| {
        trouble.as_ref().map(|trouble| format!("{url} does not answer from the host: {trouble}"))
    });
    [
        name.map(|name| format!("the host calls itself {:?}, not {name:?}", facts.hostname)),
        (!["x86_64", "aarch64"].contains(&facts.architecture.as_str()))
            .then(|| format!("there are no kubelets for the architecture {}", facts.architecture)),
        (memory < input.minimum_memory_mib)
            .then(|| format!("it has {memory} MiB of memory, and needs {}", input.minimum_memory_mib)),
        (disk < input.minimum_disk_mib)
            .then(|| format!("/var has {disk} MiB free, and needs {}", input.minimum_disk_mib)),
        facts.swap.then(|| "swap is on, with which a kubelet does not start: `swapoff -a` and /etc/fstab".to_owned()),
        (facts.clock_off > CLOCK_TOLERANCE_SECONDS)
            .then(|| format!("its clock is {} s off, and certificates are about time", facts.clock_off)),
        (!["running", "degraded"].contains(&facts.system.as_str()))
            .then(|| format!("systemd says that the system is {}", facts.system)),
    ]
    .into_iter()
    .flatten()
    .chain(unreached)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            clock_off: 1,
            cgroup: "v2".into(),
            system: "degraded".into(),
            reached: vec![],
        }
    }

    #[test]
    fn a_host_in_order_has_no_findings_and_another_has_all_of_them_told() {
        assert_eq!(findings(&input(), &facts()), Vec::<String>::new());
        let trouble = Some("Connection refused".into());
        let bad = HostFacts {
            hostname: "other".into(),
            architecture: "riscv64".into(),
            memory: 100 * MIB,
            disk_free: 0,
            swap: true,
            clock_off: 3600,
            system: "starting".into(),
            reached: vec![Reached { url: "https://api".into(), trouble }],
            ..facts()
        };
        assert_eq!(findings(&input(), &bad).len(), 8);
    }
}
