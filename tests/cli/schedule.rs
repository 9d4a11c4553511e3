use std::process::Command;

use jiff::{Timestamp, tz::TimeZone};
use rustix::process::Signal;
use serde_json::Value;
use stargate::{clock::UnixMillis, workflow::Cron};

use crate::{
    program::{Program, ProgramOutput, RunningProgram, wait_for},
    sqlite,
    world::{MACHINE, SimWorld},
};

/// Workflow without its steps.
const ODD: &str = r#"name: odd_job
inputs:
  group: {type: string}
  note: {type: string}
  list: {type: array, items: {type: string}, default: []}
  key: {type: string, secret: true}
schedule: {cron: "*/15 6-22 * * mon-fri"}
"#;

/// Adds a schedule for each 29 February, so that nothing is due while a test runs.
fn scheduled(text: &str) -> String {
    text.replace("steps:\n", "schedule: {cron: \"0 0 29 2 *\"}\nsteps:\n")
}

fn world(speed: &str) -> (SimWorld, Program) {
    let world = SimWorld::open(speed);
    let program = world.program();
    program.write("timed.yaml", &scheduled(MACHINE));
    (world, program)
}

const ONCE: [&str; 5] = ["schedule", "timed.yaml", "--once", "-i", "name=m"];

fn runs(program: &Program) -> Vec<Value> {
    let list = program.expect(0, &["history", "-o", "json"]).json();
    list["runs"].as_array().unwrap().clone()
}

/// Returns the printed text, with the folder and the program of this test replaced.
fn printed(program: &Program, ran: &ProgramOutput) -> String {
    let folder = program.path("").display().to_string();
    let text = ran.out.replace(env!("CARGO_BIN_EXE_stargate"), "/usr/bin/stargate");
    text.replace(folder.trim_end_matches('/'), "/home/user").replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

fn print(format: &str) -> String {
    let program = Program::new().with(vec![
        ("TZ".into(), "Europe/Berlin".into()),
        ("STARGATE_AZURE_TOKEN".into(), "env:AZURE_TOKEN".into()),
        ("STARGATE_AZURE_SUBSCRIPTION".into(), "00000000-0000-0000-0000-000000000001".into()),
    ]);
    program.write("odd.yaml", &odd());
    let inputs =
        ["-i", "group=it's", "-i", "note=50% of $(HOME) \"quoted\"", "-i", "list=a,b", "-i", "key=env:THE_KEY"];
    let ran = program.expect(0, &[&["schedule", "odd.yaml", "--print", format][..], &inputs].concat());
    printed(&program, &ran)
}

/// Returns a workflow whose inputs are difficult to quote.
fn odd() -> String {
    let step = "  c: {uses: azure.managed_cluster.read, with: {resource_group: \"${{ inputs.note }}${{ size(inputs.list) }}${{ inputs.key }}\", name: \"${{ inputs.group }}\"}}\n";
    format!("{ODD}steps:\n{step}")
}

#[test]
fn a_schedule_is_printed_for_cron() {
    insta::assert_snapshot!(print("crontab"));
}

#[test]
fn a_schedule_is_printed_for_systemd() {
    insta::assert_snapshot!(print("systemd"));
}

#[test]
fn a_schedule_is_printed_for_kubernetes() {
    insta::assert_snapshot!(print("cronjob"));
}

#[test]
fn printed_files_are_listed_as_json() {
    let program = Program::new()
        .with(vec![("STARGATE_AZURE_SUBSCRIPTION".into(), "00000000-0000-0000-0000-000000000001".into())]);
    program.write("timed.yaml", &scheduled(MACHINE));
    let print = |format| {
        let ran = program.expect(0, &["schedule", "timed.yaml", "-i", "name=m", "--print", format, "-o", "json"]);
        let files = ran.json()["files"].as_array().unwrap().clone();
        files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(print("crontab"), ["crontab"]);
    let units = ["service", "timer"].map(|kind| format!("/etc/systemd/system/stargate-machine.{kind}"));
    assert_eq!(print("systemd"), units);
    assert_eq!(print("cronjob"), ["stargate-machine.yaml"]);
}

#[test]
fn sh_reads_the_crontab_line_as_the_original_arguments() {
    let (_world, program) = world("1000");
    program.write(
        "odd.yaml",
        &odd().replace("key: {type: string, secret: true}", "key: {type: string, secret: true, default: env:THE_KEY}"),
    );
    let note = "50% of $HOME 'single' \"double\" \\ `tick`";
    let ran = program
        .expect(0, &["schedule", "odd.yaml", "--print", "crontab", "-i", "group=none", "-i", &format!("note={note}")]);
    let line = ran.out.lines().last().unwrap();
    let command = line.splitn(6, ' ').nth(5).unwrap().replace("\\%", "%"); // what cron does
    let mut sh = program.command(&[]);
    let variables: Vec<_> = sh.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap().to_owned())).collect();
    sh = Command::new("sh");
    let ended = sh.args(["-c", &command]).current_dir("/").env_clear().envs(variables).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "there is no such cluster: {}", String::from_utf8_lossy(&ended.stderr));
    let run = program.expect(0, &["history", "@latest", "-o", "json"]).json();
    assert_eq!(run["inputs"]["note"], note);
}

