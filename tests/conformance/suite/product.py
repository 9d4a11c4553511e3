"""The product's own binary: the whole provision-aks-router, twice, and the cluster's objects."""

import json
import subprocess

from report import same
from world import CLUSTER, environment

INPUTS = {
    "cluster": CLUSTER,
    "resource_group": CLUSTER,
    "router": f"{CLUSTER}-router",
    "router_subnet": "10.237.0.0/24",
    "datacenter_prefixes": "10.50.0.0/16",
}


def run(report, world, recorder):
    """Runs the workflows through the recorder."""
    with report.check("stargate: cluster-objects, and again"):
        for _ in range(2):
            stargate(world, recorder, "cluster-objects", {})
    with report.check("stargate: provision-aks-router over HTTPS"):
        provision(world, recorder)
    with report.check("stargate: a second run makes no write"):
        before = writes(recorder)
        provision(world, recorder)
        same(writes(recorder), before, "writes")


def writes(recorder):
    """Requests of the product that were to change something."""
    ours = [one for one in recorder.exchanges if one.client in ("stargate", "nobody")]
    return [str(one) for one in ours if one.method not in ("GET", "HEAD") and not one.path.endswith("/oauth/token")]


def provision(world, recorder):
    with open(world["ssh_public_key"], encoding="utf-8") as file:
        inputs = INPUTS | {"ssh_public_key": file.read().strip()}
    stargate(world, recorder, "provision-aks-router", inputs)


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
