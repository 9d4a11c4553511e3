use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use stargate::plan::{CompiledPlan, EvaluateError, Facts, Plan};
use stargate_sdk::{ActionContext, ActionError, AttemptSink, ContextParts, Preview, Registry, Secrets};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long an action may look at one thing: whoever waits for a plan wants to be told of a host that does not answer.
const LOOK: Duration = Duration::from_secs(20);

/// What would become of one step, or of one part of a `for_each` step.
pub(super) struct Forecast {
    /// Its name, with its key.
    pub(super) step: String,
    /// What would become of it.
    pub(super) prospect: Prospect,
}

/// What would become of a step.
pub(super) enum Prospect {
    /// The action has looked.
    Seen(Preview),
    /// Its input needs outputs that only a run can give.
    Unknown {
        /// The steps that would have to be applied before.
        until: Vec<String>,
    },
    /// Its condition is false.
    Skipped,
    /// It could not be looked at.
    Failed(ActionError),
}

/// Asks every step of the plan, in order, what it would do, and tells `seen` as it comes. Changes nothing.
pub(super) async fn forecast(
    compiled: &CompiledPlan,
    registry: &Registry,
    secrets: &Arc<Secrets>,
    seen: &dyn Fn(&Forecast),
) -> Vec<Forecast> {
    let known = Known::new(compiled.plan());
    let mut forecaster = Forecaster { compiled, registry, secrets, known, seen, forecasts: Vec::new() };
    for step in 0..compiled.plan().steps.len() {
        forecaster.step(step).await;
    }
    forecaster.forecasts
}

/// What is known without a run.
struct Known {
    outputs: Vec<Option<Value>>,
    skipped: Vec<bool>,
    /// For a step whose output is not known: the steps that would have to be applied for it to be.
    causes: Vec<BTreeSet<usize>>,
}

impl Known {
    fn new(plan: &Plan) -> Self {
        let count = plan.steps.len();
        Self { outputs: vec![None; count], skipped: vec![false; count], causes: vec![BTreeSet::new(); count] }
    }

    /// Why the outputs of what `step` needs are not all known. Empty: they are.
    fn causes(&self, plan: &Plan, step: usize) -> BTreeSet<usize> {
        plan.steps[step].needs.iter().flat_map(|&need| self.causes[need].iter().copied()).collect()
    }
}

impl Facts for Known {
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
    known: Known,
    seen: &'a dyn Fn(&Forecast),
    forecasts: Vec<Forecast>,
}

impl Forecaster<'_> {
    async fn step(&mut self, step: usize) {
        match self.compiled.when(step, &self.known) {
            Ok(true) if self.compiled.plan().steps[step].for_each.is_some() => self.parts(step).await,
            Ok(true) => self.single(step).await,
            Ok(false) => {
                self.known.skipped[step] = true;
                self.note(step, None, Prospect::Skipped);
            }
            Err(error) => self.unevaluated(step, &error),
        }
    }

    async fn single(&mut self, step: usize) {
        match self.compiled.input(step, None, &self.known) {
            Ok(input) => {
                let prospect = self.look(step, None, input).await;
                match &prospect {
                    Prospect::Seen(Preview::InOrder { output }) => self.known.outputs[step] = Some(output.clone()),
                    _ => drop(self.known.causes[step].insert(step)),
                }
                self.note(step, None, prospect);
            }
            Err(error) => self.unevaluated(step, &error),
        }
    }

    async fn parts(&mut self, step: usize) {
        let items = match self.compiled.items(step, &self.known) {
            Ok(items) => items,
            Err(error) => return self.unevaluated(step, &error),
        };
        let mut outputs = Some(Map::new());
        for (key, item) in items {
            let prospect = match self.compiled.input(step, Some(&item), &self.known) {
                Ok(input) => self.look(step, Some(&key), input).await,
                Err(error) => self.unknown(step, &error),
            };
            match (&prospect, &mut outputs) {
                (Prospect::Seen(Preview::InOrder { output }), Some(outputs)) => {
                    outputs.insert(key.clone(), output.clone());
                }
                _ => outputs = None,
            }
            self.note(step, Some(&key), prospect);
        }
        self.known.outputs[step] = outputs.map(Value::Object);
        if self.known.outputs[step].is_none() {
            self.known.causes[step].insert(step);
        }
    }

    async fn look(&self, step: usize, key: Option<&str>, input: Value) -> Prospect {
        let action = &self.compiled.plan().steps[step].action;
        let Some(action) = self.registry.find(action) else {
            return Prospect::Failed(ActionError::permanent(format!("there is no action {action}")));
        };
        let cx = self.context(self.name(step, key));
        match action.preview(&cx, input).await {
            Ok(preview) => Prospect::Seen(preview),
            Err(error) => Prospect::Failed(error),
        }
    }

    fn context(&self, step: String) -> ActionContext {
        ActionContext::new(ContextParts {
            run: self.known.run_id().into(),
            step,
            attempt: 1,
            deadline: Instant::now() + LOOK,
            cancel: CancellationToken::new(),
            checkpoint: None,
            sink: Arc::new(Nowhere),
            secrets: Arc::clone(self.secrets),
        })
    }

    fn unevaluated(&mut self, step: usize, error: &EvaluateError) {
        let prospect = self.unknown(step, error);
        let causes = self.known.causes(self.compiled.plan(), step);
        self.known.causes[step] = if causes.is_empty() { BTreeSet::from([step]) } else { causes };
        self.note(step, None, prospect);
    }

    /// An expression without a value: because something is not known yet, or else because it is wrong.
    fn unknown(&self, step: usize, error: &EvaluateError) -> Prospect {
        let plan = self.compiled.plan();
        let causes = self.known.causes(plan, step);
        if causes.is_empty() {
            return Prospect::Failed(ActionError::permanent(error.to_string()));
        }
        Prospect::Unknown { until: causes.iter().map(|&cause| plan.steps[cause].name.clone()).collect() }
    }

    fn note(&mut self, step: usize, key: Option<&str>, prospect: Prospect) {
        let step = self.name(step, key);
        let forecast = Forecast { step, prospect };
        (self.seen)(&forecast);
        self.forecasts.push(forecast);
    }

    fn name(&self, step: usize, key: Option<&str>) -> String {
        let name = &self.compiled.plan().steps[step].name;
        key.map_or_else(|| name.clone(), |key| format!("{name}[{key}]"))
    }
}

/// Nobody listens to an action that only looks.
struct Nowhere;

impl AttemptSink for Nowhere {
    fn progress(&self, _: String) {}

    fn log(&self, _: String) {}

    fn save_checkpoint(&self, _: Value) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async { Err(ActionError::permanent("there is no run to keep anything for")) })
    }
}
