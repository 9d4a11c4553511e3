use russh::keys::{Algorithm, PrivateKey};

use super::runtime::Runtime;
use crate::host::cloud_init::Instance;
use crate::host::commands::start_unit;
use crate::host::process::Halted;
use crate::host::state::{Machine, Phase, Stage};

/// Seconds from power-on to sshd, as a small Azure virtual machine needs.
const TO_SSHD: f64 = 8.0;
/// Seconds from sshd to the account, during which a login is refused.
const TO_ACCOUNT: f64 = 2.0;
/// Seconds from the account to the last stage of cloud-init.
const TO_FINAL: f64 = 3.0;
/// Seconds that the last stage takes in addition to its commands.
const FINAL: f64 = 4.0;

/// Boots a machine. Returns early if it goes down meanwhile.
pub(super) async fn boot(runtime: &Runtime, name: &str, boot: u64) {
    if boot_to_the_end(runtime, name, boot).await.is_none() {
        tracing::debug!(machine = name, "went down while it booted");
    }
}

/// Carries out the boot: network, sshd, accounts, units, then the last stage of cloud-init.
///
/// Returns `None` if the machine goes down meanwhile.
async fn boot_to_the_end(runtime: &Runtime, name: &str, boot: u64) -> Option<()> {
    let (phase, instance) = runtime.with(name, boot, |machine, _| {
        (machine.phase, (!machine.cloud_init.instance_done).then(|| Instance::of(machine)))
    })?;
    if phase == Phase::Up {
        return Some(());
    }
    runtime.pass(name, TO_SSHD).await;
    let generated = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).ok()?;
    runtime.with(name, boot, |machine, _| bring_up(machine, instance.as_ref(), &generated))?;
    runtime.notify();
    runtime.pass(name, TO_ACCOUNT).await;
    runtime.with(name, boot, |machine, _| {
        enter(machine, Stage::Init);
        if let Some(instance) = &instance {
            instance.initialise(machine);
        }
    })?;
    runtime.notify();
    start_units(runtime, name, boot).await?;
    runtime.with(name, boot, |machine, _| enter(machine, Stage::Config))?;
    runtime.pass(name, TO_FINAL).await;
    runtime.with(name, boot, |machine, _| enter(machine, Stage::Final))?;
    runtime.notify();
    if let Some(instance) = instance {
        finish(runtime, name, boot, instance).await?;
    }
    runtime.pass(name, FINAL).await;
    runtime.with(name, boot, |machine, _| {
        enter(machine, Stage::Done);
        machine.phase = Phase::Up;
    })?;
    runtime.notify();
    Some(())
}

/// Records the start of a cloud-init stage at the machine's uptime.
fn enter(machine: &mut Machine, stage: Stage) {
    let uptime = machine.uptime();
    machine.cloud_init.enter(stage, uptime);
}

/// Applies kernel settings and the network, and starts sshd.
fn bring_up(machine: &mut Machine, instance: Option<&Instance>, generated: &PrivateKey) {
    machine.cloud_init.restart();
    enter(machine, Stage::Local);
    let hostname = machine.files.text("/etc/hostname").unwrap_or_default().trim().to_owned();
    machine.hostname = hostname;
    if let Some(instance) = instance {
        machine.write_network_files();
        instance.begin(machine, generated);
    }
    machine.apply_sysctl_files();
    machine.apply_network(true);
    for unit in ["systemd-networkd", "ssh"] {
        machine.set_unit(unit, "active", "running", 0);
    }
    machine.phase = Phase::Listening;
}

/// Starts the enabled units on a thread that may block.
async fn start_units(runtime: &Runtime, name: &str, boot: u64) -> Option<()> {
    let mut process = runtime.root(name, boot, false)?;
    let units = runtime.with(name, boot, |machine, _| machine.enabled_units())?;
    let started = tokio::task::spawn_blocking(move || units.iter().try_for_each(|unit| start_unit(&mut process, unit)));
    ended(started.await)
}

/// Runs the last stage of cloud-init on a thread that may block.
async fn finish(runtime: &Runtime, name: &str, boot: u64, instance: Instance) -> Option<()> {
    let mut process = runtime.root(name, boot, false)?;
    let finished = tokio::task::spawn_blocking(move || instance.finish(&mut process));
    ended(finished.await)
}

/// Returns `None` if the machine went down or the simulation panicked, which is logged.
fn ended(outcome: Result<Result<(), Halted>, tokio::task::JoinError>) -> Option<()> {
    match outcome {
        Ok(outcome) => outcome.ok(),
        Err(error) => {
            tracing::error!(%error, "a simulated program panicked");
            None
        }
    }
}
