//! Settings from the environment: names, paths, the time zone and the journal.

use crate::{program::Program, world::MACHINE};

#[test]
fn an_unknown_time_zone_is_refused_with_the_most_similar_name() {
    let zone = |zone: &str| Program::new().also("TZ", zone).run(&["history"]);
    for (name, hint) in [
        ("Europe/Berln", "set TZ=Europe/Berlin"),
        (":Europe/Berln", "set TZ=Europe/Berlin"),
        ("Nonsense/Zone", "Europe/Berlin"),
        ("/etc/passwd", "unset TZ"),
        ("/dev/zero", "unset TZ"),
    ] {
        let ran = zone(name);
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert!(ran.err.contains(name.trim_start_matches(':')) && ran.hint().contains(hint), "{ran:?}");
    }
    for name in ["Europe/Berlin", ":America/New_York", "UTC", "CET-1CEST,M3.5.0,M10.5.0/3", ""] {
        assert_eq!(zone(name).code, Some(0), "{name}");
    }
}

#[test]
fn the_zone_of_a_schedule_is_shown_and_a_cronjob_needs_its_name() {
    let program = |zone: &str| {
        let program =
            Program::new().also("TZ", zone).also("STARGATE_AZURE_SUBSCRIPTION", "00000000-0000-0000-0000-000000000001");
        program.write("timed.yaml", &MACHINE.replace("steps:\n", "schedule: {cron: \"0 0 29 2 *\"}\nsteps:\n"));
        program
    };
    for (zone, shown) in [("Europe/Berlin", "00:00:00 Europe/Berlin\n"), ("XXX-3", "00:00:00 +03:00\n")] {
        let program = program(zone);
        let mut running = program.spawn(&["schedule", "timed.yaml", "-i", "name=m"]);
        let line = running.read_until("is due at");
        assert!(line.contains("machine is due at 20") && line.ends_with(shown), "{line}");
        running.kill();
    }
    let print = ["schedule", "timed.yaml", "-i", "name=m", "--print", "cronjob"];
    assert!(program("").expect(0, &print).out.contains("timeZone: \"UTC\""));
    assert!(program("XXX-3").expect(64, &print).hint().contains("Europe/Berlin"));
}

#[test]
fn an_unknown_variable_is_refused_and_a_path_may_begin_with_a_tilde() {
    let ran = Program::new().also("STARGATE_JOURNL", "x.db").expect(64, &["history"]);
    assert!(ran.err.contains("STARGATE_JOURNL") && ran.hint().contains("set STARGATE_JOURNAL,"), "{ran:?}");
    let ran = Program::new().also("STARGATE_JOURNAL", "~somebody/j.db").expect(64, &["history"]);
    assert!(ran.err.contains("~somebody/j.db of STARGATE_JOURNAL"), "{ran:?}");
    let program = Program::new();
    let named = program.path("state/j.db").display().to_string();
    let program = program.also("STARGATE_JOURNAL", "~/state/j.db");
    assert!(program.expect(64, &["history"]).err.contains(&named));
    let ran = Program::new().expect(64, &["history", "--journal=~/j.db"]);
    assert!(ran.err.contains("/j.db") && !ran.err.contains('~'), "{ran:?}");
}

#[test]
fn a_journal_that_is_named_must_exist_to_be_read() {
    let program = Program::new();
    let run = "01JAAAAAAAAAAAAAAAAAAAAAAA";
    for command in [
        &["history"][..],
        &["history", run],
        &["why"],
        &["logs", run],
        &["cancel", run],
        &["approve", run],
        &["prune", "--older-than", "1d"],
    ] {
        let ran = program.expect(64, &[command, &["--journal", "/nonexistent/j.db"]].concat());
        assert!(ran.err.contains("there is no journal /nonexistent/j.db"), "{ran:?}");
        assert!(ran.hint().contains("STARGATE_JOURNAL"), "{ran:?}");
    }
}
