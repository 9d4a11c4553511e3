use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::{
    Client, Config,
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError};
use tokio::sync::OnceCell;

use crate::{
    CiliumSettings,
    failure::{ApiError, Effect, refused, unanswered},
};

const CILIUM_NODES: &str = "/apis/cilium.io/v2/ciliumnodes";
/// Objects in one page of a listing; kubectl's own figure.
const PAGE: u32 = 500;
/// What the cluster's audit log calls us.
const AGENT: &str = concat!("stargate/", env!("CARGO_PKG_VERSION"));
/// A TCP and TLS handshake that takes longer than this will not end well.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The `CiliumNode` objects of the cluster.
pub(crate) struct Api {
    settings: CiliumSettings,
    client: OnceCell<Client>,
}

struct Call {
    effect: Effect,
    path: String,
    request: Request<Body>,
}

impl Api {
    pub(crate) fn new(settings: CiliumSettings) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    /// The node's `CiliumNode`; `None` when it is not there.
    pub(crate) async fn get(&self, cx: &ActionContext, name: &str) -> Result<Option<Value>, ActionError> {
        let path = path(name);
        let request = Request::get(&path).body(Body::empty()).map_err(|e| ActionError::permanent(e.to_string()))?;
        match self.call(cx, Call { effect: Effect::None, path, request }).await {
            Ok(node) => Ok(Some(node)),
            Err(error) if error.code == Some(StatusCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error.error),
        }
    }

    /// Every `CiliumNode`, page by page.
    pub(crate) async fn list(&self, cx: &ActionContext) -> Result<Vec<Value>, ActionError> {
        let (mut items, mut next) = (Vec::new(), String::new());
        loop {
            let path = format!("{CILIUM_NODES}?limit={PAGE}{next}");
            let request = Request::get(&path).body(Body::empty()).map_err(|e| ActionError::permanent(e.to_string()))?;
            let call = Call { effect: Effect::None, path: CILIUM_NODES.into(), request };
            let mut page = self.call(cx, call).await.map_err(|error| error.error)?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => {
                    next = format!("&continue={}", utf8_percent_encode(token, NON_ALPHANUMERIC));
                }
                _ => return Ok(items),
            }
        }
    }

    /// Applies `body` server-side as `stargate`; with `force`, fields of others are taken over.
    pub(crate) async fn apply(
        &self,
        cx: &ActionContext,
        name: &str,
        body: &Value,
        force: bool,
    ) -> Result<Value, ApiError> {
        let path = path(name);
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(format!("{path}?fieldManager=stargate&force={force}"))
            .header("content-type", "application/apply-patch+yaml") // JSON is YAML.
            .body(Body::from(body.to_string().into_bytes()))
            .map_err(|e| ActionError::permanent(e.to_string()))?;
        self.call(cx, Call { effect: Effect::Possible, path, request }).await
    }

    async fn call(&self, cx: &ActionContext, call: Call) -> Result<Value, ApiError> {
        let name = format!("kubernetes {} {}", call.request.method(), call.path);
        let effect = call.effect;
        tokio::select! {
            answer = self.answer(call, &name) => answer,
            () = tokio::time::sleep(cx.remaining()) => {
                Err(ActionError::new(effect.unanswered(), format!("{name}: no answer within the step's timeout")).into())
            }
            () = cx.cancellation().cancelled() => {
                Err(ActionError::new(effect.unanswered(), format!("{name}: interrupted")).into())
            }
        }
    }

    async fn answer(&self, call: Call, name: &str) -> Result<Value, ApiError> {
        let client = self.client.get_or_try_init(|| self.connect()).await?;
        let response = client.send(call.request).await.map_err(|e| unanswered(call.effect, name, &e))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| unanswered(call.effect, name, &e))?.to_bytes();
        if !head.status.is_success() {
            return Err(refused(call.effect, name, head.status, &head.headers, &body));
        }
        let answer = serde_json::from_slice(&body);
        Ok(answer
            .map_err(|e| ActionError::new(call.effect.unanswered(), format!("{name}: the answer is no JSON: {e}")))?)
    }

    async fn connect(&self) -> Result<Client, ActionError> {
        let mut config = self.config().await?;
        config.default_retry = false; // The engine retries.
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.headers.push((http::header::USER_AGENT, HeaderValue::from_static(AGENT)));
        Client::try_from(config).map_err(|e| unusable(&e))
    }

    async fn config(&self) -> Result<Config, ActionError> {
        let options = KubeConfigOptions { context: self.settings.context.clone(), ..KubeConfigOptions::default() };
        match (&self.settings.kubeconfig, &self.settings.context) {
            (Some(path), _) => {
                let file = Kubeconfig::read_from(path).map_err(|e| unusable(&e))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|e| unusable(&e))
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(|e| unusable(&e)),
            (None, None) => Config::infer().await.map_err(|e| unusable(&e)),
        }
    }
}

fn path(name: &str) -> String {
    format!("{CILIUM_NODES}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}

fn unusable(error: &dyn std::error::Error) -> ActionError {
    ActionError::permanent(format!("the kubeconfig cannot be used: {error}"))
        .with_hint("give `--kubeconfig FILE`, or set KUBECONFIG")
}
