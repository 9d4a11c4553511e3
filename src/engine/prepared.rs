use std::sync::Arc;

use stargate_sdk::{DynAction, Registry};

use super::EngineError;
use crate::{
    journal::PlanText,
    plan::{CompiledPlan, Plan},
};

/// A plan made ready to be run: expressions compiled, actions found, text and digest at hand. Made once, run many times.
pub struct Prepared {
    pub(super) compiled: CompiledPlan,
    pub(super) text: PlanText,
    pub(super) workflow: Arc<str>,
    /// The action of each step.
    pub(super) actions: Vec<Arc<dyn DynAction>>,
}

impl Prepared {
    /// Prepares `plan`. An action that the registry lacks, or has in another version, is an error.
    pub fn new(plan: Plan, registry: &Registry) -> Result<Self, EngineError> {
        let text = PlanText { digest: plan.digest().into(), body: text_of(&plan).into() };
        Self::with_text(plan, text, registry)
    }

    /// Prepares a plan that was stored as `text`.
    pub(super) fn with_text(plan: Plan, text: PlanText, registry: &Registry) -> Result<Self, EngineError> {
        let actions = actions(&plan, registry)?;
        let workflow = plan.workflow.as_str().into();
        Ok(Self { compiled: CompiledPlan::new(Arc::new(plan))?, text, workflow, actions })
    }

    /// The plan itself.
    pub fn plan(&self) -> &Plan {
        self.compiled.plan()
    }
}

fn text_of(plan: &Plan) -> String {
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
                wanted: step.version,
                found: other.map_or("no such action".into(), |action| format!("version {}", action.version())),
            }),
        }
    };
    plan.steps.iter().map(find).collect()
}
