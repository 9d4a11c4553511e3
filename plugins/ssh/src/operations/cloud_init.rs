use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// How far cloud-init has come.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct CloudInitStatus {
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) extended_status: Option<String>,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) errors: Vec<Value>,
    #[serde(default)]
    recoverable_errors: BTreeMap<String, Value>,
}

/// What a status means for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Running,
    Done,
    Failed,
}

impl CloudInitStatus {
    /// What it means for whoever waits.
    pub(crate) fn stage(&self) -> Stage {
        match self.status.as_str() {
            "done" | "disabled" => Stage::Done,
            "error" => Stage::Failed,
            _ => Stage::Running, // "running", "not started", "not run"
        }
    }

    /// What went wrong and stopped it.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.iter().map(text).collect()
    }

    /// What went wrong and did not stop it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let of_level = |(level, messages): (&String, &Value)| match messages {
            Value::Array(messages) => messages.iter().map(|message| format!("{level}: {}", text(message))).collect(),
            other => vec![format!("{level}: {}", text(other))],
        };
        self.recoverable_errors.iter().flat_map(of_level).collect()
    }
}

/// Asks cloud-init how far it has come.
pub(crate) async fn status(remote: &Remote<'_>) -> Result<CloudInitStatus, ActionError> {
    let command = RemoteCommand::read("cloud-init").args(["status", "--format=json"]).with_root();
    let outcome = remote.run(&command).await?;
    // 1 stands for an error and 2 for a recoverable one: the answer says more.
    match outcome.json(&command) {
        Ok(status) => Ok(status),
        Err(unreadable) => Err(remote.context(outcome.success(&command).err().unwrap_or(unreadable))),
    }
}

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
    fn every_status_is_a_stage() {
        let stage = |word: &str| parse(&format!(r#"{{"status":"{word}"}}"#)).stage();
        assert_eq!(stage("done"), Stage::Done);
        assert_eq!(stage("disabled"), Stage::Done);
        assert_eq!(stage("error"), Stage::Failed);
        for word in ["running", "not started", "not run"] {
            assert_eq!(stage(word), Stage::Running);
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