/// Returns the next times at which systemd elapses a calendar event.
fn elapses(calendar: &str, count: usize) -> Vec<String> {
    let mut command = Command::new("systemd-analyze");
    command.args(["calendar", "--base-time=2026-02-27 23:57:30", &format!("--iterations={count}"), calendar]);
    let output = command.env("TZ", "UTC").env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{calendar}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let times = text.lines().filter_map(|line| {
        let (label, time) = line.trim().split_once(": ")?;
        let mut words = time.split(' ').skip(1);
        let is_time = label.starts_with("Next elapse") || label.starts_with("Iter");
        is_time.then(|| format!("{}T{}Z", words.next().unwrap(), words.next().unwrap()))
    });
    times.collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test is reported")]
fn systemd_is_due_exactly_when_cron_is() {
    const COUNT: usize = 12;
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("skipped: the comparison with systemd, systemd-analyze is not installed");
        return;
    }
    let program = Program::new()
        .with(vec![("STARGATE_AZURE_SUBSCRIPTION".into(), "00000000-0000-0000-0000-000000000001".into())]);
    for text in [
        "* * * * *",
        "*/5 * * * *",
        "*/7 * * * *",
        "3-59/10 * * * *",
        "0,30 9-17 * * *",
        "15 */6 * * *",
        "5 22-23,0-5 * * *",
        "0 0 1 * *",
        "0 12 */10 * *",
        "0 12 1-20/3 * *",
        "0 0 1 */3 *",
        "0 0 * 2-11/4 *",
        "30 6 * * 1-5",
        "30 6 * * */2",
        "0 0 * * 5-7",
        "0 0 13 * 5",
        "59 23 29 2 *",
    ] {
        program.write("timed.yaml", &scheduled(MACHINE).replace("0 0 29 2 *", text));
        let timer = program.expect(0, &["schedule", "timed.yaml", "-i", "name=m", "--print", "systemd"]).out;
        let calendars: Vec<_> = timer.lines().filter_map(|line| line.strip_prefix("OnCalendar=")).collect();
        let cron: Cron = text.parse().unwrap();
        let mut at = UnixMillis("2026-02-27T23:57:30Z".parse::<Timestamp>().unwrap().as_millisecond());
        let mut expected = Vec::new();
        for _ in 0..COUNT {
            at = cron.next_after(at, &TimeZone::UTC).unwrap();
            expected.push(at.to_string());
        }
        let mut found: Vec<_> = calendars.iter().flat_map(|calendar| elapses(calendar, COUNT)).collect();
        found.sort();
        found.dedup();
        found.truncate(COUNT);
        assert_eq!(found, expected, "{text}: {calendars:?}");
    }
}

#[test]
fn a_missing_or_invalid_schedule_is_reported() {
    let program = Program::new()
        .with(vec![("STARGATE_AZURE_SUBSCRIPTION".into(), "00000000-0000-0000-0000-000000000001".into())]);
    program.write("machine.yaml", MACHINE);
    assert!(program.expect(65, &["schedule", "machine.yaml", "-i", "name=m"]).hint().contains("schedule: {cron:"));
    assert!(program.expect(64, &["schedule"]).err.contains("no workflow in ./workflows has a schedule"));
    program.write("bad.yaml", &scheduled(MACHINE).replace("0 0 29 2 *", "0 24 * * *"));
    let mistake = program.expect(65, &["validate", "bad.yaml", "-o", "json"]).json()[0]["diagnostics"][0].clone();
    assert_eq!((&mistake["line"], &mistake["column"]), (&5.into(), &21.into()), "{mistake}");
    assert_eq!(mistake["message"], "\"24\" cannot be the hour: it is from 0 to 23");
    program.write("timed.yaml", &scheduled(MACHINE));
    let ran = program.expect(65, &["schedule", "timed.yaml", "-i", "name=m", "-i", "nmae=m"]);
    assert!(ran.err.contains("\"nmae\""), "{ran:?}");
}

