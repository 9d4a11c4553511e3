use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::silent_port::SilentPort;
use crate::Shared;
use crate::arm::drops_ssh;
use crate::event::Nic;
use crate::host::commands;
use crate::host::process::{Process, ROOT_PATH};
use crate::host::state::{Actor, Machine};
use crate::tailnet::Tailnet;

/// State that all tasks of the machines share.
#[derive(Debug, Clone)]
pub(super) struct Runtime {
    pub(super) shared: Shared,
    /// Counter that increases when a boot advances, or a machine restarts or is deleted.
    pub(super) progress: watch::Sender<u64>,
    pub(super) directory: Arc<PathBuf>,
    /// Port for connections that a security group drops.
    pub(super) silent: Arc<SilentPort>,
    pub(super) speed: f64,
    pub(super) seed: u64,
}

impl Runtime {
    /// Accesses a machine in one boot; `None` if that boot is not the current one.
    pub(super) fn with<R>(
        &self,
        name: &str,
        boot: u64,
        use_it: impl FnOnce(&mut Machine, &mut Tailnet) -> R,
    ) -> Option<R> {
        let mut world = self.shared.lock();
        let world = &mut *world;
        let machine = world.hosts.machines.get_mut(name).filter(|machine| machine.boots == boot)?;
        Some(use_it(machine, &mut world.tailnet))
    }

    /// Returns the loopback port of the machine with `address` in a virtual network of `name`.
    ///
    /// It is the silent port if a security group drops the connection, and `None` if no machine
    /// with this address has a port.
    pub(super) fn neighbour(&self, name: &str, address: &str) -> Option<u16> {
        let world = self.shared.lock();
        let machines = &world.hosts.machines;
        let own = &machines.get(name)?.spec.nics;
        let found = machines.values().find_map(|machine| {
            let here = |nic: &&Nic| nic.private_ip == address && own.iter().any(|own| own.network == nic.network);
            Some((machine.port, machine.spec.nics.iter().find(here)?))
        });
        let (port, nic) = found.filter(|(port, _)| *port != 0)?;
        let from = own.iter().find(|own| own.network == nic.network)?;
        Some(if drops_ssh(&world.arm, [&from.id, &nic.id]) { self.silent.number() } else { port })
    }

    /// Notifies the tasks that wait in [`until`](Self::until).
    pub(super) fn notify(&self) {
        self.progress.send_modify(|generation| *generation += 1);
    }

    /// Waits until `holds` is true. It is evaluated again after each notification.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        let mut progress = self.progress.subscribe();
        loop {
            progress.mark_unchanged();
            if holds() || progress.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for a simulated duration in seconds.
    ///
    /// The seed changes it by up to 20 %, and the speed divides it.
    pub(super) async fn pass(&self, name: &str, seconds: f64) {
        let hash = Sha256::digest(format!("{} {name} {seconds}", self.seed));
        let share = 0.8 + 0.4 * f64::from(hash[0]) / 255.0;
        let scaled = Duration::try_from_secs_f64(seconds * share / self.speed).unwrap_or_default();
        tokio::time::sleep(scaled).await;
    }

    /// Returns the environment of root's programs on a machine.
    pub(super) fn root(&self, name: &str, boot: u64, counted: bool) -> Option<Process> {
        let environment = self.with(name, boot, |machine, _| machine.account("root"))??.environment(ROOT_PATH);
        Some(Process {
            shared: self.shared.clone(),
            loader: commands::execute,
            progress: self.progress.clone(),
            host: name.to_owned(),
            boot,
            actor: Actor::root(),
            environment,
            directory: "/".to_owned(),
            umask: 0o022,
            counted,
        })
    }
}
