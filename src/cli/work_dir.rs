//! Working directories of `sim` and `demo`.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use stargate::id::RunId;

use super::Failure;

/// Working directory: one that the user chose, or a new one that is removed on drop.
pub(crate) struct WorkDir {
    path: PathBuf,
    /// The folder was created here and is removed on drop.
    is_new: bool,
}

impl WorkDir {
    /// Opens `chosen`, or creates a folder below `base` that only this user can read.
    ///
    /// # Errors
    ///
    /// A usage failure if the folder cannot be created.
    pub(crate) fn open(chosen: Option<&Path>, base: &Path, purpose: &str) -> Result<Self, Failure> {
        let is_new = chosen.is_none();
        let path = chosen.map_or_else(|| base.join(format!("stargate-{purpose}-{}", unique())), Path::to_owned);
        let path = std::path::absolute(&path).unwrap_or(path);
        // A new folder must not exist yet: another user could have created it.
        DirBuilder::new().recursive(!is_new).mode(0o700).create(&path).map_err(|error| {
            Failure::usage(
                format!("cannot create folder {}: {error}", path.display()),
                "add `--dir DIR` to use another",
            )
        })?;
        Ok(Self { path, is_new })
    }

    /// Returns the absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Returns the random end of a run id: unique, and short enough for the path of a control socket.
fn unique() -> String {
    RunId::generate().as_str()[16..].to_ascii_lowercase()
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.is_new
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the folder was not removed");
        }
    }
}
