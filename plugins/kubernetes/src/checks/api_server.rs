use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use stargate_sdk::{ActionContext, ActionError, Check, CheckStatus, FailureKind, Finding, Permission, clock_finding};

use crate::{api::Api, call::Call, field::owned};

/// `kubernetes.api`.
pub(crate) struct ApiServer(pub(crate) Arc<Api>);

impl Check for ApiServer {
    fn id(&self) -> &'static str {
        "kubernetes.api"
    }

    fn summary(&self) -> &'static str {
        "Asks the API server for its version, and compares this machine's clock with its own."
    }

    fn after(&self) -> &'static [&'static str] {
        &["kubernetes.kubeconfig"]
    }

    fn run<'a>(&'a self, _: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.look().await.unwrap_or_else(failed) })
    }
}

impl ApiServer {
    async fn look(&self) -> Result<Finding, ActionError> {
        let asked = Timestamp::now();
        let (headers, version) = self.0.answer_with_headers(&Call::read("/version".into())).await?;
        let version = owned(&version, "/gitVersion");
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        Ok(match clock_finding(date, asked, Timestamp::now()) {
            Some(clock) if clock.status != CheckStatus::Ok => {
                Finding { message: format!("the API server runs {version}, and {}", clock.message), ..clock }
            }
            _ => Finding::ok(format!("the API server runs {version}")),
        })
    }
}

fn failed(mut error: ActionError) -> Finding {
    if error.kind == FailureKind::Transient {
        let hint = "run `kubectl cluster-info` with the same kubeconfig: a private cluster is reached from its own network only";
        return Finding::of_error(error, hint);
    }
    // The server is there and does not want us.
    error.hint = None;
    let hint =
        "run `az aks get-credentials --resource-group GROUP --name CLUSTER` to get a kubeconfig that the cluster takes";
    Finding::of_error(error, hint)
}
