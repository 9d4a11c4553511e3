use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::client_config;
use super::machine_task;
use super::runtime::Runtime;
use super::session::{Output, captured};
use super::silent_port::SilentPort;
use crate::event::{Event, Nic, NumberedEvent};
use crate::host::hosts::Hosts;
use crate::host::state::{Machine, Phase};
use crate::tailnet::Tailnet;
use crate::{Shared, World};

/// Options for the simulated machines.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Directory for the client's files: `ssh_config`, `id_ed25519` and `id_ed25519.pub`.
    pub dir: PathBuf,
    /// Factor by which the machines boot faster than real ones.
    pub speed: f64,
    /// Seed of the differences in boot time between machines.
    pub seed: u64,
}

/// Error at the start of the simulated machines.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Failure to write the client's files.
    #[error("cannot write the client's files to {}", dir.display())]
    ClientFiles {
        /// Directory of the files.
        dir: PathBuf,
        /// Cause of the failure.
        #[source]
        source: io::Error,
    },
    /// Failure to open the port that represents dropped connections.
    #[error("cannot open a port on loopback for what security groups drop")]
    SilentPort(#[source] io::Error),
}

/// Handle of the running machines; they stop when it is dropped.
#[derive(Debug)]
pub struct HostServer {
    pub(super) runtime: Runtime,
    follower: JoinHandle<()>,
}

impl Drop for HostServer {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl HostServer {
    /// Returns the path of the client configuration for `ssh -F`.
    pub fn ssh_config(&self) -> PathBuf {
        client_config::config_path(&self.runtime.directory)
    }

    /// Returns the path of the private key; the public key is next to it.
    pub fn identity(&self) -> PathBuf {
        client_config::identity_path(&self.runtime.directory)
    }

    /// Runs a script as root without counting its changes as writes.
    ///
    /// It simulates a change by another administrator. Returns `None` if the machine does not
    /// exist. Blocks the thread: call it outside asynchronous code or with `spawn_blocking`.
    pub fn run(&self, host: &str, script: &str) -> Option<Output> {
        let boot = self.runtime.shared.lock().hosts.machines.get(host)?.boots;
        let process = self.runtime.root(host, boot, false)?;
        Some(captured(process, script))
    }

    /// Waits until the boot of the machine, including cloud-init, has finished.
    ///
    /// Also returns if the machine does not exist after all events have been applied.
    pub async fn booted(&self, host: &str) {
        let up = || {
            let world = self.runtime.shared.lock();
            let current = world.hosts.seen >= world.events.len() as u64;
            current && world.hosts.machines.get(host).is_none_or(|machine| machine.phase == Phase::Up)
        };
        self.runtime.until(up).await;
    }
}

/// Runs the existing machines of the world, and those that later events create.
///
/// # Errors
///
/// [`HostError::ClientFiles`] if the directory cannot be written, [`HostError::SilentPort`] if no
/// port is free.
///
/// # Panics
///
/// Outside a Tokio runtime.
pub fn serve(shared: Shared, options: HostOptions) -> Result<HostServer, HostError> {
    let failed = |source| HostError::ClientFiles { dir: options.dir.clone(), source };
    client_config::ensure_identity(&options.dir).map_err(failed)?;
    let silent = SilentPort::open().map_err(HostError::SilentPort)?;
    let written = client_config::write(&options.dir, &shared.lock(), silent.number(), "").map_err(failed)?;
    let runtime = Runtime {
        shared,
        progress: watch::Sender::new(0),
        directory: Arc::new(options.dir),
        silent: Arc::new(silent),
        speed: options.speed.max(f64::MIN_POSITIVE),
        seed: options.seed,
    };
    let follower = tokio::spawn(follow(runtime.clone(), written.unwrap_or_default()));
    Ok(HostServer { runtime, follower })
}

/// Tasks of the machines by name, aborted on drop.
struct RunningMachines(BTreeMap<String, JoinHandle<()>>);

impl Drop for RunningMachines {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

impl RunningMachines {
    /// Starts the task of a machine, and aborts an older task of this name.
    fn start(&mut self, runtime: &Runtime, name: &str) {
        let task = tokio::spawn(machine_task::run(runtime.clone(), name.to_owned()));
        if let Some(old) = self.0.insert(name.to_owned(), task) {
            old.abort();
        }
    }

