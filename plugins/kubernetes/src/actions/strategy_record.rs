use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stargate_kubernetes_client::{KubeClient, ObjectName, SITES, json::name, permission};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource};

use crate::inventory::{AdvertisedUnit, STRATEGY_ANNOTATION, aks_site_object};

/// Action `kubernetes.strategy.record`: records in the cluster how the datacenters' pod CIDRs are
/// advertised, so that later runs do the same.
pub(crate) struct StrategyRecord(pub(crate) Arc<KubeClient>);

/// Strategy to record.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StrategyRecordInput {
    /// One prefix for each site, or one for each worker.
    strategy: AdvertisedUnit,
}

/// The strategy as the cluster has it recorded.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct StrategyRecordOutput {
    /// Name of the `Site` object that has the record.
    pub site: String,
    /// One prefix for each site, or one for each worker.
    pub strategy: AdvertisedUnit,
}

impl Resource for StrategyRecord {
    type Desired = StrategyRecordInput;
    type Actual = Value;
    type Output = StrategyRecordOutput;
    const NAME: &'static str = "kubernetes.strategy.record";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Records in the cluster's Site object how the datacenters' pod CIDRs are advertised.";

    async fn read(&self, cx: &ActionContext, _: &StrategyRecordInput) -> Result<Option<Value>, ActionError> {
        let sites = self.0.list(cx, &SITES, None, None).await?.unwrap_or_default();
        let missing = || ActionError::permanent("no site of type aks is registered in the cluster");
        aks_site_object(&sites).cloned().map(Some).ok_or_else(missing)
    }

    fn diff(&self, desired: &StrategyRecordInput, actual: Option<&Value>) -> Result<Vec<Difference>, ActionError> {
        let before = actual.and_then(|site| site["metadata"]["annotations"][STRATEGY_ANNOTATION].as_str());
        let after = desired.strategy.as_str();
        // Without a record, each site advertises one prefix.
        let is_default = before.is_none() && desired.strategy == AdvertisedUnit::default();
        let difference = (before != Some(after) && !is_default).then(|| Difference::new("strategy", before, after));
        Ok(difference.into_iter().collect())
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &StrategyRecordInput,
        actual: Option<&Value>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        let Some(site) = actual else { return Ok(()) };
        let patch = json!({ "metadata": { "annotations": { STRATEGY_ANNOTATION: desired.strategy.as_str() } } });
        self.0.merge(cx, &SITES, ObjectName::cluster(name(site))?, None, patch).await?;
        Ok(())
    }

    fn output(
        &self,
        _: &ActionContext,
        desired: &StrategyRecordInput,
        site: &Value,
    ) -> Result<StrategyRecordOutput, ActionError> {
        Ok(StrategyRecordOutput { site: name(site).to_owned(), strategy: desired.strategy })
    }
}

impl RequiredPermissions for StrategyRecord {
    const PERMISSIONS: &'static [Permission] =
        &[permission("list sites.stargate.io"), permission("patch sites.stargate.io")];
}

#[cfg(test)]
mod tests {
    use stargate_kubernetes_client::KubeconfigSettings;

    use super::*;

    #[test]
    fn only_a_deviation_from_the_record_is_a_difference() {
        let action = StrategyRecord(Arc::new(KubeClient::new(KubeconfigSettings::default())));
        let differs = |recorded: Value, strategy: &str| {
            let site = json!({"metadata": {"name": "aks", "annotations": recorded}});
            let desired = serde_json::from_value(json!({ "strategy": strategy })).expect("input");
            !action.diff(&desired, Some(&site)).expect("compared").is_empty()
        };
        let recorded = |strategy: &str| json!({ STRATEGY_ANNOTATION: strategy });
        assert!(!differs(Value::Null, "per_site"));
        assert!(differs(Value::Null, "per_node"));
        assert!(!differs(recorded("per_node"), "per_node"));
        assert!(differs(recorded("per_node"), "per_site"));
    }
}
