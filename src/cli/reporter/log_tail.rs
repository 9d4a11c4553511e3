use std::collections::{HashMap, VecDeque};

use stargate::{
    event::{Event, News},
    id::RunId,
};

/// Lines that are kept of a step: what it did last is what it failed at.
const KEPT: usize = 12;

/// Keeps the last lines that each running step captured, for the case that it fails.
#[derive(Default)]
pub(super) struct LogTail(HashMap<(RunId, String), VecDeque<String>>);

impl LogTail {
    /// Takes an event into account. When it is a failure: the step, and the lines that led to it.
    pub(super) fn follow(&mut self, event: &Event) -> Option<(String, VecDeque<String>)> {
        let key = |step: &String| (event.run.clone(), step.clone());
        match &event.news {
            News::StepLog { step, line } => {
                let lines = self.0.entry(key(step)).or_default();
                lines.extend(line.lines().map(str::to_owned));
                lines.drain(..lines.len().saturating_sub(KEPT));
                None
            }
            News::StepFailed { step, .. } | News::StepInDoubt { step, .. } => {
                self.0.remove(&key(step)).map(|lines| (step.clone(), lines))
            }
            News::StepStarted { step, .. } | News::StepSucceeded { step, .. } | News::StepSkipped { step } => {
                self.0.remove(&key(step));
                None
            }
            News::RunStarted { .. }
            | News::RunResumed { .. }
            | News::StepExpanded { .. }
            | News::StepProgress { .. }
            | News::StepRetrying { .. }
            | News::ApprovalAsked { .. }
            | News::StepAnswered { .. }
            | News::RunFinished { .. }
            | News::LockAwaited { .. }
            | News::CancelRequested { .. }
            | News::RunInterrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use stargate::clock::Millis;
    use stargate_sdk::ActionError;

    use super::*;

    #[test]
    fn the_last_lines_of_a_step_are_told_when_it_fails_and_forgotten_when_it_succeeds() {
        let run = RunId::generate();
        let mut tail = LogTail::default();
        let mut tell = |news| tail.follow(&Event { at: Millis(0), run: run.clone(), news });
        let log = |line: usize| News::StepLog { step: "a".into(), line: format!("line {line}") };
        for line in 0..100 {
            assert_eq!(tell(log(line)), None);
        }
        let failed = || News::StepFailed { step: "a".into(), error: ActionError::permanent("no"), changes: vec![] };
        let (step, lines) = tell(failed()).expect("lines");
        assert_eq!((step.as_str(), lines.len(), lines[KEPT - 1].as_str()), ("a", KEPT, "line 99"));
        tell(log(1));
        tell(News::StepSucceeded { step: "a".into(), changes: vec![], found: false });
        assert_eq!(tell(failed()), None);
    }
}
