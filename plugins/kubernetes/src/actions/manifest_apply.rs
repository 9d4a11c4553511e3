use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_client::{Backoff, WaitState, Waiter, poll_until};
use stargate_kubernetes_client::{
    FIELD_MANAGER, KubeClient, KubeError, ObjectRef, ResolvedObject,
    json::{condition, list, name, text, text_or_empty},
    unknown_kind_error,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FailureKind, FindResult, Nature, Permission, Preview, Recovery,
    RequiredPermissions,
};

use crate::{
    manifest::{Manifest, ManifestObject, covers, items, owns_nothing_else},
    permission::{OF_OBJECT, on_object},
};

/// Kind of the objects that define kinds.
const DEFINITION: &str = "CustomResourceDefinition";
/// A definition is served about a second after it was stored.
const DEFINITION_BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(2));
/// Delays between the reads or writes of one object, up to the limit below.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), MAX_RETRY_DELAY);
/// Number of retries for one object before the whole step fails: a long manifest need not be read
/// again because of one failed response.
const MAX_RETRIES: usize = 4;
/// Longest delay before such a retry. If a server asks for more, the step's next attempt waits.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Action `kubernetes.manifest.apply`: makes objects equal a manifest, by server-side apply.
///
/// Fields that this program applied before and that the manifest no longer has are removed; fields
/// of other managers stay. An object that was applied unchanged is not written, so its version
/// stays. Objects that disappear from the manifest are not deleted.
pub(crate) struct ManifestApply(pub(crate) Arc<KubeClient>);

/// Desired state of the objects.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestApplyInput {
    /// One object, a `List`, or a list of objects. They are applied in order, but definitions of
    /// kinds first.
    manifest: Manifest,
}

/// The applied objects.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ManifestApplyOutput {
    /// The objects, in the order of the manifest.
    pub objects: Vec<AppliedObject>,
}

/// One applied object.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AppliedObject {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Namespace of the object; `null` for a kind without namespaces.
    pub namespace: Option<String>,
    /// Uid of the object.
    pub uid: String,
    /// Version of the object, which changes with each write.
    pub resource_version: String,
}

impl ManifestApply {
    /// Reads the object; `None` if it differs from the desired one, or a kind that it defines is
    /// not served yet.
    async fn read_unchanged(&self, cx: &ActionContext, desired: &ManifestObject) -> Result<Option<Value>, ActionError> {
        let Some(object) = self.0.resolve(cx, &desired.object).await? else { return Ok(None) };
        let actual = self.0.get(cx, &object.kind, object.object_name()?).await?;
        let Some(actual) = actual.filter(|actual| is_unchanged(actual, &desired.body)) else { return Ok(None) };
        Ok(self.serves_defined_kinds(cx, &desired.body).await?.then_some(actual))
    }

    /// Returns the difference of an object that does not equal the desired one.
    async fn difference(&self, cx: &ActionContext, desired: &ManifestObject) -> Result<Difference, ActionError> {
        let what = desired.object.to_string();
        let exists = match self.0.resolve(cx, &desired.object).await? {
            Some(object) => self.0.get(cx, &object.kind, object.object_name()?).await?.is_some(),
            None => false,
        };
        let before = if exists { Value::from("different") } else { Value::Null };
        Ok(Difference::new(what, before, "as in the manifest"))
    }

