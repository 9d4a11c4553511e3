//! The command `validate`: folders, standard input and warnings.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::program::{Program, ProgramOutput};

const VALID: &str =
    "name: valid\nsteps:\n  g: {uses: azure.resource_group.ensure, with: {name: g, location: canadacentral}}\n";
const INVALID: &str = "name: invalid\nsteps:\n  g: {uses: azure.resource_group.ensur}\n";

/// Returns the files of the report with whether each is valid.
fn files(ran: &ProgramOutput) -> Vec<(String, bool)> {
    let file = |report: &Value| (report["file"].as_str().unwrap().to_owned(), report["valid"].as_bool().unwrap());
    ran.json().as_array().unwrap().iter().map(file).collect()
}

#[test]
fn validate_reports_each_yaml_file_of_a_folder() {
    let program = Program::new();
    for folder in ["all/sub/deep", "all/.hidden", "empty"] {
        fs::create_dir_all(program.path(folder)).unwrap();
    }
    for (file, text) in [
        ("all/b.yaml", VALID),
        ("all/a.yml", INVALID),
        ("all/sub/deep/c.yaml", VALID),
        ("all/.hidden/d.yaml", INVALID),
        ("all/read.me", INVALID),
    ] {
        program.write(file, text);
    }
    assert!(Command::new("mkfifo").arg(program.path("all/sub/fifo.yaml")).status().unwrap().success());
    symlink(program.path("all"), program.path("all/sub/again")).unwrap();
    let ran = program.expect(65, &["validate", "all", "provision-dc", "-o", "json"]);
    let expected = [
        ("all/a.yml", false),
        ("all/b.yaml", true),
        ("all/sub/deep/c.yaml", true),
        ("all/sub/fifo.yaml", false),
        ("provision-dc.yaml", true),
    ];
    assert_eq!(files(&ran), expected.map(|(file, valid)| (file.to_owned(), valid)));
    let ran = program.expect(65, &["validate", "all"]);
    assert!(ran.err.contains("1 error in 4 workflows") && ran.err.contains("fifo.yaml"), "{ran:?}");
    assert!(ran.out.contains("all/b.yaml: no errors") && ran.out.contains("c.yaml: no errors"), "{ran:?}");
    assert!(program.expect(64, &["validate", "empty"]).err.contains("no YAML file below the folder empty"));
    fs::remove_dir_all(program.path("all/sub")).unwrap();
    fs::remove_file(program.path("all/a.yml")).unwrap();
    let ran = program.expect(0, &["validate", ".", "-o", "json"]);
    assert_eq!(files(&ran), [("all/b.yaml".to_owned(), true)]);
}

