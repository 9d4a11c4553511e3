use stargate_client::CallEffect;

use super::quote::quote;

/// A program with its arguments, to run on a host.
#[derive(Debug, Clone)]
pub(crate) struct RemoteCommand {
    // Static, so that it is never a reserved word of the shell or an assignment.
    program: &'static str,
    args: Vec<String>,
    as_root: bool,
    effect: CallEffect,
    confidential: bool,
    timeout: CommandTimeout,
    stdin: Option<Vec<u8>>,
}

/// Maximum duration of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandTimeout {
    /// Two minutes, enough for a command that neither fetches nor installs anything.
    Short,
    /// Time until the step's deadline.
    Step,
}

impl RemoteCommand {
    /// A command that changes nothing, run as the user.
    pub(crate) fn read(program: &'static str) -> Self {
        Self {
            program,
            args: Vec::new(),
            as_root: false,
            effect: CallEffect::ReadOnly,
            confidential: false,
            timeout: CommandTimeout::Short,
            stdin: None,
        }
    }

    /// A command that changes the host, run as root.
    pub(crate) fn change(program: &'static str) -> Self {
        Self { as_root: true, effect: CallEffect::MayHaveChanged, ..Self::read(program) }
    }

    /// A command that changes the host, run as the user.
    pub(crate) fn change_as_user(program: &'static str) -> Self {
        Self { as_root: false, ..Self::change(program) }
    }

    /// Adds arguments, which are quoted for the shell.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs the command as root: with sudo, unless the user is root.
    pub(crate) fn with_root(mut self) -> Self {
        self.as_root = true;
        self
    }

    /// Omits the output from the log, because it may contain secrets.
    pub(crate) fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    /// Replaces the short timeout by the step's, for a command that fetches or installs something.
    pub(crate) fn with_step_timeout(mut self) -> Self {
        self.timeout = CommandTimeout::Step;
        self
    }

    /// True if the step's timeout applies.
    pub(crate) fn has_step_timeout(&self) -> bool {
        self.timeout == CommandTimeout::Step
    }

    /// Passes `content` on standard input, which is never logged.
    pub(crate) fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// Effect that the command can have had if its end was not seen.
    pub(super) fn effect(&self) -> CallEffect {
        self.effect
    }

    /// True if the output must not be logged.
    pub(crate) fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// Content of standard input, if there is any.
    pub(crate) fn input(&self) -> Option<&[u8]> {
        self.stdin.as_deref()
    }

    /// Name of the program, for messages.
    pub(crate) fn program(&self) -> &'static str {
        self.program
    }

    /// Command line for the shell of `user`.
    pub(crate) fn line(&self, user: &str) -> String {
        let sudo: &[&str] = if self.as_root && user != "root" { &["sudo", "-n"] } else { &[] };
        let words = sudo.iter().copied().chain([self.program]).map(Into::into);
        words.chain(self.args.iter().map(|arg| quote(arg))).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_is_used_unless_the_user_is_root() {
        let command = RemoteCommand::change("/usr/sbin/sysctl").args(["-w", "net.ipv4.tcp_rmem=1 2 3"]);
        assert_eq!(command.line("root"), "/usr/sbin/sysctl -w 'net.ipv4.tcp_rmem=1 2 3'");
        assert_eq!(command.line("ubuntu"), "sudo -n /usr/sbin/sysctl -w 'net.ipv4.tcp_rmem=1 2 3'");
        assert_eq!(RemoteCommand::read("uname").args(["-n"]).line("ubuntu"), "uname -n");
    }
}
