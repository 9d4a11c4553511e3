use serde_json::{Value, json};

use crate::program::Program;

/// Workflow with a step that only computes, and warns of a route table that is almost full.
const WARNING: &str = r"
name: warn
inputs:
  nodes: {type: array}
steps:
  desired:
    uses: routes.desired.compute
    with:
      aks:
        nodes: ${{ inputs.nodes }}
        node_subnet: 10.224.0.0/16
        router_subnet: 10.237.0.0/24
        router: {name: r, ip: 10.237.0.4}
";

fn warned() -> Program {
    let program = Program::new();
    program.write("warn.yaml", WARNING);
    let node = |i: usize| json!({ "name": format!("n{i}"), "internal_ip": format!("10.224.{}.{}", i / 200, 10 + i % 200), "pod_cidr": format!("10.{}.{}.0/24", 244 + i / 256, i % 256) });
    let nodes: Vec<Value> = (0..350).map(node).collect();
    program.write("nodes.json", &json!({ "nodes": nodes }).to_string());
    program.expect(0, &["run", "workflow", "warn.yaml", "--inputs", "nodes.json"]);
    program
}

#[test]
fn captured_lines_are_kept_after_the_run_has_ended() {
    let program = warned();
    let text = program.expect(0, &["logs"]).out;
    assert!(text.contains("  desired  | ") && text.contains("350 of the 400 routes"), "{text}");
    assert_eq!(program.expect(0, &["logs", "@latest", "desired"]).out, text);
    let lines = program.expect(0, &["logs", "-o", "json"]).json();
    assert_eq!((&lines["lines"][0]["step"], &lines["lines"][0]["attempt"]), (&json!("desired"), &json!(1)));
    assert_eq!(program.expect(0, &["logs", "--tail", "0"]).out, "");
    assert!(program.expect(64, &["logs", "@latest", "desird"]).hint().contains("'desired'"));
    assert!(Program::new().run(&["logs"]).hint().contains("stargate run workflow"));
}

#[test]
fn prune_removes_old_ended_runs_only() {
    let program = warned();
    assert!(program.expect(0, &["prune", "--older-than", "1d"]).err.contains("removed 0 runs"));
    assert_eq!(program.expect(0, &["history", "-o", "json"]).json()["runs"].as_array().unwrap().len(), 1);
    let ran = program.expect(0, &["prune", "--older-than", "1ms", "-o", "json"]).json();
    assert_eq!(ran["removed"], 1);
    assert_eq!(program.expect(0, &["history", "-o", "json"]).json()["runs"], json!([]));
    assert!(program.expect(64, &["prune"]).err.contains("--older-than"));
    assert!(Program::new().expect(0, &["prune", "--older-than", "1d"]).err.contains("removed 0 runs"));
}

#[test]
fn a_schedule_removes_runs_older_than_keep() {
    let program = warned();
    program.write("warn.yaml", &WARNING.replace("steps:", "schedule: {cron: \"0 0 1 1 *\"}\nsteps:"));
    let once = ["schedule", "warn.yaml", "--inputs", "nodes.json", "--once", "--keep"];
    let runs = || program.expect(0, &["history", "-o", "json"]).json()["runs"].as_array().unwrap().len();
    program.expect(0, &[&once[..], &["1d"]].concat());
    assert_eq!(runs(), 2);
    program.expect(0, &[&once[..], &["1ms"]].concat());
    assert!(runs() <= 1, "the runs that had ended are removed");
}
