//! Behaviour on a terminal of 80 columns and 24 rows, and in a pipe without events.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::{
    program::Program,
    world::{MACHINE, SimWorld},
};

const COLUMNS: usize = 80;
const RUN: [&str; 5] = ["run", "workflow", "machine.yaml", "-i", "name=m"];

/// Program in a terminal of its own, killed on drop.
struct TerminalProgram {
    child: Child,
    /// All that the terminal has received.
    screen: String,
}

impl TerminalProgram {
    fn open(program: &Program, arguments: &[&str]) -> Self {
        Self::of_kind(program, arguments, "xterm")
    }

    fn of_kind(program: &Program, arguments: &[&str], kind: &str) -> Self {
        let inner = program.command(arguments);
        let words = std::iter::once(inner.get_program()).chain(inner.get_args());
        let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let line = format!("stty cols {COLUMNS} rows 24; exec {}", quoted.join(" "));
        let mut command = std::process::Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear().env("TERM", kind);
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(inner.get_current_dir().unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { child: command.spawn().unwrap(), screen: String::new() }
    }

    /// Reads until the terminal has received `text` after `begin`.
    fn read_until_after(&mut self, begin: usize, text: &str) {
        let (mut bytes, stdout) = ([0; 4096], self.child.stdout.as_mut().unwrap());
        while !self.screen[begin..].contains(text) {
            let count = stdout.read(&mut bytes).unwrap();
            assert!(count > 0, "ended before it showed {text:?}: {}", self.screen);
            self.screen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn read_until(&mut self, text: &str) {
        self.read_until_after(0, text);
    }

    /// Types text, as keys are pressed.
    fn type_keys(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Reads to the end, and returns the exit code and all that the terminal has received.
    fn end(mut self) -> (Option<i32>, String) {
        let mut bytes = Vec::new();
        self.child.stdout.as_mut().unwrap().read_to_end(&mut bytes).unwrap();
        self.screen.push_str(&String::from_utf8_lossy(&bytes));
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.screen))
    }
}

impl Drop for TerminalProgram {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the lines that the terminal has received, without control sequences.
fn lines(screen: &str) -> Vec<String> {
    let mut text = String::new();
    let mut characters = screen.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // A control sequence ends with a letter.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            text.push(if character == '\r' { '\n' } else { character });
        }
    }
    // A line of the live view fills the row, after which the next one follows.
    let rows = text.lines().flat_map(|line| {
        let characters: Vec<char> = line.chars().collect();
        characters.chunks(COLUMNS).map(|row| row.iter().collect::<String>()).collect::<Vec<_>>()
    });
    rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
}

#[test]
fn the_live_view_shows_progress_retries_with_a_countdown_and_what_is_next() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let throttle = json!({ "method": "PUT", "path": "/networkInterfaces/", "times": 1,
        "fault": { "kind": "throttle", "retry_after": 3 } });
    world.ask("POST", "faults", &throttle);
    let mut terminal = TerminalProgram::open(&program, &RUN);
    terminal.read_until("attempt 2 in 1s");
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
    let lines = lines(&screen);
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(has("machine: 1 of 3 steps, ") && has(", run 01"), "{lines:#?}");
    assert!(has("next: vm") && has("attempt 2 in 2s"), "{lines:#?}");
    let live = lines.iter().filter(|line| line.starts_with("machine: ") || line.starts_with("  nic"));
    assert!(live.clone().all(|line| line.chars().count() < COLUMNS), "{lines:#?}");
    assert!(live.count() > 3, "{lines:#?}");
    assert!(has("machine succeeded after"), "{lines:#?}");
}

