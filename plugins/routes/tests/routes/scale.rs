use stargate_routes::{SiteFabric, compute};

use crate::facts::large;

#[test]
fn three_hundred_workers_in_three_sites_need_six_routes_at_the_cluster() {
    let desired = compute(&large(2, 3, 100)).unwrap();
    assert_eq!(desired.aks_routes.len(), 6);
    assert_eq!(desired.warnings, Vec::<String>::new());
}

/// A run stores the entries, and compares them with those of a second read: those of a thousand
/// nodes must stay below a megabyte.
#[test]
fn a_thousand_nodes_have_an_entry_each() {
    let desired = compute(&large(500, 2, 250)).unwrap();
    assert_eq!(desired.cilium.len(), 1000);
}

#[test]
fn entries_grow_with_the_nodes_and_not_with_their_square() {
    let size = |workers| {
        let mut facts = large(100, 3, workers);
        facts.sites.iter_mut().for_each(|site| site.fabric = SiteFabric::L2);
        serde_json::to_vec(&compute(&facts).unwrap()).unwrap().len()
    };
    let (some, double) = (size(100), size(200));
    assert!(double < 2 * some, "{some} bytes, {double} with twice as many workers");
}

#[test]
fn a_table_near_its_limit_is_reported() {
    let desired = compute(&large(330, 1, 1)).unwrap();
    let warnings = [
        "the table of the AKS router's subnet needs 330 of the 400 routes that a table holds",
        "the table of site dc-0 needs 333 of the 400 routes that a table holds",
    ];
    assert_eq!(desired.warnings, warnings);
}
