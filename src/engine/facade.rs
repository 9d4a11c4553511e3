use std::sync::Arc;

use serde_json::{Map, Value};
use stargate_sdk::{ActionError, Registry, Secrets};
use tokio::sync::{mpsc, oneshot};

use super::{EngineError, Prepared, acquire, dispatcher::Dispatcher, message::Message};
use crate::{
    clock::Clock,
    event::Reporter,
    id::RunId,
    journal::{Journal, Owner},
    plan::Plan,
    run::Outcome,
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
}

/// Advances runs until each has nothing left to do. Cheap to clone; all clones share one dispatcher.
#[derive(Clone)]
pub struct Engine {
    options: Options,
    owner: Arc<Owner>,
    dispatcher: mpsc::Sender<Message>,
}

impl Engine {
    /// Starts the dispatcher on the current runtime. It ends when the last clone is dropped and its runs are left.
    pub fn start(options: Options) -> Result<Self, EngineError> {
        let owner = Arc::new(Owner::this_process().map_err(EngineError::Identity)?);
        let (dispatcher, messages) = mpsc::channel(CHANNEL);
        tokio::spawn(Dispatcher::new(options.clone(), Arc::clone(&owner), dispatcher.downgrade()).serve(messages));
        Ok(Self { options, owner, dispatcher })
    }

    /// Creates a run of `plan` and advances it until nothing is left to do or the engine is drained.
    pub async fn run(&self, plan: Plan) -> Result<Finished, EngineError> {
        self.run_prepared(Arc::new(Prepared::new(plan, &self.options.registry)?)).await
    }

    /// Like [`Self::run`], for a plan that was prepared before.
    pub async fn run_prepared(&self, prepared: Arc<Prepared>) -> Result<Finished, EngineError> {
        let (reply, finished) = oneshot::channel();
        self.tell(Message::Start { run: RunId::generate(), prepared, reply }).await?;
        finished.await.map_err(|_| EngineError::Stopped)?
    }

    /// Takes the run over and advances it. A run that has succeeded is left as it is; failed steps get another go.
    ///
    /// [`EngineError::Owned`] if a living process advances it.
    pub async fn resume(&self, run: RunId) -> Result<Finished, EngineError> {
        let (reply, finished) = oneshot::channel();
        match acquire::acquire(&self.options, &self.owner, run, reply).await? {
            acquire::Acquired::Done(done) => return Ok(*done),
            acquire::Acquired::Live(live) => self.tell(Message::Adopt { live }).await?,
        }
        finished.await.map_err(|_| EngineError::Stopped)?
    }

    /// Starts nothing more, interrupts what runs and gives the runs up; [`Self::run`] and [`Self::resume`] then return
    /// [`Ending::Interrupted`].
    pub async fn drain(&self) {
        // An engine that has stopped has nothing to drain.
        let _ = self.tell(Message::Drain).await;
    }

    async fn tell(&self, message: Message) -> Result<(), EngineError> {
        self.dispatcher.send(message).await.map_err(|_| EngineError::Stopped)
    }
}
