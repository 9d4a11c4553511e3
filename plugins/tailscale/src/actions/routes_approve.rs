use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stargate_client::{Backoff, Prefix, WaitState, Waiter, check_prefixes, check_share};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use super::route_sets::{is_same_set, join, missing, union, without};
use crate::{
    client::{DeviceRoutes, TailscaleClient},
    permission::scope,
};

/// Advertised routes reach the coordination server within seconds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
const NOT_ADVERTISED_HINT: &str = "check the step that sets the host's preferences (ssh.tailscale.preferences): \
                                   `tailscale get advertise-routes` on the host shows its routes";

/// Desired approved routes of a device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesApproveInput {
    /// Node id of the device.
    pub node_id: String,
    /// Prefixes to approve, without host bits.
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<IpNet>,
    /// Withdraw approval from the other routes of the device, as far as they are managed.
    #[serde(default)]
    pub exact: bool,
    /// Managed routes. If absent, all routes of the device are.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub managed: Option<Vec<IpNet>>,
    /// Largest share of the approved managed routes that one run may withdraw, from 0 to 1.
    #[serde(default = "stargate_client::whole_share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_prune_share: f64,
}

/// Routes of a device after approval.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutesApproveOutput {
    /// Routes that the device advertises.
    pub advertised: Vec<String>,
    /// Routes that are approved.
    pub enabled: Vec<String>,
}

/// Action `tailscale.routes.approve`: makes the approved routes of a device contain, or equal, the
/// desired ones.
///
/// The API replaces the whole set of approved routes, so the whole set is sent.
pub(crate) struct RoutesApprove {
    client: Arc<TailscaleClient>,
}

impl RoutesApprove {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }

    async fn routes(&self, cx: &ActionContext, node_id: &str) -> Result<DeviceRoutes, ActionError> {
        let routes = self.client.get(cx, &["device", node_id, "routes"], &[]).await;
        routes.map_err(|e| ActionError::from(e).context(format_args!("routes of device {node_id}")))
    }

    /// Polls until the device advertises all desired routes. Approving a route that is not
    /// advertised would hide a mistake on the host.
    async fn wait_until_advertised(
        &self,
        cx: &ActionContext,
        desired: &RoutesApproveInput,
    ) -> Result<DeviceRoutes, ActionError> {
        let prefixes = desired.prefixes()?;
        let read = || async {
            let routes = self.routes(cx, &desired.node_id).await?;
            Ok(match missing(&prefixes, &routes.advertised_routes) {
                missing if missing.is_empty() => WaitState::Ready(routes),
                missing => {
                    WaitState::pending(format!("device {}: {} not advertised yet", desired.node_id, join(&missing)))
                }
            })
        };
        Waiter::new(cx, BACKOFF).with_hint(NOT_ADVERTISED_HINT).poll(read).await
    }
}

impl RoutesApproveInput {
    /// The routes as prefixes.
    ///
    /// # Errors
    /// `Permanent` if one has host bits: Tailscale refuses it, and rounding it would change the
    /// request.
    fn prefixes(&self) -> Result<Vec<Prefix>, ActionError> {
        check_prefixes("route", self.routes.iter().copied())
    }

    /// The full set of routes to approve, given the actual ones.
    ///
    /// # Errors
    /// `Permanent` if more routes would be withdrawn than `max_prune_share` permits.
    fn target(&self, actual: &DeviceRoutes) -> Result<Vec<String>, ActionError> {
        let approved = &actual.enabled_routes;
        if !self.exact {
            return Ok(union(approved, &self.prefixes()?));
        }
        let parsed = |text: &String| text.parse::<IpNet>().ok();
        let is_managed = |net: &IpNet| self.managed.as_ref().is_none_or(|managed| managed.contains(net));
        let managed: Vec<IpNet> = approved.iter().filter_map(parsed).filter(is_managed).collect();
        let stale: Vec<IpNet> = managed.iter().filter(|net| !self.routes.contains(net)).copied().collect();
        check_share("approved routes", stale.len(), managed.len(), self.max_prune_share)
            .map_err(|e| e.context(format_args!("device {}", self.node_id)))?;
        Ok(union(&without(approved, &stale), &self.prefixes()?))
    }
}

impl Resource for RoutesApprove {
    type Desired = RoutesApproveInput;
    type Actual = DeviceRoutes;
    type Output = RoutesApproveOutput;
    const NAME: &'static str = "tailscale.routes.approve";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Approves routes that a device advertises, and keeps those approved before.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &RoutesApproveInput,
    ) -> Result<Option<DeviceRoutes>, ActionError> {
        desired.prefixes()?;
        self.routes(cx, &desired.node_id).await.map(Some)
    }

    fn diff(
        &self,
        desired: &RoutesApproveInput,
        actual: Option<&DeviceRoutes>,
    ) -> Result<Vec<Difference>, ActionError> {
        let nothing = DeviceRoutes::default();
        let actual = actual.unwrap_or(&nothing);
        let mut differences = Vec::new();
        let unadvertised = missing(&desired.prefixes()?, &actual.advertised_routes);
        if !unadvertised.is_empty() {
            differences.push(Difference::missing("advertised routes", join(&unadvertised)));
        }
        let target = desired.target(actual)?;
        if !is_same_set(&target, &actual.enabled_routes) {
            differences.push(Difference::new("approved routes", json!(actual.enabled_routes), json!(target)));
        }
        Ok(differences)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &RoutesApproveInput,
        _: Option<&DeviceRoutes>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let routes = self.wait_until_advertised(cx, desired).await?;
        let target = desired.target(&routes)?;
        if is_same_set(&target, &routes.enabled_routes) {
            return Ok(()); // Approved meanwhile, for instance by the policy's autoApprovers.
        }
        let path = ["device", &desired.node_id, "routes"];
        self.client.post::<DeviceRoutes>(cx, &path, &json!({ "routes": target })).await?;
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &RoutesApproveInput,
        actual: &DeviceRoutes,
    ) -> Result<RoutesApproveOutput, ActionError> {
        Ok(RoutesApproveOutput { advertised: actual.advertised_routes.clone(), enabled: actual.enabled_routes.clone() })
    }
}

impl RequiredPermissions for RoutesApprove {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:routes")];
}
