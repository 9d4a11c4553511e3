use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::json;
use stargate_routes::{
    AksSite, Datacenter, Facts, NodeFacts as Node, RouterFacts as Router, SiteFabric as Fabric, Strategy, compute,
};
use stargate_sim::World;
use stargate_sim::dataplane::{Endpoint, Plane, UnmanagedPod};
use stargate_sim::event::{MachineSpec as Spec, Nic};
use stargate_sim::host::{KernelRoute, Machine, Phase};

use crate::entries::{ROUTER, SurfaceEntry, entries, site_subnet};
use crate::network::{Guard, arm, network, nic_id};

/// A deployment: what is true of it and what is set on every surface.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) facts: Facts,
    pub(crate) entries: Vec<SurfaceEntry>,
    pub(crate) guards: Vec<Guard>,
}

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn node(name: String, ip: &str, block: &str) -> Node {
    Node { name, internal_ip: ip.parse().ok(), pod_cidr: Some(block.parse().unwrap()) }
}

/// The log's topology with as many nodes, and with sites of as many workers.
pub(crate) fn facts(nodes: u8, sites: &[(u8, Fabric)], strategy: Strategy) -> Facts {
    let aks = AksSite {
        nodes: (0..nodes)
            .map(|n| node(format!("aks-{n}"), &format!("10.224.0.{}", n + 4), &format!("10.244.{n}.0/24")))
            .collect(),
        node_subnet: net("10.224.0.0/16"),
        router_subnet: net("10.237.0.0/24"),
        router: Router { name: "aks-router".into(), ip: "10.237.0.4".parse().unwrap() },
        virtual_network: vec![net("10.224.0.0/12")],
        service_cidr: Some(net("10.0.0.0/16")),
        pod_cidr: Some(net("10.244.0.0/16")),
        datacenter_prefixes: vec![],
    };
    let sites = (1..).zip(sites).map(|(number, (workers, fabric))| datacenter(number, *workers, *fabric)).collect();
    Facts { aks, sites, strategy, others: vec![] }
}

fn datacenter(number: u8, workers: u8, fabric: Fabric) -> Datacenter {
    let worker = |w: u8| {
        let block = format!("10.244.{}.0/24", number * 64 + w);
        node(format!("worker-{number}-{w}"), &format!("10.{}.1.{}", 49 + number, w + 5), &block)
    };
    Datacenter {
        name: format!("dc-{number}"),
        fabric,
        subnet: net(&format!("10.{}.1.0/24", 49 + number)),
        virtual_network: vec![net(&format!("10.{}.0.0/16", 49 + number))],
        router: Router { name: format!("dc-router-{number}"), ip: Ipv4Addr::new(10, 49 + number, 1, 4) },
        workers: (0..workers).map(worker).collect(),
        pod_block: net(&format!("10.244.{}.0/18", u16::from(number) * 64)),
    }
}

/// The log's deployment: two nodes, one site of two workers.
pub(crate) fn log() -> Deployment {
    Deployment::of(facts(2, &[(2, Fabric::Azure)], Strategy::PerNode))
}

impl Deployment {
    /// With every desired entry.
    pub(crate) fn of(facts: Facts) -> Self {
        let entries = entries(&facts, &compute(&facts).unwrap());
        Self { facts, entries, guards: Vec::new() }
    }

    /// Without some of its entries; there must be some.
    pub(crate) fn without(mut self, which: impl Fn(&SurfaceEntry) -> bool) -> Self {
        let before = self.entries.len();
        self.entries.retain(|entry| !which(entry));
        assert!(self.entries.len() < before, "there is no such entry");
        self
    }

