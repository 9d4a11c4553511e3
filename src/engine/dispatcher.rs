use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ending, EngineError, Options,
    executor::{self, Job},
    keeper::Keeper,
    live::{LiveRun, Starting},
    message::{Ended, Message},
};
use crate::{
    clock::UnixMillis,
    event::{Event, EventKind},
    id::RunId,
    journal::{Append, Commit, JournalError, NewRun, Owner},
    run::{Outcome, Progress, StoredIn, TimedEntry},
};

/// How long a run stays held by a process that is not heard of.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// How often a living process is heard of: three times in a lease, so that one lost renewal costs nothing.
const RENEWAL: Duration = Duration::from_secs(10);
/// How often it is looked whether somebody has written to a run.
const LOOK: Duration = Duration::from_secs(1);
/// Messages taken into one turn, so that what waits in the channel shares a commit.
const BATCH: usize = 1024;

/// Owns every live run of the process.
pub(super) struct Dispatcher {
    options: Options,
    keeper: Keeper,
    owner: Arc<Owner>,
    /// For the executor's answers. Weak, so that the channel closes when the last engine handle is gone.
    own: mpsc::WeakSender<Message>,
    runs: HashMap<RunId, LiveRun>,
    /// Runs that something happened to in this turn.
    touched: BTreeSet<RunId>,
    draining: bool,
}

impl Dispatcher {
    pub(super) fn new(options: Options, owner: Arc<Owner>, own: mpsc::WeakSender<Message>) -> Self {
        let keeper = Keeper::start(Arc::clone(&options.journal));
        Self { options, keeper, owner, own, runs: HashMap::new(), touched: BTreeSet::new(), draining: false }
    }

