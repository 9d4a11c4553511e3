use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::Command;

use super::demo_world::World;
use crate::cli::{Failure, ui};

/// How much faster than Azure the world is: a machine takes seconds that can be watched, all of it less than a minute.
const SPEED: &str = "5";
/// How long the run may take to get to the machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// What is being put beside what, and where: names and prefixes as in the world's scenario.
const INPUTS: [(&str, &str); 5] = [
    ("cluster", "stargate-aks-e2e-7"),
    ("resource_group", "stargate-aks-e2e-7"),
    ("router", "stargate-aks-e2e-7-router"),
    ("router_subnet", "10.237.0.0/24"),
    ("datacenter_prefixes", "10.50.0.0/16"),
];
/// Variables that would lead the program away from the world.
const OTHERS: [&str; 4] = [
    "STARGATE_AZURE_CA",
    "STARGATE_TAILSCALE_CLIENT_ID",
    "STARGATE_TAILSCALE_CLIENT_SECRET",
    "STARGATE_TAILSCALE_TAILNET",
];

/// A world, a journal, and the program that is shown with them.
pub(super) struct Stage {
    program: PathBuf,
    folder: PathBuf,
    /// The world.
    pub(super) world: World,
}

impl Stage {
    /// Opens a world below `folder` and shows how it is reached.
    pub(super) async fn open(folder: &Path) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::internal(format!("find myself: {error}")))?;
        let dir = folder.join("world");
        ui::say("A simulated Azure, a tailnet and hosts, in a process of their own:");
        ui::err(&format!("$ stargate sim --speed {SPEED} --dir {} &", dir.display()));
        let mut command = Command::new(&program);
        command.args(["sim", "--speed", SPEED, "--dir"]).arg(&dir);
        let world = World::open(command).await?;
        let stage = Self { program, folder: folder.to_owned(), world };
        for (name, value) in stage.variables() {
            ui::err(&format!("$ export {name}='{value}'"));
        }
        Ok(stage)
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let state = self.folder.display();
        let mut variables =
            vec![("STARGATE_JOURNAL", format!("{state}/journal.db")), ("XDG_STATE_HOME", state.to_string())];
        variables.extend(self.world.variables());
        variables
    }

    /// The command that starts the run.
    pub(super) fn run(&self) -> Result<Line, Failure> {
        let path = self.world.endpoint("ssh_public_key");
        let key = std::fs::read_to_string(path)
            .map_err(|error| Failure::internal(format!("read the public key {path}: {error}")))?;
        let mut line = Line::new(&["run", "workflow", "provision-aks-router"]);
        for (name, value) in INPUTS {
            line.push("--input");
            line.push(&format!("{name}={value}"));
        }
        line.push("--input");
        line.push_as(&format!("ssh_public_key={}", key.trim()), &format!("ssh_public_key=\"$(cat {path})\""));
        Ok(line)
    }

    /// Runs the program to its end, on this terminal.
    pub(super) async fn show(&self, line: &Line) -> Result<(), Failure> {
        let status = self.command(line).status().await.map_err(|error| not_run(&error))?;
        if status.success() { Ok(()) } else { Err(ended(status)) }
    }

    /// Starts the program and kills it as soon as the world creates a machine for it.
    pub(super) async fn start_and_kill(&self, line: &Line) -> Result<(), Failure> {
        let mut child = self.command(line).spawn().map_err(|error| not_run(&error))?;
        if !self.world.machine_is_being_created(&mut child, PATIENCE).await? {
            let status = child.try_wait().map_err(|error| not_run(&error))?;
            return Err(status.map_or_else(|| Failure::internal("the run does not get to the machine"), ended));
        }
        let id = child.id().unwrap_or_default();
        child.kill().await.map_err(|error| not_run(&error))?;
        ui::err(&format!("\n$ kill -KILL {id}"));
        Ok(())
    }

    fn command(&self, line: &Line) -> Command {
        ui::err(&format!("$ stargate {}", line.shown.join(" ")));
        let mut command = Command::new(&self.program);
        // What is set for the user's own Azure and tailnet has no place here.
        for name in OTHERS {
            command.env_remove(name);
        }
        command.args(&line.arguments).envs(self.variables()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// The arguments of a command, and how a reader would type them.
pub(super) struct Line {
    arguments: Vec<String>,
    shown: Vec<String>,
}

impl Line {
    pub(super) fn new(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { shown: arguments.clone(), arguments }
    }

    fn push(&mut self, argument: &str) {
        self.push_as(argument, argument);
    }

    fn push_as(&mut self, argument: &str, shown: &str) {
        self.arguments.push(argument.to_owned());
        self.shown.push(shown.to_owned());
    }
}

fn not_run(error: &std::io::Error) -> Failure {
    Failure::internal(format!("run the program itself: {error}"))
}

fn ended(status: ExitStatus) -> Failure {
    Failure::internal(format!("a command of the demonstration ended with {status}"))
}
