use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use stargate_routes::{AksSite, Datacenter, Facts, NodeFacts, RouterFacts, SiteFabric, Strategy};

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
    texts.iter().map(|text| net(text)).collect()
}

pub(crate) fn node(name: &str, ip: &str, pod_cidr: &str) -> NodeFacts {
    NodeFacts { name: name.into(), internal_ip: Some(ip.parse().unwrap()), pod_cidr: Some(net(pod_cidr)) }
}

fn router(name: &str, ip: &str) -> RouterFacts {
    RouterFacts { name: name.into(), ip: ip.parse().unwrap() }
}

/// The deployment of the recorded installation: one cluster, one site, two workers.
pub(crate) fn log() -> Facts {
    let aks = AksSite {
        nodes: vec![node("aks-0", "10.224.0.4", "10.244.0.0/24"), node("aks-1", "10.224.0.5", "10.244.1.0/24")],
        node_subnet: net("10.224.0.0/16"),
        router_subnet: net("10.237.0.0/24"),
        router: router("aks-router", "10.237.0.4"),
        virtual_network: nets(&["10.224.0.0/12"]),
        service_cidr: Some(net("10.0.0.0/16")),
        pod_cidr: Some(net("10.244.0.0/16")),
        datacenter_prefixes: vec![],
    };
    let workers =
        vec![node("worker-1", "10.50.1.5", "10.244.64.0/24"), node("worker-2", "10.50.1.6", "10.244.65.0/24")];
    let site = Datacenter {
        name: "dc".into(),
        fabric: SiteFabric::Azure,
        subnet: net("10.50.1.0/24"),
        virtual_network: nets(&["10.50.0.0/16"]),
        router: router("dc-router", "10.50.1.4"),
        workers,
        pod_block: net("10.244.64.0/18"),
    };
    Facts { aks, sites: vec![site], strategy: Strategy::PerNode, others: vec![] }
}

/// A cluster of `nodes` nodes and `sites` sites of `workers` workers each, in 172.16.0.0/12, with
/// pods in 11.0.0.0/8.
pub(crate) fn large(nodes: u32, sites: u32, workers: u32) -> Facts {
    let mut facts = log();
    let address = |base: &str, offset: u32| Ipv4Addr::from_bits(base.parse::<Ipv4Addr>().unwrap().to_bits() + offset);
    let make = |name: String, ip: Ipv4Addr, pods: Ipv4Addr| NodeFacts {
        name,
        internal_ip: Some(ip),
        pod_cidr: Some(Ipv4Net::new(pods, 24).unwrap()),
    };
    facts.aks.pod_cidr = Some(net("11.0.0.0/8"));
    let aks = |i| make(format!("aks-{i}"), address("10.224.0.4", i), address("11.0.0.0", i << 8));
    facts.aks.nodes = (0..nodes).map(aks).collect();
    let site = |s: u32| {
        let (hosts, pods) = (address("172.16.0.0", s << 16), address("11.64.0.0", s << 18));
        let worker = |w: u32| {
            make(format!("worker-{s}-{w}"), address(&hosts.to_string(), w + 5), address(&pods.to_string(), w << 8))
        };
        Datacenter {
            name: format!("dc-{s}"),
            fabric: SiteFabric::Azure,
            subnet: Ipv4Net::new(hosts, 16).unwrap(),
            virtual_network: vec![],
            router: RouterFacts { name: format!("dc-router-{s}"), ip: address(&hosts.to_string(), 4) },
            workers: (0..workers).map(worker).collect(),
            pod_block: Ipv4Net::new(pods, 14).unwrap(),
        }
    };
    facts.sites = (0..sites).map(site).collect();
    facts.strategy = Strategy::PerSite;
    facts
}
