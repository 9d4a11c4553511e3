use serde::Deserialize;
use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// Reads the name of the systemd-networkd unit that configures `device`, such as
/// `10-netplan-eth0.network`.
///
/// `None` on a host without networkd, or if networkd does not manage the device.
pub(crate) async fn of_device(remote: &Remote<'_>, device: &str) -> Result<Option<String>, ActionError> {
    let json = remote.run(&RemoteCommand::read("networkctl").args(["--json=short", "status", device])).await?;
    if json.is_success()
        && let Ok(status) = serde_json::from_str::<LinkStatus>(&json.stdout)
    {
        return Ok(status.network_file.as_deref().and_then(file_name));
    }
    // systemd before 250, as in Ubuntu 22.04, does not print JSON here.
    let text = remote.run(&RemoteCommand::read("networkctl").args(["status", device])).await?;
    Ok(if text.is_success() { from_text(&text.stdout) } else { None })
}

/// Answer of `networkctl --json=short status DEVICE`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LinkStatus {
    network_file: Option<String>,
}

/// Name of the unit in the text of `networkctl status`; `None` if there is no such line, or it says
/// `n/a`.
fn from_text(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Network File:"))?;
    file_name(line.trim())
}

/// Name of a unit from its path. Other files, such as those of `.netdev`, configure no routes.
fn file_name(path: &str) -> Option<String> {
    let name = path.rsplit_once('/')?.1;
    name.ends_with(".network").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_found_in_both_output_formats() {
        let json = r#"{"Index":2,"Name":"eth0","NetworkFile":"/run/systemd/network/10-netplan-eth0.network"}"#;
        let status: LinkStatus = serde_json::from_str(json).expect("JSON");
        assert_eq!(status.network_file.as_deref().and_then(file_name).as_deref(), Some("10-netplan-eth0.network"));
        let text = "● 2: eth0\n                     Link File: /usr/lib/systemd/network/99-default.link\n                  Network File: /run/systemd/network/10-netplan-eth0.network\n";
        assert_eq!(from_text(text).as_deref(), Some("10-netplan-eth0.network"));
        assert_eq!(from_text("● 2: eth0\n  Network File: n/a\n"), None);
    }
}
