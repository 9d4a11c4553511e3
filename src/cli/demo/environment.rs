use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use stargate::journal;
use tokio::process::Command;

use super::{command_line::DemoCommand, sim_process::SimProcess};
use crate::cli::{Failure, ui};

/// How much faster than Azure the world is: a machine takes seconds that can be watched, all of it less than a minute.
const SPEED: &str = "20";
/// How long a run lives that is killed at a moment by random: from its first step to about its end.
const KILL_DELAY_MS: Range<u64> = 100..3_000;
/// How often it is looked whether a run has begun.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long the run may take to get to the machine.
const DEMO_TIMEOUT: Duration = Duration::from_mins(1);
/// Variables that would lead the program away from the world.
const FOREIGN_VARIABLES: [&str; 4] = [
    "STARGATE_AZURE_CA",
    "STARGATE_TAILSCALE_CLIENT_ID",
    "STARGATE_TAILSCALE_CLIENT_SECRET",
    "STARGATE_TAILSCALE_TAILNET",
];

/// A world, a journal, and the program that is shown with them.
pub(in crate::cli) struct DemoEnvironment {
    program: PathBuf,
    folder: PathBuf,
    /// The world.
    pub(in crate::cli) world: SimProcess,
    /// What the moments follow from at which runs are killed.
    pub(in crate::cli) seed: u64,
    random: StdRng,
}

impl DemoEnvironment {
    /// Opens a world below `folder` and shows how it is reached.
    pub(in crate::cli) async fn open(folder: &Path, seed: u64) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::internal(format!("find myself: {error}")))?;
        let dir = folder.join("world");
        ui::heading("A simulated Azure, a tailnet and hosts, in a process of their own:");
        ui::err(&format!("$ stargate sim --speed {SPEED} --dir {} &", dir.display()));
        let mut command = Command::new(&program);
        command.args(["sim", "--speed", SPEED, "--dir"]).arg(&dir);
        let world = SimProcess::open(command).await?;
        let demo = Self { program, folder: folder.to_owned(), world, seed, random: StdRng::seed_from_u64(seed) };
        for (name, value) in demo.variables() {
            ui::err(&format!("$ export {name}='{value}'"));
        }
        Ok(demo)
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let state = self.folder.display();
        let mut variables =
            vec![("STARGATE_JOURNAL", self.journal().display().to_string()), ("XDG_STATE_HOME", state.to_string())];
        variables.extend(self.world.variables());
        variables
    }

    /// Runs the program to its end, on this terminal.
    pub(in crate::cli) async fn run(&self, line: &DemoCommand) -> Result<(), Failure> {
        let status = self.command(line).status().await.map_err(|error| not_run(&error))?;
        if status.success() { Ok(()) } else { Err(ended(status)) }
    }

    /// Starts the program and kills it as soon as the world creates a machine for it.
    pub(in crate::cli) async fn start_and_kill(&self, line: &DemoCommand) -> Result<(), Failure> {
        let mut child = self.command(line).spawn().map_err(|error| not_run(&error))?;
        if !self.world.wait_for_machine_creation(&mut child, DEMO_TIMEOUT).await? {
            let status = child.try_wait().map_err(|error| not_run(&error))?;
            return Err(status.map_or_else(|| Failure::internal("the run does not get to the machine"), ended));
        }
        let id = child.id().unwrap_or_default();
        child.kill().await.map_err(|error| not_run(&error))?;
        ui::err(&format!("\n$ kill -KILL {id}"));
        Ok(())
    }

    /// Runs the program up to `kills` times until it is killed, and then to its end.
    pub(in crate::cli) async fn run_with_kills(&mut self, line: &DemoCommand, kills: u32) -> Result<(), Failure> {
        let resume = DemoCommand::new(&["resume"]);
        let before = self.runs().await?;
        for kill in 0..kills {
            let limit = Duration::from_millis(self.random.random_range(KILL_DELAY_MS));
            if self.ends_within(if kill == 0 { line } else { &resume }, before + 1, limit).await? {
                return Ok(());
            }
        }
        self.run(&resume).await
    }

    /// Whether the program ended well within `limit` of the moment at which the journal had this many runs; otherwise it was
    /// killed then. What is killed before its run is in the journal has not begun, and there is nothing to resume.
    async fn ends_within(&self, line: &DemoCommand, runs: usize, limit: Duration) -> Result<bool, Failure> {
        let mut child = self.command(line).spawn().map_err(|error| not_run(&error))?;
        tokio::select! {
            ended_itself = child.wait() => {
                let status = ended_itself.map_err(|error| not_run(&error))?;
                return if status.success() { Ok(true) } else { Err(ended(status)) };
            }
            kill = self.wait_for_kill(runs, limit) => kill?,
        }
        let id = child.id().unwrap_or_default();
        child.kill().await.map_err(|error| not_run(&error))?;
        ui::err(&format!("\n$ kill -KILL {id}   # after {} ms", limit.as_millis()));
        Ok(false)
    }

    /// Waits until the journal has this many runs, and then for `limit`.
    async fn wait_for_kill(&self, runs: usize, limit: Duration) -> Result<(), Failure> {
        while self.runs().await? < runs {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        tokio::time::sleep(limit).await;
        Ok(())
    }

    /// How many runs the journal has.
    async fn runs(&self) -> Result<usize, Failure> {
        let Some(journal) = journal::open_existing(self.journal()).await? else { return Ok(0) };
        Ok(journal.runs(u32::MAX).await?.len())
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal.db")
    }

    /// Puts a file into the demonstration's folder and gives its path.
    pub(in crate::cli) fn write_file(&self, name: &str, text: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|error| Failure::internal(format!("write {}: {error}", path.display())))?;
        Ok(path.display().to_string())
    }

    /// Closes the world.
    pub(in crate::cli) async fn close(self) -> Result<(), Failure> {
        self.world.close().await
    }

    /// Runs the program to its end; what it says is shown only if it fails.
    pub(in crate::cli) async fn run_quietly(&self, line: &DemoCommand) -> Result<(), Failure> {
        let output = self.command(line).output().await.map_err(|error| not_run(&error))?;
        if output.status.success() {
            return Ok(());
        }
        ui::err(&String::from_utf8_lossy(&output.stderr));
        Err(ended(output.status))
    }

    fn command(&self, line: &DemoCommand) -> Command {
        ui::err(&format!("$ stargate {}", line.shown.join(" ")));
        let mut command = Command::new(&self.program);
        // What is set for the user's own Azure and tailnet has no place here.
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command.args(&line.arguments).envs(self.variables()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn not_run(error: &std::io::Error) -> Failure {
    Failure::internal(format!("run the program itself: {error}"))
}

fn ended(status: ExitStatus) -> Failure {
    Failure::internal(format!("a command of the demonstration ended with {status}"))
}