#[test]
fn a_second_run_has_an_estimate_from_the_first_one() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let slow = |milliseconds: u64| {
        let fault = json!({ "method": "PUT", "path": "/networkInterfaces/", "times": 1,
            "fault": { "kind": "slow", "ms": milliseconds } });
        world.ask("POST", "faults", &fault);
    };
    slow(6_000);
    program.expect(0, &RUN);
    slow(1_500);
    let mut terminal = TerminalProgram::open(&program, &["run", "workflow", "machine.yaml", "-i", "name=other"]);
    terminal.read_until(" left, run 01");
    assert!(terminal.screen.contains("s, about "), "{}", terminal.screen);
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn steps_that_do_not_fit_the_terminal_are_counted() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let step = |number| {
        format!(
            "  s{number}: {{uses: azure.resource_group.ensure, with: {{name: g{number}, location: canadacentral}}}}\n"
        )
    };
    let steps: String = (0..30).map(step).collect();
    program.write("many.yaml", &format!("name: many\nsteps:\n{steps}"));
    world.hold("PUT", "roups/g");
    let mut terminal = TerminalProgram::open(&program, &["run", "workflow", "many.yaml", "--max-parallel", "30"]);
    terminal.read_until("… and 21 more");
    world.release();
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn an_approval_is_asked_on_a_terminal_and_the_run_goes_on() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.write(
        "machine.yaml",
        &MACHINE.replace(
            "    uses: azure.virtual_machine.ensure\n",
            "    uses: azure.virtual_machine.ensure\n    approval: Make the machine ${{ inputs.name }}?\n",
        ),
    );
    let mut terminal = TerminalProgram::open(&program, &RUN);
    terminal.read_until("Approve? Type yes");
    assert!(terminal.screen.contains("vm: Make the machine m?"), "{}", terminal.screen);
    terminal.type_keys("later\n");
    let (code, screen) = terminal.end();
    assert!(code == Some(10) && screen.contains("stargate approve"), "it is left open: {screen}");

    let mut terminal = TerminalProgram::open(&program, &["resume"]);
    terminal.read_until("Approve? Type yes");
    terminal.type_keys("no\n");
    let (code, screen) = terminal.end();
    assert!(code == Some(3) && screen.contains("refused by an operator"), "{screen}");

    let mut terminal = TerminalProgram::open(&program, &["resume"]);
    terminal.read_until("Approve? Type yes");
    terminal.type_keys("yes\n");
    let (code, screen) = terminal.end();
    assert!(code == Some(0) && lines(&screen).join("\n").contains("machine succeeded"), "{screen}");
    let history = program.expect(0, &["history", "@latest"]).out;
    assert!(history.contains("approved by ") && history.contains(", process "), "{history}");
}

#[test]
fn a_run_asks_on_a_terminal_before_it_deletes_a_machine() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let gone = "  gone:
    uses: azure.virtual_machine.delete
    with:
      resource_group: ${{ steps.network.outputs.resource_group }}
      name: ${{ inputs.name }}
      host_key: ${{ steps.vm.outputs.host_key }}
      network_interface: ${{ steps.nic.outputs.name }}
      private_ip: ${{ steps.nic.outputs.private_ip }}
";
    program.write("machine.yaml", &MACHINE.replace("outputs:\n", &format!("{gone}outputs:\n")));
    let before = world.writes();
    let mut terminal = TerminalProgram::open(&program, &RUN);
    terminal.read_until("gone deletes a machine");
    terminal.read_until("Continue? Type yes:");
    terminal.type_keys("n\n");
    let (code, screen) = terminal.end();
    assert!(code == Some(4) && screen.contains("nothing was changed"), "{code:?} {screen}");
    assert_eq!(world.writes(), before);

    let (code, screen) = TerminalProgram::open(&program, &[&RUN[..], &["--yes"]].concat()).end();
    assert!(code == Some(0) && !screen.contains("Continue?"), "{screen}");
    assert!(world.writes() > before);
}

#[test]
fn ctrl_c_interrupts_a_run_and_leaves_no_line_of_the_live_view() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let mut terminal = TerminalProgram::open(&program, &RUN);
    terminal.read_until("next: vm");
    terminal.type_keys("\u{3}");
    let (code, screen) = terminal.end();
    assert_eq!(code, Some(130), "{screen}");
    let last = lines(&screen).pop().unwrap();
    assert!(last.starts_with("hint: run `stargate resume 01"), "{screen}");
}

