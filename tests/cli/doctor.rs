use std::net::TcpListener;

use serde_json::{Value, json};
use stargate::journal::{Journal, SqliteJournal};

use crate::{
    fake,
    program::{Program, ProgramOutput},
    sqlite,
    world::SimWorld,
};

const ALL: [&str; 15] = [
    "journal.open",
    "journal.disk",
    "ssh.client",
    "ssh.config",
    "azure.credential",
    "azure.subscription",
    "azure.clock",
    "azure.permissions",
    "tailscale.credential",
    "tailscale.tailnet",
    "kubernetes.kubeconfig",
    "kubernetes.api",
    "kubernetes.permissions",
    "kubernetes.objects",
    "kubernetes.shape",
];

/// Workflow that needs only ssh.
const REACHABLE: &str = "
name: reachable
inputs: {host: {type: object}}
steps:
  host:
    uses: ssh.host.reachable
    with: {host: '${{ inputs.host }}'}
";

/// Findings of `doctor`. The environment of the program is changed by `other`; an empty value
/// removes a variable.
struct DoctorReport(Vec<Value>, ProgramOutput);

impl DoctorReport {
    fn of(program: &Program, code: i32, other: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = program.command(&[&["doctor", "-o", "json"], arguments].concat());
        for (name, value) in other {
            command.env(name, value);
        }
        let ran = ProgramOutput::of(&mut command);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        Self(ran.json().as_array().unwrap().clone(), ran)
    }

    fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|check| check["id"].as_str().unwrap()).collect()
    }

    fn check(&self, id: &str) -> &Value {
        self.0.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {:?}", self.1))
    }

    /// Asserts the status of a check, and that message and hint contain these words.
    fn expect(&self, id: &str, status: &str, message: &[&str], hint: &[&str]) {
        let check = self.check(id);
        assert_eq!(check["status"], status, "{check}");
        for (words, field) in [(message, "message"), (hint, "hint")] {
            let text = check[field].as_str().unwrap_or_default();
            assert!(words.iter().all(|word| text.contains(word)), "{field} of {id} contains {words:?}: {check}");
        }
    }

    /// Asserts that the checks were skipped because of another one.
    fn skipped(&self, ids: &[&str], without: &str) {
        for id in ids {
            self.expect(id, "skipped", &[without], &[]);
        }
    }

    /// Asserts that all other checks are ok.
    fn others_are_ok(&self, except: &[&str]) {
        let bad = |check: &&Value| check["status"] != "ok" && !except.iter().any(|id| check["id"] == *id);
        assert_eq!(self.0.iter().find(bad), None, "{:?}", self.1);
    }
}

#[test]
fn all_checks_pass_in_a_complete_environment_and_nothing_is_written() {
    let world = SimWorld::open("200");
    let program = world.program();
    let before = world.writes();
    let found = DoctorReport::of(&program, 0, &[], &[]);
    assert_eq!(found.ids(), ALL);
    found.others_are_ok(&[]);
    assert!(found.check("azure.permissions")["required"].as_array().unwrap().len() > 20);
    found.expect("azure.credential", "ok", &["env:SIM_TOKEN"], &[]);
    found.expect("kubernetes.api", "ok", &["v1.33.5"], &[]);
    assert_eq!(world.writes(), before);
    assert!(!program.path(".local").exists() && !program.path(".ssh").exists());

    let text = program.expect(0, &["doctor"]);
    let lines: Vec<_> = text.out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(lines, ALL);
    assert!(text.err.contains("15 checks: 0 failed, 0 skipped, 0 warnings"), "{text:?}");
}

#[test]
fn only_checks_of_the_named_workflows_run() {
    let world = SimWorld::open("200");
    let program = world.program();
    let machine = DoctorReport::of(&program, 0, &[("STARGATE_KUBECONFIG", "/none")], &["machine.yaml"]);
    assert_eq!(machine.ids(), ["journal.open", "journal.disk", ALL[4], ALL[5], ALL[6], ALL[7]]);
    let needed = &machine.check("azure.permissions")["required"];
    assert!(needed.to_string().contains("virtualMachines/write") && !needed.to_string().contains("routeTables/write"));
    let objects = DoctorReport::of(&program, 0, &[("SIM_TOKEN", "")], &["cluster-objects"]);
    assert_eq!(objects.ids(), ["journal.open", "journal.disk", ALL[10], ALL[11], ALL[12], ALL[13], ALL[14]]);
    program.write(
        "cilium.yaml",
        "name: c\nsteps: {n: {uses: cilium.node.ensure, with: {name: n, pod_cidrs: [10.244.64.0/24]}}}\n",
    );
    let cilium = DoctorReport::of(&program, 0, &[], &["cilium.yaml"]);
    assert_eq!(cilium.ids(), ["journal.open", "journal.disk", ALL[10], ALL[11], ALL[12], ALL[13], ALL[14]]);
    let required = json!(["get ciliumnodes.cilium.io", "get namespaces/kube-system", "patch ciliumnodes.cilium.io"]);
    assert_eq!(cilium.check(ALL[12])["required"], required);
    program.expect(64, &["doctor", "no-such-workflow"]).hint();
}

