use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// A file, as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) content: String,
    /// User and group.
    pub(crate) owner: Owner,
    /// Octal, as `stat` prints it: `644`.
    pub(crate) mode: String,
}

/// User and group of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) user: String,
    pub(crate) group: String,
}

impl Owner {
    /// `user`, or `user:group`; the group is named like the user where it is not said.
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

impl File {
    /// A file of root's that everyone may read.
    pub(crate) fn readable(path: impl Into<String>, content: impl Into<String>) -> Self {
        let owner = Owner { user: "root".into(), group: "root".into() };
        Self { path: path.into(), content: content.into(), owner, mode: "644".into() }
    }

    /// Owner and mode, as `stat` prints them with [`STAT`].
    pub(crate) fn attributes(&self) -> String {
        format!("{} {} {}", self.mode, self.owner.user, self.owner.group)
    }
}

/// Mode, user and group, for `stat -c`.
const STAT: &str = "%a %U %G";

/// Refuses what is no absolute path, or leads elsewhere than it looks.
pub(crate) fn check_path(path: &str) -> Result<(), ActionError> {
    let normal = path.starts_with('/')
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.contains(['\n', '\0']);
    if normal { Ok(()) } else { Err(ActionError::permanent(format!("{path:?} is not an absolute path"))) }
}

/// A mode as `stat` prints it: without zeros in front.
pub(crate) fn normal_mode(mode: &str) -> Result<String, ActionError> {
    let octal = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
    octal.map(|bits| format!("{bits:o}")).ok_or_else(|| {
        ActionError::permanent(format!("{mode:?} is not a file mode")).with_hint("write it in octal, as in \"0644\"")
    })
}

/// What the file holds; `None` when it is not there.
pub(crate) async fn read(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    read_with(remote, RemoteCommand::read("cat").args([path]).with_root()).await
}

/// Like [`read`], and its content is kept out of the log.
pub(crate) async fn read_confidentially(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    read_with(remote, RemoteCommand::read("cat").args([path]).with_root().confidential()).await
}

/// Mode, user and group of what is at the path; `None` when nothing is.
pub(crate) async fn attributes(remote: &Remote<'_>, path: &str) -> Result<Option<String>, ActionError> {
    let stat = RemoteCommand::read("stat").args(["-c", STAT, path]).with_root();
    Ok(read_with(remote, stat).await?.map(|text| text.trim().to_owned()))
}

/// Runs a program that reads something; `None` when there is nothing of that name.
pub(crate) async fn read_with(remote: &Remote<'_>, command: RemoteCommand) -> Result<Option<String>, ActionError> {
    let outcome = remote.run(&command).await?;
    if outcome.code == 1 && outcome.stderr.contains("No such file or directory") {
        return Ok(None);
    }
    outcome.success(&command).map(|outcome| Some(outcome.stdout)).map_err(|e| remote.context(e))
}

/// Makes the file be there with this content, owner and mode. Writes nothing when it already is.
pub(crate) async fn ensure(remote: &Remote<'_>, file: &File) -> Result<(), ActionError> {
    if is_in_order(remote, file).await? {
        return Ok(());
    }
    put(remote, file).await?;
    if is_in_order(remote, file).await? {
        return Ok(());
    }
    Err(remote.context(ActionError::transient(format!("{} was written but reads differently", file.path))))
}

/// Writes the file beside and renames it, so that nobody ever reads half of it.
pub(crate) async fn put(remote: &Remote<'_>, file: &File) -> Result<(), ActionError> {
    let beside = format!("{}.stargate-new", file.path);
    // Made empty, with its directories, owner and mode, before anything is in it.
    let make = ["-D", "-o", &file.owner.user, "-g", &file.owner.group, "-m", &file.mode, "/dev/null", &beside];
    remote.succeed(&RemoteCommand::change("install").args(make)).await?;
    let from_stdin = [&format!("of={beside}"), "conv=fsync", "status=none"];
    remote.succeed(&RemoteCommand::change("dd").args(from_stdin).stdin(file.content.clone())).await?;
    remote.succeed(&RemoteCommand::change("mv").args(["-T", &beside, &file.path])).await.map(drop)
}

/// Removes the file; nothing there is as good.
pub(crate) async fn remove(remote: &Remote<'_>, path: &str) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("rm").args(["-f", path])).await.map(drop)
}

async fn is_in_order(remote: &Remote<'_>, file: &File) -> Result<bool, ActionError> {
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
        assert_eq!(normal_mode("0644").expect("fine"), "644");
        for mode in ["", "rw", "999", "77777"] {
            normal_mode(mode).expect_err(mode);
        }
        let owner = Owner::parse("root:adm").expect("fine");
        assert_eq!((owner.user.as_str(), owner.group.as_str()), ("root", "adm"));
        for owner in ["", ":", "-x", "a b", "a:b:c"] {
            Owner::parse(owner).expect_err(owner);
        }
    }
}
