use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use stargate_sdk::BootTime;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    Ending, EngineError, EngineOptions, RunReport,
    claim::AcquiredRun,
    executor::{self, AttemptJob},
    live_run::{LiveRun, PendingStart},
    log_writer::LogWriter,
    message::{AttemptEnded, DispatcherMessage},
    renewal::{HeldLeases, LeaseTerm},
};
use crate::{
    clock::{Clock, UnixMillis},
    event::{Event, EventKind},
    id::{Epoch, RunId},
    journal::{Append, Commit, Cursor, JournalError, NewRun, Owner},
    run::{Outcome, TimedEntry},
};

/// Delay before a commit is tried again that another process has prevented.
const BUSY_DELAY: Duration = Duration::from_millis(100);
/// Interval between polls of the journal for external entries.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of messages handled in one turn; their entries share a commit.
const MAX_BATCH: usize = 1024;

/// Task that owns all live runs of an engine.
pub(super) struct Dispatcher {
    options: EngineOptions,
    log_writer: LogWriter,
    owner: Arc<Owner>,
    /// Leases of the live runs.
    held: Arc<HeldLeases>,
    /// Channel for the results of attempts. Weak, so that it closes when the last engine handle is
    /// dropped.
    own: mpsc::WeakSender<DispatcherMessage>,
    runs: HashMap<RunId, LiveRun>,
    /// Runs to decide on in this turn.
    touched: BTreeSet<RunId>,
    draining: bool,
    /// Time that is waited for.
    wake: Option<Wake>,
    /// Time that was waited for, until the turn that follows.
    reached: Option<UnixMillis>,
}

/// Time of the next scheduled attempt.
#[derive(Debug, Clone, Copy)]
struct Wake {
    at: UnixMillis,
    /// The same time by a clock that is never set.
    due: BootTime,
}

async fn wait_for(clock: &Clock, wake: Option<Wake>) {
    if let Some(Wake { at, due }) = wake {
        clock.until_or_due(at, due).await;
    }
}

impl Dispatcher {
    pub(super) fn new(
        options: EngineOptions,
        owner: Arc<Owner>,
        held: Arc<HeldLeases>,
        own: mpsc::WeakSender<DispatcherMessage>,
    ) -> Self {
        let log_writer = LogWriter::start(Arc::clone(&options.journal));
        Self {
            options,
            log_writer,
            owner,
            held,
            own,
            runs: HashMap::new(),
            touched: BTreeSet::new(),
            draining: false,
            wake: None,
            reached: None,
        }
    }

    /// Handles messages until all engine handles are dropped and no attempt is running.
    pub(super) async fn serve(mut self, mut messages: mpsc::Receiver<DispatcherMessage>) {
        let mut poll = ticks(POLL_INTERVAL);
        let mut batch = Vec::new();
        loop {
            let wake = self.wake();
            tokio::select! {
                received = messages.recv_many(&mut batch, MAX_BATCH) => if received == 0 { return },
                () = wait_for(&self.options.clock, wake), if wake.is_some() => self.touch_due(),
                _ = poll.tick() => self.poll_journal().await,
            }
            for message in batch.drain(..) {
                self.handle(message);
            }
            self.turn().await;
            // Runs that were rebased are decided on again.
            while !self.touched.is_empty() {
                self.turn().await;
            }
        }
    }

    fn now(&self) -> UnixMillis {
        self.options.clock.now()
    }

    /// Returns the time of the next scheduled attempt.
    fn wake(&mut self) -> Option<Wake> {
        let at = self.runs.values().filter_map(|run| run.wake).min()?;
        // It was computed when the attempt was scheduled, and a change of the clock since does not
        // count.
        let known = self.wake.filter(|known| known.at == at);
        self.wake = known.or_else(|| Some(Wake { at, due: BootTime::now().plus(at.since(self.now())) }));
        self.wake
    }

