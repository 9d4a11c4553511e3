use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, FailureKind, Preview, Recovery, RequiredPermissions};

use crate::{
    Host, command::RemoteCommand, connect_failure::PERMISSION_DENIED, pause::Pause, pool::Pool, remote::Remote,
};

/// How long a host may refuse the user: cloud-init makes the account a minute or two after the port is open.
const LOGIN_PATIENCE: Duration = Duration::from_mins(5);
/// sshd shuts out whoever fails to log in more often than every five seconds.
const FIRST_LOGIN_PAUSE: Duration = Duration::from_secs(6);
const LONGEST_LOGIN_PAUSE: Duration = Duration::from_secs(30);

/// Which host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReachableInput {
    /// The host.
    pub host: Host,
}

/// What answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReachableOutput {
    /// Its own name.
    pub hostname: String,
    /// Changes with every boot.
    pub boot_id: String,
    /// Release of its kernel.
    pub kernel: String,
}

/// Waits until a host lets the user in.
pub(crate) struct HostReachable {
    pool: Arc<Pool>,
}

impl HostReachable {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for HostReachable {}

impl Action for HostReachable {
    type Input = ReachableInput;
    type Output = ReachableOutput;
    const NAME: &'static str = "ssh.host.reachable";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a host with the pinned key lets the user in.";

    async fn run(&self, cx: &ActionContext, input: &ReachableInput) -> Result<ReachableOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let mut port_pause = Pause::new(Duration::from_millis(500), Duration::from_secs(5));
        let mut login_pause = Pause::new(FIRST_LOGIN_PAUSE, LONGEST_LOGIN_PAUSE);
        let mut first_refusal = None;
        loop {
            let error = match probe(&remote).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            if error.code.as_deref() == Some(PERMISSION_DENIED) {
                let since = *first_refusal.get_or_insert_with(|| cx.elapsed());
                if cx.elapsed() > since + LOGIN_PATIENCE {
                    return Err(error);
                }
                login_pause.after_failure(cx, error).await?;
            } else if error.kind == FailureKind::Transient {
                port_pause.after_failure(cx, error).await?;
            } else {
                return Err(error);
            }
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &ReachableInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

async fn probe(remote: &Remote<'_>) -> Result<ReachableOutput, ActionError> {
    let line =
        async |command: RemoteCommand| remote.succeed(&command).await.map(|outcome| outcome.stdout.trim().to_owned());
    Ok(ReachableOutput {
        hostname: line(RemoteCommand::read("uname").args(["-n"])).await?,
        boot_id: line(RemoteCommand::read("cat").args(["/proc/sys/kernel/random/boot_id"])).await?,
        kernel: line(RemoteCommand::read("uname").args(["-r"])).await?,
    })
}
