use serde_json::Value;

use crate::{
    program::{Program, ProgramOutput},
    world::{MACHINE, SimWorld},
};

fn run(program: &Program, code: i32) -> ProgramOutput {
    program.expect(code, &["run", "workflow", "machine.yaml", "-i", "name=m", "-o", "json"])
}

fn result(ran: &ProgramOutput) -> Value {
    let last = ran.json_lines().pop().unwrap();
    assert_eq!(last["event"], "result", "{ran:?}");
    last
}

#[test]
fn json_output_has_one_event_per_line_and_ends_with_the_result() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let ran = run(&program, 0);
    let events = ran.json_lines();
    assert_eq!(events[0]["event"], "run_started");
    assert!(events.iter().any(|event| event["event"] == "step_succeeded" && event["step"] == "vm"));
    let result = result(&ran);
    assert_eq!(
        (&result["outcome"], &result["changed"], &result["exit"]),
        (&"succeeded".into(), &true.into(), &0.into())
    );
    assert!(result["outputs"]["private_ip"].as_str().unwrap().starts_with("10."), "{result}");
}

#[test]
fn a_second_run_writes_nothing_and_reports_no_changes() {
    let world = SimWorld::open("1000");
    let program = world.program();
    assert_eq!(result(&run(&program, 0))["changed"], true);
    let before = world.writes();
    assert_eq!(result(&run(&program, 0))["changed"], false);
    let ran = program.expect(0, &["run", "workflow", "machine.yaml", "-i", "name=m"]);
    assert!(ran.err.lines().last().unwrap().contains("no changes"), "{ran:?}");
    assert!(ran.out.starts_with("private_ip: 10."), "{ran:?}");
    assert_eq!(world.writes(), before);
}

#[test]
fn a_plan_shows_changes_before_a_run_and_none_after_it_and_writes_nothing() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let plan = ["plan", "machine.yaml", "-i", "name=m"];
    let ran = program.expect(2, &plan);
    let vm = ran.out.split("\nvm ").nth(1).unwrap();
    assert!(vm.trim_start().starts_with("would create 1\n") && vm.contains("admin_username: ubuntu"), "{vm}");
    assert!(vm.contains("/networkInterfaces/m-nic"), "the id of what does not exist yet is certain: {vm}");
    assert!(ran.err.starts_with("2 to create, 0 to change, 0 to replace, 0 to delete; 1 unchanged\n"), "{ran:?}");
    assert_eq!(world.writes(), 0);
    run(&program, 0);
    let after = world.writes();
    let ran = program.expect(0, &plan);
    assert!(ran.err.contains("no changes: 3 steps unchanged"), "{ran:?}");
    assert_eq!(program.expect(0, &[&plan[..], &["-o", "json"]].concat()).json()["changes"], false);
    assert_eq!(world.writes(), after);
}

#[test]
fn a_plan_tells_replacements_changes_and_creations_apart() {
    let world = SimWorld::open("1000");
    let program = world.program();
    run(&program, 0);
    let larger = MACHINE.replace("Standard_D2s_v5", "Standard_D4s_v5");
    program.write("machine.yaml", &larger.replace("ip_forwarding: true", "ip_forwarding: false"));
    let ran = program.expect(3, &["plan", "machine.yaml", "-i", "name=m"]);
    assert!(ran.out.contains("would change 1\n") && ran.out.contains("~ ip forwarding: true -> false"), "{ran:?}");
    let forced = "~ size: Standard_D2s_v5 -> Standard_D4s_v5 (forces replacement)";
    assert!(ran.out.contains("must be replaced\n") && ran.out.contains(forced), "{ran:?}");
    assert!(ran.err.starts_with("0 to create, 1 to change, 1 to replace, 0 to delete;"), "{ran:?}");
    let plan = program.expect(3, &["plan", "machine.yaml", "-i", "name=m", "-o", "json"]).json();
    assert_eq!(plan["counts"]["replace"], 1, "{plan}");
    let vm = plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == "vm").unwrap();
    assert_eq!((&vm["forecast"], &vm["forced_by"][0]["what"]), (&"replacement".into(), &"size".into()), "{vm}");
}

