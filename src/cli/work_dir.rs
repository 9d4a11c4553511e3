use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use stargate::id::RunId;

use super::Failure;

/// A folder to work in: the user's own, which stays, or a new one that is gone when this is dropped.
pub(crate) struct WorkDir {
    path: PathBuf,
    is_new: bool,
}

impl WorkDir {
    /// `chosen`, or a new folder below `base` that nobody else can read.
    pub(crate) fn open(chosen: Option<&Path>, base: &Path, purpose: &str) -> Result<Self, Failure> {
        let is_new = chosen.is_none();
        let path = chosen.map_or_else(|| base.join(format!("stargate-{purpose}-{}", unique())), Path::to_owned);
        let path = std::path::absolute(&path).unwrap_or(path);
        // A folder of our own must not have been there before: somebody else could have made it.
        DirBuilder::new().recursive(!is_new).mode(0o700).create(&path).map_err(|error| {
            Failure::usage(format!("make the folder {}: {error}", path.display()), "add `--dir DIR` to use another")
        })?;
        Ok(Self { path, is_new })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Short enough for the path of a control socket, and never the same twice: the random end of an id.
fn unique() -> String {
    RunId::generate().as_str()[16..].to_ascii_lowercase()
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.is_new
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the folder is left behind");
        }
    }
}
