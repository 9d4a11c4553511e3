use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use proptest::prelude::*;
use stargate_routes::{Allocated, AllocationError, Pool, allocate};

use crate::facts::net;

type Blocks = BTreeMap<String, Ipv4Net>;

fn pool() -> Pool {
    Pool { site: "dc".into(), block: net("10.244.64.0/18"), prefix_length: 24 }
}

fn blocks(pairs: &[(&str, &str)]) -> Blocks {
    pairs.iter().map(|(name, block)| ((*name).to_owned(), net(block))).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn ask(recorded: &Blocks, nodes: &[&str]) -> Result<Allocated, AllocationError> {
    allocate(&pool(), recorded, &Blocks::new(), &[], &names(nodes))
}

#[test]
fn the_lowest_free_block_is_given_and_kept() {
    let first = ask(&Blocks::new(), &["b", "a"]).unwrap();
    assert_eq!(first.allocations, blocks(&[("b", "10.244.64.0/24"), ("a", "10.244.65.0/24")]));
    assert_eq!((first.record.clone(), first.room), (first.allocations, 62));
    let gone = ask(&first.record, &["c", "a"]).unwrap();
    assert_eq!(gone.allocations, blocks(&[("a", "10.244.65.0/24"), ("c", "10.244.66.0/24")]), "b's stays b's");
    let mut released = first.record;
    released.remove("b");
    assert_eq!(ask(&released, &["c"]).unwrap().allocations, blocks(&[("c", "10.244.64.0/24")]));
}

#[test]
fn blocks_of_the_old_formula_are_adopted() {
    let adopt = blocks(&[("worker-1", "10.244.65.0/24"), ("worker-2", "10.244.56.0/24")]);
    let done =
        allocate(&pool(), &Blocks::new(), &adopt, &[], &names(&["worker-3", "worker-1", "worker-2", "w4"])).unwrap();
    let expected = [
        ("w4", "10.244.66.0/24"),
        ("worker-1", "10.244.65.0/24"),
        ("worker-2", "10.244.56.0/24"),
        ("worker-3", "10.244.64.0/24"),
    ];
    assert_eq!(done.allocations, blocks(&expected));
}

#[test]
fn a_node_that_runs_with_another_block_than_the_recorded_is_told() {
    let (recorded, adopt) = (blocks(&[("a", "10.244.64.0/24")]), blocks(&[("a", "10.244.65.0/24")]));
    let error = allocate(&pool(), &recorded, &adopt, &[], &[]).expect_err("moved");
    assert_eq!(error.to_string(), "a is recorded with pod block 10.244.64.0/24 but runs with 10.244.65.0/24");
}

#[test]
fn a_collision_names_both_owners() {
    let taken = [(net("10.244.64.0/20"), "AKS node aks-7".to_owned())];
    let error =
        allocate(&pool(), &blocks(&[("a", "10.244.65.0/24")]), &Blocks::new(), &taken, &[]).expect_err("collision");
    assert_eq!(error.to_string(), "pod block 10.244.64.0/20 of AKS node aks-7 overlaps 10.244.65.0/24 of a");
}

#[test]
fn what_others_have_is_passed_over_whatever_its_size() {
    let taken = [
        (net("10.244.64.0/23"), "x".to_owned()),
        (net("10.244.66.128/25"), "y".to_owned()),
        (net("10.0.0.0/16"), "z".to_owned()),
        (net("10.244.68.0/24"), "v".to_owned()),
    ];
    let done = allocate(&pool(), &Blocks::new(), &Blocks::new(), &taken, &names(&["a", "b"])).unwrap();
    assert_eq!(done.allocations, blocks(&[("a", "10.244.67.0/24"), ("b", "10.244.69.0/24")]));
}

#[test]
fn a_full_site_is_told_with_who_gets_nothing() {
    let small = Pool { block: net("10.244.64.0/23"), ..pool() };
    let error = allocate(&small, &Blocks::new(), &Blocks::new(), &[], &names(&["a", "b", "c"])).expect_err("full");
    assert_eq!(error.to_string(), "pod block of site dc, 10.244.64.0/23, has no free /24 for c");
}

#[test]
fn prefixes_that_make_no_sense_are_refused() {
    let error =
        |pool: Pool| allocate(&pool, &Blocks::new(), &Blocks::new(), &[], &[]).expect_err("refused").to_string();
    assert_eq!(
        error(Pool { prefix_length: 17, ..pool() }),
        "/17 is no part of the pod block of site dc, 10.244.64.0/18"
    );
    let bits = error(Pool { block: net("10.244.64.1/18"), ..pool() });
    assert_eq!(bits, "pod block 10.244.64.1/18 of site dc has host bits set; the prefix is 10.244.64.0/18");
}

proptest! {
    /// Whatever joins in whatever order, nobody shares a block and nobody's block changes.
    #[test]
    fn allocations_stay_apart_and_stay(waves in proptest::collection::vec(proptest::collection::vec(0_u8..60, 0..8), 1..12)) {
        let mut record = Blocks::new();
        for wave in waves {
            let nodes: Vec<String> = wave.iter().map(|number| format!("n{number}")).collect();
            let done = allocate(&pool(), &record, &Blocks::new(), &[], &nodes).unwrap();
            for (node, block) in &record {
                prop_assert_eq!(done.record.get(node), Some(block));
            }
            let distinct: BTreeSet<_> = done.record.values().collect();
            prop_assert_eq!(distinct.len(), done.record.len());
            prop_assert_eq!(done.room, 64 - done.record.len());
            record = done.record;
        }
    }
}
