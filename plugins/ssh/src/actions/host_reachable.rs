use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{Backoff, Waiter};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::{ConnectionPool, PERMISSION_DENIED, Remote, RemoteCommand},
};

/// Time during which refused logins are tolerated: cloud-init creates the account one or two
/// minutes after the port opens.
const LOGIN_TIMEOUT: Duration = Duration::from_mins(5);
/// Delays while nothing listens on the port.
const PORT_BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
/// Shortest delay after a refused login: sshd's `PerSourcePenalties` blocks addresses with a
/// failure every five seconds.
const MIN_LOGIN_DELAY: Duration = Duration::from_secs(6);
/// Delays after refused logins, in addition to [`MIN_LOGIN_DELAY`] as their lower limit.
const LOGIN_BACKOFF: Backoff = Backoff::new(MIN_LOGIN_DELAY, Duration::from_secs(30));

/// The host to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostReachableInput {
    /// Host to connect to.
    pub host: SshHost,
}

/// Host that accepted the login.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HostReachableOutput {
    /// Host name that the host reports.
    pub hostname: String,
    /// Identifier of the boot: each boot has another one.
    pub boot_id: String,
    /// Release of the kernel.
    pub kernel: String,
}

/// Action `ssh.host.reachable`: waits until a host with the pinned key accepts the user's login.
pub(crate) struct HostReachable {
    pool: Arc<ConnectionPool>,
}

impl HostReachable {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for HostReachable {}

impl Action for HostReachable {
    type Input = HostReachableInput;
    type Output = HostReachableOutput;
    const NAME: &'static str = "ssh.host.reachable";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a host with the pinned key accepts the user's login.";

    async fn run(&self, cx: &ActionContext, input: &HostReachableInput) -> Result<HostReachableOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?.ignoring_circuits();
        let (mut port, mut login) = (Waiter::new(cx, PORT_BACKOFF), Waiter::new(cx, LOGIN_BACKOFF));
        let mut first_refusal = None;
        loop {
            let error = match probe(&remote).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            if error.code.as_deref() == Some(PERMISSION_DENIED) {
                let since = *first_refusal.get_or_insert_with(|| cx.elapsed());
                if cx.elapsed() > since + LOGIN_TIMEOUT {
                    return Err(error);
                }
                let hint = error.hint.clone();
                let waited = login.pending(error.message, Some(MIN_LOGIN_DELAY)).await;
                waited.map_err(|e| ActionError { hint, ..e })?;
            } else {
                port.failed(error).await?;
            }
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &HostReachableInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// Logs in and reads the host's identity.
async fn probe(remote: &Remote<'_>) -> Result<HostReachableOutput, ActionError> {
    let line =
        async |command: RemoteCommand| remote.succeed(&command).await.map(|output| output.stdout.trim().to_owned());
    Ok(HostReachableOutput {
        hostname: line(RemoteCommand::read("uname").args(["-n"])).await?,
        boot_id: line(RemoteCommand::read("cat").args(["/proc/sys/kernel/random/boot_id"])).await?,
        kernel: line(RemoteCommand::read("uname").args(["-r"])).await?,
    })
}
