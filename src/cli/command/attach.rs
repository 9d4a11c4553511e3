//! Implementation of the command `attach`: the view of a run that another process executes.
//!
//! The view is that of `run`, from the entries and log lines in the journal. Progress messages are
//! not stored, so they are not shown.

use std::{collections::HashSet, sync::Arc, time::Duration};

use stargate::{
    clock::UnixMillis,
    event::{Event, EventKind, Reporter as _},
    id::RunId,
    journal::{Journal, StoredRun},
    run::{AttemptMode, AttemptTransition, Entry, ObservedStatus, TimedEntry},
};

use super::view_context::ViewContext;
use crate::cli::{
    Failure, Settings,
    args::AttachArgs,
    exit::Exit,
    final_report::exit_of_status,
    format, hint, journals,
    reporter::{self, ReporterAdapter},
    runs,
    signals::SignalListener,
    ui,
};

/// Interval between two reads of the journal.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Command `attach`: shows a run until it ends. Ctrl-C ends the view and not the run.
///
/// # Errors
///
/// The journal has no such run, or cannot be read.
pub(crate) async fn attach(settings: &Settings, args: &AttachArgs) -> Result<Exit, Failure> {
    let Some(journal) = journals::open_existing(settings).await? else { return Err(runs::no_runs()) };
    let run = runs::find(&*journal, &args.run).await?;
    let mut signals = SignalListener::listen()?;
    let estimate = runs::usual_duration(&*journal, &journal.row(run.clone()).await?.workflow).await?;
    let adapter = ReporterAdapter::start(reporter::for_settings(settings, false, estimate));
    let mut follower = Follower::new(Arc::clone(&journal), run.clone());
    let ended = loop {
        let status = follower.poll(&adapter).await;
        match status {
            Ok(ObservedStatus::Running) => {}
            ended => break ended.map(Some),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            () = signals.next() => break Ok(None),
        }
    };
    drop(adapter.end());
    let Some(status) = ended? else {
        ui::err(&format!("run {run} goes on"));
        ui::hint(&hint::attach(&run));
        return Ok(Exit::Success);
    };
    let stored = journal.load(run.clone()).await?;
    let time = format::duration(runs::active_time(&stored, None));
    ui::err(&format!("run {run} of {} is {} after {time}", stored.row.workflow, status.name()));
    Ok(exit_of_status(status))
}

/// Reader of the events of a run that another process executes.
struct Follower {
    journal: Arc<dyn Journal>,
    run: RunId,
    /// Number of entries of the history that have been reported.
    history: usize,
    /// Latest attempts that have been reported: step and time.
    latest: HashSet<(String, UnixMillis)>,
    /// Number of log lines that have been reported.
    lines: usize,
    has_begun: bool,
}

impl Follower {
    fn new(journal: Arc<dyn Journal>, run: RunId) -> Self {
        Self { journal, run, history: 0, latest: HashSet::new(), lines: 0, has_begun: false }
    }

    /// Reports what has happened since the last call, and returns the status of the run.
    async fn poll(&mut self, adapter: &ReporterAdapter) -> Result<ObservedStatus, Failure> {
        // The status is read first: what precedes an end is in the entries that are read next.
        let status = ViewContext::now()?.status(&self.journal.row(self.run.clone()).await?);
        let stored = self.journal.load(self.run.clone()).await?;
        if !self.has_begun {
            self.begin(&stored, adapter)?;
        }
        let mut events = self.new_entries(&stored);
        let lines = self.journal.log_lines(self.run.clone()).await?;
        for line in lines.into_iter().skip(self.lines) {
            self.lines += 1;
            events.push((line.at, EventKind::StepLog { step: line.step, line: line.text }));
        }
        events.sort_by_key(|(at, _)| *at); // stable: entries of one time keep their order
        for (at, kind) in events {
            adapter.report(Event { at, run: self.run.clone(), kind });
        }
        Ok(status)
    }

    /// Reports the run with its steps.
    ///
    /// # Errors
    /// The stored plan cannot be read.
    fn begin(&mut self, stored: &StoredRun, adapter: &ReporterAdapter) -> Result<(), Failure> {
        self.has_begun = true;
        let plan = runs::plan_of(stored)?;
        let steps = plan.steps.iter().map(|step| step.name.clone()).collect();
        let kind = EventKind::RunStarted { workflow: stored.row.workflow.clone(), steps };
        adapter.report(Event { at: stored.row.created_at, run: self.run.clone(), kind });
        Ok(())
    }

    /// Returns the events of the entries that are new.
    fn new_entries(&mut self, stored: &StoredRun) -> Vec<(UnixMillis, EventKind)> {
        let history = stored.history.iter().skip(self.history);
        let mut events: Vec<_> = history.filter_map(event).collect();
        self.history = stored.history.len();
        for timed in &stored.latest {
            if let Entry::AttemptChanged { step, .. } = &timed.entry
                && self.latest.insert((step.clone(), timed.at))
            {
                events.extend(event(timed));
            }
        }
        events
    }
}

/// Returns the event of an entry, if it has one.
fn event(TimedEntry { at, entry }: &TimedEntry) -> Option<(UnixMillis, EventKind)> {
    let kind = match entry.clone() {
        Entry::CancelRequested { by } => EventKind::CancelRequested { by },
        Entry::ApprovalRequested { step, question } => EventKind::ApprovalRequested { step, question },
        Entry::StepAnswered { step, by, answer } => EventKind::StepAnswered { step, by, answer },
        Entry::StepExpanded { step, keys } => {
            let instances = keys.iter().map(|key| format!("{step}[{key}]")).collect();
            EventKind::StepExpanded { step, instances, dropped: Vec::new() }
        }
        Entry::StepStarted { step, attempt, .. } => EventKind::StepStarted { step, attempt, find: false },
        Entry::AttemptChanged { step, attempt, to, .. } => match to {
            AttemptTransition::Running { mode } => {
                EventKind::StepStarted { step, attempt: attempt.number, find: mode == AttemptMode::Find }
            }
            AttemptTransition::BackingOff { until, error, .. } => {
                EventKind::StepRetrying { step, attempt: attempt.number, error, until }
            }
        },
        Entry::StepSucceeded { step, changes, found, .. } => EventKind::StepSucceeded { step, changes, found },
        Entry::StepSkipped { step } => EventKind::StepSkipped { step },
        Entry::StepFailed { step, error, changes } => EventKind::StepFailed { step, error, changes },
        Entry::StepInDoubt { step, error, changes } => EventKind::StepInDoubt { step, error, changes },
        Entry::FinallyStarted { outcome } => EventKind::FinallyStarted { outcome },
        Entry::RunCreated { .. }
        | Entry::RunAcquired { .. }
        | Entry::StepsReset { .. }
        | Entry::RunReopened
        | Entry::TargetRecorded { .. }
        | Entry::Checkpointed { .. }
        | Entry::StepStopped { .. }
        | Entry::RunFinished { .. } => return None,
    };
    Some((*at, kind))
}
