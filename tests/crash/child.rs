//! Child process that is killed: the engine, the real providers and a journal that can kill.

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use stargate::{
    clock::Clock,
    engine::{DEFAULT_LEASE, Ending, Engine, EngineError, EngineOptions, ResumePolicy, RunReport},
    event::{Event, Reporter},
    id::RunId,
    journal::{self, Journal, JournalError},
    run::Outcome,
    workflow::parse,
};
use stargate_azure::{ArmCredential, ArmSettings};
use stargate_kubernetes_client::{KubeClient, KubeconfigSettings};
use stargate_sdk::{Registry, Secrets};
use stargate_ssh::SshSettings;
use stargate_tailscale::TailscaleSettings;

use crate::{
    killing::Killing,
    shipped::{self, Shipped},
    stage::OVERTAKEN,
};

/// Prefix of the output line with the number of commits of a process.
pub(crate) const COMMITS: &str = "commits: ";

/// Runs or resumes a workflow in the child process.
///
/// The arguments are `WORKFLOW run|resume|take_over KILL_AFTER FOLDER WORLD ENDPOINT SUBSCRIPTION`.
/// Tokens are passed in environment variables.
pub(crate) async fn main(arguments: &[String]) -> ExitCode {
    let [workflow, verb, after, folder, world, endpoint, subscription] = arguments else { panic!("{arguments:?}") };
    let shipped = Shipped::named(workflow).unwrap();
    let folder = Path::new(folder);
    let mut secrets = Secrets::default();
    let place = Place { folder, world: Path::new(world), endpoint, subscription };
    let registry = place.registry(&mut secrets);
    let inner = match journal::open(folder.join("journal.db")).await {
        Ok(inner) => inner,
        Err(error) => return answer(Err(error.into())),
    };
    let killing = Arc::new(Killing { inner, after: after.parse().unwrap(), commits: AtomicU64::new(0) });
    let journal: Arc<dyn Journal> = Arc::<Killing>::clone(&killing);
    let options = EngineOptions {
        journal: Arc::clone(&journal),
        registry: registry.clone(),
        secrets: Arc::new(secrets),
        reporter: Arc::new(Lines),
        clock: Clock::system(),
        max_parallel: 8,
        lease: lease(),
    };
    let engine = Engine::start(options).unwrap();
    let finished = match verb.as_str() {
        "run" => run(&engine, &registry, shipped, folder).await,
        "take_over" => take_over(&engine, first_run(&*journal).await).await,
        _ => engine.resume(first_run(&*journal).await).await,
    };
    println!("{COMMITS}{}", killing.commits.load(Ordering::SeqCst));
    answer(finished)
}

/// Returns the duration of a lease: [`DEFAULT_LEASE`] unless the parent says otherwise.
fn lease() -> Duration {
    let millis = std::env::var("CRASH_LEASE_MS").ok().and_then(|millis| millis.parse().ok());
    millis.map_or(DEFAULT_LEASE, Duration::from_millis)
}

/// Returns the run that began first: the one of the process that was killed.
async fn first_run(journal: &dyn Journal) -> RunId {
    journal.runs(10).await.unwrap().pop().expect("a process has begun a run").id
}

/// Takes the run from a process that is stopped, as soon as its lease has expired.
async fn take_over(engine: &Engine, run: RunId) -> Result<RunReport, EngineError> {
    loop {
        let policy = ResumePolicy { take_over: true, ..ResumePolicy::default() };
        match engine.resume_with(run.clone(), policy).await {
            Err(EngineError::Owned { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

/// Checks the workflow, plans it with the stored inputs and runs it.
async fn run(engine: &Engine, registry: &Registry, shipped: Shipped, folder: &Path) -> Result<RunReport, EngineError> {
    let checked = parse(shipped.name, shipped.text()).check(registry, &shipped::load).unwrap();
    let inputs = std::fs::read(folder.join("inputs.json")).unwrap();
    let inputs = serde_json::from_slice(&inputs).unwrap();
    engine.run(checked.plan(inputs).unwrap()).await
}

/// Paths and endpoints of the simulated world in which the process acts.
struct Place<'a> {
    folder: &'a Path,
    world: &'a Path,
    endpoint: &'a str,
    subscription: &'a str,
}

impl Place<'_> {
    /// Returns the registry of the real providers, configured for the simulated world.
    fn registry(&self, secrets: &mut Secrets) -> Registry {
        let mut registry = Registry::default();
        let arm = ArmSettings {
            endpoint: self.endpoint.parse().unwrap(),
            subscription: self.subscription.into(),
            credential: ArmCredential::Token("env:CRASH_ARM_TOKEN".parse().unwrap()),
            ca: None,
        };
        stargate_azure::register(&mut registry, arm).unwrap();
        let client = |name: &str| format!("env:CRASH_TAILSCALE_{name}").parse().unwrap();
        let tailscale = TailscaleSettings {
            endpoint: self.endpoint.parse().unwrap(),
            ..TailscaleSettings::new(client("ID"), client("SECRET"))
        };
        stargate_tailscale::register(&mut registry, secrets, tailscale).unwrap();
        let config = Some(self.world.join("ssh_config"));
        stargate_ssh::register(&mut registry, SshSettings { config, state_dir: self.folder.join("ssh") }).unwrap();
        let kubeconfig = Some(self.world.join("kubeconfig"));
        let cluster = Arc::new(KubeClient::new(KubeconfigSettings { kubeconfig, context: None }));
        stargate_kubernetes::register(&mut registry, secrets, &cluster);
        stargate_cilium::register(&mut registry, cluster);
        stargate_routes::register(&mut registry);
        stargate_generic::register(&mut registry).unwrap();
        registry
    }
}

/// Returns the exit code: 0 unchanged, 10 changed, 20 lost its lock in the cluster, 21 overtaken,
/// 69 another process holds the journal, 75 another process has acquired the run, 1 failed.
fn answer(finished: Result<RunReport, EngineError>) -> ExitCode {
    match finished {
        Ok(RunReport { ending: Ending::Finished(Outcome::Succeeded), changed, .. }) => {
            ExitCode::from(if changed { 10 } else { 0 })
        }
        Err(EngineError::Fenced(_)) => ExitCode::from(75),
        Err(EngineError::RemoteLockLost { .. }) => ExitCode::from(20),
        Err(EngineError::Overtaken { .. }) => ExitCode::from(OVERTAKEN),
        Err(EngineError::Journal(JournalError::Busy)) => ExitCode::from(69),
        other => {
            println!("{other:#?}");
            ExitCode::FAILURE
        }
    }
}

/// Reporter that prints each event as one line of JSON.
///
/// The parent prints the last lines if a case fails.
struct Lines;

impl Reporter for Lines {
    fn report(&self, event: Event) {
        println!("{}", serde_json::to_string(&event).unwrap());
    }
}
