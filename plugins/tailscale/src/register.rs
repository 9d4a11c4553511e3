use std::sync::Arc;

use stargate_sdk::{Ensure, Registry, Secrets};

use crate::{
    TailscaleSettings, TailscaleSettingsError,
    actions::{AccessInspect, DeviceDelete, DeviceWait, DevicesList, RoutesApprove, RoutesWithdraw},
    auth_key::AuthKeySource,
    checks::{CredentialCheck, TailnetCheck},
    client::TailscaleClient,
    tailnet_target::{TARGET, TailnetTarget},
};

/// Variables in which the tools of Tailscale keep secrets.
const SECRET_VARIABLES: &[&str] = &[
    "TAILSCALE_CLIENT_SECRET",
    "TAILSCALE_OAUTH_CLIENT_SECRET",
    "TAILSCALE_API_KEY",
    "TAILSCALE_AUTHKEY",
    "TS_CLIENT_SECRET",
    "TS_API_CLIENT_SECRET",
    "TS_API_KEY",
    "TS_AUTHKEY",
    "TS_AUTH_KEY",
];

/// Adds the `tailscale.*` actions and checks, the tailnet as their target, and the secret source
/// `tailscale-auth-key:`. Makes no request.
///
/// # Errors
/// If the endpoint is not an HTTP URL or TLS cannot be set up; nothing has been added then.
pub fn register(
    registry: &mut Registry,
    secrets: &mut Secrets,
    settings: TailscaleSettings,
) -> Result<(), TailscaleSettingsError> {
    let client = Arc::new(TailscaleClient::new(settings)?);
    secrets.reserve_variables(SECRET_VARIABLES);
    secrets.add(Arc::new(AuthKeySource::new(Arc::clone(&client))));
    registry.add_check(CredentialCheck(Arc::clone(&client)));
    registry.add_check(TailnetCheck(Arc::clone(&client)));
    registry.add_target(TailnetTarget(Arc::clone(&client)));
    registry.add_for_target(TARGET, |actions| {
        actions.add(AccessInspect::new(Arc::clone(&client)));
        actions.add(DevicesList::new(Arc::clone(&client)));
        actions.add(DeviceDelete::new(Arc::clone(&client)));
        actions.add(DeviceWait::new(Arc::clone(&client)));
        actions.add(Ensure(RoutesApprove::new(Arc::clone(&client))));
        actions.add(Ensure(RoutesWithdraw::new(client)));
    });
    Ok(())
}
