//! Session: an engine on the user's journal, with signals, timeout and a view of the events.

use std::{future::Future, sync::Arc, time::Duration};

use stargate::{
    clock::Clock,
    engine::{Engine, EngineError, EngineOptions, RunReport},
    event::NullReporter,
    id::RunId,
    journal::{Journal, JournalError},
};
use stargate_sdk::{Registry, Secrets};

use super::{
    Failure, Settings,
    args::{ExecutionArgs, Output, TimeoutArgs},
    exit::Exit,
    final_report, format, hint, journals,
    reporter::{EventView, ReporterAdapter, Summary},
    signals::SignalListener,
    ui,
};
use crate::wiring;

/// Journal, actions and limits of one command that executes runs.
pub(crate) struct Session {
    /// Journal of the user.
    pub(crate) journal: Arc<dyn Journal>,
    registry: Registry,
    secrets: Arc<Secrets>,
    /// Maximum number of concurrent attempts of each run.
    max_parallel: usize,
    /// Duration of a lease.
    lease: Duration,
    /// Maximum time to wait for locks that other runs hold; zero means not to wait.
    lock_timeout: Duration,
    /// Maximum duration of the command; `None` means no limit.
    timeout: Option<Duration>,
}

/// Result of work that used an engine.
pub(crate) struct RunResult<T> {
    /// Value that the work returned.
    pub(crate) value: T,
    /// Counts of the events that the work caused.
    pub(crate) summary: Summary,
    /// The work was stopped because it exceeded the timeout.
    pub(crate) timed_out: bool,
}

impl RunResult<Result<RunReport, EngineError>> {
    /// Prints the result of the run and returns the exit code.
    pub(crate) fn conclude(self, output: Output) -> Result<Exit, Failure> {
        match self.value {
            Ok(finished) => Ok(final_report::conclude(output, finished, &self.summary, self.timed_out)),
            Err(error @ EngineError::WaitInterrupted { .. }) if self.timed_out => {
                let hint = "run the same command again, with a longer `--timeout`: no run was started";
                Err(Failure::new(Exit::TimedOut, error.to_string(), hint))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Session {
    /// Opens the journal. Sends no request.
    ///
    /// # Errors
    ///
    /// A failure with exit code 69 if the journal cannot be opened.
    pub(crate) async fn open(
        settings: &Settings,
        (registry, secrets): (Registry, Secrets),
        max_parallel: u16,
    ) -> Result<Self, Failure> {
        let journal = journals::open(&settings.journal).await?;
        Ok(Self::on(journal, settings, (registry, secrets), max_parallel))
    }

    /// Opens the journal, or returns `None` if the default one does not exist. Sends no request,
    /// and creates nothing.
    ///
    /// # Errors
    ///
    /// A failure with exit code 69 if the journal cannot be opened; a usage failure if it is named
    /// and does not exist.
    pub(crate) async fn open_existing(
        settings: &Settings,
        actions: (Registry, Secrets),
        max_parallel: u16,
    ) -> Result<Option<Self>, Failure> {
        let journal = journals::open_existing(settings).await?;
        Ok(journal.map(|journal| Self::on(journal, settings, actions, max_parallel)))
    }

    fn on(
        journal: Arc<dyn Journal>,
        settings: &Settings,
        (registry, secrets): (Registry, Secrets),
        max_parallel: u16,
    ) -> Self {
        Self {
            journal,
            registry,
            secrets: Arc::new(secrets),
            max_parallel: max_parallel.into(),
            lease: settings.lease,
            lock_timeout: Duration::ZERO,
            timeout: None,
        }
    }

    /// Sets the time to wait for locks and the maximum duration, from the command line.
    pub(crate) fn limited(self, args: &ExecutionArgs) -> Self {
        Self { lock_timeout: args.locks.wait_for_locks.unwrap_or_default(), ..self.with_timeout(&args.limit) }
    }

    /// Sets the maximum duration, from the command line.
    pub(crate) fn with_timeout(self, args: &TimeoutArgs) -> Self {
        Self { timeout: args.timeout, ..self }
    }

    /// Runs `work` with an engine until it is done, while `view` shows the events.
    ///
    /// The first signal and the timeout drain the engine: running attempts are cancelled, and
    /// `work` returns. The second signal returns immediately with a failure. In both cases the run
    /// can be resumed.
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
                value = &mut work => {
                    let summary = adapter.end();
                    self.check_journal().await?;
                    return Ok(RunResult { value, summary, timed_out });
                }
                () = &mut timeout, if !timed_out && !draining => {
                    timed_out = true;
                    drain(&engine);
                }
                () = signals.next() => {
                    if draining {
                        return Err(stopped_immediately(&adapter.runs()));
                    }
                    draining = true;
                    ui::err("interrupted: cancelling running steps; press Ctrl-C again to stop immediately");
                    drain(&engine);
                }
            }
        }
    }

    /// Checks that the journal still has what was committed: a result that is lost does not count.
    ///
    /// # Errors
    /// A failure with exit code 69 if the journal was deleted, replaced or put back to an earlier
    /// state.
    pub(crate) async fn check_journal(&self) -> Result<(), JournalError> {
        match self.journal.verify_identity().await {
            Err(error @ JournalError::Displaced { .. }) => Err(error),
            // With any other error it is not known.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Waits until the timeout expires and reports it; without a timeout, it never returns.
    pub(crate) async fn wait_for_timeout(&self) {
        let Some(limit) = self.timeout else { return std::future::pending().await };
        tokio::time::sleep(limit).await;
        let timeout = format::duration(limit);
        ui::err(&format!("timeout of {timeout} exceeded: cancelling running steps"));
    }

    /// Starts an engine that reports its events to `view`.
    pub(crate) fn start_engine(&self, view: Box<dyn EventView>) -> Result<(Engine, Arc<ReporterAdapter>), Failure> {
        let adapter = ReporterAdapter::start(view);
        Ok((Engine::start(self.options(&adapter))?.with_lock_timeout(self.lock_timeout), adapter))
    }

    /// Returns the options of an engine that reports to the adapter.
    fn options(&self, adapter: &Arc<ReporterAdapter>) -> EngineOptions {
        EngineOptions {
            journal: Arc::clone(&self.journal),
            registry: self.registry.clone(),
            secrets: Arc::clone(&self.secrets),
            reporter: Arc::clone(adapter) as _,
            clock: Clock::system(),
            max_parallel: self.max_parallel,
            lease: self.lease,
        }
    }
}

/// Drains the engine in the background, so that a second signal is still handled.
fn drain(engine: &Engine) {
    let engine = engine.clone();
    tokio::spawn(async move { engine.drain().await });
}

/// Starts an engine without a reporter, to append answers and cancel requests. It executes no
/// steps.
pub(crate) fn start_engine_without_reporter(settings: &Settings, journal: Arc<dyn Journal>) -> Result<Engine, Failure> {
    let (registry, secrets) = wiring::build(settings)?;
    let engine = Engine::start(EngineOptions {
        journal,
        registry,
        secrets: Arc::new(secrets),
        reporter: Arc::new(NullReporter),
        clock: Clock::system(),
        max_parallel: 1,
        lease: settings.lease,
    });
    engine.map_err(Failure::from)
}

/// Creates the failure for the second signal. The journal is consistent, because each entry is
/// committed before it is shown.
fn stopped_immediately(runs: &[RunId]) -> Failure {
    let hint = match runs {
        [run] => hint::resume(run),
        _ => "run `stargate resume --all` to continue".into(),
    };
    Failure::new(Exit::Interrupted, "stopped immediately; the journal contains everything up to the last commit", hint)
}
