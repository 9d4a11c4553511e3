//! Last captured lines of steps: the context of a failure.

use std::collections::{HashMap, VecDeque};

use stargate::{
    event::{Event, EventKind},
    id::RunId,
};

/// Number of lines kept per step.
const TAIL_LINES: usize = 12;

/// Last captured lines of each running step, shown if the step fails.
#[derive(Default)]
pub(super) struct LogTail(HashMap<(RunId, String), VecDeque<String>>);

impl LogTail {
    /// Records an event. Returns step and lines if the event is a failure of a step with lines.
    pub(super) fn update(&mut self, event: &Event) -> Option<(String, VecDeque<String>)> {
        let key = |step: &String| (event.run.clone(), step.clone());
        match &event.kind {
            EventKind::StepLog { step, line } => {
                let lines = self.0.entry(key(step)).or_default();
                lines.extend(line.lines().map(str::to_owned));
                lines.drain(..lines.len().saturating_sub(TAIL_LINES));
                None
            }
            EventKind::StepFailed { step, .. } | EventKind::StepInDoubt { step, .. } => {
                self.0.remove(&key(step)).map(|lines| (step.clone(), lines))
            }
            EventKind::StepStarted { step, .. }
            | EventKind::StepSucceeded { step, .. }
            | EventKind::StepSkipped { step } => {
                self.0.remove(&key(step));
                None
            }
            EventKind::RunStarted { .. }
            | EventKind::RunResumed { .. }
            | EventKind::RunBound { .. }
            | EventKind::StepExpanded { .. }
            | EventKind::StepProgress { .. }
            | EventKind::StepRetrying { .. }
            | EventKind::FinallyStarted { .. }
            | EventKind::ApprovalRequested { .. }
            | EventKind::StepAnswered { .. }
            | EventKind::RunFinished { .. }
            | EventKind::LockAwaited { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::RunInterrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use stargate::clock::UnixMillis;
    use stargate_sdk::ActionError;

    use super::*;

    #[test]
    fn the_last_lines_are_returned_on_failure_and_dropped_on_success() {
        let run = RunId::generate();
        let mut tail = LogTail::default();
        let mut update = |kind| tail.update(&Event { at: UnixMillis(0), run: run.clone(), kind });
        let log = |line: usize| EventKind::StepLog { step: "a".into(), line: format!("line {line}") };
        for line in 0..100 {
            assert_eq!(update(log(line)), None);
        }
        let failed =
            || EventKind::StepFailed { step: "a".into(), error: ActionError::permanent("no"), changes: vec![] };
        let (step, lines) = update(failed()).expect("lines");
        assert_eq!((step.as_str(), lines.len(), lines[TAIL_LINES - 1].as_str()), ("a", TAIL_LINES, "line 99"));
        update(log(1));
        update(EventKind::StepSucceeded { step: "a".into(), changes: vec![], found: false });
        assert_eq!(update(failed()), None);
    }
}
