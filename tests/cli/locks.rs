use std::process::Command;

use serde_json::Value;

use crate::{
    program::{Program, wait_for},
    world::{MACHINE, SimWorld},
};

/// Workflow of which only one run can be running, if the names have the same length.
fn locked() -> String {
    MACHINE.replace("steps:\n", "locks: [\"world/${{ size(inputs.name) }}\"]\nsteps:\n")
}

fn machine(name: &str) -> Vec<String> {
    ["run", "workflow", "locked.yaml", "-i", &format!("name={name}")].map(str::to_owned).into()
}

fn with<'a>(run: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    run.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

fn world() -> (SimWorld, Program) {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write("locked.yaml", &locked());
    (world, program)
}

fn runs(program: &Program) -> Vec<Value> {
    let list = program.expect(0, &["history", "-o", "json"]).json();
    list["runs"].as_array().unwrap().clone()
}

#[test]
fn a_run_that_finds_a_lock_held_names_the_holder_and_does_not_start() {
    let (world, program) = world();
    world.hold("PUT", "/networkInterfaces/");
    let holder = program.spawn(&with(&machine("m"), &[]));
    world.wait_for_hold();
    let run = runs(&program)[0]["run"].as_str().unwrap().to_owned();
    let ran = program.expect(20, &with(&machine("n"), &[]));
    for part in ["\"world/1\"", &run, "machine", &format!("process {} on ", holder.id())] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    assert!(ran.hint().contains("--wait-for-locks 10m") && ran.hint().contains(&run), "{ran:?}");
    assert_eq!(program.expect(20, &with(&machine("n"), &["-o", "json"])).json()["exit"], 20);
    let waited = ["--wait-for-locks", "10m", "--timeout", "300ms"];
    let ran = program.expect(5, &with(&machine("n"), &waited));
    assert!(ran.err.contains("timeout of 300ms exceeded") && ran.hint().contains("no run was started"), "{ran:?}");
    assert_eq!(runs(&program).len(), 1, "nothing was created");
    let head = program.expect(0, &["history", &run]).out;
    assert!(head.lines().next().unwrap().contains("holding lock world/1"), "{head}");
    // A lock of another name is free.
    world.release();
    assert_eq!(holder.end().code, Some(0));
    program.expect(0, &with(&machine("mm"), &[]));
    program.expect(0, &with(&machine("n"), &[]));
}

#[test]
fn a_waiting_run_starts_when_the_holder_has_ended() {
    let (world, program) = world();
    world.hold("PUT", "/networkInterfaces/");
    let holder = program.spawn(&with(&machine("m"), &[]));
    world.wait_for_hold();
    let ran = program.expect(20, &with(&machine("n"), &["--wait-for-locks", "50ms"]));
    assert!(ran.err.contains("waiting for lock \"world/1\""), "{ran:?}");
    let mut waiting = program.spawn(&with(&machine("n"), &["--wait-for-locks", "5m"]));
    waiting.read_until("waiting for lock \"world/1\"");
    world.release();
    assert_eq!(holder.end().code, Some(0));
    assert_eq!(waiting.end().code, Some(0));
    assert_eq!(runs(&program).len(), 2);
}

#[test]
fn a_run_that_waits_for_a_lock_can_be_interrupted() {
    let (world, program) = world();
    world.hold("PUT", "/networkInterfaces/");
    let holder = program.spawn(&with(&machine("m"), &[]));
    world.wait_for_hold();
    let mut waiting = program.spawn(&with(&machine("n"), &["--wait-for-locks", "5m"]));
    waiting.read_until("waiting for lock");
    waiting.signal(rustix::process::Signal::INT);
    let ran = waiting.end();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(ran.hint(), "run the same command again: no run was started");
    world.release();
    assert_eq!(holder.end().code, Some(0));
    assert_eq!(runs(&program).len(), 1);
}

#[test]
fn the_lock_of_a_killed_run_is_free_and_the_next_run_overtakes_it() {
    let (world, program) = world();
    world.hold("PUT", "/networkInterfaces/");
    let holder = program.spawn(&with(&machine("m"), &[]));
    world.wait_for_hold();
    holder.kill();
    let next = program.spawn(&with(&machine("n"), &[]));
    let killed = wait_for("the next run", || {
        let runs = runs(&program);
        (runs.len() == 2).then(|| runs[1]["run"].as_str().unwrap().to_owned())
    });
    let ran = program.expect(20, &["resume", &killed, "--overtaken"]);
    assert!(ran.err.contains(&format!("process {} on ", next.id())), "{ran:?}");
    assert_eq!(runs(&program)[1]["status"], "interrupted");
    world.release();
    assert_eq!(next.end().code, Some(0));
    let list = runs(&program);
    let later = list[0]["run"].as_str().unwrap();
    assert_eq!(list[1]["overtaken_by"], later);
    // Nothing resumes it by itself, and everything names the later run.
    let overtaken = format!("run {killed} is overtaken: run {later} of machine has held its lock \"world/1\" since");
    for arguments in [&["history"][..], &["history", &killed], &["why", &killed], &["resume"], &["resume", "--all"]] {
        let ran = program.expect(0, arguments);
        assert!(format!("{}{}", ran.out, ran.err).contains(&overtaken), "{arguments:?}: {ran:?}");
        assert!(!ran.err.contains("hint: run `stargate resume"), "{arguments:?}: {ran:?}");
    }
    assert!(program.expect(0, &["resume", "@latest"]).err.contains("has already succeeded"));
    let ran = program.expect(21, &["resume", &killed]);
    assert!(ran.err.contains(&overtaken) && ran.hint().contains("`--overtaken`"), "{ran:?}");
    program.expect(0, &["resume", &killed, "--overtaken"]);
}