    /// Aborts the task of a machine; its connections break.
    fn stop(&mut self, name: &str) {
        if let Some(task) = self.0.remove(name) {
            task.abort();
        }
    }
}

/// Applies the events of the world to the machines and keeps the client configuration current.
async fn follow(runtime: Runtime, mut written: String) {
    let mut latest = runtime.shared.latest();
    let mut progress = runtime.progress.subscribe();
    let mut running = RunningMachines(BTreeMap::new());
    let names: Vec<String> = runtime.shared.lock().hosts.machines.keys().cloned().collect();
    for name in &names {
        running.start(&runtime, name);
    }
    loop {
        latest.mark_unchanged();
        progress.mark_unchanged();
        let seen = runtime.shared.lock().hosts.seen;
        for recorded in runtime.shared.events_after(seen) {
            make_real(&runtime, &mut running, &recorded);
        }
        if write_client_config(&runtime, &mut written) {
            runtime.notify();
        }
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            changed = progress.changed() => if changed.is_err() { return },
        }
    }
}

/// Writes the client configuration if it differs. Returns true if it was written.
///
/// An error is logged and the next change tries again.
fn write_client_config(runtime: &Runtime, written: &mut String) -> bool {
    match client_config::write(&runtime.directory, &runtime.shared.lock(), runtime.silent.number(), written) {
        Ok(Some(text)) => {
            *written = text;
            return true;
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "the client configuration could not be written"),
    }
    false
}

/// Applies one event, and starts or stops the task of its machine.
fn make_real(runtime: &Runtime, running: &mut RunningMachines, recorded: &NumberedEvent) {
    let mut world = runtime.shared.lock();
    apply(&mut world, recorded);
    drop(world);
    match &recorded.event {
        Event::MachineCreated(machine) => running.start(runtime, &machine.name),
        Event::MachineDeleted { name } => running.stop(name),
        Event::MachineRestarted { .. }
        | Event::NetworkChanged { .. }
        | Event::NicChanged(_)
        | Event::NicDeleted { .. }
        | Event::RoutesChanged { .. }
        | Event::AksNodeCreated(_)
        | Event::AksNodeDeleted { .. } => {}
    }
    runtime.notify();
}

/// Changes the state of the machines according to an event.
fn apply(world: &mut World, recorded: &NumberedEvent) {
    let World { hosts, tailnet, .. } = world;
    match &recorded.event {
        Event::MachineCreated(spec) => {
            let mut machine = Machine::new(spec.clone());
            // Boot numbers start at a distance from those of an earlier machine of this name, so
            // that its programs do not access the new one.
            machine.boots = recorded.seq * 1_000_000;
            machine.reset();
            hosts.machines.insert(spec.name.clone(), machine);
        }
        Event::MachineDeleted { name } => {
            // The device stays in the tailnet, since the machine does not log out.
            if let Some(node) = hosts.machines.remove(name).and_then(|machine| machine.tailscaled.node) {
                tailnet.set_online(&node, false);
            }
        }
        Event::MachineRestarted { name } => restart(hosts, tailnet, name),
        Event::NicChanged(nic) => change_nic(hosts, nic),
        Event::NicDeleted { id } => {
            hosts.machines.values_mut().for_each(|machine| machine.spec.nics.retain(|nic| &nic.id != id));
        }
        Event::NetworkChanged { .. }
        | Event::RoutesChanged { .. }
        | Event::AksNodeCreated(_)
        | Event::AksNodeDeleted { .. } => {}
    }
    hosts.seen = recorded.seq;
}

/// Restarts a machine, which goes offline in the tailnet.
fn restart(hosts: &mut Hosts, tailnet: &mut Tailnet, name: &str) {
    if let Some(machine) = hosts.machines.get_mut(name) {
        machine.reset();
        machine.report(tailnet);
    }
}

/// Adds, changes or removes a NIC, and applies the network files if an address changed.
fn change_nic(hosts: &mut Hosts, nic: &Nic) {
    for (name, machine) in &mut hosts.machines {
        let nics = &mut machine.spec.nics;
        let before = nics.iter().position(|known| known.id == nic.id);
        let moved = match (before, nic.machine.as_ref() == Some(name)) {
            (Some(at), true) => {
                let old = std::mem::replace(&mut nics[at], nic.clone());
                old.private_ip != nic.private_ip
            }
            (Some(at), false) => {
                nics.remove(at);
                true
            }
            (None, true) => {
                nics.push(nic.clone());
                true
            }
            (None, false) => false,
        };
        if moved {
            machine.write_network_files();
            machine.apply_network(false);
        }
    }
}
