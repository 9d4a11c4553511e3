use stargate_sdk::Registry;

use crate::{
    action::DesiredCompute,
    check::{PathCheck, TailnetPathCheck},
};

/// Adds the actions `routes.…`, which have no settings and make no calls.
pub fn register(registry: &mut Registry) {
    registry.add(DesiredCompute);
    registry.add(PathCheck);
    registry.add(TailnetPathCheck);
}
