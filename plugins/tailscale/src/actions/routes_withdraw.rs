use std::sync::Arc;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use super::route_sets::without;
use crate::{
    client::{Device, DeviceList, DeviceRoutes, TailscaleClient},
    permission::scope,
};

/// Approvals to withdraw. Devices that no longer exist are ignored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesWithdrawInput {
    /// Devices with the routes that must not be approved. Their other routes stay.
    pub devices: Vec<WithdrawnDevice>,
}

/// A device and the routes that it must not serve.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawnDevice {
    /// Node id of the device.
    pub node_id: String,
    /// Prefixes whose approval is withdrawn.
    #[schemars(with = "Vec<String>")]
    pub routes: Vec<IpNet>,
}

/// Result of a withdrawal.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutesWithdrawOutput {
    /// Node ids of the devices that exist.
    pub devices: Vec<String>,
}

/// Action `tailscale.routes.withdraw`: withdraws the approval of routes of devices.
pub(crate) struct RoutesWithdraw {
    client: Arc<TailscaleClient>,
}

impl RoutesWithdraw {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }
}

impl Resource for RoutesWithdraw {
    type Desired = RoutesWithdrawInput;
    /// The named devices that exist.
    type Actual = Vec<Device>;
    type Output = RoutesWithdrawOutput;
    const NAME: &'static str = "tailscale.routes.withdraw";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Withdraws the approval of some routes of devices, and keeps their others.";

    async fn read(
        &self,
        cx: &ActionContext,
        desired: &RoutesWithdrawInput,
    ) -> Result<Option<Vec<Device>>, ActionError> {
        if desired.devices.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let path = ["tailnet", self.client.tailnet(), "devices"];
        let mut devices = self.client.get::<DeviceList>(cx, &path, &[("fields", "all")]).await?.devices;
        devices.retain(|device| desired.devices.iter().any(|named| named.node_id == device.node_id));
        Ok(Some(devices))
    }

    fn diff(
        &self,
        desired: &RoutesWithdrawInput,
        actual: Option<&Vec<Device>>,
    ) -> Result<Vec<Difference>, ActionError> {
        let changes = actual.into_iter().flatten().filter_map(|device| Some((device, desired.rest(device)?)));
        let difference = |(device, rest): (&Device, Vec<String>)| {
            Difference::new(format!("approved routes of {}", device.name), json!(device.enabled_routes), json!(rest))
        };
        Ok(changes.map(difference).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &RoutesWithdrawInput,
        actual: Option<&Vec<Device>>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        for device in actual.into_iter().flatten() {
            if let Some(rest) = desired.rest(device) {
                let path = ["device", &device.node_id, "routes"];
                self.client.post::<DeviceRoutes>(cx, &path, &json!({ "routes": rest })).await?;
            }
        }
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        _: &RoutesWithdrawInput,
        actual: &Vec<Device>,
    ) -> Result<RoutesWithdrawOutput, ActionError> {
        Ok(RoutesWithdrawOutput { devices: actual.iter().map(|device| device.node_id.clone()).collect() })
    }
}

impl RoutesWithdrawInput {
    /// Approved routes of a device that stay; `None` if none is withdrawn.
    fn rest(&self, device: &Device) -> Option<Vec<String>> {
        let named = self.devices.iter().find(|named| named.node_id == device.node_id)?;
        let rest = without(&device.enabled_routes, &named.routes);
        (rest.len() < device.enabled_routes.len()).then_some(rest)
    }
}

impl RequiredPermissions for RoutesWithdraw {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:core:read"), scope("devices:routes")];
}
