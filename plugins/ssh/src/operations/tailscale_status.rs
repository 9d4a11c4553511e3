use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// What tailscaled says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TailscaleStatus {
    pub(crate) backend_state: String,
    #[serde(default)]
    pub(crate) version: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) health: Vec<String>,
    #[serde(rename = "Self")]
    pub(crate) node: Option<Node>,
}

/// The machine itself, as the tailnet knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Node {
    #[serde(rename = "ID", default)]
    pub(crate) id: String,
    #[serde(rename = "HostName", default)]
    pub(crate) hostname: String,
    #[serde(rename = "TailscaleIPs", default, deserialize_with = "null_is_empty")]
    pub(crate) addresses: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) primary_routes: Vec<String>,
}

impl TailscaleStatus {
    /// Which of `routes` this machine does not serve now: advertised, approved and elected is what counts.
    pub(crate) fn not_in_force(&self, routes: &[IpNet]) -> Vec<IpNet> {
        let served: Vec<IpNet> = self.primary_routes().iter().filter_map(|text| text.parse().ok()).collect();
        routes.iter().filter(|route| !served.contains(route)).copied().collect()
    }

    /// The routes that this machine serves now.
    pub(crate) fn primary_routes(&self) -> &[String] {
        self.node.as_ref().map_or(&[], |node| &node.primary_routes)
    }
}

/// Asks tailscaled. Ends well in every state of it, as long as it runs.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<TailscaleStatus, ActionError> {
    // Every peer of the tailnet is in it, with times that differ at each look: nothing for a log.
    remote.json(&RemoteCommand::read("tailscale").args(["status", "--json"]).confidential()).await
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_read_from_the_machine_itself() {
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
        assert_eq!(status.not_in_force(&routes), routes[1..]);
    }

    #[test]
    fn a_machine_that_has_not_joined_serves_nothing() {
        let status: TailscaleStatus = serde_json::from_str(
            r#"{"Version":"1.100.0","BackendState":"NeedsLogin","Self":{"ID":"","TailscaleIPs":null}}"#,
        )
        .expect("status");
        assert!(status.primary_routes().is_empty());
    }
}
