use crate::{program::wait_for, world::SimWorld};

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
