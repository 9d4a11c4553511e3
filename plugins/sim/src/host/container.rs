use std::collections::BTreeMap;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::commands;
use super::image;
use super::io::{Io, Sink, Source, Stream};
use super::process::{Execution, Exit, Process, ROOT_PATH};
use super::server::{Terminal, converse};
use super::state::{Actor, Machine};
use crate::event::{self, Nic};
use crate::{Shared, World};

/// Container of a pod, with everything that its programs can observe.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// Key of the container's disk.
    ///
    /// It changes with the pod: another pod of the same name starts with a new disk.
    pub(crate) key: String,
    pub(crate) hostname: String,
    pub(crate) address: String,
    /// Environment variables that the image and the pod set, in addition to `PATH`, `HOME` and
    /// `HOSTNAME`.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: String,
}

/// Result of a command in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The command exited with this status.
    Exited(i32),
    /// The command did not start, for this reason of the container runtime.
    NotStarted(String),
}

/// Command that runs in a container.
pub(crate) struct Running {
    input: Option<mpsc::UnboundedSender<Vec<u8>>>,
    terminal: Option<Terminal>,
    output: mpsc::UnboundedReceiver<(Stream, Vec<u8>)>,
    ended: JoinHandle<Ended>,
}

impl Container {
    /// Starts a program with its arguments.
    ///
    /// With a terminal, typed characters are echoed, and both outputs arrive on one stream.
    pub(crate) fn start(&self, shared: &Shared, words: Vec<String>, terminal: bool) -> Running {
        self.unpack(&mut shared.lock());
        let (input, incoming) = mpsc::unbounded_channel();
        let (outgoing, output) = mpsc::unbounded_channel();
        let io = Io {
            input: Source::session(incoming),
            output: Sink::Session(outgoing.clone(), Stream::Output),
            error: Sink::Session(outgoing, if terminal { Stream::Output } else { Stream::Error }),
        };
        let process = self.process(shared);
        let ended = tokio::task::spawn_blocking(move || execute(process, &io, &words, terminal));
        Running { input: Some(input), terminal: terminal.then(Terminal::default), output, ended }
    }

    /// Creates the container's disk from the image, unless it exists already.
    fn unpack(&self, world: &mut World) {
        if !world.hosts.containers.contains_key(&self.key) {
            world.hosts.containers.insert(self.key.clone(), self.disk());
        }
    }

    /// Returns the container's disk as a machine without a kernel of its own: files, a host name
    /// and an address.
    fn disk(&self) -> Machine {
        let nic = Nic {
            id: self.key.clone(),
            machine: None,
            network: String::new(),
            subnet: String::new(),
            subnet_prefix: format!("{}/32", self.address),
            private_ip: self.address.clone(),
            public_ip: None,
            ssh_closed: false,
            ip_forwarding: false,
            mac: String::new(),
        };
        let spec = event::MachineSpec {
            name: self.hostname.clone(),
            id: self.key.clone(),
            user_data: String::new(),
            admin_user: String::new(),
            admin_keys: Vec::new(),
            nics: vec![nic],
        };
        let mut machine = Machine::new(spec);
        (machine.files, machine.packages) = (image::busybox(&self.hostname, &self.address), BTreeMap::new());
        machine
    }

    /// Returns the process environment in which the container's programs run.
    fn process(&self, shared: &Shared) -> Process {
        let own = [("PATH", ROOT_PATH), ("HOME", "/root"), ("HOSTNAME", &self.hostname)];
        let mut environment: BTreeMap<_, _> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        environment.extend(self.environment.clone());
        Process {
            shared: shared.clone(),
            loader: commands::execute,
            progress: watch::Sender::new(0),
            host: self.key.clone(),
            boot: 0,
            actor: Actor::root(),
            environment,
            directory: self.directory.clone(),
            umask: 0o022,
            counted: false,
        }
    }
}

impl Running {
    /// Sends input to the command. Returns the bytes that a terminal echoes.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(terminal) = &mut self.terminal else {
            // A command that has exited reads nothing any more, as at a closed pipe.
            self.input.as_ref().map(|input| input.send(bytes.to_vec()));
            return Vec::new();
        };
        let typed = terminal.type_in(bytes);
        for line in typed.lines {
            self.input.as_ref().map(|input| input.send(line));
        }
        if typed.ended {
            self.input = None;
        }
        typed.echo
    }

    /// Closes the command's input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    /// Returns the next output of the command, or `None` after its exit.
    pub(crate) async fn said(&mut self) -> Option<(Stream, Vec<u8>)> {
        let (stream, bytes) = self.output.recv().await?;
        Some((stream, if self.terminal.is_some() { Terminal::shown(&bytes) } else { bytes }))
    }

    /// Waits for the command and returns its result.
    pub(crate) async fn ended(self) -> Ended {
        // A simulated program that panicked counts as one that the kernel killed.
        self.ended.await.unwrap_or(Ended::Exited(KILLED))
    }
}

/// Exit status that a shell reports for SIGKILL (128 + 9).
///
/// The programs of a deleted pod end with it.
const KILLED: i32 = 137;

/// Runs the program to its end, with a shell's behaviour on a terminal.
fn execute(mut process: Process, io: &Io, words: &[String], terminal: bool) -> Ended {
    let is_shell = matches!(words, [only] if only.rsplit('/').next() == Some("sh"));
    if terminal && is_shell {
        return exited(converse(process, io, Some("/ # ")));
    }
    match process.execute(io, words) {
        Ok(Execution::Exited(status)) => Ended::Exited(status),
        Ok(Execution::NotFound) => Ended::NotStarted(missing(&words[0])),
        Ok(Execution::Refused) => Ended::NotStarted(unstarted(&words[0], "permission denied")),
        Err(halted) => exited(Err(halted)),
    }
}

/// Maps the exit of a simulated program to the result of a command.
fn exited(exit: Exit) -> Ended {
    Ended::Exited(exit.unwrap_or(KILLED))
}

/// Returns the runtime's message for a program that the image does not contain.
fn missing(program: &str) -> String {
    if program.contains('/') {
        unstarted(program, &format!("stat {program}: no such file or directory"))
    } else {
        unstarted(program, "executable file not found in $PATH")
    }
}

/// Returns the message with which runc reports a program that it could not start.
fn unstarted(program: &str, why: &str) -> String {
    format!(
        "OCI runtime exec failed: exec failed: unable to start container process: exec: \"{program}\": {why}: unknown"
    )
}

/// Deletes the disks of containers for which `is_there` is false.
pub(crate) fn keep_containers(world: &mut World, is_there: impl Fn(&str) -> bool) {
    world.hosts.containers.retain(|key, _| is_there(key));
}
