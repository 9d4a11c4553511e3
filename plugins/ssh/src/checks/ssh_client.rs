use std::{collections::BTreeSet, process::Stdio};

use futures::future::BoxFuture;
use stargate_sdk::{ActionContext, Check, Finding, Permission};
use tokio::process::Command;

/// Hint of each failure; the client is one package on Debian and Ubuntu.
const HINT: &str = "install OpenSSH's client: `sudo apt-get install openssh-client`";

/// Check `ssh.client`: the system has OpenSSH's client.
///
/// Connections use its control sockets, which other clients do not have.
pub(crate) struct SshClientCheck;

impl Check for SshClientCheck {
    fn id(&self) -> &'static str {
        "ssh.client"
    }

    fn summary(&self) -> &'static str {
        "Checks that the system's ssh is OpenSSH's, and shows its version."
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(check_version(cx))
    }
}

/// Runs `ssh -V`, which prints its version on stderr and opens no connection.
async fn check_version(cx: &ActionContext) -> Finding {
    let mut command = Command::new("ssh");
    for variable in &cx.secret_variables() {
        command.env_remove(variable);
    }
    match command.arg("-V").stdin(Stdio::null()).kill_on_drop(true).output().await {
        Ok(output) if output.status.success() => finding(String::from_utf8_lossy(&output.stderr).trim()),
        Ok(output) => Finding::failed(format!("`ssh -V` ended with {}", output.status), HINT),
        Err(error) => Finding::failed(format!("`ssh` cannot be run: {error}"), HINT),
    }
}

/// The finding for the output of `ssh -V`. Other clients have other options and messages.
fn finding(version: &str) -> Finding {
    if version.starts_with("OpenSSH_") {
        Finding::ok(version)
    } else {
        Finding::failed(format!("`ssh` is not OpenSSH's: {version:?}"), HINT)
    }
}

#[cfg(test)]
mod tests {
    use stargate_sdk::CheckStatus;

    use super::*;

    #[test]
    fn only_openssh_is_accepted() {
        assert_eq!(finding("OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 1 Jul 2025").status, CheckStatus::Ok);
        assert_eq!(finding("Dropbear v2025.88").status, CheckStatus::Failed);
    }
}
