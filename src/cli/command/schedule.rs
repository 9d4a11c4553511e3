//! Implementation of the command `schedule`.
//!
//! This process, cron, systemd or Kubernetes can start a job; each of them uses `--once`. A run of
//! a job is never resumed, since what it read is no longer current: an interrupted one is
//! cancelled, and a new one starts. A job whose run is still running or waits for approval is
//! skipped.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use serde_json::json;
use stargate::{
    clock::{Clock, UnixMillis},
    engine::{Engine, EngineError, RunReport},
    id::RunId,
    journal::{Owner, RunRow},
    run::{Outcome, RunStatus},
    schedule::{JobQueue, serve},
};
use tokio_util::sync::CancellationToken;

use super::prune;
use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ScheduleArgs, ScheduleFormat},
        exit::Exit,
        final_report, format, hint, reporter, runs,
        schedule::{JobCommand, ScheduledJob, output_files},
        session::{Session, start_engine_without_reporter},
        signals::SignalListener,
        time_zone, ui,
        workflow_text::WorkflowText,
    },
    wiring,
};

/// Reason for which a run is cancelled when the next one starts.
const SUPERSEDED: &str = "superseded by a scheduled run";

/// Command `schedule`: runs workflows by their schedules, or prints a configuration for another
/// scheduler.
pub(crate) async fn schedule(settings: &Settings, args: &ScheduleArgs) -> Result<Exit, Failure> {
    let actions = wiring::build(settings)?;
    let jobs = jobs(settings, args, &actions.0)?;
    if let Some(format) = args.print {
        return print(settings, args, &jobs, format);
    }
    let session = Session::open(settings, actions, args.parallel.max_parallel).await?;
    let session = session.with_lock_timeout(&args.locks).with_timeout(&args.limit);
    let here =
        Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
    let zone = time_zone::system();
    let several = jobs.len() > 1;
    let runner = JobRunner {
        settings,
        keep: args.keep,
        session,
        jobs,
        here,
        clock: Clock::system(),
        zone,
        several,
        stop: CancellationToken::new(),
    };
    if args.once {
        runner.run_until_interrupted(runner.once()).await
    } else {
        runner.run_until_interrupted(runner.serve()).await
    }
}

/// Reads the named workflows, or those in ./workflows that have a schedule.
fn jobs(
    settings: &Settings,
    args: &ScheduleArgs,
    registry: &stargate_sdk::Registry,
) -> Result<Vec<ScheduledJob>, Failure> {
    let mut texts = Vec::new();
    for name in &args.workflows {
        texts.push(WorkflowText::find(name)?);
    }
    if args.workflows.is_empty() {
        for file in WorkflowText::in_workflows_folder() {
            let text = WorkflowText::find(&file)?;
            if text.validate(registry)?.workflow().schedule.is_some() {
                texts.push(text);
            }
        }
    }
    if texts.is_empty() {
        let message = "no workflow in ./workflows has a schedule";
        return Err(Failure::usage(
            message,
            "run `stargate schedule NAME`, such as `stargate schedule sync-pod-routes`",
        ));
    }
    let several = texts.len() > 1;
    let jobs: Vec<_> = texts
        .into_iter()
        .map(|text| ScheduledJob::prepare(settings, registry, text, &args.inputs, several))
        .collect::<Result<_, _>>()?;
    check_input_names(args, &jobs)?;
    Ok(jobs)
}

/// Reports an input that none of the workflows has.
fn check_input_names(args: &ScheduleArgs, jobs: &[ScheduledJob]) -> Result<(), Failure> {
    let known =
        |name: &str| jobs.iter().any(|job| job.checked.workflow().inputs.iter().any(|input| input.name.value == name));
    match args.inputs.single.iter().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(Failure::usage(
            format!("none of the workflows has an input {name:?}"),
            "remove the flag, or correct the name of the input",
        )),
        None => Ok(()),
    }
}

