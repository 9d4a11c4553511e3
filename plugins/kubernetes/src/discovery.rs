use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    api::Api,
    call::Call,
    field::{list, text},
    kind::Kind,
};

/// The kinds that a server was seen to have, by version and name.
///
/// One that has gone since is told where it is used: the server does not know its path.
#[derive(Default)]
pub(crate) struct KnownKinds(Mutex<HashMap<(String, String), Kind>>);

impl KnownKinds {
    /// A kind that was seen before, or else what the server says now. `None`: it does not have it, which is asked anew each
    /// time, for a kind may have been defined a moment ago.
    pub(crate) async fn find(
        &self,
        api: &Api,
        cx: &ActionContext,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, ActionError> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.lock().get(&key) {
            return Ok(Some(known.clone()));
        }
        let found = resolve(api, cx, api_version, kind).await?;
        if let Some(found) = &found {
            self.lock().insert(key, found.clone());
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks a kind up in what the server says it has now; `None` when it is not among it.
pub(crate) async fn resolve(
    api: &Api,
    cx: &ActionContext,
    api_version: &str,
    kind: &str,
) -> Result<Option<Kind>, ActionError> {
    let base = if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") };
    match api.call(cx, Call::read(base.clone())).await {
        Ok(resources) => Ok(find(&resources, base, kind)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn find(resources: &Value, base: String, kind: &str) -> Option<Kind> {
    // `pods/status` and its like are of the same kind.
    let whole =
        |resource: &&Value| resource["kind"] == kind && text(resource, "/name").is_some_and(|n| !n.contains('/'));
    let resource = list(resources, "/resources").find(whole)?;
    let plural = text(resource, "/name")?.to_owned();
    Some(Kind { base: base.into(), plural: plural.into(), namespaced: resource["namespaced"] == true })
}