    /// Touches the runs whose time has come, and lets this turn decide as of that time, which can
    /// be later than the clock's if it was set back.
    fn touch_due(&mut self) {
        self.reached = self.wake.take().map(|wake| wake.at);
        let now = self.decision_time();
        self.touched
            .extend(self.runs.values().filter(|run| run.wake.is_some_and(|at| at <= now)).map(|run| run.id.clone()));
    }

    /// Time as of which a turn decides.
    fn decision_time(&self) -> UnixMillis {
        self.now().max(self.reached.unwrap_or_default())
    }

    fn handle(&mut self, message: DispatcherMessage) {
        let now = self.now();
        match message {
            DispatcherMessage::Create { run, prepared, evictions, seen_takers, binding, reply } => {
                let term = LeaseTerm::starting_now(&self.options.clock, self.options.lease);
                let lease = self.held.lease(term);
                binding.attach(&lease);
                let new = AcquiredRun::new(run, prepared, binding, term);
                let mut live = LiveRun::created(new, evictions, now, lease, reply);
                live.seen_takers = seen_takers;
                self.add(live);
            }
            DispatcherMessage::Adopt { run, reply } => {
                let lease = self.held.lease(run.term);
                run.binding.attach(&lease);
                self.held.insert(run.id.clone(), run.epoch, Arc::clone(&lease));
                self.add(LiveRun::acquired(*run, now, lease, reply));
            }
            DispatcherMessage::AttemptEnded(ended) => self.attempt_ended(ended),
            DispatcherMessage::Checkpoint { run, request, reply } => {
                if let Some(live) = self.runs.get_mut(&run) {
                    live.checkpoint(now, request, reply);
                    self.touched.insert(run);
                }
            }
            DispatcherMessage::LeaseLost { run, epoch } => self.lease_lost(&run, epoch),
            DispatcherMessage::JournalDisplaced(error) => self.fail_all_runs(&error),
            DispatcherMessage::Record { run, entry, reply } => {
                if let Some(live) = self.runs.get_mut(&run) {
                    live.record_for_attempt(now, entry, reply);
                    self.touched.insert(run);
                }
            }
            DispatcherMessage::LockLost { run } => drop(self.touched.insert(run)),
            DispatcherMessage::Drain => self.drain(),
        }
    }

    /// Stops executing a run that another process has acquired.
    fn lease_lost(&mut self, id: &RunId, epoch: Epoch) {
        if self.runs.get(id).is_some_and(|run| run.epoch == epoch)
            && let Some(run) = self.runs.remove(id)
        {
            self.remove_run(run, Err(EngineError::Fenced(id.clone())));
        }
    }

    fn add(&mut self, live: LiveRun) {
        self.touched.insert(live.id.clone());
        self.runs.insert(live.id.clone(), live);
    }

    fn attempt_ended(&mut self, ended: AttemptEnded) {
        let now = self.now();
        if let Some(live) = self.runs.get_mut(&ended.run) {
            let draining = self.draining || live.has_lost_lock();
            self.touched.insert(live.id.clone());
            live.attempt_ended(now, ended, draining);
        }
    }

    /// Reads and applies external entries of the live runs.
    async fn poll_journal(&mut self) {
        let cursor = |run: &LiveRun| Cursor { run: run.id.clone(), epoch: run.epoch, after: run.seq };
        let cursors: Vec<_> = self.runs.values().filter(|run| run.is_created).map(cursor).collect();
        if cursors.is_empty() {
            return;
        }
        match self.options.journal.external_entries(cursors).await {
            Ok(entries) => entries.into_iter().for_each(|(id, timed)| self.apply_external(&id, &timed)),
            Err(error) => tracing::warn!(%error, "cannot read external entries"),
        }
    }

