use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, future::BoxFuture, stream};
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use super::granted::Granted;
use crate::{ArmClient, permission::AUTHORITY};

/// Resource groups that are asked about at a time.
const AT_ONCE: usize = 8;
const WAIT: &str = "a new role takes some minutes to work";

/// `azure.permissions`.
pub(crate) struct Permissions(pub(crate) ArmClient);

impl Check for Permissions {
    fn id(&self) -> &'static str {
        "azure.permissions"
    }

    fn summary(&self) -> &'static str {
        "Compares what the account may do in the subscription with what the actions do."
    }

    fn after(&self) -> &'static [&'static str] {
        &["azure.subscription"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, needed: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let needed: Vec<&str> =
            needed.iter().filter(|it| it.authority() == AUTHORITY).map(Permission::operation).collect();
        Box::pin(async move {
            let hint = "grant the account the role Reader on the subscription";
            let looked = self.look(cx, &needed).await;
            looked.unwrap_or_else(|error| Finding::of_error(error, hint)).with_permissions(&needed)
        })
    }
}

impl Permissions {
    async fn look(&self, cx: &ActionContext, needed: &[&str]) -> Result<Finding, ActionError> {
        let whole = self.granted(cx, None).await?;
        let lacking: Vec<&str> = needed.iter().copied().filter(|operation| !whole.allows(operation)).collect();
        if lacking.is_empty() {
            return Ok(Finding::ok(format!("all {} operations of the actions are granted", needed.len())));
        }
        let groups = self.groups(cx).await;
        let (in_groups, nowhere): (Vec<&str>, Vec<&str>) =
            lacking.into_iter().partition(|operation| groups.values().any(|granted| granted.allows(operation)));
        let names: Vec<&str> = groups
            .iter()
            .filter(|(_, granted)| in_groups.iter().any(|operation| granted.allows(operation)))
            .map(|(name, _)| name.as_str())
            .collect();
        Ok(if nowhere.is_empty() { self.partial(&in_groups, &names) } else { self.missing(&nowhere, needed.len()) })
    }

    fn missing(&self, operations: &[&str], of: usize) -> Finding {
        let scope = self.0.subscription_path();
        Finding::failed(
            format!("{} of {of} operations are not granted: {}", operations.len(), operations.join(", ")),
            format!(
                "make a role with them, `az role definition create --role-definition FILE`, and give it to the account, `az role assignment create --assignee ACCOUNT --role ROLE --scope {scope}`; {WAIT}"
            ),
        )
    }

    /// Granted, but not everywhere: right for a workflow that stays in these groups, which nobody can tell from here.
    fn partial(&self, operations: &[&str], groups: &[&str]) -> Finding {
        let scope = self.0.subscription_path();
        Finding::warning(
            format!("granted in the resource groups {} only: {}", groups.join(", "), operations.join(", ")),
            format!(
                "if the workflows reach beyond these groups: `az role assignment create --assignee ACCOUNT --role ROLE --scope {scope}`; {WAIT}"
            ),
        )
    }

    /// What is granted in the whole subscription, or in one of its groups.
    async fn granted(&self, cx: &ActionContext, group: Option<&str>) -> Result<Granted, ActionError> {
        let scope = self.0.subscription_path();
        let scope = group.map_or(scope.clone(), |group| format!("{scope}/resourcegroups/{group}"));
        let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
        let items = self.0.list(cx, &path, "2022-04-01").await.map_err(|e| e.context("permissions"))?;
        Ok(Granted::of(items))
    }

    /// What is granted in each group that can be seen. What cannot be read grants nothing.
    async fn groups(&self, cx: &ActionContext) -> BTreeMap<String, Granted> {
        let path = format!("{}/resourcegroups", self.0.subscription_path());
        let listed = self.0.list(cx, &path, "2024-07-01").await.unwrap_or_default();
        let mut asked = Vec::new();
        for name in listed.iter().filter_map(|group| group["name"].as_str()) {
            asked.push(self.granted_in(cx, name.to_owned()));
        }
        stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
    }

    async fn granted_in(&self, cx: &ActionContext, group: String) -> (String, Granted) {
        let granted = self.granted(cx, Some(&group)).await.unwrap_or_default();
        (group, granted)
    }
}
