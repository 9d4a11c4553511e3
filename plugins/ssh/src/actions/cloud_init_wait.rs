use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{Backoff, WaitState, Waiter};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::{ConnectionPool, NOT_INSTALLED, SUDO_DENIED},
    operations::cloud_init::{CloudInitStage, CloudInitStatus, status},
};

/// Time during which a refusal of sudo is tolerated: cloud-init creates the account before it
/// permits sudo.
const SUDO_TIMEOUT: Duration = Duration::from_mins(2);
/// cloud-init runs for one or more minutes.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
const LOG_HINT: &str = "see /var/log/cloud-init-output.log on the host";

/// The host to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudInitWaitInput {
    /// Host to connect to.
    pub host: SshHost,
}

/// Final status of cloud-init.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CloudInitWaitOutput {
    /// Status: `done`, or `disabled` on a host that does not use cloud-init.
    pub status: String,
    /// Status with a qualification: `degraded done` if there were recoverable errors.
    pub extended_status: String,
    /// Recoverable errors, each as `LEVEL: message`.
    pub warnings: Vec<String>,
}

/// Action `ssh.cloud_init.wait`: waits until cloud-init has finished on a host.
///
/// Recoverable errors are warnings of the output, because images of clouds have some on each boot.
/// A host that cannot be reached yet is waited for as well, until the step's timeout.
pub(crate) struct CloudInitWait {
    pool: Arc<ConnectionPool>,
}

impl CloudInitWait {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for CloudInitWait {}

impl Action for CloudInitWait {
    type Input = CloudInitWaitInput;
    type Output = CloudInitWaitOutput;
    const NAME: &'static str = "ssh.cloud_init.wait";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until cloud-init is done, and fails with its errors.";

    async fn run(&self, cx: &ActionContext, input: &CloudInitWaitInput) -> Result<CloudInitWaitOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let read = || async {
            match status(&remote).await {
                Ok(status) if status.stage() == CloudInitStage::Running => {
                    Ok(WaitState::pending(format!("cloud-init is {}", describe(&status))))
                }
                Ok(status) => result(cx, status).map(WaitState::Ready).map_err(|e| remote.context(e)),
                Err(error) if is_early_sudo_refusal(cx, &error) => Ok(WaitState::pending(error.message)),
                Err(error) => Err(with_image_hint(error)),
            }
        };
        Waiter::new(cx, BACKOFF).with_hint(LOG_HINT).poll(read).await
    }

    async fn preview(&self, cx: &ActionContext, input: &CloudInitWaitInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// True if sudo refused the user and cloud-init may still be about to permit it.
fn is_early_sudo_refusal(cx: &ActionContext, error: &ActionError) -> bool {
    error.code.as_deref() == Some(SUDO_DENIED) && cx.elapsed() < SUDO_TIMEOUT
}

/// Adds a hint to the error of a host without cloud-init.
fn with_image_hint(error: ActionError) -> ActionError {
    if error.code.as_deref() == Some(NOT_INSTALLED) {
        return error.with_hint("the machine's image has no cloud-init, so that none of its configuration was applied");
    }
    error
}

/// Status for the reader, with the module that cloud-init executes, if it is known.
fn describe(status: &CloudInitStatus) -> String {
    if status.detail.is_empty() { status.status.clone() } else { format!("{} ({})", status.status, status.detail) }
}

/// Output of a status that is final, or the error of a failed one. Logs the warnings.
fn result(cx: &ActionContext, status: CloudInitStatus) -> Result<CloudInitWaitOutput, ActionError> {
    let warnings = status.warnings();
    for warning in &warnings {
        cx.log(format!("cloud-init: {warning}"));
    }
    if status.stage() == CloudInitStage::Failed {
        let errors = [status.errors(), warnings].concat().join("; ");
        return Err(ActionError::permanent(format!("cloud-init failed: {errors}")).with_hint(LOG_HINT));
    }
    let extended_status = status.extended_status.unwrap_or_else(|| status.status.clone());
    Ok(CloudInitWaitOutput { status: status.status, extended_status, warnings })
}
