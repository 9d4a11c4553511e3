use serde_json::Value;
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    api::Api,
    call::Call,
    field::{list, text},
    kind::Kind,
};

/// Looks a kind up in what the server says it has; `None` when it is not among it.
///
/// Asked anew each time: a kind may have been defined a moment ago.
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
