use std::{
    io::Read,
    process::{Command, Stdio},
};

use crate::program::{Program, ProgramOutput};

const INVALID: &str = r#"name: invalid
inputs:
  size: {type: strng}
  unused: {type: string}
steps:
  table:
    uses: azure.route_table.ensur
    with: {name: "${{ steps.address.outputs.nope }}"}
  address:
    uses: azure.public_ip.ensure
    wiht: {}
    needs: [tabel]
    with: {resource_group: 5, name: "${{ inputs.missing }}"}
"#;

#[test]
fn validate_reports_all_errors_with_position_and_hint() {
    let program = Program::new();
    program.write("invalid.yaml", INVALID);
    let ran = program.expect(65, &["validate", "invalid.yaml"]);
    assert_eq!(ran.out, "");
    insta::assert_snapshot!(ran.err);
}

#[test]
fn validate_reports_the_same_errors_as_json() {
    let program = Program::new();
    program.write("invalid.yaml", INVALID);
    let report = program.expect(65, &["validate", "invalid.yaml", "provision-aks-router", "-o", "json"]).json();
    assert_eq!((&report[0]["valid"], &report[1]["valid"]), (&false.into(), &true.into()));
    let places: Vec<_> = report[0]["diagnostics"].as_array().unwrap().iter().map(|d| d["line"].as_u64()).collect();
    assert!(places.len() >= 7 && places.is_sorted(), "{places:?}");
}

#[test]
fn validate_reports_a_workflow_that_cannot_be_read_and_continues() {
    let program = Program::new();
    program.write("invalid.yaml", INVALID);
    let arguments = ["validate", "none.yaml", "invalid.yaml", "no-such", "provision-aks-router"];
    let ran = program.expect(65, &arguments);
    for part in ["cannot read workflow none.yaml", "there is no workflow \"no-such\"", "errors in 4 workflows"] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    assert!(ran.out.contains("provision-aks-router.yaml: no errors"), "{ran:?}");
    let reports = program.expect(65, &[&arguments[..], &["-o", "json"]].concat()).json();
    let valid: Vec<_> = reports.as_array().unwrap().iter().map(|report| report["valid"].as_bool().unwrap()).collect();
    assert_eq!(valid, [false, false, false, true]);
    assert!(reports[0]["error"].as_str().unwrap().contains("none.yaml") && reports[0]["hint"].is_string(), "{reports}");
    program.expect(64, &["validate", "provision-aks-router", "no-such"]);
}

