use crate::quote::quote;

/// A program to be run on a host, with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct RemoteCommand {
    // Static: a name of our own choosing is never a reserved word or an assignment to the shell.
    program: &'static str,
    args: Vec<String>,
    as_root: bool,
    changes: bool,
    confidential: bool,
    limit: Limit,
    stdin: Option<Vec<u8>>,
}

/// How long a program may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// What every program takes on a machine that is well.
    Short,
    /// As long as the step.
    Step,
}

impl RemoteCommand {
    /// Changes nothing: may be repeated when its answer is lost.
    pub(crate) fn read(program: &'static str) -> Self {
        Self {
            program,
            args: Vec::new(),
            as_root: false,
            changes: false,
            confidential: false,
            limit: Limit::Short,
            stdin: None,
        }
    }

    /// Changes the host, as root.
    pub(crate) fn change(program: &'static str) -> Self {
        Self { as_root: true, changes: true, ..Self::read(program) }
    }

    /// Adds arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs it with sudo unless the user is root.
    pub(crate) fn with_root(mut self) -> Self {
        self.as_root = true;
        self
    }

    /// Keeps its output out of the log: it may hold keys.
    pub(crate) fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    /// Lets it take as long as the step may: it fetches or installs something.
    pub(crate) fn patient(mut self) -> Self {
        self.limit = Limit::Step;
        self
    }

    /// Whether it may take as long as the step.
    pub(crate) fn is_patient(&self) -> bool {
        self.limit == Limit::Step
    }

    /// Gives it `content` on standard input, which is never logged.
    pub(crate) fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// Whether a lost answer leaves the host in doubt.
    pub(crate) fn changes(&self) -> bool {
        self.changes
    }

    /// Whether its output is to be kept out of the log.
    pub(crate) fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// What it reads.
    pub(crate) fn input(&self) -> Option<&[u8]> {
        self.stdin.as_deref()
    }

    /// The program's name, for messages.
    pub(crate) fn program(&self) -> &'static str {
        self.program
    }

    /// The line that the shell of `user` is to run.
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
    fn root_needs_no_sudo() {
        let command = RemoteCommand::change("/usr/sbin/sysctl").args(["-w", "net.ipv4.tcp_rmem=1 2 3"]);
        assert_eq!(command.line("root"), "/usr/sbin/sysctl -w 'net.ipv4.tcp_rmem=1 2 3'");
        assert_eq!(command.line("ubuntu"), "sudo -n /usr/sbin/sysctl -w 'net.ipv4.tcp_rmem=1 2 3'");
        assert_eq!(RemoteCommand::read("uname").args(["-n"]).line("ubuntu"), "uname -n");
    }
}
