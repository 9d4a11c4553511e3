use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    KubeClient, KubeRequest, ObjectKind,
    json::{list, text},
    kind::check_segment,
};

/// Kinds that the server was found to serve, by `apiVersion` and kind.
///
/// Entries are never removed: if a kind is gone, a request for one of its objects is answered with
/// 404.
#[derive(Default)]
pub(crate) struct KindCache(Mutex<HashMap<(String, String), ObjectKind>>);

impl KindCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), ObjectKind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KubeClient {
    /// Finds a kind, from the cache or from the server; `None` if the server does not serve it.
    ///
    /// That a kind is missing is not cached, because it can be defined at any time.
    ///
    /// # Errors
    /// Those of [`Self::call`], except 404.
    pub async fn find_kind(
        &self,
        cx: &ActionContext,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<ObjectKind>, ActionError> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.lock().get(&key) {
            return Ok(Some(known.clone()));
        }
        let found = self.discover_kind(cx, api_version, kind).await?;
        if let Some(found) = &found {
            self.kinds.lock().insert(key, found.clone());
        }
        Ok(found)
    }

    /// Asks the server for a kind, without the cache; `None` if the server does not serve it.
    ///
    /// # Errors
    /// Those of [`Self::call`], except 404.
    pub async fn discover_kind(
        &self,
        cx: &ActionContext,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<ObjectKind>, ActionError> {
        api_version.split('/').try_for_each(|part| check_segment("API version", part))?;
        let base =
            if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") };
        match self.call(cx, KubeRequest::read(base.clone())).await {
            Ok(resources) => Ok(kind_in(&resources, base, kind)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Finds `kind` in an `APIResourceList`.
pub(crate) fn kind_in(resources: &Value, base: String, kind: &str) -> Option<ObjectKind> {
    // Subresources such as `pods/status` have the kind of their object.
    let is_object =
        |resource: &&Value| resource["kind"] == kind && text(resource, "/name").is_some_and(|n| !n.contains('/'));
    let resource = list(resources, "/resources").find(is_object)?;
    let plural = text(resource, "/name")?.to_owned();
    check_segment("collection", &plural).ok()?;
    Some(ObjectKind { base: base.into(), plural: plural.into(), namespaced: resource["namespaced"] == true })
}
