//! Promises of the README about all commands, and those that no other test holds.

use serde_json::Value;

use crate::{
    program::Program,
    sqlite,
    world::{MACHINE, SimWorld},
};

/// Commands that print scripts or run until they are stopped.
const WITHOUT_JSON: [&str; 5] = ["sim", "demo", "completions", "help", "ssh"];

/// Returns the names of all commands, from the help text.
fn commands(program: &Program) -> Vec<String> {
    let help = program.expect(0, &["--help"]).out;
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let names = listed.lines().take_while(|line| line.starts_with("  "));
    names.filter(|line| !line.starts_with("   ")).map(|line| line.split_whitespace().next().unwrap().into()).collect()
}

#[test]
fn every_command_that_shows_something_has_json() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let invocations = [
        &["run", "workflow", "machine.yaml", "-i", "name=m"][..],
        &["up", "--yes"],
        &["down", "--yes"],
        &["resume"],
        &["retry", "@latest", "vm", "--yes"],
        &["cancel"],
        &["approve", "@latest"],
        &["resolve", "@latest", "--done"],
        &["attach"],
        &["history"],
        &["why"],
        &["logs"],
        &["prune", "--older-than", "30d"],
        &["doctor", "machine.yaml"],
        &["plan", "machine.yaml", "-i", "name=m"],
        &["verify"],
        &["trace", "a", "b", "-i", "cluster=c", "-i", "cluster_resource_group=c"],
        &["status", "-i", "cluster=c", "-i", "cluster_resource_group=c"],
        &["schedule"],
        &["validate", "machine.yaml"],
        &["graph", "machine.yaml"],
        &["workflows"],
        &["actions"],
        &["schema"],
    ];
    let expected = commands(&program);
    for name in expected.iter().filter(|name| !WITHOUT_JSON.contains(&name.as_str())) {
        assert!(invocations.iter().any(|arguments| arguments[0] == name), "{name} is not tested");
    }
    for arguments in invocations {
        let ran = program.run(&[arguments, &["-o", "json"]].concat());
        let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
        assert!(is_json(&ran.out) || !ran.out.is_empty() && ran.out.lines().all(is_json), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn every_failure_ends_with_a_hint() {
    let program = Program::new();
    program.write("wrong.yaml", "name: wrong\nsteps: {}\n");
    program.write("file", "not a journal, and longer than the header of a database would be: ".repeat(30).as_str());
    let run = "01JAAAAAAAAAAAAAAAAAAAAAAA";
    for arguments in [
        &["run", "workflow", "none"][..],
        &["run", "workflow", "none.yaml"],
        &["run", "workflow", "wrong.yaml"],
        &["run", "workflow", "provision-dc"],
        &["run", "workflow", "provision-dc", "--inputs", "none.yaml"],
        &["resume"],
        &["resume", run],
        &["cancel"],
        &["cancel", run],
        &["approve", run],
        &["resolve", run, "--done"],
        &["history", run],
        &["history", "--journal", "file"],
        &["why"],
        &["logs", run],
        &["prune", "--older-than", "soon"],
        &["plan", "wrong.yaml"],
        &["verify"],
        &["trace", "a", "b"],
        &["status"],
        &["ssh", "nobody"],
        &["schedule"],
        &["schedule", "wrong.yaml"],
        &["validate", "wrong.yaml", "none"],
        &["graph", "none"],
        &["actions", "none"],
        &["unknown"],
    ] {
        let ran = program.run(arguments);
        assert!(ran.code.is_some_and(|code| code > 0), "{arguments:?}: {ran:?}");
        assert!(!ran.hint().is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_run_keeps_its_plan_when_its_file_is_edited() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&["run", "workflow", "machine.yaml", "-i", "name=m"]);
    world.wait_for_hold();
    running.kill();
    world.release();
    program.write("machine.yaml", &MACHINE.replace("  vm:\n", "  other:\n").replace("machine\n", "edited\n"));
    let ran = program.expect(0, &["resume"]);
    assert!(ran.err.contains("vm       changed + virtual machine \"m\""), "{ran:?}");
}

#[test]
fn a_journal_that_another_process_keeps_locked_exits_with_69() {
    let program = SimWorld::open("1000").program();
    program.write("nodes.yaml", "name: nodes\nsteps: {n: {uses: kubernetes.nodes.list}}\n");
    program.run(&["run", "workflow", "nodes.yaml"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let locked = runtime.block_on(sqlite::lock(&program.journal()));
    let ran = program.expect(69, &["prune", "--older-than", "0s"]);
    assert!(ran.err.contains("another process holds it"), "{ran:?}");
    runtime.block_on(sqlite::unlock(locked));
    program.expect(0, &["prune", "--older-than", "0s"]);
}
