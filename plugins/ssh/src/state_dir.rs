use std::{
    fs, io,
    io::Write as _,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::Duration,
};

use stargate_sdk::ActionError;
use tempfile::TempDir;

use crate::{
    host::{Host, short_hash},
    settings::SshSettings,
    ssh_config::ssh_config,
};

/// The longest directory for control sockets. A socket's path has 108 bytes at most; the directory and the name that are
/// made below this one take 29, and ssh puts 17 more behind them while it makes the socket.
const LONGEST_CONTROL_DIR: usize = 53;
/// What a killed process left is removed after this long: no connection is in the making for so long.
const STALE_AFTER: Duration = Duration::from_hours(1);

/// Where pinned keys, configuration and control sockets are kept.
pub(crate) struct StateDir {
    settings: SshSettings,
    control: ControlDir,
}

enum ControlDir {
    Kept(PathBuf),
    // The state directory's path is too long for sockets.
    Temporary(TempDir),
}

impl StateDir {
    /// A configuration that is named and cannot be read is a `Permanent` error: ssh would go on without it.
    pub(crate) fn open(settings: SshSettings) -> Result<Self, ActionError> {
        settings.config.as_deref().map_or(Ok(()), readable)?;
        let control = open_control_dir(&settings.state_dir).map_err(|e| failure(&settings.state_dir, &e))?;
        let hosts = settings.state_dir.join("hosts");
        create_private(&hosts).map_err(|e| failure(&hosts, &e))?;
        Ok(Self { settings, control })
    }

    /// Where control sockets go.
    pub(crate) fn control_dir(&self) -> &Path {
        match &self.control {
            ControlDir::Kept(path) => path,
            ControlDir::Temporary(dir) => dir.path(),
        }
    }

    /// Writes the host's pinned key and configuration; returns the path of the configuration.
    pub(crate) fn write_config(&self, host: &Host) -> Result<PathBuf, ActionError> {
        let alias = host.alias();
        let hosts = self.settings.state_dir.join("hosts");
        let config = hosts.join(format!("{alias}.{}.config", self.user_config_name()));
        let known_hosts = pin(&hosts, host)?;
        let via = host.via.as_ref().map(|via| pin(&hosts, &via.host())).transpose()?;
        write(&config, &ssh_config(host, &known_hosts, via.as_deref(), self.settings.config.as_deref()))?;
        Ok(config)
    }

    /// Tells apart processes that share the directory and not the user's configuration.
    fn user_config_name(&self) -> String {
        let path = self.settings.config.as_deref().unwrap_or(Path::new(""));
        short_hash(path.as_os_str().as_bytes())
    }
}

fn readable(config: &Path) -> Result<(), ActionError> {
    let unreadable = |error| {
        ActionError::permanent(format!("the ssh_config file {} cannot be read: {error}", config.display()))
            .with_hint("give `--ssh-config FILE`, or set STARGATE_SSH_CONFIG")
    };
    fs::read(config).map(drop).map_err(unreadable)
}

/// Writes a host's pinned key; returns the path of the file.
fn pin(hosts: &Path, host: &Host) -> Result<PathBuf, ActionError> {
    let alias = host.alias();
    let path = hosts.join(format!("{alias}.known_hosts"));
    write(&path, &format!("{alias} {}\n", host.pinned_key()?))?;
    Ok(path)
}

fn open_control_dir(state_dir: &Path) -> io::Result<ControlDir> {
    let kept = state_dir.join("c");
    if kept.as_os_str().len() > LONGEST_CONTROL_DIR {
        return tempfile::Builder::new().prefix("stargate-").tempdir_in("/tmp").map(ControlDir::Temporary);
    }
    create_private(&kept)?;
    remove_stale(&kept)?;
    Ok(ControlDir::Kept(kept))
}

fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn remove_stale(control_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(control_dir)? {
        let path = entry?.path();
        let is_old = fs::metadata(&path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE_AFTER));
        if is_old && !path.join("master").exists() {
            fs::remove_dir_all(&path).ok(); // Another process may have been quicker.
        }
    }
    Ok(())
}

/// Replaces the file in one go, and only when it differs: other processes read it at the same time.
fn write(path: &Path, text: &str) -> Result<(), ActionError> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let replace = || {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/")))?;
        file.write_all(text.as_bytes())?;
        file.persist(path).map_err(|e| e.error)
    };
    replace().map(drop).map_err(|e| failure(path, &e))
}

fn failure(path: &Path, error: &io::Error) -> ActionError {
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
    fn a_control_socket_always_fits() {
        let (short, dir) = control_dir_below("s");
        assert!(short.starts_with(dir.path()), "{}", short.display());
        let (long, dir) = control_dir_below(&"long".repeat(20));
        assert!(!long.starts_with(dir.path()), "{}", long.display());
        assert!(long.as_os_str().len() <= LONGEST_CONTROL_DIR);
    }

    #[test]
    fn a_named_configuration_that_is_missing_is_told_at_once() {
        let dir = tempfile::tempdir_in("/tmp").expect("directory");
        let missing = dir.path().join("ssh_config");
        let settings = SshSettings { config: Some(missing.clone()), state_dir: dir.path().join("s") };
        let error = StateDir::open(settings).err().expect("refused");
        assert_eq!(error.kind, stargate_sdk::FailureKind::Permanent, "{error}");
        assert!(error.to_string().contains(&missing.display().to_string()), "{error}");
    }
}
