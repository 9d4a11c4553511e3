//! The ends that are pods: their addresses, and the network policies that isolate them.

use super::{
    facts::{PolicyDenial, TraceEnd, TraceFacts},
    machines::Machine,
    report::{Fault, PathSurface},
};

/// Checks that a pod has an address of its machine's pod CIDR: routes lead there for no other.
///
/// # Errors
/// The address is of another prefix.
pub(super) fn check_address(facts: &TraceFacts, end: &TraceEnd, at: &Machine<'_>) -> Result<(), Fault> {
    match facts.pod_cidr(at).filter(|prefix| end.pod && !prefix.contains(&end.ip)) {
        None => Ok(()),
        Some(prefix) => {
            let expected = format!("an address of {prefix}, the pod CIDR of {}", at.name);
            let hint = "give its CNI plugin that pod CIDR, which `stargate run workflow repave-worker` does, \
                        and delete the pod";
            Err(Fault::own(PathSurface::PodCidr, end.name.clone(), expected, end.ip.to_string()).with_command(hint))
        }
    }
}

/// Fault of network policies that isolate an end.
pub(super) fn denied(facts: &TraceFacts, denial: &PolicyDenial) -> Fault {
    let PolicyDenial { egress, namespace, pod, policies } = denial;
    let kind = if *egress { "egress" } else { "ingress" };
    let object = format!("network policies of pod {namespace}/{pod} for {kind}");
    let expected = format!("a rule that admits {} to {} on port {}", facts.from.name, facts.to.name, facts.port);
    let found = format!("none in {}", policies.join(", "));
    let policy = policies.first().map(String::as_str).unwrap_or_default();
    Fault::own(PathSurface::NetworkPolicy, object, expected, found)
        .with_command(format!("`kubectl --namespace {namespace} edit networkpolicy {policy}` admits it"))
}