    fn apply_external(&mut self, id: &RunId, timed: &TimedEntry) {
        if let Some(run) = self.runs.get_mut(id)
            && run.apply_external(timed)
        {
            self.touched.insert(id.clone());
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        self.runs.values().for_each(LiveRun::cancel_attempts);
        self.touched.extend(self.runs.keys().cloned());
    }

    /// Decides on the touched runs, commits their entries, reports events and starts attempts.
    async fn turn(&mut self) {
        let now = self.decision_time();
        self.reached = None;
        for id in &self.touched {
            if let Some(run) = self.runs.get_mut(id) {
                let draining = self.draining || run.has_lost_lock();
                run.decide(now, self.options.max_parallel, draining);
            }
        }
        let commit = self.commit_of_turn(now);
        if !commit.creates.is_empty() || !commit.appends.is_empty() {
            let created: Vec<_> = commit.creates.iter().map(|run| run.id.clone()).collect();
            match self.commit(commit).await {
                Ok(refused) => {
                    for id in &refused {
                        self.commit_refused(id, created.contains(id)).await;
                    }
                    for run in created.iter().filter_map(|id| self.runs.get(id)) {
                        self.held.insert(run.id.clone(), run.epoch, Arc::clone(&run.lease));
                    }
                }
                Err(error) => return self.fail_all_runs(&error),
            }
        }
        let is_rebased = |id: &RunId| self.runs.get(id).is_some_and(|run| run.rebased);
        let (rebased, committed): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.touched).into_iter().partition(is_rebased);
        for id in committed {
            self.after_commit(&id).await;
        }
        self.touched = rebased;
    }

    /// Writes a commit. While another process holds the journal, tries again as long as a lease is
    /// in force.
    async fn commit(&self, commit: Commit) -> Result<Vec<RunId>, JournalError> {
        loop {
            match self.options.journal.commit(commit.clone()).await {
                Err(JournalError::Busy) if self.runs.values().any(|run| run.lease.is_in_force()) => {
                    tokio::time::sleep(BUSY_DELAY).await;
                }
                result => return result,
            }
        }
    }

    /// Takes the entries to commit from the touched runs.
    fn commit_of_turn(&mut self, at: UnixMillis) -> Commit {
        let mut commit = Commit { at, ..Commit::default() };
        for id in &self.touched {
            let Some(run) = self.runs.get_mut(id) else { continue };
            let Some((after, entries)) = run.begin_commit() else { continue };
            let status = run.state.progress().status();
            if run.is_created {
                commit.appends.push(Append { run: id.clone(), epoch: run.epoch, after, entries, status });
            } else {
                run.is_created = true;
                commit.creates.push(NewRun {
                    id: id.clone(),
                    workflow: Arc::clone(&run.prepared.workflow),
                    plan: run.prepared.text.clone(),
                    owner: Arc::clone(&self.owner),
                    lease_until: run.term.until,
                    entries: entries.to_vec(),
                    status,
                    locks: run.prepared.plan().locks.clone(),
                    evictions: std::mem::take(&mut run.evictions),
                    seen_takers: std::mem::take(&mut run.seen_takers),
                });
            }
        }
        commit
    }

    /// Handles a run of which a commit wrote nothing.
    ///
    /// Either the journal has external entries that this process has not applied, and the run is
    /// rebased on them, or another process owns the run or one of its locks, and this process stops
    /// executing the run.
    async fn commit_refused(&mut self, id: &RunId, is_new: bool) {
        let Some(mut run) = self.runs.remove(id) else { return };
        let error = if is_new {
            EngineError::LockLost(id.clone())
        } else {
            match self.rebase(&mut run).await {
                Ok(true) => return drop(self.runs.insert(id.clone(), run)),
                Ok(false) => EngineError::Fenced(id.clone()),
                Err(error) => EngineError::Journal(error),
            }
        };
        self.remove_run(run, Err(error));
    }

    /// Rebases the run on the stored entries if this process still owns it.
    async fn rebase(&mut self, run: &mut LiveRun) -> Result<bool, JournalError> {
        let stored = self.options.journal.load(run.id.clone()).await?;
        Ok(stored.row.epoch == run.epoch && run.rebase_on(self.now(), &stored))
    }