#[test]
fn a_workflow_that_cannot_be_checked_is_reported_and_the_others_are_checked() {
    let world = SimWorld::open("200");
    let program = world.program();
    program.write("broken.yaml", "name: b\nsteps: {n: {uses: no.such.action}}\n");
    let named = ["missing.yaml", "no-such-workflow", "broken.yaml", "cluster-objects"];
    let found = DoctorReport::of(&program, 65, &[], &named);
    let unchecked = ["workflow"; 3];
    assert_eq!(
        found.ids(),
        [&unchecked[..], &["journal.open", "journal.disk", ALL[10], ALL[11], ALL[12], ALL[13], ALL[14]]].concat()
    );
    for (finding, (name, words)) in found.0.iter().zip([
        ("missing.yaml", "cannot read workflow missing.yaml: "),
        ("no-such-workflow", "no-such-workflow"),
        ("broken.yaml", "broken.yaml: 1 error"),
    ]) {
        assert_eq!(finding["status"], "failed");
        assert!(finding["message"].as_str().unwrap().contains(words), "{finding}");
        assert!(finding["summary"].as_str().unwrap().contains(name) && finding["hint"].is_string(), "{finding}");
    }
    assert_eq!(found.0[2]["diagnostics"][0]["line"], 2);
    found.others_are_ok(&["workflow"]);

    let text = program.expect(64, &["doctor", "no-such-workflow", "cluster-objects"]);
    assert!(
        text.err.contains("7 checks: 0 failed, 0 skipped, 0 warnings; 1 workflow could not be checked"),
        "{text:?}"
    );
    assert!(text.out.contains("kubernetes.objects"), "{text:?}");
    assert_eq!(text.hint(), "follow the hints of the failed checks, then run the same command again");
}

#[test]
fn azure_errors_have_a_hint() {
    let world = SimWorld::open("200");
    let program = world.program();
    let rest = ["azure.subscription", "azure.permissions"];

    let refused = DoctorReport::of(&program, 3, &[("SIM_TOKEN", "planted-token")], &[]);
    refused.expect("azure.credential", "failed", &["does not accept the token of env:SIM_TOKEN"], &["token"]);
    refused.skipped(&rest, "azure.credential");
    refused.others_are_ok(&["azure.credential", rest[0], rest[1]]);
    assert!(!refused.1.out.contains("planted-token") && !refused.1.err.contains("planted-token"));
    assert_eq!(refused.1.hint(), "follow the hints of the failed checks, then run the same command again");

    let unset = DoctorReport::of(&program, 3, &[("SIM_TOKEN", "")], &["machine.yaml"]);
    unset.expect("azure.credential", "failed", &["env:SIM_TOKEN"], &[]);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("http://{free}");
    let dead = DoctorReport::of(&program, 3, &[("STARGATE_AZURE_ENDPOINT", &dead)], &["machine.yaml"]);
    dead.expect("azure.credential", "failed", &["cannot connect"], &["curl -sI http://127.0.0.1"]);
    dead.expect("azure.clock", "skipped", &["cannot connect"], &[]);

    let other = "99999999-9999-4999-8999-999999999999";
    let other = DoctorReport::of(&program, 3, &[("STARGATE_AZURE_SUBSCRIPTION", other)], &[]);
    other.expect("azure.subscription", "failed", &["99999999"], &["az account list", "--azure-subscription"]);
    other.skipped(&rest[1..], "azure.subscription");
    let none = DoctorReport::of(&program, 3, &[("STARGATE_AZURE_SUBSCRIPTION", "")], &[]);
    none.expect("azure.subscription", "failed", &["no subscription is given"], &["AZURE_SUBSCRIPTION_ID"]);
}