#[test]
fn an_interrupted_run_is_cancelled_and_a_new_one_starts() {
    let (world, program) = world("1000");
    let running = world.spawn_creation(&program, &ONCE);
    running.kill();
    world.release();
    let ran = program.expect(0, &ONCE);
    assert!(ran.err.contains("machine cancels run 01"), "{ran:?}");
    let list = runs(&program);
    assert_eq!((list.len(), &list[0]["status"], &list[1]["status"]), (2, &"succeeded".into(), &"cancelled".into()));
    let entries = program.expect(0, &["history", list[1]["run"].as_str().unwrap()]).out;
    assert!(entries.contains(": superseded by a scheduled run"), "{entries}");
}

#[test]
fn a_job_that_waits_for_approval_is_skipped() {
    let (_world, program) = world("1000");
    let text = scheduled(MACHINE).replace("  vm:\n", "  vm:\n    approval: Create the machine?\n");
    program.write("timed.yaml", &text);
    program.expect(10, &ONCE);
    let waiting = runs(&program)[0]["run"].as_str().unwrap().to_owned();
    let ran = program.expect(10, &ONCE);
    assert!(ran.err.contains(&format!("machine is skipped: run {waiting} waits for approval")), "{ran:?}");
    assert_eq!(runs(&program).len(), 1);
    program.expect(0, &["approve", &waiting]);
    program.expect(0, &["resume", &waiting]);
    program.expect(10, &ONCE);
    assert_eq!(runs(&program).len(), 2, "it begins again once that run has ended");
}

