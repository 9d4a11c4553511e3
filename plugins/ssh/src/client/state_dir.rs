use std::{
    fs, io,
    io::Write as _,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::Duration,
};

use stargate_sdk::ActionError;
use tempfile::TempDir;

use super::ssh_config::ssh_config;
use crate::{
    host::{SshHost, short_hash},
    settings::SshSettings,
};

/// Longest path of the directory for control sockets, in bytes. A socket's path has at most 108
/// bytes (`sun_path`); the directory and the name below this one take 29, and ssh appends 17 more
/// while it creates the socket, with some bytes in reserve.
const MAX_CONTROL_DIR_BYTES: usize = 53;
/// Age after which the files of a killed process are removed: opening a connection never takes this
/// long.
const STALE_AFTER: Duration = Duration::from_hours(1);

/// Directory with pinned keys, configuration and control sockets.
///
/// The layout is `hosts/ALIAS.known_hosts`, `hosts/ALIAS.HASH.config` and `c/` for the sockets.
/// Everything in it can be deleted while no process runs: it is derived from the input of each
/// step.
pub(super) struct StateDir {
    settings: SshSettings,
    control: ControlDir,
}

/// Directory in which each connection has a directory with its socket.
enum ControlDir {
    Persistent(PathBuf),
    // Used if the state directory's path is too long for sockets.
    Temporary(TempDir),
}

impl StateDir {
    /// Creates the directory if it does not exist, with mode 0700.
    ///
    /// # Errors
    /// `Permanent` if it cannot be created, or if the configuration file that the settings name
    /// cannot be read: ssh would ignore that.
    pub(super) fn open(settings: SshSettings) -> Result<Self, ActionError> {
        settings.config.as_deref().map_or(Ok(()), check_readable)?;
        let control = open_control_dir(&settings.state_dir).map_err(|e| state_error(&settings.state_dir, &e))?;
        let hosts = settings.state_dir.join("hosts");
        create_private(&hosts).map_err(|e| state_error(&hosts, &e))?;
        Ok(Self { settings, control })
    }

    /// Directory of the control sockets.
    pub(super) fn control_dir(&self) -> &Path {
        match &self.control {
            ControlDir::Persistent(path) => path,
            ControlDir::Temporary(dir) => dir.path(),
        }
    }

    /// Writes the host's pinned key and configuration, and returns the path of the configuration.
    ///
    /// # Errors
    /// `Permanent` if a file cannot be written.
    pub(super) fn write_config(&self, host: &SshHost) -> Result<PathBuf, ActionError> {
        let alias = host.alias();
        let hosts = self.settings.state_dir.join("hosts");
        let config = hosts.join(format!("{alias}.{}.config", self.user_config_hash()));
        let known_hosts = write_known_hosts(&hosts, host)?;
        let via = host.via.as_ref().map(|via| write_known_hosts(&hosts, &via.host())).transpose()?;
        write(&config, &ssh_config(host, &known_hosts, via.as_deref(), self.settings.config.as_deref()))?;
        Ok(config)
    }

    /// Part of the file name that distinguishes processes with different user configurations.
    fn user_config_hash(&self) -> String {
        let path = self.settings.config.as_deref().unwrap_or(Path::new(""));
        short_hash(path.as_os_str().as_bytes())
    }
}

/// Checks that the file exists and can be read. It is included by the file that ssh gets, and ssh
/// ignores an include that it cannot read: it would connect with other keys than the user meant.
fn check_readable(config: &Path) -> Result<(), ActionError> {
    let unreadable = |error| {
        ActionError::permanent(format!("the ssh_config file {} cannot be read: {error}", config.display()))
            .with_hint("give `--ssh-config FILE`, or set STARGATE_SSH_CONFIG")
    };
    fs::read(config).map(drop).map_err(unreadable)
}

/// Writes a host's pinned key and returns the path of the file.
fn write_known_hosts(hosts: &Path, host: &SshHost) -> Result<PathBuf, ActionError> {
    let alias = host.alias();
    let path = hosts.join(format!("{alias}.known_hosts"));
    write(&path, &format!("{alias} {}\n", host.pinned_key()?))?;
    Ok(path)
}

/// Opens the directory of the sockets, below `/tmp` if the path would be too long for one. A
/// temporary directory is removed when the process ends.
fn open_control_dir(state_dir: &Path) -> io::Result<ControlDir> {
    let persistent = state_dir.join("c");
    if persistent.as_os_str().len() > MAX_CONTROL_DIR_BYTES {
        return tempfile::Builder::new().prefix("stargate-").tempdir_in("/tmp").map(ControlDir::Temporary);
    }
    create_private(&persistent)?;
    remove_stale(&persistent)?;
    Ok(ControlDir::Persistent(persistent))
}

/// Creates a directory that only this user can enter: any user that can open a control socket is
/// logged in to the host. An existing directory keeps its mode.
fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes directories of connections whose process was killed. A directory with a socket is kept:
/// its connection may still be open.
fn remove_stale(control_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(control_dir)? {
        let path = entry?.path();
        let is_old = fs::metadata(&path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AFTER));
        if is_old && !path.join("master").exists() {
            fs::remove_dir_all(&path).ok(); // Another process may have removed it first.
        }
    }
    Ok(())
}

/// Replaces the file atomically if its content differs, because other processes read it at the same
/// time.
fn write(path: &Path, text: &str) -> Result<(), ActionError> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let replace = || {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error)
    };
    replace().map(drop).map_err(|e| state_error(path, &e))
}

fn state_error(path: &Path, error: &io::Error) -> ActionError {
    ActionError::permanent(format!("ssh state {}: {error}", path.display()))
        .with_hint("the state directory must be writable; it can be set to another one")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn control_dir_below(name: &str) -> (PathBuf, TempDir) {
        let dir = tempfile::tempdir_in("/tmp").expect("directory");
        let state_dir = dir.path().join(name);
        let state = StateDir::open(SshSettings { config: None, state_dir: state_dir.clone() }).expect("opened");
        assert_eq!(fs::metadata(&state_dir).expect("made").permissions().mode() & 0o777, 0o700);
        (state.control_dir().to_owned(), dir)
    }

    #[test]
    fn the_path_of_a_control_socket_always_fits() {
        let (short, dir) = control_dir_below("s");
        assert!(short.starts_with(dir.path()), "{}", short.display());
        let (long, dir) = control_dir_below(&"long".repeat(20));
        assert!(!long.starts_with(dir.path()), "{}", long.display());
        assert!(long.as_os_str().len() <= MAX_CONTROL_DIR_BYTES);
    }

    #[test]
    fn a_named_configuration_that_is_missing_is_an_error() {
        let dir = tempfile::tempdir_in("/tmp").expect("directory");
        let missing = dir.path().join("ssh_config");
        let settings = SshSettings { config: Some(missing.clone()), state_dir: dir.path().join("s") };
        let error = StateDir::open(settings).err().expect("refused");
        assert_eq!(error.kind, stargate_sdk::FailureKind::Permanent, "{error}");
        assert!(error.to_string().contains(&missing.display().to_string()), "{error}");
    }
}