#[test]
fn a_missing_azure_permission_is_named() {
    let world = SimWorld::open("200");
    let program = world.program();
    let write = "Microsoft.Network/networkInterfaces/write";
    let set = |operation: &str, group: Value, on: bool| {
        let drift = json!({ "kind": "permission", "operation": operation, "group": group, "on": on });
        world.ask("POST", "drift", &drift);
    };
    set(write, Value::Null, false);
    set("Microsoft.Network/routeTables/write", Value::Null, false);
    let found = DoctorReport::of(&program, 3, &[], &["machine.yaml"]);
    found.expect(
        "azure.permissions",
        "failed",
        &["1 of ", write],
        &["az role assignment create", "/subscriptions/4465"],
    );
    assert!(!found.check("azure.permissions")["message"].to_string().contains("routeTables"), "{:?}", found.1);
    // The simulator enforces it.
    let ran = program.expect(3, &["run", "workflow", "machine.yaml", "--input", "name=m"]);
    assert!(ran.err.contains("AuthorizationFailed") && ran.err.contains(write), "{ran:?}");

    set(write, json!("stargate-aks-e2e-7"), true);
    let found = DoctorReport::of(&program, 0, &[], &["machine.yaml"]);
    found.expect("azure.permissions", "warning", &["stargate-aks-e2e-7 only", write], &["reach beyond"]);
    set(write, Value::Null, true);
    DoctorReport::of(&program, 0, &[], &["machine.yaml"]).others_are_ok(&[]);
}

/// Serves the requests of the Azure checks, with a clock that differs by `seconds`.
fn azure_at(seconds: i64) -> String {
    fake::serve(move |_| {
        let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        (
            r#"{"displayName":"Fake","subscriptionId":"s","state":"Disabled"}"#.into(),
            then.strftime("%a, %d %b %Y %T GMT").to_string(),
        )
    })
}

#[test]
fn clock_skew_and_a_disabled_subscription_are_reported() {
    let program = SimWorld::open("200").program();
    for (seconds, status, side) in [(-45, "warning", "ahead of"), (400, "failed", "behind"), (5, "ok", "agrees")] {
        let url = azure_at(seconds);
        let found = DoctorReport::of(&program, 3, &[("STARGATE_AZURE_ENDPOINT", &url)], &["machine.yaml"]);
        let hint: &[&str] = if status == "ok" { &[] } else { &["timedatectl set-ntp true"] };
        found.expect("azure.clock", status, &[side], hint);
        found.expect("azure.subscription", "failed", &["is Disabled"], &["az account subscription enable --id s"]);
    }
}

