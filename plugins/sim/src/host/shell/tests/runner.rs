use std::process::{Command, Stdio};

use tokio::sync::watch;

use crate::event;
use crate::host::commands;
use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Process, ROOT_PATH};
use crate::host::shell::{Dialect, Shell};
use crate::host::state::{Actor, Machine};
use crate::{Shared, World};

/// Returns the environment of root's programs on a machine that has just started.
pub(super) fn process() -> Process {
    let spec = event::MachineSpec {
        name: "m".into(),
        id: "/m".into(),
        user_data: String::new(),
        admin_user: "ubuntu".into(),
        admin_keys: Vec::new(),
        nics: Vec::new(),
    };
    let mut world = World::default();
    let mut machine = Machine::new(spec);
    machine.reset();
    machine.files.make_directories("/tmp/work");
    world.hosts.machines.insert("m".into(), machine);
    Process {
        shared: Shared::new(world),
        loader: commands::execute,
        progress: watch::Sender::new(0),
        host: "m".into(),
        boot: 1,
        actor: Actor::root(),
        environment: [("PATH".to_owned(), ROOT_PATH.to_owned()), ("HOME".to_owned(), "/root".to_owned())].into(),
        directory: "/tmp/work".into(),
        umask: 0o022,
        counted: true,
    }
}

/// Returns exit status, output and error output of a script in the simulated shell.
pub(super) fn simulated(process: &Process, dialect: Dialect, script: &str) -> (i32, String, String) {
    let (output, error) = (Sink::buffer(), Sink::buffer());
    let io = Io { input: Source::empty(), output: output.clone(), error: error.clone() };
    let mut process = process.clone();
    let status = Shell::new(&mut process, dialect, "sh", &[], &io).run(script).expect("the machine is up");
    let text = |sink: &Sink| String::from_utf8_lossy(&sink.taken()).into_owned();
    (status, text(&output), text(&error))
}

/// Returns exit status and output of a script in the real `sh`, in an empty directory.
pub(super) fn real(script: &str) -> (i32, String) {
    let directory = tempfile::tempdir().expect("directory");
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(directory.path()).stdin(Stdio::null());
    command.env_clear().env("PATH", ROOT_PATH).env("HOME", "/root");
    let output = command.output().expect("sh");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Fails if the simulated shell has another exit status or output than the real one.
pub(super) fn check(script: &str, origin: &str) {
    let (status, output, error) = simulated(&process(), Dialect::Dash, script);
    assert_eq!((status, output), real(script), "{origin}\n{script}\nerror output of the simulated shell: {error}");
}
