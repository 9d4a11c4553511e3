use std::{net::Ipv4Addr, sync::Arc};

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Permission, Preview, Recovery, RequiredPermissions};

use crate::{
    api::Api,
    model::{Device, DeviceList},
    permission::scope,
};

/// Which devices' routes are of no interest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicesListInput {
    /// Node ids of devices whose routes are left out.
    #[serde(default)]
    pub except: Vec<String>,
}

/// The tailnet's devices, and where they lead.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DevicesListOutput {
    /// Every device, in the order of names.
    pub devices: Vec<ListedDevice>,
    /// Every IPv4 prefix that a connected device leads to, without whole internets; in order.
    pub routes: Vec<ServedRoute>,
}

/// A device.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListedDevice {
    /// Its older, numeric id.
    pub id: String,
    /// Its node id.
    pub node_id: String,
    /// Its name in the tailnet, with the domain.
    pub name: String,
    /// The host name it gave itself.
    pub hostname: String,
    /// Its IPv4 address in the tailnet, if it has one.
    pub ipv4: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it has a connection to the coordination server: others serve in the place of one that has none.
    pub connected: bool,
    /// What it offers to lead to.
    pub advertised: Vec<String>,
    /// What is approved of it.
    pub enabled: Vec<String>,
}

/// A prefix that a device leads to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ServedRoute {
    /// The prefix.
    pub prefix: String,
    /// Who leads there, in words.
    pub source: String,
}

/// `tailscale.devices.list`.
pub(crate) struct DevicesList {
    api: Arc<Api>,
}

impl DevicesList {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

impl Action for DevicesList {
    type Input = DevicesListInput;
    type Output = DevicesListOutput;
    const NAME: &'static str = "tailscale.devices.list";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Lists the tailnet's devices, and which prefixes they lead to.";

    async fn run(&self, cx: &ActionContext, input: &DevicesListInput) -> Result<DevicesListOutput, ActionError> {
        let path = ["tailnet", self.api.tailnet(), "devices"];
        let mut devices = self.api.read::<DeviceList>(cx, &path, &[("fields", "all")]).await?.devices;
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        let mut routes: Vec<_> =
            devices.iter().filter(|device| !input.except.contains(&device.node_id)).flat_map(served).collect();
        routes.sort();
        Ok(DevicesListOutput { routes, devices: devices.into_iter().map(listed).collect() })
    }

    async fn preview(&self, cx: &ActionContext, input: &DevicesListInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

impl RequiredPermissions for DevicesList {
    const PERMISSIONS: &'static [Permission] = &[scope("devices:core:read")];
}

fn served(device: &Device) -> Vec<ServedRoute> {
    let enabled = device.enabled_routes.iter().filter(|_| device.connected_to_control);
    let narrower = enabled.filter_map(|route| route.parse().ok()).filter(|prefix: &Ipv4Net| prefix.prefix_len() > 0);
    let source = format!("device {} of the tailnet", device.name);
    narrower.map(|prefix| ServedRoute { prefix: prefix.to_string(), source: source.clone() }).collect()
}

fn listed(device: Device) -> ListedDevice {
    ListedDevice {
        ipv4: device.addresses.iter().find(|address| address.parse::<Ipv4Addr>().is_ok()).cloned(),
        id: device.id,
        node_id: device.node_id,
        name: device.name,
        hostname: device.hostname,
        tags: device.tags,
        connected: device.connected_to_control,
        advertised: device.advertised_routes,
        enabled: device.enabled_routes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connected_device_leads_anywhere() {
        let routes = ["0.0.0.0/0", "::/0", "10.1.0.0/16", "fd00::/64"].map(str::to_owned).to_vec();
        let mut device = Device { name: "n".into(), enabled_routes: routes, ..Device::default() };
        assert_eq!(served(&device), []);
        device.connected_to_control = true;
        let route = ServedRoute { prefix: "10.1.0.0/16".into(), source: "device n of the tailnet".into() };
        assert_eq!(served(&device), [route]);
    }
}
