use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// A file that belongs to root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: String,
    /// Octal, as `stat` prints it: `644`.
    pub(crate) mode: &'static str,
}

impl File {
    /// A file that everyone may read.
    pub(crate) fn readable(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self { path: path.into(), content: content.into(), mode: "644" }
    }
}

/// What the file holds; `None` when it is not there.
pub(crate) async fn read(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    let command = RemoteCommand::read("cat").args([path]).with_root();
    let outcome = remote.run(&command).await?;
    if outcome.code == 1 && outcome.stderr.contains("No such file or directory") {
        return Ok(None);
    }
    outcome.success(&command).map(|outcome| Some(outcome.stdout)).map_err(|e| remote.context(e))
}

/// Makes the file be there with this content, owner and mode. Writes nothing when it already is.
///
/// It is written beside and renamed, so that nobody ever reads half of it.
pub(crate) async fn ensure(remote: &Remote<'_>, file: &File) -> Result<(), ActionError> {
    if is_in_order(remote, file).await? {
        return Ok(());
    }
    let beside = format!("{}.stargate-new", file.path);
    // Made empty, with its directories, owner and mode, before anything is in it.
    let make = ["-D", "-o", "root", "-g", "root", "-m", file.mode, "/dev/null", &beside];
    remote.succeed(&RemoteCommand::change("install").args(make)).await?;
    let from_stdin = [&format!("of={beside}"), "conv=fsync", "status=none"];
    remote.succeed(&RemoteCommand::change("dd").args(from_stdin).stdin(file.content.clone())).await?;
    remote.succeed(&RemoteCommand::change("mv").args(["-T", &beside, &file.path])).await?;
    if is_in_order(remote, file).await? {
        return Ok(());
    }
    Err(remote.context(ActionError::transient(format!("{} was written but reads differently", file.path))))
}

async fn is_in_order(remote: &Remote<'_>, file: &File) -> Result<bool, ActionError> {
    if read(remote, &file.path).await?.as_ref() != Some(&file.content) {
        return Ok(false);
    }
    let stat = RemoteCommand::read("stat").args(["-c", "%a %U %G", &file.path]).with_root();
    Ok(remote.succeed(&stat).await?.stdout.trim() == format!("{} root root", file.mode))
}
