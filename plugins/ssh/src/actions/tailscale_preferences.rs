use std::{collections::HashSet, sync::Arc};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{check_prefixes, check_share};
use stargate_sdk::{ActionContext, ActionError, Difference, RequiredPermissions, Resource};

use crate::{
    SshHost,
    client::ConnectionPool,
    operations::tailscale_preferences::{self, PreferenceChange, RoutingPreferences},
};

/// Desired preferences of tailscaled on a host. Absent ones are not changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailscalePreferencesInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Install routes that other devices advertise; Tailscale's default on Linux is off.
    #[serde(default)]
    pub accept_routes: Option<bool>,
    /// Replace the source address of forwarded packets by the host's own; Tailscale's default is
    /// on.
    #[serde(default)]
    pub snat_subnet_routes: Option<bool>,
    /// Forward only replies into the tailnet, so that machines behind the host cannot open
    /// connections.
    #[serde(default)]
    pub stateful_filtering: Option<bool>,
    /// Prefixes to advertise in addition to those that are advertised, without host bits.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub advertise_routes: Vec<IpNet>,
    /// Withdraw the other advertised prefixes, as far as they are managed.
    #[serde(default)]
    pub exact: bool,
    /// Managed prefixes. If absent, all advertised ones are.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub managed: Option<Vec<IpNet>>,
    /// Largest share of the advertised managed prefixes that one run may withdraw, from 0 to 1.
    #[serde(default = "stargate_client::whole_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_prune_share: f64,
}

/// Actual preferences of tailscaled on a host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TailscalePreferencesOutput {
    /// True if routes of other devices are installed.
    pub accept_routes: bool,
    /// True if the source address of forwarded packets is replaced.
    pub snat_subnet_routes: bool,
    /// True if only replies are forwarded into the tailnet.
    pub stateful_filtering: bool,
    /// Prefixes that the host advertises.
    pub advertise_routes: Vec<String>,
}

/// Action `ssh.tailscale.preferences`: sets preferences of tailscaled. `tailscale set` replaces the
/// whole list of routes, so the whole list is set.
///
/// The order of the existing routes is kept, so that an unchanged set is an unchanged list. Routes
/// that will be withdrawn are a difference of their own, because a preview has to show that
/// connections end.
pub(crate) struct TailscalePreferences {
    pool: Arc<ConnectionPool>,
}

impl TailscalePreferences {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for TailscalePreferences {}

impl Resource for TailscalePreferences {
    type Desired = TailscalePreferencesInput;
    type Actual = RoutingPreferences;
    type Output = TailscalePreferencesOutput;
    const NAME: &'static str = "ssh.tailscale.preferences";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Sets a host's Tailscale preferences, and keeps the routes it advertises already.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &TailscalePreferencesInput,
    ) -> Result<Option<RoutingPreferences>, ActionError> {
        check_prefixes("route", desired.advertise_routes.iter().copied())?;
        tailscale_preferences::read(&self.pool.remote(cx, &desired.host)?).await.map(Some)
    }

    fn diff(
        &self,
        desired: &TailscalePreferencesInput,
        actual: Option<&RoutingPreferences>,
    ) -> Result<Vec<Difference>, ActionError> {
        let Some(actual) = actual else { return Ok(Vec::new()) };
        let change = change(desired, actual);
        let (stale, managed) = stale(desired, &actual.advertise);
        check_share("advertised routes", stale.len(), managed, desired.max_prune_share)
            .map_err(|e| e.context(format_args!("host {}", desired.host)))?;
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
        desired: &TailscalePreferencesInput,
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
        _: &TailscalePreferencesInput,
        actual: &RoutingPreferences,
    ) -> Result<TailscalePreferencesOutput, ActionError> {
        Ok(TailscalePreferencesOutput {
            accept_routes: actual.accept,
            snat_subnet_routes: actual.snat,
            stateful_filtering: actual.filter,
            advertise_routes: actual.advertise.clone(),
        })
    }
}

