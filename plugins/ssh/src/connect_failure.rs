use stargate_sdk::ActionError;

use crate::host::Host;

/// Code of the error of a host that does not take the user's key.
pub(crate) const PERMISSION_DENIED: &str = "permission_denied";
/// Code of the error of a host that shows another key than the pinned one.
pub(crate) const HOST_KEY: &str = "host_key_mismatch";

const KEY_WORDS: [&str; 4] = [
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Host key verification failed",
    "host key is known for",
    "no matching host key type found",
];
const DENIED_WORDS: [&str; 2] = ["Permission denied (", "Too many authentication failures"];
const CONFIG_WORDS: [&str; 5] = [
    "Bad configuration option",
    "bad configuration options",
    "Bad owner or permissions",
    "Can't open user config file",
    "missing argument",
];

/// Maps what ssh says when it gets no connection. Nothing was sent to the host in any of these cases.
pub(crate) fn connect_failure(host: &Host, error: &openssh::Error) -> ActionError {
    match error {
        openssh::Error::Connect(cause) if cause.kind() == std::io::ErrorKind::NotFound => missing_ssh(cause),
        openssh::Error::Connect(cause) => said_by_ssh(host, &cause.to_string()),
        other => ActionError::transient(format!("host {host}: {}", with_causes(other))),
    }
}

/// An error and what caused it, on one line.
pub(crate) fn with_causes(error: &openssh::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn missing_ssh(cause: &std::io::Error) -> ActionError {
    ActionError::permanent(format!("the program ssh cannot be run: {cause}"))
        .with_hint("install the OpenSSH client on this machine")
}

fn said_by_ssh(host: &Host, text: &str) -> ActionError {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let message = format!("host {host}: {}", essence(text));
    if has(&KEY_WORDS) {
        return ActionError::permanent(format!("host {host} does not show the pinned host key"))
            .with_code(HOST_KEY)
            .with_hint(
                "the machine was replaced, or another one answers at its address; make sure which, and give the key that \
                 /etc/ssh/ssh_host_ed25519_key.pub on its console shows",
            );
    }
    if has(&DENIED_WORDS) {
        return ActionError::permanent(message).with_code(PERMISSION_DENIED).with_hint(format!(
            "the host does not take this key for the user {:?}; `ssh-add -l` shows the keys offered",
            host.user
        ));
    }
    if has(&CONFIG_WORDS) {
        return ActionError::permanent(message)
            .with_hint("ssh refuses its configuration file; correct the line it names");
    }
    ActionError::transient(message)
}

/// The last line that says something: those before it are banners and warnings.
fn essence(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("ssh ended without a word")
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    fn kind(text: &str) -> (FailureKind, Option<String>) {
        let host = Host {
            address: "203.0.113.7".into(),
            user: "ubuntu".into(),
            host_key: "ssh-ed25519 AAAA".into(),
            port: None,
            via: None,
        };
        let error = said_by_ssh(&host, text);
        (error.kind, error.code)
    }

    #[test]
    fn what_ssh_says_decides_whether_trying_again_helps() {
        let transient = (FailureKind::Transient, None);
        for text in [
            "ssh: connect to host 203.0.113.7 port 22: Connection refused",
            "ssh: connect to host 203.0.113.7 port 22: Connection timed out",
            "Could not resolve hostname router: Name or service not known",
            "kex_exchange_identification: read: Connection reset by peer",
            "kex_exchange_identification: Connection closed by remote host\nNot allowed at this time",
            "",
        ] {
            assert_eq!(kind(text), transient, "{text}");
        }
        let permanent = |code: &str| (FailureKind::Permanent, Some(code.to_owned()));
        assert_eq!(kind("ubuntu@203.0.113.7: Permission denied (publickey)."), permanent(PERMISSION_DENIED));
        assert_eq!(
            kind("@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed."),
            permanent(HOST_KEY)
        );
        assert_eq!(
            kind("No ED25519 host key is known for stargate-1\nHost key verification failed."),
            permanent(HOST_KEY)
        );
        assert_eq!(kind("/x/config: line 3: Bad configuration option: foo").0, FailureKind::Permanent);
    }
}
