use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{Backoff, WaitState, Waiter};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::{ConnectionPool, Remote, RemoteCommand},
    operations::{
        tailscale_status::{self, TailscaleSelf, TailscaleStatus},
        unit::{self, SystemdUnitState},
    },
};

/// Unit of tailscaled, as all packages of Tailscale name it.
const UNIT: &str = "tailscaled.service";
/// A tailscaled that has its login connects within seconds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
const LOGIN_HINT: &str = "create an auth key and run `sudo tailscale up --force-reauth --auth-key=KEY` on the host; if it \
                          is another device then, run the workflow that created the router again";

/// Desired connection of a host to its tailnet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailscaleConnectionInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Stable node id of the device that the host must be.
    pub node_id: String,
}

/// Connection of a host to its tailnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TailscaleConnectionOutput {
    /// Stable node id of the host.
    pub node_id: String,
    /// Version of tailscaled.
    pub version: String,
}

/// Action `ssh.tailscale.connection`: makes tailscaled run, start at boot, and be connected.
///
/// The login is never changed: a host that is logged out, or is another device, is an error.
pub(crate) struct TailscaleConnection {
    pool: Arc<ConnectionPool>,
}

pub(crate) struct ActualConnection {
    unit: SystemdUnitState,
    /// Status of tailscaled; `None` if it does not run.
    status: Option<TailscaleStatus>,
}

impl TailscaleConnection {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscaleConnection {}

impl Resource for TailscaleConnection {
    type Desired = TailscaleConnectionInput;
    type Actual = ActualConnection;
    type Output = TailscaleConnectionOutput;
    const NAME: &'static str = "ssh.tailscale.connection";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Makes sure that tailscaled runs, starts at boot, and is connected as a known device.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &TailscaleConnectionInput,
    ) -> Result<Option<ActualConnection>, ActionError> {
        let remote = self.pool.remote(cx, &desired.host)?;
        let unit = unit::read(&remote, UNIT).await?;
        let status = if unit.active == "active" { Some(tailscale_status::read(&remote).await?) } else { None };
        Ok(Some(ActualConnection { unit, status }))
    }

    fn diff(
        &self,
        desired: &TailscaleConnectionInput,
        actual: Option<&ActualConnection>,
    ) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(Vec::new()) };
        let host = |e: ActionError| e.context(format_args!("host {}", desired.host));
        let at_boot = at_boot(&actual.unit).map_err(host)?;
        let now = Difference::between("tailscaled now", actual.unit.active.as_str(), "active");
        let connection = match &actual.status {
            Some(status) => connection(desired, status).map_err(host)?,
            None => None,
        };
        Ok([at_boot, now, connection].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &TailscaleConnectionInput,
        actual: Option<&ActualConnection>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        if at_boot(&actual.unit)?.is_some() {
            unit::control(&remote, "enable", UNIT).await?;
        }
        if actual.unit.active == "failed" {
            unit::control(&remote, "reset-failed", UNIT).await?;
        }
        if actual.unit.active != "active" {
            unit::control(&remote, "start", UNIT).await?;
            unit::wait_until_active(cx, &remote, UNIT).await?;
        }
        if settled(cx, &remote).await?.backend_state == "Stopped" {
            // Without flags it keeps all preferences, and the login needs no key.
            remote.succeed(&RemoteCommand::change("tailscale").args(["up"])).await?;
            settled(cx, &remote).await?;
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &TailscaleConnectionInput,
        actual: &ActualConnection,
    ) -> Result<TailscaleConnectionOutput, ActionError> {
        let version = actual.status.as_ref().map(|status| status.version.clone()).unwrap_or_default();
        Ok(TailscaleConnectionOutput { node_id: desired.node_id.clone(), version })
    }
}

/// Polls until tailscaled has started: its state is then one in which it stays.
async fn settled(cx: &ActionContext, remote: &Remote<'_>) -> Result<TailscaleStatus, ActionError> {
    let read = || async {
        let status = tailscale_status::read(remote).await?;
        Ok(match status.backend_state.as_str() {
            "NoState" | "Starting" => WaitState::pending(format!("tailscale is {}", status.backend_state)),
            _ => WaitState::Ready(status),
        })
    };
    Waiter::new(cx, BACKOFF).with_hint("see `journalctl -u tailscaled` on the host").poll(read).await
}

