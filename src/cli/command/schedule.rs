use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;
use stargate::{
    clock::{Clock, UnixMillis},
    engine::{Engine, EngineError, Finished},
    id::RunId,
    journal::{Owner, RunRow},
    schedule::{Agenda, serve},
};
use tokio_util::sync::CancellationToken;

use super::prune;
use crate::{
    cli::{
        Failure, Settings,
        args::{Output, ScheduleArgs, ScheduleFormat},
        exit::Exit,
        interrupt::Interrupts,
        phrase, reporter, runs,
        schedule::{Job, ScheduledCall, written},
        session::Session,
        summary, ui,
        workflows::Text,
    },
    wiring,
};

/// `schedule`: runs workflows when they are due, or writes down what does.
pub(crate) async fn schedule(settings: &Settings, args: &ScheduleArgs) -> Result<Exit, Failure> {
    let actions = wiring::build(settings)?;
    let jobs = jobs(settings, args, &actions.0)?;
    if let Some(format) = args.print {
        return print(settings, args, &jobs, format);
    }
    let session = Session::open(settings, actions, args.parallel.max_parallel).await?;
    let session = session.with_lock_timeout(&args.locks).within(&args.limit);
    let here =
        Owner::current_process().map_err(|error| Failure::internal(format!("identify this process: {error}")))?;
    let zone = TimeZone::system();
    let many = jobs.len() > 1;
    let foreman = Foreman {
        settings,
        keep: args.keep,
        session,
        jobs,
        here,
        clock: Clock::system(),
        zone,
        many,
        stop: CancellationToken::new(),
    };
    if args.once { foreman.interruptible(foreman.once()).await } else { foreman.interruptible(foreman.serve()).await }
}

fn jobs(settings: &Settings, args: &ScheduleArgs, registry: &stargate_sdk::Registry) -> Result<Vec<Job>, Failure> {
    let mut texts = Vec::new();
    for wanted in &args.workflows {
        texts.push(Text::find(wanted)?);
    }
    if args.workflows.is_empty() {
        for file in Text::here() {
            let text = Text::find(&file)?;
            if text.validate(registry)?.schedule.is_some() {
                texts.push(text);
            }
        }
    }
    if texts.is_empty() {
        let message = "no workflow in ./workflows has a schedule";
        return Err(Failure::usage(message, "name one, such as `stargate schedule sync-pod-routes`"));
    }
    let many = texts.len() > 1;
    let jobs: Vec<_> = texts
        .into_iter()
        .map(|text| Job::prepare(settings, registry, text, &args.inputs, many))
        .collect::<Result<_, _>>()?;
    unknown_input(args, &jobs)?;
    Ok(jobs)
}

/// An input that none of the workflows has is a mistake.
fn unknown_input(args: &ScheduleArgs, jobs: &[Job]) -> Result<(), Failure> {
    let known = |name: &str| jobs.iter().any(|job| job.workflow.inputs.iter().any(|input| input.name.value == name));
    match args.inputs.single.iter().find(|(name, _)| !known(name)) {
        Some((name, _)) => Err(Failure::usage(
            format!("none of the workflows has an input {name:?}"),
            "run `stargate validate NAME` to see what a workflow wants, and give what it has",
        )),
        None => Ok(()),
    }
}

