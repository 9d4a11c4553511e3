use rustix::process::Signal;

use crate::world::SimWorld;

const RUN: [&str; 5] = ["run", "workflow", "machine.yaml", "-i", "name=m"];

#[test]
fn a_running_run_is_cancelled_by_its_owner() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&RUN);
    world.wait_for_hold();
    let ran = program.expect(0, &["cancel"]);
    assert!(ran.err.contains("is cancelled; process"), "{ran:?}");
    let ended = running.end();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.err.contains("machine cancelled after"), "{ended:?}");
    world.release();
    assert_eq!(program.expect(0, &["history", "-o", "json"]).json()["runs"][0]["status"], "cancelled");
    let ran = program.expect(4, &["resume", "@latest"]);
    assert!(ran.err.contains("was cancelled and cannot be resumed"), "{ran:?}");
    assert!(program.expect(0, &["resume"]).err.contains("no run to resume"));
    assert!(program.expect(0, &["resume", "--all"]).err.contains("no run to resume"));
    assert!(program.expect(0, &["history", "@latest"]).out.contains("cancellation requested by"));
    assert!(program.expect(0, &["cancel", "@latest"]).err.contains("was already cancelled"));
}

#[test]
fn a_run_without_an_owner_is_cancelled_immediately() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let running = world.spawn_creation(&program, &RUN);
    running.kill();
    world.release();
    let report = program.expect(0, &["cancel", "-o", "json"]).json();
    assert_eq!(report["outcome"], "cancelled");
    program.expect(4, &["resume", report["run"].as_str().unwrap()]);
    assert_eq!(program.expect(64, &["cancel"]).hint(), "run `stargate history` to list the runs");
}

#[test]
fn cancel_reports_runs_that_cannot_be_cancelled() {
    let world = SimWorld::open("1000");
    let program = world.program();
    assert!(program.expect(64, &["cancel"]).hint().contains("stargate run workflow"));
    program.expect(0, &RUN);
    assert!(program.expect(64, &["cancel", "@latest"]).err.contains("has succeeded"));
    world.hold("PUT", "/networkInterfaces/");
    for name in ["name=a", "name=b"] {
        let running = program.spawn(&["run", "workflow", "machine.yaml", "-i", name]);
        world.wait_for_hold();
        running.signal(Signal::INT);
        assert_eq!(running.end().code, Some(130));
        world.release();
        world.hold("PUT", "/networkInterfaces/");
    }
    assert!(program.expect(64, &["cancel"]).err.contains("2 runs have not ended"));
}
