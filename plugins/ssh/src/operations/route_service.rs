use stargate_sdk::ActionError;

use super::kernel_route::Route;
use crate::{command::RemoteCommand, remote::Remote};

/// The unit that sets the routes at boot where networkd does not.
pub(crate) const NAME: &str = "stargate-routes.service";
/// Its file.
pub(crate) const PATH: &str = "/etc/systemd/system/stargate-routes.service";
/// systemd wants a full path; Debian, Ubuntu and Red Hat all have it here.
const REPLACE: &str = "ExecStart=/sbin/ip route replace ";

/// The routes in the unit's text.
pub(crate) fn parse(text: &str) -> Vec<Route> {
    text.lines().filter_map(|line| parse_words(line.trim().strip_prefix(REPLACE)?)).collect()
}

/// The unit's text.
pub(crate) fn render(routes: &[Route]) -> String {
    let line = |route: &Route| format!("{REPLACE}{} {}\n", route.prefix, route.way());
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

/// Whether the unit will be started at boot.
pub(crate) async fn is_enabled(remote: &Remote<'_>) -> Result<bool, ActionError> {
    // The exit code says less than the word: `static` and `indirect` end with 0 as well.
    let outcome = remote.run(&RemoteCommand::read("systemctl").args(["is-enabled", NAME])).await?;
    Ok(outcome.stdout.trim() == "enabled")
}

/// Has the unit started at boot; reads changed unit files as well.
pub(crate) async fn enable(remote: &Remote<'_>) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(["enable", NAME])).await.map(drop)
}

/// Has the unit started at boot no more.
pub(crate) async fn disable(remote: &Remote<'_>) -> Result<(), ActionError> {
    remote.succeed(&RemoteCommand::change("systemctl").args(["disable", NAME])).await.map(drop)
}

fn parse_words(words: &str) -> Option<Route> {
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    let [prefix, "via", via, "dev", device] = words.as_slice() else { return None };
    Some(Route { prefix: prefix.parse().ok()?, via: via.parse().ok()?, device: (*device).to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let routes = vec![Route {
            prefix: "10.1.0.0/16".parse().expect("prefix"),
            via: "10.0.0.1".parse().expect("address"),
            device: "eth0".into(),
        }];
        assert_eq!(parse(&render(&routes)), routes);
        assert!(render(&routes).contains("\nExecStart=/sbin/ip route replace 10.1.0.0/16 via 10.0.0.1 dev eth0\n"));
    }
}
