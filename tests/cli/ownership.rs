use rustix::process::Signal;

use crate::{
    program::{Program, RunningProgram, wait_for},
    world::SimWorld,
};

/// Returns a program with a short lease, and its run that is stopped during a request.
fn stopped_run(world: &SimWorld) -> (Program, RunningProgram) {
    let program = world.program().also("STARGATE_TEST_LEASE_MS", "1000");
    world.hold("PUT", "/networkInterfaces/");
    let stopped = program.spawn(&["run", "workflow", "machine.yaml", "-i", "name=m"]);
    world.wait_for_hold();
    stopped.signal(Signal::STOP);
    (program, stopped)
}

#[test]
fn the_run_of_a_stopped_process_is_taken_over_only_on_request() {
    let world = SimWorld::open("1000");
    let (program, stopped) = stopped_run(&world);
    let ran = wait_for("the end of the lease", || {
        let ran = program.expect(75, &["resume"]);
        ran.err.contains("it is stopped, and its lease expired at").then_some(ran)
    });
    assert!(ran.err.contains(&format!("process {}", stopped.id())), "{ran:?}");
    assert!(ran.hint().contains("`kill -CONT ") && ran.hint().contains(" --take-over`"), "{ran:?}");
    assert_eq!(program.expect(0, &["history", "-o", "json"]).json()["runs"][0]["status"], "running");
    world.release();
    program.expect(0, &["resume", "@latest", "--take-over"]);
    let writes = world.writes();
    stopped.signal(Signal::CONT);
    let ended = stopped.end();
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert_eq!(world.writes(), writes, "it has sent nothing since");
}

#[test]
fn the_run_of_a_stopped_process_is_cancelled_when_its_lease_has_expired() {
    let world = SimWorld::open("1000");
    let (program, stopped) = stopped_run(&world);
    let ran = program.expect(0, &["cancel"]);
    let waiting = format!("waiting for process {}", stopped.id());
    assert!(ran.err.contains("is cancelled"), "{ran:?}");
    // The lease can have expired before the request.
    assert!(!ran.err.contains("waiting for") || ran.err.contains(&waiting), "{ran:?}");
    let writes = world.writes();
    stopped.signal(Signal::CONT);
    assert_eq!(stopped.end().code, Some(75));
    assert_eq!(world.writes(), writes);
}

#[test]
fn a_second_resume_names_the_owner_of_the_run() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&["run", "workflow", "machine.yaml", "-i", "name=m"]);
    world.wait_for_hold();
    running.kill();
    world.release();
    world.hold("PUT", "/virtualMachines/");
    let holder = program.spawn(&["resume"]);
    wait_for("a run with an owner", || {
        let list = program.expect(0, &["history", "-o", "json"]).json();
        (list["runs"][0]["status"] == "running").then_some(())
    });
    let ran = program.expect(75, &["resume"]);
    assert!(ran.err.contains(&format!("process {}", holder.id())), "{ran:?}");
    assert!(ran.hint().contains("stargate resume 01"), "{ran:?}");
    assert!(program.expect(0, &["resume", "--all"]).err.contains("no run to resume"));
    world.wait_for_hold();
    world.release();
    let ran = holder.end();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
