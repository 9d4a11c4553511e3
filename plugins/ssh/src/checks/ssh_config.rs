use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, Check, Finding, Permission};
use tokio::process::Command;

/// Host name that no configuration matches, because the check only parses the file.
const UNKNOWN_HOST: &str = "stargate.invalid";

/// Check `ssh.config`: ssh can read its configuration.
///
/// A file with an unknown option fails here, before a run, and not at the first host.
pub(crate) struct SshConfigCheck {
    /// Configuration file that the settings name, if any.
    pub(crate) file: Option<PathBuf>,
}

impl Check for SshConfigCheck {
    fn id(&self) -> &'static str {
        "ssh.config"
    }

    fn summary(&self) -> &'static str {
        "Lets ssh parse its configuration, without connecting to a host."
    }

    fn after(&self) -> &'static [&'static str] {
        &["ssh.client"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(check_config(cx, self.file.as_deref()))
    }
}

/// Runs `ssh -G`, which prints the settings for a host without connecting to it. A `Match exec` in
/// the file is executed, as for any connection.
async fn check_config(cx: &ActionContext, file: Option<&Path>) -> Finding {
    let mut command = Command::new("ssh");
    command.arg("-G").stdin(Stdio::null()).kill_on_drop(true);
    for variable in &cx.secret_variables() {
        command.env_remove(variable);
    }
    if let Some(file) = file {
        // ssh accepts a directory without an error.
        if let Err(error) = tokio::fs::read(file).await {
            let message = format!("{} cannot be read: {error}", file.display());
            return Finding::failed(
                message,
                "add `--ssh-config PATH` with a file that can be read, or set STARGATE_SSH_CONFIG",
            );
        }
        command.arg("-F").arg(file);
    }
    let path = file.map_or_else(|| "~/.ssh/config".to_owned(), |file| file.display().to_string());
    match command.arg(UNKNOWN_HOST).output().await {
        Ok(output) if output.status.success() => Finding::ok(path),
        Ok(output) => Finding::failed(
            format!("ssh cannot read {path}: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
            match file {
                Some(_) => format!("correct it: `ssh -G -F {path} {UNKNOWN_HOST}` shows the same"),
                None => format!("correct it: `ssh -G {UNKNOWN_HOST}` shows the same"),
            },
        ),
        Err(error) => Finding::failed(format!("`ssh` cannot be run: {error}"), "run `ssh -V` to see why"),
    }
}
