use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use stargate_client::{
    CallEffect, CallPermit, MAX_BODY_BYTES, RESPONSE_TOO_LARGE, compact, parse_json, read_body, within,
};
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    KubeconfigSettings,
    connection::ClusterConnection,
    discovery::KindCache,
    error::{KubeError, refused_error, unanswered_error},
    fenced::fence,
    json::text,
    kind::{NODES, ObjectKind, ObjectName, PODS, check_segment},
    request::{BodyFormat, KubeRequest},
};

/// Field manager that owns the fields which this program writes.
pub const FIELD_MANAGER: &str = "stargate";
/// Number of objects in the first page of a list; the default of kubectl. If a page is larger than
/// a response may be, the following ones are smaller.
const PAGE_SIZE: usize = 500;
/// Maximum number of pages of a list: half a million objects, more than a cluster can hold.
const MAX_PAGES: usize = 1000;

/// Largest memory of the objects of a list, in bytes as [`compact`] counts them.
const MAX_LIST_MEMORY: usize = 64 << 20;
/// Fields of a node that no action reads. They are most of its size: a node of AKS names up to 50
/// images.
const UNUSED_OF_NODES: [&str; 6] = ["images", "capacity", "allocatable", "volumesInUse", "volumesAttached", "config"];

/// Client of the API server of one cluster.
pub struct KubeClient {
    connection: ClusterConnection,
    pub(crate) kinds: KindCache,
}

/// A successful response with its whole body.
#[derive(Debug)]
pub struct KubeResponse {
    effect: CallEffect,
    name: String,
    /// Headers of the response.
    pub headers: HeaderMap,
    body: Vec<u8>,
}

impl KubeResponse {
    /// Parses the body.
    ///
    /// # Errors
    /// If the body is not JSON, judged by the effect of the request.
    pub fn json(&self) -> Result<Value, ActionError> {
        parse_json(self.effect, &self.name, &self.body)
    }
}

impl KubeClient {
    /// Creates a client. The kubeconfig is read and the connection made by the first call.
    pub fn new(settings: KubeconfigSettings) -> Self {
        Self { connection: ClusterConnection::new(settings), kinds: KindCache::default() }
    }

    pub(crate) async fn connected(&self, cx: &ActionContext) -> Result<kube::Client, ActionError> {
        Ok(self.connection.session(cx).await?.client)
    }

    /// The namespace of the kubeconfig's context, `default` if it names none.
    ///
    /// # Errors
    /// `Permanent` if the kubeconfig cannot be used.
    pub async fn default_namespace(&self) -> Result<String, ActionError> {
        self.connection.default_namespace().await
    }

    /// URL of the API server without a trailing slash, and the certificates that it is verified
    /// with, as PEM.
    ///
    /// # Errors
    /// `Permanent` if the kubeconfig cannot be used.
    pub async fn endpoint(&self) -> Result<(String, String), ActionError> {
        self.connection.endpoint().await
    }

    /// Text for users: the URL of the API server, with the context and the file that name it.
    ///
    /// # Errors
    /// `Permanent` if the kubeconfig cannot be used.
    pub async fn describe(&self) -> Result<String, ActionError> {
        self.connection.describe().await
    }

    /// Reads an object; `None` if the object or its kind does not exist.
    ///
    /// # Errors
    /// Those of [`Self::call`], except 404.
    pub async fn get(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        object: ObjectName<'_>,
    ) -> Result<Option<Value>, ActionError> {
        if_found(self.call_for_object(cx, KubeRequest::read(kind.object_path(object, None))).await)
    }

