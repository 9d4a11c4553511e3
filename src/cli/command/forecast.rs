//! Forecast of a run: the preview of each step, computed in the order of the plan.
//!
//! The output of an unchanged step is known and is passed on to later steps. Of a step that would
//! change something, the fields that its input decides are known. Values that need another field
//! are unknown, and all other values of the same step are known nevertheless.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use stargate::plan::{CompiledPlan, EvaluateError, EvaluationContext, PartialInput, Plan, PlannedStep};
use stargate_sdk::{
    ActionContext, ActionError, AttemptSink, Circuits, ContextParts, DynAction, Nature, Preview, Registry, RunLease,
    Secrets,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Maximum duration of one preview. A user who waits for a plan needs an error soon if a host does
/// not respond.
const PREVIEW_TIMEOUT: Duration = Duration::from_secs(20);

/// Forecast for one step, or for one instance of a `for_each` step.
pub(super) struct StepForecast {
    /// Name of the step, with its key.
    pub(super) step: String,
    /// Name of the action.
    pub(super) action: String,
    /// True if the action only reads.
    pub(super) only_reads: bool,
    /// Input as far as it is known; `None` if the step is skipped, or if it cannot be evaluated.
    pub(super) input: Option<StepInput>,
    /// Result that the step would have.
    pub(super) forecast: Forecast,
}

/// Input of a step as far as its values are known.
pub(super) struct StepInput {
    /// The input, with `null` in the place of each unknown value.
    pub(super) value: Value,
    /// JSON pointer of each unknown value, with the names of the steps after which it is known.
    pub(super) unknown: Vec<(String, Vec<String>)>,
}

/// Result that a step would have.
pub(super) enum Forecast {
    /// The action computed a preview.
    Previewed(Preview),
    /// The step depends on results that do not exist before other steps have run.
    Unknown {
        /// Names of the steps that must run before.
        after: Vec<String>,
        /// Error of a preview that was tried anyway.
        message: Option<String>,
    },
    /// The condition of the step is false.
    Skipped,
    /// The step is under `finally`: it runs when all others have ended, with what they have left.
    AtEnd,
    /// The preview failed.
    Failed(ActionError),
}

/// Computes the forecast of each step of the plan, in order, and passes each one to `report` as
/// soon as it is known.
///
/// Only previews are called, so nothing changes.
pub(super) async fn forecast(
    compiled: &CompiledPlan,
    registry: &Registry,
    secrets: &Arc<Secrets>,
    report: &dyn Fn(&StepForecast),
) -> Vec<StepForecast> {
    let known = KnownValues::new(compiled.plan());
    let mut forecaster =
        Forecaster { compiled, registry, secrets, known, report, circuits: Arc::default(), forecasts: Vec::new() };
    for step in 0..compiled.plan().steps.len() {
        forecaster.step(step).await;
    }
    forecaster.forecasts
}

/// Previews one action with an input, outside of any workflow.
///
/// # Errors
///
/// If there is no such action, or the preview fails.
pub(super) async fn preview_action(
    registry: &Registry,
    secrets: &Arc<Secrets>,
    action: &str,
    input: Value,
) -> Result<Preview, ActionError> {
    let found = registry.find(action).ok_or_else(|| ActionError::permanent(format!("there is no action {action}")))?;
    found.preview(&context(secrets, "preview", action.into(), &Arc::default()), input).await
}

/// Returns the context of a preview, which has a deadline but no run.
fn context(secrets: &Arc<Secrets>, run: &str, step: String, circuits: &Arc<Circuits>) -> ActionContext {
    ActionContext::new(ContextParts {
        run: run.into(),
        step,
        attempt: 1,
        deadline: Instant::now() + PREVIEW_TIMEOUT,
        cancel: CancellationToken::new(),
        checkpoint: None,
        sink: Arc::new(PreviewSink),
        secrets: Arc::clone(secrets),
        lease: Arc::new(RunLease::unlimited()),
        circuits: Arc::clone(circuits),
    })
}

/// Values that are known without a run, by index of the step.
struct KnownValues {
    /// Outputs of the steps that are unchanged, and what is certain of those of other steps.
    outputs: Vec<Option<Value>>,
    /// Steps whose output lacks fields that are not known yet.
    partial: Vec<bool>,
    /// Steps of which it is not known whether they are skipped.
    undecided: Vec<bool>,
    /// Steps whose condition is false.
    skipped: Vec<bool>,
    /// Steps that must run before the output of this step is known. Empty if it is known.
    causes: Vec<BTreeSet<usize>>,
    /// Steps that must run before a dependent of this step can observe its final state.
    pending: Vec<BTreeSet<usize>>,
    /// A step would change something, or may.
    changed: bool,
}

impl KnownValues {
    fn new(plan: &Plan) -> Self {
        let count = plan.steps.len();
        let nothing = vec![BTreeSet::new(); count];
        let none = vec![false; count];
        Self {
            outputs: vec![None; count],
            partial: none.clone(),
            undecided: none.clone(),
            skipped: none,
            causes: nothing.clone(),
            pending: nothing,
            changed: false,
        }
    }

    /// Returns the steps that must run before all inputs of `step` are known. Empty if they are.
    fn causes(&self, plan: &Plan, step: usize) -> BTreeSet<usize> {
        let planned = &plan.steps[step];
        let needs = planned.needs.iter().chain(&planned.needs_each);
        needs.flat_map(|&need| self.causes[need].iter().copied()).collect()
    }

    /// Returns the steps before `step` that would change something.
    fn pending_before(&self, plan: &Plan, step: usize) -> BTreeSet<usize> {
        plan.steps[step].predecessors().flat_map(|before| self.pending[before].iter().copied()).collect()
    }

    /// Records what the dependents of `step` have to wait for: the step itself if it would change
    /// something, otherwise the steps that it waits for.
    fn record_pending(&mut self, plan: &Plan, step: usize) {
        let own = &self.causes[step];
        self.pending[step] = if own.is_empty() { self.pending_before(plan, step) } else { own.clone() };
    }
}

impl EvaluationContext for KnownValues {
    fn output(&self, step: usize) -> Option<&Value> {
        self.outputs[step].as_ref()
    }

    fn is_partial(&self, step: usize) -> bool {
        self.partial[step]
    }

    fn skipped(&self, step: usize) -> bool {
        self.skipped[step]
    }

    fn failed(&self, _: usize) -> bool {
        false
    }

    fn is_undecided(&self, step: usize) -> bool {
        self.undecided[step]
    }

    fn run_id(&self) -> &'static str {
        "not started"
    }

    fn run_changed(&self) -> bool {
        self.changed
    }
}