#[test]
fn a_difference_after_a_run_with_the_same_inputs_is_drift() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let plan = ["plan", "machine.yaml", "-i", "name=m"];
    let json = |code| program.expect(code, &[&plan[..], &["-o", "json"]].concat()).json();
    assert!(json(2)["drift_since"].is_null(), "nothing was made before");
    let made = result(&run(&program, 0))["run"].as_str().unwrap().to_owned();
    assert!(json(0)["drift_since"].is_null(), "there is no difference");

    let other = MACHINE.replace("ip_forwarding: true", "ip_forwarding: false");
    program.write("other.yaml", &other.replace("name: machine", "name: other"));
    program.expect(0, &["run", "workflow", "other.yaml", "-i", "name=m"]);
    assert_eq!(json(2)["drift_since"]["run"], made.as_str());
    let text = program.expect(2, &plan);
    assert!(text.err.contains(&format!("this is drift: run {made} has made the desired state")), "{text:?}");

    program.write("machine.yaml", &MACHINE.replace("ip_forwarding: true", "ip_forwarding: true # as before"));
    assert_eq!(json(2)["drift_since"]["run"], made.as_str(), "the plan is the same");
    program.write("machine.yaml", &MACHINE.replace("-nic\n", "-nic2\n"));
    assert!(json(3)["drift_since"].is_null(), "it is a change of the workflow");
}

#[test]
fn a_reviewed_plan_is_executed_as_it_was_shown() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let inputs = ["machine.yaml", "-i", "name=m"];
    let ran = program.expect(2, &[&["plan"], &inputs[..], &["--out", "reviewed.json"]].concat());
    assert!(ran.err.contains("`stargate run workflow --plan reviewed.json`"), "{ran:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(program.path("reviewed.json")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let other = ["run", "workflow", "machine.yaml", "-i", "name=other", "--plan", "reviewed.json"];
    let ran = program.expect(64, &other);
    assert!(ran.err.contains("was made with other inputs: name"), "{ran:?}");
    program.write("machine.yaml", &MACHINE.replace("ip_forwarding: true", "ip_forwarding: false"));
    let same = [&["run", "workflow"], &inputs[..], &["--plan", "reviewed.json"]].concat();
    let ran = program.expect(64, &same);
    assert!(ran.err.contains("was made of another version of the workflow machine"), "{ran:?}");
    assert_eq!(world.writes(), 0, "nothing was changed");

    // The file alone is enough, and has the version that was looked at.
    program.expect(0, &["run", "workflow", "--plan", "reviewed.json"]);
    program.write("machine.yaml", MACHINE);
    assert_eq!(program.expect(0, &[&["plan"], &inputs[..], &["-o", "json"]].concat()).json()["changes"], false);
}

#[test]
fn a_reviewed_plan_is_refused_when_the_actual_state_has_changed() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let inputs = ["machine.yaml", "-i", "name=m"];
    program.expect(2, &[&["plan"], &inputs[..], &["--out", "reviewed.json"]].concat());
    run(&program, 0);
    let (before, runs) = (world.writes(), program.expect(0, &["history", "-o", "json"]).json());
    let ran = program.expect(2, &[&["run", "workflow"], &inputs[..], &["--plan", "reviewed.json"]].concat());
    assert!(ran.err.contains("nic  was changes, and is unchanged now"), "{ran:?}");
    assert!(ran.err.contains("the actual state has changed since the plan reviewed.json was made: 2 steps"), "{ran:?}");
    assert_eq!(world.writes(), before, "nothing was changed");
    assert_eq!(program.expect(0, &["history", "-o", "json"]).json(), runs, "no run was created");
}

#[test]
fn a_file_that_is_no_plan_or_was_changed_is_refused() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let run_plan = ["run", "workflow", "--plan", "reviewed.json"];
    assert!(program.expect(64, &run_plan).err.contains("the plan reviewed.json cannot be read"));
    program.write("reviewed.json", "{}");
    assert!(program.expect(64, &run_plan).err.contains("is no file of `plan --out`"));
    program.expect(2, &["plan", "machine.yaml", "-i", "name=m", "--out", "reviewed.json"]);
    let text = std::fs::read_to_string(program.path("reviewed.json")).unwrap();
    program.write("reviewed.json", &text.replace("\"name\":\"m\"", "\"name\":\"evil\""));
    assert!(program.expect(64, &run_plan).err.contains("was changed after it was written"), "the digest is checked");
    program.write("reviewed.json", &text.replace("\"stargate_plan\":1", "\"stargate_plan\":2"));
    assert!(program.expect(64, &run_plan).err.contains("has format 2, this program reads 1"));
    // The new file would replace what is there.
    std::os::unix::fs::symlink("reviewed.json", program.path("link.json")).unwrap();
    program.expect(2, &["plan", "machine.yaml", "-i", "name=m", "--out", "link.json"]);
    assert!(program.path("link.json").is_symlink());
    std::fs::create_dir(program.path("folder")).unwrap();
    for special in ["folder", "/dev/null"] {
        let refused = program.expect(64, &["plan", "machine.yaml", "-i", "name=m", "--out", special]);
        assert!(refused.err.contains("it is not a regular file"), "{refused:?}");
    }
    let missing = program.expect(64, &["plan", "machine.yaml", "-i", "name=m", "--out", "none/reviewed.json"]);
    assert!(missing.err.contains("write the plan to none/reviewed.json"), "{missing:?}");
    assert_eq!(world.writes(), 0);
}