    /// Reads all objects of a kind, of all namespaces if `namespace` is `None`; `None` if the
    /// server does not serve the kind.
    ///
    /// `filter` is a query parameter, `labelSelector` or `fieldSelector`, with its value. The list
    /// is read in pages of one snapshot.
    ///
    /// # Errors
    /// Those of [`Self::call`], except 404. A snapshot that expired meanwhile is `Transient`.
    pub async fn list(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        namespace: Option<&str>,
        filter: Option<(&'static str, &str)>,
    ) -> Result<Option<Vec<Value>>, ActionError> {
        self.list_pruned(cx, kind, namespace, filter, |_| {}).await
    }

    /// Reads all nodes, without their images and resources; `filter` as for [`Self::list`].
    ///
    /// # Errors
    /// Those of [`Self::list`].
    pub async fn nodes(
        &self,
        cx: &ActionContext,
        filter: Option<(&'static str, &str)>,
    ) -> Result<Vec<Value>, ActionError> {
        let prune = |node: &mut Value| {
            if let Some(Value::Object(status)) = node.get_mut("status") {
                status.retain(|field, _| !UNUSED_OF_NODES.contains(&field.as_str()));
            }
        };
        Ok(self.list_pruned(cx, &NODES, None, filter, prune).await?.unwrap_or_default())
    }

    /// Reads all objects of a kind like [`Self::list`], and passes each to `prune` before its
    /// memory is counted.
    async fn list_pruned(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        namespace: Option<&str>,
        filter: Option<(&'static str, &str)>,
        prune: impl Fn(&mut Value),
    ) -> Result<Option<Vec<Value>>, ActionError> {
        let path = kind.collection_path(namespace)?;
        let (mut items, mut memory, mut page_size, mut next_page) = (Vec::new(), 0, PAGE_SIZE, None::<String>);
        for _ in 0..MAX_PAGES {
            let mut request = KubeRequest::read(path.clone()).with("limit", page_size.to_string());
            if let Some((name, value)) = filter {
                request = request.with(name, value);
            }
            if let Some(token) = &next_page {
                request = request.with("continue", token);
            }
            let mut page = match self.call(cx, request).await {
                Err(error) if page_size > 1 && error.error.code.as_deref() == Some(RESPONSE_TOO_LARGE) => {
                    page_size = page_size.div_ceil(4);
                    continue;
                }
                response => match if_found(response)? {
                    Some(page) => page,
                    None => return Ok(None),
                },
            };
            let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) else {
                return Err(ActionError::transient(format!("kubernetes GET {path}: the response is not a list")));
            };
            for mut item in more {
                drop_managed_fields(&mut item);
                prune(&mut item);
                memory += compact(&mut item);
                items.push(item);
            }
            if memory > MAX_LIST_MEMORY {
                let limit = MAX_LIST_MEMORY >> 20;
                let message = format!("kubernetes GET {path}: the objects of the list take more than {limit} MiB");
                return Err(ActionError::permanent(message));
            }
            match text(&page, "/metadata/continue") {
                Some(token) if !token.is_empty() => next_page = Some(token.to_owned()),
                _ => return Ok(Some(items)),
            }
        }
        Err(ActionError::permanent(format!("kubernetes GET {path}: the list has more than {MAX_PAGES} pages")))
    }

    /// Reads the last line of the log of a pod with one container.
    ///
    /// # Errors
    /// Those of [`Self::send_to_end`].
    pub async fn last_log_line(&self, cx: &ActionContext, pod: ObjectName<'_>) -> Result<String, KubeError> {
        let request = KubeRequest::read(PODS.object_path(pod, Some("log"))).with("tailLines", "1");
        Ok(String::from_utf8_lossy(&self.send(cx, request).await?.body).into_owned())
    }

    /// Creates the object `body`.
    ///
    /// # Errors
    /// Those of [`Self::call`]; see [`KubeError::already_exists`].
    pub async fn create(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        namespace: Option<&str>,
        body: Value,
    ) -> Result<Value, KubeError> {
        let request = KubeRequest::create(kind.collection_path(namespace)?, body);
        self.call_for_object(cx, request.with("fieldManager", FIELD_MANAGER)).await
    }

    /// Posts `body` to a subresource of an object, such as `eviction`.
    ///
    /// # Errors
    /// Those of [`Self::call`].
    pub async fn post(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        object: ObjectName<'_>,
        subresource: &str,
        body: Value,
    ) -> Result<Value, KubeError> {
        check_segment("subresource", subresource)?;
        let path = kind.object_path(object, Some(subresource));
        self.call(cx, KubeRequest::write(Method::POST, path, BodyFormat::Json, body)).await
    }

    /// Replaces an object, or a subresource of it, by `body`.
    ///
    /// The `resourceVersion` in `body` guards the replacement: nothing is written if the object has
    /// changed since it was read.
    ///
    /// # Errors
    /// Those of [`Self::call`]; see [`KubeError::is_stale`].
    pub async fn replace(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        object: ObjectName<'_>,
        subresource: Option<&str>,
        body: Value,
    ) -> Result<Value, KubeError> {
        subresource.map_or(Ok(()), |name| check_segment("subresource", name))?;
        let path = kind.object_path(object, subresource);
        let request = KubeRequest::write(Method::PUT, path, BodyFormat::Json, body);
        self.call_for_object(cx, request.with("fieldManager", FIELD_MANAGER)).await
    }

    /// Merges the JSON merge patch `patch` into an object, or a subresource of it.
    ///
    /// # Errors
    /// Those of [`Self::call`].
    pub async fn merge(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        object: ObjectName<'_>,
        subresource: Option<&str>,
        patch: Value,
    ) -> Result<Value, KubeError> {
        subresource.map_or(Ok(()), |name| check_segment("subresource", name))?;
        let target = kind.object_path(object, subresource);
        let request = KubeRequest::write(Method::PATCH, target, BodyFormat::MergePatch, patch);
        self.call_for_object(cx, request.with("fieldManager", FIELD_MANAGER)).await
    }

    /// Applies `body` server-side. With `force`, fields that other managers own are taken from
    /// them.
    ///
    /// # Errors
    /// Those of [`Self::call`]. Without `force`, [`KubeError::conflicts`] has the fields of others.
    pub async fn apply(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        object: ObjectName<'_>,
        body: Value,
        force: bool,
    ) -> Result<Value, KubeError> {
        let path = kind.object_path(object, None);
        let request = KubeRequest::write(Method::PATCH, path, BodyFormat::Apply, body);
        self.call_for_object(cx, request.with("fieldManager", FIELD_MANAGER).with("force", force.to_string())).await
    }

    /// Deletes the object that has this `uid`. Returns false if it is gone already, or if another
    /// object has its name.
    ///
    /// `options` are further fields of the `DeleteOptions`, as an object.
    ///
    /// # Errors
    /// Those of [`Self::call`], except the two cases above.
    pub async fn delete(
        &self,
        cx: &ActionContext,
        kind: &ObjectKind,
        object: ObjectName<'_>,
        uid: &str,
        options: Value,
    ) -> Result<bool, ActionError> {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        if let (Some(body), Value::Object(options)) = (body.as_object_mut(), options) {
            body.extend(options);
        }
        let path = kind.object_path(object, None);
        match self.call(cx, KubeRequest::write(Method::DELETE, path, BodyFormat::Json, body)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() || error.is_stale() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and parses the response. The attempt's deadline and its cancellation end the
    /// wait for the response.
    ///
    /// # Errors
    /// Those of [`Self::send_to_end`] and [`KubeResponse::json`].
    pub async fn call(&self, cx: &ActionContext, request: KubeRequest) -> Result<Value, KubeError> {
        Ok(self.send(cx, request).await?.json()?)
    }

    /// Like [`Self::call`], for a response that is an object of a kind.
    async fn call_for_object(&self, cx: &ActionContext, request: KubeRequest) -> Result<Value, KubeError> {
        let (effect, name) = (request.effect, request.name());
        let object = self.call(cx, request).await?;
        if ["metadata", "kind", "spec"].iter().any(|field| !object[*field].is_null()) {
            Ok(object)
        } else {
            Err(effect.unanswered_error(format!("{name}: the response is not an object of Kubernetes")).into())
        }
    }

    /// Like [`Self::call`], for a response that need not be JSON.
    ///
    /// # Errors
    /// Those of [`Self::send_to_end`].
    pub async fn send(&self, cx: &ActionContext, request: KubeRequest) -> Result<KubeResponse, KubeError> {
        let stopped = within(cx, self.send_to_end(cx, &request)).await;
        stopped.map_err(|stopped| stopped.into_error(request.effect, &request.name()))?
    }

    /// Sends a request and waits for the response even after a cancellation: for clean-up.
    ///
    /// # Errors
    /// A response without success is classified by its status and its `Status` object; a request
    /// without response by its effect, and as `Transient` if no connection was made.
    pub async fn send_to_end(&self, cx: &ActionContext, request: &KubeRequest) -> Result<KubeResponse, KubeError> {
        let session = self.connection.session(cx).await?;
        let permit = request.effect.permit(cx, &request.name()).await?;
        match exchange(permit, &session.client, request).await {
            // The credential of a login program can be revoked before it expires. A refusal proves
            // that nothing happened.
            Err(error) if error.code == Some(StatusCode::UNAUTHORIZED) && session.is_from_login => {
                self.connection.forget(&session);
                let session = self.connection.session(cx).await?;
                let permit = request.effect.permit(cx, &request.name()).await?;
                exchange(permit, &session.client, request).await
            }
            result => result,
        }
    }
}

/// Sends a request and reads the whole response.
async fn exchange(permit: CallPermit, client: &kube::Client, request: &KubeRequest) -> Result<KubeResponse, KubeError> {
    let (effect, name) = (permit.effect(), request.name());
    let unanswered = |error: kube::Error| unanswered_error(effect, &name, &error);
    let fenced = fence(request.to_http()?, permit).await.map_err(unanswered)?;
    let response = client.send(fenced).await.map_err(unanswered)?;
    let (head, body) = response.into_parts();
    let body = read_body(body, MAX_BODY_BYTES).await;
    if !head.status.is_success() {
        // The status decides; a body that cannot be read would only explain it.
        return Err(refused_error(effect, &name, head.status, &head.headers, &body.unwrap_or_default()));
    }
    let body = body.map_err(|e| e.into_error(effect, &name))?;
    Ok(KubeResponse { effect, name, headers: head.headers, body })
}

/// Removes the record of who wrote which field, which is the largest part of many objects.
fn drop_managed_fields(object: &mut Value) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

fn if_found(response: Result<Value, KubeError>) -> Result<Option<Value>, ActionError> {
    match response {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
