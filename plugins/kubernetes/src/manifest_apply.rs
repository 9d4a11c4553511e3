use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stargate_sdk::{
    Action, ActionContext, ActionError, Difference, FailureKind, FindResult, Permission, Preview, Recovery,
    RequiredPermissions,
};

use crate::{
    api::{Api, FIELD_MANAGER},
    compare::{covers, owns_nothing_else},
    discovery::resolve,
    failure::ApiError,
    field::{condition, list, name, owned, text},
    manifest::{Manifest, Wanted, items},
    object_ref::{ObjectRef, Place, unknown_kind},
    permission::{OF_OBJECT, on_object},
};

/// What defines a kind.
const DEFINITION: &str = "CustomResourceDefinition";
/// A definition is served about a second after it was stored.
const DEFINITION_PAUSE: Duration = Duration::from_millis(200);
/// How often one object is tried before the whole step is: three seconds in all, unless the server asks for more.
const ATTEMPTS: u32 = 4;
/// A server that asks for more patience than this is left alone until the step's next attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// `kubernetes.manifest.apply`.
pub(crate) struct ManifestApply(pub(crate) Arc<Api>);

/// What is to be applied.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestInput {
    /// One object, a `List`, or a list of objects, applied in order; definitions of kinds go first.
    manifest: Manifest,
}

/// What was applied.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ManifestOutput {
    /// The objects, in order.
    pub objects: Vec<AppliedObject>,
}

/// One object.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AppliedObject {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its uid.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

impl ManifestApply {
    /// The object when it is as wanted.
    async fn in_order(&self, cx: &ActionContext, wanted: &Wanted) -> Result<Option<Value>, ActionError> {
        let Some(place) = self.0.place(cx, &wanted.object).await? else { return Ok(None) };
        let actual = self.0.get(cx, &place.kind, place.at()).await?;
        let Some(actual) = actual.filter(|actual| is_as_wanted(actual, &wanted.body)) else { return Ok(None) };
        Ok(self.serves_what_it_defines(cx, &wanted.body).await?.then_some(actual))
    }

