use std::{collections::HashSet, sync::Arc};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use super::prefixes::check_host_bits;
use crate::{
    Host,
    operations::tailscale_preferences::{self, PreferenceChange, RoutingPreferences},
    pool::Pool,
};

/// The preferences of tailscaled that a host is to have. What is left out is left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredPreferences {
    /// The host.
    pub host: Host,
    /// Whether it uses the routes of others; off by default on Linux.
    #[serde(default)]
    pub accept_routes: Option<bool>,
    /// Whether it hides the senders of what it forwards behind its own address; on by default.
    #[serde(default)]
    pub snat_subnet_routes: Option<bool>,
    /// Whether what it forwards into the tailnet has to answer something that came from there; nobody behind it can begin a
    /// connection then.
    #[serde(default)]
    pub stateful_filtering: Option<bool>,
    /// Prefixes that it is to offer, beside those it offers, without host bits.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub advertise_routes: Vec<IpNet>,
    /// Offer these prefixes and no others.
    #[serde(default)]
    pub exact: bool,
}

/// The preferences as they are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Preferences {
    /// Whether it uses the routes of others.
    pub accept_routes: bool,
    /// Whether it hides the senders of what it forwards.
    pub snat_subnet_routes: bool,
    /// Whether what it forwards into the tailnet has to answer something.
    pub stateful_filtering: bool,
    /// Prefixes that it offers.
    pub advertise_routes: Vec<String>,
}

/// Preferences of tailscaled. `tailscale set` replaces a whole list, so the whole list is what is set.
pub(crate) struct TailscalePreferences {
    pool: Arc<Pool>,
}

impl TailscalePreferences {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscalePreferences {}

impl Resource for TailscalePreferences {
    type Desired = DesiredPreferences;
    type Actual = RoutingPreferences;
    type Output = Preferences;
    const NAME: &'static str = "ssh.tailscale.preferences";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Sets a host's Tailscale preferences, and keeps the routes it advertises already.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &DesiredPreferences,
    ) -> Result<Option<RoutingPreferences>, ActionError> {
        check_host_bits(desired.advertise_routes.iter().copied())?;
        tailscale_preferences::read(&self.pool.remote(cx, &desired.host)?).await.map(Some)
    }

    fn diff(
        &self,
        desired: &DesiredPreferences,
        actual: Option<&RoutingPreferences>,
    ) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(Vec::new()) };
        let change = change(desired, actual);
        let accept = change.accept.map(|on| Difference::new("accept routes", actual.accept, on));
        let snat = change.snat.map(|on| Difference::new("SNAT", actual.snat, on));
        let filter = change.filter.map(|on| Difference::new("stateful filtering", actual.filter, on));
        let withdrawn = withdrawn(actual, &change);
        let withdrawn = (!withdrawn.is_empty())
            .then(|| Difference::new("withdrawn routes", withdrawn.join(", "), "not advertised"));
        let routes = change
            .advertise
            .map(|routes| Difference::new("advertised routes", actual.advertise.join(", "), routes.join(", ")));
        Ok([accept, snat, filter, routes, withdrawn].into_iter().flatten().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredPreferences,
        actual: Option<&RoutingPreferences>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(actual) = actual else { return Ok(()) };
        let remote = self.pool.remote(cx, &desired.host)?;
        let change = change(desired, actual);
        let withdrawn = withdrawn(actual, &change);
        if !withdrawn.is_empty() {
            cx.log(format!("warning: no longer advertised: {}", withdrawn.join(", ")));
        }
        tailscale_preferences::set(&remote, &change).await
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &DesiredPreferences,
        actual: &RoutingPreferences,
    ) -> Result<Preferences, ActionError> {
        Ok(Preferences {
            accept_routes: actual.accept,
            snat_subnet_routes: actual.snat,
            stateful_filtering: actual.filter,
            advertise_routes: actual.advertise.clone(),
        })
    }
}

/// What has to be set, and nothing else.
fn change(desired: &DesiredPreferences, actual: &RoutingPreferences) -> PreferenceChange {
    PreferenceChange {
        accept: desired.accept_routes.filter(|on| *on != actual.accept),
        snat: desired.snat_subnet_routes.filter(|on| *on != actual.snat),
        filter: desired.stateful_filtering.filter(|on| *on != actual.filter),
        advertise: advertise_routes(desired, &actual.advertise),
    }
}

/// What is advertised and will not be.
fn withdrawn(actual: &RoutingPreferences, change: &PreferenceChange) -> Vec<String> {
    let Some(list) = &change.advertise else { return Vec::new() };
    let list: HashSet<&String> = list.iter().collect();
    actual.advertise.iter().filter(|route| !list.contains(route)).cloned().collect()
}

/// The whole list, in the order it has; `None` when it is right.
fn advertise_routes(desired: &DesiredPreferences, present: &[String]) -> Option<Vec<String>> {
    let wanted: HashSet<&IpNet> = desired.advertise_routes.iter().collect();
    let is_wanted = |text: &&String| text.parse().is_ok_and(|prefix: IpNet| wanted.contains(&prefix));
    let kept = present.iter().filter(|text| !desired.exact || is_wanted(text));
    let mut list: Vec<String> = kept.cloned().collect();
    let mut known: HashSet<IpNet> = list.iter().filter_map(|text| text.parse().ok()).collect();
    let added = desired.advertise_routes.iter().filter(|prefix| known.insert(**prefix));
    list.extend(added.map(ToString::to_string));
    (list != present).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(present: &[&str], wanted: &[&str], exact: bool, expected: Option<&[&str]>) {
        let desired: DesiredPreferences = serde_json::from_value(serde_json::json!({
            "host": {"address": "h", "user": "u", "host_key": "k"}, "advertise_routes": wanted, "exact": exact,
        }))
        .expect("input");
        let owned = |routes: &[&str]| routes.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(advertise_routes(&desired, &owned(present)), expected.map(owned));
    }

    #[test]
    fn what_is_advertised_already_stays_in_its_order() {
        check(
            &["10.9.0.0/16", "10.1.0.0/16"],
            &["10.1.0.0/16", "10.2.0.0/16"],
            false,
            Some(&["10.9.0.0/16", "10.1.0.0/16", "10.2.0.0/16"]),
        );
        check(&["10.2.0.0/16", "10.1.0.0/16"], &["10.1.0.0/16", "10.2.0.0/16"], false, None);
        check(&[], &[], false, None);
    }

    #[test]
    fn exact_takes_the_others_away() {
        check(&["10.9.0.0/16", "10.1.0.0/16"], &["10.1.0.0/16"], true, Some(&["10.1.0.0/16"]));
        check(&["10.9.0.0/16"], &[], true, Some(&[]));
        check(&["10.2.0.0/16", "10.1.0.0/16"], &["10.1.0.0/16", "10.2.0.0/16"], true, None);
    }
}
