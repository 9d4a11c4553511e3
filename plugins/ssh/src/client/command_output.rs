use serde::de::DeserializeOwned;
use stargate_sdk::{ActionError, Redactor};

use super::command::RemoteCommand;

/// Error code: the user may not use sudo without a password.
pub(crate) const SUDO_DENIED: &str = "sudo_denied";
/// Error code: the program is not installed on the host.
pub(crate) const NOT_INSTALLED: &str = "not_installed";
/// Length of the head of an output in messages and logs, in characters.
const HEAD_CHARS: usize = 700;
/// Length of the tail of an output in messages and logs, in characters.
const TAIL_CHARS: usize = 300;
/// Length of the head and of the tail of an output in which secrets are looked for before it is
/// cut, in bytes: a secret that a cut divides would not be recognised.
const END_BYTES: usize = 64 * 1024;

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

/// Returns `text` without surrounding space and secrets, cut like [`excerpt`].
pub(crate) fn redacted_excerpt(text: &str, redactor: &Redactor) -> String {
    let text = text.trim();
    if text.len() <= 2 * END_BYTES {
        return excerpt(&redactor.redact(text));
    }
    let head = redactor.redact(&text[..text.floor_char_boundary(END_BYTES)]);
    let tail = redactor.redact(&text[text.ceil_char_boundary(text.len() - END_BYTES)..]);
    excerpt(&format!("{head}{tail}"))
}

/// Returns `text` without surrounding space. Of a long one, the head and the tail are kept.
pub(crate) fn excerpt(text: &str) -> String {
    let text = text.trim();
    let tail = text.char_indices().rev().nth(TAIL_CHARS - 1).map_or(0, |(start, _)| start);
    match text.char_indices().nth(HEAD_CHARS) {
        Some((head, _)) if head < tail => format!("{}… (cut) …{}", &text[..head], &text[tail..]),
        _ => text.to_owned(),
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
    fn head_and_tail_of_a_long_output_are_shown() {
        let text = format!("{}{}{}", "é".repeat(HEAD_CHARS), "x".repeat(10), "ü".repeat(TAIL_CHARS));
        assert_eq!(excerpt(&text), format!("{}… (cut) …{}", "é".repeat(HEAD_CHARS), "ü".repeat(TAIL_CHARS)));
        let short = "x".repeat(HEAD_CHARS + TAIL_CHARS);
        assert_eq!(excerpt(&format!(" {short}\n")), short);
    }

    #[test]
    fn a_secret_on_a_cut_is_hidden() {
        let redactor = Redactor::default();
        redactor.add("p4ssw0rd-with-length");
        for length in [2 * HEAD_CHARS, 3 * END_BYTES] {
            let text = format!("{}p4ssw0rd-with-length{}", "x".repeat(HEAD_CHARS - 10), "y".repeat(length));
            let shown = redacted_excerpt(&text, &redactor);
            assert!(shown.contains("x***y") && !shown.contains("p4ss"), "{shown}");
        }
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
