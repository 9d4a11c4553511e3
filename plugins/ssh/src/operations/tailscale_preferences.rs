use serde::Deserialize;
use stargate_sdk::ActionError;

use crate::{command::RemoteCommand, remote::Remote};

/// The preferences of tailscaled that routing depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoutingPreferences {
    pub(crate) accept: bool,
    pub(crate) snat: bool,
    /// Whether only what answers passes from behind it into the tunnel; never with a tailscaled that knows no such thing.
    pub(crate) filter: bool,
    /// Without the routes of an exit node, which are a preference of their own.
    pub(crate) advertise: Vec<String>,
}

/// What `tailscale set` is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PreferenceChange {
    pub(crate) accept: Option<bool>,
    pub(crate) snat: Option<bool>,
    pub(crate) filter: Option<bool>,
    /// The whole list: it replaces the one before.
    pub(crate) advertise: Option<Vec<String>>,
}

/// Reads the preferences.
pub(crate) async fn read(remote: &Remote<'_>) -> Result<RoutingPreferences, ActionError> {
    let get = RemoteCommand::read("tailscale").args(["get", "--json"]);
    let outcome = remote.run(&get).await?;
    if outcome.is_success() {
        return outcome.json::<Gotten>(&get).map(Into::into).map_err(|e| remote.context(e));
    }
    // `tailscale get` is younger than `set`.
    let debug = RemoteCommand::read("tailscale").args(["debug", "prefs"]).with_root().confidential();
    remote.json::<Prefs>(&debug).await.map(Into::into)
}

/// Changes what `change` names and nothing else.
pub(crate) async fn set(remote: &Remote<'_>, change: &PreferenceChange) -> Result<(), ActionError> {
    let flags = change.flags();
    if flags.is_empty() {
        return Ok(());
    }
    remote.succeed(&RemoteCommand::change("tailscale").args(["set"]).args(flags)).await.map(drop)
}

impl PreferenceChange {
    fn flags(&self) -> Vec<String> {
        let accept = self.accept.map(|on| format!("--accept-routes={on}"));
        let snat = self.snat.map(|on| format!("--snat-subnet-routes={on}"));
        let filter = self.filter.map(|on| format!("--stateful-filtering={on}"));
        let routes = self.advertise.as_ref().map(|list| format!("--advertise-routes={}", list.join(",")));
        [accept, snat, filter, routes].into_iter().flatten().collect()
    }
}

/// The answer of `tailscale get --json`.
#[derive(Deserialize)]
struct Gotten {
    #[serde(rename = "accept-routes")]
    accept: bool,
    #[serde(rename = "snat-subnet-routes")]
    snat: bool,
    #[serde(rename = "stateful-filtering", default)]
    filter: bool,
    #[serde(rename = "advertise-routes")]
    advertise: String,
}

impl From<Gotten> for RoutingPreferences {
    fn from(gotten: Gotten) -> Self {
        let routes = gotten.advertise.split(',').map(str::trim).filter(|route| !route.is_empty());
        Self {
            accept: gotten.accept,
            snat: gotten.snat,
            filter: gotten.filter,
            advertise: without_exit_node(routes.map(str::to_owned)),
        }
    }
}

/// The answer of `tailscale debug prefs`. What else it holds, keys among them, is not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Prefs {
    route_all: bool,
    #[serde(rename = "NoSNAT")]
    no_snat: bool,
    no_stateful_filtering: Option<bool>,
    advertise_routes: Option<Vec<String>>,
}

impl From<Prefs> for RoutingPreferences {
    fn from(prefs: Prefs) -> Self {
        Self {
            accept: prefs.route_all,
            snat: !prefs.no_snat,
            filter: prefs.no_stateful_filtering == Some(false),
            advertise: without_exit_node(prefs.advertise_routes.unwrap_or_default()),
        }
    }
}

fn without_exit_node(routes: impl IntoIterator<Item = String>) -> Vec<String> {
    routes.into_iter().filter(|route| route != "0.0.0.0/0" && route != "::/0").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_say_the_same() {
        let gotten: Gotten = serde_json::from_str(
            r#"{"accept-dns":false,"accept-routes":true,"advertise-exit-node":true,"advertise-routes":"10.1.0.0/16,10.2.0.0/16",
                "hostname":"router","snat-subnet-routes":false,"stateful-filtering":false}"#,
        )
        .expect("get");
        let prefs: Prefs = serde_json::from_str(
            r#"{"ControlURL":"https://example.net","RouteAll":true,"CorpDNS":false,"Hostname":"router",
                "AdvertiseRoutes":["10.1.0.0/16","0.0.0.0/0","::/0","10.2.0.0/16"],"NoSNAT":true,"NoStatefulFiltering":true,"NetfilterMode":2}"#,
        )
        .expect("prefs");
        assert_eq!(RoutingPreferences::from(gotten), RoutingPreferences::from(prefs));
    }

    #[test]
    fn nothing_advertised_is_an_empty_list() {
        let gotten: Gotten =
            serde_json::from_str(r#"{"accept-routes":false,"advertise-routes":"","snat-subnet-routes":true}"#)
                .expect("get");
        let prefs: Prefs =
            serde_json::from_str(r#"{"RouteAll":false,"AdvertiseRoutes":null,"NoSNAT":false}"#).expect("prefs");
        let (gotten, prefs) = (RoutingPreferences::from(gotten), RoutingPreferences::from(prefs));
        assert!(gotten.advertise.is_empty() && prefs.snat);
        assert!(!gotten.filter && !prefs.filter, "an older tailscaled filters nothing");
    }

    #[test]
    fn only_what_changes_is_told() {
        let change = PreferenceChange { advertise: Some(vec![]), ..PreferenceChange::default() };
        assert_eq!(change.flags(), ["--advertise-routes="]);
        assert!(PreferenceChange::default().flags().is_empty());
    }
}