fn print(settings: &Settings, args: &ScheduleArgs, jobs: &[Job], format: ScheduleFormat) -> Result<Exit, Failure> {
    let [job] = jobs else {
        return Err(Failure::usage(
            "--print is for one workflow",
            "name one, such as `stargate schedule NAME --print crontab`",
        ));
    };
    let program = std::env::current_exe().map_err(|error| Failure::internal(format!("find this program: {error}")))?;
    let zone = TimeZone::system().iana_name().map(str::to_owned);
    let files = written(&ScheduledCall { job, program, settings, args, zone }, format)?;
    if settings.output == Output::Json {
        let files: Vec<_> = files.iter().map(|file| json!({ "name": file.name, "text": file.text })).collect();
        ui::out_json_pretty(&json!({ "workflow": job.name(), "files": files }));
        return Ok(Exit::Done);
    }
    for (at, file) in files.iter().enumerate() {
        if files.len() > 1 {
            ui::out(&format!("{}# {}", if at == 0 { "" } else { "\n" }, file.name));
        }
        ui::out(file.text.trim_end());
    }
    ui::hint(match format {
        ScheduleFormat::Crontab => "put the line where `crontab -e` leads",
        ScheduleFormat::Systemd => {
            "put the two files there, then run `systemctl daemon-reload` and `systemctl enable --now` with the timer"
        }
        ScheduleFormat::Cronjob => "set the image, then give it to `kubectl apply -f -`",
    });
    Ok(Exit::Done)
}

/// Runs jobs, one run of each at a time.
struct Foreman<'a> {
    settings: &'a Settings,
    /// How long runs that have ended are kept.
    keep: Option<Duration>,
    session: Session,
    jobs: Vec<Job>,
    here: Owner,
    clock: Clock,
    zone: TimeZone,
    many: bool,
    stop: CancellationToken,
}

/// How a job stands before it is run.
enum Before {
    /// Nothing is left over.
    Nothing,
    /// A run was interrupted.
    Interrupted(RunId),
    /// A run goes on elsewhere.
    Going(Box<RunRow>),
}

