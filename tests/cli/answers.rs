use crate::world::{MACHINE, SimWorld};

#[test]
fn control_characters_in_the_text_of_an_approval_are_shown() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let approval = MACHINE.replace("  vm:\n", "  vm:\n    approval: Make the machine ${{ inputs.text }}?\n");
    program.write("approval.yaml", &approval.replace("inputs:\n", "inputs:\n  text: {type: string}\n"));
    let text = "text=x\x1b[2K\rFAKE approved\x1b]0;title\x07";
    let ran = program.expect(10, &["run", "workflow", "approval.yaml", "-i", "name=m", "-i", text]);
    for said in [ran.err, program.run(&["why"]).out, program.run(&["history", "@latest"]).out] {
        assert!(!said.contains(['\x1b', '\r', '\x07']), "{said:?}");
        assert!(said.contains(r"x\x1b[2K\x0dFAKE approved\x1b]0;title\x07"), "{said:?}");
    }
}

#[test]
fn a_step_starts_only_after_its_approval() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let approval = MACHINE.replace("  vm:\n", "  vm:\n    approval: Make the machine ${{ inputs.name }}?\n");
    program.write("approval.yaml", &approval);
    assert!(
        program
            .expect(0, &["graph", "approval.yaml"])
            .out
            .contains("azure.virtual_machine.ensure    requires approval,")
    );
    let ran = program.expect(10, &["run", "workflow", "approval.yaml", "-i", "name=m"]);
    assert!(ran.err.contains("vm       waiting for approval: Make the machine m?"), "{ran:?}");
    assert!(ran.err.contains("approval: vm: Make the machine m?"), "{ran:?}");
    assert!(ran.hint().contains("stargate approve 01") && ran.hint().contains("stargate resume 01"), "{ran:?}");
    let run = &program.expect(0, &["history", "-o", "json"]).json()["runs"][0];
    assert_eq!(run["status"], "waiting_for_approval");
    let why = program.expect(0, &["why"]);
    assert!(why.out.contains("vm  waiting for approval: Make the machine m?"), "{why:?}");
    assert!(why.hint().contains("stargate approve 01"), "{why:?}");

    let writes = world.writes();
    let resumed = program.expect(10, &["resume", "-o", "json"]);
    let result: serde_json::Value = serde_json::from_str(resumed.out.lines().last().unwrap()).unwrap();
    assert_eq!(result["questions"][0]["question"], "Make the machine m?");
    assert_eq!(world.writes(), writes, "resuming does not approve a step");

    assert!(program.expect(64, &["resolve", "@latest", "--done"]).err.contains("no step of run"));
    assert!(
        program.expect(64, &["approve", "@latest", "nic"]).err.contains("does not need this answer: it is succeeded")
    );
    assert!(program.expect(64, &["approve", "@latest", "cm"]).err.contains("has no step"));
    assert!(program.expect(64, &["approve", "@latest", "--reason", "why"]).err.contains("--refuse"));

    let refused = program.expect(0, &["approve", "@latest", "--refuse", "--reason", "not on a Friday"]);
    assert!(refused.err.contains("step vm of run 01") && refused.hint().contains("stargate resume 01"), "{refused:?}");
    let ran = program.expect(3, &["resume"]);
    assert!(ran.err.contains("failed: vm: refused by an operator: not on a Friday"), "{ran:?}");
    program.expect(10, &["resume"]);
    program.expect(0, &["approve", "@latest", "vm"]);
    assert!(program.expect(0, &["resume"]).err.contains("machine succeeded"));
    let history = program.expect(0, &["history", "@latest"]).out;
    assert!(history.contains("approval requested: Make the machine m?"), "{history}");
    assert!(
        history.contains("refused by ") && history.contains("approved by ") && history.contains(", process "),
        "{history}"
    );
    let report = program.expect(64, &["approve", "@latest", "vm", "-o", "json"]).json();
    assert_eq!(report["message"].as_str().unwrap().split(": ").last(), Some("it is succeeded"));
}

#[test]
fn a_running_run_applies_an_approval() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let group = "  group:\n    uses: azure.resource_group.ensure\n    approval: Make a group?\n    with: {name: more, location: canadacentral}\n";
    program.write("approval.yaml", &MACHINE.replace("outputs:\n", &format!("{group}outputs:\n")));
    world.hold("PUT", "/networkInterfaces/");
    let mut running = program.spawn(&["run", "workflow", "approval.yaml", "-i", "name=m"]);
    running.read_until("run `stargate approve 01");
    world.wait_for_hold();
    let why = program.expect(0, &["why"]);
    assert!(why.hint().contains("stargate approve 01") && !why.hint().contains("resume"), "{why:?}");
    let approved = program.expect(0, &["approve", "@latest"]);
    assert!(approved.err.contains("is approved; process ") && approved.err.contains("owns the run"), "{approved:?}");
    running.read_until("group    approved by ");
    running.read_until("group    changed + resource group");
    world.release();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
