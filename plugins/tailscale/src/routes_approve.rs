use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stargate_sdk::{ActionContext, ActionError, Difference, FailureKind, Permission, RequiredPermissions, Resource};

use crate::{
    api::Api,
    model::DeviceRoutes,
    permission::scope,
    prefixes::{check_host_bits, list, missing, surplus, union},
};

/// What a device advertises reaches the coordination server within seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The routes that a device is to serve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredRoutes {
    /// Node id of the device.
    pub node_id: String,
    /// Prefixes to approve, without host bits.
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<IpNet>,
    /// Withdraw approval from every other route of the device.
    #[serde(default)]
    pub exact: bool,
}

/// The routes of a device after approval.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApprovedRoutes {
    /// What the device offers.
    pub advertised: Vec<String>,
    /// What the tailnet lets it serve.
    pub enabled: Vec<String>,
}

/// The approved routes of a device. The API replaces the whole set, so the whole set is what is sent.
pub(crate) struct RoutesApprove {
    api: Arc<Api>,
}

impl RoutesApprove {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    async fn routes(&self, cx: &ActionContext, node_id: &str) -> Result<DeviceRoutes, ActionError> {
        let routes = self.api.read(cx, &["device", node_id, "routes"], &[]).await;
        routes.map_err(|e| ActionError::from(e).context(format_args!("routes of device {node_id}")))
    }

    /// Waits until the device offers everything wanted: approving what is not offered would hide a mistake on the host.
    async fn advertised(&self, cx: &ActionContext, desired: &DesiredRoutes) -> Result<DeviceRoutes, ActionError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let waiting_for = match self.routes(cx, &desired.node_id).await {
                Ok(routes) => match missing(&desired.routes, &routes.advertised_routes) {
                    missing if missing.is_empty() => return Ok(routes),
                    missing => format!("{} not advertised yet", list(&missing)),
                },
                Err(error) if error.kind == FailureKind::Transient => error.message,
                Err(error) => return Err(error),
            };
            cx.progress(format!("device {}: {waiting_for}", desired.node_id));
            cx.sleep(pause).await.map_err(|e| not_advertised(e, &desired.node_id, &waiting_for))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Resource for RoutesApprove {
    type Desired = DesiredRoutes;
    type Actual = DeviceRoutes;
    type Output = ApprovedRoutes;
    const NAME: &'static str = "tailscale.routes.approve";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Approves routes that a device advertises, and keeps those approved before.";

    async fn read(&self, cx: &ActionContext, desired: &DesiredRoutes) -> Result<Option<DeviceRoutes>, ActionError> {
        check_host_bits(&desired.routes)?;
        self.routes(cx, &desired.node_id).await.map(Some)
    }

    fn diff(&self, desired: &DesiredRoutes, actual: Option<&DeviceRoutes>) -> Result<Vec<Difference>, ActionError> {
        let nothing = DeviceRoutes::default();
        let actual = actual.unwrap_or(&nothing);
        let mut differences = Vec::new();
        let unadvertised = missing(&desired.routes, &actual.advertised_routes);
        if !unadvertised.is_empty() {
            differences.push(Difference::missing("advertised routes", list(&unadvertised)));
        }
        let target = target(desired, actual);
        if !is_same_set(&target, &actual.enabled_routes) {
            differences.push(Difference::new("approved routes", json!(actual.enabled_routes), json!(target)));
        }
        Ok(differences)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &DesiredRoutes,
        _: Option<&DeviceRoutes>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let routes = self.advertised(cx, desired).await?;
        let target = target(desired, &routes);
        if is_same_set(&target, &routes.enabled_routes) {
            return Ok(()); // Approved meanwhile, by the policy's autoApprovers for one.
        }
        let path = ["device", &desired.node_id, "routes"];
        self.api.change::<DeviceRoutes>(cx, &path, &json!({ "routes": target })).await?;
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &DesiredRoutes,
        actual: &DeviceRoutes,
    ) -> Result<ApprovedRoutes, ActionError> {
        Ok(ApprovedRoutes { advertised: actual.advertised_routes.clone(), enabled: actual.enabled_routes.clone() })
    }
}

impl RequiredPermissions for RoutesApprove {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:routes")];
}

/// Everything that is to be approved: the full set.
fn target(desired: &DesiredRoutes, actual: &DeviceRoutes) -> Vec<String> {
    if desired.exact { union(&[], &desired.routes) } else { union(&actual.enabled_routes, &desired.routes) }
}

fn is_same_set(target: &[String], enabled: &[String]) -> bool {
    let wanted: Vec<IpNet> = target.iter().filter_map(|text| text.parse().ok()).collect();
    missing(&wanted, enabled).is_empty() && surplus(enabled, &wanted).is_empty()
}

fn not_advertised(error: ActionError, node_id: &str, waiting_for: &str) -> ActionError {
    error.context(format_args!("device {node_id}: {waiting_for}")).with_hint(
        "check the step that sets the host's preferences (ssh.tailscale.preferences): `tailscale get advertise-routes` on the host shows what it offers",
    )
}
