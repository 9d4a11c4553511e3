//! Environment of the demonstration: runs the program in child processes and kills some of them
//! with SIGKILL.
//!
//! The times of the kills follow from a seed, so a demonstration can be repeated.

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

/// Speed of the simulated world: creating a machine takes some seconds, and the whole demonstration
/// less than a minute.
const SPEED: &str = "20";
/// Range of times, in milliseconds, after which a run is killed: from its first step to about its
/// end.
const KILL_DELAY_MS: Range<u64> = 100..3_000;
/// Interval between two reads of the journal.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum time until the first run creates its machine.
const DEMO_TIMEOUT: Duration = Duration::from_mins(1);
/// Variables of the user that would point the program elsewhere.
const FOREIGN_VARIABLES: [&str; 4] = [
    "STARGATE_AZURE_CA",
    "STARGATE_TAILSCALE_CLIENT_ID",
    "STARGATE_TAILSCALE_CLIENT_SECRET",
    "STARGATE_TAILSCALE_TAILNET",
];

/// Simulated world, journal and program of the demonstration.
pub(in crate::cli) struct DemoEnvironment {
    program: PathBuf,
    folder: PathBuf,
    /// Process of the simulated world.
    pub(in crate::cli) world: SimProcess,
    /// Seed of the times at which runs are killed.
    pub(in crate::cli) seed: u64,
    random: StdRng,
}

impl DemoEnvironment {
    /// Starts a simulated world below `folder` and prints how to reach it.
    pub(in crate::cli) async fn open(folder: &Path, seed: u64) -> Result<Self, Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::internal(format!("cannot find this program: {error}")))?;
        let dir = folder.join("world");
        ui::heading("A simulated Azure, a tailnet and hosts, in a separate process:");
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

    /// Returns the environment variables of each command.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let state = self.folder.display();
        let mut variables =
            vec![("STARGATE_JOURNAL", self.journal().display().to_string()), ("XDG_STATE_HOME", state.to_string())];
        variables.extend(self.world.variables());
        variables
    }

    /// Runs a command to its end, on this terminal.
    pub(in crate::cli) async fn run(&self, line: &DemoCommand) -> Result<(), Failure> {
        let status = self.command(line).status().await.map_err(|error| not_run(&error))?;
        if status.success() { Ok(()) } else { Err(ended(status)) }
    }

    /// Starts a command and kills it as soon as Azure is creating a machine for it.
    pub(in crate::cli) async fn start_and_kill(&self, line: &DemoCommand) -> Result<(), Failure> {
        let mut child = self.command(line).spawn().map_err(|error| not_run(&error))?;
        if !self.world.wait_for_machine_creation(&mut child, DEMO_TIMEOUT).await? {
            let status = child.try_wait().map_err(|error| not_run(&error))?;
            return Err(status.map_or_else(|| Failure::internal("the run did not create the machine in time"), ended));
        }
        let id = child.id().unwrap_or_default();
        child.kill().await.map_err(|error| not_run(&error))?;
        ui::err(&format!("\n$ kill -KILL {id}"));
        Ok(())
    }

    /// Runs a command and kills it up to `kills` times, resuming the run each time; then it runs to
    /// its end.
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

    /// Returns true if the command ended within `limit` after the journal contained `runs` runs.
    /// Otherwise it is killed at that time.
    ///
    /// A command that is killed before its run is in the journal leaves nothing to resume;
    /// therefore the limit starts later.
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

    /// Waits until the journal contains `runs` runs, and then for `limit`.
    async fn wait_for_kill(&self, runs: usize, limit: Duration) -> Result<(), Failure> {
        while self.runs().await? < runs {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        tokio::time::sleep(limit).await;
        Ok(())
    }

    /// Counts the runs in the journal.
    async fn runs(&self) -> Result<usize, Failure> {
        let Some(journal) = journal::open_existing(self.journal()).await? else { return Ok(0) };
        let runs = journal.runs(u32::MAX).await?.len();
        // The run that is counted may have the journal open.
        drop(journal.close().await);
        Ok(runs)
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal.db")
    }

    /// Writes a file into the folder of the demonstration and returns its path.
    pub(in crate::cli) fn write_file(&self, name: &str, text: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        std::fs::write(&path, text)
            .map_err(|error| Failure::internal(format!("cannot write {}: {error}", path.display())))?;
        Ok(path.display().to_string())
    }

    /// Stops the simulated world.
    pub(in crate::cli) async fn close(self) -> Result<(), Failure> {
        self.world.close().await
    }

    /// Runs a command to its end and prints its output only if it fails.
    pub(in crate::cli) async fn run_quietly(&self, line: &DemoCommand) -> Result<(), Failure> {
        let output = self.command(line).output().await.map_err(|error| not_run(&error))?;
        if output.status.success() {
            return Ok(());
        }
        ui::err(&String::from_utf8_lossy(&output.stderr));
        Err(ended(output.status))
    }

    /// Prints a command as a user would type it, and prepares the process.
    fn command(&self, line: &DemoCommand) -> Command {
        ui::err(&format!("$ stargate {}", line.shown.join(" ")));
        let mut command = Command::new(&self.program);
        // The user's own settings for Azure and the tailnet must not apply.
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command.args(&line.arguments).envs(self.variables()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

fn not_run(error: &std::io::Error) -> Failure {
    Failure::internal(format!("cannot run this program: {error}"))
}

fn ended(status: ExitStatus) -> Failure {
    Failure::internal(format!("a command of the demonstration failed with {status}"))
}
