use std::{net::IpAddr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{Backoff, WaitState, Waiter};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::{ConnectionPool, NOT_INSTALLED},
    operations::tailscale_status::{self, TailscaleSelf, TailscaleStatus},
};

/// Time after which a host that is not logged in is an error: with a valid auth key it logs in
/// within seconds.
const LOGIN_TIMEOUT: Duration = Duration::from_mins(1);
/// A host with a valid auth key joins within seconds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
const LOG_HINT: &str =
    "/var/log/cloud-init-output.log on the host has the output of `tailscale up`; its auth key may be used or expired";

/// The host to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailscaleIdentityInput {
    /// Host to connect to.
    pub host: SshHost,
}

/// Identity of a host in its tailnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TailscaleIdentityOutput {
    /// Stable node id of the host.
    pub node_id: String,
    /// Host name that the host reports.
    pub hostname: String,
    /// IPv4 address in the tailnet.
    pub ipv4: String,
    /// IPv6 address in the tailnet, if it has one.
    pub ipv6: Option<String>,
    /// All addresses in the tailnet.
    pub addresses: Vec<String>,
    /// Version of tailscaled.
    pub version: String,
    /// State of tailscaled: `Running`.
    pub backend_state: String,
}

/// Action `ssh.tailscale.identity`: waits until a host has joined its tailnet, and reads its
/// identity.
pub(crate) struct TailscaleIdentity {
    pool: Arc<ConnectionPool>,
}

impl TailscaleIdentity {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscaleIdentity {}

impl Action for TailscaleIdentity {
    type Input = TailscaleIdentityInput;
    type Output = TailscaleIdentityOutput;
    const NAME: &'static str = "ssh.tailscale.identity";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a host has joined its tailnet, and reads its identity there.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &TailscaleIdentityInput,
    ) -> Result<TailscaleIdentityOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let read = || async {
            let status = tailscale_status::read(&remote).await.map_err(with_install_hint)?;
            Ok(match identity(&status) {
                Some(identity) => WaitState::Ready(identity),
                None => WaitState::pending(pending_reason(cx, &status).map_err(|e| remote.context(e))?),
            })
        };
        Waiter::new(cx, BACKOFF).with_hint(LOG_HINT).poll(read).await
    }

    async fn preview(&self, cx: &ActionContext, input: &TailscaleIdentityInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

fn with_install_hint(error: ActionError) -> ActionError {
    if error.code.as_deref() == Some(NOT_INSTALLED) { error.with_hint(LOG_HINT) } else { error }
}

/// Reason for which the host has not joined, or the error if waiting cannot help.
fn pending_reason(cx: &ActionContext, status: &TailscaleStatus) -> Result<String, ActionError> {
    let health = status.health.join("; ");
    let detail = if health.is_empty() { String::new() } else { format!(": {health}") };
    match status.backend_state.as_str() {
        "NeedsLogin" | "Stopped" if cx.elapsed() > LOGIN_TIMEOUT => {
            Err(ActionError::permanent(format!("tailscale is not logged in ({}){detail}", status.backend_state))
                .with_hint(LOG_HINT))
        }
        "NeedsMachineAuth" => Ok("tailscale is waiting until the machine is authorised in the tailnet".into()),
        other => Ok(format!("tailscale is {other}{detail}")),
    }
}

fn identity(status: &TailscaleStatus) -> Option<TailscaleIdentityOutput> {
    let node = status.node.as_ref().filter(|node| status.backend_state == "Running" && !node.id.is_empty())?;
    Some(TailscaleIdentityOutput {
        node_id: node.id.clone(),
        hostname: node.hostname.clone(),
        ipv4: address(node, IpAddr::is_ipv4)?,
        ipv6: address(node, IpAddr::is_ipv6),
        addresses: node.addresses.clone(),
        version: status.version.clone(),
        backend_state: status.backend_state.clone(),
    })
}

fn address(node: &TailscaleSelf, is_of_family: fn(&IpAddr) -> bool) -> Option<String> {
    node.addresses.iter().find(|text| text.parse().is_ok_and(|address| is_of_family(&address))).cloned()
}
