use rustix::process::Signal;

use crate::world::SimWorld;

const RUN: [&str; 5] = ["run", "workflow", "machine.yaml", "-i", "name=m"];

#[test]
fn the_first_signal_cancels_steps_and_the_run_can_be_resumed() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let world = SimWorld::open("10");
        let program = world.program();
        let running = program.spawn(&RUN);
        world.wait_until_creating("m");
        running.signal(signal);
        let ran = running.end();
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
    let world = SimWorld::open("10");
    let program = world.program();
    let running = program.spawn(&RUN);
    world.wait_until_creating("m");
    running.kill();
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
    let world = SimWorld::open("10");
    let program = world.program();
    for name in ["a", "b"] {
        let running = program.spawn(&["run", "workflow", "machine.yaml", "-i", &format!("name={name}")]);
        world.wait_until_creating(name);
        running.kill();
    }
    let ran = program.expect(0, &["resume", "--all"]);
    assert_eq!(ran.err.lines().filter(|line| line.starts_with("machine succeeded")).count(), 2, "{ran:?}");
    assert!(program.expect(0, &["resume", "--all"]).err.contains("no run to resume"));
}
