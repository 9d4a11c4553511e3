use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError};

use crate::{
    api::Api,
    kind::{At, Kind},
};

/// Which object.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ObjectRef {
    /// Such as `v1` or `apps/v1`.
    pub api_version: String,
    /// Such as `ConfigMap`.
    pub kind: String,
    /// The namespace, for kinds that live in one; the kubeconfig's own by default.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object's place on the server.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl Place {
    /// The place for a call.
    pub(crate) fn at(&self) -> At<'_> {
        At { namespace: self.namespace.as_deref(), name: &self.name }
    }
}

impl Api {
    /// Where the object is found. `None`: the server does not know the kind.
    pub(crate) async fn place(&self, cx: &ActionContext, object: &ObjectRef) -> Result<Option<Place>, ActionError> {
        let kind = self.kinds.find(self, cx, &object.api_version, &object.kind).await?;
        let Some(kind) = kind else { return Ok(None) };
        let namespace = match (&object.namespace, kind.namespaced) {
            (_, false) => None,
            (Some(namespace), true) => Some(namespace.clone()),
            (None, true) => Some(self.default_namespace().await?),
        };
        Ok(Some(Place { kind, namespace, name: object.name.clone() }))
    }

    /// Like [`Self::place`]; an unknown kind is a `Permanent` error.
    pub(crate) async fn known_place(&self, cx: &ActionContext, object: &ObjectRef) -> Result<Place, ActionError> {
        self.place(cx, object).await?.ok_or_else(|| unknown_kind(object))
    }
}

/// The server does not know the object's kind.
pub(crate) fn unknown_kind(object: &ObjectRef) -> ActionError {
    ActionError::permanent(format!("{object}: the cluster has no kind {} in {}", object.kind, object.api_version))
        .with_hint("check apiVersion and kind, or install the CustomResourceDefinition first")
}