#[test]
fn validate_warns_of_a_failure_that_a_loop_without_items_hides() {
    let program = Program::new();
    let step = |name: &str, rest: &str| {
        format!(
            "  {name}:\n    uses: azure.resource_group.ensure\n    with: {{name: g, location: canadacentral}}\n{rest}"
        )
    };
    let each = step("each", "    needs: [first]\n    for_each: ${{ inputs.list }}\n    as: x\n");
    let [first, last] = [step("first", ""), step("last", "    needs: [each]\n")];
    let head = "name: hiding\ninputs:\n  list: {type: array, items: {type: string}, default: []}\nsteps:\n";
    program.write("hiding.yaml", &format!("{head}{first}{each}{last}"));
    let ran = program.expect(0, &["validate", "hiding.yaml"]);
    assert!(ran.out.contains("hiding.yaml: no errors, 1 warning, 3 steps"), "{ran:?}");
    assert!(ran.err.contains("⚠ step \"last\" can start although \"first\" has failed"), "{ran:?}");
    let report = program.expect(0, &["validate", "hiding.yaml", "-o", "json"]).json();
    assert_eq!((&report[0]["valid"], &report[0]["diagnostics"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(report[0]["warnings"][0]["line"], 14);
}

#[test]
fn an_error_that_concerns_a_whole_file_shows_its_first_line() {
    let program = Program::new();
    program.write("text.yaml", &"not a workflow\n".repeat(200));
    let ran = program.expect(65, &["validate", "text.yaml"]);
    assert!(ran.err.contains("text.yaml:1:1"), "{}", ran.err);
    assert_eq!(ran.err.matches("not a workflow").count(), 2, "the line and the next one: {}", ran.err);
}

#[test]
fn a_graph_lists_each_step_after_its_dependencies() {
    let program = Program::new();
    program.expect(0, &["validate", "provision-aks-router"]);
    let graph = program.expect(0, &["graph", "provision-aks-router", "-o", "json"]).json();
    let mut seen = Vec::new();
    for step in graph["steps"].as_array().unwrap() {
        assert!(step["needs"].as_array().unwrap().iter().all(|need| seen.contains(need)), "{step}");
        seen.push(step["name"].clone());
    }
    assert!(seen.len() > 10);
    let dot = program.expect(0, &["graph", "provision-aks-router", "--format", "dot"]).out;
    assert!(dot.starts_with("digraph") && dot.contains("\"nic\" -> \"vm\";"), "{dot}");
    let mermaid = program.expect(0, &["graph", "provision-aks-router", "--format", "mermaid"]).out;
    assert!(mermaid.starts_with("flowchart TD") && mermaid.contains("-->"), "{mermaid}");
}

#[test]
fn an_unusable_command_line_exits_with_64_and_a_hint() {
    let program = Program::new();
    for arguments in [&["nonsense"][..], &["run"], &["resume", "--all", "@latest"], &["sim", "--speed", "0"]] {
        program.expect(64, arguments).hint();
    }
    assert!(program.expect(0, &["--help"]).out.contains("130  interrupted"));
    let version = program.expect(0, &["--version"]).out;
    assert!(version.starts_with(concat!("stargate ", env!("CARGO_PKG_VERSION"), " (commit ")), "{version}");
}

#[test]
fn history_without_a_journal_is_empty_and_creates_none() {
    let program = Program::new();
    let ran = program.expect(0, &["history"]);
    assert_eq!((ran.out.as_str(), ran.hint()), ("", "run `stargate run workflow NAME` to start one"));
    assert_eq!(program.expect(0, &["history", "-o", "json"]).json(), serde_json::json!({ "runs": [] }));
    assert!(!program.journal().exists());
}

#[test]
fn an_unknown_run_is_reported_with_the_command_that_lists_runs() {
    let program = Program::new();
    let run = "01JAAAAAAAAAAAAAAAAAAAAAAA";
    for arguments in [["history", run], ["resume", run], ["history", "nonsense"], ["resume", "nonsense"]] {
        let ran = program.expect(64, &arguments);
        assert!(ran.err.contains(arguments[1]) || arguments[1] == "nonsense", "{ran:?}");
        assert_eq!(ran.hint(), "run `stargate history` to list the runs");
    }
    assert_eq!(program.expect(64, &["resume"]).hint(), "run `stargate run workflow NAME` to start one");
}

/// Workflow without calls: its runs only create a journal.
const NO_CALLS: &str = "name: none\nsteps: {check: {uses: routes.nodes.check, with: {unrouted: []}}}\n";

#[test]
fn an_unusable_journal_exits_with_69() {
    let program = Program::new();
    program.write("journal", "this is not a database, and longer than a header would be: ".repeat(40).as_str());
    let ran = program.expect(69, &["history", "--journal", "journal"]);
    assert!(ran.hint().contains("--journal"), "{ran:?}");
    program.write("none.yaml", NO_CALLS);
    program.expect(69, &["run", "workflow", "none.yaml", "--journal", "/proc/none/journal.db"]).hint();
    program.expect(64, &["resume", "--journal", "/proc/none/journal.db"]).hint();
    program.expect(69, &["history", "--journal", "journal/below-a-file"]).hint();
}

#[test]
fn a_journal_that_is_mounted_without_its_folder_exits_with_69() {
    let program = Program::new();
    program.write("none.yaml", NO_CALLS);
    program.expect(0, &["run", "workflow", "none.yaml"]);
    let journal = program.journal();
    // In a mount namespace of its own, which needs a user namespace unless the user is root.
    let namespace = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
    let script = r#"mount --bind "$0" "$0" && exec "$1" history --journal "$0""#;
    let mut command = Command::new("unshare");
    command.args([namespace, "--mount", "sh", "-c", script]).arg(&journal).arg(env!("CARGO_BIN_EXE_stargate"));
    let ran = ProgramOutput::of(&mut command);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("mounted as a single file"), "{ran:?}");
    assert!(ran.hint().contains("a container needs the whole folder"), "{ran:?}");
}

#[test]
fn missing_inputs_and_settings_are_reported_before_a_journal_is_created() {
    let program = Program::new();
    let ran = program.expect(65, &["run", "workflow", "provision-aks-router"]);
    assert!(ran.err.contains("--input cluster=VALUE"), "{ran:?}");
    program.write(
        "one.yaml",
        "name: one\nsteps: {c: {uses: azure.managed_cluster.read, with: {resource_group: g, name: c}}}\n",
    );
    let ran = program.expect(64, &["run", "workflow", "one.yaml"]);
    assert!(ran.hint().contains("--azure-subscription"), "{ran:?}");
    assert!(!program.journal().exists());
}

#[test]
fn a_secret_on_the_command_line_is_rejected_and_not_shown() {
    let ran = Program::new().expect(64, &["history", "--azure-token", "eyJhbGciOiJSUzI1NiJ9"]);
    assert!(ran.err.contains("--azure-token") && ran.err.contains("env:NAME"), "{ran:?}");
}

#[test]
fn actions_shows_the_schemas_of_an_action() {
    let program = Program::new();
    let all = program.expect(0, &["actions", "-o", "json"]).json();
    assert!(all.as_array().unwrap().iter().any(|action| action["name"] == "azure.route.ensure"));
    let one = program.expect(0, &["actions", "azure.route.ensure", "-o", "json"]).json();
    assert_eq!(one["input"]["type"], "object");
    assert!(program.expect(0, &["actions", "azure.route.ensure"]).out.contains("prefix (cidr)"));
    assert_eq!(program.expect(64, &["actions", "no.such.action"]).hint(), "run `stargate actions` to list all actions");
}

#[test]
fn workflows_lists_what_can_be_named_and_describes_one() {
    let program = Program::new();
    let listed = program.expect(0, &["workflows"]).out;
    let line = listed.lines().find(|line| line.starts_with("repave-site ")).unwrap();
    assert!(line.contains("Repaves the workers of a site") && !line.contains("canary"), "{line}");
    let one = program.expect(0, &["workflows", "repave-site"]).out;
    for text in
        ["  workers (list of string, default [])", "default 1", "repave (workflow repave-worker, for each item)"]
    {
        assert!(one.contains(text), "{text}: {one}");
    }
    let json = program.expect(0, &["workflows", "repave-site", "-o", "json"]).json();
    assert_eq!((&json["inputs"][5]["name"], &json["inputs"][5]["default"]), (&"max_unavailable".into(), &1.into()));
    assert_eq!(json["file"], serde_json::Value::Null);

    std::fs::create_dir(program.path("workflows")).unwrap();
    program.write(
        "workflows/mine.yaml",
        "name: mine\ndescription: Does it. Twice.\nsteps: {w: {uses: core.wait, with: {duration: 1s}}}\n",
    );
    program.write("workflows/broken.yaml", "name: broken\n");
    let listed = program.expect(0, &["workflows", "-o", "json"]).json();
    let find = |name: &str| listed.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone();
    assert_eq!(
        (&find("mine")["file"], &find("mine")["description"]),
        (&"workflows/mine.yaml".into(), &"Does it. Twice.".into())
    );
    assert!(find("broken")["description"].as_str().unwrap().starts_with("cannot be read: "), "{listed}");
    assert!(program.expect(0, &["workflows"]).out.contains("Does it (workflows/mine.yaml)"));
    program.expect(65, &["workflows", "broken"]);
    program.expect(64, &["workflows", "no-such"]);
}

#[test]
fn up_needs_a_file_that_describes_the_deployment_and_somebody_who_agrees() {
    let program = Program::new();
    for command in [&["up"][..], &["plan"], &["up", "--yes"]] {
        let ran = program.expect(64, command);
        assert!(
            ran.err.contains("there is no stargate.yaml") && ran.hint().contains("stargate workflows deploy"),
            "{ran:?}"
        );
    }
    program.write("stargate.yaml", "cluster: c\n");
    let ran = program.expect(64, &["up"]);
    assert!(ran.err.contains("nobody can be asked") && ran.hint().contains("--yes"), "{ran:?}");
    let ran = program.expect(65, &["up", "--yes"]);
    assert!(ran.err.contains("input \"router_subnet\" is not given"), "{ran:?}");
    assert!(!program.journal().exists());
}

#[test]
fn each_shell_has_a_completion_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(Program::new().expect(0, &["completions", shell]).out.contains("stargate"));
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut child =
        Program::new().command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((child.wait().unwrap().code(), text.as_str()), (Some(0), ""));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["actions"][..], &["history", "-o", "json"], &["--help"], &["completions", "bash"]] {
        let ran = Program::new().command(arguments).stdout(full()).output().unwrap();
        let text = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{arguments:?}: {text}");
        assert!(text.contains("write to standard output: No space left on device"), "{text}");
    }
    let ran = Program::new().command(&["resume", "-o", "json"]).stdout(full()).output().unwrap();
    assert_eq!(ran.status.code(), Some(64), "a failure keeps its exit code");
}

