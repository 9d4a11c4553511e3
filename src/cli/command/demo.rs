use crate::cli::{
    Failure, Settings,
    args::DemoArgs,
    demo::{Stage, inputs},
    exit::Exit,
    interrupt::Interrupts,
    scratch::Folder,
    ui,
};

/// `demo`: the whole of a deployment in the simulated world, killed at moments by chance and resumed.
pub(crate) async fn demo(settings: &Settings, args: &DemoArgs) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let folder = Folder::open(args.dir.as_deref(), &settings.scratch, "demo")?;
    let seed = args.seed.unwrap_or_else(rand::random);
    tokio::select! {
        done = play(&folder, seed) => done,
        () = interrupts.next() => Err(Failure::new(
            Exit::Interrupted,
            "the demonstration was interrupted",
            "run `stargate demo` to see it from the start",
        )),
    }
}

async fn play(folder: &Folder, seed: u64) -> Result<Exit, Failure> {
    let mut stage = Stage::open(folder.path(), seed).await?;
    router(&mut stage).await?;
    datacenter(&mut stage).await?;
    nothing_changes(&stage).await?;
    third_worker(&stage).await?;
    replaced_node(&stage).await?;
    third_worker_leaves(&stage).await?;
    stage.show(&inputs::history()).await?;
    stage.close().await?;
    ui::say("Every pod reaches every pod, and nothing was done twice.");
    Ok(Exit::Done)
}

/// The cluster's side: killed while Azure creates the machine, which is asked for once all the same.
async fn router(stage: &mut Stage) -> Result<(), Failure> {
    ui::say("A run puts a router beside the cluster. It will be killed while Azure creates the machine.");
    stage.start_and_kill(&inputs::aks_router(stage)?).await?;
    ui::say("The process is gone, without a word to anybody. This is what the journal knows:");
    stage.show(&inputs::latest_history()).await?;
    ui::say("Resumed, the run finds what was begun and goes on from there:");
    stage.show(&inputs::resume()).await?;
    match stage.world.machines_asked_for().await? {
        1 => {
            ui::err("\nAzure was asked for a machine once.");
            Ok(())
        }
        asked => Err(Failure::internal(format!("one machine was to be asked for, and {asked} were"))),
    }
}

/// The datacenter and its workers, with kills by chance.
async fn datacenter(stage: &mut Stage) -> Result<(), Failure> {
    ui::say(&format!(
        "A datacenter: network, router, two workers. From here on runs are killed at moments by chance (--seed {}).",
        stage.seed
    ));
    stage.killed_by_chance(&inputs::datacenter(stage, 2)?, 3).await?;
    for worker in 1..=2 {
        ui::say(&format!("worker-{worker} becomes a node of the cluster, over SSH through the datacenter's router:"));
        stage.killed_by_chance(&inputs::worker(stage, worker).await?, 2).await?;
    }
    ui::say("A pod on every node. Who reaches whom, packet by packet through all that was set up:");
    everybody_reaches_everybody(stage).await
}

/// Every workflow once more.
async fn nothing_changes(stage: &Stage) -> Result<(), Failure> {
    ui::say("Run once more, every workflow compares everything and finds nothing to change:");
    let before = stage.world.writes().await?;
    stage.show(&inputs::aks_router(stage)?).await?;
    stage.show(&inputs::datacenter(stage, 2)?).await?;
    stage.show(&inputs::worker(stage, 1).await?).await?;
    stage.show(&inputs::worker(stage, 2).await?).await?;
    stage.show(&inputs::sync()).await?;
    match stage.world.writes().await? - before {
        0 => {
            ui::err(&format!("\nThe world counted {before} changes before these runs, and none during them."));
            Ok(())
        }
        writes => Err(Failure::internal(format!("the second runs were to write nothing, and made {writes} changes"))),
    }
}

async fn third_worker(stage: &Stage) -> Result<(), Failure> {
    ui::say("A third worker joins:");
    stage.show(&inputs::datacenter(stage, 3)?).await?;
    stage.show(&inputs::worker(stage, 3).await?).await?;
    stage.show(&inputs::sync()).await?;
    everybody_reaches_everybody(stage).await
}

/// AKS replaces a node: the new one has another name, another address, and another pod block.
async fn replaced_node(stage: &Stage) -> Result<(), Failure> {
    let gone = stage.world.replace_node().await?;
    ui::say(&format!("AKS has replaced its node {} ({}) by another. One sync follows:", gone.name, gone.pod_cidr));
    stage.show(&inputs::sync()).await?;
    everybody_reaches_everybody(stage).await?;
    nobody_mentions(stage, &gone.pod_cidr).await
}

async fn third_worker_leaves(stage: &Stage) -> Result<(), Failure> {
    ui::say("The third worker leaves:");
    stage.show(&inputs::removal(3)).await?;
    everybody_reaches_everybody(stage).await?;
    nobody_mentions(stage, inputs::THIRD_BLOCK).await
}

async fn nobody_mentions(stage: &Stage, prefix: &str) -> Result<(), Failure> {
    match stage.world.mentions_of(prefix).await?.as_slice() {
        [] => {
            ui::err(&format!("\nNo surface mentions {prefix} any more."));
            Ok(())
        }
        places => Err(Failure::internal(format!("{prefix} was to be gone and is still in {}", places.join(", ")))),
    }
}

/// Puts a pod on each node and shows who reaches whom; all have to.
async fn everybody_reaches_everybody(stage: &Stage) -> Result<(), Failure> {
    stage.show_quietly(&inputs::pods(stage)?).await?;
    let matrix = stage.world.matrix().await?;
    ui::out(&matrix.table);
    match matrix.dead {
        0 => Ok(()),
        dead => Err(Failure::internal(format!("{dead} pairs of pods do not reach each other"))),
    }
}
