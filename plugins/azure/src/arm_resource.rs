//! Frame of the ensure actions: a desired state that implements [`ArmResource`] or [`ArmEnsure`] is
//! an action.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Ensure, Permission, RequiredPermissions, Resource};

use crate::{
    client::{ArmClient, ArmObject, Owner, Precondition, ResourceId, ResourceType, with_owner},
    permission::read_and_write,
};

/// Desired state of one resource that a PUT creates or updates.
///
/// The frame reads the resource, compares, writes the difference under an `ETag` and continues a
/// long-running operation after a crash. The permissions to read and write follow from `TYPE`.
pub(crate) trait ArmResource: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Values of the resource that other steps can refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// Name of the action: `azure.noun.ensure`.
    const NAME: &'static str;
    /// Version of the action, pinned in each plan.
    const VERSION: u32;
    /// Summary of the action, one sentence in the third person.
    const SUMMARY: &'static str;
    /// Kind in ARM, the API version that [`Self::body`] is written for, and the noun for messages.
    const TYPE: ResourceType;
    /// Permissions other than to read and write the resource, such as to join what it refers to.
    const MORE_PERMISSIONS: &'static [Permission] = &[];

    /// Id of the resource.
    fn id(&self, arm: &ArmClient) -> ResourceId;

    /// Id whose write lock is held from a second read until the PUT has finished; `None` for none.
    ///
    /// Required where a PUT replaces children that other steps write, such as routes: without it,
    /// one that was added since the first read would be lost or refused.
    fn lock(&self, id: &ResourceId) -> Option<ResourceId> {
        let _ = id;
        None
    }

    /// Checks the input beyond its schema.
    ///
    /// # Errors
    /// `Permanent`, without the resource's label, which the frame adds.
    fn check(&self) -> Result<(), ActionError> {
        Ok(())
    }

    /// Owner of the resource, which becomes a tag when it is created; `None` for resources without
    /// tags.
    fn owner(&self) -> Option<&Owner> {
        None
    }

    /// Essence of the resource to create, for the difference that its absence is.
    fn essence(&self) -> String;

    /// Compares the existing resource with the desired state. The frame adds a failed provisioning
    /// state.
    ///
    /// # Errors
    /// `Permanent` for a difference that cannot be changed in place.
    fn diff(&self, actual: &ArmObject) -> Result<Vec<Difference>, ActionError>;

    /// Lists the differences that only a new resource could remove: [`Self::diff`] is an error
    /// then.
    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        let _ = actual;
        Vec::new()
    }

    /// Fields of the output that are certain before the resource exists, other than id and name.
    fn certain(&self) -> Value {
        json!({})
    }

    /// Body of the PUT that creates the resource.
    fn body(&self) -> Value;

    /// Changes the body of the existing resource to the desired state, and nothing else in it.
    fn update(&self, actual: &mut ArmObject);

    /// Condition of the PUT: the resource is absent, or unchanged since it was read.
    fn precondition(actual: Option<&ArmObject>) -> Option<Precondition> {
        actual.map_or(Some(Precondition::Absent), Precondition::unchanged)
    }

    /// Output of the action, from the resource in its desired state.
    ///
    /// # Errors
    /// `Transient` if the response lacks a property that ARM adds later.
    fn output(actual: &ArmObject) -> Result<Self::Output, ActionError>;
}

/// Id and name of a resource: the output of an action, or the start of one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ResourceOutput {
    /// Id of the resource.
    pub id: String,
    /// Name of the resource.
    pub name: String,
}

impl From<&ArmObject> for ResourceOutput {
    fn from(actual: &ArmObject) -> Self {
        Self { id: actual.id(), name: actual.name().into() }
    }
}

/// Returns the fields of a [`ResourceOutput`] for a resource that does not exist yet.
pub(crate) fn id_and_name(id: &ResourceId) -> Value {
    json!({ "id": id.to_string(), "name": id.name() })
}

/// Desired state that requests to ARM ensure, with reads and writes of its own.
///
/// Each [`ArmResource`] is one. What differs from it implements this trait: several writes, a part
/// of another resource, or a resource that is never updated.
pub(crate) trait ArmEnsure: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Actual state, as far as it is compared.
    type Actual: Send + Sync;
    /// Values that other steps can refer to.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + Sync;

    /// Name of the action: `azure.noun.verb`.
    const NAME: &'static str;
    /// Version of the action, pinned in each plan.
    const VERSION: u32;
    /// Summary of the action, one sentence in the third person.
    const SUMMARY: &'static str;
    /// Types of the resources that the action writes. Their operations can be continued.
    const TYPES: &'static [ResourceType];

    /// Permissions that the action requires, for any input.
    fn permissions() -> Vec<Permission>;

    /// Reads the actual state; see [`Resource::read`].
    fn read(
        &self,
        cx: &ActionContext,
        arm: &ArmClient,
    ) -> impl Future<Output = Result<Option<Self::Actual>, ActionError>> + Send;

    /// Compares actual and desired state; see [`Resource::diff`].
    fn diff(&self, arm: &ArmClient, actual: Option<&Self::Actual>) -> Result<Vec<Difference>, ActionError>;

    /// Writes the difference and waits until ARM has finished; see [`Resource::apply`].
    fn apply(
        &self,
        cx: &ActionContext,
        arm: &ArmClient,
        actual: Option<&Self::Actual>,
    ) -> impl Future<Output = Result<(), ActionError>> + Send;

    /// Output of the action, once actual equals desired state; see [`Resource::output`].
    fn output(&self, cx: &ActionContext, arm: &ArmClient, actual: &Self::Actual) -> Result<Self::Output, ActionError>;

    /// Lists the differences that only a new resource could remove; see [`Resource::immutable`].
    fn immutable(&self, actual: &Self::Actual) -> Vec<Difference> {
        let _ = actual;
        Vec::new()
    }

    /// Fields of the output that are certain before the change; see [`Resource::certain`].
    fn certain(&self, arm: &ArmClient) -> Value {
        let _ = arm;
        Value::Null
    }
}

