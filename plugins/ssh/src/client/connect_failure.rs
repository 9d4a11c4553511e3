use stargate_sdk::ActionError;

use crate::host::SshHost;

/// Error code: the host does not accept the user's key.
pub(crate) const PERMISSION_DENIED: &str = "permission_denied";
/// Error code: the host presents another key than the pinned one.
pub(crate) const HOST_KEY: &str = "host_key_mismatch";

/// Words of ssh for a host with another key, from `sshconnect.c` and `kex.c` of OpenSSH. They are
/// not translated.
const KEY_WORDS: [&str; 4] = [
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Host key verification failed",
    "host key is known for",
    "no matching host key type found",
];
/// Words of ssh for a user without access. "Not allowed at this time", the lockout of sshd 9.8 and
/// later, is none of them: it passes by itself.
const DENIED_WORDS: [&str; 2] = ["Permission denied (", "Too many authentication failures"];
/// Words of ssh for a configuration file that it refuses, from `readconf.c` of OpenSSH.
const CONFIG_WORDS: [&str; 5] = [
    "Bad configuration option",
    "bad configuration options",
    "Bad owner or permissions",
    "Can't open user config file",
    "missing argument",
];

/// Error of a machine without an OpenSSH client, which no retry corrects.
pub(super) fn missing_ssh(cause: &std::io::Error) -> ActionError {
    ActionError::permanent(format!("the program ssh cannot be run: {cause}"))
        .with_hint("install the OpenSSH client on this machine")
}

/// Error of a connection that was not opened; no command was sent.
///
/// Wrong keys and wrong configuration are `Permanent`, everything else is `Transient`: a host that
/// boots, an address that is not routed yet.
///
/// ssh has one exit code, 255, for all of its own failures, so its text decides. The error has one
/// of the codes above where a caller treats the cause specially, such as a host that still boots.
///
/// `text` is what ssh printed.
pub(super) fn connect_failure(host: &SshHost, text: &str) -> ActionError {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let message = format!("host {host}: {}", last_line(text));
    if has(&KEY_WORDS) {
        return ActionError::permanent(format!("host {host} does not present the pinned host key"))
            .with_code(HOST_KEY)
            .with_hint(
                "the machine was replaced, or another one answers at its address; make sure which, and give the key that \
                 /etc/ssh/ssh_host_ed25519_key.pub on its console shows",
            );
    }
    if has(&DENIED_WORDS) {
        return ActionError::permanent(message).with_code(PERMISSION_DENIED).with_hint(format!(
            "the host does not accept this key for the user {:?}; `ssh-add -l` shows the keys offered",
            host.user
        ));
    }
    if has(&CONFIG_WORDS) {
        return ActionError::permanent(message)
            .with_hint("ssh refuses its configuration file; correct the line it names");
    }
    ActionError::transient(message)
}

/// The last line that is not empty, without the program's name: those before it are banners and
/// warnings.
fn last_line(text: &str) -> &str {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.map_or("ssh ended without a message", |line| line.strip_prefix("ssh: ").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use stargate_sdk::FailureKind;

    use super::*;

    fn kind(text: &str) -> (FailureKind, Option<String>) {
        let host = SshHost {
            address: "203.0.113.7".into(),
            user: "ubuntu".into(),
            host_key: "ssh-ed25519 AAAA".into(),
            port: None,
            via: None,
        };
        let error = connect_failure(&host, text);
        (error.kind, error.code)
    }

    #[test]
    fn the_text_of_ssh_decides_between_transient_and_permanent() {
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
