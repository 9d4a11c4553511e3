use std::{os::unix::process::CommandExt as _, path::Path, process::Stdio, time::Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    program::{Program, WAIT_TIMEOUT},
    world::SimWorld,
};

const RUN: [&str; 5] = ["run", "workflow", "machine.yaml", "-i", "name=m"];

#[test]
fn the_first_signal_cancels_steps_and_the_run_can_be_resumed() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let world = SimWorld::open("1000");
        let program = world.program();
        let running = world.spawn_creation(&program, &RUN);
        running.signal(signal);
        let ran = running.end();
        world.release();
        assert_eq!(ran.code, Some(130), "{ran:?}");
        assert!(ran.hint().starts_with("run `stargate resume 01"), "{ran:?}");
        let writes = world.writes();
        let ran = program.expect(0, &["resume", "-o", "json"]);
        assert_eq!(ran.json_lines().pop().unwrap()["outcome"], "succeeded");
        assert_eq!(world.writes(), writes, "the machine that was being created is polled, not created again");
    }
}

#[test]
fn the_result_of_a_run_whose_journal_was_deleted_does_not_count() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&RUN);
    world.wait_for_hold();
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", program.journal().display())).unwrap();
    }
    world.release();
    let ran = running.end();
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("is not the one that was opened any more"), "{ran:?}");
    assert!(ran.hint().starts_with("put the file back"), "{ran:?}");
}

#[test]
fn the_timeout_cancels_steps_and_the_run_can_be_resumed() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&["run", "workflow", "machine.yaml", "-i", "name=m", "--timeout", "700ms"]);
    world.wait_for_hold();
    let ran = running.end();
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("timeout of 700ms exceeded") && ran.err.contains("machine timed out after"), "{ran:?}");
    assert!(ran.hint().starts_with("run `stargate resume 01"), "{ran:?}");
    world.release();
    program.expect(0, &["resume", "--timeout", "10m"]);
    assert!(program.expect(64, &["resume", "--timeout", "soon"]).err.contains("expected a duration such as 30s"));
}

#[test]
fn the_second_signal_stops_immediately_and_the_run_can_be_resumed() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let mut running = program.spawn(&RUN);
    world.wait_for_hold();
    running.signal(Signal::INT);
    running.read_until("press Ctrl-C again to stop immediately");
    running.signal(Signal::INT);
    let ran = running.end();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.err.contains("stopped immediately") && ran.hint().starts_with("run `stargate resume 01"), "{ran:?}");
    world.release();
    program.expect(0, &["resume"]);
}

#[test]
fn a_killed_run_continues_its_operations() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let running = world.spawn_creation(&program, &RUN);
    running.kill();
    world.release();
    let list = program.expect(0, &["history", "-o", "json"]).json();
    assert_eq!(list["runs"][0]["status"], "interrupted");
    let writes = world.writes();
    let resumed = program.expect(0, &["resume"]);
    assert!(
        resumed.err.contains("vm       changed + virtual machine"),
        "the operation of the killed process: {resumed:?}"
    );
    assert_eq!(world.writes(), writes, "the machine that was being created is polled, not created again");
}

#[test]
fn all_interrupted_runs_are_resumed_by_one_command() {
    let world = SimWorld::open("1000");
    let program = world.program();
    for name in ["a", "b"] {
        let running =
            world.spawn_creation(&program, &["run", "workflow", "machine.yaml", "-i", &format!("name={name}")]);
        running.kill();
        world.release();
    }
    let ran = program.expect(0, &["resume", "--all"]);
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("machine succeeded")).count(), 2, "{ran:?}");
    assert!(program.expect(0, &["resume", "--all"]).err.contains("no run to resume"));
}

/// A terminal sends SIGINT to the program and to all processes of its group.
#[test]
fn an_interrupt_from_the_terminal_reaches_no_child_first_and_leaves_none() {
    let program = Program::new()
        .also("STARGATE_AZURE_ENDPOINT", "http://127.0.0.1:9")
        .also("STARGATE_AZURE_SUBSCRIPTION", "44654aed-2753-4b88-9142-af7132933b6b")
        .also("STARGATE_AZURE_TOKEN", "exec:sleep 600 & echo $! >child; wait");
    let step = "{uses: azure.resource_group.ensure, with: {name: g, location: canadacentral}}";
    program.write("w.yaml", &format!("name: w\nsteps:\n  s: {step}\n"));
    let mut command = program.command(&["run", "workflow", "w.yaml"]);
    let running = command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let child = loop {
        match std::fs::read_to_string(program.path("child")) {
            Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
            _ => assert!(Instant::now() < deadline, "the command of the secret was started"),
        }
        std::thread::yield_now();
    };
    kill_process_group(Pid::from_raw(running.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let output = running.wait_with_output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{errors}");
    assert!(errors.contains("hint: run `stargate resume 01"), "{errors}");
    let run = &program.expect(0, &["history", "-o", "json"]).json()["runs"][0];
    assert_eq!(run["status"], "interrupted");
    while is_running(&child) {
        assert!(Instant::now() < deadline, "process {child} is left behind");
        std::thread::yield_now();
    }
}

/// True if the process exists and has not exited.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
