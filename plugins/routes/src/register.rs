use stargate_sdk::Registry;

use crate::action::DesiredCompute;

/// Adds the action `routes.desired.compute`, which has no settings and makes no calls.
pub fn register(registry: &mut Registry) {
    registry.add(DesiredCompute);
}
