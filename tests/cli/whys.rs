use crate::world::{MACHINE, SimWorld};

const FAILING: &str = "  late:\n    uses: azure.managed_cluster.read\n    needs: [vm]\n    with: {resource_group: none, name: none}\n  last:\n    uses: azure.managed_cluster.read\n    needs: [late]\n    with: {resource_group: none, name: none}\noutputs:";

#[test]
fn why_shows_the_failed_step_and_counts_blocked_ones() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write("late.yaml", &MACHINE.replace("outputs:\n", &format!("{FAILING}\n")));
    program.expect(3, &["run", "workflow", "late.yaml", "-i", "name=m"]);
    let ran = program.expect(0, &["why"]);
    assert!(ran.out.contains("machine failed") && ran.out.contains("late  failed: failed at attempt 1"), "{ran:?}");
    assert!(ran.out.ends_with("1 step blocked\n") && ran.hint().contains("`stargate cancel 01"), "{ran:?}");
    let why = program.expect(0, &["why", "@latest", "-o", "json"]).json();
    assert_eq!((&why["status"], &why["steps"][0]["step"]), (&"failed".into(), &"late".into()));
    assert!(why["steps"][0]["error"]["message"].is_string(), "{why}");
    let why = program.expect(0, &["why", "@latest", "last", "-o", "json"]).json();
    assert_eq!(why["steps"][0]["blocked_by"][0]["step"], "late");
    assert!(program.expect(0, &["why", "@latest", "vm"]).out.contains("succeeded: succeeded after 1 attempt"));
    assert!(program.expect(64, &["why", "@latest", "lat"]).hint().contains("'late'"));
}

#[test]
fn why_shows_running_steps_and_held_locks() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write("locked.yaml", &MACHINE.replace("steps:\n", "locks: [one]\nsteps:\n"));
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&["run", "workflow", "locked.yaml", "-i", "name=m"]);
    world.wait_for_hold();
    let ran = program.expect(0, &["why"]);
    assert!(ran.out.contains("nic  running: attempt 1 is in progress"), "{ran:?}");
    running.kill();
    assert!(program.expect(0, &["why"]).out.contains("may have taken effect"));
    let next = program.spawn(&["run", "workflow", "locked.yaml", "-i", "name=n"]);
    let first = program.expect(0, &["history", "-o", "json"]).json();
    let runs = crate::program::wait_for("the second run", || {
        let list = program.expect(0, &["history", "-o", "json"]).json();
        (list["runs"].as_array()?.len() == 2).then_some(list)
    });
    let killed = runs["runs"][1]["run"].as_str().unwrap();
    assert!(first["runs"].to_string().contains(killed));
    let ran = program.expect(0, &["why", killed]);
    assert!(ran.out.contains("lock \"one\" is held by run 01"), "{ran:?}");
    assert!(ran.out.contains(" is overtaken: run 01") && !ran.hint().contains("resume"), "{ran:?}");
    world.release();
    assert_eq!(next.end().code, Some(0));
}
