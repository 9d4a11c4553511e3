use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use http::Method;
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Check, Finding, Permission};

use super::question::Question;
use crate::{
    api::Api,
    call::{Call, Form},
    failure::Effect,
    field::owned,
    permission::AUTHORITY,
};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// Questions that are open at a time.
const AT_ONCE: usize = 16;
/// Commands that a reader still reads.
const MOST_COMMANDS: usize = 3;

/// `kubernetes.permissions`.
pub(crate) struct Permissions(pub(crate) Arc<Api>);

impl Check for Permissions {
    fn id(&self) -> &'static str {
        "kubernetes.permissions"
    }

    fn summary(&self) -> &'static str {
        "Asks the cluster whether the account may do what the actions do."
    }

    fn after(&self) -> &'static [&'static str] {
        &["kubernetes.api"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, needed: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        let needed: Vec<&str> =
            needed.iter().filter(|it| it.authority() == AUTHORITY).map(Permission::operation).collect();
        Box::pin(async move {
            let hint =
                "run `kubectl auth whoami` with the same kubeconfig to see whom the cluster takes this account for";
            let looked = self.look(cx, &needed).await;
            looked.unwrap_or_else(|error| Finding::of_error(error, hint)).with_permissions(&needed)
        })
    }
}

impl Permissions {
    async fn look(&self, cx: &ActionContext, needed: &[&str]) -> Result<Finding, ActionError> {
        let mut asked = Vec::new();
        for question in needed {
            asked.push(self.may(cx, question));
        }
        let answers: Vec<bool> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let missing: Vec<&str> = needed.iter().zip(answers).filter_map(|(it, may)| (!may).then_some(*it)).collect();
        let account = self.account(cx).await;
        if missing.is_empty() {
            return Ok(Finding::ok(format!("{account} may do all {} things that the actions do", needed.len())));
        }
        let found = format!("{account} may not, of {} things: {}", needed.len(), missing.join(", "));
        Ok(Finding::failed(found, advice(&account, &missing)))
    }

    async fn may(&self, cx: &ActionContext, question: &str) -> Result<bool, ActionError> {
        let parsed = Question::parse(question)
            .ok_or_else(|| ActionError::permanent(format!("{question:?} is nothing that can be asked")))?;
        let answer = self.0.call(cx, review(REVIEWS, parsed.review())).await?;
        Ok(answer["status"]["allowed"] == true)
    }

    /// Whom the cluster takes this account for; servers before 1.28 do not tell.
    async fn account(&self, cx: &ActionContext) -> String {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        match self.0.call(cx, review(WHO_AM_I, body)).await {
            Ok(answer) => owned(&answer, "/status/userInfo/username"),
            Err(_) => "this account".into(),
        }
    }
}

/// A question in the form of an object, which nobody keeps.
fn review(path: &str, body: Value) -> Call {
    Call { effect: Effect::None, ..Call::write(Method::POST, path.into(), Form::Json, body) }
}

/// The commands for an administrator, as many as can be read; roles only add to each other.
fn advice(account: &str, missing: &[&str]) -> String {
    let commands: Vec<_> = missing.iter().take(MOST_COMMANDS).zip(1..).filter_map(role_command).collect();
    let more = missing.len().saturating_sub(MOST_COMMANDS);
    let more = if more == 0 { String::new() } else { format!(", {more} more like it") };
    format!(
        "as the cluster's administrator, for each of them: {}{more}, and `kubectl create clusterrolebinding NAME --clusterrole=NAME --user={account}`",
        commands.join(", ")
    )
}

fn role_command((question, number): (&&str, usize)) -> Option<String> {
    let Question { verb, resource, group, subresource, .. } = Question::parse(question)?;
    let point = if group.is_empty() { "" } else { "." };
    let slash = if subresource.is_empty() { "" } else { "/" };
    let what = format!("{resource}{point}{group}{slash}{subresource}");
    Some(format!("`kubectl create clusterrole stargate-{number} --verb={verb} --resource={what}`"))
}
