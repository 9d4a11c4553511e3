use super::demo_stage::{Line, Stage};
use crate::cli::{Failure, Settings, args::DemoArgs, exit::Exit, interrupt::Interrupts, scratch::Folder, ui};

/// `demo`: a run is killed while a machine is being created, resumed, and started once more to change nothing.
pub(crate) async fn demo(settings: &Settings, args: &DemoArgs) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let folder = Folder::open(args.dir.as_deref(), &settings.scratch, "demo")?;
    tokio::select! {
        done = play(&folder) => done,
        () = interrupts.next() => Err(Failure::new(
            Exit::Interrupted,
            "the demonstration was interrupted",
            "run `stargate demo` to see it from the start",
        )),
    }
}

async fn play(folder: &Folder) -> Result<Exit, Failure> {
    let stage = Stage::open(folder.path()).await?;
    let run = stage.run()?;

    ui::say("A run puts a router beside the cluster. It will be killed while Azure creates the machine.");
    stage.start_and_kill(&run).await?;
    ui::say("The process is gone, without a word to anybody. This is what the journal knows:");
    stage.show(&Line::new(&["history", "@latest"])).await?;
    ui::say("Resumed, the run finds what was begun and goes on from there:");
    stage.show(&Line::new(&["resume"])).await?;
    let asked = stage.world.machines_asked_for().await?;
    let before = stage.world.writes().await?;
    ui::say(&format!(
        "Azure was asked for a machine {}.",
        if asked == 1 { "once".into() } else { format!("{asked} times") }
    ));
    ui::say("Run once more, it compares everything and finds nothing to change:");
    stage.show(&run).await?;
    let writes = stage.world.writes().await? - before;
    ui::say(&format!("The world counted {before} changing requests before that run, and {writes} during it."));
    stage.show(&Line::new(&["history"])).await?;
    stage.world.close().await?;
    match (asked, writes) {
        (1, 0) => Ok(Exit::Done),
        _ => Err(Failure::internal(format!(
            "one machine was to be asked for and {asked} were; the second run was to write nothing and made {writes} changing requests"
        ))),
    }
}
