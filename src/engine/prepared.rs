use std::sync::Arc;

use stargate_sdk::{DynAction, Registry};

use super::EngineError;
use crate::{
    journal::PlanText,
    plan::{CompiledPlan, Plan},
};

/// A plan with its compiled expressions, its actions and its stored form. One prepared plan serves
/// any number of runs.
pub struct Prepared {
    pub(super) compiled: CompiledPlan,
    pub(super) text: PlanText,
    pub(super) workflow: Arc<str>,
    /// Action of each step, at the step's index in the plan.
    pub(super) actions: Vec<Arc<dyn DynAction>>,
}

impl Prepared {
    /// Prepares `plan` with the actions of `registry`.
    ///
    /// # Errors
    /// [`EngineError::Action`] if the registry does not have an action in the plan's version,
    /// [`EngineError::Plan`] if an expression does not compile.
    pub fn new(plan: Plan, registry: &Registry) -> Result<Self, EngineError> {
        let text = PlanText { digest: plan.digest(), json: to_json(&plan).into() };
        Self::with_text(plan, text, registry)
    }

    /// Prepares a plan whose stored form is `text`.
    pub(super) fn with_text(plan: Plan, text: PlanText, registry: &Registry) -> Result<Self, EngineError> {
        let actions = actions(&plan, registry)?;
        let workflow = plan.workflow.as_str().into();
        Ok(Self { compiled: CompiledPlan::new(Arc::new(plan))?, text, workflow, actions })
    }

    /// Returns the plan itself.
    pub fn plan(&self) -> &Plan {
        self.compiled.plan()
    }
}

fn to_json(plan: &Plan) -> String {
    serde_json::to_string(plan).expect("a plan has string keys and no failing serialiser")
}

fn actions(plan: &Plan, registry: &Registry) -> Result<Vec<Arc<dyn DynAction>>, EngineError> {
    let find = |step: &crate::plan::PlannedStep| {
        let found = registry.find(&step.action);
        match found {
            Some(action) if action.version() == step.version => Ok(Arc::clone(action)),
            other => Err(EngineError::Action {
                step: step.name.clone(),
                action: step.action.clone(),
                expected: step.version,
                found: other.map_or("no such action".into(), |action| format!("version {}", action.version())),
            }),
        }
    };
    plan.steps.iter().map(find).collect()
}
