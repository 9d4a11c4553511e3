use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::ConnectionPool,
    operations::host_facts::{HostFacts, ProbeResult},
};

/// Bytes of a mebibyte.
const MIB: u64 = 1024 * 1024;

/// Requirements for a host that will become a node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostPreflightInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Host name that the host must have; any if absent.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Minimum memory, in MiB; 1024 by default. kubeadm requires 1,700 for a control plane, a
    /// worker needs less.
    #[serde(default = "memory")]
    pub minimum_memory_mib: u64,
    /// Minimum free space of /var, in MiB; 2048 by default, for a runtime, a kubelet and a few
    /// images.
    #[serde(default = "disk")]
    pub minimum_disk_mib: u64,
    /// URLs that must respond to the host, with any status.
    #[serde(default)]
    pub reach: Vec<String>,
}

fn memory() -> u64 {
    1024
}

fn disk() -> u64 {
    2048
}

/// Properties of a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HostPreflightOutput {
    /// Name of the distribution, such as `ubuntu`.
    pub os: String,
    /// Version of the distribution, such as `22.04`.
    pub os_version: String,
    /// Hardware architecture, such as `x86_64`.
    pub architecture: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Content of /etc/machine-id.
    pub machine_id: String,
    /// Total memory, in MiB.
    pub memory_mib: u64,
    /// Free space of /var, in MiB.
    pub disk_free_mib: u64,
    /// Version of control groups: `v1` or `v2`.
    pub cgroup: String,
    /// Time of its clock, in seconds since 1970; 0 if it is not known.
    #[serde(default)]
    pub clock_seconds: i64,
    /// Problems that do not prevent the host from becoming a node.
    pub warnings: Vec<String>,
}

/// Action `ssh.host.preflight`: checks that a host can become a node.
///
/// All facts are read before any is judged, so that one attempt names all problems. A problem is a
/// `Permanent` error: the engine does not retry it, and a resumed run checks again.
pub(crate) struct HostPreflight {
    pool: Arc<ConnectionPool>,
}

impl HostPreflight {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for HostPreflight {}

impl Action for HostPreflight {
    type Input = HostPreflightInput;
    type Output = HostPreflightOutput;
    const NAME: &'static str = "ssh.host.preflight";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str =
        "Checks that a host can become a node, without changing it, and reports all problems.";

    async fn run(&self, cx: &ActionContext, input: &HostPreflightInput) -> Result<HostPreflightOutput, ActionError> {
        input.reach.iter().try_for_each(|url| check_url(url))?;
        let remote = self.pool.remote(cx, &input.host)?;
        let facts = HostFacts::read(&remote, &input.reach).await?;
        let problems = problems(input, &facts);
        if !problems.is_empty() {
            let error = ActionError::permanent(problems.join("; "));
            return Err(remote.context(error.with_hint("fix these on the host, then resume")));
        }
        let warnings = warnings(&facts);
        for warning in &warnings {
            cx.log(format!("warning: {warning}"));
        }
        Ok(output(facts, warnings))
    }

    async fn preview(&self, cx: &ActionContext, input: &HostPreflightInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// Checks that curl would request the URL, and not read a file of the host.
fn check_url(url: &str) -> Result<(), ActionError> {
    if ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Ok(());
    }
    Err(ActionError::permanent(format!("{url:?} is neither an https nor an http URL")))
}

/// Converts the facts to the units of the output. Free space and memory are rounded down, as the
/// requirements are compared.
fn output(facts: HostFacts, warnings: Vec<String>) -> HostPreflightOutput {
    HostPreflightOutput {
        memory_mib: facts.memory / MIB,
        disk_free_mib: facts.disk_free / MIB,
        clock_seconds: facts.clock_seconds,
        warnings,
        os: facts.os,
        os_version: facts.os_version,
        architecture: facts.architecture,
        kernel: facts.kernel,
        machine_id: facts.machine_id,
        cgroup: facts.cgroup,
    }
}

/// The requirements that the host does not meet.
///
/// An empty list means that the host can become a node. The order is that of the fix: access first,
/// then name, hardware, swap, systemd and the network.
fn problems(input: &HostPreflightInput, facts: &HostFacts) -> Vec<String> {
    let (memory, disk) = (facts.memory / MIB, facts.disk_free / MIB);
    let name = input.hostname.as_ref().filter(|name| **name != facts.hostname);
    let unreachable = facts.probes.iter().filter_map(|probe| match &probe.result {
        ProbeResult::NoResponse(reason) => Some(format!("{} does not respond to the host: {reason}", probe.url)),
        ProbeResult::Responded | ProbeResult::NotSent => None,
    });
    let user = &input.host.user;
    let sudo = facts.sudo_refusal.as_ref();
    [
        sudo.map(|reason| format!("the user {user:?} may not use sudo without a password: {reason}")),
        name.map(|name| format!("the host name is {:?}, not {name:?}", facts.hostname)),
        (!["x86_64", "aarch64"].contains(&facts.architecture.as_str()))
            .then(|| format!("there are no kubelets for the architecture {}", facts.architecture)),
        (memory < input.minimum_memory_mib)
            .then(|| format!("it has {memory} MiB of memory, and needs {}", input.minimum_memory_mib)),
        (disk < input.minimum_disk_mib)
            .then(|| format!("/var has {disk} MiB free, and needs {}", input.minimum_disk_mib)),
        facts.swap.then(|| "swap is on, with which a kubelet does not start: `swapoff -a` and /etc/fstab".to_owned()),
        (!["running", "degraded"].contains(&facts.system.as_str()))
            .then(|| format!("systemd reports the system as {}", facts.system)),
    ]
    .into_iter()
    .flatten()
    .chain(unreachable)
    .collect()
}

/// Problems that do not prevent the host from becoming a node.
fn warnings(facts: &HostFacts) -> Vec<String> {
    let clock = match facts.synchronised {
        Some(true) => None,
        Some(false) => Some("its clock is not synchronised, which certificates require"),
        None => Some("it is not known whether its clock is synchronised"),
    };
    let cgroup = (facts.cgroup == "v1").then_some("its control groups are of version 1, whose support Kubernetes ends");
    let system = (facts.system == "degraded").then_some("a unit has failed: `systemctl --failed` shows it");
    let unprobed = facts.probes.iter().filter(|probe| matches!(probe.result, ProbeResult::NotSent));
    let unprobed = unprobed.map(|probe| format!("{} was not requested, because the host has no curl", probe.url));
    [clock, cgroup, system].into_iter().flatten().map(str::to_owned).chain(unprobed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::host_facts::UrlProbe;

    fn input() -> HostPreflightInput {
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
            clock_seconds: 0,
            system: "degraded".into(),
            probes: vec![],
        }
    }

    #[test]
    fn a_suitable_host_has_no_problems_and_another_has_all_of_them() {
        assert_eq!(problems(&input(), &facts()), Vec::<String>::new());
        assert_eq!(warnings(&facts()).len(), 1, "degraded");
        let result = ProbeResult::NoResponse("Connection refused".into());
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
            probes: vec![UrlProbe { url: "https://api".into(), result }],
            ..facts()
        };
        assert_eq!(problems(&input(), &bad).len(), 8);
        assert_eq!(warnings(&bad).len(), 2);
    }
}
