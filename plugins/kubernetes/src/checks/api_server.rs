use std::{collections::BTreeSet, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;
use stargate_kubernetes_client::{KubeClient, KubeRequest, LOGIN_FAILED, json::text_or_empty};
use stargate_sdk::{ActionContext, ActionError, Check, CheckStatus, FailureKind, Finding, Permission, clock_finding};

const UNREACHABLE_HINT: &str =
    "run `kubectl cluster-info` with the same kubeconfig: a private cluster is reached from its own network only";
const REFUSED_HINT: &str =
    "run `az aks get-credentials --resource-group GROUP --name CLUSTER` to get a kubeconfig that the cluster accepts";

/// Check `kubernetes.api`: the API server answers, and its clock agrees with that of this machine.
pub(crate) struct ApiServer(pub(crate) Arc<KubeClient>);

impl Check for ApiServer {
    fn id(&self) -> &'static str {
        "kubernetes.api"
    }

    fn summary(&self) -> &'static str {
        "Reads the version of the API server, and compares its clock with that of this machine."
    }

    fn after(&self) -> &'static [&'static str] {
        &["kubernetes.kubeconfig"]
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, _: &'a BTreeSet<Permission>) -> BoxFuture<'a, Finding> {
        Box::pin(async { self.read_version(cx).await.unwrap_or_else(failed) })
    }
}

impl ApiServer {
    async fn read_version(&self, cx: &ActionContext) -> Result<Finding, ActionError> {
        let sent_at = Timestamp::now();
        let response = self.0.send_to_end(cx, &KubeRequest::read("/version")).await?;
        let received_at = Timestamp::now();
        let version = text_or_empty(&response.json()?, "/gitVersion");
        let date = response.headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        Ok(match clock_finding(date, sent_at, received_at) {
            Some(clock) if clock.status != CheckStatus::Ok => {
                Finding { message: format!("the API server runs {version}, and {}", clock.message), ..clock }
            }
            _ => Finding::ok(format!("the API server runs {version}")),
        })
    }
}

fn failed(mut error: ActionError) -> Finding {
    if error.code.as_deref() == Some(LOGIN_FAILED) {
        return Finding::of_error(error, REFUSED_HINT); // its own hint is about the login program
    }
    if error.kind == FailureKind::Transient {
        return Finding::of_error(error, UNREACHABLE_HINT);
    }
    error.hint = None; // The server was reached: its own hint about the kubeconfig says less.
    Finding::of_error(error, REFUSED_HINT)
}
