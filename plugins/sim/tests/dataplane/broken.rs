use ipnet::IpNet;
use stargate_sim::World;
use stargate_sim::dataplane::{DropCause, reach};
use stargate_sim::host::{Chain, ChainPolicy, Hook, KernelRoute, Machine, NftRule, Way};

use crate::deployment::{Deployment, log, net};
use crate::entries::{NODES, ROUTER, SurfaceEntry};

const AKS: &str = "pod-aks-0";
const DC: &str = "pod-worker-1-0";

/// That a packet of `from` for `to`, or the reply to it, ends there and so.
#[track_caller]
fn check(world: &World, from: &str, to: &str, at: &str, cause: DropCause, why: &str) {
    let path = reach(world, from, to).unwrap();
    let died = path.died().unwrap_or_else(|| panic!("it arrived: {path:#?}"));
    assert_eq!((died.at.as_str(), died.cause, died.why.as_str()), (at, cause, why), "{path:#?}");
}

fn router(world: &mut World, name: &str, change: impl FnOnce(&mut Machine)) {
    change(world.hosts.machines.get_mut(name).unwrap());
}

fn advertised(prefix: &str) -> impl Fn(&SurfaceEntry) -> bool {
    let wanted = net(prefix);
    move |entry| matches!(entry, SurfaceEntry::Advertised { prefix, .. } if *prefix == wanted)
}

/// A cloud route of a subnet's table.
fn cloud(of: &str, wanted: &str) -> impl Fn(&SurfaceEntry) -> bool {
    let (of, wanted) = (of.to_owned(), net(wanted));
    move |entry| matches!(entry, SurfaceEntry::Cloud { subnet, prefix, .. } if *subnet == of && *prefix == wanted)
}

#[test]
fn nic_forwarding_is_off() {
    let world = log().without(|entry| *entry == SurfaceEntry::Nic("dc-router-1".into())).world();
    let why = "IP forwarding of NIC dc-router-1-nic is off, so it sends nothing from 10.244.0.5";
    check(&world, AKS, DC, "dc-router-1-nic", DropCause::NicForwarding, why);
    let world = log().without(|entry| *entry == SurfaceEntry::Nic("worker-1-0".into())).world();
    let why = "IP forwarding of NIC worker-1-0-nic is off, so it gets nothing for 10.244.64.5";
    check(&world, AKS, DC, "worker-1-0-nic", DropCause::NicForwarding, why);
}

#[test]
fn kernel_forwarding_is_off() {
    let world = log().without(|entry| *entry == SurfaceEntry::Kernel("dc-router-1".into())).world();
    let why = "the kernel does not forward packet for 10.244.64.5 (net.ipv4.ip_forward)";
    check(&world, AKS, DC, "dc-router-1", DropCause::KernelForwarding, why);
}

#[test]
fn a_route_is_not_advertised() {
    let world = log().without(advertised("10.244.64.0/24")).world();
    let why = "route 10.244.64.0/24 of device dc-router-1 is approved but not advertised";
    check(&world, AKS, DC, "aks-router", DropCause::NotAdvertised, why);
    check(&world, DC, AKS, "aks-router", DropCause::NotAdvertised, why);
}

#[test]
fn a_route_is_not_approved() {
    let wanted = net("10.244.64.0/24");
    let world =
        log().without(|entry| matches!(entry, SurfaceEntry::Approved { prefix, .. } if *prefix == wanted)).world();
    let why = "route 10.244.64.0/24 of device dc-router-1 is advertised but not approved";
    check(&world, AKS, DC, "aks-router", DropCause::NotApproved, why);
}

#[test]
fn a_cloud_route_is_missing() {
    let world = log().without(cloud(NODES, "10.244.64.0/24")).world();
    let why = "packet for 10.244.64.5 is dropped: route table aks-subnet-rt has no route for it";
    check(&world, AKS, DC, NODES, DropCause::CloudRoute, why);
}

/// The log's fifth issue: requests arrive, replies are lost.
#[test]
fn the_way_back_into_the_cluster_is_missing() {
    let world = log().without(cloud(ROUTER, "10.244.0.0/24")).world();
    let path = reach(&world, AKS, DC).unwrap();
    assert_eq!(path.request.died, None);
    let why = "packet for 10.244.0.5 is dropped: route table router-subnet-rt has no route for it";
    check(&world, AKS, DC, ROUTER, DropCause::CloudRoute, why);
}

#[test]
fn an_association_is_missing() {
    let world = log().without(|entry| *entry == SurfaceEntry::Association(NODES.into())).world();
    let why = "packet for 10.244.64.5 is dropped: no route table is associated with the subnet";
    check(&world, AKS, DC, NODES, DropCause::Association, why);
}

#[test]
fn routes_are_not_accepted() {
    let mut world = log().world();
    router(&mut world, "dc-router-1", |machine| machine.tailscaled.prefs.route_all = false);
    let why = |address: &str| format!("it does not accept routes, so {address} has no way to aks-router");
    check(&world, AKS, DC, "dc-router-1", DropCause::NotAccepted, &why("10.244.0.5"));
    check(&world, DC, AKS, "dc-router-1", DropCause::NotAccepted, &why("10.244.0.5"));
}

