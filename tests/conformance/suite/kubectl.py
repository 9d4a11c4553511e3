"""Two versions of the stock `kubectl` against the world's cluster."""

import base64
import json
import pathlib
import subprocess

from report import same
from world import CLUSTER, environment

# The versions beside the world's own 1.33 and the newest that Go modules have.
VERSIONS = ("1.33.5", "1.37.2")
# What the part of the product makes.
SITE = f"{CLUSTER}-dc"
WORKER = "worker-1"
NODE = "aks-nodepool1-41954725-vmss000000"
HERE = pathlib.Path(__file__).resolve().parent.parent

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{x: '{}'}}\n"
BUDGET = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {minAvailable: 1, selector: {matchLabels: {app: held}}}\n"
HELD = """apiVersion: v1
kind: Pod
metadata: {{name: held, labels: {{app: held}}}}
spec: {{nodeName: {node}, containers: [{{name: one, image: "x:1"}}, {{name: two, image: "x:1"}}]}}
"""
DEFINITION = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.conformance.example}
spec:
  group: conformance.example
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, listKind: BoatList, shortNames: [bt]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: Sails, type: integer, jsonPath: .spec.sails}]
    schema:
      openAPIV3Schema:
        type: object
        properties: {spec: {type: object, properties: {sails: {type: integer, description: How many sails it has.}}}}