#[test]
fn tailscale_errors_have_a_hint() {
    let world = SimWorld::open("200");
    let program = world.program();
    let wrong = DoctorReport::of(&program, 3, &[("TAILSCALE_CLIENT_SECRET", "planted-secret")], &[]);
    wrong.expect("tailscale.credential", "failed", &["OAuth"], &["OAuth client"]);
    wrong.skipped(&["tailscale.tailnet"], "tailscale.credential");
    assert!(!wrong.1.out.contains("planted-secret"), "{:?}", wrong.1);
    let unset = DoctorReport::of(&program, 3, &[("TAILSCALE_CLIENT_ID", "")], &[]);
    unset.expect("tailscale.credential", "failed", &["env:TAILSCALE_CLIENT_ID"], &["TAILSCALE_CLIENT_ID"]);
    let elsewhere = DoctorReport::of(&program, 3, &[("STARGATE_TAILSCALE_TAILNET", "nobody.example")], &[]);
    elsewhere.expect("tailscale.tailnet", "failed", &["404"], &["--tailscale-tailnet"]);

    let narrow = fake::serve(|path| {
        let token =
            r#"{"access_token":"planted-token","token_type":"Bearer","expires_in":3600,"scope":"devices:core"}"#;
        let body = if path.ends_with("/token") { token } else { r#"{"devices":[]}"# };
        (body.into(), "Tue, 24 Nov 2026 06:00:00 GMT".into())
    });
    let narrow = DoctorReport::of(&program, 3, &[("STARGATE_TAILSCALE_ENDPOINT", &narrow)], &["provision-aks-router"]);
    narrow.expect("tailscale.tailnet", "failed", &["auth_keys", "devices:routes"], &["auth_keys, devices:routes"]);
    assert!(!narrow.check("tailscale.tailnet")["message"].to_string().contains("devices:core"), "{:?}", narrow.1);
}

#[test]
fn kubernetes_errors_have_a_hint() {
    let world = SimWorld::open("200");
    let program = world.program();
    let none = DoctorReport::of(&program, 3, &[("STARGATE_KUBECONFIG", "/none/kubeconfig")], &["cluster-objects"]);
    none.expect("kubernetes.kubeconfig", "failed", &["/none/kubeconfig"], &["--kubeconfig FILE"]);
    none.skipped(&["kubernetes.api", "kubernetes.permissions", "kubernetes.objects"], "kubernetes.");

    let good = std::fs::read_to_string(world.text("kubeconfig")).unwrap();
    let server = good.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    program.write("dead", &good.replace(server, &format!("https://{free}")));
    let dead = DoctorReport::of(&program, 3, &[("STARGATE_KUBECONFIG", "dead")], &["cluster-objects"]);
    dead.expect("kubernetes.kubeconfig", "ok", &["dead", &free.to_string()], &[]);
    dead.expect("kubernetes.api", "failed", &["/version", "refused"], &["kubectl cluster-info"]);
    dead.skipped(&["kubernetes.permissions", "kubernetes.objects"], "kubernetes.api");

    let token = good.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
    program.write("stranger", &good.replace(token, "planted-token"));
    let stranger = DoctorReport::of(&program, 3, &[("STARGATE_KUBECONFIG", "stranger")], &["cluster-objects"]);
    stranger.expect("kubernetes.api", "failed", &["nauthorized"], &["az aks get-credentials"]);
    assert!(!stranger.1.out.contains("planted-token"), "{:?}", stranger.1);
}

#[test]
fn ssh_errors_have_a_hint() {
    let program = SimWorld::open("200").program();
    program.write("reachable.yaml", REACHABLE);
    program.write("ssh_config", "Host *\n    Nonsense yes\n");
    let run = |file: &str| DoctorReport::of(&program, 3, &[("STARGATE_SSH_CONFIG", file)], &["reachable.yaml"]);
    run("ssh_config").expect("ssh.config", "failed", &["ssh_config", "onsense"], &["ssh -G -F "]);
    run("none").expect("ssh.config", "failed", &["none", "No such file"], &["--ssh-config PATH"]);
    run(".").expect("ssh.config", "failed", &["cannot be read"], &["--ssh-config PATH"]);
    let without = DoctorReport::of(&program, 3, &[("PATH", "/none")], &["reachable.yaml"]);
    without.expect("ssh.client", "failed", &["cannot be run"], &["apt-get install openssh-client"]);
    without.skipped(&["ssh.config"], "ssh.client");
}

#[tokio::test]
async fn the_journal_is_checked_and_not_changed() {
    let program = Program::new();
    program.write("reachable.yaml", REACHABLE);
    let check = |code, path: &str| DoctorReport::of(&program, code, &[("STARGATE_JOURNAL", path)], &["reachable.yaml"]);
    check(0, "folder/journal.db").expect("journal.open", "ok", &["does not exist yet"], &[]);
    assert!(!program.path("folder").exists());

    let path = program.path("journal.db");
    let journal = SqliteJournal::open(&path).await.unwrap();
    check(0, "journal.db").expect("journal.open", "ok", &["is intact, schema 6"], &[]);
    journal.close().await.unwrap();
    sqlite::downgrade_to_schema_1(&path).await;
    let before = std::fs::read(&path).unwrap();
    check(0, "journal.db").expect("journal.open", "ok", &["schema 1", "migrates it to 6"], &[]);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(!program.path("journal.db-wal").exists() && !program.path("journal.db-shm").exists());

    let journal = SqliteJournal::open(&path).await.unwrap();
    sqlite::upgrade_to_schema(&path, 99).await;
    check(3, "journal.db").expect(
        "journal.open",
        "failed",
        &["schema 99 is newer"],
        &["version of stargate that wrote it"],
    );
    journal.close().await.unwrap();

    let mut torn = std::fs::read(&path).unwrap();
    torn.truncate(torn.len() / 2);
    std::fs::write(program.path("torn.db"), torn).unwrap();
    check(3, "torn.db").expect("journal.open", "failed", &["damaged"], &["backup"]);
    program.write("text", &"this is not a database, and longer than a header would be: ".repeat(40));
    check(3, "text").expect("journal.open", "failed", &["not a journal"], &["--journal PATH"]);
    check(3, ".").expect("journal.open", "failed", &["not a file"], &["--journal PATH"]);
    check(3, "text/journal.db").expect("journal.open", "failed", &["journal.db"], &["--journal PATH"]);
}