#[test]
fn of_runs_with_the_same_lock_only_the_latest_is_resumed() {
    let (world, program) = world();
    world.hold("PUT", "/networkInterfaces/");
    for (name, runs_then) in [("m", 1), ("n", 2)] {
        let holder = program.spawn(&with(&machine(name), &[]));
        wait_for("a run", || (runs(&program).len() == runs_then).then_some(()));
        holder.kill();
    }
    world.release();
    let ran = program.expect(0, &["resume", "--all"]);
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("machine succeeded")).count(), 1, "{ran:?}");
    let statuses: Vec<_> = runs(&program).into_iter().map(|run| run["status"].clone()).collect();
    assert_eq!(statuses, ["succeeded", "interrupted"]);
}

#[test]
fn interrupted_and_failed_runs_have_released_their_locks() {
    let (world, program) = world();
    world.hold("PUT", "/networkInterfaces/");
    let holder = program.spawn(&with(&machine("m"), &[]));
    world.wait_for_hold();
    holder.signal(rustix::process::Signal::INT);
    assert_eq!(holder.end().code, Some(130));
    world.release();
    let failing = "  late:\n    uses: azure.managed_cluster.read\n    needs: [vm]\n    with: {resource_group: none, name: none}\noutputs:";
    program.write("failing.yaml", &locked().replace("outputs:\n", &format!("{failing}\n")));
    program.expect(3, &["run", "workflow", "failing.yaml", "-i", "name=n"]);
    program.expect(0, &with(&machine("o"), &[]));
    program.expect(0, &["resume", runs(&program)[2]["run"].as_str().unwrap(), "--overtaken"]);
}

#[test]
fn a_run_holds_the_locks_of_inlined_workflows() {
    let (world, program) = world();
    program.write("outer.yaml", "name: outer\nsteps: {in: {workflow: locked.yaml, with: {name: m}}}\n");
    world.hold("PUT", "/networkInterfaces/");
    let holder = program.spawn(&["run", "workflow", "outer.yaml"]);
    world.wait_for_hold();
    let ran = program.expect(20, &with(&machine("n"), &[]));
    assert!(ran.err.contains("of outer"), "{ran:?}");
    world.release();
    assert_eq!(holder.end().code, Some(0));
}

#[test]
fn locks_are_shown_before_a_run() {
    let (_world, program) = world();
    let graph = program.expect(0, &["graph", "locked.yaml", "-o", "json"]).json();
    assert_eq!(graph["locks"][0], "world/${{ size(inputs.name) }}");
    let plan = program.expect(2, &["plan", "locked.yaml", "-i", "name=abc", "-o", "json"]).json();
    assert_eq!(plan["locks"][0], "world/3");
    assert!(program.expect(2, &["plan", "locked.yaml", "-i", "name=abc"]).err.contains("lock world/3"));
    assert_eq!(program.expect(0, &["schema"]).json()["properties"]["locks"]["type"], "array");
}

#[test]
fn concurrent_runs_with_the_same_lock_are_refused_or_run_in_sequence() {
    let (_world, program) = world();
    let spawn = |name: &str| -> Command { program.command(&with(&machine(name), &["-o", "json"])) };
    let children: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| {
            let mut command = spawn(name);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .into();
    let codes: Vec<_> = children.into_iter().map(|mut child| child.wait().unwrap().code()).collect();
    let succeeded = codes.iter().filter(|code| **code == Some(0)).count();
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 20))) && succeeded > 0, "{codes:?}");
    let list = runs(&program);
    assert_eq!(list.len(), succeeded, "a refused run is not in the journal");
    // No two of them were running at the same time.
    let mut spans: Vec<_> = list
        .iter()
        .map(|run| {
            let run = run["run"].as_str().unwrap();
            let entries = program.expect(0, &["history", run, "-o", "json"]).json()["entries"].clone();
            let entries = entries.as_array().unwrap();
            (entries[0]["at"].as_i64().unwrap(), entries[entries.len() - 1]["at"].as_i64().unwrap())
        })
        .collect();
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
}