/// Prints the configuration that runs one job by its schedule.
fn print(
    settings: &Settings,
    args: &ScheduleArgs,
    jobs: &[ScheduledJob],
    format: ScheduleFormat,
) -> Result<Exit, Failure> {
    let [job] = jobs else {
        return Err(Failure::usage("--print accepts one workflow", "run `stargate schedule NAME --print crontab`"));
    };
    let program = std::env::current_exe().map_err(|error| Failure::internal(format!("find this program: {error}")))?;
    let zone = time_zone::system().iana_name().map(str::to_owned);
    let files = output_files(&JobCommand { job, program, settings, args, zone }, format)?;
    if settings.output == Output::Json {
        let files: Vec<_> = files.iter().map(|file| json!({ "name": file.name, "text": file.text })).collect();
        ui::out_json_pretty(&json!({ "workflow": job.name(), "files": files }));
        return Ok(Exit::Success);
    }
    for (at, file) in files.iter().enumerate() {
        if files.len() > 1 {
            ui::out(&format!("{}# {}", if at == 0 { "" } else { "\n" }, file.name));
        }
        ui::out(file.text.trim_end());
    }
    ui::hint(match format {
        ScheduleFormat::Crontab => "run `crontab -e` and add the line",
        ScheduleFormat::Systemd => {
            "store the two files under these paths, then run `systemctl daemon-reload` and `systemctl enable --now` with the name of the timer"
        }
        ScheduleFormat::Cronjob => "set the image, then pass the file to `kubectl apply -f -`",
    });
    Ok(Exit::Success)
}

/// Runner for scheduled jobs. Each job has at most one run at a time.
struct JobRunner<'a> {
    settings: &'a Settings,
    /// Time for which ended runs are kept; `None` keeps them forever.
    keep: Option<Duration>,
    session: Session,
    jobs: Vec<ScheduledJob>,
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

impl JobRunner<'_> {
    /// Drives `work` until it ends. The first signal cancels running attempts, the second one
    /// returns immediately.
    async fn run_until_interrupted(&self, work: impl Future<Output = Exit>) -> Result<Exit, Failure> {
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
    async fn serve(&self) -> Exit {
        let crons: Vec<_> = self.jobs.iter().map(|job| job.cron.clone()).collect();
        self.jobs.iter().for_each(|job| self.report_next(job));
        let queue = JobQueue { crons: &crons, clock: &self.clock, zone: &self.zone, stop: &self.stop };
        let start_run = async |at: usize| {
            let job: &ScheduledJob = &self.jobs[at];
            self.run(job).await;
            if !self.stop.is_cancelled() {
                self.report_next(job);
            }
        };
        let skipped = |at: usize| {
            self.report(&self.jobs[at], "skipped", "is due, but its previous run is still running: skipped", None);
        };
        serve(queue, start_run, skipped).await;
        Exit::Interrupted
    }

    /// Runs each job once, in order, and returns the highest exit code.
    async fn once(&self) -> Exit {
        let mut worst = Exit::Success;
        for job in &self.jobs {
            let exit = if self.stop.is_cancelled() { Exit::Interrupted } else { self.run(job).await };
            worst = worst.max(exit);
        }
        worst
    }

    /// Runs a job once and reports its result, including failures.
    async fn run(&self, job: &ScheduledJob) -> Exit {
        let exit = self.advance(job).await.unwrap_or_else(|failure| failure.report(self.settings.output));
        self.prune().await;
        exit
    }

    /// Removes ended runs that are older than `keep`. An error is reported and does not stop the
    /// jobs.
    async fn prune(&self) {
        let Some(keep) = self.keep else { return };
        if let Err(error) = self.session.journal.prune(prune::earlier(keep)).await {
            ui::err(&format!("cannot remove old runs: {error}"));
        }
    }

    /// Starts a new run of the job, unless one is running or waits for approval.
    async fn advance(&self, job: &ScheduledJob) -> Result<Exit, Failure> {
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
                self.start_run(job).await
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
            Ok(_) => {
                let text = format!("cancels run {run}, which was interrupted: {SUPERSEDED}");
                self.report(job, "cancelled", &text, Some(&run));
            }
            Err(failure) => failure.show(),
        }
    }

    /// Starts a new run of the job.
    async fn start_run(&self, job: &ScheduledJob) -> Result<Exit, Failure> {
        let plan = job.plan.clone();
        self.run_engine(|engine| async move { engine.run(plan).await }).await.map_err(Failure::from)
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
