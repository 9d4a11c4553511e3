//! Hosts that drop packets between two datacenters.

use stargate_sim::{
    Sim,
    host::{Chain, ChainPolicy, FilterRule, Hook, KernelRoute, Machine, NftRule, PacketMatch, Statement},
};

use crate::deployment::{NORTH, dead, failures, sync, two_datacenters};

fn on_machine(sim: &Sim, name: &str, change: impl FnOnce(&mut Machine)) {
    change(sim.shared().lock().hosts.machines.get_mut(name).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_drops_packets_of_another_datacenter_is_named() {
    let mut harness = two_datacenters().await;
    let blackhole = || KernelRoute { kind: "blackhole".into(), ..KernelRoute::to("10.244.96.0/19".parse().unwrap()) };
    on_machine(&harness.sim, "east-w1", |machine| machine.kernel_routes.push(blackhole()));
    let matches =
        vec![PacketMatch::Address { source: true, negated: false, prefix: "10.244.64.0/19".parse().unwrap() }];
    let rule = FilterRule { matches, counter: false, iptables: false, statement: Statement::Drop };
    let rules = vec![NftRule::Filter(rule)];
    let chain = Chain { rules, ..Chain::filter(Hook::Forward, ChainPolicy::Accept) };
    let guard = |machine: &mut Machine| {
        drop(machine.ruleset.tables.insert("inet guard".into(), [("pods".into(), chain)].into()));
    };
    on_machine(&harness.sim, &NORTH.router(), guard);
    assert!(!dead(&harness.sim).is_empty());
    let (code, output) = sync(&mut harness, &[]).await;
    assert_eq!(code, Some(3), "{output}");
    let failures = failures(&harness);
    let error = |step: &str| failures.iter().find(|(failed, _)| failed == step).map(|(_, error)| error.as_str());
    let route = error("worker_filter[east-w1]").unwrap_or_default();
    assert!(route.contains("a route of the kernel drops packets of pods: blackhole 10.244.96.0/19"), "{failures:?}");
    let rule = error(&format!("router_filter[{}]", NORTH.router())).unwrap_or_default();
    assert!(rule.contains("chain pods of table inet guard drops packets of pods (by a rule)"), "{failures:?}");
    assert_eq!(failures.len(), 2, "{failures:?}");
}
