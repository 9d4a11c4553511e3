use stargate_sdk::Registry;

use crate::{
    action::DesiredCompute,
    check::{NodesCheck, PathCheck, TailnetPathCheck},
    site_check::SiteCheck,
    trace::TraceAction,
};

/// Adds the actions `routes.…`, which have no settings and make no calls.
pub fn register(registry: &mut Registry) {
    registry.add(DesiredCompute);
    registry.add(NodesCheck);
    registry.add(PathCheck);
    registry.add(SiteCheck);
    registry.add(TailnetPathCheck);
    registry.add(TraceAction);
}
