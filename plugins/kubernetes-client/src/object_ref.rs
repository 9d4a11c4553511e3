use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{ActionContext, ActionError};

use crate::{KubeClient, ObjectKind, ObjectName};

/// Reference to an object of any kind, as part of an action's input.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRef {
    /// Group and version, such as `v1` or `apps/v1`.
    pub api_version: String,
    /// Kind, such as `ConfigMap`.
    pub kind: String,
    /// Namespace, for kinds with namespaces [default: that of the kubeconfig's context].
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name of the object.
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

/// An [`ObjectRef`] whose kind and namespace are known. The object need not exist.
#[derive(Debug)]
pub struct ResolvedObject {
    /// Kind of the object, with its path.
    pub kind: ObjectKind,
    /// Namespace of the object; `None` for a kind without namespaces.
    pub namespace: Option<String>,
    /// Name of the object.
    pub name: String,
}

impl ResolvedObject {
    /// Name for calls about the object.
    ///
    /// # Errors
    /// Those of [`ObjectName::new`].
    pub fn object_name(&self) -> Result<ObjectName<'_>, ActionError> {
        ObjectName::new(self.namespace.as_deref(), &self.name)
    }
}

impl KubeClient {
    /// Finds the kind and the namespace of an object; `None` if the server does not serve the kind.
    ///
    /// # Errors
    /// Those of [`Self::find_kind`] and [`Self::default_namespace`].
    pub async fn resolve(&self, cx: &ActionContext, object: &ObjectRef) -> Result<Option<ResolvedObject>, ActionError> {
        ObjectName::new(object.namespace.as_deref(), &object.name)?; // before anything is sent
        let Some(kind) = self.find_kind(cx, &object.api_version, &object.kind).await? else { return Ok(None) };
        let namespace = match (&object.namespace, kind.namespaced) {
            (_, false) => None,
            (Some(namespace), true) => Some(namespace.clone()),
            (None, true) => Some(self.default_namespace().await?),
        };
        Ok(Some(ResolvedObject { kind, namespace, name: object.name.clone() }))
    }

    /// Like [`Self::resolve`], for an object whose kind must be served.
    ///
    /// # Errors
    /// [`unknown_kind_error`] in addition.
    pub async fn resolve_known(&self, cx: &ActionContext, object: &ObjectRef) -> Result<ResolvedObject, ActionError> {
        self.resolve(cx, object).await?.ok_or_else(|| unknown_kind_error(object))
    }
}

/// `Permanent` error about an object whose kind the server does not serve.
pub fn unknown_kind_error(object: &ObjectRef) -> ActionError {
    ActionError::permanent(format!("{object}: the cluster has no kind {} in {}", object.kind, object.api_version))
        .with_hint("check apiVersion and kind, or install the CustomResourceDefinition first")
}
