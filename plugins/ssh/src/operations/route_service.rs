use stargate_sdk::ActionError;

use super::kernel_route::ManagedRoute;
use crate::client::{Remote, RemoteCommand};

/// Name of the unit that sets the routes at boot on hosts without networkd.
pub(crate) const NAME: &str = "stargate-routes.service";
/// Path of the unit's file.
pub(crate) const PATH: &str = "/etc/systemd/system/stargate-routes.service";
/// Start of a line with a route. systemd requires a full path, which is the same on Debian, Ubuntu
/// and Red Hat.
const REPLACE: &str = "ExecStart=/sbin/ip route replace ";

/// Parses the routes of the unit's text.
pub(crate) fn parse(text: &str) -> Vec<ManagedRoute> {
    text.lines().filter_map(|line| parse_words(line.trim().strip_prefix(REPLACE)?)).collect()
}

/// Renders the unit's text.
pub(crate) fn render(routes: &[ManagedRoute]) -> String {
    let line = |route: &ManagedRoute| format!("{REPLACE}{} {}\n", route.prefix, route.next_hop());
    format!(
        "# Kept by stargate: routes that outlive a reboot.
[Unit]
Description=Routes kept by stargate
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
{}
[Install]
WantedBy=multi-user.target
",
        routes.iter().map(line).collect::<String>()
    )
}

/// Reads whether the unit is started at boot.
pub(crate) async fn is_enabled(remote: &Remote<'_>) -> Result<bool, ActionError> {
    // The text is compared, because the exit code is 0 for `static` and `indirect` too.
    let output = remote.run(&RemoteCommand::read("systemctl").args(["is-enabled", NAME])).await?;
    Ok(output.stdout.trim() == "enabled")
}

/// Enables the unit at boot. systemd also reloads changed unit files.
pub(crate) async fn enable(remote: &Remote<'_>) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(["enable", NAME])).await.map(drop)
}

/// Disables the unit at boot.
pub(crate) async fn disable(remote: &Remote<'_>) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(["disable", NAME])).await.map(drop)
}

fn parse_words(words: &str) -> Option<ManagedRoute> {
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let [prefix, "via", via, "dev", device] = words.as_slice() else { return None };
    Some(ManagedRoute { prefix: prefix.parse().ok()?, via: via.parse().ok()?, device: (*device).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_routes_are_parsed_again() {
        let routes = vec![ManagedRoute {
            prefix: "10.1.0.0/16".parse().expect("prefix"),
            via: "10.0.0.1".parse().expect("address"),
            device: "eth0".into(),
        }];
        assert_eq!(parse(&render(&routes)), routes);
        assert!(render(&routes).contains("\nExecStart=/sbin/ip route replace 10.1.0.0/16 via 10.0.0.1 dev eth0\n"));
    }
}
