//! Runner of the command `schedule`: starts the runs of jobs and decides which ones are skipped.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use serde_json::json;
use stargate::{
    clock::{Clock, UnixMillis},
    engine::{CancelResult, Engine, EngineError, RunReport},
    id::RunId,
    journal::{Owner, RunRow, SeenTaker},
    run::{Outcome, RunStatus},
    schedule::{JobQueue, serve},
};
use stargate_sdk::Registry;
use tokio_util::sync::CancellationToken;

use super::prune;
use crate::cli::{
    Failure, Settings,
    args::{Output, ScheduleArgs},
    exit::Exit,
    final_report, format, hint, reporter, runs,
    schedule::ScheduledJob,
    session::{Session, start_engine_without_reporter},
    signals::SignalListener,
    time_zone, ui,
};

/// Reason for which a run is cancelled when the next one starts.
const SUPERSEDED: &str = "superseded by a scheduled run";

/// Runner for scheduled jobs. Each job has at most one run at a time.
pub(super) struct JobRunner<'a> {
    settings: &'a Settings,
    args: &'a ScheduleArgs,
    registry: Registry,
    session: Session,
    /// Jobs as they were read last.
    jobs: RefCell<Vec<Rc<ScheduledJob>>>,
    /// Identity of this process, to distinguish its runs from those of others.
    here: Owner,
    clock: Clock,
    zone: TimeZone,
    /// The output names the run of each line.
    several: bool,
    /// Cancelled by the first signal.
    stop: CancellationToken,
}

/// State of a job before it is started.
enum JobState {
    /// No run of the job is running or waits. These ones were interrupted, or waited for an
    /// approval and were overtaken.
    Idle(Vec<RunId>),
    /// A run waits for approval.
    Waiting(RunId),
    /// Another process executes a run of the job.
    Running(Box<RunRow>),
}

impl<'a> JobRunner<'a> {
    /// Creates the runner of these jobs.
    ///
    /// # Errors
    /// An internal failure if the process cannot be identified.
    pub(super) fn new(
        settings: &'a Settings,
        args: &'a ScheduleArgs,
        registry: Registry,
        session: Session,
        jobs: Vec<ScheduledJob>,
    ) -> Result<Self, Failure> {
        let here =
            Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
        Ok(Self {
            settings,
            args,
            registry,
            session,
            several: jobs.len() > 1,
            jobs: RefCell::new(jobs.into_iter().map(Rc::new).collect()),
            here,
            clock: Clock::system(),
            zone: time_zone::system(),
            stop: CancellationToken::new(),
        })
    }

    /// Drives `work` until it ends. The first signal cancels running attempts, the second one
    /// returns immediately.
    pub(super) async fn run_until_interrupted(&self, work: impl Future<Output = Exit>) -> Result<Exit, Failure> {
        let mut signals = SignalListener::listen()?;
        tokio::pin!(work);
        loop {
            tokio::select! {
                exit = &mut work => return Ok(exit),
                () = signals.next() => {
                    if self.stop.is_cancelled() {
                        let message = "stopped immediately; the journal contains everything up to the last commit";
                        return Err(Failure::new(Exit::Interrupted, message, "run `stargate resume --all` to continue"));
                    }
                    ui::err("interrupted: cancelling running steps; press Ctrl-C again to stop immediately");
                    self.stop.cancel();
                }
            }
        }
    }

    /// Runs the jobs when they are due, until the process is interrupted.
    pub(super) async fn serve(&self) -> Exit {
        let jobs = self.jobs.borrow().clone();
        let missed = if self.args.catch_up { self.missed(&jobs).await } else { Vec::new() };
        for job in &jobs {
            self.report_next(job);
        }
        let crons = RefCell::new(jobs.iter().map(|job| job.cron.clone()).collect());
        let queue = JobQueue { crons: &crons, missed: &missed, clock: &self.clock, zone: &self.zone, stop: &self.stop };
        let start_run = async |at: usize, due: UnixMillis| {
            self.wait_for_jitter().await;
            if self.stop.is_cancelled() {
                return;
            }
            let job = self.read_again(at);
            crons.borrow_mut()[at] = job.cron.clone();
            self.run(&job, Some(due)).await;
            if !self.stop.is_cancelled() {
                self.report_next(&job);
            }
        };
        let skipped = |at: usize| {
            let job = self.job(at);
            self.report(&job, "skipped", "is due, but its previous run is still running: skipped", None);
        };
        serve(queue, start_run, skipped).await;
        Exit::Interrupted
    }

