use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// Answer of `cloud-init status --format=json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct CloudInitStatus {
    /// `not started`, `running`, `done`, `disabled`, `error`, …
    pub(crate) status: String,
    /// The status with a qualification, such as `degraded done`. Absent from old versions.
    #[serde(default)]
    pub(crate) extended_status: Option<String>,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) errors: Vec<Value>,
    #[serde(default)]
    recoverable_errors: BTreeMap<String, Value>,
}

/// Meaning of a status for an action that waits.
///
/// An unknown status counts as running, so that a new version of cloud-init makes a step wait, and
/// not continue too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloudInitStage {
    Running,
    Done,
    Failed,
}

impl CloudInitStatus {
    /// Meaning of the status for an action that waits.
    pub(crate) fn stage(&self) -> CloudInitStage {
        match self.status.as_str() {
            "done" | "disabled" => CloudInitStage::Done,
            "error" => CloudInitStage::Failed,
            _ => CloudInitStage::Running, // "running", "not started", "not run"
        }
    }

    /// Errors that ended cloud-init.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.iter().map(text).collect()
    }

    /// Errors after which cloud-init continued, each as `LEVEL: message`.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let of_level = |(level, messages): (&String, &Value)| match messages {
            Value::Array(messages) => messages.iter().map(|message| format!("{level}: {}", text(message))).collect(),
            other => vec![format!("{level}: {}", text(other))],
        };
        self.recoverable_errors.iter().flat_map(of_level).collect()
    }
}

/// Reads the status of cloud-init.
///
/// # Errors
/// If the command fails without a status, for instance because cloud-init is not installed.
pub(crate) async fn status(remote: &Remote<'_>) -> Result<CloudInitStatus, ActionError> {
    let command = RemoteCommand::read("cloud-init").args(["status", "--format=json"]).with_root();
    let output = remote.run(&command).await?;
    // The exit code is 1 for an error and 2 for a recoverable one; the output has the details.
    match output.json(&command) {
        Ok(status) => Ok(status),
        Err(unreadable) => Err(remote.context(output.into_success(&command).err().unwrap_or(unreadable))),
    }
}

/// Text of a message. Versions differ in whether it is a string or an object, which is shown as
/// JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CloudInitStatus {
        serde_json::from_str(text).expect("status")
    }

    #[test]
    fn each_status_has_a_stage() {
        let stage = |word: &str| parse(&format!(r#"{{"status":"{word}"}}"#)).stage();
        assert_eq!(stage("done"), CloudInitStage::Done);
        assert_eq!(stage("disabled"), CloudInitStage::Done);
        assert_eq!(stage("error"), CloudInitStage::Failed);
        for word in ["running", "not started", "not run"] {
            assert_eq!(stage(word), CloudInitStage::Running);
        }
    }

    #[test]
    fn errors_and_warnings_are_listed() {
        let status = parse(
            r#"{"boot_status_code":"enabled-by-generator","datasource":"azure","detail":"DataSourceAzure","errors":["runcmd failed"],
                "extended_status":"error - done","init":{"errors":[],"finished":2.5,"recoverable_errors":{},"start":1.0},
                "last_update":"","recoverable_errors":{"WARNING":["no such key","second"]},"stage":null,"status":"error"}"#,
        );
        assert_eq!(status.errors(), ["runcmd failed"]);
        assert_eq!(status.warnings(), ["WARNING: no such key", "WARNING: second"]);
        assert_eq!(status.extended_status.as_deref(), Some("error - done"));
    }
}
