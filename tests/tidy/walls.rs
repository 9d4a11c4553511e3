//! Walls between crates by their roles, and between the modules of the library.

use crate::{
    sources::{below, root},
    workspace::{PACKAGES, Package, find, with_role},
};

/// Modules of the library in order. Each may use those before it.
const MODULES: [&str; 6] = ["workflow", "plan", "run", "journal", "engine", "schedule"];

/// Roles of the workspace's packages that a package of this role may depend on.
fn allowed(role: &str) -> &'static [&'static str] {
    match role {
        "test" => &["contract", "foundation", "provider", "simulator", "product"],
        "product" => &["contract", "foundation", "provider", "simulator"],
        "provider" | "foundation" => &["contract", "foundation"],
        "contract" | "simulator" => &[],
        other => panic!("{other:?} is not a role: product, contract, foundation, provider, simulator or test"),
    }
}

/// Fails if a line of code below `folder`, outside of `except`, contains one of `forbidden`.
fn check(folder: &str, except: &[&str], forbidden: &[String], rule: &str) {
    let mut findings = vec![];
    for file in below(folder).iter().filter(|file| !except.iter().any(|except| file.path.starts_with(except))) {
        for (number, line) in file.code() {
            for word in forbidden.iter().filter(|word| line.contains(*word)) {
                findings.push(format!("{}:{number}: {word}", file.path.display()));
            }
        }
    }
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn role(package: &Package) -> &str {
    let hint = "add `[package.metadata.stargate]` with `role = \"…\"` to its Cargo.toml";
    package.role.as_deref().unwrap_or_else(|| panic!("package {} has no role: {hint}", package.name))
}

#[test]
fn a_package_depends_only_on_packages_of_the_roles_below_it() {
    for package in PACKAGES.iter() {
        for dependency in package.dependencies.iter().filter_map(|name| find(name)) {
            let (from, to) = (role(package), role(dependency));
            let why = format!("{} ({from}) must not depend on {} ({to})", package.name, dependency.name);
            assert!(dependency.name == package.name || allowed(from).contains(&to), "{why}");
        }
    }
}

#[test]
fn every_role_exists() {
    for role in ["product", "contract", "foundation", "provider", "simulator", "test"] {
        assert!(with_role(role).next().is_some(), "no package has the role {role}");
    }
}

#[test]
fn a_module_of_the_library_uses_only_the_modules_before_it() {
    for (index, module) in MODULES.iter().enumerate() {
        for later in &MODULES[index + 1..] {
            let uses = [format!("crate::{later}"), format!("    {later}::{{")];
            check(&format!("src/{module}"), &[], &uses, &format!("{module} must not use {later}"));
        }
    }
}

#[test]
fn the_library_names_no_provider_and_no_simulator() {
    let providers: Vec<String> = with_role("provider").map(Package::crate_name).collect();
    check("src", &["src/wiring.rs"], &providers, "only wiring names providers");
    let simulators: Vec<String> = with_role("simulator").map(Package::crate_name).collect();
    let except = ["src/cli/command/sim.rs", "src/cli/command/demo", "src/cli/demo"];
    check("src", &except, &simulators, "only `stargate sim` and `stargate demo` name the simulator");
}

#[test]
fn the_simulator_names_no_crate_that_it_judges() {
    let judged = PACKAGES.iter().filter(|package| package.role.as_deref() != Some("simulator"));
    let judged: Vec<String> = judged.map(|package| format!("{}::", package.crate_name())).collect();
    check("plugins/sim/src", &[], &judged, "the judge shares no code with what it judges");
}

#[test]
fn only_the_journal_contains_sql() {
    let sql = words(&["sqlx", "SELECT ", "INSERT INTO"]);
    check("src", &["src/journal"], &sql, "only src/journal contains SQL");
}

#[test]
fn the_pure_modules_do_no_io_and_read_no_clock() {
    let io = words(&["std::fs", "TcpStream", "TcpListener", "UdpSocket", "std::process", "std::env", "tokio::"]);
    let time = words(&["Clock", "SystemTime", "Instant::now", "async fn"]);
    for module in ["src/plan", "src/run", "src/workflow"] {
        check(module, &["src/plan/tests"], &io, "the pure modules do no I/O");
        check(module, &["src/plan/tests"], &time, "the pure modules read no clock");
    }
}

#[test]
fn calls_are_sent_only_by_functions_that_take_a_permit() {
    let sending = words(&[".send().await", ".execute(request)", "client.send(", "client.connect(", "raw_command("]);
    let with_permit = [
        "plugins/client/src/fenced_body.rs",
        "plugins/kubernetes-client/src/client.rs",
        "plugins/kubernetes-client/src/exec.rs",
        "plugins/ssh/src/client/connection.rs",
    ];
    for provider in ["azure", "cilium", "client", "kubernetes", "kubernetes-client", "ssh", "tailscale"] {
        let folder = format!("plugins/{provider}/src");
        check(&folder, &with_permit, &sending, "only functions that take a `CallPermit` send calls");
    }
}

#[test]
fn only_settings_reads_the_environment() {
    check("src", &["src/cli/settings.rs"], &words(&["env::var"]), "only cli/settings reads the environment");
}

#[test]
fn only_ui_prints() {
    let printing = ["println!", "eprintln!", "print!(", "std::io::stdout", "std::io::stderr", "io::stdout()"];
    let printing = words(&[&printing[..], &["io::stderr()"]].concat());
    check("src", &["src/cli/ui.rs"], &printing, "only cli/ui prints");
}

#[test]
fn each_dependency_has_its_reason_next_to_it() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = text.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let external = table.lines().filter(|line| line.contains(" = ") && !line.contains("path = "));
    let bare: Vec<&str> = external.filter(|line| !line.contains(" # ")).collect();
    assert!(bare.is_empty(), "without a reason: {bare:?}");
}