    /// With a security group.
    pub(crate) fn guarded(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// With the groups that the workflows make: the rules for what is passed on, on both routers'
    /// subnets.
    pub(crate) fn guarded_as_shipped(self) -> Self {
        let site = self.facts.sites[0].clone();
        let aks = self.facts.aks.clone();
        let towards = |guard: Guard, rules: &[(&str, Ipv4Net)]| {
            rules.iter().zip(1020..).fold(guard, |guard, ((name, prefix), priority)| {
                let to = json!({ "destinationAddressPrefix": prefix });
                guard.rule(&format!("stargate-to-{name}"), "Outbound", priority, "Allow", &to)
            })
        };
        let from = |guard: Guard, rules: &[(&str, Ipv4Net)]| {
            rules.iter().zip(1020..).fold(guard, |guard, ((name, prefix), priority)| {
                let from = json!({ "sourceAddressPrefix": prefix });
                guard.rule(&format!("stargate-from-{name}"), "Inbound", priority, "Allow", &from)
            })
        };
        let cluster = [("aks-pods", aks.pod_cidr.unwrap()), ("aks-nodes", aks.node_subnet)];
        let everybody = [
            cluster.as_slice(),
            &[("aks-router", aks.router_subnet), ("dc-pods", site.pod_block), ("dc-machines", site.subnet)],
        ]
        .concat();
        let router = from(towards(Guard::of(ROUTER), &cluster), &cluster);
        let datacenter = from(towards(Guard::of(&site_subnet(&site.name)), &everybody), &everybody);
        self.guarded(router).guarded(datacenter)
    }

    pub(crate) fn world(&self) -> World {
        let mut world = World { arm: arm(&self.facts, &self.entries, &self.guards), ..World::default() };
        let aks = &self.facts.aks;
        self.machine(&mut world, &aks.router.name, aks.router.ip, &network(None), ROUTER, aks.router_subnet);
        self.join(&mut world, &aks.router.name);
        world.pods = aks.nodes.iter().map(pod).collect();
        for site in &self.facts.sites {
            let (vnet, subnet) = (network(Some(&site.name)), site_subnet(&site.name));
            self.machine(&mut world, &site.router.name, site.router.ip, &vnet, &subnet, site.subnet);
            self.join(&mut world, &site.router.name);
            for worker in &site.workers {
                self.machine(&mut world, &worker.name, worker.internal_ip.unwrap(), &vnet, &subnet, site.subnet);
            }
            world.pods.extend(site.workers.iter().map(pod));
        }
        world
    }

    fn machine(&self, world: &mut World, name: &str, ip: Ipv4Addr, network: &str, subnet: &str, prefix: Ipv4Net) {
        let nic = Nic {
            id: nic_id(name),
            machine: Some(name.to_owned()),
            network: network.to_owned(),
            subnet: subnet.to_owned(),
            subnet_prefix: prefix.to_string(),
            private_ip: ip.to_string(),
            public_ip: None,
            ssh_closed: false,
            ip_forwarding: false,
            mac: "00-0D-3A-00-00-01".to_owned(),
        };
        let mut machine = Machine::new(Spec {
            name: name.to_owned(),
            id: format!("/vm/{name}"),
            user_data: String::new(),
            admin_user: "ubuntu".to_owned(),
            admin_keys: vec![],
            nics: vec![nic],
        });
        machine.reset();
        machine.phase = Phase::Up;
        machine.write_network_files();
        machine.apply_network(true);
        if self.entries.contains(&SurfaceEntry::Kernel(name.to_owned())) {
            assert!(machine.set_sysctl("net.ipv4.ip_forward", "1"));
        }
        machine.kernel_routes.extend(self.entries.iter().filter_map(|entry| match entry {
            SurfaceEntry::Route { host, prefix, via } if host == name => {
                Some(KernelRoute { gateway: Some(*via), device: Some("eth0".to_owned()), ..KernelRoute::to(*prefix) })
            }
            _ => None,
        }));
        world.hosts.machines.insert(name.to_owned(), machine);
    }

    /// Connects a router to the tailnet as the workflows do.
    fn join(&self, world: &mut World, name: &str) {
        let advertised = self.entries.iter().filter_map(|entry| match entry {
            SurfaceEntry::Advertised { router, prefix } if router == name => Some(IpNet::V4(*prefix)),
            _ => None,
        });
        let approved = self.entries.iter().filter_map(|entry| match entry {
            SurfaceEntry::Approved { router, prefix } if router == name => Some(IpNet::V4(*prefix)),
            _ => None,
        });
        let node = world.tailnet.seed_stale_device(name, &[]);
        let device = world.tailnet.device_mut(&node).unwrap();
        device.online = true;
        device.advertised = advertised.collect();
        device.enabled = approved.collect();
        let machine = world.hosts.machines.get_mut(name).unwrap();
        if self.entries.contains(&SurfaceEntry::Clamp) {
            machine.ruleset.clamp_by_hand("tailscale0");
        }
        machine.set_unit("tailscaled", "active", "running", 0);
        machine.tailscaled.prefs.advertise_routes.clone_from(&device.advertised);
        machine.tailscaled.prefs.route_all = true;
        machine.tailscaled.prefs.want_running = true;
        machine.tailscaled.prefs.no_snat = true;
        machine.tailscaled.node = Some(node);
    }
}

fn pod(node: &Node) -> UnmanagedPod {
    let ip = node.pod_cidr.unwrap().hosts().nth(4).unwrap();
    UnmanagedPod { name: format!("pod-{}", node.name), node: node.name.clone(), ip }
}

/// Pods and machines.
pub(crate) fn everybody(plane: &Plane) -> Vec<Endpoint> {
    [plane.pods().to_vec(), plane.machines()].concat()
}
