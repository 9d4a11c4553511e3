//! Worlds in which a workflow is about to run, each made once and copied for every case.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use serde_json::Value;
use stargate_sim::{Sim, SimOptions};
use tempfile::TempDir;

use crate::{drift, inputs, inputs::WorldFacts, shipped, shipped::Shipped, stage::Stage};

/// How much faster than the real one a world is.
const SPEED: f64 = 200.0;
/// Folder of a world's keys, certificates and configuration, below that of a case.
const WORLD: &str = "sim";
/// The world itself, in that folder.
const STATE: &str = "state.json";

/// A world that is closed: a folder to copy.
pub(crate) struct Template {
    folder: TempDir,
}

impl Template {
    /// The world in which `workflow` is about to run: all that come before it have run.
    pub(crate) async fn before(workflow: Shipped) -> Result<Self, String> {
        let mut template = Self::new().await;
        for earlier in shipped::ALL.into_iter().take_while(|earlier| *earlier != workflow) {
            template = template.after(earlier).await?;
        }
        if workflow.name == "sync-pod-routes" {
            template = template.drifted().await;
        }
        Ok(template)
    }

    /// A world in which nothing has happened yet.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join(WORLD);
        let options = SimOptions { state_file: Some(world.join(STATE)), ..SimOptions::new(&world) };
        stargate_sim::start(options).await.unwrap().shutdown().await.unwrap();
        Self::closed(folder)
    }

    /// The same world after `workflow` has run in it.
    async fn after(self, workflow: Shipped) -> Result<Self, String> {
        let stage = Stage::kept(workflow, &self).await;
        let inputs = inputs::of(workflow.name, &WorldFacts::of(&stage.sim).await);
        let status = stage.run_with("run", 0, &inputs).await;
        // Those before may have left it nothing to do.
        if !matches!(status.code(), Some(0 | 10)) {
            return Err(format!("{} ended with {status} before anything went wrong:\n{}", workflow.name, stage.said()));
        }
        Ok(Self::closed(stage.close().await))
    }

    /// The same world after others have meddled with everything that routes need.
    async fn drifted(self) -> Self {
        let stage = Stage::kept(Shipped { name: "sync-pod-routes" }, &self).await;
        drift::everywhere(&stage.sim).await;
        Self::closed(stage.close().await)
    }

    /// Makes what is in `folder` ready to be copied: no machine insists on the port that it had.
    fn closed(folder: TempDir) -> Self {
        let path = folder.path().join(WORLD).join(STATE);
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for machine in state["hosts"]["machines"].as_object_mut().unwrap().values_mut() {
            machine["port"] = 0.into();
        }
        std::fs::write(path, state.to_string()).unwrap();
        Self { folder }
    }

    /// Opens a copy of it in `folder`; only with `keep` it can be closed and opened again.
    pub(crate) async fn open(&self, folder: &Path, keep: bool) -> Sim {
        let world = folder.join(WORLD);
        copy(&self.folder.path().join(WORLD), &world);
        let state = world.join(STATE);
        let text = std::fs::read_to_string(&state).unwrap();
        loop {
            // The kubelets of its machines look for the API server where it was: they are told where it is now.
            let port = free_port();
            std::fs::write(&state, text.replace(&api_server(&text), &format!("https://localhost:{port}"))).unwrap();
            let state_file = Some(state.clone());
            let mut options = SimOptions { speed: SPEED, state_file, keep, ..SimOptions::new(&world) };
            options.kubernetes.set_port(port);
            match stargate_sim::start(options).await {
                Ok(sim) => return sim,
                Err(stargate_sim::SimError::Listen { .. }) => {} // somebody else has taken the port
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn api_server(state: &str) -> String {
    let state: Value = serde_json::from_str(state).unwrap();
    state["kube"]["url"].as_str().unwrap().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target: PathBuf = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &target),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target).unwrap()),
            _ => {} // a socket of a process that has ended
        }
    }
}
