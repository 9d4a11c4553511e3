use std::path::Path;

use crate::host::{JumpHost, SshHost};

/// Timeout of TCP connect and banner, in seconds; a running machine responds within one.
const CONNECT_TIMEOUT_SECONDS: u64 = 10;
/// Port of a host without one. It is written down, because a port in the user's file would
/// otherwise apply behind a jump host too.
const SSH_PORT: u16 = 22;

/// The `ssh_config` for one host: fixed settings, then the user's own. ssh uses the first value of
/// each setting.
///
/// The fixed settings apply to this host and its jump host, not to further hosts on the path.
///
/// `known_hosts` and `jump_known_hosts` are the files with the pinned keys. `user_config` is
/// included last; without it, the files that ssh reads by default are. So the user can add keys,
/// proxies and ciphers, and cannot turn off the check of the host's key.
pub(super) fn ssh_config(
    host: &SshHost,
    known_hosts: &Path,
    jump_known_hosts: Option<&Path>,
    user_config: Option<&Path>,
) -> String {
    let included = match user_config {
        Some(path) => format!("Include \"{}\"", path.display()),
        // The files that ssh reads if no file is named.
        None => "Include ~/.ssh/config\nInclude /etc/ssh/ssh_config".to_owned(),
    };
    let via = host.via.as_ref().zip(jump_known_hosts);
    let proxy = via.map_or_else(String::new, |(via, _)| proxy_settings(host, via));
    let jump = via.map_or_else(String::new, |(via, path)| {
        fixed_settings(&via.host(), path, "    ControlMaster no\n    ControlPath none\n")
    });
    let own =
        fixed_settings(host, known_hosts, &format!("    ClearAllForwardings yes\n    ControlMaster yes\n{proxy}"));
    format!("{own}{jump}Match all\n{included}\n")
}

/// Settings for a jump host. Host name and port are those that the jump host connects to; they
/// override the user's file, which may describe a direct path.
fn proxy_settings(host: &SshHost, via: &JumpHost) -> String {
    let address = if via.address.contains(':') { format!("[{}]", via.address) } else { via.address.clone() };
    let port = via.port.map_or_else(String::new, |port| format!(":{port}"));
    format!(
        "    HostName {}\n    Port {}\n    ProxyJump {}@{address}{port}\n",
        host.address,
        host.port.unwrap_or(SSH_PORT),
        via.user
    )
}

/// Settings that no configuration of the user overrides, with the lines of `more` at the end.
///
/// The key is looked up under an alias, so that two machines that have had the same address do not
/// share a key. Nothing asks for input, because no one is there to answer: a password, a new key
/// and a passphrase are errors.
fn fixed_settings(host: &SshHost, known_hosts: &Path, more: &str) -> String {
    let known_hosts = known_hosts.display().to_string().replace('%', "%%"); // ssh expands % in this value
    format!(
        "Match originalhost \"{address}\"
    HostKeyAlias {alias}
    UserKnownHostsFile \"{known_hosts}\"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    VerifyHostKeyDNS no
    BatchMode yes
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    ConnectTimeout {CONNECT_TIMEOUT_SECONDS}
    ConnectionAttempts 1
    # A peer that is gone is noticed after 15 seconds.
    ServerAliveInterval 5
    ServerAliveCountMax 3
    ForwardAgent no
    ForwardX11 no
    PermitLocalCommand no
    RemoteCommand none
    RequestTTY no
    LogLevel INFO
{more}",
        address = host.address,
        alias = host.alias(),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The settings that ssh itself computes for `address`.
    fn effective(config: &str, address: &str) -> String {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("config");
        std::fs::write(&path, config).expect("written");
        let output = Command::new("ssh").arg("-G").arg("-F").arg(&path).arg(address).output().expect("ssh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn ssh_uses_the_fixed_settings_first_and_the_users_for_the_rest() {
        let dir = tempfile::tempdir().expect("directory");
        let user_config = dir.path().join("user's config");
        std::fs::write(&user_config, "StrictHostKeyChecking no\nHost 203.0.113.*\n  ProxyCommand nc %h %p\n")
            .expect("written");
        let host = SshHost {
            address: "203.0.113.7".into(),
            user: "ubuntu".into(),
            host_key: "ssh-ed25519 AAAA".into(),
            port: None,
            via: None,
        };
        let config = ssh_config(&host, Path::new("/state/known 100%"), None, Some(&user_config));

        let fixed = effective(&config, "203.0.113.7");
        for line in [
            "stricthostkeychecking true",
            "userknownhostsfile /state/known 100%",
            "proxycommand nc %h %p",
            "batchmode yes",
            &format!("hostkeyalias {}", host.alias()),
        ] {
            assert!(fixed.lines().any(|l| l == line), "{line} in\n{fixed}");
        }
        let jump_host = effective(&config, "198.51.100.1");
        assert!(jump_host.contains("stricthostkeychecking false"), "{jump_host}");
        assert!(!jump_host.contains("hostkeyalias"), "{jump_host}");
    }

    #[test]
    fn a_host_behind_a_jump_host_is_resolved_there_and_both_keys_are_pinned() {
        let dir = tempfile::tempdir().expect("directory");
        let user_config = dir.path().join("config");
        std::fs::write(&user_config, "Host 10.50.1.5\n  HostName 127.0.0.1\n  Port 4022\n  ProxyCommand nc %h %p\n")
            .expect("written");
        let via = JumpHost {
            address: "203.0.113.7".into(),
            user: "jump".into(),
            host_key: "ssh-ed25519 AAAB".into(),
            port: Some(2022),
        };
        let host = SshHost {
            address: "10.50.1.5".into(),
            user: "ubuntu".into(),
            host_key: "ssh-ed25519 AAAA".into(),
            port: None,
            via: Some(via.clone()),
        };
        let config = ssh_config(&host, Path::new("/state/own"), Some(Path::new("/state/via")), Some(&user_config));
        let check = |address: &str, lines: &[&str]| {
            let effective = effective(&config, address);
            for line in lines {
                assert!(effective.lines().any(|l| l == *line), "{line} in\n{effective}");
            }
        };
        check(
            "10.50.1.5",
            &[
                "hostname 10.50.1.5",
                "port 22",
                "proxyjump jump@[203.0.113.7]:2022",
                &format!("hostkeyalias {}", host.alias()),
                "userknownhostsfile /state/own",
            ],
        );
        check(
            "203.0.113.7",
            &[
                &format!("hostkeyalias {}", via.host().alias()),
                "userknownhostsfile /state/via",
                "stricthostkeychecking true",
                "controlmaster false",
            ],
        );
    }
}
