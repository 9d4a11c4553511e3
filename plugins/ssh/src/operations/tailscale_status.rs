use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// Answer of `tailscale status --json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TailscaleStatus {
    /// State of tailscaled: `Running`, `NeedsLogin`, `NeedsMachineAuth`, …
    pub(crate) backend_state: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    /// Problems that tailscaled reports, as text.
    pub(crate) health: Vec<String>,
    #[serde(rename = "Self")]
    pub(crate) node: Option<TailscaleSelf>,
}

/// The host's own device in the tailnet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TailscaleSelf {
    /// Stable node id; empty before the host has joined.
    #[serde(rename = "ID", default)]
    pub(crate) id: String,
    #[serde(rename = "HostName", default)]
    pub(crate) hostname: String,
    /// True if the node key has expired.
    #[serde(default)]
    pub(crate) expired: bool,
    #[serde(rename = "TailscaleIPs", default, deserialize_with = "null_as_empty")]
    pub(crate) addresses: Vec<String>,
    #[serde(default, deserialize_with = "null_as_empty")]
    /// Routes that the device serves: advertised, approved and elected.
    pub(crate) primary_routes: Vec<String>,
}

impl TailscaleStatus {
    /// Returns the prefixes of `routes` that the host does not serve.
    pub(crate) fn unserved_routes(&self, routes: &[IpNet]) -> Vec<IpNet> {
        let served: Vec<IpNet> = self.primary_routes().iter().filter_map(|text| text.parse().ok()).collect();
        routes.iter().filter(|route| !served.contains(route)).copied().collect()
    }

    /// Routes that the host serves.
    pub(crate) fn primary_routes(&self) -> &[String] {
        self.node.as_ref().map_or(&[], |node| &node.primary_routes)
    }
}

/// Reads the status of tailscaled, in any of its states.
///
/// # Errors
/// `Transient` if tailscaled is not running.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<TailscaleStatus, ActionError> {
    // Not logged: it lists all peers of the tailnet, with times that differ in each answer.
    remote.json(&RemoteCommand::read("tailscale").args(["status", "--json"]).confidential()).await
}

/// Deserializes a list that is `null` when it is empty.
fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// Checks what must hold for any output of `tailscale status --json`: it is read or refused, and a
/// served route is not missing.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_status(input: &[u8]) {
    let routes = ["10.1.0.0/16", "10.2.0.0/16"].map(|text| text.parse::<IpNet>().expect("prefix"));
    if let Ok(status) = serde_json::from_slice::<TailscaleStatus>(input) {
        let unserved = status.unserved_routes(&routes);
        assert!(unserved.iter().all(|route| !status.primary_routes().contains(&route.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn served_routes_are_those_of_the_host_itself() {
        let status: TailscaleStatus = serde_json::from_str(
            r#"{"Version":"1.100.0","TUN":true,"BackendState":"Running","HaveNodeKey":true,"AuthURL":"",
                "Self":{"ID":"nExample1CNTRL","NodeID":1,"HostName":"router","DNSName":"router.example.ts.net.",
                  "TailscaleIPs":["100.64.0.9","fd7a:115c:a1e0::9"],"AllowedIPs":["100.64.0.9/32","10.1.0.0/16"],
                  "PrimaryRoutes":["10.1.0.0/16"],"Addrs":["10.0.0.4:41641"],"Online":true},
                "Health":null,"Peer":{"nodekey:1":{"ID":"nExample2CNTRL","PrimaryRoutes":["10.2.0.0/16"]}}}"#,
        )
        .expect("status");
        let node = status.node.as_ref().expect("self");
        assert_eq!((node.id.as_str(), node.hostname.as_str()), ("nExample1CNTRL", "router"));
        let routes = ["10.1.0.0/16", "10.2.0.0/16"].map(|text| text.parse::<IpNet>().expect("prefix"));
        assert_eq!(status.unserved_routes(&routes), routes[1..]);
    }

    #[test]
    fn a_host_that_has_not_joined_serves_no_routes() {
        let status: TailscaleStatus = serde_json::from_str(
            r#"{"Version":"1.100.0","BackendState":"NeedsLogin","Self":{"ID":"","TailscaleIPs":null}}"#,
        )
        .expect("status");
        assert!(status.primary_routes().is_empty());
    }
}
