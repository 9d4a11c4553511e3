use std::{collections::BTreeMap, sync::Arc};

use futures::future::BoxFuture;
use schemars::generate::SchemaSettings;
use serde::Deserialize as _;
use serde_json::Value;

use crate::{
    Action, ActionContext, ActionError, Check, FindResult, Permission, Preview, Recovery, RequiredPermissions,
};

/// An [`Action`] with its types erased: what the engine and the plan see.
pub trait DynAction: Send + Sync {
    /// `provider.noun.verb`.
    fn name(&self) -> &'static str;
    /// Pinned in every plan.
    fn version(&self) -> u32;
    /// How an unknown outcome is left.
    fn recovery(&self) -> Recovery;
    /// One sentence.
    fn summary(&self) -> &'static str;
    /// JSON Schema of the input.
    fn input_schema(&self) -> &Value;
    /// JSON Schema of the output.
    fn output_schema(&self) -> &Value;
    /// What a step has to be allowed whose `with` is this, not evaluated yet; see [`RequiredPermissions`].
    fn permissions(&self, with: &Value) -> Vec<Permission>;
    /// Whether `output` is one that the action could give; if not, why.
    fn check_output(&self, output: &Value) -> Result<(), String>;
    /// See [`Action::run`]. An input that does not fit is a `Permanent` error.
    fn run<'a>(&'a self, cx: &'a ActionContext, input: Value) -> BoxFuture<'a, Result<Value, ActionError>>;
    /// See [`Action::find`].
    fn find<'a>(&'a self, cx: &'a ActionContext, input: Value)
    -> BoxFuture<'a, Result<FindResult<Value>, ActionError>>;
    /// See [`Action::preview`].
    fn preview<'a>(&'a self, cx: &'a ActionContext, input: Value) -> BoxFuture<'a, Result<Preview, ActionError>>;
}

struct Erased<A> {
    action: A,
    input_schema: Value,
    output_schema: Value,
    permissions: fn(&Value) -> Vec<Permission>,
}

fn permissions_of<A: RequiredPermissions>(with: &Value) -> Vec<Permission> {
    A::PERMISSIONS.iter().cloned().chain(A::for_input(with)).collect()
}

impl<A: Action> Erased<A> {
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
        serde_json::from_value(input).map_err(|e| ActionError::permanent(format!("input of {}: {e}", A::NAME)))
    }

    fn output(output: &A::Output) -> Result<Value, ActionError> {
        serde_json::to_value(output).map_err(|e| ActionError::permanent(format!("output of {}: {e}", A::NAME)))
    }
}

fn redacted(cx: &ActionContext, mut error: ActionError) -> ActionError {
    error.message = cx.redactor().redact(&error.message);
    error.hint = error.hint.map(|hint| cx.redactor().redact(&hint));
    error
}

impl<A: Action> DynAction for Erased<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn version(&self) -> u32 {
        A::VERSION
    }

    fn recovery(&self) -> Recovery {
        A::RECOVERY
    }

    fn summary(&self) -> &'static str {
        A::SUMMARY
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
            let run = async { Self::output(&self.action.run(cx, &Self::input(input)?).await?) };
            let output = run.await.map_err(|e| redacted(cx, e))?;
            Ok(cx.redactor().redact_json(&output))
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
                    FindResult::Present(output) => {
                        FindResult::Present(cx.redactor().redact_json(&Self::output(&output)?))
                    }
                    FindResult::Absent => FindResult::Absent,
                    FindResult::Unclear(why) => FindResult::Unclear(cx.redactor().redact(&why)),
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
}

/// The actions that workflows can use, by name, and what can be looked at before any of them runs.
#[derive(Default, Clone)]
pub struct Registry {
    actions: BTreeMap<&'static str, Arc<dyn DynAction>>,
    checks: Vec<Arc<dyn Check>>,
}

impl Registry {
    /// Adds an action with the permissions that it requires.
    ///
    /// # Panics
    /// If an action of that name exists: an error of the program, not of its user.
    pub fn add<A: Action + RequiredPermissions>(&mut self, action: A) {
        self.insert::<A>(Erased::new(action, permissions_of::<A>));
    }

    fn insert<A: Action>(&mut self, action: Erased<A>) {
        let previous = self.actions.insert(A::NAME, Arc::new(action));
        assert!(previous.is_none(), "two actions are called {}", A::NAME);
    }

    /// Adds a check behind those that are there.
    pub fn add_check(&mut self, check: impl Check + 'static) {
        self.checks.push(Arc::new(check));
    }

    /// The action of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<dyn DynAction>> {
        self.actions.get(name)
    }

    /// Every action, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn DynAction>> {
        self.actions.values()
    }

    /// Every check, as they were added.
    pub fn checks(&self) -> &[Arc<dyn Check>] {
        &self.checks
    }
}
