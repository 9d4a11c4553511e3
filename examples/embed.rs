#![doc = "Runs a workflow with an action of this program, interrupts it, and resumes it with another engine."]

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate::{
    clock::Clock,
    engine::{DEFAULT_LEASE, Ending, Engine, EngineOptions},
    event::NullReporter,
    journal,
    run::Outcome,
    workflow,
};
use stargate_sdk::{
    Action, ActionContext, ActionError, Backoff, Nature, Recovery, Registry, RequiredPermissions, Secrets, WaitState,
    poll_until,
};

// An action: waits until a file exists, and returns its text.
struct FileWait;

#[derive(Deserialize, JsonSchema)]
struct FileInput {
    path: PathBuf,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct FileOutput {
    text: String,
}

impl RequiredPermissions for FileWait {}

impl Action for FileWait {
    type Input = FileInput;
    type Output = FileOutput;
    const NAME: &'static str = "local.file.wait";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Waits until a file exists.";

    async fn run(&self, cx: &ActionContext, input: &FileInput) -> Result<FileOutput, ActionError> {
        // The wait ends with an error when the engine is drained.
        let delays = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        let read = || {
            std::future::ready(match std::fs::read_to_string(&input.path) {
                Ok(text) => Ok(WaitState::Ready(FileOutput { text })),
                Err(error) => Ok(WaitState::pending(error.to_string())),
            })
        };
        poll_until(cx, delays, read).await
    }
}

const WORKFLOW: &str = "
name: greet
inputs: {path: {type: string}}
steps:
  wait: {uses: local.file.wait, with: {path: '${{ inputs.path }}'}}
outputs: {greeting: '${{ steps.wait.outputs.text }}'}
";

// A program has one engine per journal. This one starts two, to show that they share nothing else.
async fn engine(path: PathBuf, registry: &Registry) -> Result<Engine, Box<dyn Error>> {
    Ok(Engine::start(EngineOptions {
        journal: journal::open(path).await?,
        registry: registry.clone(),
        secrets: Arc::new(Secrets::default()),
        reporter: Arc::new(NullReporter),
        clock: Clock::system(),
        max_parallel: 8,
        lease: DEFAULT_LEASE,
    })?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (journal, file) = (folder.path().join("journal.db"), folder.path().join("greeting"));
    let mut registry = Registry::default();
    registry.add(FileWait);

    let checked = workflow::parse("greet.yaml", WORKFLOW).check(&registry, &|_| Err("no other workflow".into()))?;
    let plan = checked.plan([("path".to_owned(), file.display().to_string().into())].into_iter().collect())?;

    // The first engine is drained while the step waits.
    let first = engine(journal.clone(), &registry).await?;
    let drain = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        first.drain().await;
    };
    let (report, ()) = tokio::join!(first.run(plan), drain);
    let interrupted = report?;
    assert_eq!(interrupted.ending, Ending::Interrupted);

    // A second engine resumes the run from the journal.
    std::fs::write(&file, "hello")?;
    let resumed = engine(journal, &registry).await?.resume(interrupted.run).await?;
    assert_eq!(resumed.ending, Ending::Finished(Outcome::Succeeded));
    assert_eq!(resumed.outputs["greeting"], "hello");
    Ok(())
}
