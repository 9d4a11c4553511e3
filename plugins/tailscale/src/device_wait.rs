use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{
    Action, ActionContext, ActionError, FailureKind, Permission, Preview, Recovery, RequiredPermissions,
};

use crate::{
    api::Api,
    model::{Device, DeviceList},
    permission::scope,
};

/// A machine that has just joined is listed within seconds.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Which device to wait for, and what it has to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceWaitInput {
    /// The node id that the machine itself reports.
    pub node_id: String,
    /// The host name that the device must have.
    pub hostname: String,
    /// The tag that the device must have.
    pub tag: String,
}

/// The device.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeviceWaitOutput {
    /// Its node id.
    pub node_id: String,
    /// Its older, numeric id.
    pub id: String,
    /// Its name in the tailnet, with the domain.
    pub name: String,
    /// The host name it gave itself.
    pub hostname: String,
    /// Its IPv4 address in the tailnet.
    pub ipv4: String,
    /// All its addresses in the tailnet.
    pub addresses: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Waits until a device is in the tailnet and authorised.
pub(crate) struct DeviceWait {
    api: Arc<Api>,
}

impl DeviceWait {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }

    async fn authorized(&self, cx: &ActionContext, node_id: &str) -> Result<Device, ActionError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let waiting_for = match self.device(cx, node_id).await {
                Ok(Some(device)) if device.authorized => return Ok(device),
                Ok(Some(_)) => "the device is not authorised yet".to_owned(),
                Ok(None) => "the device is not in the tailnet yet".to_owned(),
                Err(error) if error.kind == FailureKind::Transient => error.message,
                Err(error) => return Err(error),
            };
            cx.progress(format!("device {node_id}: {waiting_for}"));
            cx.sleep(pause).await.map_err(|e| gave_up(e, node_id, &waiting_for))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn device(&self, cx: &ActionContext, node_id: &str) -> Result<Option<Device>, ActionError> {
        match self.api.read(cx, &["device", node_id], &[("fields", "all")]).await {
            Ok(device) => Ok(Some(device)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Mentions devices that go by the same name: what a deleted machine leaves behind keeps its approved routes.
    async fn mention_namesakes(&self, cx: &ActionContext, device: &Device) {
        let query = [("fields", "all"), ("hostname", device.hostname.as_str())];
        match self.api.read::<DeviceList>(cx, &["tailnet", self.api.tailnet(), "devices"], &query).await {
            Ok(list) => {
                for namesake in list.devices.iter().filter(|d| is_namesake(d, device)) {
                    cx.log(mention(namesake));
                }
            }
            Err(error) => cx.log(format!("devices of the same name were not looked for: {}", error.error)),
        }
    }
}

impl Action for DeviceWait {
    type Input = DeviceWaitInput;
    type Output = DeviceWaitOutput;
    const NAME: &'static str = "tailscale.device.wait";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a device is in the tailnet, authorised, and what it is expected to be.";

    async fn run(&self, cx: &ActionContext, input: &DeviceWaitInput) -> Result<DeviceWaitOutput, ActionError> {
        let device = self.authorized(cx, &input.node_id).await?;
        check(&device, input)?;
        self.mention_namesakes(cx, &device).await;
        output(device)
    }

    async fn preview(&self, cx: &ActionContext, input: &DeviceWaitInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for DeviceWait {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:core:read")];
}

fn gave_up(error: ActionError, node_id: &str, waiting_for: &str) -> ActionError {
    error
        .context(format_args!("device {node_id}: {waiting_for}"))
        .with_hint("`tailscale status` on the machine tells whether it has joined, and which tailnet")
}

fn check(device: &Device, input: &DeviceWaitInput) -> Result<(), ActionError> {
    if device.hostname != input.hostname {
        return Err(ActionError::permanent(format!(
            "device {} calls itself {:?}, not {:?}",
            input.node_id, device.hostname, input.hostname
        ))
        .with_hint("the machine joined under another name; correct it with `tailscale set --hostname`"));
    }
    if !device.tags.contains(&input.tag) {
        return Err(ActionError::permanent(format!(
            "device {} has the tags {:?}, not {}",
            input.node_id, device.tags, input.tag
        ))
        .with_hint("the machine joined with a key without this tag; let it join again with one that has it"));
    }
    Ok(())
}

fn is_namesake(other: &Device, device: &Device) -> bool {
    other.hostname == device.hostname && other.node_id != device.node_id
}

fn mention(device: &Device) -> String {
    let seen = device.last_seen.as_deref().map_or("connected now".into(), |at| format!("last seen {at}"));
    let routes = match device.enabled_routes.as_slice() {
        [] => String::new(),
        routes => format!(", with the approved routes {}", routes.join(", ")),
    };
    format!(
        "another device has this host name: {} ({}), {seen}{routes}; delete it if its machine is gone",
        device.name, device.node_id
    )
}

fn output(device: Device) -> Result<DeviceWaitOutput, ActionError> {
    let ipv4 = device.addresses.iter().find(|address| address.parse::<Ipv4Addr>().is_ok()).cloned();
    let ipv4 = ipv4.ok_or_else(|| {
        ActionError::permanent(format!("device {} has no IPv4 address in the tailnet", device.node_id))
    })?;
    Ok(DeviceWaitOutput {
        node_id: device.node_id,
        id: device.id,
        name: device.name,
        hostname: device.hostname,
        ipv4,
        addresses: device.addresses,
        tags: device.tags,
    })
}
