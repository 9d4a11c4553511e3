//! The walls between rooms that Cargo does not hold.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The rooms of the library, each allowed to use those before it and the two sources of time and identity.
const ROOMS: &[&str] = &["workflow", "plan", "run", "journal", "engine", "schedule"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// Lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn check(folder: &str, except: &[&str], forbidden: &[&str], why: &str) {
    let mut found = vec![];
    for (path, text) in sources(folder) {
        if except.iter().any(|except| path.starts_with(except)) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in forbidden.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn a_room_of_the_library_uses_only_the_rooms_before_it() {
    for (index, room) in ROOMS.iter().enumerate() {
        for later in &ROOMS[index + 1..] {
            let uses = [format!("crate::{later}"), format!("    {later}::{{")];
            let uses: Vec<&str> = uses.iter().map(String::as_str).collect();
            check(&format!("src/{room}"), &[], &uses, &format!("{room} must not use {later}"));
        }
    }
}

#[test]
fn the_library_names_no_provider() {
    let providers = ["stargate_azure", "stargate_tailscale", "stargate_ssh", "stargate_sim"];
    let except = ["src/wiring.rs", "src/main.rs", "src/cli/command/sim.rs", "src/cli/command/demo"];
    check("src", &except, &providers, "only wiring names providers, and only sim and demo the simulated world");
}

#[test]
fn only_the_journal_has_sql() {
    check("src", &["src/journal"], &["sqlx", "SELECT ", "INSERT INTO"], "only src/journal has SQL");
}

#[test]
fn the_pure_rooms_do_no_io_and_know_no_time() {
    let io = ["std::fs", "TcpStream", "TcpListener", "UdpSocket", "std::process", "std::env", "tokio::"];
    let time = ["Clock", "SystemTime", "Instant::now", "async fn"];
    for room in ["src/plan", "src/run", "src/workflow"] {
        check(room, &["src/plan/tests"], &io, "the pure rooms do no I/O");
        check(room, &["src/plan/tests"], &time, "the pure rooms know no time");
    }
}

#[test]
fn only_settings_reads_the_environment() {
    check("src", &["src/cli/settings.rs"], &["env::var"], "only cli/settings reads the environment");
}

#[test]
fn only_ui_prints() {
    let forbidden =
        ["println!", "eprintln!", "print!(", "std::io::stdout", "std::io::stderr", "io::stdout()", "io::stderr()"];
    check("src", &["src/cli/ui.rs"], &forbidden, "only cli/ui prints");
}

#[test]
fn the_simulated_world_shares_no_code_with_what_it_judges() {
    let judged = ["stargate_azure", "stargate_tailscale", "stargate_ssh", "stargate_sdk", "stargate::"];
    check("plugins/sim/src", &[], &judged, "the judge shares no code with the judged");
}

#[test]
fn a_provider_never_uses_another_provider() {
    for (provider, others) in [
        ("azure", ["stargate_tailscale", "stargate_ssh"]),
        ("tailscale", ["stargate_azure", "stargate_ssh"]),
        ("ssh", ["stargate_azure", "stargate_tailscale"]),
    ] {
        check(&format!("plugins/{provider}/src"), &[], &others, "a workflow joins providers, not their code");
    }
}

#[test]
fn every_dependency_has_its_reason_beside_it() {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let bare: Vec<&str> = table
        .lines()
        .filter(|line| line.contains(" = ") && !line.contains("path = ") && !line.contains(" # "))
        .collect();
    assert!(bare.is_empty(), "without a reason: {bare:?}");
}

#[test]
fn no_function_is_longer_than_120_lines() {
    let mut long = vec![];
    for (path, text) in ["src", "plugins", "tests", "benches"].iter().flat_map(|folder| sources(folder)) {
        let mut begun: Option<(usize, usize)> = None;
        for (number, line) in code(&text) {
            let indent = line.len() - line.trim_start().len();
            let is_fn = line.trim_start().split('"').next().is_some_and(|head| {
                head.split_whitespace().take_while(|word| !word.contains('(')).any(|word| word == "fn")
                    || head.trim_start().starts_with("fn ")
            });
            match begun {
                Some((start, depth)) if indent == depth && line.trim_start().starts_with('}') => {
                    if number - start > 120 {
                        long.push(format!("{}:{start}: {} lines", path.display(), number - start));
                    }
                    begun = None;
                }
                None if is_fn && line.trim_end().ends_with('{') => begun = Some((number, indent)),
                _ => {}
            }
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}