/// Difference of the unit's state at boot.
///
/// # Errors
/// `Permanent` if the unit does not exist or is masked.
fn at_boot(unit: &SystemdUnitState) -> Result<Option<Difference>, ActionError> {
    match unit.file_state.as_str() {
        "" => Err(ActionError::permanent("tailscaled is not installed")
            .with_hint("run the workflow that created the router again, which installs it")),
        state if state.starts_with("masked") => Err(ActionError::permanent("tailscaled is masked, so it cannot start")
            .with_hint("run `sudo systemctl unmask tailscaled` on the host")),
        "enabled" | "static" | "indirect" | "generated" | "alias" => Ok(None),
        other => Ok(Some(Difference::new("tailscaled at boot", other, "enabled"))),
    }
}

/// Difference of the connection of a tailscaled that runs.
///
/// # Errors
/// `Permanent` if the host is not logged in, is another device, or waits for the tailnet's
/// administrator.
fn connection(desired: &TailscaleConnectionInput, status: &TailscaleStatus) -> Result<Option<Difference>, ActionError> {
    let node = status.node.as_ref();
    match status.backend_state.as_str() {
        "NeedsLogin" => Err(login_error(desired, node)),
        "NeedsMachineAuth" => Err(ActionError::permanent(format!(
            "device {} waits for the approval of the tailnet's administrator",
            desired.node_id
        ))
        .with_hint("approve the machine in the admin console")),
        _ if node.is_some_and(|node| !node.id.is_empty() && node.id != desired.node_id) => {
            Err(other_device_error(desired, node.map_or("", |node| &node.id)))
        }
        state => Ok(Difference::between("tailscale", state, "Running")),
    }
}

fn login_error(desired: &TailscaleConnectionInput, node: Option<&TailscaleSelf>) -> ActionError {
    let has_expired = node.is_some_and(|node| node.expired);
    let message = if has_expired { "its node key has expired" } else { "it is logged out of the tailnet" };
    ActionError::permanent(format!("tailscale as device {}: {message}", desired.node_id)).with_hint(LOGIN_HINT)
}

fn other_device_error(desired: &TailscaleConnectionInput, actual: &str) -> ActionError {
    let recorded = &desired.node_id;
    ActionError::permanent(format!("tailscale is logged in as device {actual}, and {recorded} is recorded for it"))
        .with_hint("run the workflow that created the router again: it records the device and approves its routes")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn desired() -> TailscaleConnectionInput {
        let host = json!({"address": "h", "user": "u", "host_key": "k"});
        serde_json::from_value(json!({"host": host, "node_id": "n1"})).expect("input")
    }

    /// The difference of the connection, or the error, as text.
    fn judged(state: &str, node: &serde_json::Value) -> String {
        let status = serde_json::from_value(json!({"BackendState": state, "Self": node})).expect("status");
        match connection(&desired(), &status) {
            Ok(difference) => difference.map(|it| it.to_string()).unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_a_login_is_not_repaired() {
        let own = json!({"ID": "n1"});
        assert_eq!(judged("Running", &own), "");
        assert_eq!(judged("Stopped", &own), "~ tailscale: Stopped -> Running");
        assert_eq!(judged("Stopped", &json!({"ID": ""})), "~ tailscale: Stopped -> Running");
        assert_eq!(judged("Starting", &own), "~ tailscale: Starting -> Running");
        assert!(judged("Running", &json!({"ID": "n2"})).contains("device n2, and n1 is recorded"));
        assert!(judged("NeedsLogin", &json!({"ID": ""})).contains("logged out"));
        assert!(judged("NeedsLogin", &json!({"ID": "n1", "Expired": true})).contains("node key has expired"));
        assert!(judged("NeedsMachineAuth", &own).contains("approval"));
    }

    #[test]
    fn a_unit_that_cannot_be_enabled_is_an_error() {
        let unit = |state: &str| SystemdUnitState { file_state: state.into(), ..SystemdUnitState::default() };
        assert_eq!(at_boot(&unit("enabled")).expect("as desired"), None);
        assert!(at_boot(&unit("disabled")).expect("a difference").is_some());
        assert!(at_boot(&unit("")).expect_err("no unit").to_string().contains("not installed"));
        assert!(at_boot(&unit("masked")).expect_err("masked").to_string().contains("masked"));
    }
}
