use std::{collections::BTreeSet, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stargate_client::Prefix;
use stargate_kubernetes_client::{KubeClient, ObjectName, SERVERS, permission};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

/// Start of the annotations of a `Server` object that record routes; the node id follows.
const ANNOTATION: &str = "routes.stargate.io/";

/// Action `kubernetes.routes.record`: records the routes that a router advertises for this
/// deployment, in its `Server` object.
///
/// Routes that are not recorded were added by another party, and are never withdrawn.
pub(crate) struct RoutesRecord(pub(crate) Arc<KubeClient>);

/// Routes to record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoutesRecordInput {
    /// Name of the router's `Server` object.
    server: String,
    /// Node id of the router in the tailnet.
    node_id: String,
    /// Routes that are about to be advertised and approved.
    routes: Vec<Prefix>,
    /// Record no other routes, and none of former devices of the router.
    #[serde(default)]
    exact: bool,
}

/// Routes that are recorded for a router.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RoutesRecordOutput {
    /// Recorded routes of the device, sorted.
    pub routes: Vec<Prefix>,
    /// Devices that the router was before, with their recorded routes.
    pub former: Vec<FormerDevice>,
}

/// A device of the tailnet that a router is no longer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FormerDevice {
    /// Node id of the device.
    pub node_id: String,
    /// Recorded routes of the device, sorted.
    pub routes: Vec<Prefix>,
}

impl Resource for RoutesRecord {
    type Desired = RoutesRecordInput;
    type Actual = Value;
    type Output = RoutesRecordOutput;
    const NAME: &'static str = "kubernetes.routes.record";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str =
        "Records the routes of a router in its Server object, so that only these are withdrawn.";

    async fn read(&self, cx: &ActionContext, desired: &RoutesRecordInput) -> Result<Option<Value>, ActionError> {
        let server = self.0.get(cx, &SERVERS, ObjectName::cluster(&desired.server)?).await?;
        server.map(Some).ok_or_else(|| ActionError::permanent(format!("Server {:?}: not found", desired.server)))
    }

    fn diff(&self, desired: &RoutesRecordInput, actual: Option<&Value>) -> Result<Vec<Difference>, ActionError> {
        let Some(server) = actual else { return Ok(Vec::new()) };
        let (before, after) = (recorded(server, &desired.node_id), desired.target(server));
        let what = format!("recorded routes of device {}", desired.node_id);
        let own = Difference::between(&what, join(&before), join(&after));
        let former = former(server, &desired.node_id).filter(|_| desired.exact).map(|device| {
            Difference::new(format!("recorded routes of device {}", device.node_id), join(&device.routes), Value::Null)
        });
        Ok(own.into_iter().chain(former).collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &RoutesRecordInput,
        actual: Option<&Value>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(server) = actual else { return Ok(()) };
        let own = (desired.node_id.clone(), json!(join(&desired.target(server))));
        let former = former(server, &desired.node_id).filter(|_| desired.exact);
        let removed = former.map(|device| (device.node_id, Value::Null));
        let annotations: Map<String, Value> =
            removed.chain([own]).map(|(node_id, value)| (format!("{ANNOTATION}{node_id}"), value)).collect();
        let patch = json!({ "metadata": { "annotations": annotations } });
        self.0.merge(cx, &SERVERS, ObjectName::cluster(&desired.server)?, None, patch).await?;
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &RoutesRecordInput,
        server: &Value,
    ) -> Result<RoutesRecordOutput, ActionError> {
        Ok(RoutesRecordOutput {
            routes: recorded(server, &desired.node_id).into_iter().collect(),
            former: former(server, &desired.node_id).collect(),
        })
    }
}

impl RequiredPermissions for RoutesRecord {
    const PERMISSIONS: &'static [Permission] =
        &[permission("get servers.stargate.io"), permission("patch servers.stargate.io")];
}

impl RoutesRecordInput {
    /// The routes to record: in addition to the recorded ones, unless they must be exact.
    fn target(&self, server: &Value) -> BTreeSet<Prefix> {
        let kept = if self.exact { BTreeSet::new() } else { recorded(server, &self.node_id) };
        kept.into_iter().chain(self.routes.iter().copied()).collect()
    }
}

/// Recorded routes of a device.
fn recorded(server: &Value, node_id: &str) -> BTreeSet<Prefix> {
    parse(&server["metadata"]["annotations"][format!("{ANNOTATION}{node_id}")])
}

/// Other devices with recorded routes, sorted by node id.
fn former<'a>(server: &'a Value, node_id: &'a str) -> impl Iterator<Item = FormerDevice> + 'a {
    let annotations = server["metadata"]["annotations"].as_object().into_iter().flatten();
    let devices = annotations.filter_map(|(key, routes)| Some((key.strip_prefix(ANNOTATION)?, routes)));
    devices
        .filter(move |(other, _)| *other != node_id)
        .map(|(other, routes)| FormerDevice { node_id: other.to_owned(), routes: parse(routes).into_iter().collect() })
}

fn parse(annotation: &Value) -> BTreeSet<Prefix> {
    annotation.as_str().unwrap_or_default().split(',').filter_map(|text| text.trim().parse().ok()).collect()
}

fn join<'a>(routes: impl IntoIterator<Item = &'a Prefix>) -> String {
    routes.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(routes: &[&str], exact: bool) -> RoutesRecordInput {
        serde_json::from_value(json!({"server": "r", "node_id": "n2", "routes": routes, "exact": exact}))
            .expect("input")
    }

    #[test]
    fn routes_are_added_until_they_must_be_exact() {
        let annotations =
            json!({"routes.stargate.io/n1": "10.1.0.0/16", "routes.stargate.io/n2": "10.2.0.0/16", "other": "x"});
        let server = json!({"metadata": {"annotations": annotations}});
        let target = |exact| join(&input(&["10.3.0.0/16"], exact).target(&server));
        assert_eq!(target(false), "10.2.0.0/16,10.3.0.0/16");
        assert_eq!(target(true), "10.3.0.0/16");
        let former: Vec<FormerDevice> = former(&server, "n2").collect();
        assert_eq!(
            (former.len(), former[0].node_id.as_str(), join(&former[0].routes).as_str()),
            (1, "n1", "10.1.0.0/16")
        );
    }

    #[test]
    fn a_server_without_a_record_has_no_routes() {
        assert!(recorded(&json!({"metadata": {}}), "n1").is_empty());
        assert_eq!(former(&json!({}), "n1").count(), 0);
    }
}
