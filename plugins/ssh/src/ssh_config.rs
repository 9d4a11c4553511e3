use std::path::Path;

use crate::host::Host;

/// Seconds for TCP and the banner; a machine that is up answers within one.
pub(crate) const CONNECT_TIMEOUT_SECONDS: u64 = 10;

/// The `ssh_config` for one host: what stargate insists on, then the user's own. ssh takes the first value it meets.
///
/// What is insisted on is for this host only, and not for a jump host on the way to it.
pub(crate) fn ssh_config(host: &Host, known_hosts: &Path, user_config: Option<&Path>) -> String {
    let known_hosts = known_hosts.display().to_string().replace('%', "%%"); // ssh expands % in this value
    let included = match user_config {
        Some(path) => format!("Include \"{}\"", path.display()),
        // What ssh reads by itself as long as no file is named.
        None => "Include ~/.ssh/config\nInclude /etc/ssh/ssh_config".to_owned(),
    };
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
    ClearAllForwardings yes
    PermitLocalCommand no
    RemoteCommand none
    RequestTTY no
    ControlMaster yes
    LogLevel INFO
Match all
{included}
",
        address = host.address,
        alias = host.alias(),
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn effective(config: &str, address: &str) -> String {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("config");
        std::fs::write(&path, config).expect("written");
        let output = Command::new("ssh").arg("-G").arg("-F").arg(&path).arg(address).output().expect("ssh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn a_real_ssh_takes_ours_first_and_the_users_for_the_rest() {
        let dir = tempfile::tempdir().expect("directory");
        let user_config = dir.path().join("user's config");
        std::fs::write(&user_config, "StrictHostKeyChecking no\nHost 203.0.113.*\n  ProxyCommand nc %h %p\n")
            .expect("written");
        let host = Host {
            address: "203.0.113.7".into(),
            user: "ubuntu".into(),
            host_key: "ssh-ed25519 AAAA".into(),
            port: None,
        };
        let config = ssh_config(&host, Path::new("/state/known 100%"), Some(&user_config));

        let ours = effective(&config, "203.0.113.7");
        for line in [
            "stricthostkeychecking true",
            "userknownhostsfile /state/known 100%",
            "proxycommand nc %h %p",
            "batchmode yes",
            &format!("hostkeyalias {}", host.alias()),
        ] {
            assert!(ours.lines().any(|l| l == line), "{line} in\n{ours}");
        }
        let jump_host = effective(&config, "198.51.100.1");
        assert!(jump_host.contains("stricthostkeychecking false"), "{jump_host}");
        assert!(!jump_host.contains("hostkeyalias"), "{jump_host}");
    }
}
