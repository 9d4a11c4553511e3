//! Locks in the cluster: runs of two journals exclude each other.

use serde_json::{Value, json};

use crate::{
    program::{Program, ProgramOutput},
    world::{MACHINE, SimWorld},
};

/// Run of a workflow that locks the cluster.
const RUN: [&str; 5] = ["run", "workflow", "locked.yaml", "-i", "name=m"];
/// Workflow that changes the lease of a lock.
const PATCH: &str = r"
name: patch
inputs:
  name: {type: string}
  patch: {type: object}
steps:
  patch:
    uses: kubernetes.object.patch
    with:
      api_version: coordination.k8s.io/v1
      kind: Lease
      namespace: kube-system
      name: ${{ inputs.name }}
      patch: ${{ inputs.patch }}
";

/// One world with two programs, each with a journal of its own.
fn open() -> (SimWorld, Program, Program) {
    let world = SimWorld::open("1000");
    let programs = [world.program(), world.program()];
    prepared(world, programs)
}

/// Like [`open`], with leases of one second.
fn open_with_short_leases() -> (SimWorld, Program, Program) {
    let world = SimWorld::open("1000");
    let programs = [world.program(), world.program()].map(|program| program.also("STARGATE_TEST_LEASE_MS", "1000"));
    prepared(world, programs)
}

fn prepared(world: SimWorld, programs: [Program; 2]) -> (SimWorld, Program, Program) {
    for program in &programs {
        program.write("locked.yaml", &MACHINE.replace("steps:\n", "locks: [cluster/e2e]\nsteps:\n"));
        program.write("patch.yaml", PATCH);
    }
    let [here, there] = programs;
    (world, here, there)
}

fn runs(program: &Program) -> Vec<Value> {
    program.expect(0, &["history", "-o", "json"]).json()["runs"].as_array().unwrap().clone()
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RUN, more].concat()
}

/// Returns the name of the lease from the words of a refusal.
fn lease(refused: &ProgramOutput) -> String {
    let (_, rest) = refused.err.split_once("(lease kube-system/").unwrap_or_else(|| panic!("{refused:?}"));
    rest.split(')').next().unwrap().to_owned()
}

/// Changes a lease, as a person with `kubectl` can.
fn patch(program: &Program, lease: &str, patch: &str) {
    program
        .expect(0, &["run", "workflow", "patch.yaml", "-i", &format!("name={lease}"), "-i", &format!("patch={patch}")]);
}

#[test]
fn a_run_of_another_journal_is_refused_or_waits() {
    let (world, here, there) = open();
    world.hold("PUT", "/networkInterfaces/");
    let holder = here.spawn(&with(&[]));
    world.wait_for_hold();
    let run = runs(&here)[0]["run"].as_str().unwrap().to_owned();
    let refused = there.expect(20, &with(&[]));
    let process = format!(", process {}", holder.id());
    for part in [
        "lock \"cluster/e2e\" (lease kube-system/stargate-lock-cluster-e2e-",
        &run,
        "of machine",
        &process,
        ", since 20",
    ] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    assert!(refused.hint().contains("--wait-for-locks 10m"), "{refused:?}");
    assert_eq!(there.expect(20, &with(&["-o", "json"])).json()["exit"], 20);
    assert_eq!(runs(&there), [] as [Value; 0], "nothing was created");
    let mut waiting = there.spawn(&with(&["--wait-for-locks", "5m"]));
    waiting.read_until(&format!("waiting for lock \"cluster/e2e\", held by run {run} of machine"));
    world.release();
    let (held, waited) = (holder.end(), waiting.end());
    assert_eq!((held.code, waited.code), (Some(0), Some(0)), "{held:?} {waited:?}");
    assert!(held.err.contains("holds lock \"cluster/e2e\" as lease kube-system/"), "{held:?}");
}