#[test]
fn the_schema_contains_all_actions() {
    let program = Program::new();
    let schema = program.expect(0, &["schema"]).json();
    let known = schema["properties"]["steps"]["additionalProperties"]["properties"]["uses"]["enum"].clone();
    let actions = program.expect(0, &["actions", "-o", "json"]).json();
    let names: Vec<_> = actions.as_array().unwrap().iter().map(|action| action["name"].clone()).collect();
    assert_eq!(known, serde_json::Value::Array(names));
}

#[test]
fn a_workflow_can_inline_a_file_in_its_folder() {
    let program = Program::new();
    let inner = "name: inner\ninputs: {group: {type: string}}\nsteps:\n  c:\n    uses: azure.managed_cluster.read\n    with: {resource_group: \"${{ inputs.group }}\", name: c}\noutputs: {id: \"${{ steps.c.outputs.id }}\"}\n";
    std::fs::create_dir(program.path("sub")).unwrap();
    program.write("sub/inner.yaml", inner);
    program.write("sub/outer.yaml", "name: outer\nsteps: {in: {workflow: inner.yaml, with: {group: g}}}\n");
    let graph = program.expect(0, &["graph", "sub/outer.yaml"]).out;
    assert!(graph.contains("in/c  azure.managed_cluster.read"), "{graph}");
    std::fs::remove_file(program.path("sub/inner.yaml")).unwrap();
    let ran = program.expect(65, &["validate", "sub/outer.yaml"]);
    assert!(ran.err.contains("\"inner.yaml\" cannot be read"), "{ran:?}");
}

