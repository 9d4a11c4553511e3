use stargate_sdk::Registry;

use crate::{
    ArmSettings, SettingsError,
    actions::add_actions,
    checks::{ClockCheck, CredentialCheck, PermissionsCheck, SubscriptionCheck},
    client::ArmClient,
};

/// Adds each `azure.…` action and check to `registry`.
///
/// No request is sent yet; the first one obtains a token.
///
/// # Errors
/// If the settings are not valid, or the certificate file cannot be read; then nothing is added.
pub fn register(registry: &mut Registry, settings: ArmSettings) -> Result<(), SettingsError> {
    let arm = ArmClient::new(settings)?;
    registry.add_check(CredentialCheck(arm.clone()));
    registry.add_check(SubscriptionCheck(arm.clone()));
    registry.add_check(ClockCheck(arm.clone()));
    registry.add_check(PermissionsCheck(arm.clone()));
    add_actions(registry, &arm);
    Ok(())
}