#[test]
fn access_rules_of_the_tailnet_do_not_admit_it() {
    let mut world = log().world();
    for rules in [
        r#""grants": [{"src": ["10.244.64.0/18"], "dst": ["10.244.0.0/18"], "ip": ["tcp:80"]}]"#,
        r#""acls": [{"action": "accept", "src": ["dc"], "dst": ["10.244.0.5:22,80-90"]}], "hosts": {"dc": "10.244.64.0/18"}"#,
    ] {
        world.tailnet.policy.text = format!("{{{rules}}}");
        let why = "no access rule of the tailnet admits 10.244.0.5 to 10.244.64.5";
        check(&world, AKS, DC, "dc-router-1", DropCause::AccessRule, why);
        assert!(reach(&world, DC, AKS).unwrap().ok, "a rule admits the request, and with it its reply: {rules}");
    }
    world.tailnet.policy.text = r#"{"grants": [{"src": ["*"], "dst": ["*"], "ip": ["udp:*", "443"]}]}"#.to_owned();
    let why = "no access rule of the tailnet admits 10.244.64.5 to 10.244.0.5";
    check(&world, DC, AKS, "aks-router", DropCause::AccessRule, why);
}

/// A route of the tailnet is ahead of the main table, however much narrower the routes there are.
#[test]
fn a_broad_route_captures_local_pods() {
    let mut deployment: Deployment = log();
    let broad = || ("aks-router".to_owned(), net("10.244.0.0/16"));
    let (router, prefix) = broad();
    deployment.entries.push(SurfaceEntry::Advertised { router, prefix });
    let (router, prefix) = broad();
    deployment.entries.push(SurfaceEntry::Approved { router, prefix });
    let why = "route 10.244.0.0/16 of the tailnet takes packet for 10.244.64.5, which is on this side";
    check(&deployment.world(), AKS, DC, "dc-router-1", DropCause::Captured, why);
    check(&deployment.world(), "dc-router-1", DC, "dc-router-1", DropCause::Captured, why);
}

#[test]
fn a_deleted_routers_device_attracts_traffic() {
    let mut world = log().without(advertised("10.224.0.0/16")).world();
    let stale: [IpNet; 1] = ["10.224.0.0/16".parse().unwrap()];
    world.tailnet.seed_stale_device("aks-router", &stale);
    let why = "the tailnet sends 10.224.0.4 to device aks-router-1, which is offline";
    check(&world, DC, "aks-0", "dc-router-1", DropCause::DeviceOffline, why);
}

/// A live router has the same prefix: the tailnet prefers it.
#[test]
fn a_stale_device_beside_a_live_one_does_no_harm() {
    let mut world = log().world();
    let stale: [IpNet; 1] = ["10.224.0.0/16".parse().unwrap()];
    world.tailnet.seed_stale_device("aks-router", &stale);
    assert!(reach(&world, DC, "aks-0").unwrap().ok);
}

#[test]
fn a_stale_device_with_a_narrower_route_wins() {
    let mut world = log().world();
    let stale: [IpNet; 1] = ["10.244.64.0/25".parse().unwrap()];
    world.tailnet.seed_stale_device("dc-router-1", &stale);
    let why = "the tailnet sends 10.244.64.5 to device dc-router-1-1, which is offline";
    check(&world, AKS, DC, "aks-router", DropCause::DeviceOffline, why);
}

#[test]
fn a_strict_reverse_path_filter_drops_what_came_another_way() {
    let mut world = log().world();
    router(&mut world, "dc-router-1", |machine| {
        assert!(machine.set_sysctl("net.ipv4.conf.all.rp_filter", "1"));
    });
    assert!(reach(&world, AKS, DC).unwrap().ok, "the way back is the tunnel");
    router(&mut world, "worker-1-0", |machine| {
        assert!(machine.set_sysctl("net.ipv4.conf.eth0.rp_filter", "1"));
        machine.kernel_routes.retain(|route| route.prefix.prefix_len() > 0);
    });
    let why = "rp_filter of eth0 drops source 10.244.0.5, whose way back is another";
    check(&world, AKS, DC, "worker-1-0", DropCause::ReversePath, why);
}

#[test]
fn a_route_into_the_tunnel_that_no_peer_has_goes_nowhere() {
    let mut world = log().world();
    router(&mut world, "aks-router", |machine| {
        let device = Some("tailscale0".to_owned());
        machine.kernel_routes.push(KernelRoute { device, ..KernelRoute::to(net("10.99.0.0/16")) });
        machine.tailscaled.prefs.route_all = false;
    });
    check(
        &world,
        "aks-router",
        "10.244.64.5",
        "aks-router",
        DropCause::NotAccepted,
        "it does not accept routes, so 10.244.64.5 has no way to dc-router-1",
    );
}