#[test]
fn an_inlined_workflow_is_a_file_in_the_same_folder_or_embedded() {
    let program = Program::new();
    std::fs::create_dir_all(program.path("sub/deep")).unwrap();
    let step = "c: {uses: azure.managed_cluster.read, with: {resource_group: g, name: c}}";
    program.write(
        "outer.yaml",
        "name: outer\nsteps: {in: {workflow: sub/middle.yaml}, other: {workflow: sub/deep/inner}}\n",
    );
    program.write("sub/middle.yaml", "name: middle\nsteps: {in: {workflow: ./deep/inner.yaml}}\n");
    program.write("sub/deep/inner.yaml", "name: inner\nsteps: {in: {workflow: ../last.yaml}}\n");
    program.write("sub/last.yaml", &format!("name: last\nsteps: {{{step}}}\n"));
    let graph = program.expect(0, &["graph", "outer.yaml"]).out;
    assert!(graph.contains("in/in/in/c  azure.") && graph.contains("other/in/c  azure."), "{graph}");
    // A name is an embedded workflow, unless the folder has a file of that name.
    program.write(
        "sub/last.yaml",
        "name: last\nsteps: {r: {workflow: provision-aks-router, with: {cluster: c, resource_group: g, router: r, router_subnet: 10.0.0.0/24, ssh_public_key: k, ssh_source: 198.51.100.7/32}}}\n",
    );
    let graph = program.run(&["graph", "outer.yaml"]);
    assert!(graph.out.contains("in/in/in/r/vm ") || graph.err.contains("\"provision-aks-router\" "), "{graph:?}");
    program.write("sub/provision-aks-router.yaml", &format!("name: mine\nsteps: {{{step}}}\n"));
    program.write("sub/last.yaml", "name: last\nsteps: {r: {workflow: provision-aks-router}}\n");
    assert!(program.expect(0, &["graph", "outer.yaml"]).out.contains("in/in/in/r/c "));
    program.write("sub/last.yaml", "name: last\nsteps: {r: {workflow: no-such}}\n");
    let report = program.expect(65, &["validate", "outer.yaml", "-o", "json"]).out;
    assert!(report.contains("no such workflow ships with stargate"), "{report}");
}