#[test]
fn validate_reads_standard_input() {
    let program = Program::new();
    program.write("valid.yaml", VALID);
    let validate = |text: &[u8]| {
        let mut command = program.command(&["validate", "-", "-o", "json"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        let output = child.wait_with_output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report[0].clone())
    };
    let (code, report) = validate(b"name: outer\nsteps: {in: {workflow: valid.yaml}}\n");
    assert_eq!(
        (code, &report["file"], &report["valid"]),
        (Some(0), &"standard input".into(), &true.into()),
        "{report}"
    );
    let (code, report) = validate(INVALID.as_bytes());
    assert_eq!((code, &report["diagnostics"][0]["line"]), (Some(65), &3.into()), "{report}");
    let (code, report) = validate(b"name: caf\xe9\n");
    assert!(code == Some(65) && report["error"].as_str().unwrap().contains("UTF-8: byte 10"), "{report}");
}

const CONDITIONAL: &str = "name: conditional
inputs:
  go: {type: boolean, default: true}
  groups: {type: array, items: {type: string}, default: []}
steps:
  a: {uses: azure.resource_group.ensure, when: \"${{ inputs.go }}\", with: {name: g, location: canadacentral}}
  b: {uses: azure.resource_group.ensure, with: {name: \"${{ steps.a.outputs.name }}\", location: canadacentral}}
  each:
    uses: azure.resource_group.ensure
    for_each: ${{ inputs.groups }}
    as: group
    with: {name: \"${{ group }}\", location: canadacentral}
";

#[test]
fn validate_warns_of_outputs_that_can_be_missing() {
    let program = Program::new();
    program.write("conditional.yaml", CONDITIONAL);
    let ran = program.expect(0, &["validate", "conditional.yaml"]);
    assert!(ran.err.contains("⚠ step \"b\" fails if \"a\" is skipped") && ran.err.contains(":7:60]"), "{ran:?}");
    program.write("conditional.yaml", &CONDITIONAL.replace("steps.a.outputs.name", "1 / 0"));
    let ran = program.expect(65, &["validate", "conditional.yaml"]);
    assert!(ran.err.contains("division by zero"), "{ran:?}");
}

#[test]
fn a_key_that_is_there_twice_is_found_before_a_run_begins() {
    let program = Program::new().also("STARGATE_AZURE_SUBSCRIPTION", "00000000-0000-0000-0000-000000000001");
    program.write("conditional.yaml", CONDITIONAL);
    for command in [&["run", "workflow"][..], &["plan"]] {
        let ran = program.expect(65, &[command, &["conditional.yaml", "-i", "groups=a,b,a"]].concat());
        assert!(ran.err.contains("two items have the key \"a\"") && ran.err.contains("--input groups:1:8"), "{ran:?}");
    }
    assert!(!program.journal().exists());
}

#[test]
fn a_mistake_in_a_long_line_is_shown_with_a_part_of_the_line() {
    let program = Program::new();
    let steps = |count: usize| {
        let step =
            |n| format!(r#""s{n}":{{"uses":"azure.resource_group.ensure","with":{{"name":"g","location":"x"}}}},"#);
        (0..count).map(step).collect::<Vec<_>>().concat()
    };
    // Before and behind column 65,535.
    for count in [10, 900] {
        let text =
            format!(r#"{{"name":"w","steps":{{{}"last":{{"uses":"azure.resource_group.ensur"}}}}}}"#, steps(count));
        program.write("w.yaml", &text);
        for command in [&["validate"][..], &["plan"], &["graph"], &["run", "workflow"]] {
            let ran = program.expect(65, &[command, &["w.yaml"]].concat());
            assert!(ran.err.contains("azure.resource_group.ensur") && ran.err.len() < 4096, "{count}: {ran:?}");
        }
        let column = text.find("azure.resource_group.ensur\"").unwrap();
        let report = program.expect(65, &["validate", "w.yaml", "-o", "json"]);
        let found = report.json()[0]["diagnostics"][0]["column"].as_u64().unwrap();
        assert!(found.abs_diff(column as u64) <= 1, "{column}: {}", report.out);
    }
}

#[test]
fn of_many_mistakes_a_hundred_are_shown_and_the_others_are_counted() {
    let program = Program::new();
    let steps: Vec<_> = (0..3_000).map(|n| format!("  s{n}: {{uses: azure.resource_group.ensur}}")).collect();
    program.write("w.yaml", &format!("name: w\nsteps:\n{}\n", steps.join("\n")));
    let ran = program.expect(65, &["validate", "w.yaml"]);
    assert_eq!(ran.err.matches("there is no action").count(), 100, "{ran:?}");
    assert!(ran.err.contains("2900 more are not shown"), "{ran:?}");
    assert!(ran.err.len() < 100 * 2_000, "{} bytes", ran.err.len());
}

#[test]
fn validate_makes_the_checks_of_a_workflow_with_the_inputs_that_are_given() {
    let program = Program::new();
    let text = "name: w\ninputs: {n: {type: integer}}\nchecks:\n  - {that: '${{ inputs.n < 3 }}', message: '${{ inputs.n }} are too many', hint: give fewer}\n\
                steps:\n  w: {uses: core.wait, with: {duration: '${{ inputs.n }}s'}}\n";
    program.write("w.yaml", text);
    program.expect(0, &["validate", "w.yaml"]);
    program.expect(0, &["validate", "w.yaml", "-i", "n=2"]);
    let refused = program.expect(65, &["validate", "w.yaml", "-i", "n=4"]);
    assert!(refused.err.contains("4 are too many") && refused.err.contains("give fewer"), "{refused:?}");
    let run = program.expect(65, &["run", "workflow", "w.yaml", "-i", "n=4"]);
    assert!(run.err.contains("4 are too many") && !program.journal().exists(), "{run:?}");
    program.write("other.yaml", VALID);
    program.expect(64, &["validate", "w.yaml", "other.yaml", "-i", "n=2"]);
}
