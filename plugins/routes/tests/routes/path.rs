use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use serde_json::{Value, json};
use stargate_routes::{
    CloudRoute, DesiredEntries, Findings, SubnetFacts, TailnetFacts, compute, subnet_findings, tailnet_findings,
};

use crate::facts::{log, net};

fn entries() -> DesiredEntries {
    compute(&log()).unwrap()
}

/// A rule that is not restricted further than by its addresses.
fn rule(name: &str, priority: u32, way: &str, access: &str, [source, destination]: [&str; 2]) -> Value {
    json!({"name": name, "priority": priority, "direction": way, "access": access, "protocol": "*", "sources": [source],
        "source_ports": ["*"], "destinations": [destination], "destination_ports": ["*"]})
}

/// The rules that each group has.
fn defaults() -> Vec<Value> {
    let both = |name: &str, priority, access: &str, places: [&str; 2]| {
        ["Inbound", "Outbound"].map(|way| rule(&format!("{name}{way}"), priority, way, access, places))
    };
    let network = both("AllowVnet", 65000, "Allow", ["VirtualNetwork", "VirtualNetwork"]);
    let rest = both("DenyAll", 65500, "Deny", ["*", "*"]);
    network.into_iter().chain(rest).collect()
}

/// The nodes' subnet with a group that has these rules, and with these routes.
fn nodes(rules: Vec<Value>, routes: &Value) -> SubnetFacts {
    let rules: Vec<Value> = rules.into_iter().chain(defaults()).collect();
    let group = json!({"name": "corp-nsg", "resource_group": "corp-rg", "of_subnet": true, "rules": rules});
    let table = json!({"name": "corp-rt", "resource_group": "hub-rg", "routes": routes});
    let subnet =
        json!({"name": "nodes-a", "network": ["10.224.0.0/12"], "security_groups": [group], "route_table": table});
    serde_json::from_value(subnet).unwrap()
}

/// The desired routes of the nodes' subnet, as its table has them.
fn own_routes() -> Value {
    let routes = entries().aks_routes.into_iter().map(|CloudRoute { prefix, next_hop_ip }| {
        json!({"name": format!("stargate-{prefix}"), "prefix": prefix, "next_hop_type": "VirtualAppliance",
            "next_hop_ip": next_hop_ip, "managed": true})
    });
    routes.collect()
}

fn of_nodes(rules: Vec<Value>, routes: &Value) -> Findings {
    let entries = entries();
    subnet_findings(&nodes(rules, routes), &entries.paths.nodes, &entries.aks_routes)
}

#[test]
fn the_default_rules_let_pass_what_the_table_has_routes_for() {
    assert_eq!(of_nodes(vec![], &own_routes()), Findings::default());
    let without = of_nodes(vec![], &json!([]));
    let messages: Vec<&str> = without.blockers.iter().map(|blocker| blocker.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            // The tag `VirtualNetwork` of the nodes' interfaces has the cluster's pod CIDR, with
            // all pods.
            "rule DenyAllInbound of security group corp-nsg denies 10.50.1.0/24 → 10.224.0.0/16, 10.244.0.0/16 (inbound)",
            "rule DenyAllOutbound of security group corp-nsg denies 10.224.0.0/16, 10.244.0.0/16 → 10.50.1.0/24 \
             (outbound)",
        ]
    );
    assert!(without.blockers[0].hint.contains("--priority 4096 --direction Inbound"), "{}", without.blockers[0].hint);
}

/// Azure's own page names these rules for a cluster with pods of an overlay; then the rest is
/// denied.
#[test]
fn a_rule_that_denies_the_rest_is_named_with_the_command() {
    let allow = |name: &str, priority, places| rule(name, priority, "Inbound", "Allow", places);
    let rules = vec![
        allow("in-0", 200, ["10.224.0.0/16", "10.224.0.0/16"]),
        allow("in-1", 201, ["10.224.0.0/16", "10.244.0.0/18"]),
        allow("in-2", 3999, ["10.244.0.0/18", "10.244.0.0/18"]),
        rule("deny-rest-in", 4000, "Inbound", "Deny", ["*", "*"]),
    ];
    let findings = of_nodes(rules, &own_routes());
    assert_eq!(findings.blockers.len(), 1, "{findings:?}");
    let blocker = &findings.blockers[0];
    assert_eq!(
        blocker.message,
        "rule deny-rest-in of security group corp-nsg denies 10.50.1.0/24, 10.244.64.0/18 → 10.224.0.0/16, \
         10.244.0.0/16 (inbound)"
    );
    assert_eq!(
        blocker.hint,
        "az network nsg rule create --resource-group corp-rg --nsg-name corp-nsg --name stargate-pods-inbound \
         --priority 3998 --direction Inbound --access Allow --protocol '*' --source-address-prefixes 10.50.1.0/24 \
         10.244.64.0/18 --source-port-ranges '*' --destination-address-prefixes 10.224.0.0/16 10.244.0.0/16 \
         --destination-port-ranges '*'"
    );
}