    /// Serves until every engine handle is gone and no attempt is being made.
    pub(super) async fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        let (mut renewal, mut look) = (ticks(RENEWAL), ticks(LOOK));
        let mut batch = Vec::new();
        loop {
            let wake = self.wake();
            tokio::select! {
                taken = messages.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = tokio::time::sleep(wake.unwrap_or(RENEWAL)), if wake.is_some() => self.touch_due(),
                _ = renewal.tick() => self.renew().await,
                _ = look.tick() => self.look().await,
            }
            for message in batch.drain(..) {
                self.take(message);
            }
            self.turn().await;
            // A run that went back to what the journal has is decided on anew.
            while !self.touched.is_empty() {
                self.turn().await;
            }
        }
    }

    fn now(&self) -> UnixMillis {
        self.options.clock.now()
    }

    fn wake(&self) -> Option<Duration> {
        let earliest = self.runs.values().filter_map(|run| run.wake).min()?;
        Some(earliest.since(self.now()))
    }

    fn touch_due(&mut self) {
        let now = self.now();
        self.touched
            .extend(self.runs.values().filter(|run| run.wake.is_some_and(|at| at <= now)).map(|run| run.id.clone()));
    }

    fn take(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Start { run, prepared, evictions, reply } => {
                self.add(LiveRun::created(run, prepared, evictions, now, reply));
            }
            Message::Adopt { live } => self.add(*live),
            Message::Ended(ended) => self.ended(ended),
            Message::Checkpoint { run, saved, stored } => {
                if let Some(live) = self.runs.get_mut(&run) {
                    live.checkpoint(now, saved, stored);
                    self.touched.insert(run);
                }
            }
            Message::Drain => self.drain(),
        }
    }

    fn add(&mut self, live: LiveRun) {
        self.touched.insert(live.id.clone());
        self.runs.insert(live.id.clone(), live);
    }

    fn ended(&mut self, ended: Ended) {
        let (now, draining) = (self.now(), self.draining);
        if let Some(live) = self.runs.get_mut(&ended.run) {
            self.touched.insert(live.id.clone());
            live.ended(now, ended, draining);
        }
    }

    /// Takes in what others have written to runs of this process: that they are to end, or what a person says of a step.
    async fn look(&mut self) {
        let held = |run: &LiveRun| (run.id.clone(), run.epoch, run.seq);
        let held: Vec<_> = self.runs.values().filter(|run| run.created).map(held).collect();
        if held.is_empty() {
            return;
        }
        match self.options.journal.later(held).await {
            Ok(later) => later.into_iter().for_each(|(id, recorded)| self.take_in(&id, &recorded)),
            Err(error) => tracing::warn!(%error, "it could not be looked what others have written"),
        }
    }

    fn take_in(&mut self, id: &RunId, recorded: &TimedEntry) {
        if let Some(run) = self.runs.get_mut(id)
            && run.written_by_others(recorded)
        {
            self.touched.insert(id.clone());
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        for run in self.runs.values() {
            run.in_flight.values().for_each(CancellationToken::cancel);
        }
        self.touched.extend(self.runs.keys().cloned());
    }

    /// Decide, commit, tell, dispatch.
    async fn turn(&mut self) {
        let now = self.now();
        for id in &self.touched {
            if let Some(run) = self.runs.get_mut(id) {
                run.decide(now, self.options.max_parallel, self.draining);
            }
        }
        let commit = self.commit_of_turn(now);
        if !commit.creates.is_empty() || !commit.appends.is_empty() {
            let created: Vec<_> = commit.creates.iter().map(|run| run.id.clone()).collect();
            match self.options.journal.commit(commit).await {
                Ok(refused) => {
                    for id in refused {
                        self.refused(&id, created.contains(&id)).await;
                    }
                }
                Err(error) => return self.abandon(&error),
            }
        }
        let unwritten = |id: &RunId| self.runs.get(id).is_some_and(|run| run.went_back);
        let (again, written): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.touched).into_iter().partition(unwritten);
        for id in written {
            self.after_commit(&id).await;
        }
        self.touched = again;
    }

    fn commit_of_turn(&mut self, at: UnixMillis) -> Commit {
        let mut commit = Commit { at, ..Commit::default() };
        for id in &self.touched {
            let Some(run) = self.runs.get_mut(id).filter(|run| !run.records.is_empty()) else { continue };
            let records = std::mem::take(&mut run.records);
            run.committing.clone_from(&records);
            let written = records.iter().filter(|r| r.entry.stored_in() == StoredIn::History).count() as u64;
            let status = status(run.state.progress());
            if run.created {
                commit.appends.push(Append { run: id.clone(), epoch: run.epoch, seq: run.seq, records, status });
            } else {
                run.created = true;
                commit.creates.push(NewRun {
                    id: id.clone(),
                    workflow: Arc::clone(&run.prepared.workflow),
                    plan: run.prepared.text.clone(),
                    owner: Arc::clone(&self.owner),
                    lease_until: at.plus(LEASE),
                    records,
                    status,
                    locks: run.prepared.plan().locks.clone(),
                    evictions: std::mem::take(&mut run.evictions),
                });
            }
            run.seq += written;
        }
        commit
    }

    /// Nothing of this turn was written for the run. Either a person has written to it, which is taken in, or somebody else holds it, or a lock of it, and this process does not advance it.
    async fn refused(&mut self, id: &RunId, creating: bool) {
        let Some(mut run) = self.runs.remove(id) else { return };
        let error = if creating {
            EngineError::LockLost(id.clone())
        } else {
            match self.go_back(&mut run).await {
                Ok(true) => return drop(self.runs.insert(id.clone(), run)),
                Ok(false) => EngineError::Fenced(id.clone()),
                Err(error) => EngineError::Journal(error),
            }
        };
        leave(run, Err(error));
    }

    /// Takes up the journal's state if this process still holds the run.
    async fn go_back(&mut self, run: &mut LiveRun) -> Result<bool, JournalError> {
        let stored = self.options.journal.load(run.id.clone()).await?;
        Ok(stored.row.epoch == run.epoch && run.go_back(self.now(), &stored))
    }

    /// The journal failed: what was decided may or may not be stored, so this process advances nothing any more.
    fn abandon(&mut self, error: &JournalError) {
        tracing::error!(%error, "the journal failed");
        self.touched.clear();
        for (_, run) in self.runs.drain() {
            leave(run, Err(EngineError::Journal(error.clone())));
        }
    }

    async fn after_commit(&mut self, id: &RunId) {
        let Some(mut run) = self.runs.remove(id) else { return };
        let at = self.now();
        for news in run.news.drain(..) {
            self.options.reporter.report(Event { at, run: id.clone(), kind: news });
        }
        for stored in run.stored.drain(..) {
            let _ = stored.send(Ok(())); // an attempt that is gone needs no answer
        }
        for starting in std::mem::take(&mut run.starting) {
            self.dispatch(&mut run, starting);
        }
        match run.ending() {
            Some(outcome) => self.finish(run, outcome).await,
            None if self.draining && run.in_flight.is_empty() => self.interrupt(run).await,
            None => drop(self.runs.insert(id.clone(), run)),
        }
    }

    fn dispatch(&self, run: &mut LiveRun, starting: Starting) {
        let Starting { step, attempt, mode, input } = starting;
        let Some(dispatcher) = self.own.upgrade() else { return };
        let cancel = CancellationToken::new();
        run.in_flight.insert(step, cancel.clone());
        let node = run.state.node(step);
        executor::execute(Job {
            run: run.id.clone(),
            step,
            name: run.state.name(step).to_owned(),
            attempt,
            mode,
            input,
            checkpoint: run.state.checkpoint(step).clone(),
            timeout: Duration::from_millis(run.prepared.plan().steps[node].timeout_ms),
            cancel,
            action: Arc::clone(&run.prepared.actions[node]),
            secrets: Arc::clone(&self.options.secrets),
            reporter: Arc::clone(&self.options.reporter),
            keeper: self.keeper.clone(),
            clock: self.options.clock.clone(),
            dispatcher,
        });
    }

    async fn finish(&self, run: LiveRun, outcome: Outcome) {
        self.keeper.flush().await;
        self.release(&run).await;
        let finished = run.report(Ending::Finished(outcome));
        leave(run, Ok(finished));
    }

    async fn interrupt(&self, run: LiveRun) {
        self.keeper.flush().await;
        self.release(&run).await;
        self.options.reporter.report(Event { at: self.now(), run: run.id.clone(), kind: EventKind::RunInterrupted });
        let finished = run.report(Ending::Interrupted);
        leave(run, Ok(finished));
    }

    /// Gives the run up at once. Should that fail, the next process sees a dead owner or waits for the lease.
    async fn release(&self, run: &LiveRun) {
        if matches!(run.state.progress(), Progress::Finished(Outcome::Succeeded)) {
            return; // nobody will want it: spare the commit
        }
        if let Err(error) = self.options.journal.release(run.id.clone(), run.epoch).await {
            tracing::warn!(%error, run = %run.id, "the run could not be given up");
        }
    }

    async fn renew(&self) {
        let held: Vec<_> = self.runs.values().map(|run| (run.id.clone(), run.epoch)).collect();
        if held.is_empty() {
            return;
        }
        if let Err(error) = self.options.journal.renew(held, self.now().plus(LEASE)).await {
            tracing::warn!(%error, "the leases could not be renewed");
        }
    }
}

/// Ticks of which those that are missed come late, and not in a row.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn status(progress: Progress) -> &'static str {
    match progress {
        Progress::New | Progress::Running => "running",
        Progress::Finished(Outcome::Succeeded) => "succeeded",
        Progress::Finished(Outcome::Failed) => "failed",
        Progress::Finished(Outcome::InDoubt) => "in_doubt",
        Progress::Finished(Outcome::AwaitingApproval) => "waiting",
        Progress::Finished(Outcome::Cancelled) => "cancelled",
    }
}

/// Stops the run's attempts and tells whoever waits for it.
fn leave(mut run: LiveRun, result: Result<super::Finished, EngineError>) {
    run.in_flight.values().for_each(CancellationToken::cancel);
    if let Some(reply) = run.reply.take() {
        let _ = reply.send(result); // whoever asked may have gone
    }
}