#[test]
fn a_report_is_short_however_long_a_line_is_and_however_many_errors_there_are() {
    let program = Program::new();
    let long = format!("{{\"name\": \"x\", \"description\": \"{}\", \"stepz\": {{}}}}\n", "é".repeat(70_000));
    program.write("long.yaml", &long);
    let ran = program.expect(65, &["validate", "long.yaml"]);
    assert!(ran.err.contains("stepz") && ran.err.contains("long.yaml:1:700"), "{ran:?}");
    assert!(ran.err.len() < 4_000, "{} bytes", ran.err.len());
    let steps: Vec<String> = (0..3_000).map(|at| format!("  s{at}: {{uses: no.such.action{at}}}\n")).collect();
    let steps = steps.concat();
    program.write("many.yaml", &format!("name: many\nsteps:\n{steps}"));
    let ran = program.expect(65, &["validate", "many.yaml"]);
    assert!(ran.err.contains("2900 more are not shown"), "{}", &ran.err[ran.err.len() - 400..]);
    assert!(ran.err.lines().count() < 1_500, "{}", ran.err.lines().count());
}

#[test]
fn an_inlined_workflow_is_the_named_file_and_never_another() {
    let program = Program::new();
    std::fs::create_dir_all(program.path("sub/lib")).unwrap();
    program.write("sync-pod-routes.yaml", "name: outside\n");
    std::os::unix::fs::symlink(program.path("sync-pod-routes.yaml"), program.path("sub/link.yaml")).unwrap();
    std::fs::write(program.path("sub/latin.yaml"), b"name: caf\xe9\n").unwrap();
    std::fs::create_dir(program.path("sub/folder.yaml")).unwrap();
    let cases = [
        ("./lib/sync-pod-routes.yaml", "No such file"),
        ("sync-pod-routes.yaml", "No such file"),
        ("lib/sync-pod-routes", "No such file"),
        ("../sync-pod-routes.yaml", "outside of"),
        ("link.yaml", "outside of"),
        ("/etc/hostname.yaml", ""),
        ("latin.yaml", "not UTF-8: byte 10"),
        ("folder.yaml", "not a regular file"),
    ];
    for (file, reason) in cases {
        let file = serde_json::to_string(file).unwrap();
        program.write("sub/outer.yaml", &format!("name: outer\nsteps: {{in: {{workflow: {file}}}}}\n"));
        let ran = program.expect(65, &["validate", "sub/outer.yaml"]);
        assert!(ran.err.contains("cannot be read") && ran.err.contains(reason), "{file}: {ran:?}");
    }
}

#[test]
fn single_inputs_override_the_inputs_file() {
    let program = Program::new();
    program.write(
        "inputs.yaml",
        "cluster: c\nresource_group: g\nrouter: NOT-A-NAME\nrouter_subnet: 10.0.0.0/24\nssh_public_key: k\nssh_source: 198.51.100.7/32\n",
    );
    let run = ["run", "workflow", "provision-aks-router", "--inputs", "inputs.yaml"];
    let ran = program.expect(65, &run);
    assert!(ran.err.contains("\"router\"") && ran.err.contains("1 error"), "{ran:?}");
    let ran = program.expect(64, &[&run[..], &["-i", "router=r"]].concat());
    assert!(ran.hint().contains("--azure-subscription"), "{ran:?}");
    let ran = program.expect(65, &[&run[..], &["-i", "router=r", "-i", "ssh_source=everywhere"]].concat());
    assert!(ran.err.contains("\"ssh_source\"") && ran.err.contains("1 error"), "{ran:?}");
    program.write("inputs.yaml", "- a list\n");
    assert!(program.expect(65, &run).err.contains("inputs.yaml"));
}
