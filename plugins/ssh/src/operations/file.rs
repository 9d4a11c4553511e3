use stargate_sdk::ActionError;

use crate::{
    client::{Remote, RemoteCommand},
    host::short_hash,
};

/// Desired state of a file on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostFile {
    /// Absolute path of the file.
    pub(crate) path: String,
    pub(crate) content: String,
    /// User and group of the file.
    pub(crate) owner: FileOwner,
    /// Permission bits in octal, as `stat` prints them: `644`.
    pub(crate) mode: String,
}

/// User and group of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileOwner {
    pub(crate) user: String,
    pub(crate) group: String,
}

impl FileOwner {
    /// Parses `user` or `user:group`; without a group, it has the name of the user.
    ///
    /// # Errors
    /// `Permanent` if a name is malformed.
    pub(crate) fn parse(text: &str) -> Result<Self, ActionError> {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let fits = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if fits(user) && fits(group) {
            return Ok(Self { user: user.into(), group: group.into() });
        }
        Err(ActionError::permanent(format!("{text:?} is not an owner")).with_hint("write it as root or root:adm"))
    }
}

impl HostFile {
    /// A file that root owns and each user can read.
    pub(crate) fn readable(path: impl Into<String>, content: impl Into<String>) -> Self {
        let owner = FileOwner { user: "root".into(), group: "root".into() };
        Self { path: path.into(), content: content.into(), owner, mode: "644".into() }
    }

    /// Mode, user and group, as `stat` prints them with [`STAT`].
    pub(crate) fn attributes(&self) -> String {
        format!("{} {} {}", self.mode, self.owner.user, self.owner.group)
    }
}

/// Format of mode, user and group, for `stat -c`.
const STAT: &str = "%a %U %G";

/// Checks that `path` is absolute and has no empty, `.` or `..` segments.
///
/// # Errors
/// `Permanent` if it is not.
pub(crate) fn check_path(path: &str) -> Result<(), ActionError> {
    let normal = path.starts_with('/')
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(['\n', '\0']);
    if normal { Ok(()) } else { Err(ActionError::permanent(format!("{path:?} is not an absolute path"))) }
}

/// Returns a mode as `stat` prints it, without leading zeros.
///
/// # Errors
/// `Permanent` if it is not octal.
pub(crate) fn normalize_mode(mode: &str) -> Result<String, ActionError> {
    let octal = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
    octal.map(|bits| format!("{bits:o}")).ok_or_else(|| {
        ActionError::permanent(format!("{mode:?} is not a file mode")).with_hint("write it in octal, as in \"0644\"")
    })
}

/// Reads a file; `None` if it does not exist.
///
/// The log gets its size and its digest, and not the content: an earlier one may contain a secret
/// that this program does not know.
pub(crate) async fn read(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    let content = read_with(remote, RemoteCommand::read("cat").args([path]).with_root().confidential()).await?;
    if let Some(content) = &content {
        remote.log_once(&format!("{path}: {} bytes, digest {}", content.len(), short_hash(content.as_bytes())));
    }
    Ok(content)
}

/// Reads mode, user and group of a file or directory; `None` if it does not exist.
pub(crate) async fn attributes(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    let stat = RemoteCommand::read("stat").args(["-c", STAT, path]).with_root();
    Ok(read_with(remote, stat).await?.map(|text| text.trim().to_owned()))
}

/// Computes the SHA-256 of a file, in hexadecimal; `None` if it does not exist.
pub(crate) async fn sha256(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    let sum = RemoteCommand::read("sha256sum").args([path]).with_root().with_step_timeout();
    let text = read_with(remote, sum).await?;
    // A backslash marks a line with an escaped path.
    Ok(text.and_then(|text| Some(text.split_ascii_whitespace().next()?.trim_start_matches('\\').to_owned())))
}

/// Runs a command that reads an object; `None` if it reports that the object does not exist.
pub(crate) async fn read_with(remote: &Remote<'_>, command: RemoteCommand) -> Result<Option<String>, ActionError> {
    let output = remote.run(&command).await?;
    if output.code == 1 && output.stderr.contains("No such file or directory") {
        return Ok(None);
    }
    output.into_success(&command).map(|output| Some(output.stdout)).map_err(|e| remote.context(e))
}

/// Makes the file equal `file`, and writes nothing if it already does.
///
/// # Errors
/// `Transient` if the file reads differently after it was written.
pub(crate) async fn ensure(remote: &Remote<'_>, file: &HostFile) -> Result<(), ActionError> {
    if is_as_desired(remote, file).await? {
        return Ok(());
    }
    replace(remote, file).await?;
    if is_as_desired(remote, file).await? {
        return Ok(());
    }
    Err(remote.context(ActionError::transient(format!("{} was written but reads differently", file.path))))
}

/// Writes the file under another name and renames it, so that no process reads a part of it.
/// Creates missing directories.
pub(crate) async fn replace(remote: &Remote<'_>, file: &HostFile) -> Result<(), ActionError> {
    let temporary = format!("{}.stargate-new", file.path);
    // Created empty with owner and mode, so that the content is never readable by others.
    let make = ["-D", "-o", &file.owner.user, "-g", &file.owner.group, "-m", &file.mode, "/dev/null", &temporary];
    remote.succeed(&RemoteCommand::change("install").args(make)).await?;
    let from_stdin = [&format!("of={temporary}"), "conv=fsync", "status=none"];
    remote.succeed(&RemoteCommand::change("dd").args(from_stdin).stdin(file.content.clone())).await?;
    remote.succeed(&RemoteCommand::change("mv").args(["-T", &temporary, &file.path])).await.map(drop)
}

/// Removes the file, if it exists.
pub(crate) async fn remove(remote: &Remote<'_>, path: &str) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("rm").args(["-f", path])).await.map(drop)
}

async fn is_as_desired(remote: &Remote<'_>, file: &HostFile) -> Result<bool, ActionError> {
    if read(remote, &file.path).await?.as_ref() != Some(&file.content) {
        return Ok(false);
    }
    Ok(attributes(remote, &file.path).await?.as_ref() == Some(&file.attributes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_owners_and_modes_are_checked() {
        check_path("/etc/kubernetes/pki/ca.crt").expect("fine");
        for path in ["", "etc", "/", "/a//b", "/a/../b", "/a/", "-rf"] {
            check_path(path).expect_err(path);
        }
        assert_eq!(normalize_mode("0644").expect("fine"), "644");
        for mode in ["", "rw", "999", "77777"] {
            normalize_mode(mode).expect_err(mode);
        }
        let owner = FileOwner::parse("root:adm").expect("fine");
        assert_eq!((owner.user.as_str(), owner.group.as_str()), ("root", "adm"));
        for owner in ["", ":", "-x", "a b", "a:b:c"] {
            FileOwner::parse(owner).expect_err(owner);
        }
    }
}
