use proptest::prelude::*;
use stargate_routes::{Facts, SiteFabric as Fabric, Strategy as Announced};
use stargate_sim::dataplane::Plane;

use crate::deployment::{Deployment, everybody, facts};

fn topologies() -> impl Strategy<Value = Facts> {
    let fabric = prop_oneof![Just(Fabric::Azure), Just(Fabric::L2)];
    let strategy = prop_oneof![Just(Announced::PerNode), Just(Announced::PerSite)];
    let sites = proptest::collection::vec((0_u8..=4, fabric), 1..=3);
    (1_u8..=4, sites, strategy, any::<bool>()).prop_map(|(nodes, sites, strategy, adopted)| {
        let mut facts = facts(nodes, &sites, strategy);
        // A worker that has its block from before there was a site's.
        let worker = facts.sites.iter_mut().find_map(|site| site.workers.last_mut()).filter(|_| adopted);
        if let Some(worker) = worker {
            worker.pod_cidr = Some("10.244.55.0/24".parse().expect("a prefix"));
        }
        facts
    })
}

fn check(facts: Facts) -> Result<(), TestCaseError> {
    let whole = Deployment::of(facts);
    let plane = Plane::of(&whole.world());
    let everybody = everybody(&plane);
    let machines: usize = whole.facts.sites.iter().map(|site| 1 + site.workers.len()).sum();
    prop_assert_eq!(plane.machines().len(), 1 + whole.facts.aks.nodes.len() + machines);
    prop_assert_eq!(plane.first_dead(&everybody), None, "with every entry");
    for entry in whole.entries.clone() {
        let rest = whole.clone().without(|other| *other == entry);
        let dead = Plane::of(&rest.world()).first_dead(&everybody);
        prop_assert!(dead.is_some(), "{:?} is superfluous", entry);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// With every desired entry, every endpoint reaches every other one in both directions. Without
    /// any one of them, one pair is dead.
    #[test]
    fn the_desired_entries_are_exactly_those_that_are_needed(facts in topologies()) {
        check(facts)?;
    }
}
