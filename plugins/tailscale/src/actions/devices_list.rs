use std::{net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    client::{Device, DeviceList, TailscaleClient},
    permission::scope,
};

/// Devices whose routes are not listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevicesListInput {
    /// Node ids of devices whose routes are not listed.
    #[serde(default)]
    pub except: Vec<String>,
}

/// Devices of the tailnet, and the routes that they serve.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DevicesListOutput {
    /// Each device, sorted by name.
    pub devices: Vec<ListedDevice>,
    /// IPv4 prefixes that connected devices serve, sorted. Default routes are omitted: they are
    /// exit nodes.
    pub routes: Vec<ServedRoute>,
}

/// A device of the tailnet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListedDevice {
    /// Numeric id of the device, of the older form.
    pub id: String,
    /// Node id of the device.
    pub node_id: String,
    /// Name in the tailnet, with the domain.
    pub name: String,
    /// Host name that the machine reported.
    pub hostname: String,
    /// IPv4 address in the tailnet, if it has one.
    pub ipv4: Option<String>,
    /// Tags of the device, each as `tag:name`.
    pub tags: Vec<String>,
    /// True if the device has a connection to the coordination server; without one, other devices
    /// serve its routes.
    pub connected: bool,
    /// End of the device's key; `null` if it does not expire.
    #[serde(default)]
    pub key_expires: Option<String>,
    /// Routes that the device advertises.
    pub advertised: Vec<String>,
    /// Routes of the device that are approved.
    pub enabled: Vec<String>,
}

/// A prefix that a device serves.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ServedRoute {
    /// Prefix that packets are routed to.
    pub prefix: String,
    /// Text that names the device that serves it, for conflicts: `device NAME of the tailnet`.
    pub source: String,
}

/// Action `tailscale.devices.list`: lists the tailnet's devices, and the prefixes that they serve.
pub(crate) struct DevicesList {
    client: Arc<TailscaleClient>,
}

impl DevicesList {
    pub(crate) fn new(client: Arc<TailscaleClient>) -> Self {
        Self { client }
    }
}

impl Action for DevicesList {
    type Input = DevicesListInput;
    type Output = DevicesListOutput;
    const NAME: &'static str = "tailscale.devices.list";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Lists the tailnet's devices, and the prefixes that they serve.";

    async fn run(&self, cx: &ActionContext, input: &DevicesListInput) -> Result<DevicesListOutput, ActionError> {
        let path = ["tailnet", self.client.tailnet(), "devices"];
        let mut devices = self.client.get::<DeviceList>(cx, &path, &[("fields", "all")]).await?.devices;
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        let mut routes: Vec<_> =
            devices.iter().filter(|device| !input.except.contains(&device.node_id)).flat_map(served_routes).collect();
        routes.sort();
        Ok(DevicesListOutput { routes, devices: devices.into_iter().map(listed_device).collect() })
    }

    async fn preview(&self, cx: &ActionContext, input: &DevicesListInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for DevicesList {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:core:read")];
}

/// The IPv4 routes of a connected device, without default routes.
fn served_routes(device: &Device) -> Vec<ServedRoute> {
    let enabled = device.enabled_routes.iter().filter(|_| device.connected_to_control);
    let prefixes = enabled.filter_map(|route| route.parse().ok()).filter(|prefix: &Ipv4Net| prefix.prefix_len() > 0);
    let source = format!("device {} of the tailnet", device.name);
    prefixes.map(|prefix| ServedRoute { prefix: prefix.to_string(), source: source.clone() }).collect()
}

fn listed_device(device: Device) -> ListedDevice {
    ListedDevice {
        ipv4: device.addresses.iter().find(|address| address.parse::<Ipv4Addr>().is_ok()).cloned(),
        id: device.id,
        node_id: device.node_id,
        name: device.name,
        hostname: device.hostname,
        tags: device.tags,
        connected: device.connected_to_control,
        key_expires: device.expires.filter(|_| !device.key_expiry_disabled),
        advertised: device.advertised_routes,
        enabled: device.enabled_routes,
    }
}

/// Checks what must hold for any list of devices: it is read or refused, and no default route is
/// served.
#[cfg(feature = "fuzzing")]
pub(crate) fn check_any_list(input: &[u8]) {
    use crate::client::DeviceList;
    for device in serde_json::from_slice::<DeviceList>(input).into_iter().flat_map(|list| list.devices) {
        let routes = served_routes(&device);
        assert!(routes.iter().all(|route| route.prefix.parse::<Ipv4Net>().is_ok_and(|p| p.prefix_len() > 0)));
        let listed = listed_device(device);
        assert!(listed.ipv4.is_none_or(|address| address.parse::<Ipv4Addr>().is_ok()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connected_device_serves_routes() {
        let routes = ["0.0.0.0/0", "::/0", "10.1.0.0/16", "fd00::/64"].map(str::to_owned).to_vec();
        let mut device = Device { name: "n".into(), enabled_routes: routes, ..Device::default() };
        assert_eq!(served_routes(&device), []);
        device.connected_to_control = true;
        let route = ServedRoute { prefix: "10.1.0.0/16".into(), source: "device n of the tailnet".into() };
        assert_eq!(served_routes(&device), [route]);
    }
}
