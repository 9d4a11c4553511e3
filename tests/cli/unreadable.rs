//! Runs that this program cannot read or resume: they are reported, and the others continue.

use serde_json::Value;

use crate::{
    program::{Program, ProgramOutput},
    sqlite,
    world::{MACHINE, SimWorld},
};

/// Changes that make the latest run unreadable, with a part of the message.
const DAMAGES: [(&str, &str); 4] = [
    (
        "UPDATE entry SET body = '{\"unheard_of\": {}}'
         WHERE key = (SELECT max(key) FROM entry WHERE key >> 32 = (SELECT max(key) FROM run))",
        "unknown variant `unheard_of`",
    ),
    (
        "DELETE FROM entry WHERE key = (SELECT min(key) FROM entry WHERE key >> 32 = (SELECT max(key) FROM run))",
        "cannot follow",
    ),
    ("UPDATE plan SET body = '{' WHERE digest = (SELECT plan FROM run ORDER BY key DESC LIMIT 1)", "cannot be read"),
    (
        "UPDATE plan SET body = '{}' WHERE digest = (SELECT plan FROM run ORDER BY key DESC LIMIT 1)",
        "was changed after the run was created",
    ),
];

/// Returns a program with two interrupted runs, and their ids, the latest one first.
fn interrupted(world: &SimWorld, names: [&str; 2]) -> (Program, [String; 2]) {
    let program = world.program();
    for name in names {
        world.hold("PUT", "/networkInterfaces/");
        let running = program.spawn(&["run", "workflow", "machine.yaml", "-i", &format!("name={name}")]);
        world.wait_for_hold();
        running.kill();
        world.release();
    }
    let ids = [0, 1].map(|at| history(&program, 0)[at]["run"].as_str().unwrap().to_owned());
    (program, ids)
}

fn history(program: &Program, code: i32) -> Vec<Value> {
    program.expect(code, &["history", "-o", "json"]).json()["runs"].as_array().unwrap().clone()
}

fn damage(program: &Program, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sqlite::execute(&program.journal(), statement));
}

/// Asserts that the output reports the run, with the reason and a command that ends the state.
fn assert_reported(ran: &ProgramOutput, run: &str, reason: &str) {
    let text = &ran.err;
    assert!(
        text.contains(run) && text.contains(reason) && text.contains(&format!("`stargate cancel {run}`")),
        "{text}"
    );
}

#[test]
fn one_unreadable_run_is_reported_and_the_others_are_listed_and_resumed() {
    let world = SimWorld::open("1000");
    for (at, (statement, reason)) in DAMAGES.into_iter().enumerate() {
        let (program, [broken, whole]) = interrupted(&world, [&format!("a{at}"), &format!("b{at}")]);
        damage(&program, statement);

        let ran = program.expect(69, &["history"]);
        assert_reported(&ran, &broken, reason);
        let listed = |run: &str| ran.out.lines().find(|line| line.starts_with(run)).unwrap().to_owned();
        assert!(listed(&broken).contains("interrupted  unreadable"), "{ran:?}");
        assert!(!listed(&whole).contains("unreadable"), "{ran:?}");
        let rows = history(&program, 69);
        assert!(rows[0]["unreadable"].as_str().unwrap().contains(reason) && rows[0]["steps"].is_null(), "{rows:?}");
        assert!(rows[1]["unreadable"].is_null() && rows[1]["steps"] == 3, "{rows:?}");
        for arguments in [&["history", &broken][..], &["why", &broken], &["resume"], &["resume", &broken]] {
            assert_reported(&program.expect(69, arguments), &broken, reason);
        }
        program.expect(0, &["logs", &broken]);

        let ran = program.expect(69, &["resume", "--all"]);
        assert_reported(&ran, &broken, reason);
        assert_eq!(history(&program, 69)[1]["status"], "succeeded", "{ran:?}");

        assert!(program.expect(0, &["cancel", &broken]).err.contains("is cancelled"));
        assert_eq!(history(&program, 0)[0]["status"], "cancelled");
        assert!(program.expect(0, &["cancel", &broken]).err.contains("was already cancelled"));
        assert!(program.expect(0, &["resume", "--all"]).err.contains("no run to resume"));
        assert!(program.expect(0, &["prune", "--older-than", "0s"]).err.contains("removed 2 runs"));
    }
}

#[test]
fn a_run_that_cannot_be_resumed_is_named_and_the_others_are_resumed() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write("nodes.yaml", "name: nodes\nsteps: {n: {uses: kubernetes.nodes.list}}\n");
    let runs = [("PUT", "/networkInterfaces/", "machine.yaml"), ("GET", "/api/v1/nodes", "nodes.yaml")];
    for (method, path, file) in runs {
        world.hold(method, path);
        let name: &[&str] = if file == "machine.yaml" { &["-i", "name=m"] } else { &[] };
        let running = program.spawn(&[&["run", "workflow", file][..], name].concat());
        world.wait_for_hold();
        running.kill();
        world.release();
    }
    let machine = history(&program, 0)[1]["run"].as_str().unwrap().to_owned();
    let without =
        |arguments: &[&str]| ProgramOutput::of(program.command(arguments).env_remove("STARGATE_AZURE_SUBSCRIPTION"));
    let ran = without(&["resume", "--all", "-o", "json"]);
    assert_eq!(ran.code, Some(64), "{ran:?}");
    let events = ran.json_lines();
    let refused = events.iter().find(|event| event["event"] == "error").unwrap();
    assert!(refused["run"] == machine.as_str() && refused["hint"].as_str().unwrap().contains("--azure-subscription"));
    assert_eq!(events.last().unwrap()["outcome"], "succeeded", "{ran:?}");
    let ran = without(&["resume", "--all"]);
    let message = format!("cannot resume run {machine}: azure.");
    assert!(ran.code == Some(64) && ran.err.contains(&message), "{ran:?}");
    program.expect(0, &["resume", "--all"]);
}

#[test]
fn a_schedule_reports_an_unreadable_run_of_its_workflow_and_starts_a_new_one() {
    let world = SimWorld::open("1000");
    let (program, [broken, _]) = interrupted(&world, ["m", "n"]);
    program.write("machine.yaml", &MACHINE.replace("steps:\n", "schedule: {cron: \"0 3 * * *\"}\nsteps:\n"));
    damage(&program, DAMAGES[0].0);
    let ran = program.expect(0, &["schedule", "machine.yaml", "--once", "-i", "name=n"]);
    assert_reported(&ran, &broken, DAMAGES[0].1);
    assert_eq!(history(&program, 69)[0]["status"], "succeeded");
}