    /// True if the server serves all kinds that the object defines. Most objects define none.
    async fn serves_defined_kinds(&self, cx: &ActionContext, body: &Value) -> Result<bool, ActionError> {
        if body["kind"] != DEFINITION {
            return Ok(true);
        }
        let (group, kind) = (text_or_empty(body, "/spec/group"), text_or_empty(body, "/spec/names/kind"));
        for version in list(body, "/spec/versions").filter(|version| version["served"] == true) {
            let api_version = format!("{group}/{}", text_or_empty(version, "/name"));
            if self.0.discover_kind(cx, &api_version, &kind).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until the kinds that the object defines are served, so that later objects and steps
    /// can use them.
    async fn wait_until_served(&self, cx: &ActionContext, desired: &ManifestObject) -> Result<(), ActionError> {
        poll_until(cx, DEFINITION_BACKOFF, || async {
            if self.serves_defined_kinds(cx, &desired.body).await? {
                return Ok(WaitState::Ready(()));
            }
            self.check_names(cx, desired).await?;
            Ok(WaitState::pending(format!("{}: not served yet", desired.object)))
        })
        .await
    }

    /// Refuses a definition whose names belong to another one: it is never served.
    async fn check_names(&self, cx: &ActionContext, desired: &ManifestObject) -> Result<(), ActionError> {
        let Some(object) = self.0.resolve(cx, &desired.object).await? else { return Ok(()) };
        let Some(definition) = self.0.get(cx, &object.kind, object.object_name()?).await? else { return Ok(()) };
        match condition(&definition, "NamesAccepted").filter(|accepted| accepted["status"] == "False") {
            None => Ok(()),
            Some(refused) => {
                let reason = text(refused, "/message").unwrap_or("another definition has its names");
                Err(ActionError::permanent(format!("{} is not served: {reason}", desired.object))
                    .with_hint("`kubectl get customresourcedefinitions` shows the owner of the names"))
            }
        }
    }

    /// Makes the object equal the desired one. Waits for its kind if `kind_may_appear`, because the
    /// manifest defines it.
    async fn ensure(
        &self,
        cx: &ActionContext,
        desired: &ManifestObject,
        kind_may_appear: bool,
    ) -> Result<Value, ActionError> {
        let mut waiter = Waiter::new(cx, DEFINITION_BACKOFF);
        loop {
            match with_retries(cx, desired, || self.ensure_if_served(cx, desired)).await? {
                Some(object) => return Ok(object),
                None if kind_may_appear => {
                    waiter.pending(format!("{}: its kind is not served yet", desired.object), None).await?;
                }
                None => return Err(unknown_kind_error(&desired.object)),
            }
        }
    }

    /// Makes the object equal the desired one; `None` if its kind is not served.
    async fn ensure_if_served(
        &self,
        cx: &ActionContext,
        desired: &ManifestObject,
    ) -> Result<Option<Value>, ActionError> {
        let Some(object) = self.0.resolve(cx, &desired.object).await? else { return Ok(None) };
        let before = self.0.get(cx, &object.kind, object.object_name()?).await?;
        if let Some(actual) = before.as_ref().filter(|actual| is_unchanged(actual, &desired.body)) {
            return Ok(Some(actual.clone()));
        }
        let after = match self.apply(cx, &object, desired).await {
            Ok(after) => after,
            // One of several API servers can list a kind before another one serves it.
            Err(error) if error.is_unserved_kind() => return Ok(None),
            Err(error) => return Err(error.error.context(&desired.object)),
        };
        let version = |object: &Value| text_or_empty(object, "/metadata/resourceVersion");
        match before {
            None => cx.changed(format!("+ {}", desired.object)),
            Some(before) if version(&before) != version(&after) => cx.changed(format!("~ {}", desired.object)),
            Some(_) => {}
        }
        Ok(Some(after))
    }

    /// Applies without force first: the conflict names the owners of the fields that are then
    /// taken.
    ///
    /// # Errors
    /// Those of the second request if the first one had a conflict, otherwise those of the first.
    async fn apply(
        &self,
        cx: &ActionContext,
        object: &ResolvedObject,
        desired: &ManifestObject,
    ) -> Result<Value, KubeError> {
        let name = object.object_name()?;
        let apply = |force| self.0.apply(cx, &object.kind, name, desired.body.clone(), force);
        match apply(false).await {
            Err(error) if !error.conflicts().is_empty() => {
                let conflicts: Vec<_> = error.conflicts().iter().map(ToString::to_string).collect();
                cx.log(format!("{}: took over {}", desired.object, conflicts.join(", ")));
                apply(true).await
            }
            response => response,
        }
    }
}

impl Action for ManifestApply {
    type Input = ManifestApplyInput;
    type Output = ManifestApplyOutput;
    const NAME: &'static str = "kubernetes.manifest.apply";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Ensure;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Makes objects equal a manifest, by server-side apply.";

    async fn run(&self, cx: &ActionContext, input: &ManifestApplyInput) -> Result<ManifestApplyOutput, ActionError> {
        let manifest = input.manifest.objects()?;
        let mut objects = BTreeMap::new();
        for (index, desired) in definitions_first(&manifest) {
            let kind_may_appear = manifest.iter().any(|other| is_defined_by(&desired.object, &other.body));
            let object = self.ensure(cx, desired, kind_may_appear).await?;
            self.wait_until_served(cx, desired).await?;
            objects.insert(index, applied(&object, desired));
        }
        Ok(ManifestApplyOutput { objects: objects.into_values().collect() })
    }

    async fn find(
        &self,
        cx: &ActionContext,
        input: &ManifestApplyInput,
    ) -> Result<FindResult<ManifestApplyOutput>, ActionError> {
        let mut objects = Vec::new();
        for desired in input.manifest.objects()? {
            match with_retries(cx, &desired, || self.read_unchanged(cx, &desired)).await? {
                Some(object) => objects.push(applied(&object, &desired)),
                None => return Ok(FindResult::Absent),
            }
        }
        Ok(FindResult::Present(ManifestApplyOutput { objects }))
    }

    async fn preview(&self, cx: &ActionContext, input: &ManifestApplyInput) -> Result<Preview, ActionError> {
        let (mut objects, mut differences) = (Vec::new(), Vec::new());
        for desired in input.manifest.objects()? {
            match with_retries(cx, &desired, || self.read_unchanged(cx, &desired)).await? {
                Some(object) => objects.push(applied(&object, &desired)),
                None => differences.push(with_retries(cx, &desired, || self.difference(cx, &desired)).await?),
            }
        }
        if differences.is_empty() {
            return Preview::unchanged(&ManifestApplyOutput { objects });
        }
        Ok(Preview::changes(differences))
    }
}

impl RequiredPermissions for ManifestApply {
    const PERMISSIONS: &'static [Permission] = &[];

    /// Kubernetes requires `create` for a patch that creates its object. To apply roles and
    /// bindings, the account must also hold what they grant, which no permission expresses.
    fn for_input(with: &Value) -> Vec<Permission> {
        let documents = match &with["manifest"] {
            Value::Array(documents) => documents.clone(),
            one => vec![one.clone()],
        };
        let objects = documents.into_iter().flat_map(items);
        objects.flat_map(|object| on_object(&["get", "patch", "create"], &object, &OF_OBJECT)).collect()
    }
}

/// Calls `call`, and again after a transient failure or a short throttling, [`MAX_RETRIES`] times.
///
/// # Errors
/// That of the last call. `Permanent` and `Unknown` failures are returned at the first occurrence,
/// and so is a throttling that asks for more than [`MAX_RETRY_DELAY`].
async fn with_retries<T, F>(
    cx: &ActionContext,
    desired: &ManifestObject,
    call: impl Fn() -> F,
) -> Result<T, ActionError>
where
    F: Future<Output = Result<T, ActionError>>,
{
    let mut delays = RETRY_BACKOFF.delays();
    for _ in 0..MAX_RETRIES {
        let error = match call().await {
            Err(error) => error,
            result => return result,
        };
        let retry_after = match error.kind {
            FailureKind::Transient => Duration::ZERO,
            FailureKind::Throttled { retry_after } => retry_after.unwrap_or_default(),
            FailureKind::Permanent | FailureKind::Unknown => return Err(error),
        };
        if retry_after > MAX_RETRY_DELAY {
            return Err(error);
        }
        cx.progress(format!("{}: {error}", desired.object));
        cx.sleep(retry_after.max(delays.next_delay())).await?;
    }
    call().await
}

/// Each object with its index in the manifest; definitions of kinds come first.
fn definitions_first(manifest: &[ManifestObject]) -> impl Iterator<Item = (usize, &ManifestObject)> {
    let all = || manifest.iter().enumerate();
    let defines = |desired: &ManifestObject| desired.object.kind == DEFINITION;
    all().filter(move |(_, desired)| defines(desired)).chain(all().filter(move |(_, desired)| !defines(desired)))
}

/// True if `body` defines the kind of the object in the object's version.
fn is_defined_by(object: &ObjectRef, body: &Value) -> bool {
    let Some((group, version)) = object.api_version.split_once('/') else { return false };
    body["kind"] == DEFINITION
        && text(body, "/spec/group") == Some(group)
        && text(body, "/spec/names/kind") == Some(&object.kind)
        && list(body, "/spec/versions").any(|served| served["name"] == version && served["served"] == true)
}

/// True if the object has all desired values, and this program owns no field of it that is not
/// desired any more.
fn is_unchanged(actual: &Value, desired: &Value) -> bool {
    covers(actual, desired) && owns_nothing_else(actual, desired, FIELD_MANAGER)
}

fn applied(object: &Value, desired: &ManifestObject) -> AppliedObject {
    AppliedObject {
        kind: desired.object.kind.clone(),
        name: name(object).to_owned(),
        namespace: text(object, "/metadata/namespace").map(str::to_owned),
        uid: text_or_empty(object, "/metadata/uid"),
        resource_version: text_or_empty(object, "/metadata/resourceVersion"),
    }
}
