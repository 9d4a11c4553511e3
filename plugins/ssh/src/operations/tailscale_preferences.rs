use serde::Deserialize;
use stargate_sdk::ActionError;

use crate::client::{Remote, RemoteCommand};

/// Preferences of tailscaled that affect routing.
///
/// Both sources, `tailscale get` and `tailscale debug prefs`, give the same values. Preferences
/// that do not affect routing are never read, because private keys are next to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutingPreferences {
    /// True if routes of other devices are installed.
    pub(crate) accept: bool,
    /// True if forwarded packets get the device's own source address.
    pub(crate) snat: bool,
    /// True if only replies pass into the tunnel (stateful filtering); false for a tailscaled
    /// without this preference.
    pub(crate) filter: bool,
    /// Advertised routes, without those of an exit node, which are another preference.
    pub(crate) advertise: Vec<String>,
}

/// Preferences to change with `tailscale set`; `None` leaves one unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PreferenceChange {
    pub(crate) accept: Option<bool>,
    pub(crate) snat: Option<bool>,
    pub(crate) filter: Option<bool>,
    /// The whole list, which replaces the previous one.
    pub(crate) advertise: Option<Vec<String>>,
}

/// Reads the preferences that affect routing.
///
/// `tailscale debug prefs`, which versions without `tailscale get` have, prints private keys: its
/// output is confidential and reaches neither logs nor errors.
///
/// # Errors
/// Those of the command, with the host, and `Permanent` for an answer that is not the expected
/// JSON.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<RoutingPreferences, ActionError> {
    let get = RemoteCommand::read("tailscale").args(["get", "--json"]);
    let output = remote.run(&get).await?;
    if output.is_success() {
        return output.json::<PreferencesJson>(&get).map(Into::into).map_err(|e| remote.context(e));
    }
    // Old versions have `tailscale set` and no `tailscale get`.
    let debug = RemoteCommand::read("tailscale").args(["debug", "prefs"]).with_root().confidential();
    remote.json::<DebugPreferences>(&debug).await.map(Into::into)
}

/// Changes the preferences of `change`; runs no command if there are none.
///
/// One command changes all of them, so tailscaled never has a part of them. It returns once
/// tailscaled has stored the change; the control server learns of new routes shortly after.
///
/// # Errors
/// Those of the command. tailscaled checks all flags first: after an error nothing has changed.
pub(crate) async fn set(remote: &Remote<'_>, change: &PreferenceChange) -> Result<(), ActionError> {
    let flags = change.flags();
    if flags.is_empty() {
        return Ok(());
    }
    remote.succeed(&RemoteCommand::change("tailscale").args(["set"]).args(flags)).await.map(drop)
}

impl PreferenceChange {
    /// Flags of `tailscale set`, in a fixed order. An empty list of routes is written, because it
    /// withdraws all of them.
    fn flags(&self) -> Vec<String> {
        let accept = self.accept.map(|on| format!("--accept-routes={on}"));
        let snat = self.snat.map(|on| format!("--snat-subnet-routes={on}"));
        let filter = self.filter.map(|on| format!("--stateful-filtering={on}"));
        let routes = self.advertise.as_ref().map(|list| format!("--advertise-routes={}", list.join(",")));
        [accept, snat, filter, routes].into_iter().flatten().collect()
    }
}

/// Answer of `tailscale get --json`.
#[derive(Deserialize)]
struct PreferencesJson {
    #[serde(rename = "accept-routes")]
    accept: bool,
    #[serde(rename = "snat-subnet-routes")]
    snat: bool,
    #[serde(rename = "stateful-filtering", default)]
    filter: bool,
    #[serde(rename = "advertise-routes")]
    advertise: String,
}

impl From<PreferencesJson> for RoutingPreferences {
    fn from(json: PreferencesJson) -> Self {
        let routes = json.advertise.split(',').map(str::trim).filter(|route| !route.is_empty());
        Self {
            accept: json.accept,
            snat: json.snat,
            filter: json.filter,
            advertise: without_exit_node(routes.map(str::to_owned)),
        }
    }
}

/// Answer of `tailscale debug prefs`. Other fields, private keys among them, are not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DebugPreferences {
    route_all: bool,
    #[serde(rename = "NoSNAT")]
    no_snat: bool,
    no_stateful_filtering: Option<bool>,
    advertise_routes: Option<Vec<String>>,
}

impl From<DebugPreferences> for RoutingPreferences {
    fn from(prefs: DebugPreferences) -> Self {
        Self {
            accept: prefs.route_all,
            snat: !prefs.no_snat,
            filter: prefs.no_stateful_filtering == Some(false),
            advertise: without_exit_node(prefs.advertise_routes.unwrap_or_default()),
        }
    }
}

/// Removes the two default routes, with which an exit node is advertised. `tailscale set
/// --advertise-routes` neither adds nor withdraws them.
fn without_exit_node(routes: impl IntoIterator<Item = String>) -> Vec<String> {
    routes.into_iter().filter(|route| route != "0.0.0.0/0" && route != "::/0").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_commands_give_the_same_preferences() {
        let json: PreferencesJson = serde_json::from_str(
            r#"{"accept-dns":false,"accept-routes":true,"advertise-exit-node":true,"advertise-routes":"10.1.0.0/16,10.2.0.0/16",
                "hostname":"router","snat-subnet-routes":false,"stateful-filtering":false}"#,
        )
        .expect("get");
        let prefs: DebugPreferences = serde_json::from_str(
            r#"{"ControlURL":"https://example.net","RouteAll":true,"CorpDNS":false,"Hostname":"router",
                "AdvertiseRoutes":["10.1.0.0/16","0.0.0.0/0","::/0","10.2.0.0/16"],"NoSNAT":true,"NoStatefulFiltering":true,"NetfilterMode":2}"#,
        )
        .expect("prefs");
        assert_eq!(RoutingPreferences::from(json), RoutingPreferences::from(prefs));
    }

    #[test]
    fn no_advertised_routes_are_an_empty_list() {
        let json: PreferencesJson =
            serde_json::from_str(r#"{"accept-routes":false,"advertise-routes":"","snat-subnet-routes":true}"#)
                .expect("get");
        let prefs: DebugPreferences =
            serde_json::from_str(r#"{"RouteAll":false,"AdvertiseRoutes":null,"NoSNAT":false}"#).expect("prefs");
        let (json, prefs) = (RoutingPreferences::from(json), RoutingPreferences::from(prefs));
        assert!(json.advertise.is_empty() && prefs.snat);
        assert!(!json.filter && !prefs.filter, "an older tailscaled filters nothing");
    }

    #[test]
    fn only_changed_preferences_become_flags() {
        let change = PreferenceChange { advertise: Some(vec![]), ..PreferenceChange::default() };
        assert_eq!(change.flags(), ["--advertise-routes="]);
        assert!(PreferenceChange::default().flags().is_empty());
    }
}
