use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use stargate_sdk::{ActionError, Registry, Secrets};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    AnswerResult, Cancel, EngineError, Prepared, acquire, answer, cancel, dispatcher::Dispatcher, locks,
    message::Message,
};
use crate::{
    clock::Clock,
    event::Reporter,
    id::RunId,
    journal::{Journal, Owner},
    plan::Plan,
    run::{Answer, Outcome},
};

/// Messages that may wait for the dispatcher; senders beyond that wait themselves.
const CHANNEL: usize = 4096;

/// What an engine works with.
#[derive(Clone)]
pub struct Options {
    /// Where everything is stored.
    pub journal: Arc<dyn Journal>,
    /// The actions that plans may name.
    pub registry: Registry,
    /// How secret references are resolved.
    pub secrets: Arc<Secrets>,
    /// Who is told of events.
    pub reporter: Arc<dyn Reporter>,
    /// The time.
    pub clock: Clock,
    /// Attempts of one run at a time; at least 1.
    pub max_parallel: usize,
}

/// How the engine left a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do.
    Finished(Outcome),
    /// The engine was drained; the run can be resumed.
    Interrupted,
}

/// What is to be said of a run that the engine has left.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The run.
    pub run: RunId,
    /// How the engine left it.
    pub ending: Ending,
    /// Whether any step changed the world.
    pub changed: bool,
    /// The workflow's outputs.
    pub outputs: Map<String, Value>,
    /// Steps that failed or are in doubt, and why.
    pub failures: Vec<(String, ActionError)>,
    /// Steps of which a person has to say something before they go on.
    pub asks: Vec<(String, Question)>,
}

/// What a person has to say of a step; see [`Engine::answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether it may begin, in the workflow's words.
    Approval(String),
    /// Whether it took effect.
    Doubt,
}

/// Advances runs until each has nothing left to do. Cheap to clone; all clones share one dispatcher.
#[derive(Clone)]
pub struct Engine {
    options: Options,
    owner: Arc<Owner>,
    dispatcher: mpsc::Sender<Message>,
    /// How long a lock is waited for.
    patience: Duration,
    /// Cancelled when the engine is drained.
    draining: CancellationToken,
}

impl Engine {
    /// Starts the dispatcher on the current runtime. It ends when the last clone is dropped and its runs are left.
    pub fn start(options: Options) -> Result<Self, EngineError> {
        let owner = Arc::new(Owner::current_process().map_err(EngineError::Identity)?);
        let (dispatcher, messages) = mpsc::channel(CHANNEL);
        tokio::spawn(Dispatcher::new(options.clone(), Arc::clone(&owner), dispatcher.downgrade()).serve(messages));
        Ok(Self { options, owner, dispatcher, patience: Duration::ZERO, draining: CancellationToken::new() })
    }

    /// Waits up to `patience` for locks that other runs hold, in place of [`EngineError::Locked`] at once.
    #[must_use]
    pub fn with_lock_timeout(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Creates a run of `plan` and advances it until nothing is left to do or the engine is drained.
    ///
    /// [`EngineError::Locked`] if a run that a living process advances holds one of the plan's locks.
    pub async fn run(&self, plan: Plan) -> Result<Finished, EngineError> {
        self.run_prepared(Arc::new(Prepared::new(plan, &self.options.registry)?)).await
    }

    /// Like [`Self::run`], for a plan that was prepared before.
    pub async fn run_prepared(&self, prepared: Arc<Prepared>) -> Result<Finished, EngineError> {
        self.wait(RunId::generate(), |run| self.create(run, Arc::clone(&prepared))).await
    }

    async fn create(&self, run: RunId, prepared: Arc<Prepared>) -> Result<Finished, EngineError> {
        loop {
            let evictions = locks::free(&self.options, &self.owner, &prepared.plan().locks, None).await?;
            let (reply, finished) = oneshot::channel();
            let (run, prepared) = (run.clone(), Arc::clone(&prepared));
            self.tell(Message::Start { run, prepared, evictions, reply }).await?;
            match finished.await.map_err(|_| EngineError::Stopped)? {
                Err(EngineError::LockLost(_)) => {} // Look who was quicker.
                other => return other,
            }
        }
    }

    /// Takes the run over and advances it. A run that has succeeded is left as it is; failed steps get another go.
    ///
    /// [`EngineError::Owned`] if a living process advances it; [`EngineError::Locked`] as for [`Self::run`].
    pub async fn resume(&self, run: RunId) -> Result<Finished, EngineError> {
        self.wait(run, |run| self.acquire(run)).await
    }

    async fn acquire(&self, run: RunId) -> Result<Finished, EngineError> {
        let (reply, finished) = oneshot::channel();
        match acquire::acquire(&self.options, &self.owner, run, reply).await? {
            acquire::Acquired::Done(done) => return Ok(*done),
            acquire::Acquired::Live(live) => self.tell(Message::Adopt { live }).await?,
        }
        finished.await.map_err(|_| EngineError::Stopped)?
    }

    /// Ends a run for good. One that a living process advances is ended by that process, within a second or two.
    pub async fn cancel(&self, run: RunId) -> Result<Cancel, EngineError> {
        cancel::cancel(&self.options, &self.owner, run).await
    }

    /// Writes what a person says of a step that waits for approval or is in doubt. A living process that advances the run
    /// takes it in and goes on, within a second or two; else whoever calls [`Self::resume`] does.
    ///
    /// [`EngineError::NotAsked`] if the step does not wait for this; [`EngineError::Output`] if its action could not give
    /// such an output.
    pub async fn answer(&self, run: RunId, step: &str, answer: &Answer) -> Result<AnswerResult, EngineError> {
        answer::answer(&self.options, &self.owner, run, step, answer).await
    }

    /// Starts nothing more, interrupts what runs and gives the runs up; [`Self::run`] and [`Self::resume`] then return
    /// [`Ending::Interrupted`].
    pub async fn drain(&self) {
        self.draining.cancel();
        // An engine that has stopped has nothing to drain.
        let _ = self.tell(Message::Drain).await;
    }

    /// Tries again while a lock is held, as long as patience lasts.
    async fn wait<F: Future<Output = Result<Finished, EngineError>>>(
        &self,
        run: RunId,
        attempt: impl Fn(RunId) -> F,
    ) -> Result<Finished, EngineError> {
        let mut wait = locks::Wait::new(self.patience);
        loop {
            match attempt(run.clone()).await {
                Err(EngineError::Locked(held)) if !wait.is_over() => {
                    let pause = wait.pause();
                    wait.tell(&self.options, &run, &held);
                    let woken = self.draining.run_until_cancelled(tokio::time::sleep(pause)).await;
                    if woken.is_none() {
                        return Err(EngineError::WaitInterrupted { lock: held.lock });
                    }
                }
                other => return other,
            }
        }
    }

    async fn tell(&self, message: Message) -> Result<(), EngineError> {
        self.dispatcher.send(message).await.map_err(|_| EngineError::Stopped)
    }
}
