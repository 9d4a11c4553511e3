use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use stargate::plan::{CompiledPlan, EvaluateError, EvaluationContext, Plan, PlannedStep};
use stargate_sdk::{ActionContext, ActionError, AttemptSink, ContextParts, Preview, Recovery, Registry, Secrets};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an action may look at one thing: whoever waits for a plan wants to be told of a host that does not answer.
const PREVIEW_TIMEOUT: Duration = Duration::from_secs(20);

/// What would become of one step, or of one part of a `for_each` step.
pub(super) struct StepForecast {
    /// Its name, with its key.
    pub(super) step: String,
    /// What would become of it.
    pub(super) forecast: Forecast,
}

/// What would become of a step.
pub(super) enum Forecast {
    /// The action has looked.
    Previewed(Preview),
    /// Its input needs outputs that only a run can give, or it cannot be looked at before others are applied.
    Unknown {
        /// The steps that would have to be applied before.
        after: Vec<String>,
        /// What was message instead when it was looked at now.
        message: Option<String>,
    },
    /// Its condition is false.
    Skipped,
    /// It could not be looked at.
    Failed(ActionError),
}

/// Asks every step of the plan, in order, what it would do, and tells `report` as it comes. Changes nothing.
pub(super) async fn forecast(
    compiled: &CompiledPlan,
    registry: &Registry,
    secrets: &Arc<Secrets>,
    report: &dyn Fn(&StepForecast),
) -> Vec<StepForecast> {
    let known = KnownValues::new(compiled.plan());
    let mut forecaster = Forecaster { compiled, registry, secrets, known, report, forecasts: Vec::new() };
    for step in 0..compiled.plan().steps.len() {
        forecaster.step(step).await;
    }
    forecaster.forecasts
}

/// What is known without a run.
struct KnownValues {
    outputs: Vec<Option<Value>>,
    skipped: Vec<bool>,
    /// For a step whose output is not known: the steps that would have to be applied for it to be.
    causes: Vec<BTreeSet<usize>>,
    /// The steps that would have to be applied before what comes after a step could be report as it will be.
    pending: Vec<BTreeSet<usize>>,
}

impl KnownValues {
    fn new(plan: &Plan) -> Self {
        let count = plan.steps.len();
        let nothing = vec![BTreeSet::new(); count];
        Self { outputs: vec![None; count], skipped: vec![false; count], causes: nothing.clone(), pending: nothing }
    }

    /// Why the outputs of what `step` needs are not all known. Empty: they are.
    fn causes(&self, plan: &Plan, step: usize) -> BTreeSet<usize> {
        plan.steps[step].needs.iter().flat_map(|&need| self.causes[need].iter().copied()).collect()
    }

    /// What is to be applied before `step`, as far as it would change anything.
    fn pending_before(&self, plan: &Plan, step: usize) -> BTreeSet<usize> {
        plan.steps[step].needs.iter().flat_map(|&need| self.pending[need].iter().copied()).collect()
    }

    /// Notes what comes after `step` has to wait for: the step itself if it would change something, or else what it waits for.
    fn record_pending(&mut self, plan: &Plan, step: usize) {
        let own = &self.causes[step];
        self.pending[step] = if own.is_empty() { self.pending_before(plan, step) } else { own.clone() };
    }
}

impl EvaluationContext for KnownValues {
    fn output(&self, step: usize) -> Option<&Value> {
        self.outputs[step].as_ref()
    }

    fn skipped(&self, step: usize) -> bool {
        self.skipped[step]
    }

    fn run_id(&self) -> &'static str {
        "not started"
    }
}

struct Forecaster<'a> {
    compiled: &'a CompiledPlan,
    registry: &'a Registry,
    secrets: &'a Arc<Secrets>,
    known: KnownValues,
    report: &'a dyn Fn(&StepForecast),
    forecasts: Vec<StepForecast>,
}