#[test]
fn a_terminal_that_cannot_be_redrawn_gets_plain_lines() {
    let world = SimWorld::open("1000");
    let program = world.program().also("TERM", "dumb");
    let (code, screen) = TerminalProgram::of_kind(&program, &RUN, "dumb").end();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("nic      started") && !screen.contains('\u{1b}'), "{screen:?}");
}

#[test]
fn a_pipe_gets_a_line_when_nothing_happens_for_ten_seconds() {
    let world = SimWorld::open("1000");
    let program = world.program();
    world.hold("PUT", "/networkInterfaces/");
    let mut running = program.spawn(&RUN);
    let read = running.read_until("1 of 3 steps done after 1");
    assert!(read.lines().last().unwrap().contains(": nic (1"), "{read}");
    world.release();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn another_process_can_attach_to_a_run_and_sees_it_to_its_end() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let running = world.spawn_creation(&program, &RUN);
    let list = program.expect(0, &["history", "-o", "json"]).json();
    assert!(list["runs"][0]["duration_ms"].as_u64().unwrap() > 0, "a running run has a duration: {list}");
    let mut attached = program.spawn(&["attach"]);
    attached.read_until("nic      changed + network interface");
    attached.read_until("vm       started");
    world.release();
    attached.read_until("vm       changed + virtual machine");
    let seen = attached.end();
    assert!(seen.code == Some(0) && seen.err.contains("of machine is succeeded after"), "{seen:?}");
    assert_eq!(running.end().code, Some(0));
    let events = program.expect(0, &["attach", "@latest", "-o", "json"]).json_lines();
    assert!(events.iter().any(|event| event["event"] == "step_succeeded" && event["step"] == "vm"), "{events:?}");
}

#[test]
fn history_is_filtered_by_workflow_and_status() {
    let world = SimWorld::open("1000");
    let program = world.program();
    program.expect(0, &RUN);
    program.write("bad.yaml", "name: bad\nsteps:\n  a: {uses: core.fail, with: {message: no}}\n");
    program.expect(3, &["run", "workflow", "bad.yaml"]);
    let listed = |arguments: &[&str]| {
        let list = program.expect(0, &[&["history", "-o", "json"], arguments].concat()).json();
        list["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["workflow"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&[]), ["bad", "machine"]);
    assert_eq!(listed(&["--workflow", "machine"]), ["machine"]);
    assert_eq!(listed(&["--status", "failed"]), ["bad"]);
    assert_eq!(listed(&["--status", "succeeded", "--workflow", "bad"]), [""; 0]);
    assert_eq!(listed(&["--limit", "1"]), ["bad"]);
    let unknown = program.expect(64, &["history", "--status", "done"]);
    assert!(unknown.err.contains("waiting_for_approval"), "{unknown:?}");
}

#[test]
fn a_result_names_warnings_and_the_slowest_steps() {
    let world = SimWorld::open("1000");
    let program = world.program();
    let fault =
        json!({ "method": "PUT", "path": "/networkInterfaces/", "times": 1, "fault": { "kind": "slow", "ms": 5_500 } });
    world.ask("POST", "faults", &fault);
    let ran = program.expect(0, &RUN);
    let slowest = ran.err.lines().find(|line| line.starts_with("slowest steps: ")).unwrap();
    assert!(slowest.starts_with("slowest steps: nic "), "{ran:?}");
    let ran = program.expect(0, &[&RUN[..], &["-o", "json"]].concat());
    let result = ran.json_lines().pop().unwrap();
    assert_eq!(
        (&result["step_warnings"], result["slowest"].as_array().map(Vec::len)),
        (&Value::Array(vec![]), Some(3))
    );
}