"""
BOAT = "apiVersion: conformance.example/v1\nkind: Boat\nmetadata: {{name: ann}}\nspec: {{sails: {}}}\n"


class Kubectl:
    """One `kubectl` in a namespace of its own."""

    def __init__(self, program, version, world, recorder):
        self.version = version
        self.namespace = "kubectl-" + version.replace(".", "-")
        self.folder = world.dir / self.namespace
        self.folder.mkdir(exist_ok=True)
        self.program = program
        self.environment = environment(HOME=str(self.folder), KUBECONFIG=recorder.kubeconfig)

    def run(self, words, stdin=None, **variables):
        words = [self.program, f"--namespace={self.namespace}", *words]
        return subprocess.run(words, input=stdin, env=self.environment | variables, capture_output=True, text=True, timeout=90)

    def __call__(self, command, *more, stdin=None, **variables):
        """What a command prints, which must succeed."""
        done = self.run([*command.split(), *more], stdin, **variables)
        assert done.returncode == 0, f"kubectl {command}: exit code {done.returncode}\n{done.stdout[-800:]}\n{done.stderr[-800:]}"
        return done.stdout

    def prints(self, command, wanted, *more, stdin=None, **variables):
        printed = self(command, *more, stdin=stdin, **variables)
        assert wanted in printed, f"kubectl {command} does not print {wanted!r}:\n{printed[-800:]}"

    def fails(self, command, wanted, *more, stdin=None):
        done = self.run([*command.split(), *more], stdin)
        assert done.returncode and wanted in done.stderr + done.stdout, f"kubectl {command}: {done.returncode}\n{done.stdout}\n{done.stderr}"


def run(report, world, recorder):
    """Every area with each version."""
    each(report, world, recorder, (reads, objects, server_side, workloads, nodes, access, customs, pods))


def each(report, world, recorder, areas):
    """Some areas with each version."""
    for version in VERSIONS:
        done = subprocess.run([HERE / "kubectl.sh", version], capture_output=True, text=True, timeout=900)
        if done.returncode:
            report.skip(f"kubectl {version}", done.stderr.strip()[-500:])
            continue
        kubectl = Kubectl(done.stdout.strip(), version, world, recorder)
        for area in areas:
            with report.check(f"kubectl {version}: {area.__doc__}"):
                area(kubectl)


def reads(k):
    """create namespace, version, api-resources, explain, get in every form, describe"""
    k(f"create namespace {k.namespace}")
    same(json.loads(k("version -o json"))["serverVersion"]["minor"], "33", "minor version of the server")
    k.prints("api-resources", "ciliumendpoints")
    k.prints("api-versions", "certificates.k8s.io/v1")
    k.prints("explain pods", "KIND:")
    k.prints("get nodes", "STATUS")
    k.prints("get nodes -o wide", "INTERNAL-IP")
    k.prints(f"get node {NODE} -o yaml", f"name: {NODE}")
    same(json.loads(k(f"get node {NODE} -o json"))["metadata"]["name"], NODE, "name")
    same(k(f"get node {NODE} -o", "jsonpath={.metadata.name}"), NODE, "jsonpath")
    k.prints("get nodes -o", NODE, "custom-columns=N:.metadata.name")
    k.prints("get nodes -o name", f"node/{NODE}")
    k.prints(f"describe node {NODE}", "kubernetes.azure.com/ebpf-dataplane=cilium")
    k.prints("get pods -A --chunk-size=2", "coredns")
    k.prints("get pods -n kube-system -l k8s-app=coredns", "Running")
    same(k("get --raw /readyz"), "ok", "readyz")
    k.fails("get pod nowhere", 'pods "nowhere" not found')
    k.fails("top nodes", "Metrics API not available")


def objects(k):
    """apply, diff, patch, edit, label, annotate, replace, watch, wait, delete"""
    k.prints("apply -f -", "created", stdin=MAP.format(1))
    k.prints("apply -f -", "unchanged", stdin=MAP.format(1))
    done = k.run(["diff", "-f", "-"], MAP.format(2))
    assert done.returncode == 1 and "+  x: \"2\"" in done.stdout, f"diff: {done.returncode}\n{done.stdout}\n{done.stderr}"
    k.prints("apply -f -", "configured", stdin=MAP.format(2))
    k("patch configmap m --type=merge -p", '{"data":{"y":"3"}}')
    k("patch configmap m --type=json -p", '[{"op":"add","path":"/data/z","value":"4"}]')
    k("patch configmap m --type=strategic -p", '{"data":{"y":null}}')
    same(json.loads(k("get configmap m -o", "jsonpath={.data}")), {"x": "2", "z": "4"}, "data")
    k.prints("edit configmap m", "edited", KUBE_EDITOR="sed -i s/x:/w:/")
    k.prints("label configmap m a=b", "labeled")
    k.prints("annotate configmap m a=b", "annotated")
    k.prints("get configmaps -l a=b --show-labels", "a=b")
    k.prints("replace -f -", "replaced", stdin=MAP.format(5))
    watching = subprocess.Popen(
        [k.program, f"--namespace={k.namespace}", "get", "configmap", "m", "--watch", "-o", "name"],
        env=k.environment, stdout=subprocess.PIPE, text=True,
    )
    try:
        same(watching.stdout.readline(), "configmap/m\n", "what is there")
        k("annotate configmap m c=d")
        same(watching.stdout.readline(), "configmap/m\n", "what changes")
    finally:
        watching.kill()
        watching.communicate()
    k.prints("delete configmap m", "deleted")
    k("wait --for=delete configmap/m --timeout=20s")
    k("create configmap made --from-literal=a=b")
    k("create secret generic made --from-literal=a=b")
    same(k("get secret made -o", "jsonpath={.data.a}"), base64.b64encode(b"b").decode(), "data")
    k.fails("create configmap made", "already exists")


def server_side(k):
    """apply --server-side, with a conflict and with --force-conflicts"""
    k.prints("apply --server-side -f -", "serverside-applied", stdin=MAP.format(1))
    k.fails("apply --server-side --field-manager=another -f -", 'conflict with "kubectl"', stdin=MAP.format(2))
    k("apply --server-side --field-manager=another --force-conflicts -f -", stdin=MAP.format(2))
    same(k("get configmap m -o", "jsonpath={.data.x}"), "2", "data")
    k.prints("get configmap m -o yaml --show-managed-fields", "manager: another")


def workloads(k):
    """create deployment, rollout, scale, set image, wait, events"""
    k("create deployment d --image=x:1 --replicas=2")
    k.prints("rollout status deployment/d --timeout=30s", "successfully rolled out")
    k("scale deployment/d --replicas=3")
    k("wait deployment/d --for=condition=Available --timeout=30s")
    k.prints("set image deployment/d x=x:2", "image updated")
    k("rollout status deployment/d --timeout=30s")
    k("rollout restart deployment/d")
    k("rollout status deployment/d --timeout=30s")
    same(k("get deployment d -o", "jsonpath={.status.readyReplicas}"), "3", "replicas")
    k.prints("get deployments,replicasets,pods -o wide", "deployment.apps/d")
    k.prints("describe deployment d", "x:2")
    k("delete deployment d --wait=true")


def nodes(k):
    """cordon, drain that a budget holds back, uncordon, taint"""
    k("apply -f -", stdin=BUDGET)
    k("apply -f -", stdin=HELD.format(node=NODE))
    k("wait pod/held --for=condition=Ready --timeout=30s")
    k.prints(f"cordon {NODE}", "cordoned")
    k.prints("get nodes", "SchedulingDisabled")
    drain = f"drain {NODE} --ignore-daemonsets --delete-emptydir-data --force --pod-selector=app=held"
    k.fails(f"{drain} --timeout=8s", "would violate the pod's disruption budget")
    k("delete pdb b")
    k.prints(f"{drain} --timeout=60s", "drained")
    k("wait pod/held --for=delete --timeout=30s")
    k.prints(f"uncordon {NODE}", "uncordoned")
    k.prints(f"taint node {NODE} k=v:NoSchedule", "tainted")
    k.prints(f"taint node {NODE} k-", "untainted")


def access(k):
    """certificate approve and deny, create token, roles, auth can-i and whoami"""
    k("create serviceaccount s")
    same(k("create token s --duration=600s").count("."), 2, "dots of a token")
    k("create role r --verb=get --resource=pods")
    k(f"create rolebinding rb --role=r --serviceaccount={k.namespace}:s")
    k.prints("auth can-i delete nodes", "yes")
    k.prints("auth whoami", "system:masters")
    for verdict, wanted in (("approve", "Approved"), ("deny", "Denied")):
        name = f"{k.namespace}-{verdict}"
        k("create -f -", stdin=certificate(k, name))
        k(f"certificate {verdict} {name}")
        k.prints(f"get csr {name}", wanted)
        k(f"delete csr {name}")


def certificate(k, name):
    """A request for a client certificate, with a key that openssl makes."""
    words = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=conformance"]
    made = subprocess.run([*words, "-keyout", k.folder / "key"], check=True, capture_output=True)
    spec = {
        "request": base64.b64encode(made.stdout).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    return json.dumps(kind | {"metadata": {"name": name}, "spec": spec})


def customs(k):
    """a definition is Established; its objects are applied, explained, shown with its columns and deleted"""
    k("apply -f -", stdin=DEFINITION)
    k("wait crd/boats.conformance.example --for=condition=Established --timeout=30s")
    k.prints("apply -f -", "created", stdin=BOAT.format(2))
    k.prints("get boats", "SAILS")
    k.prints("explain boat.spec.sails", "How many sails it has.")
    k.fails("apply -f -", "spec.sails", stdin=BOAT.format("many"))
    k.prints("apply --server-side --force-conflicts -f -", "serverside-applied", stdin=BOAT.format(3))
    same(k("get bt ann -o", "jsonpath={.spec.sails}"), "3", "sails")
    k("delete boat ann")
    k("delete crd boats.conformance.example")


def products(k):
    """the product's own kinds, which its workflows have made: explained, shown, read and described"""
    k.prints("api-resources --api-group=stargate.io", "Site")
    for plural, name in (("sites", SITE), ("servers", WORKER)):
        k.prints(f"explain {plural}.spec", "FIELDS:")
        k.prints(f"get {plural}", name)
        k.prints(f"get {plural} -o wide", name)
        same(json.loads(k(f"get {plural} {name} -o json"))["metadata"]["name"], name, "name")
        k.prints(f"describe {plural} {name}", "stargate.io/")
        k.prints(f"label {plural} {name} --dry-run=server a=b", "labeled")
    k.prints(f"get node {WORKER}", "Ready")
    k.prints(f"describe node {WORKER}", "InternalIP")