impl Forecaster<'_> {
    async fn step(&mut self, step: usize) {
        self.preview_step(step).await;
        self.known.record_pending(self.compiled.plan(), step);
    }

    async fn preview_step(&mut self, step: usize) {
        match self.compiled.when(step, &self.known) {
            Ok(true) if self.compiled.plan().steps[step].for_each.is_some() => self.preview_instances(step).await,
            Ok(true) => self.preview_single(step).await,
            Ok(false) => {
                self.known.skipped[step] = true;
                self.add(step, None, Forecast::Skipped);
            }
            Err(error) => self.evaluation_failed(step, &error),
        }
    }

    async fn preview_single(&mut self, step: usize) {
        match self.compiled.input(step, None, &self.known) {
            Ok(input) => {
                let forecast = self.preview(step, None, input).await;
                match &forecast {
                    Forecast::Previewed(Preview::Unchanged { output }) => {
                        self.known.outputs[step] = Some(output.clone())
                    }
                    Forecast::Unknown { .. } => self.inherit_causes(step),
                    _ => drop(self.known.causes[step].insert(step)),
                }
                self.add(step, None, forecast);
            }
            Err(error) => self.evaluation_failed(step, &error),
        }
    }

    /// Notes that a step cannot be report before those that come before it are applied.
    fn inherit_causes(&mut self, step: usize) {
        let plan = self.compiled.plan();
        let causes = &self.known.causes(plan, step) | &self.known.pending_before(plan, step);
        self.known.causes[step] = if causes.is_empty() { BTreeSet::from([step]) } else { causes };
    }

    async fn preview_instances(&mut self, step: usize) {
        let items = match self.compiled.items(step, &self.known) {
            Ok(items) => items,
            Err(error) => return self.evaluation_failed(step, &error),
        };
        let (mut outputs, mut changes) = (Some(Map::new()), false);
        for (key, item) in items {
            let forecast = match self.compiled.input(step, Some(&item), &self.known) {
                Ok(input) => self.preview(step, Some(&key), input).await,
                Err(error) => self.unknown(step, &error),
            };
            match (&forecast, &mut outputs) {
                (Forecast::Previewed(Preview::Unchanged { output }), Some(outputs)) => {
                    outputs.insert(key.clone(), output.clone());
                }
                (Forecast::Unknown { .. }, _) => outputs = None,
                _ => (outputs, changes) = (None, true),
            }
            self.add(step, Some(&key), forecast);
        }
        self.known.outputs[step] = outputs.map(Value::Object);
        if changes {
            self.known.causes[step].insert(step);
        } else if self.known.outputs[step].is_none() {
            self.inherit_causes(step);
        }
    }

    async fn preview(&self, step: usize, key: Option<&str>, input: Value) -> Forecast {
        let PlannedStep { action, recovery, .. } = &self.compiled.plan().steps[step];
        let Some(action) = self.registry.find(action) else {
            return Forecast::Failed(ActionError::permanent(format!("there is no action {action}")));
        };
        // What only looks or waits would see what the steps before it leave behind, which is not there yet.
        let before = self.known.pending_before(self.compiled.plan(), step);
        if *recovery == Recovery::Repeat && !before.is_empty() {
            return Forecast::Unknown { after: self.names(&before), message: None };
        }
        let cx = self.context(self.name(step, key));
        match action.preview(&cx, input).await {
            Ok(preview) => Forecast::Previewed(preview),
            Err(error) => self.preview_failed(step, error),
        }
    }

    /// What is not there yet, or does not hold yet, may be what the steps before it would bring about.
    fn preview_failed(&self, step: usize, error: ActionError) -> Forecast {
        let after = self.after(step);
        if after.is_empty() {
            Forecast::Failed(error)
        } else {
            Forecast::Unknown { after, message: Some(error.message) }
        }
    }

    /// The steps that would have to be applied before what `step` needs is known.
    fn after(&self, step: usize) -> Vec<String> {
        self.names(&self.known.causes(self.compiled.plan(), step))
    }

    fn names(&self, steps: &BTreeSet<usize>) -> Vec<String> {
        steps.iter().map(|&step| self.compiled.plan().steps[step].name.clone()).collect()
    }

    fn context(&self, step: String) -> ActionContext {
        ActionContext::new(ContextParts {
            run: self.known.run_id().into(),
            step,
            attempt: 1,
            deadline: Instant::now() + PREVIEW_TIMEOUT,
            cancel: CancellationToken::new(),
            checkpoint: None,
            sink: Arc::new(NullSink),
            secrets: Arc::clone(self.secrets),
        })
    }

    fn evaluation_failed(&mut self, step: usize, error: &EvaluateError) {
        let forecast = self.unknown(step, error);
        self.inherit_causes(step);
        self.add(step, None, forecast);
    }

    /// An expression without a value: because something is not known yet, or else because it is wrong.
    fn unknown(&self, step: usize, error: &EvaluateError) -> Forecast {
        let after = self.after(step);
        if after.is_empty() {
            return Forecast::Failed(ActionError::permanent(error.to_string()));
        }
        Forecast::Unknown { after, message: None }
    }

    fn add(&mut self, step: usize, key: Option<&str>, forecast: Forecast) {
        let step = self.name(step, key);
        let forecast = StepForecast { step, forecast };
        (self.report)(&forecast);
        self.forecasts.push(forecast);
    }

    fn name(&self, step: usize, key: Option<&str>) -> String {
        let name = &self.compiled.plan().steps[step].name;
        key.map_or_else(|| name.clone(), |key| format!("{name}[{key}]"))
    }
}

/// Nobody listens to an action that only looks.
struct NullSink;

impl AttemptSink for NullSink {
    fn progress(&self, _: String) {}

    fn log(&self, _: String) {}

    fn save_checkpoint(&self, _: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async { Err(ActionError::permanent("there is no run to keep anything for")) })
    }
}
