use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::{Value, json};
use stargate_sdk::{
    ActionContext, ActionError, AttemptSink, ContextParts, Registry, RunLease, Secret, SecretRef, Secrets,
};
use stargate_tailscale::{TailscaleSettings, register};
use tokio::time::Instant;

use crate::fake::FakeTailscaleApi;

/// The registered actions, connected to a server of their own.
pub(crate) struct TestTailnet {
    pub(crate) fake: FakeTailscaleApi,
    pub(crate) secrets: Arc<Secrets>,
    registry: Registry,
    messages: Arc<RecordedMessages>,
}

#[derive(Default)]
struct RecordedMessages(Mutex<Vec<String>>);

impl AttemptSink for RecordedMessages {
    fn progress(&self, message: String) {
        self.0.lock().expect("lock").push(message);
    }

    fn log(&self, line: String) {
        self.0.lock().expect("lock").push(line);
    }

    fn save_checkpoint(&self, _: Value, _: Vec<String>) -> BoxFuture<'_, Result<(), ActionError>> {
        Box::pin(async { Ok(()) })
    }
}

impl TestTailnet {
    pub(crate) async fn start() -> Self {
        let (fake, endpoint) = FakeTailscaleApi::start().await;
        let (registry, secrets) = registered(&endpoint);
        Self { fake, secrets: Arc::new(secrets), registry, messages: Arc::default() }
    }

    /// Runs `tailscale.routes.approve` against another endpoint.
    pub(crate) async fn run_at(&self, endpoint: &str) -> Result<Value, ActionError> {
        let (registry, _) = registered(endpoint);
        let action = registry.find("tailscale.routes.approve").expect("registered");
        action.run(&self.context("step", Duration::from_secs(5)), json!({"node_id": "n1", "routes": []})).await
    }

    pub(crate) fn context(&self, step: &str, timeout: Duration) -> ActionContext {
        ActionContext::new(ContextParts {
            run: "01TEST".into(),
            step: step.into(),
            attempt: 1,
            deadline: Instant::now() + timeout,
            cancel: tokio_util::sync::CancellationToken::new(),
            checkpoint: None,
            sink: self.messages.clone(),
            secrets: Arc::clone(&self.secrets),
            lease: Arc::new(RunLease::unlimited()),
            circuits: Arc::default(),
        })
    }

    pub(crate) async fn run(&self, action: &str, timeout: Duration, input: Value) -> Result<Value, ActionError> {
        let cx = self.context("step", timeout);
        self.registry.find(action).expect("registered").run(&cx, input).await
    }

    pub(crate) async fn key(&self, step: &str) -> Result<Secret, ActionError> {
        let reference = "tailscale-auth-key:tags=tag:a,tag:b&expiry=1h".parse().expect("reference");
        self.context(step, Duration::from_secs(20)).secret(&reference).await
    }

    /// Each progress message and log line, in order.
    pub(crate) fn messages(&self) -> String {
        self.messages.0.lock().expect("lock").join("\n")
    }
}

fn registered(endpoint: &str) -> (Registry, Secrets) {
    let reference = |text: &str| text.parse::<SecretRef>().expect("reference");
    let mut settings =
        TailscaleSettings::new(reference("exec:echo client-of-tests"), reference("exec:echo hunter2-hunter2"));
    settings.endpoint = endpoint.parse().expect("URL");
    let (mut registry, mut secrets) = (Registry::default(), Secrets::default());
    register(&mut registry, &mut secrets, settings).expect("settings");
    (registry, secrets)
}
