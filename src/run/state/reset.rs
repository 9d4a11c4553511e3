//! Steps that are executed again on request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Progress, RunState, StepId, StepState};
use crate::run::{IllegalEntry, Outcome};

impl RunState {
    /// True if the step must not be repeated and an attempt of it may have taken effect, or is not
    /// over: only its recovery, or an operator, can tell.
    pub(in crate::run) fn has_open_effect(&self, id: StepId) -> bool {
        let is_open = |state: &StepState| {
            matches!(
                state,
                StepState::Running { .. }
                    | StepState::Unknown { .. }
                    | StepState::BackingOff { .. }
                    | StepState::InDoubt { .. }
            )
        };
        let instance = &self.instances[id.index()];
        !self.nodes[instance.node].is_repeatable
            && (is_open(&instance.state) || instance.kept.as_ref().is_some_and(is_open))
    }

    /// Opens the run again, so that these steps are executed again.
    pub(super) fn steps_reset(&mut self, steps: &BTreeMap<String, u32>) -> Result<(), IllegalEntry> {
        let entry = "steps_reset";
        let is_possible = match self.progress {
            Progress::New | Progress::Finished(Outcome::Cancelled) => false,
            Progress::Running | Progress::Finished(_) => !self.is_cancel_requested(),
        };
        if !is_possible {
            return Err(IllegalEntry::Run { entry, state: self.progress.name() });
        }
        let mut ids = Vec::with_capacity(steps.len());
        for (step, attempts) in steps {
            let id = self.find(step).ok_or_else(|| IllegalEntry::NoSuchStep { entry, step: step.clone() })?;
            if self.has_open_effect(id) {
                return Err(IllegalEntry::Step { entry, step: step.clone(), state: self.state(id).name() });
            }
            ids.push((id, *attempts));
        }
        for id in self.steps().filter(|id| self.nodes[self.node(*id)].is_finally) {
            if self.has_open_effect(id) {
                return Err(IllegalEntry::Step { entry, step: self.name(id).into(), state: self.state(id).name() });
            }
        }
        if self.finally.is_some() {
            self.leave_finally();
        }
        self.progress = Progress::Running;
        for id in self.steps() {
            self.forget_refusal(id);
        }
        self.discard_stale_results();
        for (id, attempts) in ids {
            self.reset_result(id, attempts);
        }
        self.rebuild_dependencies();
        Ok(())
    }

    fn reset_result(&mut self, id: StepId, attempts: u32) {
        let instance = &mut self.instances[id.index()];
        instance.kept = None;
        instance.decision = None;
        instance.checkpoint = Value::Null;
        instance.attempts = attempts.max(instance.attempts);
        instance.reset_after = instance.attempts;
        instance.resets += 1;
        self.set(id, StepState::Blocked { by: 0 });
    }
}
