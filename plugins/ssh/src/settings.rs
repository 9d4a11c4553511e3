use std::path::{Path, PathBuf};

/// Settings for connections to hosts.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// An `ssh_config` file that replaces the user's and the system's own.
    pub config: Option<PathBuf>,
    /// Directory for pinned host keys and control sockets; created with mode 0700.
    pub state_dir: PathBuf,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SshSettingsError {
    /// The path has a character that `ssh_config` interprets and cannot escape.
    #[error("path {0:?} has a character that ssh_config cannot hold: one of \" $ * ? [ or a line break")]
    Path(PathBuf),
    /// The relative path cannot be made absolute.
    #[error("path {0:?}: {1}")]
    Relative(PathBuf, #[source] std::io::Error),
}

impl SshSettings {
    /// Makes the paths absolute and checks them.
    pub(crate) fn checked(self) -> Result<Self, SshSettingsError> {
        let config = self.config.as_deref().map(checked).transpose()?;
        Ok(Self { config, state_dir: checked(&self.state_dir)? })
    }
}

fn checked(path: &Path) -> Result<PathBuf, SshSettingsError> {
    let absolute = std::path::absolute(path).map_err(|e| SshSettingsError::Relative(path.to_owned(), e))?;
    match absolute.to_str() {
        Some(text) if !text.contains(['"', '$', '*', '?', '[', '\n', '\r']) => Ok(absolute),
        _ => Err(SshSettingsError::Path(absolute)),
    }
}
