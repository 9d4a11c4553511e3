use serde_json::Value;

use crate::{program::Program, world::SimWorld};

/// Workflow that uses Azure, the cluster and the tailnet, and then needs an approval.
const GATE: &str = r"
name: gate
steps:
  devices: {uses: tailscale.devices.list, with: {}}
  group:
    uses: azure.resource_group.ensure
    with: {name: one, location: canadacentral}
  one:
    uses: kubernetes.manifest.apply
    needs: [devices, group]
    with: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: default}, data: {a: b}}}
  two:
    uses: azure.resource_group.ensure
    needs: [one]
    approval: Go on?
    with: {name: two, location: canadacentral}
  three:
    uses: kubernetes.manifest.apply
    needs: [two]
    with: {manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: three, namespace: default}, data: {a: b}}}
";

/// Two worlds, a program in each, and a journal that both programs use.
struct TwoWorlds {
    worlds: [SimWorld; 2],
    here: Program,
    there: Program,
    journal: String,
}

impl TwoWorlds {
    /// Runs [`GATE`] in the first world up to its approval, and approves it.
    fn open() -> Self {
        let worlds = [SimWorld::open("1000"), SimWorld::open("1000")];
        let (here, there) = (worlds[0].program(), worlds[1].program());
        here.write("gate.yaml", GATE);
        let journal = here.path("shared.db").display().to_string();
        Self { worlds, here, there, journal }
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--journal", &self.journal]].concat()
    }
}

#[test]
fn a_run_names_the_systems_it_works_on_and_is_refused_in_others() {
    let two = TwoWorlds::open();
    let [first, second] = &two.worlds;
    let ran = two.here.expect(10, &two.arguments(&["run", "workflow", "gate.yaml"]));
    let head: Vec<_> = ran.err.lines().skip(1).take(3).collect();
    for (line, part) in
        head.iter().zip(["works on subscription ", "works on cluster https://", "works on tailnet tail"])
    {
        assert!(line.contains(part), "{part}: {ran:?}");
    }
    two.here.expect(0, &two.arguments(&["approve", "@latest", "two"]));

    let (before, entries) = (second.writes(), entries(&two));
    let refused = two.there.expect(64, &two.arguments(&["resume"]));
    for part in ["works on subscription ", ", and the settings name subscription "] {
        assert!(refused.err.contains(part), "{part}: {refused:?}");
    }
    assert!(refused.hint().contains("--azure-subscription") && refused.hint().contains("run workflow"), "{refused:?}");
    // One other system is enough.
    let (azure, kubeconfig, tailnet) = (first.text("http"), second.text("kubeconfig"), second.text("http"));
    let cluster = two.here.expect(64, &two.arguments(&["resume", "--kubeconfig", &kubeconfig]));
    for part in [first.text("kubeconfig"), kubeconfig] {
        assert!(cluster.err.contains(&part), "both are named: {cluster:?}");
    }
    assert!(cluster.hint().contains("--kubeconfig FILE"), "{cluster:?}");
    let other_tailnet = two.here.expect(64, &two.arguments(&["resume", "--tailscale-endpoint", &tailnet]));
    assert!(other_tailnet.err.contains("works on tailnet tail"), "{other_tailnet:?}");
    let nothing = two.here.expect(64, &two.arguments(&["resume", "--kubeconfig", "/none"]));
    assert!(nothing.err.contains("which the settings do not lead to"), "{nothing:?}");
    assert_eq!(second.writes(), before, "nothing was written to the other world");
    assert_eq!(self::entries(&two), entries, "nothing was written to the run");

    let resumed = two.here.expect(0, &two.arguments(&["resume", "--azure-endpoint", &azure]));
    assert!(resumed.err.contains("works on tailnet tail"), "{resumed:?}");
    assert_eq!(second.writes(), before);
}

fn entries(two: &TwoWorlds) -> Value {
    two.here.expect(0, &two.arguments(&["history", "@latest", "-o", "json"])).json()["entries"].clone()
}

#[test]
fn the_systems_of_a_run_are_in_its_history_and_in_json() {
    let two = TwoWorlds::open();
    let ran = two.here.expect(10, &two.arguments(&["run", "workflow", "gate.yaml", "-o", "json"]));
    let events = ran.json_lines();
    let bound = events.iter().find(|event| event["event"] == "run_bound").unwrap();
    let names: Vec<_> = bound["targets"].as_array().unwrap().iter().map(|each| each["target"].clone()).collect();
    assert_eq!(names, ["azure", "kubernetes", "tailscale"]);
    assert!(bound["targets"][1]["address"].as_str().unwrap().starts_with("https://"), "{bound}");
    let history = two.here.expect(0, &two.arguments(&["history", "@latest", "-o", "json"])).json();
    for name in ["azure", "kubernetes", "tailscale"] {
        assert!(history["targets"][name]["id"].is_string(), "{name}: {history}");
    }
    let shown = two.here.expect(0, &two.arguments(&["history", "@latest"]));
    let why = two.here.expect(0, &two.arguments(&["why"]));
    for part in ["works on subscription", "works on cluster", "works on tailnet"] {
        assert!(shown.out.contains(part) && why.out.contains(part), "{part}: {shown:?} {why:?}");
    }
}

#[test]
fn a_run_of_which_a_system_is_not_reached_is_bound_when_a_step_uses_it() {
    let two = TwoWorlds::open();
    // The cluster is found only after the first step has failed without it.
    let kubeconfig = two.here.path("later").display().to_string();
    let run = two.arguments(&["run", "workflow", "gate.yaml", "--kubeconfig", &kubeconfig]);
    let ran = two.here.expect(3, &run);
    assert!(ran.err.contains("kubernetes is identified when a step uses it: "), "{ran:?}");
    std::fs::copy(two.worlds[0].text("kubeconfig"), &kubeconfig).unwrap();
    two.here.expect(10, &two.arguments(&["resume", "--kubeconfig", &kubeconfig]));
    two.here.expect(0, &two.arguments(&["approve", "@latest", "two"]));
    let other = two.worlds[1].text("kubeconfig");
    two.here.expect(64, &two.arguments(&["resume", "--kubeconfig", &other]));
    // The same cluster under another file is the same cluster.
    two.here.expect(0, &two.arguments(&["resume"]));
}