impl<D: ArmResource> ArmEnsure for D {
    type Actual = ArmObject;
    type Output = <D as ArmResource>::Output;
    const NAME: &'static str = <D as ArmResource>::NAME;
    const VERSION: u32 = <D as ArmResource>::VERSION;
    const SUMMARY: &'static str = <D as ArmResource>::SUMMARY;
    const TYPES: &'static [ResourceType] = &[D::TYPE];

    fn permissions() -> Vec<Permission> {
        read_and_write(D::TYPE).into_iter().chain(D::MORE_PERMISSIONS.iter().cloned()).collect()
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        arm.get_settled(cx, &self.id(arm)).await
    }

    fn diff(&self, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let label = self.id(arm).label();
        self.check().map_err(|e| e.context(&label))?;
        let Some(actual) = actual else { return Ok(vec![Difference::missing(label, self.essence())]) };
        let mut differences = ArmResource::diff(self, actual)?;
        differences.extend(actual.failed_state());
        Ok(differences)
    }

    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<(), ActionError> {
        let id = self.id(arm);
        let Some(lock) = self.lock(&id) else { return put(self, cx, arm, &id, actual.cloned()).await };
        let _guard = arm.lock_for_write(cx, &[&lock]).await?;
        let actual = ArmEnsure::read(self, cx, arm).await?;
        if actual.is_some() && ArmEnsure::diff(self, arm, actual.as_ref())?.is_empty() {
            return Ok(()); // another step has written it while this one waited for the lock
        }
        put(self, cx, arm, &id, actual).await
    }

    fn output(&self, _: &ActionContext, _: &ArmClient, actual: &ArmObject) -> Result<Self::Output, ActionError> {
        <D as ArmResource>::output(actual)
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        ArmResource::immutable(self, actual)
    }

    fn certain(&self, arm: &ArmClient) -> Value {
        let mut certain = id_and_name(&self.id(arm));
        if let (Value::Object(fields), Value::Object(more)) = (&mut certain, ArmResource::certain(self)) {
            fields.extend(more);
        }
        certain
    }
}

/// Creates the resource, or updates it as it was read.
async fn put<D: ArmResource>(
    desired: &D,
    cx: &ActionContext,
    arm: &ArmClient,
    id: &ResourceId,
    actual: Option<ArmObject>,
) -> Result<(), ActionError> {
    let precondition = D::precondition(actual.as_ref());
    let body = match actual {
        None => with_owner(desired.body(), desired.owner()),
        Some(mut actual) => {
            desired.update(&mut actual);
            actual.body
        }
    };
    arm.put(cx, id, body, precondition).await
}

/// Ensure action of the desired state `D`.
pub(crate) struct ArmAction<D> {
    arm: ArmClient,
    desired: PhantomData<fn() -> D>,
}

/// Returns the action that ensures the desired state `D`, to be added to a registry.
pub(crate) fn ensure<D: ArmEnsure>(arm: &ArmClient) -> Ensure<ArmAction<D>> {
    Ensure(ArmAction { arm: arm.clone(), desired: PhantomData })
}

impl<D: ArmEnsure> Resource for ArmAction<D> {
    type Desired = D;
    type Actual = D::Actual;
    type Output = D::Output;
    const NAME: &'static str = D::NAME;
    const VERSION: u32 = D::VERSION;
    const SUMMARY: &'static str = D::SUMMARY;

    async fn read(&self, cx: &ActionContext, desired: &D) -> Result<Option<D::Actual>, ActionError> {
        desired.read(cx, &self.arm).await
    }

    fn diff(&self, desired: &D, actual: Option<&D::Actual>) -> Result<Vec<Difference>, ActionError> {
        desired.diff(&self.arm, actual)
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        desired: &D,
        actual: Option<&D::Actual>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        desired.apply(cx, &self.arm, actual).await
    }

    fn output(&self, cx: &ActionContext, desired: &D, actual: &D::Actual) -> Result<D::Output, ActionError> {
        desired.output(cx, &self.arm, actual)
    }

    fn certain(&self, desired: &D) -> Value {
        desired.certain(&self.arm)
    }

    fn immutable(&self, desired: &D, actual: &D::Actual) -> Vec<Difference> {
        desired.immutable(actual)
    }

    async fn resume(&self, cx: &ActionContext, _: &D, checkpoint: Value) -> Result<(), ActionError> {
        self.arm.resume(cx, checkpoint, D::TYPES).await
    }
}

impl<D: ArmEnsure> RequiredPermissions for ArmAction<D> {
    fn for_input(_: &Value) -> Vec<Permission> {
        D::permissions()
    }
}
