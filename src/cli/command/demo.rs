use crate::cli::{
    Failure, Settings,
    args::DemoArgs,
    demo::{DemoEnvironment, inputs},
    exit::Exit,
    signals::SignalListener,
    ui,
    work_dir::WorkDir,
};

/// `demo`: the whole of a deployment in the simulated world, killed at moments by chance and resumed.
pub(crate) async fn demo(settings: &Settings, args: &DemoArgs) -> Result<Exit, Failure> {
    let mut signals = SignalListener::listen()?;
    let folder = WorkDir::open(args.dir.as_deref(), &settings.temp_dir, "demo")?;
    let seed = args.seed.unwrap_or_else(rand::random);
    tokio::select! {
        done = run_demo(&folder, seed) => done,
        () = signals.next() => Err(Failure::new(
            Exit::Interrupted,
            "the demonstration was interrupted",
            "run `stargate demo` to see it from the start",
        )),
    }
}

async fn run_demo(folder: &WorkDir, seed: u64) -> Result<Exit, Failure> {
    let mut demo = DemoEnvironment::open(folder.path(), seed).await?;
    router(&mut demo).await?;
    datacenter(&mut demo).await?;
    second_runs_change_nothing(&demo).await?;
    third_worker_added(&demo).await?;
    replaced_node(&demo).await?;
    third_worker_removed(&demo).await?;
    demo.run(&inputs::history()).await?;
    demo.close().await?;
    ui::heading("Every pod reaches every pod, and nothing was done twice.");
    Ok(Exit::Success)
}

/// The cluster's side: killed while Azure creates the machine, which is asked for once all the same.
async fn router(demo: &mut DemoEnvironment) -> Result<(), Failure> {
    ui::heading("A run puts a router beside the cluster. It will be killed while Azure creates the machine.");
    demo.start_and_kill(&inputs::aks_router(demo)?).await?;
    ui::heading("The process is gone, without a word to anybody. This is what the journal knows:");
    demo.run(&inputs::latest_history()).await?;
    ui::heading("Resumed, the run finds what was begun and goes on from there:");
    demo.run(&inputs::resume()).await?;
    match demo.world.machine_creation_requests().await? {
        1 => {
            ui::err("\nAzure was asked for a machine once.");
            Ok(())
        }
        asked => Err(Failure::internal(format!("one machine was to be asked for, and {asked} were"))),
    }
}

/// The datacenter and its workers, with kills by chance.
async fn datacenter(demo: &mut DemoEnvironment) -> Result<(), Failure> {
    ui::heading(&format!(
        "A datacenter: network, router, two workers. From here on runs are killed at moments by chance (--seed {}).",
        demo.seed
    ));
    demo.run_with_kills(&inputs::datacenter(demo, 2)?, 3).await?;
    for worker in 1..=2 {
        ui::heading(&format!(
            "worker-{worker} becomes a node of the cluster, over SSH through the datacenter's router:"
        ));
        demo.run_with_kills(&inputs::worker(demo, worker).await?, 2).await?;
    }
    ui::heading("A pod on every node. Who reaches whom, packet by packet through all that was set up:");
    check_all_pods_reachable(demo).await
}

/// Every workflow once more.
async fn second_runs_change_nothing(demo: &DemoEnvironment) -> Result<(), Failure> {
    ui::heading("Run once more, every workflow compares everything and finds nothing to change:");
    let before = demo.world.writes().await?;
    demo.run(&inputs::aks_router(demo)?).await?;
    demo.run(&inputs::datacenter(demo, 2)?).await?;
    demo.run(&inputs::worker(demo, 1).await?).await?;
    demo.run(&inputs::worker(demo, 2).await?).await?;
    demo.run(&inputs::sync()).await?;
    match demo.world.writes().await? - before {
        0 => {
            ui::err(&format!("\nThe world counted {before} changes before these runs, and none during them."));
            Ok(())
        }
        writes => Err(Failure::internal(format!("the second runs were to write nothing, and made {writes} changes"))),
    }
}

async fn third_worker_added(demo: &DemoEnvironment) -> Result<(), Failure> {
    ui::heading("A third worker joins:");
    demo.run(&inputs::datacenter(demo, 3)?).await?;
    demo.run(&inputs::worker(demo, 3).await?).await?;
    demo.run(&inputs::sync()).await?;
    check_all_pods_reachable(demo).await
}

/// AKS replaces a node: the new one has another name, another address, and another pod block.
async fn replaced_node(demo: &DemoEnvironment) -> Result<(), Failure> {
    let gone = demo.world.replace_node().await?;
    ui::heading(&format!("AKS has replaced its node {} ({}) by another. One sync follows:", gone.name, gone.pod_cidr));
    demo.run(&inputs::sync()).await?;
    check_all_pods_reachable(demo).await?;
    check_not_mentioned(demo, &gone.pod_cidr).await
}

async fn third_worker_removed(demo: &DemoEnvironment) -> Result<(), Failure> {
    ui::heading("The third worker leaves:");
    demo.run(&inputs::removal(3)).await?;
    check_all_pods_reachable(demo).await?;
    check_not_mentioned(demo, inputs::THIRD_WORKER_POD_CIDR).await
}

async fn check_not_mentioned(demo: &DemoEnvironment, prefix: &str) -> Result<(), Failure> {
    match demo.world.mentions_of(prefix).await?.as_slice() {
        [] => {
            ui::err(&format!("\nNo surface mentions {prefix} any more."));
            Ok(())
        }
        places => Err(Failure::internal(format!("{prefix} was to be gone and is still in {}", places.join(", ")))),
    }
}

/// Puts a pod on each node and shows who reaches whom; all have to.
async fn check_all_pods_reachable(demo: &DemoEnvironment) -> Result<(), Failure> {
    demo.run_quietly(&inputs::pods(demo)?).await?;
    let matrix = demo.world.matrix().await?;
    ui::out(&matrix.table);
    match matrix.dead {
        0 => Ok(()),
        dead => Err(Failure::internal(format!("{dead} pairs of pods do not reach each other"))),
    }
}