/// The preferences that differ.
fn change(desired: &TailscalePreferencesInput, actual: &RoutingPreferences) -> PreferenceChange {
    PreferenceChange {
        accept: desired.accept_routes.filter(|on| *on != actual.accept),
        snat: desired.snat_subnet_routes.filter(|on| *on != actual.snat),
        filter: desired.stateful_filtering.filter(|on| *on != actual.filter),
        advertise: advertise_routes(desired, &actual.advertise),
    }
}

/// Routes that are advertised and will not be.
///
/// Empty unless the input is `exact`. The list is compared as text, because the kept routes are the
/// existing texts.
fn withdrawn(actual: &RoutingPreferences, change: &PreferenceChange) -> Vec<String> {
    let Some(list) = &change.advertise else { return Vec::new() };
    let list: HashSet<&String> = list.iter().collect();
    actual.advertise.iter().filter(|route| !list.contains(route)).cloned().collect()
}

/// Advertised managed prefixes that are no longer desired, and the number of all managed ones.
fn stale(desired: &TailscalePreferencesInput, present: &[String]) -> (HashSet<IpNet>, usize) {
    if !desired.exact {
        return (HashSet::new(), 0);
    }
    let is_managed = |prefix: &IpNet| desired.managed.as_ref().is_none_or(|managed| managed.contains(prefix));
    let managed: Vec<IpNet> = present.iter().filter_map(|text| text.parse().ok()).filter(is_managed).collect();
    let stale = managed.iter().filter(|prefix| !desired.advertise_routes.contains(prefix)).copied().collect();
    (stale, managed.len())
}

/// The whole list of routes to advertise, in the present order; `None` if it does not change.
fn advertise_routes(desired: &TailscalePreferencesInput, present: &[String]) -> Option<Vec<String>> {
    let (stale, _) = stale(desired, present);
    let is_stale = |text: &&String| text.parse().is_ok_and(|prefix: IpNet| stale.contains(&prefix));
    let kept = present.iter().filter(|text| !is_stale(text));
    let mut list: Vec<String> = kept.cloned().collect();
    let mut known: HashSet<IpNet> = list.iter().filter_map(|text| text.parse().ok()).collect();
    let added = desired.advertise_routes.iter().filter(|prefix| known.insert(**prefix));
    list.extend(added.map(ToString::to_string));
    (list != present).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(present: &[&str], advertise: &[&str], exact: bool, expected: Option<&[&str]>) {
        let desired: TailscalePreferencesInput = serde_json::from_value(serde_json::json!({
            "host": {"address": "h", "user": "u", "host_key": "k"}, "advertise_routes": advertise, "exact": exact,
        }))
        .expect("input");
        let owned = |routes: &[&str]| routes.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(advertise_routes(&desired, &owned(present)), expected.map(owned));
    }

    #[test]
    fn advertised_routes_stay_in_their_order() {
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
    fn exact_withdraws_managed_routes_only() {
        let desired: TailscalePreferencesInput = serde_json::from_value(serde_json::json!({
            "host": {"address": "h", "user": "u", "host_key": "k"}, "advertise_routes": ["10.1.0.0/16"], "exact": true,
            "managed": ["10.1.0.0/16", "10.2.0.0/16"],
        }))
        .expect("input");
        let present = ["10.1.0.0/16", "10.2.0.0/16", "192.168.77.0/24"].map(str::to_owned);
        let kept = ["10.1.0.0/16", "192.168.77.0/24"].map(str::to_owned);
        assert_eq!(advertise_routes(&desired, &present), Some(kept.to_vec()));
        assert_eq!(stale(&desired, &present).1, 2);
    }

    #[test]
    fn exact_withdraws_the_other_routes() {
        check(&["10.9.0.0/16", "10.1.0.0/16"], &["10.1.0.0/16"], true, Some(&["10.1.0.0/16"]));
        check(&["10.9.0.0/16"], &[], true, Some(&[]));
        check(&["10.2.0.0/16", "10.1.0.0/16"], &["10.1.0.0/16", "10.2.0.0/16"], true, None);
    }
}
