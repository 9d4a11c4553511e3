use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use schemars::generate::SchemaSettings;
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    Action, ActionContext, ActionError, ByteCount, Check, FindResult, LockService, Nature, Permission, Preview,
    Recovery, RequiredPermissions, Target,
};

/// Largest output of a step, in bytes of JSON: it is stored in the journal and is part of each
/// evaluation.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// An [`Action`] with its types erased, as the engine and the plan use it.
pub trait DynAction: Send + Sync {
    /// Name of the action: `provider.noun.verb`.
    fn name(&self) -> &'static str;
    /// Version that plans record.
    fn version(&self) -> u32;
    /// Meaning of an earlier result when a run continues after an interruption.
    fn nature(&self) -> Nature;
    /// Handling of an unknown outcome.
    fn recovery(&self) -> Recovery;
    /// Sentence in the third person that describes the action to users.
    fn summary(&self) -> &'static str;
    /// Noun of what the action deletes and what may hold data, such as `machine`; `None` if it
    /// deletes no such thing.
    fn deletes(&self) -> Option<&'static str>;
    /// JSON Schema of the input, draft 2020-12, without references.
    fn input_schema(&self) -> &Value;
    /// JSON Schema of the output, draft 2020-12, without references.
    fn output_schema(&self) -> &Value;
    /// Permissions that a step with this `with`, before evaluation, requires; see
    /// [`RequiredPermissions`].
    fn permissions(&self, with: &Value) -> Vec<Permission>;
    /// Checks that `output` has the type of the action's output.
    ///
    /// # Errors
    /// The reason in words.
    fn check_output(&self, output: &Value) -> Result<(), String>;
    /// Runs the action; see [`Action::run`]. The output is redacted.
    ///
    /// # Errors
    /// Those of the action, redacted; `Permanent` if the input does not have the action's type.
    fn run<'a>(&'a self, cx: &'a ActionContext, input: Value) -> BoxFuture<'a, Result<Value, ActionError>>;
    /// Determines whether an earlier attempt took effect; see [`Action::find`].
    ///
    /// # Errors
    /// As for [`Self::run`].
    fn find<'a>(&'a self, cx: &'a ActionContext, input: Value)
    -> BoxFuture<'a, Result<FindResult<Value>, ActionError>>;
    /// Computes the result that `run` would have; see [`Action::preview`].
    ///
    /// # Errors
    /// As for [`Self::run`].
    fn preview<'a>(&'a self, cx: &'a ActionContext, input: Value) -> BoxFuture<'a, Result<Preview, ActionError>>;
    /// Computes the fields of the output that the input alone decides; see
    /// [`Action::certain_output`]. `null` if the input does not have the action's type.
    fn certain_output(&self, input: Value) -> Value;
}

struct ErasedAction<A> {
    action: A,
    input_schema: Value,
    output_schema: Value,
    permissions: fn(&Value) -> Vec<Permission>,
}

fn permissions_of<A: RequiredPermissions>(with: &Value) -> Vec<Permission> {
    A::PERMISSIONS.iter().cloned().chain(A::for_input(with)).collect()
}

impl<A: Action> ErasedAction<A> {
    fn new(action: A, permissions: fn(&Value) -> Vec<Permission>) -> Self {
        let settings = || SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
        Self {
            action,
            input_schema: settings().into_generator().into_root_schema_for::<A::Input>().to_value(),
            output_schema: settings().for_serialize().into_generator().into_root_schema_for::<A::Output>().to_value(),
            permissions,
        }
    }

    fn input(input: Value) -> Result<A::Input, ActionError> {
        serde_path_to_error::deserialize(input).map_err(|error| {
            let field = error.path().to_string();
            let field = if field == "." { String::new() } else { format!("{field}: ") };
            ActionError::permanent(format!("input of {}: {field}{}", A::NAME, error.inner()))
        })
    }

    fn output(cx: &ActionContext, output: A::Output) -> Result<Value, ActionError> {
        let failed = |reason: String| ActionError::permanent(format!("output of {}: {reason}", A::NAME));
        let mut output = serde_json::to_value(output).map_err(|e| failed(e.to_string()))?;
        let mut size = ByteCount::default();
        serde_json::to_writer(&mut size, &output).map_err(|e| failed(e.to_string()))?;
        if size.bytes() > MAX_OUTPUT_BYTES {
            let message = format!("it has {} bytes, more than the limit of {MAX_OUTPUT_BYTES}", size.bytes());
            return Err(failed(message).with_hint("select less: a label, a field or one object"));
        }
        cx.redactor().redact_output(&mut output);
        Ok(output)
    }
}

fn redacted(cx: &ActionContext, mut error: ActionError) -> ActionError {
    error.message = cx.redactor().redact(&error.message);
    error.hint = error.hint.map(|hint| cx.redactor().redact(&hint));
    error
}

