use std::{future::Future, sync::Arc, time::Duration};

use stargate::{
    clock::Clock,
    engine::{Engine, EngineError, EngineOptions, RunReport},
    event::NullReporter,
    id::RunId,
    journal::{self, Journal},
};
use stargate_sdk::{Registry, Secrets};

use super::{
    Failure, Settings,
    args::{LockArgs, Output, TimeoutArgs},
    exit::Exit,
    final_report, format, hint,
    reporter::{EventView, ReporterAdapter, Summary},
    signals::SignalListener,
    ui,
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
    lock_timeout: Duration,
    /// How long a command may take.
    timeout: Option<Duration>,
}

/// What came of work that an engine was used for.
pub(crate) struct RunResult<T> {
    /// What the work gave.
    pub(crate) value: T,
    /// What was counted on the way.
    pub(crate) summary: Summary,
    /// Whether the work was let go of because its time was timeout.
    pub(crate) timed_out: bool,
}

impl RunResult<Result<RunReport, EngineError>> {
    /// Says what came of a run, and what the process says at its end.
    pub(crate) fn conclude(self, output: Output) -> Result<Exit, Failure> {
        match self.value {
            Ok(finished) => Ok(final_report::conclude(output, finished, &self.summary, self.timed_out)),
            Err(error @ EngineError::WaitInterrupted { .. }) if self.timed_out => {
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
        let journal = journal::open(&settings.journal).await?;
        let (secrets, max_parallel) = (Arc::new(secrets), max_parallel.into());
        Ok(Self { journal, registry, secrets, max_parallel, lock_timeout: Duration::ZERO, timeout: None })
    }

    /// Waits for locks as the command line says.
    pub(crate) fn with_lock_timeout(self, args: &LockArgs) -> Self {
        Self { lock_timeout: args.wait_for_locks.unwrap_or_default(), ..self }
    }

    /// Takes no longer than the command line says.
    pub(crate) fn with_timeout(self, args: &TimeoutArgs) -> Self {
        Self { timeout: args.timeout, ..self }
    }

    /// Lets `work` use an engine until it is done, while `view` shows what happens.
    ///
    /// A first wish to stop drains the engine and waits, and so does the end of the time that the work may take; a second
    /// wish gives up at once.
    pub(crate) async fn run_to_end<T, F>(
        &self,
        view: Box<dyn EventView>,
        work: impl FnOnce(Engine) -> F,
    ) -> Result<RunResult<T>, Failure>
    where
        F: Future<Output = T>,
    {
        let mut signals = SignalListener::listen()?;
        let (engine, adapter) = self.start_engine(view)?;
        let work = work(engine.clone());
        tokio::pin!(work);
        let timeout = self.wait_for_timeout();
        tokio::pin!(timeout);
        let (mut draining, mut timed_out) = (false, false);
        loop {
            tokio::select! {
                value = &mut work => return Ok(RunResult { value, summary: adapter.end(), timed_out }),
                () = &mut timeout, if !timed_out && !draining => {
                    timed_out = true;
                    drain(&engine);
                }
                () = signals.next() => {
                    if draining {
                        return Err(stopped_immediately(&adapter.runs()));
                    }
                    draining = true;
                    ui::err("interrupted: starting nothing more and letting go of what is being done; once more stops at once");
                    drain(&engine);
                }
            }
        }
    }

    /// Waits until the time that the work may take is timeout, and says so; for ever if it may take as long as it takes.
    pub(crate) async fn wait_for_timeout(&self) {
        let Some(limit) = self.timeout else { return std::future::pending().await };
        tokio::time::sleep(limit).await;
        let took = format::duration(limit);
        ui::err(&format!("it has taken {took}: starting nothing more and letting go of what is being done"));
    }

    /// An engine, and what `view` is told of it.
    pub(crate) fn start_engine(&self, view: Box<dyn EventView>) -> Result<(Engine, Arc<ReporterAdapter>), Failure> {
        let adapter = ReporterAdapter::start(view);
        Ok((Engine::start(self.options(&adapter))?.with_lock_timeout(self.lock_timeout), adapter))
    }

    fn options(&self, adapter: &Arc<ReporterAdapter>) -> EngineOptions {
        EngineOptions {
            journal: Arc::clone(&self.journal),
            registry: self.registry.clone(),
            secrets: Arc::clone(&self.secrets),
            reporter: Arc::clone(adapter) as _,
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
pub(crate) fn start_engine_without_reporter(settings: &Settings, journal: Arc<dyn Journal>) -> Result<Engine, Failure> {
    let (registry, secrets) = wiring::build(settings)?;
    let engine = Engine::start(EngineOptions {
        journal,
        registry,
        secrets: Arc::new(secrets),
        reporter: Arc::new(NullReporter),
        clock: Clock::system(),
        max_parallel: 1,
    });
    engine.map_err(Failure::from)
}

fn stopped_immediately(runs: &[RunId]) -> Failure {
    let hint = match runs {
        [run] => hint::resume(run),
        _ => "run `stargate resume --all` to continue".into(),
    };
    Failure::new(Exit::Interrupted, "stopped at once; everything that was journaled is kept", hint)
}
