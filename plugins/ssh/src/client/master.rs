use std::{
    collections::BTreeSet,
    io::{self, Read},
    ops::Deref,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
};

use openssh::Session;
use openssh_mux_client::shutdown_mux_master;
use stargate_sdk::ActionError;
use tempfile::TempDir;
use tokio::process::Command;

use super::connect_failure::{connect_failure, missing_ssh};
use crate::host::SshHost;

/// Idle time after which the master process of a program that was killed ends, in seconds.
const IDLE_SECONDS: u32 = 60;
/// Largest part of ssh's messages that is read, in bytes.
const MAX_LOG_BYTES: u64 = 64 * 1024;

/// Session over a master process of ssh, which has one connection open. The process ends when this
/// is dropped.
#[derive(Debug)]
pub(super) struct Master {
    /// True if the end of a command was not awaited: its channel may stay open for ever.
    abandoned: AtomicBool,
    session: Session,
    /// Directory of the control socket and of ssh's messages.
    dir: TempDir,
}

impl Master {
    /// Starts ssh with the configuration file `config`, and waits until it is logged in. `hidden`
    /// are variables that neither ssh nor the programs that its configuration names get.
    ///
    /// ssh is killed if the future is dropped.
    ///
    /// # Errors
    /// If the host cannot be reached or refuses the login.
    pub(super) async fn start(
        host: &SshHost,
        config: &Path,
        control_dir: &Path,
        hidden: &BTreeSet<String>,
    ) -> Result<Self, ActionError> {
        let unusable = |error: io::Error| ActionError::transient(format!("host {host}: {error}"));
        let dir = tempfile::Builder::new().prefix(".ssh-connection").tempdir_in(control_dir).map_err(unusable)?;
        let log = dir.path().join("log");
        let mut command = command(host, config, dir.path(), &log);
        for variable in hidden {
            command.env_remove(variable);
        }
        // ssh exits as soon as it is logged in, and leaves the master process in the background.
        match command.status().await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing_ssh(&error)),
            Err(error) => Err(unusable(error)),
            Ok(status) if !status.success() => Err(connect_failure(host, &messages(&log).map_err(unusable)?)),
            Ok(_) => Ok(Self {
                abandoned: AtomicBool::new(false),
                session: Session::resume_mux(socket(dir.path()).into(), None),
                dir,
            }),
        }
    }
}

impl Master {
    /// True if the end of a command was not awaited. Another connection has to be used then.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Creates the guard of a command that was started. Its owner reports the end of the command.
    pub(super) fn command(&self) -> CommandGuard<'_> {
        CommandGuard { abandoned: &self.abandoned, has_ended: false }
    }
}

/// Command that runs over a master connection.
#[derive(Debug)]
pub(super) struct CommandGuard<'a> {
    abandoned: &'a AtomicBool,
    has_ended: bool,
}

impl CommandGuard<'_> {
    /// Records that the command has ended.
    pub(super) fn ended(mut self) {
        self.has_ended = true;
    }
}

impl Drop for CommandGuard<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.abandoned.store(true, Ordering::Relaxed);
        }
    }
}

impl Deref for Master {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let socket = socket(self.dir.path());
        // A master that has lost its connection has ended already.
        if self.is_abandoned() {
            // It would wait for the end of a command that may never come.
            let mut exit = std::process::Command::new("ssh");
            exit.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            exit.arg("-S").arg(socket).args(["-O", "exit", "-F", "/dev/null", "--", "master"]).status().ok();
        } else {
            shutdown_mux_master(socket).ok();
        }
    }
}

/// Path of the control socket. Old directories without one are removed.
fn socket(dir: &Path) -> PathBuf {
    dir.join("master")
}

/// The command that logs in. It has a process group of its own, so that a Ctrl-C in the terminal
/// does not reach it.
fn command(host: &SshHost, config: &Path, dir: &Path, log: &Path) -> Command {
    let mut command = Command::new("ssh");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).kill_on_drop(true);
    command.arg("-E").arg(log).arg("-S").arg(socket(dir)).args(["-M", "-f", "-N"]);
    command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
    command.arg("-o").arg(format!("ControlPersist={IDLE_SECONDS}s"));
    if let Some(port) = host.port {
        command.arg("-p").arg(port.to_string());
    }
    command.arg("-l").arg(&host.user).arg("-F").arg(config).arg("--").arg(&host.address);
    command
}

/// Messages that ssh has written.
fn messages(log: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(log)?.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
