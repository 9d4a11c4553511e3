use std::collections::BTreeMap;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::io::{Io, Sink};
use super::state::{Actor, Files, Kind, Machine};
use crate::Shared;
use crate::tailnet::Tailnet;

/// Error of a program whose machine went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halted;

/// Exit status of a program, unless its machine went down.
pub(super) type Exit = Result<i32, Halted>;

/// Result of the attempt to execute a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Execution {
    /// The program exited with this status.
    Exited(i32),
    /// No program has this name.
    NotFound,
    /// The user must not execute the file.
    Refused,
}

impl Execution {
    /// Returns the exit status that a shell reports: 127 for a program that does not exist, 126 for
    /// one that must not be executed.
    pub(super) fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::NotFound => 127,
            Self::Refused => 126,
        }
    }
}

/// Function that executes a program with its arguments, the first of which is the program's name.
pub(super) type Loader = fn(&mut Process, &Io, &[String]) -> Result<Execution, Halted>;

/// Execution environment of a program on a machine.
///
/// It belongs to one boot. After the machine's next reset each access returns [`Halted`].
#[derive(Clone)]
pub(super) struct Process {
    pub(super) shared: Shared,
    /// Function through which the program executes other programs.
    pub(super) loader: Loader,
    /// Counter that increases when the boot of a machine advances.
    pub(super) progress: watch::Sender<u64>,
    pub(super) host: String,
    /// Boot of the machine to which the program belongs.
    pub(super) boot: u64,
    pub(super) actor: Actor,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: String,
    pub(super) umask: u32,
    /// True if changes are counted as writes.
    ///
    /// Changes by the boot itself are not counted.
    pub(super) counted: bool,
}

/// Parts of the world that a program can access while it holds the world's lock.
pub(super) struct Place<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) tailnet: &'a mut Tailnet,
}

/// Search path for programs of root, which `sudo` uses, too.
pub(super) const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Search path for programs of other users, as Debian's sshd sets it.
pub(super) const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";

impl Process {
    /// Accesses the machine. A change by `use_it` is not counted as a write.
    ///
    /// Fails with [`Halted`] if the machine is not in the program's boot any more.
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&mut Place<'_>) -> R) -> Result<R, Halted> {
        let mut world = self.shared.lock();
        let world = &mut *world;
        let machine = world.hosts.reach(&self.host).filter(|machine| machine.boots == self.boot);
        let machine = machine.ok_or(Halted)?;
        Ok(use_it(&mut Place { machine, tailnet: &mut world.tailnet }))
    }

    /// Changes the machine. A successful change is counted as a write of `what`.
    pub(super) fn change<R, E>(
        &self,
        what: &str,
        change: impl FnOnce(&mut Place<'_>) -> Result<R, E>,
    ) -> Result<Result<R, E>, Halted> {
        let result = self.with(change)?;
        if result.is_ok() {
            self.count(what);
        }
        Ok(result)
    }

    /// Counts a write of `what`, unless the process belongs to the boot.
    pub(super) fn count(&self, what: &str) {
        if self.counted {
            self.shared.lock().count_host_write(&self.host, what);
        }
    }

    /// Executes a program with its arguments, as the system call `execve` does in a child process.
    ///
    /// `words` starts with the program's name, which is searched in `PATH`. Fails only if the
    /// machine goes down.
    pub(super) fn execute(&mut self, io: &Io, words: &[String]) -> Result<Execution, Halted> {
        (self.loader)(self, io, words)
    }

    /// Returns the absolute path that `path` denotes in the program's directory.
    pub(super) fn path(&self, path: &str) -> String {
        Files::absolute(&self.directory, path)
    }

    /// Returns the environment of another user, as `sudo` creates it.
    ///
    /// The directory and the umask are kept. `None` if there is no such user.
    pub(super) fn for_user(&self, user: &str) -> Result<Option<Self>, Halted> {
        let account = self.with(|place| place.machine.account(user))?;
        Ok(account.map(|account| Self {
            actor: account.actor(),
            environment: account.environment(ROOT_PATH),
            ..self.clone()
        }))
    }

    /// Writes bytes to a destination.
    pub(super) fn write(&self, sink: &Sink, bytes: &[u8]) -> Result<(), Halted> {
        match sink {
            Sink::Null => {}
            Sink::Buffer(buffer) => buffer.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes),
            // A closed connection does not stop the program, as if it ignored SIGPIPE.
            Sink::Session(sender, stream) => drop(sender.send((*stream, bytes.to_vec()))),
            Sink::File(path) => {
                // Permission was checked when the file was opened.
                self.with(|place| {
                    place.machine.write_file(&Actor::root(), path, bytes, true, 0o644).unwrap_or_default();
                })?;
            }
        }
        Ok(())
    }

    /// Writes text to the program's standard output.
    pub(super) fn print(&self, io: &Io, text: impl AsRef<[u8]>) -> Result<(), Halted> {
        self.write(&io.output, text.as_ref())
    }

    /// Writes an error message with a line end, and returns `status`.
    pub(super) fn fail(&self, io: &Io, status: i32, message: impl AsRef<str>) -> Exit {
        self.write(&io.error, format!("{}\n", message.as_ref()).as_bytes())?;
        Ok(status)
    }

    /// Returns the path and the type of the program called `name`.
    ///
    /// A name with a slash is a path; others are searched in `PATH`.
    pub(super) fn program(&self, name: &str) -> Result<Option<(String, Kind)>, Halted> {
        let path = self.environment.get("PATH").map_or(ROOT_PATH, String::as_str);
        let candidates: Vec<String> = if name.contains('/') {
            vec![self.path(name)]
        } else {
            path.split(':').map(|directory| format!("{directory}/{name}")).collect()
        };
        self.with(|place| {
            let files = &place.machine.files;
            let found = candidates.into_iter().find(|path| files.get(path).is_some_and(|node| !node.is_directory()))?;
            let kind = files.get(&found)?.kind.clone();
            Some((found, kind))
        })
    }
}