    /// Runs each job once, in order, and returns the highest exit code.
    pub(super) async fn once(&self) -> Exit {
        let mut worst = Exit::Success;
        self.wait_for_jitter().await;
        let jobs = self.jobs.borrow().clone();
        for job in jobs {
            let exit = if self.stop.is_cancelled() { Exit::Interrupted } else { self.run(&job, None).await };
            worst = worst.max(exit);
        }
        worst
    }

    fn job(&self, at: usize) -> Rc<ScheduledJob> {
        Rc::clone(&self.jobs.borrow()[at])
    }

    /// Returns the job as its files are now. A change is reported; if the files cannot be used, the
    /// job stays as it was read before.
    fn read_again(&self, at: usize) -> Rc<ScheduledJob> {
        let job = self.job(at);
        match job.read_again(self.settings, &self.registry, &self.args.inputs, self.several) {
            Ok(new) if new.equals(&job) => job,
            Ok(new) => {
                let new = Rc::new(new);
                self.report(&new, "changed", "has changed: it runs as its files are now", None);
                self.jobs.borrow_mut()[at] = Rc::clone(&new);
                new
            }
            Err(failure) => {
                failure.report(self.settings.output);
                self.report(&job, "unchanged", "cannot be read again: it runs as it was before", None);
                job
            }
        }
    }

    /// Waits for a random part of `--jitter`, or until the process is interrupted.
    async fn wait_for_jitter(&self) {
        let delay = self.args.jitter.unwrap_or_default().mul_f64(rand::random());
        // An interruption is noticed by the caller.
        let _ = self.stop.run_until_cancelled(tokio::time::sleep(delay)).await;
    }

    /// Returns the jobs that were due between their last run and now, and reports them.
    async fn missed(&self, jobs: &[Rc<ScheduledJob>]) -> Vec<usize> {
        let mut missed = Vec::new();
        for (at, job) in jobs.iter().enumerate() {
            let last = match self.last_run(job).await {
                Ok(last) => last,
                Err(failure) => {
                    failure.show();
                    continue;
                }
            };
            let due = last.and_then(|last| job.cron.next_after(last, &self.zone));
            if let Some(due) = due.filter(|due| *due <= self.clock.now()) {
                let text = format!("was due at {}: it is started now", format::date_time_and_zone(due));
                self.report(job, "missed", &text, None);
                missed.push(at);
            }
        }
        missed
    }

    /// Returns the time at which the last run of a job was created.
    async fn last_run(&self, job: &ScheduledJob) -> Result<Option<UnixMillis>, Failure> {
        let journal = &*self.session.journal;
        for row in journal.runs(u32::MAX).await?.into_iter().filter(|row| row.workflow == job.name()) {
            let stored = journal.load(row.id.clone()).await.map_err(Failure::from);
            // A run that cannot be read may be one of another job.
            if stored.and_then(|stored| runs::plan_of(&stored)).is_ok_and(|plan| plan.inputs == job.plan.inputs) {
                return Ok(Some(row.created_at));
            }
        }
        Ok(None)
    }

    /// Runs a job once and reports its result, including failures. `due` is the time at which it
    /// was due, if its schedule has started it.
    async fn run(&self, job: &ScheduledJob, due: Option<UnixMillis>) -> Exit {
        let exit = self.advance(job, due).await.unwrap_or_else(|failure| failure.report(self.settings.output));
        self.prune().await;
        exit
    }

