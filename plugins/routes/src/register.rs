use stargate_sdk::Registry;

use crate::action::DesiredCompute;

/// Adds `routes.desired.compute`. It needs no settings and makes no calls.
pub fn register(registry: &mut Registry) {
    registry.add(DesiredCompute);
}
