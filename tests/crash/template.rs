//! Worlds before the run of a workflow, each created once and copied for every case.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use serde_json::Value;
use stargate_sim::{Sim, SimOptions};
use tempfile::TempDir;

use crate::{drift, inputs, inputs::WorldFacts, shipped, shipped::Shipped, stage::Stage};

/// Factor by which a world is faster than the real one.
const SPEED: f64 = 200.0;
/// Name of the folder with the world's keys, certificates and configuration, inside the folder of a
/// case.
const WORLD: &str = "sim";
/// Name of the file with the world's state, inside that folder.
const STATE: &str = "state.json";

/// World that is closed, as a folder that can be copied.
pub(crate) struct Template {
    folder: TempDir,
}

impl Template {
    /// Returns the world in which all workflows before `workflow` have run.
    ///
    /// # Errors
    ///
    /// The output of an earlier workflow that failed.
    pub(crate) async fn before(workflow: Shipped) -> Result<Self, String> {
        let mut template = Self::new().await;
        for earlier in workflow.earlier() {
            template = template.after(earlier).await?;
        }
        if workflow.name == "sync-pod-routes" {
            template = template.drifted().await;
        }
        Ok(template)
    }

    /// Returns a world without any resources.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join(WORLD);
        let options = SimOptions { state_file: Some(world.join(STATE)), ..SimOptions::new(&world) };
        stargate_sim::start(options).await.unwrap().shutdown().await.unwrap();
        Self::closed(folder)
    }

    /// Returns the world after a run of `workflow`.
    async fn after(self, workflow: Shipped) -> Result<Self, String> {
        let stage = Stage::kept(workflow, &self).await;
        let inputs = inputs::of(workflow.name, &WorldFacts::of(&stage.sim).await);
        let status = stage.run_with("run", 0, &inputs).await;
        // A workflow may be unchanged after the earlier ones, which is exit code 0.
        if !matches!(status.code(), Some(0 | 10)) {
            return Err(format!("{} ended with {status} before anything went wrong:\n{}", workflow.name, stage.said()));
        }
        Ok(Self::closed(stage.close().await))
    }

    /// Returns the world after drift on every surface that routes depend on.
    async fn drifted(self) -> Self {
        let stage = Stage::kept(shipped::SYNC, &self).await;
        drift::everywhere(&stage.sim).await;
        Self::closed(stage.close().await)
    }

    /// Returns a copy of the world in its present state.
    pub(crate) fn copied(stage: &Stage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join(WORLD);
        copy(stage.sim.dir(), &world);
        std::fs::write(world.join(STATE), serde_json::to_vec(&*stage.sim.shared().peek()).unwrap()).unwrap();
        Self::closed(folder)
    }

    /// Prepares the world in `folder` for copies.
    ///
    /// The port of each machine is reset, so that every copy chooses its own ports.
    fn closed(folder: TempDir) -> Self {
        let path = folder.path().join(WORLD).join(STATE);
        let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for machine in state["hosts"]["machines"].as_object_mut().unwrap().values_mut() {
            machine["port"] = 0.into();
        }
        std::fs::write(path, state.to_string()).unwrap();
        Self { folder }
    }

    /// Opens a copy of the world in `folder`.
    ///
    /// Only with `keep` it can be closed and opened again.
    pub(crate) async fn open(&self, folder: &Path, keep: bool) -> Sim {
        let world = folder.join(WORLD);
        copy(&self.folder.path().join(WORLD), &world);
        let state = world.join(STATE);
        let text = std::fs::read_to_string(&state).unwrap();
        loop {
            // The kubelets expect the API server at its old address, which is therefore replaced by
            // the new one.
            let port = free_port();
            std::fs::write(&state, text.replace(&api_server(&text), &format!("https://localhost:{port}"))).unwrap();
            let state_file = Some(state.clone());
            let mut options = SimOptions { speed: SPEED, state_file, keep, ..SimOptions::new(&world) };
            options.kubernetes.set_port(port);
            match stargate_sim::start(options).await {
                Ok(sim) => return sim,
                Err(stargate_sim::SimError::Listen { .. }) => {} // another process has taken the port
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Returns the URL of the API server in the state of a world.
fn api_server(state: &str) -> String {
    let state: Value = serde_json::from_str(state).unwrap();
    state["kube"]["url"].as_str().unwrap().to_owned()
}

/// Returns a port on loopback that was free at the time of the call.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Copies a folder with all its files. Sockets are left out.
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
