use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, Check, Finding, Permission};
use tokio::process::Command;

/// A host that no configuration means: the file is to be read, nobody is to be reached.
const NOBODY: &str = "stargate.invalid";

/// `ssh.config`.
pub(crate) struct Config {
    /// The file that the settings name.
    pub(crate) file: Option<PathBuf>,
}

impl Check for Config {
    fn id(&self) -> &'static str {
        "ssh.config"
    }

    fn summary(&self) -> &'static str {
        "Has ssh read its configuration, without connecting to anything."
    }

    fn after(&self) -> &'static [&'static str] {
        &["ssh.client"]
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(look(self.file.as_deref()))
    }
}

async fn look(file: Option<&Path>) -> Finding {
    let mut command = Command::new("ssh");
    command.arg("-G").stdin(Stdio::null()).kill_on_drop(true);
    if let Some(file) = file {
        // ssh says of a folder that all is well with it.
        if let Err(error) = tokio::fs::read(file).await {
            let found = format!("{} cannot be read: {error}", file.display());
            return Finding::failed(
                found,
                "add `--ssh-config PATH` with a file that can be read, or set STARGATE_SSH_CONFIG",
            );
        }
        command.arg("-F").arg(file);
    }
    let place = file.map_or_else(|| "~/.ssh/config".to_owned(), |file| file.display().to_string());
    match command.arg(NOBODY).output().await {
        Ok(output) if output.status.success() => Finding::ok(place),
        Ok(output) => Finding::failed(
            format!("ssh cannot read {place}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
            match file {
                Some(_) => format!("correct it: `ssh -G -F {place} {NOBODY}` shows the same"),
                None => format!("correct it: `ssh -G {NOBODY}` shows the same"),
            },
        ),
        Err(error) => Finding::failed(format!("`ssh` cannot be run: {error}"), "run `ssh -V` to see why"),
    }
}
