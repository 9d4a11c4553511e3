use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::Value;
use stargate_azure::{ArmCredential, ArmSettings, register};
use stargate_sdk::{ActionContext, ActionError, AttemptSink, ContextParts, FindResult, Registry, RunLease, Secrets};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::FakeArm;

/// Attempt of a step, with the state that the engine keeps between attempts.
#[derive(Clone)]
pub(crate) struct TestAttempt {
    registry: Registry,
    secrets: Arc<Secrets>,
    pub(crate) sink: Arc<RecordingSink>,
    checkpoint: Option<Value>,
}

type CheckpointListener = Box<dyn Fn(&Value) + Send>;

/// Keeps the checkpoints of an attempt, in order.
#[derive(Default)]
pub(crate) struct RecordingSink {
    pub(crate) checkpoints: Mutex<Vec<Value>>,
    /// Function that is called with each checkpoint.
    on_checkpoint: Mutex<Option<CheckpointListener>>,
    cancel: CancellationToken,
    refuse: bool,
}

impl RecordingSink {
    pub(crate) fn cancellation(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

impl AttemptSink for RecordingSink {
    fn progress(&self, _: String) {}

    fn log(&self, _: String) {}

    fn save_checkpoint(&self, value: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async move {
            if let Some(tell) = self.on_checkpoint.lock().expect("no panics").as_ref() {
                tell(&value);
            }
            self.checkpoints.lock().expect("no panics").push(value);
            if self.refuse { Err(ActionError::transient("disk full")) } else { Ok(()) }
        })
    }
}

impl TestAttempt {
    /// Creates a step's first attempt against `arm`, with a static token.
    pub(crate) fn first(arm: &FakeArm) -> Self {
        Self::with_token(&arm.base(), "exec:echo arm-token-0123456789")
    }

    pub(crate) fn with_token(endpoint: &str, token: &str) -> Self {
        Self::against(endpoint, token, "00000000-0000-0000-0000-000000000000", None)
    }

    pub(crate) fn against(endpoint: &str, token: &str, subscription: &str, ca: Option<PathBuf>) -> Self {
        let mut registry = Registry::default();
        let settings = ArmSettings {
            endpoint: endpoint.parse().expect("URL"),
            subscription: subscription.into(),
            credential: ArmCredential::Token(token.parse().expect("reference")),
            ca,
        };
        register(&mut registry, settings).expect("settings");
        Self { registry, secrets: Arc::default(), sink: Arc::default(), checkpoint: None }
    }

    /// Returns the attempt after this one, in a new process, with the last checkpoint.
    pub(crate) fn next(&self) -> Self {
        let last = self.sink.checkpoints.lock().expect("no panics").last().cloned();
        Self { sink: Arc::default(), checkpoint: last.or(self.checkpoint.clone()), ..self.clone() }
    }

    /// Returns the first attempt of another step, in the same process.
    pub(crate) fn of_another_step(&self) -> Self {
        Self { sink: Arc::default(), checkpoint: None, ..self.clone() }
    }

    pub(crate) fn with_checkpoint(mut self, checkpoint: Value) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Cancels the attempt as soon as it stores a checkpoint.
    pub(crate) fn interrupted_at_checkpoint(self) -> Self {
        let cancel = self.sink.cancel.clone();
        *self.sink.on_checkpoint.lock().expect("no panics") = Some(Box::new(move |_| cancel.cancel()));
        self
    }

    pub(crate) fn at_checkpoint(self, tell: impl Fn(&Value) + Send + 'static) -> Self {
        *self.sink.on_checkpoint.lock().expect("no panics") = Some(Box::new(tell));
        self
    }

    /// Makes each store of a checkpoint fail.
    pub(crate) fn refusing_checkpoints(mut self) -> Self {
        self.sink = Arc::new(RecordingSink { refuse: true, ..RecordingSink::default() });
        self
    }

    fn context(&self) -> ActionContext {
        ActionContext::new(ContextParts {
            run: "run".into(),
            step: "step".into(),
            attempt: 1,
            deadline: Instant::now() + Duration::from_secs(30),
            cancel: self.sink.cancel.clone(),
            checkpoint: self.checkpoint.clone(),
            sink: self.sink.clone(),
            secrets: self.secrets.clone(),
            lease: Arc::new(RunLease::unlimited()),
            circuits: Arc::default(),
        })
    }

    pub(crate) async fn run(&self, action: &str, input: Value) -> Result<Value, ActionError> {
        let action = self.registry.find(action).expect("the action is registered");
        action.run(&self.context(), input).await
    }

    pub(crate) async fn find(&self, action: &str, input: Value) -> Result<FindResult<Value>, ActionError> {
        let action = self.registry.find(action).expect("the action is registered");
        action.find(&self.context(), input).await
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns all stored checkpoints as one text.
    pub(crate) fn stored(&self) -> String {
        Value::Array(self.sink.checkpoints.lock().expect("no panics").clone()).to_string()
    }

    /// Returns the checkpoint that was stored last.
    pub(crate) fn last_checkpoint(&self) -> Option<Value> {
        self.sink.checkpoints.lock().expect("no panics").last().cloned()
    }
}