#[test]
fn the_lock_of_a_killed_run_is_free_at_once_on_its_machine() {
    let (world, here, there) = open();
    for resumes in [true, false] {
        world.hold("PUT", "/networkInterfaces/");
        let name = if resumes { "name=m" } else { "name=n" };
        let holder = here.spawn(&["run", "workflow", "locked.yaml", "-i", name]);
        world.wait_for_hold();
        holder.kill();
        world.release();
        let (program, arguments) = if resumes { (&here, vec!["resume"]) } else { (&there, with(&[])) };
        let ran = program.expect(0, &arguments);
        assert!(!ran.err.contains("waiting for lock"), "{ran:?}");
    }
}

#[test]
fn the_lock_of_a_run_that_was_killed_on_another_machine_expires() {
    let (world, here, there) = open();
    world.hold("PUT", "/networkInterfaces/");
    let holder = here.spawn(&with(&[]));
    world.wait_for_hold();
    let refused = there.expect(20, &with(&[]));
    holder.kill();
    let elsewhere = json!({
        "metadata": {"annotations": {"stargate.io/holder": "{}"}},
        "spec": {"leaseDurationSeconds": 1, "renewTime": "2026-01-01T00:00:00.000000Z"},
    });
    patch(&there, &lease(&refused), &elsewhere.to_string());
    world.release();
    let mut expired = there.spawn(&with(&[]));
    expired.read_until("waiting for lock \"cluster/e2e\"");
    let expired = expired.end();
    assert_eq!(expired.code, Some(0), "it waits for the expiry even without --wait-for-locks: {expired:?}");
    here.expect(0, &["resume"]);
}

#[test]
fn a_process_that_was_stopped_for_longer_than_its_lease_changes_nothing_after_another_journal_has_the_lock() {
    let (world, here, there) = open_with_short_leases();
    world.hold("PUT", "/networkInterfaces/");
    let stopped = here.spawn(&with(&[]));
    world.wait_for_hold();
    stopped.signal(rustix::process::Signal::STOP);
    let mut next = there.spawn(&with(&["--wait-for-locks", "5m"]));
    next.read_until("waiting for lock \"cluster/e2e\"");
    world.release();
    let next = next.end();
    assert_eq!(next.code, Some(0), "{next:?}");
    let writes = world.writes();
    stopped.signal(rustix::process::Signal::CONT);
    let ended = stopped.end();
    assert_eq!(ended.code, Some(20), "{ended:?}");
    assert_eq!(world.writes(), writes, "it has sent nothing since: {ended:?}");
}

#[test]
fn a_run_whose_lock_was_taken_over_stops() {
    let (world, here, there) = open();
    world.hold("PUT", "/networkInterfaces/");
    let holder = here.spawn(&with(&[]));
    world.wait_for_hold();
    let refused = there.expect(20, &with(&[]));
    patch(&there, &lease(&refused), r#"{"spec": {"holderIdentity": "somebody"}}"#);
    let ended = holder.end();
    assert_eq!(ended.code, Some(20), "{ended:?}");
    assert!(ended.err.contains("was taken over by somebody"), "{ended:?}");
    assert!(ended.hint().contains("stargate resume"), "{ended:?}");
    assert_eq!(runs(&here)[0]["status"], "interrupted");
    world.release();
    let held = here.expect(20, &["resume"]);
    assert!(held.err.contains("is held by somebody"), "{held:?}");
    patch(&there, &lease(&refused), r#"{"spec": {"holderIdentity": null}}"#);
    here.expect(0, &["resume"]);
}

#[test]
fn without_a_cluster_the_journal_alone_holds_the_lock_and_says_so() {
    let (_world, here, _there) = open();
    let ran = here.expect(0, &with(&["--kubeconfig", "/none"]));
    assert!(ran.err.contains("holds lock \"cluster/e2e\" in this journal only"), "{ran:?}");
    let ran = here.expect(0, &with(&["--kubeconfig", "/none", "-o", "json"]));
    let bound = ran.json_lines().into_iter().find(|event| event["event"] == "run_bound").unwrap();
    assert!(bound["locks"][0]["journal_only"].is_string(), "{bound}");
}