    /// Removes ended runs that are older than `keep`. An error is reported and does not stop the
    /// jobs.
    async fn prune(&self) {
        let Some(keep) = self.args.keep else { return };
        if let Err(error) = self.session.journal.prune(prune::earlier(keep)).await {
            ui::err(&format!("cannot remove old runs: {error}"));
        }
    }

    /// Starts a new run of the job, unless one is running or waits for approval, or another
    /// scheduler has started one since the job was due.
    async fn advance(&self, job: &ScheduledJob, due: Option<UnixMillis>) -> Result<Exit, Failure> {
        let last = self.session.journal.last_takers(vec![job.lock.clone()]).await?.pop();
        if let Some(last) = last.as_ref().filter(|last| due.is_some_and(|due| self.is_since(last.at, due))) {
            return Ok(self.started_elsewhere(job, &last.run));
        }
        match self.job_state(job).await? {
            JobState::Running(row) => {
                let owner = row.owner.as_ref().map(ToString::to_string).unwrap_or_default();
                self.report(
                    job,
                    "skipped",
                    &format!("is already running: run {}, owned by {owner}", row.id),
                    Some(&row.id),
                );
                Ok(Exit::Owned)
            }
            JobState::Waiting(run) => {
                let text = format!("is skipped: run {run} waits for approval");
                self.report(job, "skipped", &text, Some(&run));
                ui::hint(&hint::why(&run));
                Ok(Exit::WaitingForApproval)
            }
            JobState::Idle(superseded) => {
                for run in superseded {
                    self.close(job, run).await;
                }
                self.start_run(job, last.map(|last| last.run)).await
            }
        }
    }

    /// Cancels a run that the next one supersedes. A run that cannot be cancelled is reported and
    /// does not block the job.
    async fn close(&self, job: &ScheduledJob, run: RunId) {
        let cancel = async {
            let engine = start_engine_without_reporter(self.settings, Arc::clone(&self.session.journal))?;
            Ok::<_, Failure>(engine.cancel_because(run.clone(), SUPERSEDED).await?)
        };
        match cancel.await {
            Ok(result) => {
                let text = format!("cancels run {run}, which was interrupted: {SUPERSEDED}");
                self.report(job, "cancelled", &text, Some(&run));
                if result == CancelResult::FinallyLeft {
                    self.execute_finally(run).await;
                }
            }
            Err(failure) => failure.show(),
        }
    }

    /// Executes the steps under `finally` of a cancelled run. A failure is reported.
    async fn execute_finally(&self, run: RunId) {
        let resumed = run.clone();
        match self.run_engine(|engine| async move { engine.resume(resumed).await }).await {
            Ok(_) => {}
            Err(IncompleteReason::Engine(error)) => Failure::from(error).of_run(&run).show(),
            Err(IncompleteReason::Failure(failure)) => failure.show(),
        }
    }

    /// True if `at` is not before `due`. A time in the future is one of a clock that was set back.
    fn is_since(&self, at: UnixMillis, due: UnixMillis) -> bool {
        at >= due && at.since(self.clock.now()) < Duration::from_mins(1)
    }

    /// Reports that another scheduler has started the run of the job.
    fn started_elsewhere(&self, job: &ScheduledJob, run: &RunId) -> Exit {
        self.report(job, "skipped", &format!("is skipped: another scheduler has started run {run}"), Some(run));
        Exit::Owned
    }

    /// Starts a new run of the job, unless another scheduler has started one after the run `last`.
    async fn start_run(&self, job: &ScheduledJob, last: Option<RunId>) -> Result<Exit, Failure> {
        let (plan, seen) = (job.plan.clone(), SeenTaker { lock: job.lock.clone(), run: last });
        match self.run_engine(|engine| async move { engine.run_unless_taken(plan, seen).await }).await {
            Err(IncompleteReason::Engine(EngineError::TakenMeanwhile(by))) => Ok(self.started_elsewhere(job, &by.run)),
            Err(IncompleteReason::Engine(EngineError::Locked(holder))) if holder.lock == job.lock => {
                Ok(self.started_elsewhere(job, &holder.run))
            }
            other => other.map_err(Failure::from),
        }
    }

