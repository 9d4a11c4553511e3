use std::collections::BTreeMap;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::files::{Actor, Files, Kind};
use super::hosts::Hosts;
use super::io::{Io, Sink};
use super::machine::Machine;
use crate::Shared;
use crate::tailnet::Tailnet;

/// Why a program cannot go on: its machine has gone down under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Halted;

/// Exit status of a program.
pub(super) type Exit = Result<i32, Halted>;

/// A program's surroundings on a machine.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) shared: Shared,
    /// Changes whenever a machine's boot gets on.
    pub(super) progress: watch::Sender<u64>,
    pub(super) host: String,
    /// Which of the machine's boots it belongs to.
    pub(super) boot: u64,
    pub(super) actor: Actor,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) directory: String,
    pub(super) umask: u32,
    /// Whether changes count as someone's from outside: not those of the boot itself.
    pub(super) counted: bool,
}

/// What a program may touch while it has the world's lock.
pub(super) struct Place<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) tailnet: &'a mut Tailnet,
}

/// Where root's programs are looked for; `sudo` too.
pub(super) const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where Debian's sshd lets a plain user's programs be looked for.
pub(super) const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";

impl Process {
    /// Looks at the machine or changes what nobody counts.
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&mut Place<'_>) -> R) -> Result<R, Halted> {
        let mut world = self.shared.lock();
        let world = &mut *world;
        let machine = world.hosts.reach(&self.host).filter(|machine| machine.boots == self.boot);
        let machine = machine.ok_or(Halted)?;
        Ok(use_it(&mut Place { machine, tailnet: &mut world.tailnet }))
    }

    /// Changes the machine; a change that succeeds is counted as `what`.
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

    /// Counts a change.
    pub(super) fn count(&self, what: &str) {
        if self.counted {
            Hosts::count_write(&mut self.shared.lock(), &self.host, what);
        }
    }

    /// A path as this program means it.
    pub(super) fn path(&self, path: &str) -> String {
        Files::absolute(&self.directory, path)
    }

    /// The same surroundings for another user, as `sudo` gives them.
    pub(super) fn for_user(&self, user: &str) -> Result<Option<Self>, Halted> {
        let account = self.with(|place| place.machine.account(user))?;
        Ok(account.map(|account| Self {
            actor: account.actor(),
            environment: account.environment(ROOT_PATH),
            ..self.clone()
        }))
    }

    pub(super) fn write(&self, sink: &Sink, bytes: &[u8]) -> Result<(), Halted> {
        match sink {
            Sink::Null => {}
            Sink::Buffer(buffer) => buffer.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes),
            // Nobody reads any more when the connection is gone; the program goes on as after a SIGPIPE ignored.
            Sink::Session(sender, stream) => drop(sender.send((*stream, bytes.to_vec()))),
            Sink::File(path) => {
                // Opened already, so permission is not asked again.
                self.with(|place| {
                    place.machine.write_file(&Actor::root(), path, bytes, true, 0o644).unwrap_or_default();
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn print(&self, io: &Io, text: impl AsRef<[u8]>) -> Result<(), Halted> {
        self.write(&io.output, text.as_ref())
    }

    /// Prints a complaint, and returns `status`.
    pub(super) fn fail(&self, io: &Io, status: i32, message: impl AsRef<str>) -> Exit {
        self.write(&io.error, format!("{}\n", message.as_ref()).as_bytes())?;
        Ok(status)
    }

    /// Path of the program that `name` calls, if there is one.
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
