use std::sync::Arc;

use stargate_sdk::{Ensure, Registry, Secrets};

use crate::{
    SettingsError, TailscaleSettings,
    api::Api,
    auth_key::AuthKeySource,
    checks::{Credential, Tailnet},
    device_wait::DeviceWait,
    devices_list::DevicesList,
    routes_approve::RoutesApprove,
};

/// Adds the `tailscale.*` actions and checks, and the secret source `tailscale-auth-key:`.
///
/// Makes no request. Fails when the endpoint is no HTTP URL or TLS cannot be set up.
pub fn register(
    registry: &mut Registry,
    secrets: &mut Secrets,
    settings: TailscaleSettings,
) -> Result<(), SettingsError> {
    let api = Arc::new(Api::new(settings)?);
    secrets.add(Arc::new(AuthKeySource::new(Arc::clone(&api))));
    registry.add_check(Credential(Arc::clone(&api)));
    registry.add_check(Tailnet(Arc::clone(&api)));
    registry.add(DevicesList::new(Arc::clone(&api)));
    registry.add(DeviceWait::new(Arc::clone(&api)));
    registry.add(Ensure(RoutesApprove::new(api)));
    Ok(())
}
