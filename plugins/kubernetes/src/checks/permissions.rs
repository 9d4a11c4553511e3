use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use serde_json::{Value, json};
use stargate_client::CallEffect;
use stargate_kubernetes_client::{AUTHORITY, KubeClient, KubeRequest, json::text_or_empty};
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use super::question::AccessQuestion;

/// Path of the reviews that tell if the caller may do something. Each authenticated account may
/// create them.
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// Path of the reviews that tell the name of the caller.
const SUBJECT_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Maximum number of concurrent requests.
const MAX_CONCURRENT: usize = 16;
/// Maximum number of commands in the hint.
const MAX_COMMANDS: usize = 3;

/// Check `kubernetes.permissions`: the account has the permissions that the actions require.
pub(crate) struct Permissions(pub(crate) Arc<KubeClient>);

impl Check for Permissions {
    fn id(&self) -> &'static str {
        "kubernetes.permissions"
    }

    fn summary(&self) -> &'static str {
        "Asks the cluster whether the account has the permissions that the actions require."
    }

    fn after(&self) -> &'static [&'static str] {
        &["kubernetes.api"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, required: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let required: Vec<&str> =
            required.iter().filter(|it| it.authority() == AUTHORITY).map(Permission::operation).collect();
        Box::pin(async move {
            let hint = "run `kubectl auth whoami` with the same kubeconfig to see the account";
            let finding = self.ask(cx, &required).await;
            finding.unwrap_or_else(|error| Finding::of_error(error, hint)).with_permissions(&required)
        })
    }
}

impl Permissions {
    /// Asks once for each permission, in parallel. The server answers for the moment: a role that
    /// is removed later is found by the action itself.
    async fn ask(&self, cx: &ActionContext, required: &[&str]) -> Result<Finding, ActionError> {
        let mut requests = Vec::new();
        for question in required {
            requests.push(self.is_allowed(cx, question));
        }
        let allowed: Vec<bool> = stream::iter(requests).buffered(MAX_CONCURRENT).try_collect().await?;
        let missing: Vec<&str> =
            required.iter().zip(allowed).filter_map(|(it, allowed)| (!allowed).then_some(*it)).collect();
        let account = self.account(cx).await;
        if missing.is_empty() {
            return Ok(Finding::ok(format!(
                "{account} has all {} permissions that the actions require",
                required.len()
            )));
        }
        let message = format!("{account} lacks, of {} permissions: {}", required.len(), missing.join(", "));
        Ok(Finding::failed(message, advice(&account, &missing)))
    }

    async fn is_allowed(&self, cx: &ActionContext, question: &str) -> Result<bool, ActionError> {
        let parsed = AccessQuestion::parse(question)
            .ok_or_else(|| ActionError::permanent(format!("{question:?} is not a permission of Kubernetes")))?;
        let response = self.0.call(cx, review(ACCESS_REVIEWS, parsed.review())).await?;
        Ok(response["status"]["allowed"] == true)
    }

    /// Name of the account in the cluster; servers before 1.28 do not report it.
    async fn account(&self, cx: &ActionContext) -> String {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        match self.0.call(cx, review(SUBJECT_REVIEWS, body)).await {
            Ok(response) => text_or_empty(&response, "/status/userInfo/username"),
            Err(_) => "this account".into(),
        }
    }
}

/// A request that creates a review, which the server answers and does not store.
fn review(path: &str, body: Value) -> KubeRequest {
    let mut request = KubeRequest::create(path, body);
    request.effect = CallEffect::ReadOnly;
    request
}

/// The hint: commands for an administrator, at most [`MAX_COMMANDS`]. Roles add to each other.
fn advice(account: &str, missing: &[&str]) -> String {
    let commands: Vec<_> = missing.iter().take(MAX_COMMANDS).zip(1..).filter_map(role_command).collect();
    let more = missing.len().saturating_sub(MAX_COMMANDS);
    let more = if more == 0 { String::new() } else { format!(", {more} more like it") };
    format!(
        "as the cluster's administrator, for each of them: {}{more}, and `kubectl create clusterrolebinding NAME --clusterrole=NAME --user={account}`",
        commands.join(", ")
    )
}

/// Command that creates a role with a permission; `None` for a text that is not one. The role is
/// not restricted to a namespace or a name.
fn role_command((question, number): (&&str, usize)) -> Option<String> {
    let AccessQuestion { verb, resource, group, subresource, .. } = AccessQuestion::parse(question)?;
    let dot = if group.is_empty() { "" } else { "." };
    let slash = if subresource.is_empty() { "" } else { "/" };
    let resource = format!("{resource}{dot}{group}{slash}{subresource}");
    Some(format!("`kubectl create clusterrole stargate-{number} --verb={verb} --resource={resource}`"))
}
