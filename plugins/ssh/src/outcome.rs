use serde::de::DeserializeOwned;
use stargate_sdk::ActionError;

use crate::command::RemoteCommand;

/// Code of the error of a user who may not use sudo without a password.
pub(crate) const SUDO_DENIED: &str = "sudo_denied";
/// Code of the error of a program that the host does not have.
pub(crate) const NOT_INSTALLED: &str = "not_installed";
/// Longer outputs are cut in messages and logs.
const LONGEST_EXCERPT: usize = 1000;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Whether it ended with 0.
    pub(crate) fn is_success(&self) -> bool {
        self.code == 0
    }

    /// Itself when it ended with 0.
    pub(crate) fn success(self, command: &RemoteCommand) -> Result<Self, ActionError> {
        if self.is_success() { Ok(self) } else { Err(self.failure(command)) }
    }

    /// Its output as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, command: &RemoteCommand) -> Result<T, ActionError> {
        serde_json::from_str(&self.stdout)
            .map_err(|e| ActionError::permanent(format!("{}: the output is not as expected: {e}", command.program())))
    }

    /// The error that a code other than 0 is.
    pub(crate) fn failure(&self, command: &RemoteCommand) -> ActionError {
        let program = command.program();
        if self.is_sudo_refusal() {
            return ActionError::permanent(format!("sudo: {}", self.words()))
                .with_code(SUDO_DENIED)
                .with_hint("the user needs sudo without a password (NOPASSWD), or log in as root");
        }
        let message = format!("{program} ended with {}: {}", self.code, self.words());
        if self.is_not_found(program) {
            return ActionError::permanent(message).with_code(NOT_INSTALLED);
        }
        if self.stderr.contains("connect to local tailscaled") {
            return ActionError::transient(message).with_hint("see `systemctl status tailscaled` on the host");
        }
        ActionError::permanent(message)
    }

    /// What it said, cut to a length that can be read.
    pub(crate) fn words(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        excerpt(text)
    }

    fn is_sudo_refusal(&self) -> bool {
        let said = |words| self.stderr.lines().any(|line| line.contains(words));
        self.code != 0
            && (said("sudo: a password is required")
                || said("sudo: a terminal is required")
                || said("is not in the sudoers file")
                || said("is not allowed to execute"))
    }

    // sudo ends with 1 where a shell ends with 127.
    fn is_not_found(&self, program: &str) -> bool {
        self.code == 127 || (self.code == 1 && self.stderr.contains(&format!("sudo: {program}: command not found")))
    }
}

/// `text` without surrounding space, cut to a length that can be read.
pub(crate) fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    fn failure(code: i32, stderr: &str) -> ActionError {
        let outcome = Outcome { code, stdout: String::new(), stderr: stderr.into() };
        outcome.failure(&RemoteCommand::change("tailscale"))
    }

    #[test]
    fn failures_are_told_apart() {
        assert_eq!(failure(1, "sudo: a password is required\n").code.as_deref(), Some(SUDO_DENIED));
        assert_eq!(failure(127, "bash: line 1: tailscale: command not found\n").code.as_deref(), Some(NOT_INSTALLED));
        assert_eq!(failure(1, "sudo: tailscale: command not found\n").code.as_deref(), Some(NOT_INSTALLED));
        assert_eq!(
            failure(1, "failed to connect to local tailscaled; it doesn't appear to be running").kind,
            FailureKind::Transient
        );
        let error = failure(1, "\"x\" is not a valid IP address or CIDR prefix\n");
        assert_eq!(error.kind, FailureKind::Permanent);
        assert_eq!(error.message, "tailscale ended with 1: \"x\" is not a valid IP address or CIDR prefix");
    }
}
