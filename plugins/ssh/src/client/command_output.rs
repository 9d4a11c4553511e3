use serde::de::DeserializeOwned;
use stargate_sdk::ActionError;

use super::command::RemoteCommand;

/// Error code: the user may not use sudo without a password.
pub(crate) const SUDO_DENIED: &str = "sudo_denied";
/// Error code: the program is not installed on the host.
pub(crate) const NOT_INSTALLED: &str = "not_installed";
/// Length to which outputs are cut in messages and logs, in characters.
const MAX_EXCERPT_CHARS: usize = 1000;

/// Exit code and output of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandOutput {
    /// Exit code; 127 if the shell did not find the program.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl CommandOutput {
    /// True if the exit code is 0.
    pub(crate) fn is_success(&self) -> bool {
        self.code == 0
    }

    /// Returns the output if the exit code is 0.
    ///
    /// # Errors
    /// See [`Self::to_error`].
    pub(crate) fn into_success(self, command: &RemoteCommand) -> Result<Self, ActionError> {
        if self.is_success() { Ok(self) } else { Err(self.to_error(command)) }
    }

    /// Parses standard output as JSON.
    ///
    /// # Errors
    /// `Permanent` if it has another form.
    pub(crate) fn json<T: DeserializeOwned>(&self, command: &RemoteCommand) -> Result<T, ActionError> {
        serde_json::from_str(&self.stdout)
            .map_err(|e| ActionError::permanent(format!("{}: the output is not as expected: {e}", command.program())))
    }

    /// The error for an exit code other than 0: `Permanent`, except if tailscaled is not running.
    pub(crate) fn to_error(&self, command: &RemoteCommand) -> ActionError {
        let program = command.program();
        if self.is_sudo_refusal() {
            return ActionError::permanent(format!("sudo: {}", self.text()))
                .with_code(SUDO_DENIED)
                .with_hint("the user needs sudo without a password (NOPASSWD), or log in as root");
        }
        let message = format!("{program} ended with {}: {}", self.code, self.text());
        if self.is_not_found(program) {
            return ActionError::permanent(message).with_code(NOT_INSTALLED);
        }
        if self.stderr.contains("connect to local tailscaled") {
            return ActionError::transient(message).with_hint("see `systemctl status tailscaled` on the host");
        }
        ActionError::permanent(message)
    }

    /// Standard error, or standard output if that is empty, cut for a message.
    pub(crate) fn text(&self) -> String {
        let text = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        excerpt(text)
    }

    fn is_sudo_refusal(&self) -> bool {
        let has = |words| self.stderr.lines().any(|line| line.contains(words));
        self.code != 0
            && (has("sudo: a password is required")
                || has("sudo: a terminal is required")
                || has("is not in the sudoers file")
                || has("is not allowed to execute"))
    }

    // sudo exits with 1 if the program is missing, a shell with 127.
    fn is_not_found(&self, program: &str) -> bool {
        self.code == 127 || (self.code == 1 && self.stderr.contains(&format!("sudo: {program}: command not found")))
    }
}

/// Returns `text` without surrounding space, cut after [`MAX_EXCERPT_CHARS`] with a note of its
/// size.
pub(crate) fn excerpt(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes in all)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    fn error(code: i32, stderr: &str) -> ActionError {
        let output = CommandOutput { code, stdout: String::new(), stderr: stderr.into() };
        output.to_error(&RemoteCommand::change("tailscale"))
    }

    #[test]
    fn failures_have_their_codes_and_kinds() {
        assert_eq!(error(1, "sudo: a password is required\n").code.as_deref(), Some(SUDO_DENIED));
        assert_eq!(error(127, "bash: line 1: tailscale: command not found\n").code.as_deref(), Some(NOT_INSTALLED));
        assert_eq!(error(1, "sudo: tailscale: command not found\n").code.as_deref(), Some(NOT_INSTALLED));
        assert_eq!(
            error(1, "failed to connect to local tailscaled; it doesn't appear to be running").kind,
            FailureKind::Transient
        );
        let error = error(1, "\"x\" is not a valid IP address or CIDR prefix\n");
        assert_eq!(error.kind, FailureKind::Permanent);
        assert_eq!(error.message, "tailscale ended with 1: \"x\" is not a valid IP address or CIDR prefix");
    }
}
