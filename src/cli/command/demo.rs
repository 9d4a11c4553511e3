//! Implementation of the command `demo`.
//!
//! The demonstration runs this program in child processes, as a user would, and checks after each
//! scene what the simulated world has counted. It fails if a check fails.

use crate::cli::{
    Failure, Settings,
    args::DemoArgs,
    demo::{DemoEnvironment, inputs},
    exit::Exit,
    signals::SignalListener,
    ui,
    work_dir::WorkDir,
};

/// Command `demo`: a complete deployment in the simulated world, with runs that are killed at
/// random times and resumed.
pub(crate) async fn demo(settings: &Settings, args: &DemoArgs) -> Result<Exit, Failure> {
    let mut signals = SignalListener::listen()?;
    let folder = WorkDir::open(args.dir.as_deref(), &settings.temp_dir, "demo")?;
    let seed = args.seed.unwrap_or_else(rand::random);
    tokio::select! {
        done = run_demo(&folder, seed) => done,
        () = signals.next() => Err(Failure::new(
            Exit::Interrupted,
            "the demonstration was interrupted",
            "run `stargate demo` to start it again",
        )),
    }
}

/// Plays all scenes in order. The first failed command or check ends the demonstration.
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
    ui::heading("All pods reach each other, and nothing was done twice.");
    Ok(Exit::Success)
}

/// Scene: creates the router of the cluster. Its run is killed while Azure creates the machine, and
/// Azure must receive one request for it in total.
async fn router(demo: &mut DemoEnvironment) -> Result<(), Failure> {
    ui::heading("A run creates a router for the cluster. It is killed while Azure creates the machine.");
    demo.start_and_kill(&inputs::aks_router(demo)?).await?;
    ui::heading("The process was killed without warning. The journal contains:");
    demo.run(&inputs::latest_history()).await?;
    ui::heading("The resumed run finds the operation that was started, and continues:");
    demo.run(&inputs::resume()).await?;
    match demo.world.machine_creation_requests().await? {
        1 => {
            ui::err("\nAzure received one request for the machine.");
            Ok(())
        }
        requests => Err(Failure::internal(format!("expected one request for the machine, found {requests}"))),
    }
}

/// Scene: creates the datacenter and its workers, with runs that are killed at random times.
async fn datacenter(demo: &mut DemoEnvironment) -> Result<(), Failure> {
    ui::heading(&format!(
        "A datacenter: network, router, two workers. From now on runs are killed at random times (--seed {}).",
        demo.seed
    ));
    demo.run_with_kills(&inputs::datacenter(demo, 2)?, 3).await?;
    for worker in 1..=2 {
        ui::heading(&format!("worker-{worker} joins the cluster, over SSH through the datacenter's router:"));
        demo.run_with_kills(&inputs::worker(demo, worker).await?, 2).await?;
    }
    ui::heading("A pod on each node. The matrix shows which pods reach each other through the simulated network:");
    check_all_pods_reachable(demo).await
}

/// Scene: runs each workflow again. The simulated world must count no write request.
async fn second_runs_change_nothing(demo: &DemoEnvironment) -> Result<(), Failure> {
    ui::heading("Each workflow runs again, compares desired and actual state, and changes nothing:");
    let before = demo.world.writes().await?;
    demo.run(&inputs::aks_router(demo)?).await?;
    demo.run(&inputs::datacenter(demo, 2)?).await?;
    demo.run(&inputs::worker(demo, 1).await?).await?;
    demo.run(&inputs::worker(demo, 2).await?).await?;
    demo.run(&inputs::sync()).await?;
    match demo.world.writes().await? - before {
        0 => {
            ui::err(&format!(
                "\nThe simulated world counted {before} changes before these runs, and none during them."
            ));
            Ok(())
        }
        writes => Err(Failure::internal(format!("the second runs made {writes} changes"))),
    }
}

/// Scene: adds a worker to the datacenter.
async fn third_worker_added(demo: &DemoEnvironment) -> Result<(), Failure> {
    ui::heading("A third worker joins:");
    demo.run(&inputs::datacenter(demo, 3)?).await?;
    demo.run(&inputs::worker(demo, 3).await?).await?;
    demo.run(&inputs::sync()).await?;
    check_all_pods_reachable(demo).await
}

/// Scene: AKS replaces a node. The new node has another name, another address and another pod CIDR.
async fn replaced_node(demo: &DemoEnvironment) -> Result<(), Failure> {
    let removed = demo.world.replace_node().await?;
    ui::heading(&format!(
        "AKS replaced its node {} ({}) with another one. One synchronisation follows:",
        removed.name, removed.pod_cidr
    ));
    demo.run(&inputs::sync()).await?;
    check_all_pods_reachable(demo).await?;
    check_not_mentioned(demo, &removed.pod_cidr).await
}

/// Scene: removes a worker. Its pod CIDR must disappear from each surface.
async fn third_worker_removed(demo: &DemoEnvironment) -> Result<(), Failure> {
    ui::heading("The third worker is removed:");
    demo.run(&inputs::removal(3)).await?;
    check_all_pods_reachable(demo).await?;
    check_not_mentioned(demo, inputs::THIRD_WORKER_POD_CIDR).await
}

/// Fails if a surface still contains the prefix.
async fn check_not_mentioned(demo: &DemoEnvironment, prefix: &str) -> Result<(), Failure> {
    match demo.world.mentions_of(prefix).await?.as_slice() {
        [] => {
            ui::err(&format!("\nNo surface contains {prefix} any more."));
            Ok(())
        }
        places => Err(Failure::internal(format!("{prefix} is still in {}", places.join(", ")))),
    }
}

/// Creates a pod on each node and prints the matrix of their connections. Fails if one pair has no
/// connection.
async fn check_all_pods_reachable(demo: &DemoEnvironment) -> Result<(), Failure> {
    demo.run_quietly(&inputs::pods(demo)?).await?;
    let matrix = demo.world.matrix().await?;
    ui::out(&matrix.table);
    match matrix.dead {
        0 => Ok(()),
        dead => Err(Failure::internal(format!("{dead} pairs of pods do not reach each other"))),
    }
}
