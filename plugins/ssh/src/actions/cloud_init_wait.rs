use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, FailureKind, Preview, Recovery, RequiredPermissions};

use crate::{
    Host,
    operations::cloud_init::{CloudInitStatus, Stage, status},
    outcome::{NOT_INSTALLED, SUDO_DENIED},
    pause::Pause,
    pool::Pool,
};

/// The account may be there before it may use sudo: cloud-init writes both, one after the other.
const SUDO_PATIENCE: Duration = Duration::from_mins(2);
const LOG_HINT: &str = "see /var/log/cloud-init-output.log on the host";

/// Which host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInitInput {
    /// The host.
    pub host: Host,
}

/// How cloud-init ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CloudInitOutput {
    /// `done`, or `disabled` on a host that does not use it.
    pub status: String,
    /// The status with its shade: `degraded done` when something went wrong on the way.
    pub extended_status: String,
    /// What went wrong on the way and did not stop it.
    pub warnings: Vec<String>,
}

/// Waits until cloud-init has done all it was told.
pub(crate) struct CloudInitWait {
    pool: Arc<Pool>,
}

impl CloudInitWait {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for CloudInitWait {}

impl Action for CloudInitWait {
    type Input = CloudInitInput;
    type Output = CloudInitOutput;
    const NAME: &'static str = "ssh.cloud_init.wait";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until cloud-init is done, and fails with its errors.";

    async fn run(&self, cx: &ActionContext, input: &CloudInitInput) -> Result<CloudInitOutput, ActionError> {
        let remote = self.pool.remote(cx, &input.host)?;
        let mut pause = Pause::new(Duration::from_millis(500), Duration::from_secs(5));
        loop {
            let waited = match status(&remote).await {
                Ok(status) if status.stage() == Stage::Running => {
                    pause.after_seeing(cx, format!("cloud-init is {}", progress(&status))).await
                }
                Ok(status) => return ended(cx, status).map_err(|e| remote.context(e)),
                Err(error) if may_pass(cx, &error) => pause.after_failure(cx, error).await,
                Err(error) => return Err(explained(error)),
            };
            waited.map_err(|e| e.with_hint(LOG_HINT))?;
        }
    }

    async fn preview(&self, cx: &ActionContext, input: &CloudInitInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// A host that reboots drops the connection; one that is young does not let the user be root yet.
fn may_pass(cx: &ActionContext, error: &ActionError) -> bool {
    error.kind == FailureKind::Transient || (error.code.as_deref() == Some(SUDO_DENIED) && cx.elapsed() < SUDO_PATIENCE)
}

fn explained(error: ActionError) -> ActionError {
    if error.code.as_deref() == Some(NOT_INSTALLED) {
        return error.with_hint("the machine's image has no cloud-init; nothing of what it was to do has been done");
    }
    error
}

fn progress(status: &CloudInitStatus) -> String {
    if status.detail.is_empty() { status.status.clone() } else { format!("{} ({})", status.status, status.detail) }
}

fn ended(cx: &ActionContext, status: CloudInitStatus) -> Result<CloudInitOutput, ActionError> {
    let warnings = status.warnings();
    for warning in &warnings {
        cx.log(format!("cloud-init: {warning}"));
    }
    if status.stage() == Stage::Failed {
        let errors = [status.errors(), warnings].concat().join("; ");
        return Err(ActionError::permanent(format!("cloud-init failed: {errors}")).with_hint(LOG_HINT));
    }
    let extended_status = status.extended_status.unwrap_or_else(|| status.status.clone());
    Ok(CloudInitOutput { status: status.status, extended_status, warnings })
}
