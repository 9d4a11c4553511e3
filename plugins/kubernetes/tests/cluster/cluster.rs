use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use stargate_kubernetes::register;
use stargate_kubernetes_client::{CLUSTER_TARGET, KubeClient, KubeconfigSettings};
use stargate_sdk::{
    ActionContext, ActionError, FailureKind, FindResult, LockService, Preview, Registry, Secret, Secrets, TargetId,
};

use crate::fake::FakeApiServer;

/// The actions, and the server that they call.
pub(crate) struct Cluster {
    pub(crate) fake: FakeApiServer,
    pub(crate) actions: Actions,
    dir: tempfile::TempDir,
}

/// The actions of one process.
pub(crate) struct Actions {
    registry: Registry,
    pub(crate) secrets: Arc<Secrets>,
}

impl Actions {
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let (mut registry, mut secrets) = (Registry::default(), Secrets::default());
        let settings = KubeconfigSettings { kubeconfig: Some(kubeconfig.to_owned()), context: None };
        register(&mut registry, &mut secrets, &Arc::new(KubeClient::new(settings)));
        Self { registry, secrets: Arc::new(secrets) }
    }

    /// Returns the service for a lock.
    pub(crate) fn lock_service(&self, lock: &str) -> Arc<dyn LockService> {
        Arc::clone(self.registry.lock_service(lock).expect("a service"))
    }

    /// Identifies the cluster.
    pub(crate) async fn identify(&self) -> Result<TargetId, ActionError> {
        self.registry.target(CLUSTER_TARGET).expect("target").identify(&self.context("identify")).await
    }

    pub(crate) fn context(&self, step: &str) -> ActionContext {
        ActionContext::detached(step, Arc::clone(&self.secrets))
    }

    pub(crate) async fn run(&self, cx: &ActionContext, action: &str, input: Value) -> Result<Value, ActionError> {
        self.registry.find(action).expect("action").run(cx, input).await
    }

    pub(crate) async fn find(&self, action: &str, input: Value) -> Result<FindResult<Value>, ActionError> {
        self.registry.find(action).expect("action").find(&self.context("find"), input).await
    }

    pub(crate) async fn preview(&self, action: &str, input: Value) -> Result<Preview, ActionError> {
        self.registry.find(action).expect("action").preview(&self.context("preview"), input).await
    }

    /// Runs an action as a step of its own; returns its output and the changes that it reported.
    pub(crate) async fn step(&self, action: &str, input: Value) -> Result<(Value, Vec<String>), ActionError> {
        let cx = self.context(action);
        let output = self.run(&cx, action, input).await?;
        Ok((output, cx.changes()))
    }

    pub(crate) async fn secret(&self, step: &str, reference: &str) -> Result<Secret, ActionError> {
        self.context(step).secret(&reference.parse().expect("reference")).await
    }
}

impl Cluster {
    /// Returns the actions of another process that uses the same server.
    pub(crate) fn other_process(&self) -> Actions {
        Actions::new(&self.dir.path().join("kubeconfig"))
    }

    pub(crate) async fn start() -> Self {
        Self::start_as(|_| json!({"token": "t"})).await
    }

    /// Starts a cluster whose kubeconfig has this user. `user` gets a directory for its files.
    pub(crate) async fn start_as(user: impl FnOnce(&Path) -> Value) -> Self {
        let (fake, endpoint) = FakeApiServer::start().await;
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("kubeconfig");
        let mut content = kubeconfig(&endpoint);
        content["users"][0]["user"] = user(dir.path());
        std::fs::write(&path, content.to_string()).expect("kubeconfig");
        Self { fake, actions: Actions::new(&path), dir }
    }

    /// Directory for the files of the kubeconfig's user.
    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Runs an action and expects it to fail.
    pub(crate) async fn fails(&self, action: &str, input: Value) -> (FailureKind, String) {
        let error = self.actions.step(action, input).await.expect_err("a failure");
        (error.kind, error.to_string())
    }
}

pub(crate) fn kubeconfig(endpoint: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": endpoint}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    })
}

/// Waits until a condition holds that another task brings about. The timeout only ends a test that
/// hangs.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(5), wait).await.expect("the condition holds");
}