/// Connections are made, and hang with the first packet that is full.
#[test]
fn a_full_packet_does_not_fit_into_the_tunnel() {
    let world = log().without(|entry| *entry == SurfaceEntry::Clamp).world();
    let why = "a packet of 1500 bytes does not fit into tailscale0 (MTU 1280), and nothing clamps TCP's segments";
    check(&world, AKS, DC, "aks-router", DropCause::PacketSize, why);
    check(&world, DC, AKS, "dc-router-1", DropCause::PacketSize, why);
    let hops = reach(&world, AKS, DC).unwrap().request.hops;
    assert_eq!(hops.len(), 1, "it is told as far as it came: {hops:#?}");
    // Machines that are in the tunnel themselves know its size, and tell their peers by their
    // handshake.
    assert!(reach(&world, "aks-router", DC).unwrap().ok && reach(&world, DC, "aks-router").unwrap().ok);
}

#[test]
fn a_clamp_on_one_router_is_enough_and_one_of_a_single_direction_is_not() {
    let mut world = log().world();
    router(&mut world, "dc-router-1", |machine| machine.ruleset.tables.clear());
    assert!(reach(&world, AKS, DC).unwrap().ok && reach(&world, DC, AKS).unwrap().ok);
    router(&mut world, "aks-router", |machine| {
        let chains = machine.ruleset.tables.values_mut().flat_map(|table| table.values_mut());
        chains.for_each(|chain| {
            chain.rules.retain(|rule| matches!(rule, NftRule::Clamp(clamp) if clamp.way == Way::Out));
        });
    });
    // The machine at the sending end knows the tunnel's MTU; the other end does not.
    let why = "a packet of 1500 bytes does not fit into tailscale0 (MTU 1280), and nothing clamps TCP's segments";
    check(&world, AKS, DC, "aks-router", DropCause::PacketSize, why);
    let path = reach(&world, DC, AKS).unwrap();
    assert_eq!((path.request.died, path.reply.unwrap().died.map(|died| died.at)), (None, Some("aks-router".into())));
}

#[test]
fn a_router_that_filters_statefully_lets_nobody_behind_it_begin() {
    let mut world = log().world();
    router(&mut world, "aks-router", |machine| machine.tailscaled.prefs.no_stateful_filtering = false);
    let why = "tailscaled filters statefully and admits no new connection from behind it to 10.244.64.5";
    check(&world, AKS, DC, "aks-router", DropCause::StatefulFiltering, why);
    assert!(reach(&world, DC, AKS).unwrap().ok, "replies pass");
}

/// A router whose firewall drops what it would forward, as a table of its own.
#[test]
fn a_table_of_the_packet_filter_drops_forwarded_packets() {
    let mut world = log().world();
    router(&mut world, "aks-router", |machine| machine.ruleset.set_forward_policy(ChainPolicy::Drop));
    let why = "chain forward of table inet filter (policy drop) drops packet for 10.244.64.5";
    check(&world, AKS, DC, "aks-router", DropCause::ForwardFilter, why);
    let why = "chain forward of table inet filter (policy drop) drops packet for 10.244.0.5";
    check(&world, DC, AKS, "aks-router", DropCause::ForwardFilter, why);
    assert!(reach(&world, "aks-router", DC).unwrap().ok, "packets of its own are not forwarded");
    router(&mut world, "aks-router", |machine| machine.ruleset.set_forward_policy(ChainPolicy::Accept));
    assert!(reach(&world, AKS, DC).unwrap().ok);
}

/// Docker and ufw set the policy of iptables' chain, where tailscaled accepts its packets before.
#[test]
fn the_policy_of_iptables_drops_only_what_tailscaled_and_cilium_do_not_accept() {
    let mut world = log().world();
    let policy = |machine: &mut Machine| {
        let chain = Chain::filter(Hook::Forward, ChainPolicy::Drop);
        machine
            .ruleset
            .tables
            .entry("ip filter".to_owned())
            .or_default()
            .entry("FORWARD".to_owned())
            .or_insert(chain)
            .policy = ChainPolicy::Drop;
    };
    for name in ["aks-router", "dc-router-1", "worker-1-0"] {
        router(&mut world, name, policy);
    }
    let why = "chain FORWARD of table ip filter (policy drop) drops packet for 10.244.64.5";
    check(&world, AKS, DC, "aks-router", DropCause::ForwardFilter, why);
    for name in ["aks-router", "dc-router-1"] {
        let tailnet = &mut world.tailnet;
        world.hosts.machines.get_mut(name).unwrap().report(tailnet);
    }
    let path = reach(&world, AKS, DC).unwrap();
    assert!(path.ok, "{path:#?}");
    router(&mut world, "dc-router-1", |machine| machine.tailscaled.prefs.netfilter_mode = 1);
    world.hosts.machines.get_mut("dc-router-1").unwrap().report(&mut world.tailnet);
    check(&world, AKS, DC, "dc-router-1", DropCause::ForwardFilter, why);
}