#[test]
fn a_run_with_other_inputs_is_not_resumed() {
    let (world, program) = world("1000");
    let running = world.spawn_creation(&program, &["run", "workflow", "timed.yaml", "-i", "name=other"]);
    running.kill();
    world.release();
    program.expect(0, &ONCE);
    let statuses: Vec<_> = runs(&program).iter().map(|run| run["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(statuses, ["succeeded", "interrupted"]);
}

#[test]
fn a_run_of_another_process_is_skipped() {
    let (world, program) = world("1000");
    world.hold("PUT", "/networkInterfaces/");
    let running = program.spawn(&ONCE);
    world.wait_for_hold();
    let ran = program.expect(75, &ONCE);
    assert!(ran.err.contains(&format!("process {}", running.id())), "{ran:?}");
    world.release();
    assert_eq!(running.end().code, Some(0));
    assert_eq!(runs(&program).len(), 1);
}

#[test]
fn a_schedule_shows_the_next_time_and_ends_on_a_signal() {
    let (world, program) = world("1000");
    let mut running = program.spawn(&["schedule", "timed.yaml", "-i", "name=m"]);
    assert!(running.read_until("is due at").contains("machine is due at 20"));
    running.signal(Signal::INT);
    assert_eq!(running.end().code, Some(130));
    assert_eq!(runs(&program).len(), 0);
    // While a run is running.
    let running = world.spawn_creation(&program, &ONCE);
    running.signal(Signal::TERM);
    let ran = running.end();
    world.release();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(runs(&program)[0]["status"], "interrupted");
    program.expect(0, &ONCE);
}

#[test]
fn a_changed_file_is_taken_up_at_the_next_run() {
    let (_world, program) = world("1000");
    let text = scheduled(MACHINE).replace("0 0 29 2 *", "* * * * *");
    program.write("timed.yaml", &text);
    let mut running = program.spawn(&["schedule", "timed.yaml", "-i", "name=m"]);
    running.read_until("is due at");
    program.write(
        "timed.yaml",
        &text
            .replace("* * * * *", "0 0 29 2 *")
            .replace("  nic:", "  nic_of_vm:")
            .replace("steps.nic.", "steps.nic_of_vm."),
    );
    let shown = running.read_until("has changed: it runs as its files are now");
    assert!(shown.contains("machine has changed"), "{shown}");
    assert!(running.read_until("is due at").contains("-02-29 00:00:00"), "the schedule has changed, too");
    running.signal(Signal::INT);
    running.end();
    let list = runs(&program);
    assert_eq!((list.len(), &list[0]["status"]), (1, &"succeeded".into()));
    assert!(program.expect(0, &["history", list[0]["run"].as_str().unwrap()]).out.contains("nic_of_vm"));
}

#[test]
fn a_run_that_was_missed_is_started_at_once_if_that_is_asked_for() {
    let (_world, program) = world("1000");
    program.write("timed.yaml", &scheduled(MACHINE).replace("0 0 29 2 *", "0 0 1 * *"));
    program.expect(0, &ONCE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Two months earlier.
    runtime.block_on(sqlite::execute(&program.journal(), "UPDATE run SET created_at = created_at - 5356800000"));
    let mut running = program.spawn(&["schedule", "timed.yaml", "-i", "name=m", "--catch-up", "--jitter", "10ms"]);
    let shown = running.read_until("it is started now");
    assert!(shown.contains("machine was due at 20"), "{shown}");
    wait_for("the missed run", || (runs(&program).len() == 2).then_some(()));
    running.signal(Signal::INT);
    running.end();
    let mut running = program.spawn(&["schedule", "timed.yaml", "-i", "name=m", "--catch-up"]);
    assert!(!running.read_until("is due at").contains("started now"), "nothing is missed");
    running.kill();
}

#[test]
fn jitter_and_catch_up_are_printed() {
    let program = Program::new()
        .with(vec![("STARGATE_AZURE_SUBSCRIPTION".into(), "00000000-0000-0000-0000-000000000001".into())]);
    program.write("timed.yaml", &scheduled(MACHINE));
    let print = ["schedule", "timed.yaml", "-i", "name=m", "--jitter", "30s", "--catch-up", "--print"];
    let units = program.expect(0, &[&print[..], &["systemd"]].concat()).out;
    assert!(units.contains("\nPersistent=true\n") && units.contains(" --jitter=30000ms "), "{units}");
    program.expect(64, &[&print[..], &["crontab"]].concat()).hint();
}

#[test]
fn of_two_schedulers_that_start_at_once_one_runs_the_workflow() {
    let (world, program) = world("1000");
    world.hold("PUT", "/networkInterfaces/");
    let mut both: Vec<_> = (0..4).map(|_| program.spawn(&ONCE)).collect();
    world.wait_for_hold();
    // The three others end although the run is still held.
    let mut ended = Vec::new();
    wait_for("three that have ended", || {
        let at = both.iter_mut().position(RunningProgram::has_ended);
        ended.extend(at.map(|at| both.swap_remove(at).end()));
        (ended.len() == 3).then_some(())
    });
    for ran in &ended {
        assert!(ran.code == Some(75) && ran.err.contains("machine is"), "{ran:?}");
    }
    world.release();
    assert_eq!(both.pop().unwrap().end().code, Some(0));
    assert_eq!(runs(&program).len(), 1);
}

#[test]
fn two_schedulers_run_a_workflow_once_at_each_due_time() {
    let (_world, program) = world("1000");
    program.write("timed.yaml", &scheduled(MACHINE).replace("0 0 29 2 *", "* * * * *"));
    let scheduled = "\"event\":\"scheduled\"";
    let (mut both, mut skipped) = loop {
        let mut both = [(); 2].map(|()| program.spawn(&["schedule", "timed.yaml", "-i", "name=m", "-o", "json"]));
        let next = both.each_mut().map(|running| running.read_line_until(scheduled, &mut |_| ()));
        let [first, second] = next.map(|line| serde_json::from_str::<Value>(&line).unwrap()["next"].clone());
        if first == second {
            break (both, 0);
        }
        // The two were started in different minutes.
        both.into_iter().for_each(RunningProgram::kill);
    };
    // The next line of that kind is printed after the due time.
    for running in &mut both {
        running.read_line_until(scheduled, &mut |line| {
            skipped += usize::from(line.contains("another scheduler has started run"));
        });
    }
    for running in both {
        running.signal(Signal::INT);
        running.end();
    }
    assert_eq!((runs(&program).len(), skipped), (1, 1));
}

#[test]
fn scheduled_workflows_are_found_in_the_workflows_folder() {
    let (_world, program) = world("1000");
    std::fs::create_dir(program.path("workflows")).unwrap();
    program.write("workflows/timed.yaml", &scheduled(MACHINE));
    program.write("workflows/other.yaml", MACHINE);
    let ran = program.expect(0, &["schedule", "--once", "-i", "name=m", "-o", "json"]);
    assert_eq!(ran.json_lines().pop().unwrap()["outcome"], "succeeded");
    wait_for("the only run", || (runs(&program).len() == 1).then_some(()));
}
