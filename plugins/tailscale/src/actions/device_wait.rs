use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_client::{Backoff, WaitState, Waiter};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    client::{Device, DeviceList, TailscaleClient},
    permission::scope,
};

/// A machine that has just joined is listed within seconds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
const NOT_JOINED_HINT: &str = "`tailscale status` on the machine shows its tailnet, and that it has joined";

/// The device to wait for, and its expected properties.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceWaitInput {
    /// Node id that the machine itself reports.
    pub node_id: String,
    /// Host name that the device must have.
    pub hostname: String,
    /// Tag that the device must have.
    pub tag: String,
}

/// A device that has joined.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DeviceWaitOutput {
    /// Node id of the device.
    pub node_id: String,
    /// Numeric id of the device, of the older form.
    pub id: String,
    /// Name in the tailnet, with the domain.
    pub name: String,
    /// Host name that the machine reported.
    pub hostname: String,
    /// IPv4 address in the tailnet.
    pub ipv4: String,
    /// All addresses in the tailnet.
    pub addresses: Vec<String>,
    /// Tags of the device, each as `tag:name`.
    pub tags: Vec<String>,
}

/// Action `tailscale.device.wait`: waits until a device has joined the tailnet and is authorised.
pub(crate) struct DeviceWait {
    client: Arc<TailscaleClient>,
}

impl DeviceWait {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }

    /// Polls until the device is authorised.
    async fn wait_until_authorized(&self, cx: &ActionContext, node_id: &str) -> Result<Device, ActionError> {
        let read = || async {
            Ok(match self.device(cx, node_id).await? {
                Some(device) if device.authorized => WaitState::Ready(device),
                Some(_) => WaitState::pending(format!("device {node_id}: the device is not authorised yet")),
                None => WaitState::pending(format!("device {node_id}: the device is not in the tailnet yet")),
            })
        };
        Waiter::new(cx, BACKOFF).with_hint(NOT_JOINED_HINT).poll(read).await
    }

    async fn device(&self, cx: &ActionContext, node_id: &str) -> Result<Option<Device>, ActionError> {
        match self.client.get(cx, &["device", node_id], &[("fields", "all")]).await {
            Ok(device) => Ok(Some(device)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Logs other devices of the same host name: a deleted machine's device keeps its approved
    /// routes.
    async fn log_namesakes(&self, cx: &ActionContext, device: &Device) {
        let query = [("fields", "all"), ("hostname", device.hostname.as_str())];
        match self.client.get::<DeviceList>(cx, &["tailnet", self.client.tailnet(), "devices"], &query).await {
            Ok(list) => {
                for namesake in list.devices.iter().filter(|other| is_namesake(other, device)) {
                    cx.log(describe_namesake(namesake));
                }
            }
            Err(error) => cx.log(format!("cannot list devices of the same host name: {}", error.error)),
        }
    }
}

impl Action for DeviceWait {
    type Input = DeviceWaitInput;
    type Output = DeviceWaitOutput;
    const NAME: &'static str = "tailscale.device.wait";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a device is in the tailnet, authorised, and what it is expected to be.";

    async fn run(&self, cx: &ActionContext, input: &DeviceWaitInput) -> Result<DeviceWaitOutput, ActionError> {
        let device = self.wait_until_authorized(cx, &input.node_id).await?;
        check_properties(&device, input)?;
        self.log_namesakes(cx, &device).await;
        output(device)
    }

    async fn preview(&self, cx: &ActionContext, input: &DeviceWaitInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for DeviceWait {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:core:read")];
}

fn check_properties(device: &Device, input: &DeviceWaitInput) -> Result<(), ActionError> {
    if device.hostname != input.hostname {
        return Err(ActionError::permanent(format!(
            "device {} has the host name {:?}, not {:?}",
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

fn describe_namesake(device: &Device) -> String {
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
