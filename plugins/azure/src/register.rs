use stargate_sdk::Registry;

use crate::{
    ArmSettings, ArmSettingsError,
    actions::add_actions,
    checks::{ArmCredentialCheck, ClockCheck, PermissionsCheck, SubscriptionCheck},
    client::ArmClient,
    subscription_target::{SubscriptionTarget, TARGET},
};

/// Adds each `azure.…` action and check to `registry`, and the subscription as their target.
///
/// No request is sent yet; the first one obtains a token.
///
/// # Errors
/// If the settings are not valid, or the certificate file cannot be read; then nothing is added.
pub fn register(registry: &mut Registry, settings: ArmSettings) -> Result<(), ArmSettingsError> {
    let arm = ArmClient::new(settings)?;
    registry.add_check(ArmCredentialCheck(arm.clone()));
    registry.add_check(SubscriptionCheck(arm.clone()));
    registry.add_check(ClockCheck(arm.clone()));
    registry.add_check(PermissionsCheck(arm.clone()));
    registry.add_for_target(TARGET, |actions| add_actions(actions, &arm));
    registry.add_target(SubscriptionTarget(arm));
    Ok(())
}
