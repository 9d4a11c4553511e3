use std::{path::Path, sync::Arc};

use axum::Router;
use serde_json::json;
use stargate_cilium::register;
use stargate_kubernetes_client::{KubeClient, KubeconfigSettings};
use stargate_sdk::Registry;

/// Serves `router` as an API server, and returns the actions that call it. The directory contains
/// their kubeconfig.
pub(crate) async fn serve(router: Router) -> (Registry, tempfile::TempDir) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let endpoint = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("kubeconfig");
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": endpoint}}], "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(&path, config.to_string()).expect("kubeconfig");
    (actions(&path), dir)
}

/// The actions that call the server of a kubeconfig.
pub(crate) fn actions(kubeconfig: &Path) -> Registry {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut registry = Registry::default();
    let settings = KubeconfigSettings { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    register(&mut registry, Arc::new(KubeClient::new(settings)));
    registry
}
