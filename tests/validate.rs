//! The shipped workflows are valid for the shipped actions.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stargate::workflow::parse;
use stargate_azure::{ArmCredential, ArmSettings};
use stargate_kubernetes_client::{KubeClient, KubeconfigSettings};
use stargate_sdk::{Nature, Recovery, Registry, SecretRef, Secrets};
use stargate_ssh::SshSettings;
use stargate_tailscale::TailscaleSettings;

fn secret(reference: &str) -> SecretRef {
    reference.parse().expect("a reference")
}

/// Returns the registry of all providers. Registration makes no request, so the endpoints need not
/// exist.
fn registry(state_dir: &Path) -> Registry {
    let mut registry = Registry::default();
    let azure = ArmSettings {
        endpoint: "http://127.0.0.1:1".parse().expect("a URL"),
        subscription: "00000000-0000-0000-0000-000000000000".into(),
        credential: ArmCredential::Token(secret("env:NONE")),
        ca: None,
    };
    stargate_azure::register(&mut registry, azure).expect("azure");
    let tailscale = TailscaleSettings::new(secret("env:NONE"), secret("env:NONE"));
    let mut secrets = Secrets::default();
    stargate_tailscale::register(&mut registry, &mut secrets, tailscale).expect("tailscale");
    let cluster = Arc::new(KubeClient::new(KubeconfigSettings::default()));
    stargate_kubernetes::register(&mut registry, &mut secrets, &cluster);
    stargate_cilium::register(&mut registry, cluster);
    stargate_routes::register(&mut registry);
    stargate_generic::register(&mut registry).expect("generic");
    let ssh = SshSettings { config: None, state_dir: state_dir.to_owned() };
    stargate_ssh::register(&mut registry, ssh).expect("ssh");
    registry
}

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let files = std::fs::read_dir(folder).expect("the workflows");
    let files = files.map(|file| file.expect("a file").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

/// Reads a workflow of the folder. A name without `.yaml` is that of a shipped one.
fn read(folder: &Path, name: &str) -> Result<(String, String), String> {
    let file = if name.contains('.') { name.to_owned() } else { format!("{name}.yaml") };
    let text = std::fs::read_to_string(folder.join(file)).map_err(|e| e.to_string())?;
    Ok((name.to_owned(), text))
}

#[test]
fn each_shipped_workflow_is_valid_without_warnings() {
    let state = tempfile::tempdir().expect("a directory");
    let registry = registry(state.path());
    let files = shipped();
    assert!(!files.is_empty());
    for path in files {
        let folder = path.parent().expect("a file is in a folder");
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let (_, text) = read(folder, name).expect("a text");
        let checked = parse(name, &text).check(&registry, &|include| read(folder, include.path));
        let found = match checked {
            Ok(checked) => checked.warnings().to_vec(),
            Err(errors) => errors.into_vec(),
        };
        assert!(found.is_empty(), "{name}: {}", serde_json::to_string_pretty(&found).expect("JSON"));
    }
}

#[test]
fn an_action_that_only_reads_is_repeated_and_so_never_in_doubt() {
    let state = tempfile::tempdir().expect("a directory");
    let registry = registry(state.path());
    let reads: Vec<_> = registry.iter().filter(|action| action.nature() == Nature::Observe).collect();
    assert!(reads.len() > 20);
    for action in reads {
        assert_eq!(action.recovery(), Recovery::Repeat, "{}", action.name());
    }
}

#[test]
fn sync_prunes_only_if_two_reads_agree_and_each_node_has_a_pod_cidr() {
    let state = tempfile::tempdir().expect("a directory");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let (name, text) = read(&folder, "sync-pod-routes.yaml").expect("a text");
    let checked =
        parse(&name, &text).check(&registry(state.path()), &|include| read(&folder, include.path)).expect("valid");
    let outline = checked.outline();
    let prunes: Vec<_> = outline.steps.iter().filter(|step| step.name.starts_with("stale_")).collect();
    assert!(prunes.len() > 5);
    for step in prunes {
        let condition = &step.when.as_ref().expect("a condition").source;
        for part in [
            "inputs.prune",
            "steps.desired.outputs == steps.desired_again.outputs",
            "size(steps.desired.outputs.unrouted) == 0",
        ] {
            assert!(condition.contains(part), "{}: {condition}", step.name);
        }
    }
}