    /// Stops executing all runs after the journal has failed: the entries of the commit may or may
    /// not be stored.
    fn fail_all_runs(&mut self, error: &JournalError) {
        tracing::debug!(%error, "the journal failed");
        self.touched.clear();
        for (_, run) in std::mem::take(&mut self.runs) {
            self.remove_run(run, Err(EngineError::Journal(error.clone())));
        }
    }

    /// Reports the events of a committed run, starts its attempts and releases it if nothing is
    /// left to do.
    async fn after_commit(&mut self, id: &RunId) {
        let Some(mut run) = self.runs.remove(id) else { return };
        run.outbox.end_commit();
        let at = self.now();
        for kind in run.outbox.events.drain(..) {
            self.options.reporter.report(Event { at, run: id.clone(), kind });
        }
        for reply in run.outbox.checkpoint_replies.drain(..) {
            let _ = reply.send(Ok(())); // the attempt may have ended
        }
        for start in std::mem::take(&mut run.outbox.starts) {
            self.start_attempt(&mut run, start);
        }
        match run.outcome() {
            Some(outcome) => self.finish(run, outcome).await,
            None if (self.draining || run.has_lost_lock()) && run.in_flight.is_empty() => self.interrupt(run).await,
            None => drop(self.runs.insert(id.clone(), run)),
        }
    }

    fn start_attempt(&self, run: &mut LiveRun, start: PendingStart) {
        let PendingStart { step, attempt, mode, input } = start;
        let Some(dispatcher) = self.own.upgrade() else { return };
        let cancel = run.lease.lost().child_token();
        run.in_flight.insert(step, cancel.clone());
        let node = run.state.node(step);
        executor::execute(AttemptJob {
            run: run.id.clone(),
            step,
            name: run.state.name(step).to_owned(),
            attempt,
            mode,
            input,
            repetition: run.state.resets(step),
            checkpoint: run.state.checkpoint(step).clone(),
            timeout: Duration::from_millis(run.prepared.plan().steps[node].timeout_ms),
            cancel,
            target: self.options.registry.target_of(run.prepared.actions[node].name()).cloned(),
            binding: Arc::clone(&run.binding),
            action: Arc::clone(&run.prepared.actions[node]),
            secrets: Arc::clone(&self.options.secrets),
            reporter: Arc::clone(&self.options.reporter),
            lease: Arc::clone(&run.lease),
            circuits: Arc::clone(&run.circuits),
            log_writer: self.log_writer.clone(),
            clock: self.options.clock.clone(),
            dispatcher,
        });
    }

    async fn finish(&self, run: LiveRun, outcome: Outcome) {
        self.log_writer.flush().await;
        self.release(&run).await;
        let report = run.report(Ending::Finished(outcome));
        self.remove_run(run, Ok(report));
    }

    async fn interrupt(&self, run: LiveRun) {
        self.log_writer.flush().await;
        self.release(&run).await;
        self.options.reporter.report(Event { at: self.now(), run: run.id.clone(), kind: EventKind::RunInterrupted });
        let report = run.report(Ending::Interrupted);
        self.remove_run(run, Ok(report));
    }

    /// Releases the run. If the release fails, another process can acquire the run when this
    /// process has exited or the lease has expired.
    async fn release(&self, run: &LiveRun) {
        self.held.remove(&run.id);
        if run.outcome() == Some(Outcome::Succeeded) {
            return; // no process acquires a run that has succeeded, and a commit is saved
        }
        if let Err(error) = self.options.journal.release(run.id.clone(), run.epoch).await {
            tracing::warn!(%error, run = %run.id, "cannot release the run");
        }
    }

    /// Cancels the run's attempts, which must send nothing more, and returns its result to the
    /// caller.
    fn remove_run(&self, mut run: LiveRun, result: Result<RunReport, EngineError>) {
        self.held.remove(&run.id);
        run.lease.lose();
        if let Some(reply) = run.reply.take() {
            let _ = reply.send(result); // the caller may have stopped waiting
        }
    }
}

/// Returns a timer whose missed ticks are delayed and do not come in a burst.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
