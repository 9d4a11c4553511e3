use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    KubernetesSettings,
    call::{Call, Form},
    client::Connection,
    discovery::KnownKinds,
    failure::{ApiError, Effect, refused, unanswered},
    field::text,
    kind::{At, Kind},
};

/// Under which name our fields are owned.
pub(crate) const FIELD_MANAGER: &str = "stargate";
/// Objects in one page of a listing; kubectl's own figure.
const PAGE: &str = "500";

/// The API server of the cluster.
pub(crate) struct Api {
    connection: Connection,
    pub(crate) kinds: KnownKinds,
}

impl Api {
    pub(crate) fn new(settings: KubernetesSettings) -> Self {
        Self { connection: Connection::new(settings), kinds: KnownKinds::default() }
    }

    /// What speaks to the server.
    pub(crate) async fn client(&self) -> Result<&kube::Client, ActionError> {
        self.connection.client().await
    }

    /// The namespace that the kubeconfig's context names.
    pub(crate) async fn default_namespace(&self) -> Result<String, ActionError> {
        Ok(self.client().await?.default_namespace().to_owned())
    }

    /// URL of the API server, and the certificates that its own is checked against, as PEM.
    pub(crate) async fn endpoint(&self) -> Result<(String, String), ActionError> {
        self.connection.endpoint().await
    }

    /// Which cluster the kubeconfig leads to, and where that is said.
    pub(crate) async fn described(&self) -> Result<String, ActionError> {
        self.connection.described().await
    }

    /// The object; `None` when it is not there.
    pub(crate) async fn get(&self, cx: &ActionContext, kind: &Kind, at: At<'_>) -> Result<Option<Value>, ActionError> {
        found(self.call(cx, Call::read(kind.object(at, None))).await)
    }

    /// Every object of the kind, page by page; `None` when the server does not know the kind.
    pub(crate) async fn list(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        namespace: Option<&str>,
        filter: Option<(&'static str, &str)>,
    ) -> Result<Option<Vec<Value>>, ActionError> {
        let (mut items, mut next) = (Vec::new(), None::<String>);
        loop {
            let mut call = Call::read(kind.collection(namespace)).with("limit", PAGE);
            if let Some((name, value)) = filter {
                call = call.with(name, value);
            }
            if let Some(next) = next.take() {
                call = call.with("continue", next);
            }
            let Some(mut page) = found(self.call(cx, call).await)? else { return Ok(None) };
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match text(&page, "/metadata/continue") {
                Some(token) if !token.is_empty() => next = Some(token.to_owned()),
                _ => return Ok(Some(items)),
            }
        }
    }

    /// Creates `body` in the collection.
    pub(crate) async fn create(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        namespace: Option<&str>,
        body: Value,
    ) -> Result<Value, ApiError> {
        let call = Call::write(Method::POST, kind.collection(namespace), Form::Json, body);
        self.call(cx, call.with("fieldManager", FIELD_MANAGER)).await
    }

    /// Posts `body` to a subresource.
    pub(crate) async fn post(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        at: At<'_>,
        subresource: &str,
        body: Value,
    ) -> Result<Value, ApiError> {
        self.call(cx, Call::write(Method::POST, kind.object(at, Some(subresource)), Form::Json, body)).await
    }

    /// Replaces the object (or its subresource) as it was read: the `resourceVersion` in `body` guards it.
    pub(crate) async fn replace(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        at: At<'_>,
        subresource: Option<&str>,
        body: Value,
    ) -> Result<Value, ApiError> {
        let call = Call::write(Method::PUT, kind.object(at, subresource), Form::Json, body);
        self.call(cx, call.with("fieldManager", FIELD_MANAGER)).await
    }

    /// Merges `patch` into the object or its subresource.
    pub(crate) async fn merge(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        at: At<'_>,
        subresource: Option<&str>,
        patch: Value,
    ) -> Result<Value, ApiError> {
        let call = Call::write(Method::PATCH, kind.object(at, subresource), Form::MergePatch, patch);
        self.call(cx, call.with("fieldManager", FIELD_MANAGER)).await
    }

    /// Applies `body` server-side; with `force`, fields of others are taken over.
    pub(crate) async fn apply(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        at: At<'_>,
        body: Value,
        force: bool,
    ) -> Result<Value, ApiError> {
        let call = Call::write(Method::PATCH, kind.object(at, None), Form::Apply, body);
        self.call(cx, call.with("fieldManager", FIELD_MANAGER).with("force", force.to_string())).await
    }

    /// Deletes the object that has this `uid`. False: it is gone already, or another one has its name.
    pub(crate) async fn delete(
        &self,
        cx: &ActionContext,
        kind: &Kind,
        at: At<'_>,
        uid: &str,
        options: Value,
    ) -> Result<bool, ActionError> {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        if let (Some(body), Value::Object(options)) = (body.as_object_mut(), options) {
            body.extend(options);
        }
        match self.call(cx, Call::write(Method::DELETE, kind.object(at, None), Form::Json, body)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.is_stale() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a call. Stops waiting for its answer when the attempt is to stop.
    pub(crate) async fn call(&self, cx: &ActionContext, call: Call) -> Result<Value, ApiError> {
        tokio::select! {
            answer = self.answer(&call) => answer,
            () = tokio::time::sleep(cx.remaining()) => {
                Err(call.effect.in_doubt(format!("{}: no answer within the step's timeout", call.name())).into())
            }
            () = cx.cancellation().cancelled() => {
                Err(call.effect.in_doubt(format!("{}: interrupted", call.name())).into())
            }
        }
    }

    /// Makes a call to its end, even when the attempt is to stop: for tidying up.
    pub(crate) async fn answer(&self, call: &Call) -> Result<Value, ApiError> {
        self.answer_with_headers(call).await.map(|(_, answer)| answer)
    }

    /// Like [`Self::answer`], with the headers of the answer.
    pub(crate) async fn answer_with_headers(&self, call: &Call) -> Result<(HeaderMap, Value), ApiError> {
        let (effect, name) = (call.effect, call.name());
        let client = self.client().await?;
        let response = client.send(call.request()?).await.map_err(|e| unanswered(effect, &name, &e))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| unanswered(effect, &name, &e))?.to_bytes();
        if !head.status.is_success() {
            return Err(refused(effect, &name, head.status, &head.headers, &body));
        }
        parsed(effect, &name, &body).map(|answer| (head.headers, answer))
    }
}

fn parsed(effect: Effect, name: &str, body: &[u8]) -> Result<Value, ApiError> {
    // The position only: the text may hold a secret.
    let unreadable =
        |e: serde_json::Error| format!("{name}: the answer is no JSON, at line {} column {}", e.line(), e.column());
    Ok(serde_json::from_slice(body).map_err(|e| effect.in_doubt(unreadable(e)))?)
}

fn found(answer: Result<Value, ApiError>) -> Result<Option<Value>, ActionError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