/// State of one forecast over all steps.
struct Forecaster<'a> {
    compiled: &'a CompiledPlan,
    registry: &'a Registry,
    secrets: &'a Arc<Secrets>,
    known: KnownValues,
    report: &'a dyn Fn(&StepForecast),
    circuits: Arc<Circuits>,
    forecasts: Vec<StepForecast>,
}

impl Forecaster<'_> {
    /// Adds the forecasts of a step and records what its dependents have to wait for.
    async fn step(&mut self, step: usize) {
        self.preview_step(step).await;
        self.known.record_pending(self.compiled.plan(), step);
    }

    /// Adds the forecasts of a step: one, or one per instance.
    async fn preview_step(&mut self, step: usize) {
        if self.compiled.plan().steps[step].is_finally {
            return self.add(step, None, None, Forecast::AtEnd);
        }
        match self.compiled.when(step, &self.known) {
            Ok(true) if self.compiled.plan().steps[step].for_each.is_some() => self.preview_instances(step).await,
            Ok(true) => self.preview_single(step).await,
            Ok(false) => {
                self.known.skipped[step] = true;
                self.add(step, None, None, Forecast::Skipped);
            }
            Err(error) => {
                self.known.undecided[step] = true;
                self.evaluation_failed(step, &error);
            }
        }
    }

    /// Previews a step without `for_each`.
    async fn preview_single(&mut self, step: usize) {
        let previewed = self.preview_input(step, None, None).await;
        self.known.partial[step] = !previewed.is_final();
        self.known.outputs[step] = previewed.output.filter(|output| !output.is_null());
        match &previewed.forecast {
            Forecast::Previewed(Preview::Unchanged { .. }) => {}
            Forecast::Unknown { .. } => self.inherit_causes(step),
            _ => drop(self.known.causes[step].insert(step)),
        }
        self.add(step, None, previewed.input, previewed.forecast);
    }

    /// Records that the output of a step is unknown until the steps before it have run.
    fn inherit_causes(&mut self, step: usize) {
        let plan = self.compiled.plan();
        let causes = &self.known.causes(plan, step) | &self.known.pending_before(plan, step);
        self.known.causes[step] = if causes.is_empty() { BTreeSet::from([step]) } else { causes };
    }

    /// Previews each instance of a `for_each` step. The keys of its output are known, and of each
    /// instance what is certain.
    async fn preview_instances(&mut self, step: usize) {
        let items = match self.compiled.items(step, &self.known) {
            Ok(items) => items,
            Err(error) => return self.evaluation_failed(step, &error),
        };
        let (mut outputs, mut changes, mut unknown) = (Map::new(), false, false);
        for (key, item) in items {
            let previewed = self.preview_input(step, Some(&key), Some(&item)).await;
            self.known.partial[step] |= !previewed.is_final();
            match &previewed.forecast {
                Forecast::Previewed(Preview::Unchanged { .. }) => {}
                Forecast::Unknown { .. } => unknown = true,
                _ => changes = true,
            }
            outputs.insert(key.clone(), previewed.output.unwrap_or_else(|| json!({})));
            self.add(step, Some(&key), previewed.input, previewed.forecast);
        }
        self.known.outputs[step] = Some(Value::Object(outputs));
        if changes {
            self.known.causes[step].insert(step);
        } else if unknown {
            self.inherit_causes(step);
        }
    }

    /// Evaluates the input of a step or instance, and previews its action if all values are known.
    async fn preview_input(&self, step: usize, key: Option<&str>, item: Option<&Value>) -> Previewed {
        let input = match self.compiled.partial_input(step, item, &self.known) {
            Ok(input) => input,
            Err(error) => return Previewed { input: None, output: None, forecast: self.unknown(step, &error) },
        };
        let shown = Some(self.named(&input));
        if !input.is_complete() {
            let after = self.names(&input.unknown_steps());
            return Previewed { input: shown, output: None, forecast: Forecast::Unknown { after, message: None } };
        }
        let PlannedStep { action, .. } = &self.compiled.plan().steps[step];
        let Some(action) = self.registry.find(action) else {
            let forecast = Forecast::Failed(ActionError::permanent(format!("there is no action {action}")));
            return Previewed { input: shown, output: None, forecast };
        };
        let forecast = self.preview(step, key, &**action, input.value.clone()).await;
        let output = match &forecast {
            Forecast::Previewed(Preview::Unchanged { output }) => Some(output.clone()),
            Forecast::Previewed(Preview::Changes { certain, .. }) if !certain.is_null() => Some(certain.clone()),
            Forecast::Previewed(Preview::Changes { .. }) | Forecast::Unknown { .. } => {
                Some(action.certain_output(input.value)).filter(|output| !output.is_null())
            }
            Forecast::Previewed(Preview::Replacement { .. } | Preview::Opaque)
            | Forecast::Skipped
            | Forecast::AtEnd
            | Forecast::Failed(_) => None,
        };
        Previewed { input: shown, output, forecast }
    }

    /// Calls the preview of an action. An action that only reads is not called if an earlier step
    /// would change what it reads.
    async fn preview(&self, step: usize, key: Option<&str>, action: &dyn DynAction, input: Value) -> Forecast {
        // An action that only reads would observe the state before the changes of earlier steps.
        let before = self.known.pending_before(self.compiled.plan(), step);
        if self.compiled.plan().steps[step].nature == Nature::Observe && !before.is_empty() {
            return Forecast::Unknown { after: self.names(&before), message: None };
        }
        let cx = context(self.secrets, self.known.run_id(), self.name(step, key), &self.circuits);
        match action.preview(&cx, input).await {
            Ok(preview) => Forecast::Previewed(preview),
            Err(error) => {
                self.circuits.step_failed(cx.step());
                self.preview_failed(step, error)
            }
        }
    }

    /// Classifies a failed preview. If a step before this one would change something, its change
    /// may be missing.
    fn preview_failed(&self, step: usize, error: ActionError) -> Forecast {
        let after = self.after(step);
        if after.is_empty() {
            Forecast::Failed(error)
        } else {
            Forecast::Unknown { after, message: Some(error.message) }
        }
    }

    /// Returns the names of the steps that must run before the inputs of `step` are known.
    fn after(&self, step: usize) -> Vec<String> {
        self.names(&self.known.causes(self.compiled.plan(), step))
    }

    fn names(&self, steps: &BTreeSet<usize>) -> Vec<String> {
        steps.iter().map(|&step| self.compiled.plan().steps[step].name.clone()).collect()
    }

    /// Returns an input with the names of the steps after which its values are known.
    fn named(&self, input: &PartialInput) -> StepInput {
        let unknown = input.unknown.iter().map(|(pointer, steps)| (pointer.clone(), self.names(steps)));
        StepInput { value: input.value.clone(), unknown: unknown.collect() }
    }

    /// Adds the forecast of a step whose condition or list cannot be evaluated.
    fn evaluation_failed(&mut self, step: usize, error: &EvaluateError) {
        let forecast = self.unknown(step, error);
        let input = self.compiled.partial_input(step, None, &self.known).ok();
        let mut input = input.map(|input| self.named(&input));
        if let (Some(input), Forecast::Unknown { after, .. }) = (&mut input, &forecast) {
            // They depend on the item of a list that is not known.
            input
                .unknown
                .iter_mut()
                .filter(|(_, steps)| steps.is_empty())
                .for_each(|(_, steps)| steps.clone_from(after));
        }
        self.inherit_causes(step);
        self.add(step, None, input, forecast);
    }

    /// Classifies an expression without a value: it depends on unknown outputs, or it is wrong.
    fn unknown(&self, step: usize, error: &EvaluateError) -> Forecast {
        let after = match error.unknown_steps() {
            Some(steps) if !steps.is_empty() => self.names(steps),
            _ => self.after(step),
        };
        if after.is_empty() {
            return Forecast::Failed(ActionError::permanent(error.to_string()));
        }
        Forecast::Unknown { after, message: None }
    }

    /// Reports a forecast and adds it to the result.
    fn add(&mut self, step: usize, key: Option<&str>, input: Option<StepInput>, forecast: Forecast) {
        self.known.changed |= match &forecast {
            Forecast::Previewed(preview) => !matches!(preview, Preview::Unchanged { .. }),
            Forecast::Unknown { .. } => true,
            Forecast::Skipped | Forecast::AtEnd | Forecast::Failed(_) => false,
        };
        let planned = &self.compiled.plan().steps[step];
        let forecast = StepForecast {
            step: self.name(step, key),
            action: planned.action.clone(),
            only_reads: planned.nature == Nature::Observe,
            input,
            forecast,
        };
        (self.report)(&forecast);
        self.forecasts.push(forecast);
    }

    fn name(&self, step: usize, key: Option<&str>) -> String {
        let name = &self.compiled.plan().steps[step].name;
        key.map_or_else(|| name.clone(), |key| format!("{name}[{key}]"))
    }
}

/// Forecast of a step or instance, with what is known of its input and its output.
struct Previewed {
    input: Option<StepInput>,
    output: Option<Value>,
    forecast: Forecast,
}

impl Previewed {
    /// True if the output has all its fields.
    fn is_final(&self) -> bool {
        matches!(self.forecast, Forecast::Previewed(Preview::Unchanged { .. }))
    }
}

/// Sink that drops progress and log lines: a preview has no attempt that they could belong to.
struct PreviewSink;

impl AttemptSink for PreviewSink {
    fn progress(&self, _: String) {}

    fn log(&self, _: String) {}

    fn save_checkpoint(&self, _: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async { Err(ActionError::permanent("a preview cannot save a checkpoint")) })
    }
}
