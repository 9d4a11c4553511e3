"""The product's own binary: every workflow that ships, from an empty datacenter to nodes of it with routes; then each again."""

import json
import subprocess
import urllib.request

import kubectl
from kubectl import SITE, WORKER
from report import same
from world import CLUSTER, LOCATION, environment

HERE = "198.51.100.0/24"                                  # where this machine is, in a world on loopback: a range for documentation
THE_CLUSTER = {"cluster": CLUSTER, "cluster_resource_group": CLUSTER}
ROUTER = {
    "cluster": CLUSTER,
    "resource_group": CLUSTER,
    "router": f"{CLUSTER}-router",
    "router_subnet": "10.237.0.0/24",
    "ssh_source": HERE,
}
DATACENTER = THE_CLUSTER | {
    "site": SITE,
    "resource_group": SITE,
    "location": LOCATION,
    "router": f"{SITE}-router",
    "workers": json.dumps([{"name": WORKER, "private_ip": "10.50.1.5"}]),
    "ssh_source": HERE,
}

# A run's lock in the cluster, which each run takes and releases.
LOCK = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/stargate-lock-"


def run(report, world, recorder):
    """Runs the workflows through the recorder."""
    with open(world["ssh_public_key"], encoding="utf-8") as file:
        key = {"ssh_public_key": file.read().strip()}
    workflows = (
        ("cluster-objects", {}),
        ("provision-aks-router", ROUTER | key),
        ("provision-dc", DATACENTER | key),
        ("repave-worker", THE_CLUSTER | {"worker": WORKER} | kubelet(world)),
        ("sync-pod-routes", THE_CLUSTER),
    )
    for name, inputs in workflows:
        with report.check(f"stargate: {name}"):
            stargate(world, recorder, name, inputs)
    for name, inputs in workflows:
        with report.check(f"stargate: {name} again makes no write"):
            before = writes(recorder)
            stargate(world, recorder, name, inputs)
            same(writes(recorder)[len(before):], [], "writes")
    kubectl.each(report, world, recorder, (kubectl.products,))


def kubelet(world):
    """The kubelet of the cluster's version out of the world's mirror, as inputs."""
    resources = world.control("state")["arm"]["resources"].values()
    versions = (one.get("properties", {}).get("currentKubernetesVersion") for one in resources)
    version = "v" + next(filter(None, versions))
    with urllib.request.urlopen(f"{world['http']}/_mirror/index.json", timeout=30) as answer:
        checksums = json.loads(answer.read())
    return {
        "kubelet_version": version,
        "kubelet_sha256": checksums[f"kubernetes/{version}/bin/linux/amd64/kubelet"],
        "kubernetes_mirror": f"{world['http']}/_mirror/kubernetes",
    }


def writes(recorder):
    """Requests of the product that were to change something, without those for tokens and locks."""
    ours = [one for one in recorder.exchanges if one.client in ("stargate", "nobody") and one.method not in ("GET", "HEAD")]
    return [str(one) for one in ours if not one.path.endswith("/oauth/token") and not one.path.startswith(LOCK)]


def stargate(world, recorder, workflow, inputs):
    words = [world.program, "run", "workflow", workflow, "-o", "json"]
    for name, value in inputs.items():
        words += ["--input", f"{name}={value}"]
    variables = environment(
        XDG_STATE_HOME=str(world.dir / "state"),
        STARGATE_JOURNAL=str(world.dir / "journal.db"),
        STARGATE_AZURE_ENDPOINT=recorder.https,
        STARGATE_AZURE_CA=world["ca"],
        STARGATE_AZURE_SUBSCRIPTION=world["subscription"],
        STARGATE_AZURE_TOKEN="env:SIM_TOKEN",
        SIM_TOKEN=world["token"],
        STARGATE_KUBECONFIG=recorder.kubeconfig,
        STARGATE_TAILSCALE_ENDPOINT=recorder.http,
        TAILSCALE_CLIENT_ID=world["tailscale_client_id"],
        TAILSCALE_CLIENT_SECRET=world["tailscale_client_secret"],
        STARGATE_SSH_CONFIG=world["ssh_config"],
    )
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    json.loads(done.stdout.splitlines()[-1])