def pods(k):
    """run, logs, exec with exit codes, input and requests between pods"""
    k("run p --image=x:1")
    k("wait pod/p --for=condition=Ready --timeout=30s")
    k.prints("logs p", "began at")
    same(k("logs p --tail=0"), "", "no lines")
    k.fails("logs p -c another", "container another is not valid for pod p")
    k.fails("logs p --previous", "previous terminated container")
    same(k("exec p -- hostname"), "p\n", "host name")
    same(k("exec p -c p -- sh -c", "echo $HOSTNAME; echo told >&2"), "p\n", "output without what is said on standard error")
    same(k("exec -i p -- cat", stdin="a\nb\n"), "a\nb\n", "input")
    done = k.run(["exec", "p", "--", "sh", "-c", "exit 7"])
    same((done.returncode, done.stderr), (7, "command terminated with exit code 7\n"), "exit code")
    k.fails("exec p -- nope", "executable file not found in $PATH: unknown")
    k.fails("exec p -c another -- true", "container another is not valid for pod p")
    k.fails("exec nowhere -- true", 'pods "nowhere" not found')
    k.fails(f"cp p:/etc/hosts {k.folder}/hosts", 'exec: \"tar\": executable file not found in $PATH')
    k("run q --image=x:1 --port=8080")
    k("wait pod/q --for=condition=Ready --timeout=30s")
    addresses = {name: k(f"get pod {name} -o", "jsonpath={.status.podIP}") for name in ("p", "q")}
    same(k(f"exec p -- wget -qO- -T 3 http://{addresses['q']}:8080"), f"q {addresses['p']}\n", "what another pod answers")
    k.fails(f"exec p -- wget -qO- -T 3 http://{addresses['q']}:81", "Connection refused")
    k("delete pod p q")
    k(f"delete namespace {k.namespace}")