    /// Whether the kinds that an object defines are served; of what defines none, that it is so.
    async fn serves_what_it_defines(&self, cx: &ActionContext, body: &Value) -> Result<bool, ActionError> {
        if body["kind"] != DEFINITION {
            return Ok(true);
        }
        let (group, kind) = (owned(body, "/spec/group"), owned(body, "/spec/names/kind"));
        for version in list(body, "/spec/versions").filter(|version| version["served"] == true) {
            let api_version = format!("{group}/{}", owned(version, "/name"));
            if resolve(&self.0, cx, &api_version, &kind).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until the kinds that an object defines are served, so that whoever comes next can use them.
    async fn wait_until_served(&self, cx: &ActionContext, wanted: &Wanted) -> Result<(), ActionError> {
        while !self.serves_what_it_defines(cx, &wanted.body).await? {
            self.check_names(cx, wanted).await?;
            cx.progress(format!("{}: not served yet", wanted.object));
            cx.sleep(DEFINITION_PAUSE).await?;
        }
        Ok(())
    }

    /// A definition whose names another one has already is never served: `Permanent`.
    async fn check_names(&self, cx: &ActionContext, wanted: &Wanted) -> Result<(), ActionError> {
        let Some(place) = self.0.place(cx, &wanted.object).await? else { return Ok(()) };
        let Some(definition) = self.0.get(cx, &place.kind, place.at()).await? else { return Ok(()) };
        match condition(&definition, "NamesAccepted").filter(|accepted| accepted["status"] == "False") {
            None => Ok(()),
            Some(refused) => {
                let why = text(refused, "/message").unwrap_or("another definition has its names");
                Err(ActionError::permanent(format!("{} is not served: {why}", wanted.object))
                    .with_hint("`kubectl get customresourcedefinitions` shows whose names they are"))
            }
        }
    }

    /// Brings the object into order; waits for its kind when that `may_appear`.
    async fn bring(&self, cx: &ActionContext, wanted: &Wanted, may_appear: bool) -> Result<Value, ActionError> {
        loop {
            match patiently(cx, wanted, || self.bring_served(cx, wanted)).await? {
                Some(object) => return Ok(object),
                None if may_appear => {
                    cx.progress(format!("{}: its kind is not served yet", wanted.object));
                    cx.sleep(DEFINITION_PAUSE).await?;
                }
                None => return Err(unknown_kind(&wanted.object)),
            }
        }
    }

    /// Brings the object into order; `None` when its kind is not served.
    async fn bring_served(&self, cx: &ActionContext, wanted: &Wanted) -> Result<Option<Value>, ActionError> {
        let Some(place) = self.0.place(cx, &wanted.object).await? else { return Ok(None) };
        let before = self.0.get(cx, &place.kind, place.at()).await?;
        if let Some(actual) = before.as_ref().filter(|actual| is_as_wanted(actual, &wanted.body)) {
            return Ok(Some(actual.clone()));
        }
        let after = match self.apply(cx, &place, wanted).await {
            Ok(after) => after,
            // One of several API servers may tell of a kind before another one serves it.
            Err(error) if error.is_of_unserved_kind() => return Ok(None),
            Err(error) => return Err(error.error.context(&wanted.object)),
        };
        let version = |object: &Value| owned(object, "/metadata/resourceVersion");
        match before {
            None => cx.changed(format!("+ {}", wanted.object)),
            Some(before) if version(&before) != version(&after) => cx.changed(format!("~ {}", wanted.object)),
            Some(_) => {}
        }
        Ok(Some(after))
    }

    /// Applies politely first, so that it can be told from whom fields are then taken over.
    async fn apply(&self, cx: &ActionContext, place: &Place, wanted: &Wanted) -> Result<Value, ApiError> {
        match self.0.apply(cx, &place.kind, place.at(), wanted.body.clone(), false).await {
            Err(error) if !error.owners().is_empty() => {
                cx.log(format!("{}: took over {}", wanted.object, error.owners().join(", ")));
                self.0.apply(cx, &place.kind, place.at(), wanted.body.clone(), true).await
            }
            answer => answer,
        }
    }
}

impl Action for ManifestApply {
    type Input = ManifestInput;
    type Output = ManifestOutput;
    const NAME: &'static str = "kubernetes.manifest.apply";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Find;
    const SUMMARY: &'static str = "Makes sure that objects are as a manifest says, by server-side apply.";

    async fn run(&self, cx: &ActionContext, input: &ManifestInput) -> Result<ManifestOutput, ActionError> {
        let manifest = input.manifest.objects()?;
        let mut objects = BTreeMap::new();
        for (place, wanted) in definitions_first(&manifest) {
            let may_appear = manifest.iter().any(|other| is_defined_by(&wanted.object, &other.body));
            let object = self.bring(cx, wanted, may_appear).await?;
            self.wait_until_served(cx, wanted).await?;
            objects.insert(place, applied(&object, wanted));
        }
        Ok(ManifestOutput { objects: objects.into_values().collect() })
    }

    async fn find(&self, cx: &ActionContext, input: &ManifestInput) -> Result<FindResult<ManifestOutput>, ActionError> {
        let mut objects = Vec::new();
        for wanted in input.manifest.objects()? {
            match patiently(cx, &wanted, || self.in_order(cx, &wanted)).await? {
                Some(object) => objects.push(applied(&object, &wanted)),
                None => return Ok(FindResult::Absent),
            }
        }
        Ok(FindResult::Present(ManifestOutput { objects }))
    }

    async fn preview(&self, cx: &ActionContext, input: &ManifestInput) -> Result<Preview, ActionError> {
        let (mut objects, mut differences) = (Vec::new(), Vec::new());
        for wanted in input.manifest.objects()? {
            match patiently(cx, &wanted, || self.in_order(cx, &wanted)).await? {
                Some(object) => objects.push(applied(&object, &wanted)),
                None => differences.push(Difference::missing(wanted.object.to_string(), "as the manifest says")),
            }
        }
        if !differences.is_empty() {
            return Ok(Preview::Changes { differences });
        }
        let output = serde_json::to_value(ManifestOutput { objects });
        Ok(Preview::Unchanged { output: output.map_err(|e| ActionError::permanent(e.to_string()))? })
    }
}

impl RequiredPermissions for ManifestApply {
    const PERMISSIONS: &'static [Permission] = &[];

    /// An object that is not there is created by its patch, which Kubernetes asks the right to create for as well. Whoever
    /// applies roles and bindings must hold what they grant, too: that cannot be asked for.
    fn for_input(with: &Value) -> Vec<Permission> {
        let documents = match &with["manifest"] {
            Value::Array(documents) => documents.clone(),
            one => vec![one.clone()],
        };
        let objects = documents.into_iter().flat_map(items);
        objects.flat_map(|object| on_object(&["get", "patch", "create"], &object, &OF_OBJECT)).collect()
    }
}

/// Asks again when it was an answer that failed: what is in order of a long manifest need not be looked at once more.
async fn patiently<T, F>(cx: &ActionContext, wanted: &Wanted, ask: impl Fn() -> F) -> Result<T, ActionError>
where
    F: Future<Output = Result<T, ActionError>>,
{
    for attempt in 0..ATTEMPTS {
        let error = match ask().await {
            Err(error) => error,
            answer => return answer,
        };
        let Some(pause) = pause_after(&error, attempt) else { return Err(error) };
        cx.progress(format!("{}: {error}", wanted.object));
        cx.sleep(pause).await?;
    }
    ask().await
}

/// How long to wait before asking again; `None` if that cannot help, or would take too long.
fn pause_after(error: &ActionError, attempt: u32) -> Option<Duration> {
    let asked = match error.kind {
        FailureKind::Transient => Duration::ZERO,
        FailureKind::Throttled { retry_after } => retry_after.unwrap_or_default(),
        FailureKind::Permanent | FailureKind::Unknown => return None,
    };
    Some(asked.max(DEFINITION_PAUSE * 2_u32.pow(attempt))).filter(|pause| *pause <= LONGEST_PAUSE)
}

/// Every object with its place in the manifest; what defines kinds comes before what may be of them.
fn definitions_first(manifest: &[Wanted]) -> impl Iterator<Item = (usize, &Wanted)> {
    let all = || manifest.iter().enumerate();
    let defines = |wanted: &Wanted| wanted.object.kind == DEFINITION;
    all().filter(move |(_, wanted)| defines(wanted)).chain(all().filter(move |(_, wanted)| !defines(wanted)))
}

/// Whether `body` is a definition of the object's kind, in the version that the object is of.
fn is_defined_by(object: &ObjectRef, body: &Value) -> bool {
    let Some((group, version)) = object.api_version.split_once('/') else { return false };
    body["kind"] == DEFINITION
        && text(body, "/spec/group") == Some(group)
        && text(body, "/spec/names/kind") == Some(&object.kind)
        && list(body, "/spec/versions").any(|served| served["name"] == version && served["served"] == true)
}

fn is_as_wanted(actual: &Value, wanted: &Value) -> bool {
    covers(actual, wanted) && owns_nothing_else(actual, wanted, FIELD_MANAGER)
}

fn applied(object: &Value, wanted: &Wanted) -> AppliedObject {
    AppliedObject {
        kind: wanted.object.kind.clone(),
        name: name(object).to_owned(),
        namespace: text(object, "/metadata/namespace").map(str::to_owned),
        uid: owned(object, "/metadata/uid"),
        resource_version: owned(object, "/metadata/resourceVersion"),
    }
}
