use std::{future::Future, sync::Arc, time::Duration};

use stargate::{
    clock::Clock,
    engine::{Engine, EngineError, Finished, Options},
    event::NullReporter,
    id::RunId,
    journal::{Journal, SqliteJournal},
};
use stargate_sdk::{Registry, Secrets};

use super::{
    Failure, Settings,
    args::{LockArgs, Output, TimeoutArgs},
    exit::Exit,
    hint,
    interrupt::Interrupts,
    phrase,
    reporter::{Feed, Show, Tally},
    summary, ui,
};
use crate::wiring;

/// An engine at work on the user's journal, with somebody watching.
pub(crate) struct Session {
    /// The journal.
    pub(crate) journal: Arc<dyn Journal>,
    registry: Registry,
    secrets: Arc<Secrets>,
    max_parallel: usize,
    /// How long locks are waited for.
    patience: Duration,
    /// How long a command may take.
    limit: Option<Duration>,
}

/// What came of work that an engine was used for.
pub(crate) struct Driven<T> {
    /// What the work gave.
    pub(crate) done: T,
    /// What was counted on the way.
    pub(crate) tally: Tally,
    /// Whether the work was let go of because its time was over.
    pub(crate) overdue: bool,
}

impl Driven<Result<Finished, EngineError>> {
    /// Says what came of a run, and what the process says at its end.
    pub(crate) fn conclude(self, output: Output) -> Result<Exit, Failure> {
        match self.done {
            Ok(finished) => Ok(summary::conclude(output, finished, &self.tally, self.overdue)),
            Err(error @ EngineError::WaitInterrupted { .. }) if self.overdue => {
                let hint = "nothing was begun: run the same command again, with a longer `--timeout`";
                Err(Failure::new(Exit::TimedOut, error.to_string(), hint))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Session {
    /// Opens the journal. Makes no request.
    pub(crate) async fn open(
        settings: &Settings,
        (registry, secrets): (Registry, Secrets),
        max_parallel: u16,
    ) -> Result<Self, Failure> {
        let journal = Arc::new(SqliteJournal::open(&settings.journal).await?);
        let (secrets, max_parallel) = (Arc::new(secrets), max_parallel.into());
        Ok(Self { journal, registry, secrets, max_parallel, patience: Duration::ZERO, limit: None })
    }

    /// Waits for locks as the command line says.
    pub(crate) fn with_lock_timeout(self, args: &LockArgs) -> Self {
        Self { patience: args.wait_for_locks.unwrap_or_default(), ..self }
    }

    /// Takes no longer than the command line says.
    pub(crate) fn within(self, args: &TimeoutArgs) -> Self {
        Self { limit: args.timeout, ..self }
    }

    /// Lets `work` use an engine until it is done, while `show` shows what happens.
    ///
    /// A first wish to stop drains the engine and waits, and so does the end of the time that the work may take; a second
    /// wish gives up at once.
    pub(crate) async fn drive<T, F>(
        &self,
        show: Box<dyn Show>,
        work: impl FnOnce(Engine) -> F,
    ) -> Result<Driven<T>, Failure>
    where
        F: Future<Output = T>,
    {
        let mut interrupts = Interrupts::listen()?;
        let (engine, feed) = self.watched(show)?;
        let work = work(engine.clone());
        tokio::pin!(work);
        let over = self.time_is_over();
        tokio::pin!(over);
        let (mut draining, mut overdue) = (false, false);
        loop {
            tokio::select! {
                done = &mut work => return Ok(Driven { done, tally: feed.end(), overdue }),
                () = &mut over, if !overdue && !draining => {
                    overdue = true;
                    drain(&engine);
                }
                () = interrupts.next() => {
                    if draining {
                        return Err(stopped_at_once(&feed.runs()));
                    }
                    draining = true;
                    ui::err("interrupted: starting nothing more and letting go of what is being done; once more stops at once");
                    drain(&engine);
                }
            }
        }
    }

    /// Waits until the time that the work may take is over, and says so; for ever if it may take as long as it takes.
    pub(crate) async fn time_is_over(&self) {
        let Some(limit) = self.limit else { return std::future::pending().await };
        tokio::time::sleep(limit).await;
        let took = phrase::duration(limit);
        ui::err(&format!("it has taken {took}: starting nothing more and letting go of what is being done"));
    }

    /// An engine, and what `show` is told of it.
    pub(crate) fn watched(&self, show: Box<dyn Show>) -> Result<(Engine, Arc<Feed>), Failure> {
        let feed = Feed::start(show);
        Ok((Engine::start(self.options(&feed))?.with_lock_timeout(self.patience), feed))
    }

    fn options(&self, feed: &Arc<Feed>) -> Options {
        Options {
            journal: Arc::clone(&self.journal),
            registry: self.registry.clone(),
            secrets: Arc::clone(&self.secrets),
            reporter: Arc::clone(feed) as _,
            clock: Clock::system(),
            max_parallel: self.max_parallel,
        }
    }
}

fn drain(engine: &Engine) {
    let engine = engine.clone();
    tokio::spawn(async move { engine.drain().await });
}

/// An engine that advances nothing: it writes what a person wants of a run. Nobody watches.
pub(crate) fn unwatched(settings: &Settings, journal: Arc<dyn Journal>) -> Result<Engine, Failure> {
    let (registry, secrets) = wiring::build(settings)?;
    let engine = Engine::start(Options {
        journal,
        registry,
        secrets: Arc::new(secrets),
        reporter: Arc::new(NullReporter),
        clock: Clock::system(),
        max_parallel: 1,
    });
    engine.map_err(Failure::from)
}

fn stopped_at_once(runs: &[RunId]) -> Failure {
    let hint = match runs {
        [run] => hint::resume(run),
        _ => "run `stargate resume --all` to continue".into(),
    };
    Failure::new(Exit::Interrupted, "stopped at once; everything that was journaled is kept", hint)
}
