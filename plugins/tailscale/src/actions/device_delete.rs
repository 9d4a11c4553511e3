use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, Nature, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    client::{Device, TailscaleClient},
    permission::scope,
};

/// Action `tailscale.device.delete`: deletes a device, with its node key and its approved routes.
///
/// The machine is then no longer in the tailnet, and the other devices no longer send to it.
pub(crate) struct DeviceDelete {
    client: Arc<TailscaleClient>,
}

/// The device to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceDeleteInput {
    /// Node id of the device, which no other device ever has.
    pub node_id: String,
    /// Host name of the device. A device with another one is kept.
    pub hostname: String,
}

/// Result of the deletion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DeviceDeleteOutput {
    /// False if there was no device to delete.
    pub deleted: bool,
}

impl DeviceDelete {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }

    /// Reads the device; `None` if it does not exist.
    ///
    /// # Errors
    /// `Permanent`, if it has another host name.
    async fn device(&self, cx: &ActionContext, input: &DeviceDeleteInput) -> Result<Option<Device>, ActionError> {
        let device: Device = match self.client.get(cx, &["device", &input.node_id], &[("fields", "all")]).await {
            Ok(device) => device,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if device.hostname == input.hostname {
            return Ok(Some(device));
        }
        Err(ActionError::permanent(format!(
            "device {} has the host name {:?}, not {:?}",
            input.node_id, device.hostname, input.hostname
        ))
        .with_hint("delete it in the admin console of the tailnet, if it is the right one"))
    }
}

impl Action for DeviceDelete {
    type Input = DeviceDeleteInput;
    type Output = DeviceDeleteOutput;
    const NAME: &'static str = "tailscale.device.delete";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Deletes a device from the tailnet, with its node key and its approved routes.";

    async fn run(&self, cx: &ActionContext, input: &DeviceDeleteInput) -> Result<DeviceDeleteOutput, ActionError> {
        let Some(device) = self.device(cx, input).await? else { return Ok(DeviceDeleteOutput { deleted: false }) };
        match self.client.delete(cx, &["device", &device.node_id]).await {
            Ok(()) => cx.changed(format!("- device {}", device.name)),
            Err(error) if error.is_not_found() => return Ok(DeviceDeleteOutput { deleted: false }),
            Err(error) => return Err(error.into()),
        }
        Ok(DeviceDeleteOutput { deleted: true })
    }

    async fn preview(&self, cx: &ActionContext, input: &DeviceDeleteInput) -> Result<Preview, ActionError> {
        match self.device(cx, input).await? {
            None => Preview::unchanged(&DeviceDeleteOutput { deleted: false }),
            Some(device) => Ok(Preview::changes(vec![Difference::new(
                format!("device {}", device.name),
                device.node_id,
                Value::Null,
            )])),
        }
    }
}

impl RequiredPermissions for DeviceDelete {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:core:read"), scope("devices:core")];
}