impl<A: Action> DynAction for ErasedAction<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn version(&self) -> u32 {
        A::VERSION
    }

    fn nature(&self) -> Nature {
        A::NATURE
    }

    fn recovery(&self) -> Recovery {
        A::RECOVERY
    }

    fn summary(&self) -> &'static str {
        A::SUMMARY
    }

    fn deletes(&self) -> Option<&'static str> {
        A::DELETES
    }

    fn input_schema(&self) -> &Value {
        &self.input_schema
    }

    fn output_schema(&self) -> &Value {
        &self.output_schema
    }

    fn permissions(&self, with: &Value) -> Vec<Permission> {
        (self.permissions)(with)
    }

    fn check_output(&self, output: &Value) -> Result<(), String> {
        A::Output::deserialize(output).map(drop).map_err(|e| e.to_string())
    }

    fn run<'a>(&'a self, cx: &'a ActionContext, input: Value) -> BoxFuture<'a, Result<Value, ActionError>> {
        Box::pin(async move {
            let run = async { Self::output(cx, self.action.run(cx, &Self::input(input)?).await?) };
            run.await.map_err(|e| redacted(cx, e))
        })
    }

    fn find<'a>(
        &'a self,
        cx: &'a ActionContext,
        input: Value,
    ) -> BoxFuture<'a, Result<FindResult<Value>, ActionError>> {
        Box::pin(async move {
            let find = async {
                Ok(match self.action.find(cx, &Self::input(input)?).await? {
                    FindResult::Present(output) => FindResult::Present(Self::output(cx, output)?),
                    FindResult::Absent => FindResult::Absent,
                    FindResult::Unclear(reason) => FindResult::Unclear(cx.redactor().redact(&reason)),
                })
            };
            find.await.map_err(|e| redacted(cx, e))
        })
    }

    fn preview<'a>(&'a self, cx: &'a ActionContext, input: Value) -> BoxFuture<'a, Result<Preview, ActionError>> {
        Box::pin(async move {
            let preview = async { self.action.preview(cx, &Self::input(input)?).await };
            preview.await.map_err(|e| redacted(cx, e))
        })
    }

    fn certain_output(&self, input: Value) -> Value {
        Self::input(input).map_or(Value::Null, |input| self.action.certain_output(&input))
    }
}

/// The actions that workflows can use, by name, the checks of their environment, and the external
/// systems that they work on.
#[derive(Default, Clone)]
pub struct Registry {
    actions: BTreeMap<&'static str, Arc<dyn DynAction>>,
    checks: Vec<Arc<dyn Check>>,
    targets: BTreeMap<&'static str, Arc<dyn Target>>,
    /// Name of the target of each action that has one.
    target_of: BTreeMap<&'static str, &'static str>,
    lock_services: Vec<Arc<dyn LockService>>,
}

impl Registry {
    /// Adds an action with the permissions that it requires. Input and output schemas are generated
    /// here.
    ///
    /// # Panics
    /// If an action of that name has been added: an error of the program, not of its user.
    pub fn add<A: Action + RequiredPermissions>(&mut self, action: A) {
        self.insert::<A>(ErasedAction::new(action, permissions_of::<A>));
    }

    fn insert<A: Action>(&mut self, action: ErasedAction<A>) {
        self.insert_action(A::NAME, Arc::new(action));
    }

    fn insert_action(&mut self, name: &'static str, action: Arc<dyn DynAction>) {
        let previous = self.actions.insert(name, action);
        assert!(previous.is_none(), "two actions are called {name}");
    }

    /// Adds the actions and checks that `add` adds. The actions work on the target named `target`,
    /// which is added before or afterwards.
    ///
    /// # Panics
    /// As for [`Self::add`].
    pub fn add_for_target(&mut self, target: &'static str, add: impl FnOnce(&mut Self)) {
        let mut added = Self::default();
        add(&mut added);
        for (name, action) in added.actions {
            self.insert_action(name, action);
            self.target_of.insert(name, target);
        }
        self.checks.extend(added.checks);
    }

    /// Adds a target.
    ///
    /// # Panics
    /// If a target of that name has been added: an error of the program, not of its user.
    pub fn add_target(&mut self, target: impl Target + 'static) {
        let name = target.name();
        let previous = self.targets.insert(name, Arc::new(target));
        assert!(previous.is_none(), "two targets are called {name}");
    }

    /// Adds a service for locks in a target.
    pub fn add_lock_service(&mut self, service: impl LockService + 'static) {
        self.lock_services.push(Arc::new(service));
    }

    /// Returns the target named `name`.
    pub fn target(&self, name: &str) -> Option<&Arc<dyn Target>> {
        self.targets.get(name)
    }

    /// Returns the target that the action named `action` works on, if it has one.
    pub fn target_of(&self, action: &str) -> Option<&Arc<dyn Target>> {
        self.target(self.target_of.get(action)?)
    }

    /// Returns the service that keeps the lock, if its locks are in a target.
    pub fn lock_service(&self, lock: &str) -> Option<&Arc<dyn LockService>> {
        self.lock_services.iter().find(|service| service.covers(lock))
    }

    /// Adds a check after those that were added before.
    pub fn add_check(&mut self, check: impl Check + 'static) {
        self.checks.push(Arc::new(check));
    }

    /// Returns the action named `name`.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn DynAction>> {
        self.actions.get(name)
    }

    /// All actions, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn DynAction>> {
        self.actions.values()
    }

    /// All checks, in the order in which they were added.
    pub fn checks(&self) -> &[Arc<dyn Check>] {
        &self.checks
    }
}