#[test]
fn a_part_of_a_prefix_is_enough_to_be_named() {
    let rules = vec![rule("block", 300, "Outbound", "Deny", ["*", "10.244.65.7"])];
    let findings = of_nodes(rules, &own_routes());
    assert_eq!(findings.blockers.len(), 1, "{findings:?}");
    assert!(findings.blockers[0].message.starts_with("rule block of security group corp-nsg denies"));
}

#[test]
fn a_rule_for_ports_is_a_warning_and_one_for_a_protocol_is_not() {
    let mut ports = rule("no-smb", 300, "Inbound", "Deny", ["*", "*"]);
    ports["destination_ports"] = json!(["445", "137-139"]);
    let findings = of_nodes(vec![ports], &own_routes());
    assert!(findings.blockers.is_empty());
    assert!(findings.warnings[0].ends_with("(inbound), ports 445, 137-139"), "{findings:?}");
    let mut udp = rule("no-udp", 300, "Inbound", "Deny", ["VirtualNetwork", "*"]);
    udp["protocol"] = json!("Udp");
    let findings = of_nodes(vec![udp], &own_routes());
    assert!(findings.blockers[0].message.ends_with("(inbound, UDP only)"), "{findings:?}");
}

#[test]
fn members_of_application_groups_are_machines() {
    let mut by_application = rule("members", 200, "Inbound", "Allow", ["*", "*"]);
    by_application["by_application"] = json!(true);
    let rest = rule("deny-rest-in", 4000, "Inbound", "Deny", ["*", "*"]);
    let findings = of_nodes(vec![by_application, rest], &own_routes());
    let message = &findings.blockers[0].message;
    assert!(message.contains("denies 10.244.64.0/18 → 10.244.0.0/16"), "{message}");
}

#[test]
fn a_group_of_the_router_is_judged_in_the_other_direction() {
    let entries = entries();
    let deny = rule("deny", 300, "Inbound", "Deny", ["10.244.64.0/18", "*"]);
    let subnet = |address: &str| -> SubnetFacts {
        let rules: Vec<Value> = [deny.clone()].into_iter().chain(defaults()).collect();
        let group =
            json!({"name": "nsg", "resource_group": "rg", "of_subnet": false, "addresses": [address], "rules": rules});
        let network = ["10.50.0.0/16", "10.224.0.0/12", "10.237.0.0/24", "10.244.0.0/16"];
        serde_json::from_value(json!({"name": "dc", "network": network, "security_groups": [group]})).unwrap()
    };
    let path = &entries.paths.dc["dc"];
    // Packets from the local pods enter the router's interface, and those of other workers a
    // worker's.
    let blocked = |address| subnet_findings(&subnet(address), path, &[]).blockers.len();
    assert_eq!((blocked("10.50.1.4"), blocked("10.50.1.5")), (1, 1));
    let path = &entries.paths.router;
    let facts = |address| subnet_findings(&subnet(address), path, &[]).blockers.len();
    assert_eq!(facts("10.237.0.4"), 0, "remote pods come out of the tunnel, not in through the interface");
}