#[test]
fn each_key_of_a_plan_is_documented() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let plan = program.expect(2, &["plan", "machine.yaml", "-i", "name=m", "-o", "json"]).json();
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/plan.md")).unwrap();
    let steps = plan["steps"].as_array().unwrap().iter();
    let objects = [&plan, &plan["counts"]].into_iter().chain(steps);
    for key in objects.flat_map(|object| object.as_object().unwrap().keys()) {
        assert!(documented.contains(&format!("`{key}`")), "docs/plan.md does not describe {key}");
    }
}

#[test]
fn history_lists_runs_and_shows_the_entries_of_one() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let id = result(&run(&program, 0))["run"].as_str().unwrap().to_owned();
    let list = program.expect(0, &["history", "-o", "json"]).json();
    let row = &list["runs"][0];
    assert_eq!(
        (&row["run"], &row["status"], &row["steps_done"]),
        (&id.as_str().into(), &"succeeded".into(), &3.into())
    );
    assert!(program.expect(0, &["history"]).out.contains(&id));
    let one = program.expect(0, &["history", "@latest"]).out;
    assert!(one.contains("run created") && one.contains("changed + virtual machine"), "{one}");
    let entries = program.expect(0, &["history", &id, "-o", "json"]).json();
    assert!(entries["entries"].as_array().unwrap().len() >= 8);
}

#[test]
fn a_succeeded_run_is_not_resumed() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let id = result(&run(&program, 0))["run"].as_str().unwrap().to_owned();
    let before = world.writes();
    let ran = program.expect(0, &["resume", &id]);
    assert!(ran.err.contains("has already succeeded"), "{ran:?}");
    assert!(program.expect(0, &["resume"]).err.contains("no run to resume"));
    assert_eq!(world.writes(), before);
}

#[test]
fn a_run_that_fails_because_of_its_inputs_is_to_be_run_again_with_others() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write(
        "bad.yaml",
        "name: bad\nsteps: {c: {uses: azure.managed_cluster.read, with: {resource_group: none, name: none}}}\n",
    );
    let ran = program.expect(3, &["run", "workflow", "bad.yaml"]);
    assert!(ran.err.contains("failed: c: "), "{ran:?}");
    let run = program.expect(0, &["history", "-o", "json"]).json()["runs"][0]["run"].as_str().unwrap().to_owned();
    let hint = ran.hint().to_owned();
    assert!(hint.contains("`stargate run workflow bad` again; `stargate cancel 01"), "{ran:?}");
    for arguments in [&["history"][..], &["history", &run], &["why", &run]] {
        assert_eq!(program.expect(0, arguments).hint(), hint, "{arguments:?}");
    }
    program.expect(0, &["cancel", &run]);
}

#[test]
fn a_run_that_can_succeed_later_shows_the_command_to_resume_it() {
    let world = SimWorld::open("1000");
    let program = world.program().also("STARGATE_AZURE_ENDPOINT", "http://127.0.0.1:9");
    program.write("machine.yaml", &MACHINE.replace("  network:\n", "  network:\n    retry: {attempts: 1}\n"));
    let ran = program.expect(3, &["run", "workflow", "machine.yaml", "-i", "name=m"]);
    let command = ran.hint().split('`').nth(1).unwrap().to_owned();
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    assert_eq!(arguments[0], "resume");
    program.expect(3, &arguments);
}

#[test]
fn a_failed_run_is_resumed_without_repeating_its_operations() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let missing = "  late:\n    uses: azure.managed_cluster.read\n    needs: [vm]\n    with: {resource_group: none, name: none}\noutputs:";
    program.write("late.yaml", &MACHINE.replace("outputs:\n", &format!("{missing}\n")));
    let ran = program.expect(3, &["run", "workflow", "late.yaml", "-i", "name=m"]);
    assert!(ran.err.contains("failed: late: "), "{ran:?}");
    let before = world.writes();
    let ran = program.expect(3, &["resume"]);
    assert!(ran.err.contains("3 of 4 steps done"), "{ran:?}");
    assert_eq!(world.writes(), before);
    assert!(program.expect(0, &["history", "@latest"]).out.contains("failed steps are ready to retry"));
}
