//! Inputs: files, standard input, and the places of errors.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::program::{Program, ProgramOutput};

const WORKFLOW: &str = "name: w
inputs:
  country: {type: string, pattern: '^[a-z]+$'}
  mode: {type: string}
  count: {type: integer}
  workers: {type: array, default: [], items: {type: object, properties: {ip: {type: string, format: ip}}}}
steps:
  group:
    uses: azure.resource_group.ensure
    with:
      name: ${{ inputs.country }}${{ inputs.mode }}${{ inputs.count }}${{ size(inputs.workers) }}
      location: canadacentral
";

fn program() -> Program {
    let program = Program::new();
    program.write("w.yaml", WORKFLOW);
    program
}

const PLAN: [&str; 5] = ["plan", "w.yaml", "-o", "json", "--inputs"];

/// Returns the diagnostics of `plan` with this inputs file, as `FILE:LINE:COLUMN MESSAGE`.
fn diagnostics(program: &Program, file: &str, more: &[&str]) -> Vec<String> {
    let ran = program.expect(65, &[&PLAN[..], &[file], more].concat());
    let line = |d: &Value| {
        let text = |key: &str| d[key].as_str().unwrap().to_owned();
        format!("{}:{}:{} {}", text("file"), d["line"], d["column"], text("message"))
    };
    ran.json()["diagnostics"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn an_error_in_an_inputs_file_has_its_place_in_that_file() {
    let program = program();
    program.write("in.yaml", "country: no\nmode: 0644\ncount: off\nworkers:\n  - {ip: 10.0.0}\ncuont: 1\n");
    assert_eq!(
        diagnostics(&program, "in.yaml", &[]),
        [
            "in.yaml:3:8 input \"count\" must be a whole number, this is text",
            "in.yaml:5:10 input \"workers\"[0].ip must be an IP address, \"10.0.0\" is not",
            "in.yaml:6:1 the workflow has no input \"cuont\"",
        ]
    );
    program.write("in.json", "{\"country\": \"NO\", \"mode\": 1.10,\n \"count\": 1}");
    let expected = [
        "in.json:1:13 input \"country\" must match ^[a-z]+$, \"NO\" does not",
        "in.json:1:27 input \"mode\" must be text, this is a number",
    ];
    assert_eq!(diagnostics(&program, "in.json", &[]), expected);
    // One from the command line has its place in the argument.
    let given = diagnostics(&program, "in.json", &["-i", "country=UK", "-i", "cuont=1"]);
    let expected = [
        "--input country:1:9 input \"country\" must match ^[a-z]+$, \"UK\" does not",
        "--input cuont:1:1 the workflow has no input \"cuont\"",
        "in.json:1:27 input \"mode\" must be text, this is a number",
    ];
    assert_eq!(given, expected);
    let workers = ["-i", "country=uk", "-i", "mode=a", "-i", r#"workers=[{"ip": "10.0.0"}]"#];
    let given = diagnostics(&program, "in.json", &workers);
    assert_eq!(given, ["--input workers:1:9 input \"workers\"[0].ip must be an IP address, \"10.0.0\" is not"]);
    program.write("twice.yaml", "mode: a\nmode: b\n");
    assert_eq!(diagnostics(&program, "twice.yaml", &[]), ["twice.yaml:2:1 the file has \"mode\" twice"]);
    program.write("broken.yaml", "mode: [a\ncount: 1\n");
    assert!(diagnostics(&program, "broken.yaml", &[])[0].starts_with("broken.yaml:2:"));
}

/// Case of `provision-dc` with an inputs file in which everything is wrong.
#[test]
fn errors_of_a_shipped_workflow_name_the_inputs_and_not_its_declarations() {
    let program = program();
    program.write("in.yaml", "cluster: c\nsite: Not Valid\nworkers: {name: w1}\nnosuch: 1\n");
    let wrong = |arguments: &[&str]| {
        let ran = program.expect(65, &[&["plan", "provision-dc", "-o", "json"], arguments].concat());
        let places = ran.json()["diagnostics"].as_array().unwrap().clone().into_iter();
        let places = places.filter(|error| error["code"] != "plan::missing_input");
        places
            .map(|error| format!("{}:{}:{}", error["file"].as_str().unwrap(), error["line"], error["column"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(wrong(&["--inputs", "in.yaml"]), ["in.yaml:2:7", "in.yaml:3:10", "in.yaml:4:1"]);
    let arguments = ["--input", "site=Not Valid", "--input", "workers={\"name\":\"w1\"}", "--input", "nosuch=1"];
    assert_eq!(wrong(&arguments), ["--input nosuch:1:1", "--input site:1:6", "--input workers:1:9"]);
    let ran = program.expect(65, &["run", "workflow", "provision-dc", "--input", "site=Not Valid"]);
    assert!(ran.err.contains("--input site:1:6"), "{ran:?}");
}

#[test]
fn an_item_that_is_there_twice_is_reported_at_its_place_in_the_inputs() {
    let program = program();
    let step = "  each:\n    uses: azure.resource_group.ensure\n    for_each: ${{ inputs.workers }}\n    as: w\n    \
                key: ${{ w.ip }}\n    with: {name: \"a-${{ w.ip }}\", location: x}\n";
    program.write("w.yaml", &format!("{WORKFLOW}{step}"));
    program.write("in.yaml", "country: uk\nmode: a\ncount: 1\nworkers:\n  - ip: 10.0.0.1\n  - ip: 10.0.0.1\n");
    let expected = "in.yaml:6:5 two items have the key \"10.0.0.1\", keys must be unique";
    assert_eq!(diagnostics(&program, "in.yaml", &[]), [expected]);
    let twice = r#"workers=[{"ip": "10.0.0.2"}, {"ip": "10.0.0.2"}]"#;
    let expected = "--input workers:1:9 two items have the key \"10.0.0.2\", keys must be unique";
    assert_eq!(diagnostics(&program, "in.yaml", &["-i", twice]), [expected]);
}

#[test]
fn the_value_of_a_secret_input_is_not_shown_with_its_place() {
    let program = program();
    program.write("w.yaml", &WORKFLOW.replace("  mode: {type: string}", "  mode: {type: string, secret: true}"));
    program.write("in.yaml", "count: off\nmode: hunter2-hunter2\ncuontry: hunter3-hunter3\n");
    let more = ["-i", "country=UK", "-i", "moed=hunter4-hunter4"];
    let ran = program.expect(65, &[&["plan", "w.yaml", "--inputs", "in.yaml"], &more[..]].concat());
    assert!(ran.err.contains("in.yaml:2:7") && ran.err.contains("mode: ***"), "{ran:?}");
    assert!(ran.err.contains("--input moed:1:1"), "{ran:?}");
    assert!(!ran.err.contains("hunter"), "{ran:?}");
    let ran = program.expect(65, &["plan", "w.yaml", "-i", "mode=hunter5-hunter5"]);
    assert!(ran.err.contains("--input mode:1:6") && !ran.err.contains("hunter"), "{ran:?}");
}

#[test]
fn inputs_are_read_from_standard_input_but_not_from_a_fifo_or_device() {
    let program = program();
    let mut command = program.command(&[&PLAN[..], &["-"]].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"country: NO\nmode: a\ncount: 1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&error["diagnostics"][0]["file"], &error["diagnostics"][0]["line"]),
        (&json!("standard input"), &json!(1))
    );
    assert!(Command::new("mkfifo").arg(program.path("fifo.yaml")).status().unwrap().success());
    for file in ["fifo.yaml", "/dev/zero"] {
        let ran = program.expect(65, &["plan", "w.yaml", "--inputs", file]);
        assert!(ran.err.contains(&format!("cannot read the inputs in {file}: it is not a regular file")), "{ran:?}");
        let ran: ProgramOutput = program.run(&["validate", file, "provision-dc"]);
        assert!(ran.err.contains("it is not a regular file") && ran.out.contains("no errors"), "{ran:?}");
    }
}