#[test]
fn a_narrower_route_is_named_and_a_wider_one_is_not() {
    let with = |prefix: &str, hop_type: &str, hop: &str| {
        let mut routes = own_routes();
        let route = json!({"name": "quarantine", "prefix": prefix, "next_hop_type": hop_type, "next_hop_ip": hop});
        routes.as_array_mut().unwrap().push(route);
        of_nodes(vec![], &routes).blockers
    };
    let blockers = with("10.244.64.0/25", "VirtualAppliance", "10.228.250.4");
    assert_eq!(
        blockers[0].message,
        "route quarantine of route table corp-rt sends 10.244.64.0/25 to 10.228.250.4: it is narrower than \
         10.244.64.0/24, which goes to 10.237.0.4"
    );
    assert_eq!(
        blockers[0].hint,
        "az network route-table route delete --resource-group hub-rg --route-table-name corp-rt --name quarantine"
    );
    assert_eq!(with("10.50.1.128/25", "None", "").len(), 1);
    assert_eq!(with("0.0.0.0/0", "VirtualAppliance", "10.228.250.4"), []);
    assert_eq!(with("10.244.64.0/25", "VirtualAppliance", "10.237.0.4"), [], "it goes the same way");
    assert_eq!(with("10.99.0.0/16", "VirtualAppliance", "10.228.250.4"), []);
}

fn tailnet(prefix: &str, connected: bool, enabled: &[&str]) -> Findings {
    let device = json!({"node_id": "nOld", "name": "old.example.ts.net", "connected": connected, "advertised": [prefix],
        "enabled": enabled});
    let own = json!({"node_id": "nRouter", "name": "r", "connected": true, "advertised": ["10.244.64.0/24"],
        "enabled": ["10.244.64.0/24"]});
    let router = json!({"node_id": "nRouter", "recorded": ["10.244.64.0/24"]});
    let facts = json!({"devices": [device, own], "routers": [router], "advertise": entries().advertise});
    tailnet_findings(&serde_json::from_value::<TailnetFacts>(facts).unwrap())
}

#[test]
fn a_narrower_route_of_another_cluster_is_named_with_the_cluster() {
    let mut routes = own_routes();
    routes.as_array_mut().unwrap().push(json!({"name": "stargate-other-10.244.64.0-25", "prefix": "10.244.64.0/25",
        "next_hop_type": "VirtualAppliance", "next_hop_ip": "10.230.0.4", "managed": false, "other_cluster": "other"}));
    let findings = of_nodes(vec![], &routes);
    assert_eq!(findings.blockers.len(), 1, "{findings:?}");
    let blocker = &findings.blockers[0];
    let start = "route stargate-other-10.244.64.0-25 of cluster other of route table corp-rt sends 10.244.64.0/25 to 10.230.0.4";
    assert!(blocker.message.starts_with(start), "{blocker}");
    assert!(blocker.hint.contains("give the site of one of them other prefixes"), "{blocker}");
}

#[test]
fn a_narrower_route_of_another_device_is_named_even_if_it_is_offline() {
    let narrow = "10.244.64.0/25";
    let findings = tailnet(narrow, false, &[narrow, "192.168.7.0/24"]);
    assert_eq!(
        findings.blockers[0].message,
        "device old.example.ts.net (nOld, offline) has the approved route 10.244.64.0/25, narrower than 10.244.64.0/24 \
         of a router"
    );
    assert!(findings.blockers[0].hint.ends_with("device/nOld/routes -d '{\"routes\": [\"192.168.7.0/24\"]}'"));
    assert_eq!(tailnet(narrow, false, &[]), Findings::default(), "it is not approved");
    assert_eq!(tailnet("10.0.0.0/8", false, &["10.0.0.0/8"]), Findings::default(), "it is wider");
    let equal = tailnet("10.244.64.0/24", false, &["10.244.64.0/24"]);
    assert_eq!((equal.blockers.len(), equal.warnings.len()), (0, 1), "a connected device serves it");
    assert_eq!(tailnet("10.244.64.0/24", true, &["10.244.64.0/24"]).blockers.len(), 1);
}

#[test]
fn routes_of_a_router_that_are_not_recorded_are_named_and_stay() {
    let device = |id: &str, route: &str| json!({"node_id": id, "name": "gw.example.ts.net", "connected": true, "advertised": [route], "enabled": [route]});
    let findings = |recorded: &[&str]| {
        let router = json!({"node_id": "n2", "former": [{"node_id": "n1", "routes": []}], "recorded": recorded});
        let devices = [device("n1", "10.244.64.0/25"), device("n2", "192.168.77.0/24")];
        let facts = json!({"devices": devices, "routers": [router], "advertise": entries().advertise});
        tailnet_findings(&serde_json::from_value::<TailnetFacts>(facts).unwrap())
    };
    assert_eq!(findings(&["192.168.77.0/24"]), Findings::default(), "routes of a former device are withdrawn");
    let expected =
        "router gw.example.ts.net has the approved route 192.168.77.0/24, which this deployment did not add: it stays";
    assert_eq!(findings(&[]).warnings, [expected]);
}

