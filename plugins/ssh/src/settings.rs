use std::path::{Path, PathBuf};

/// How hosts are reached.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// An `ssh_config` file in place of the user's and the system's own.
    pub config: Option<PathBuf>,
    /// Where pinned host keys and control sockets are kept; created with mode 0700.
    pub state_dir: PathBuf,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// ssh gives the characters a meaning of their own and knows no way to take it from them.
    #[error("path {0:?} has a character that ssh_config cannot hold: one of \" $ * ? [ or a line break")]
    Path(PathBuf),
    /// A relative path could not be made absolute.
    #[error("path {0:?}: {1}")]
    Relative(PathBuf, #[source] std::io::Error),
}

impl SshSettings {
    /// The same with absolute paths, checked.
    pub(crate) fn checked(self) -> Result<Self, SettingsError> {
        let config = self.config.as_deref().map(checked).transpose()?;
        Ok(Self { config, state_dir: checked(&self.state_dir)? })
    }
}

fn checked(path: &Path) -> Result<PathBuf, SettingsError> {
    let absolute = std::path::absolute(path).map_err(|e| SettingsError::Relative(path.to_owned(), e))?;
    match absolute.to_str() {
        Some(text) if !text.contains(['"', '$', '*', '?', '[', '\n', '\r']) => Ok(absolute),
        _ => Err(SettingsError::Path(absolute)),
    }
}
