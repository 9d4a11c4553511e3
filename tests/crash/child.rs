//! The process that is killed: the engine, the real providers and a journal that kills.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicU64},
};

use stargate::{
    clock::Clock,
    engine::{Ending, Engine, EngineError, Finished, Options},
    event::{Event, Reporter},
    journal::{Journal, SqliteJournal},
    plan,
    run::Outcome,
};
use stargate_azure::{ArmSettings, Credential};
use stargate_sdk::{Registry, Secrets};
use stargate_ssh::SshSettings;
use stargate_tailscale::TailscaleSettings;

use crate::{killing::Killing, shipped::Shipped};

/// `WORKFLOW run|resume KILL_AFTER FOLDER ENDPOINT SUBSCRIPTION SSH_CONFIG`; the tokens come in the environment.
pub(crate) async fn main(arguments: &[String]) -> ExitCode {
    let [workflow, verb, after, folder, endpoint, subscription, ssh_config] = arguments else {
        panic!("{arguments:?}")
    };
    let shipped = Shipped::named(workflow).unwrap();
    let folder = Path::new(folder);
    let mut secrets = Secrets::default();
    let registry = registry(&mut secrets, folder, endpoint, subscription, ssh_config);
    let inner = SqliteJournal::open(&folder.join("journal.db")).await.unwrap();
    let journal: Arc<dyn Journal> =
        Arc::new(Killing { inner, after: after.parse().unwrap(), commits: AtomicU64::new(0) });
    let options = Options {
        journal: Arc::clone(&journal),
        registry: registry.clone(),
        secrets: Arc::new(secrets),
        reporter: Arc::new(Lines),
        clock: Clock::system(),
        max_parallel: 8,
    };
    let engine = Engine::start(options).unwrap();
    let finished = match verb.as_str() {
        "run" => run(&engine, &registry, shipped, ssh_config).await,
        _ => engine.resume(journal.runs(1).await.unwrap().remove(0).id).await,
    };
    answer(finished)
}

async fn run(
    engine: &Engine,
    registry: &Registry,
    shipped: Shipped,
    ssh_config: &str,
) -> Result<Finished, EngineError> {
    let alone = |_: &str| Err("nothing is inlined".to_owned());
    let workflow = plan::validate(shipped.name, shipped.text, registry, &alone).unwrap();
    let key = std::fs::read_to_string(Path::new(ssh_config).with_file_name("id_ed25519.pub")).unwrap();
    let plan = plan::compile(&workflow, registry, &alone, shipped.inputs(key.trim())).unwrap();
    engine.run(plan).await
}

fn registry(secrets: &mut Secrets, folder: &Path, endpoint: &str, subscription: &str, ssh_config: &str) -> Registry {
    let mut registry = Registry::default();
    let arm = ArmSettings {
        endpoint: endpoint.parse().unwrap(),
        subscription: subscription.into(),
        credential: Credential::Token("env:CRASH_ARM_TOKEN".parse().unwrap()),
        ca: None,
    };
    stargate_azure::register(&mut registry, arm).unwrap();
    let client = |name: &str| format!("env:CRASH_TAILSCALE_{name}").parse().unwrap();
    let tailscale = TailscaleSettings {
        endpoint: endpoint.parse().unwrap(),
        ..TailscaleSettings::new(client("ID"), client("SECRET"))
    };
    stargate_tailscale::register(&mut registry, secrets, tailscale).unwrap();
    let ssh = SshSettings { config: Some(PathBuf::from(ssh_config)), state_dir: folder.join("ssh") };
    stargate_ssh::register(&mut registry, ssh).unwrap();
    registry
}

/// 0: done, nothing changed; 10: done, something changed; 1: not done.
fn answer(finished: Result<Finished, EngineError>) -> ExitCode {
    match finished {
        Ok(Finished { ending: Ending::Finished(Outcome::Succeeded), changed, .. }) => {
            ExitCode::from(if changed { 10 } else { 0 })
        }
        other => {
            println!("{other:#?}");
            ExitCode::FAILURE
        }
    }
}

/// What happens, one line each: shown by the parent when a case fails.
struct Lines;

impl Reporter for Lines {
    fn report(&self, event: Event) {
        println!("{}", serde_json::to_string(&event).unwrap());
    }
}