/// A rule as the property test has it: prefixes, protocol and ports.
type PlainRule = (Ipv4Net, Ipv4Net, Option<&'static str>, (u16, u16), bool);

fn plain_rule() -> impl Strategy<Value = PlainRule> {
    let places = [
        "0.0.0.0/0",
        "10.244.0.0/16",
        "10.244.64.0/18",
        "10.244.64.0/24",
        "10.244.64.64/26",
        "10.244.1.0/25",
        "10.50.1.0/24",
        "10.224.0.0/16",
        "10.224.0.4/32",
        "10.244.65.9/32",
    ];
    let place = || prop::sample::select(places.to_vec()).prop_map(net);
    let protocol = prop::sample::select(vec![None, Some("Tcp"), Some("Udp"), Some("Icmp")]);
    let ports = prop::sample::select(vec![(0, u16::MAX), (80, 80), (1000, 2000), (443, u16::MAX)]);
    (place(), place(), protocol, ports, any::<bool>())
}

/// Index of the rule that decides about a packet; `None` for the default rules.
fn deciding(rules: &[PlainRule], source: Ipv4Addr, destination: Ipv4Addr, protocol: &str, port: u16) -> Option<usize> {
    rules.iter().position(|(from, to, own, (first, last), _)| {
        from.contains(&source)
            && to.contains(&destination)
            && own.is_none_or(|own| own == protocol)
            && (protocol == "Icmp" || (*first..=*last).contains(&port))
    })
}

proptest! {
    /// Whatever the rules are: one that drops a packet of the path is named, and a named one does.
    #[test]
    fn exactly_the_rules_that_drop_packets_are_named(rules in prop::collection::vec(plain_rule(), 0..7)) {
        let json = rules.iter().enumerate().map(|(at, (from, to, protocol, (first, last), allows))| {
            let access = if *allows { "Allow" } else { "Deny" };
            let priority = 100 + u32::try_from(at).unwrap();
            let mut rule = rule(&format!("r{at}"), priority, "Inbound", access, [&from.to_string(), &to.to_string()]);
            rule["protocol"] = json!(protocol.unwrap_or("*"));
            rule["destination_ports"] = json!([format!("{first}-{last}")]);
            rule
        });
        let findings = of_nodes(json.collect(), &own_routes());
        let said: Vec<String> = findings.blockers.iter().map(|it| it.message.clone()).chain(findings.warnings).collect();
        let named = |at: usize| said.iter().any(|text| text.starts_with(&format!("rule r{at} ")));
        let hosts = |prefixes: &[&str]| -> Vec<Ipv4Addr> {
            // Addresses at both sides of each boundary.
            let offsets = [0, 4, 9, 63, 64, 127, 128, 255];
            let of = |text: &&str| offsets.map(|it| Ipv4Addr::from_bits(net(text).network().to_bits() + it));
            prefixes.iter().flat_map(of).collect()
        };
        let remote = hosts(&["10.50.1.0/24", "10.244.64.0/24", "10.244.65.0/24"]);
        let local = hosts(&["10.224.0.0/24", "10.224.7.0/24", "10.244.0.0/24", "10.244.1.0/24"]);
        let mut dropping = std::collections::BTreeSet::new();
        for source in &remote {
            for destination in &local {
                for protocol in ["Tcp", "Udp", "Icmp"] {
                    for port in [1, 79, 80, 81, 443, 999, 1000, 2000, 2001, u16::MAX] {
                        dropping.extend(deciding(&rules, *source, *destination, protocol, port).filter(|at| !rules[*at].4));
                    }
                }
            }
        }
        for at in 0..rules.len() {
            prop_assert_eq!(named(at), dropping.contains(&at), "rule {} of {:?}: {:?}", at, rules, said);
        }
    }
}