    /// Runs `work` with an engine of its own. A timeout or interrupt drains the engine.
    async fn run_engine<F>(&self, work: impl FnOnce(Engine) -> F) -> Result<Exit, IncompleteReason>
    where
        F: Future<Output = Result<RunReport, EngineError>>,
    {
        let (engine, adapter) = self
            .session
            .start_engine(reporter::plain(self.settings, self.several))
            .map_err(IncompleteReason::Failure)?;
        let work = work(engine.clone());
        tokio::pin!(work);
        let mut timed_out = false;
        let finished = tokio::select! {
            finished = &mut work => finished,
            () = self.session.wait_for_timeout() => {
                timed_out = true;
                engine.drain().await;
                work.await
            }
            () = self.stop.cancelled() => {
                engine.drain().await;
                work.await
            }
        };
        let summary = adapter.end();
        self.session.check_journal().await.map_err(|error| IncompleteReason::Failure(error.into()))?;
        Ok(final_report::conclude(
            self.settings.output,
            finished.map_err(IncompleteReason::Engine)?,
            &summary,
            timed_out,
        ))
    }

    /// Finds the unfinished runs of the same workflow with the same inputs.
    async fn job_state(&self, job: &ScheduledJob) -> Result<JobState, Failure> {
        let journal = &*self.session.journal;
        let (mut waiting, mut superseded) = (None, Vec::new());
        for row in journal.runs(u32::MAX).await?.into_iter().filter(|row| row.workflow == job.name()) {
            let waits = row.status == RunStatus::Finished(Outcome::AwaitingApproval);
            if !waits && !row.status.is_running() {
                continue;
            }
            let stored = journal.load(row.id.clone()).await.map_err(Failure::from);
            let plan = match stored.and_then(|stored| runs::plan_of(&stored)) {
                Ok(plan) if plan.inputs == job.plan.inputs => plan,
                Ok(_) => continue,
                // Its inputs are not known, so that it may be a run of another job.
                Err(failure) => {
                    failure.show();
                    continue;
                }
            };
            if !waits && runs::is_owned(&row, &self.here, self.clock.now()) {
                return Ok(JobState::Running(Box::new(row)));
            }
            if waits && waiting.is_none() && runs::overtaken_by(journal, &row, &plan).await?.is_none() {
                waiting = Some(row.id);
            } else {
                superseded.push(row.id);
            }
        }
        Ok(waiting.map_or(JobState::Idle(superseded), JobState::Waiting))
    }

    /// Reports the time at which the job is due next.
    fn report_next(&self, job: &ScheduledJob) {
        let next = job.cron.next_after(self.clock.now(), &self.zone);
        let text = next
            .map_or_else(|| "is not due again".into(), |at| format!("is due at {}", format::date_time_and_zone(at)));
        match self.settings.output {
            Output::Text => ui::err(&format!("{} {text}", job.name())),
            Output::Json => ui::out_json(&json!({
                "event": "scheduled", "at": self.clock.now(), "workflow": job.name(),
                "next": next.map(|at: UnixMillis| at.to_string()),
            })),
        }
    }

    /// Reports an event of a job, as text or as JSON.
    fn report(&self, job: &ScheduledJob, event: &str, text: &str, run: Option<&RunId>) {
        match self.settings.output {
            Output::Text => ui::err(&format!("{} {text}", job.name())),
            Output::Json => ui::out_json(&json!({
                "event": event, "at": self.clock.now(), "workflow": job.name(), "run": run, "message": text,
            })),
        }
    }
}

/// Reason for which a run could not be completed.
enum IncompleteReason {
    Engine(EngineError),
    Failure(Failure),
}

impl From<IncompleteReason> for Failure {
    fn from(watched: IncompleteReason) -> Self {
        match watched {
            IncompleteReason::Engine(error) => error.into(),
            IncompleteReason::Failure(failure) => failure,
        }
    }
}