impl Foreman<'_> {
    /// Does `work` until it ends. A first wish to stop lets go of what is being done, a second one ends at once.
    async fn interruptible(&self, work: impl Future<Output = Exit>) -> Result<Exit, Failure> {
        let mut interrupts = Interrupts::listen()?;
        tokio::pin!(work);
        loop {
            tokio::select! {
                exit = &mut work => return Ok(exit),
                () = interrupts.next() => {
                    if self.stop.is_cancelled() {
                        let message = "stopped at once; everything that was journaled is kept";
                        return Err(Failure::new(Exit::Interrupted, message, "run `stargate resume --all` to continue"));
                    }
                    ui::err("interrupted: starting nothing more and letting go of what is being done; once more stops at once");
                    self.stop.cancel();
                }
            }
        }
    }

    async fn serve(&self) -> Exit {
        let crons: Vec<_> = self.jobs.iter().map(|job| job.cron.clone()).collect();
        self.jobs.iter().for_each(|job| self.tell_next(job));
        let agenda = Agenda { crons: &crons, clock: &self.clock, zone: &self.zone, stop: &self.stop };
        let begin = async |at: usize| {
            let job: &Job = &self.jobs[at];
            self.run(job).await;
            if !self.stop.is_cancelled() {
                self.tell_next(job);
            }
        };
        let skipped = |at: usize| self.tell(&self.jobs[at], "skipped", "is due and still going on: left out", None);
        serve(agenda, begin, skipped).await;
        Exit::Interrupted
    }

    async fn once(&self) -> Exit {
        let mut worst = Exit::Done;
        for job in &self.jobs {
            let exit = if self.stop.is_cancelled() { Exit::Interrupted } else { self.run(job).await };
            worst = worst.max(exit);
        }
        worst
    }

    /// Runs a job once. Whatever becomes of it is said here.
    async fn run(&self, job: &Job) -> Exit {
        let exit = self.advance(job).await.unwrap_or_else(|failure| {
            if self.settings.output == Output::Json {
                ui::out_json(&failure.to_json());
            }
            failure.show();
            failure.exit()
        });
        self.prune().await;
        exit
    }

    /// Removes what is older than is wanted. That it cannot be done keeps no job from being done.
    async fn prune(&self) {
        let Some(keep) = self.keep else { return };
        if let Err(error) = self.session.journal.prune(prune::earlier(keep)).await {
            ui::err(&format!("old runs were not removed: {error}"));
        }
    }

    async fn advance(&self, job: &Job) -> Result<Exit, Failure> {
        match self.before(job).await? {
            Before::Going(row) => {
                let owner = row.owner.as_ref().map(ToString::to_string).unwrap_or_default();
                self.tell(job, "skipped", &format!("is going on already: run {}, {owner}", row.id), Some(&row.id));
                Ok(Exit::Owned)
            }
            Before::Interrupted(run) => {
                self.tell(job, "resumed", &format!("goes on with the run {run}, which was interrupted"), Some(&run));
                match self.watch(|engine| async move { engine.resume(run).await }).await {
                    // What an older program began, this one cannot end; it does not keep the job from being done.
                    Err(Watched::Engine(error @ (EngineError::UnreadablePlan { .. } | EngineError::Action { .. }))) => {
                        Failure::from(error).show();
                        self.begin(job).await
                    }
                    other => other.map_err(Failure::from),
                }
            }
            Before::Nothing => self.begin(job).await,
        }
    }

    async fn begin(&self, job: &Job) -> Result<Exit, Failure> {
        let plan = job.plan.clone();
        self.watch(|engine| async move { engine.run(plan).await }).await.map_err(Failure::from)
    }

    /// Lets `work` use an engine of its own, until it is done or everything is to stop.
    async fn watch<F>(&self, work: impl FnOnce(Engine) -> F) -> Result<Exit, Watched>
    where
        F: Future<Output = Result<Finished, EngineError>>,
    {
        let (engine, feed) =
            self.session.watched(reporter::plain(self.settings, self.many)).map_err(Watched::Failure)?;
        let work = work(engine.clone());
        tokio::pin!(work);
        let mut overdue = false;
        let finished = tokio::select! {
            finished = &mut work => finished,
            () = self.session.time_is_over() => {
                overdue = true;
                engine.drain().await;
                work.await
            }
            () = self.stop.cancelled() => {
                engine.drain().await;
                work.await
            }
        };
        let tally = feed.end();
        Ok(summary::conclude(self.settings.output, finished.map_err(Watched::Engine)?, &tally, overdue))
    }

    /// Whether a run of the same workflow with the same inputs has not ended.
    async fn before(&self, job: &Job) -> Result<Before, Failure> {
        let journal = &self.session.journal;
        let rows = journal.runs(u32::MAX).await?;
        for row in rows.into_iter().filter(|row| row.workflow == job.name() && row.status == "running") {
            let stored = journal.load(row.id.clone()).await?;
            if runs::plan_of(&stored).is_ok_and(|plan| plan.inputs == job.plan.inputs) {
                let going = runs::is_held(&row, &self.here, self.clock.now());
                return Ok(if going { Before::Going(Box::new(row)) } else { Before::Interrupted(row.id) });
            }
        }
        Ok(Before::Nothing)
    }

    fn tell_next(&self, job: &Job) {
        let next = job.cron.next_after(self.clock.now(), &self.zone);
        let said =
            next.map_or_else(|| "is not due again".into(), |at| format!("is due at {}", phrase::date_and_time(at)));
        match self.settings.output {
            Output::Text => ui::err(&format!("{} {said}", job.name())),
            Output::Json => ui::out_json(&json!({
                "event": "scheduled", "at": self.clock.now(), "workflow": job.name(),
                "next": next.map(|at: UnixMillis| at.to_string()),
            })),
        }
    }

    fn tell(&self, job: &Job, event: &str, text: &str, run: Option<&RunId>) {
        match self.settings.output {
            Output::Text => ui::err(&format!("{} {text}", job.name())),
            Output::Json => ui::out_json(&json!({
                "event": event, "at": self.clock.now(), "workflow": job.name(), "run": run, "message": text,
            })),
        }
    }
}

/// Why a run did not come to an end.
enum Watched {
    Engine(EngineError),
    Failure(Failure),
}

impl From<Watched> for Failure {
    fn from(watched: Watched) -> Self {
        match watched {
            Watched::Engine(error) => error.into(),
            Watched::Failure(failure) => failure,
        }
    }
}
