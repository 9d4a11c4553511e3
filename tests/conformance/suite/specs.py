"""The published specifications over everything that was recorded."""

import collections
import dataclasses
import json
import pathlib
import shutil
import subprocess
import tarfile

from arm_judge import ArmJudge
from kube_judge import KubeJudge, is_kubernetes
from schema import Documents
from tailnet_judge import BASE, TailnetJudge


HERE = pathlib.Path(__file__).resolve().parent.parent / "specifications"


def run(report, world, recorder):
    """One check per client and API: its traffic has no finding."""
    documents = Documents()
    for name, place, is_of, make in (
        ("Azure", azure(world.dir / "azure"), is_azure, ArmJudge),
        ("Tailscale", HERE / "tailscale.openapi.yaml", is_tailscale, TailnetJudge),
        ("Kubernetes", kubernetes(), is_kubernetes, KubeJudge),
    ):
        if place is None:
            report.skip(f"specifications of {name} over the recorded traffic", "there is no Go, or no module proxy, to get them with")
            continue
        judge = make(documents, place)
        exchanges = [one for one in list(recorder.exchanges) if is_of(one)]
        if not exchanges:
            report.skip(f"specifications of {name} over the recorded traffic", "nothing was recorded")
            continue
        findings = collections.defaultdict(list)
        for exchange in exchanges:
            findings[exchange.client].append((exchange, list(judge.findings(exchange))))
        for client, found in findings.items():
            judged(report, name, client, found)
        with report.check(f"specifications: {name}: what is made wrong is found"):
            spoilt = [(change.__doc__, one) for change in CHANGES for one in map(change, exchanges) if one is not None]
            assert spoilt, "nothing to make wrong"
            missed = [f"{what} {one}" for what, one in spoilt if not list(judge.findings(one))]
            assert not missed, "not found:\n" + "\n".join(missed[:10])


def azure(folder):
    """The specifications of Azure, unpacked."""
    with tarfile.open(HERE / "azure.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder / "specification"


def kubernetes():
    """The specification of the version that the world says it is, out of Kubernetes' own module; None if it cannot be had."""
    if not shutil.which("go"):
        return None
    done = subprocess.run(["go", "mod", "download", "-json", "k8s.io/kubernetes@v1.33.5"], capture_output=True, text=True)
    found = json.loads(done.stdout or "{}").get("Dir")
    return found and pathlib.Path(found) / "api/openapi-spec/v3"


def wrong_status(exchange):
    """A status that no operation declares."""
    return dataclasses.replace(exchange, status=207) if exchange.status == 200 and is_first(exchange) else None


def no_body(exchange):
    """An answer without the body that it must have."""
    is_read = exchange.method == "GET" and exchange.status == 200 and exchange.body.strip() and is_first(exchange) and "watch" not in exchange.query
    is_text = exchange.headers.get("content-type", "").startswith("text/plain")         # as of logs, which may have no line
    return dataclasses.replace(exchange, body=b"") if is_read and not is_text else None


def wrong_type(exchange):
    """A list where an object must be."""
    is_read = exchange.method == "GET" and exchange.status == 200 and exchange.body.startswith(b"{") and is_first(exchange)
    return dataclasses.replace(exchange, body=b"[1]") if is_read else None


def nameless_error(exchange):
    """An error that does not say what it is."""
    is_error = exchange.status in (400, 404, 409, 412) and exchange.method != "HEAD" and is_first(exchange)
    return dataclasses.replace(exchange, body=b"{}") if is_error else None


def wrong_metadata(exchange):
    """An object, given or answered, whose metadata are of the wrong type."""
    if not is_kubernetes(exchange) or exchange.status >= 400:
        return None
    if exchange.method in ("POST", "PUT") and exchange.request_body.startswith(b'{"'):
        return dataclasses.replace(exchange, request_body=json.dumps(json.loads(exchange.request_body) | {"metadata": 7}).encode())
    if exchange.method == "GET" and "watch" not in exchange.query and b'"kind":"Table"' not in exchange.body:
        is_object = exchange.body.startswith(b"{") and b'"metadata":' in exchange.body
        return dataclasses.replace(exchange, body=json.dumps(json.loads(exchange.body) | {"metadata": 7}).encode()) if is_object else None
    return None


CHANGES = (wrong_status, no_body, wrong_type, nameless_error, wrong_metadata)


def is_first(exchange):
    """Whether it is of a declared operation, not a poll or something that no specification at hand has."""
    path = exchange.path.lower()
    return not any(part in path for part in ("/locations/", "/operationresults/", "/operationstatuses/", "/nothings/"))


def judged(report, name, client, found):
    """A check that fails with every finding once, and an exchange that shows it."""
    with report.check(f"specifications: {name}, {client}: {len(found)} requests and answers without a finding"):
        shown = {}
        for exchange, problems in found:
            for problem in problems:
                shown.setdefault((shape(exchange), problem), exchange)
        lines = [f"{problem}\n    {exchange}" for (_, problem), exchange in shown.items()]
        assert not lines, "\n".join(lines[:60])


def shape(exchange):
    """What makes findings the same: the method and the path without its names."""
    return exchange.method, "/".join(exchange.path.split("/")[5::2])


def is_azure(exchange):
    return exchange.path.lower().startswith(("/subscriptions", "/providers", "/tenants"))


def is_tailscale(exchange):
    return exchange.path.startswith(BASE)
