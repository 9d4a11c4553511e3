"""curl and ssh, as they are, against the world."""

import base64
import json
import subprocess

from report import same
from world import CLUSTER, environment, until

GROUP = "conformance-stock"


def run(report, world, recorder):
    """curl over HTTPS with the world's authority, the Tailscale API with curl, and ssh to a machine made with curl."""
    azure(report, world, recorder)
    tailnet(report, world, recorder)
    machine(report, world, recorder)


class Curl:
    """curl with a header, giving the status and the JSON of an answer."""

    def __init__(self, world, base, *arguments):
        self.base = base
        self.command = ["curl", "--silent", "--show-error", "--max-time", "30", "--cacert", world["ca"], *arguments]

    def __call__(self, path, method="GET", body=None, *more):
        content = ["--header", "Content-Type: application/json", "--data", json.dumps(body)] if body is not None else []
        words = [*self.command, "--request", method, *content, *more, "--write-out", "\n%{http_code}", self.base + path]
        done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=60)
        assert done.returncode == 0, f"curl {method} {path}: {done.stderr}"
        text, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(text) if text.strip() else None


def azure(report, world, recorder):
    subscription = f"/subscriptions/{world['subscription']}"
    curl = Curl(world, recorder.https, "--header", f"Authorization: Bearer {world['token']}")
    with report.check("curl: over HTTPS, trusting the world's authority"):
        status, body = curl(f"{subscription}/resourcegroups?api-version=2024-07-01")
        same(status, 200, "status")
        assert CLUSTER in [group["name"] for group in body["value"]], body
    with report.check("curl: refuses the world's certificate without its authority"):
        words = ["curl", "--silent", "--max-time", "10", world["https"]]
        same(subprocess.run(words, env=environment(), capture_output=True).returncode, 60, "exit code")
    with report.check("curl: no token, a wrong token, no api-version, an unknown type"):
        list_groups = f"{subscription}/resourcegroups?api-version=2024-07-01"
        refused(Curl(world, recorder.https)(list_groups), 401, "AuthenticationFailed")
        wrong = Curl(world, recorder.https, "--header", "Authorization: Bearer a.b.c")
        refused(wrong(list_groups), 401, "InvalidAuthenticationToken")
        refused(curl(f"{subscription}/resourcegroups"), 400, "MissingApiVersionParameter")
        unknown = f"{subscription}/resourceGroups/{CLUSTER}/providers/Microsoft.Network/nothings/x?api-version=2024-01-01"
        refused(curl(unknown), 404, "InvalidResourceType")


def refused(answer, status, code):
    """Refuses anything but a refusal with this status and code."""
    same((answer[0], answer[1]["error"]["code"]), (status, code), "refusal")


def tailnet(report, world, recorder):
    base = f"{recorder.http}/api/v2"
    with report.check("curl: a Tailscale token, as a form and as HTTP Basic"):
        client, secret = world["tailscale_client_id"], world["tailscale_client_secret"]
        form = ["--data", f"client_id={client}&client_secret={secret}&grant_type=client_credentials"]
        status, body = Curl(world, base, *form)("/oauth/token", "POST")
        same(status, 200, "status")
        same(Curl(world, base, "--user", f"{client}:{secret}")("/oauth/token", "POST")[0], 200, "status")
        wrong = ["--data", f"client_id={client}&client_secret=wrong"]
        same(Curl(world, base, *wrong)("/oauth/token", "POST")[0], 401, "status")
    curl = Curl(world, base, "--header", f"Authorization: Bearer {body['access_token']}")
    devices(report, curl)
    keys(report, curl)
    with report.check("curl: the tailnet's policy, and the wrong etag"):
        status, policy = curl("/tailnet/-/acl", "GET", None, "--header", "Accept: application/json")
        same(status, 200, "status")
        same(curl("/tailnet/-/acl", "POST", policy, "--header", 'If-Match: "wrong"')[0], 412, "status")
        same(curl("/tailnet/-/acl", "POST", policy)[0], 200, "status")


def devices(report, curl):
    with report.check("curl: the tailnet's devices, their routes, and what is not there"):
        status, body = curl("/tailnet/-/devices?fields=all")
        same(status, 200, "status")
        device = body["devices"][0]["nodeId"]
        same(curl(f"/device/{device}?fields=all")[0], 200, "status")
        status, routes = curl(f"/device/{device}/routes")
        same(status, 200, "status")
        before = routes["enabledRoutes"]
        status, routes = curl(f"/device/{device}/routes", "POST", {"routes": ["10.9.0.0/16"]})
        same((status, routes["enabledRoutes"]), (200, ["10.9.0.0/16"]), "enabled routes")
        same(curl(f"/device/{device}/routes", "POST", {"routes": before})[1]["enabledRoutes"], before, "enabled routes")
        same(curl("/device/nowhere")[0], 404, "status")


def keys(report, curl):
    with report.check("curl: an auth key is made, shown without its secret, revoked"):
        create = {"reusable": False, "ephemeral": True, "preauthorized": True, "tags": ["tag:stargate-router"]}
        status, key = curl("/tailnet/-/keys", "POST", {"capabilities": {"devices": {"create": create}}, "expirySeconds": 600})
        same((status, key["key"].startswith("tskey-auth-")), (200, True), "key")
        status, shown = curl(f"/tailnet/-/keys/{key['id']}")
        same((status, "key" in shown), (200, False), "shown")
        assert key["id"] in [one["id"] for one in curl("/tailnet/-/keys")[1]["keys"]], "not listed"
        same(curl(f"/tailnet/-/keys/{key['id']}", "DELETE")[0], 200, "status")
        same(curl("/tailnet/-/keys/nothing")[0], 404, "status")


def machine(report, world, recorder):
    group = f"/subscriptions/{world['subscription']}/resourceGroups/{GROUP}"
    curl = Curl(world, recorder.https, "--header", f"Authorization: Bearer {world['token']}")
    with report.check("curl: makes a machine"):
        make(curl, group, world)
    with report.check("ssh: a public address that no security group opens does not answer"):
        status, body = curl(f"{group}/providers/Microsoft.Network/publicIPAddresses/ip?api-version=2024-01-01")
        done = ssh(world, body["properties"]["ipAddress"], "true", options=["-o", "ConnectTimeout=2"])
        assert done.returncode == 255 and "timed out" in done.stderr, f"{done.returncode}: {done.stderr}"
        open_to_ssh(curl, group)
    with report.check("ssh: runs programs on the machine and gives their output and exit code"):
        status, body = curl(f"{group}/providers/Microsoft.Network/publicIPAddresses/ip?api-version=2024-01-01")
        address = body["properties"]["ipAddress"]
        until(lambda: ssh(world, address, "true").returncode == 0, 60, "ssh to the machine")
        same(ssh(world, address, "cloud-init status --wait").returncode, 0, "exit code")
        same(ssh(world, address, "hostname").stdout, "vm\n", "host name")
        same(ssh(world, address, "cat", stdin="to and fro\n").stdout, "to and fro\n", "echo")
        same(ssh(world, address, "sudo cat /root/done").stdout, "done\n", "what the user data wrote")
        same(ssh(world, address, "exit 7").returncode, 7, "exit code")
        same(ssh(world, address, "no-such-program").returncode, 127, "exit code")
    with report.check("ssh: refuses another key"):
        key = world.dir / "another"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        config = (world.dir / "world" / "ssh_config").read_text().replace(str(world.dir / "world" / "id_ed25519"), str(key))
        (world.dir / "another_config").write_text(config)
        done = ssh(world, address, "true", config=world.dir / "another_config")
        assert done.returncode == 255 and "Permission denied" in done.stderr, f"{done.returncode}: {done.stderr}"
    with report.check("curl: deletes the group"):
        same(curl(f"{group}?api-version=2024-07-01", "DELETE")[0], 202, "status")


def ssh(world, address, command, stdin="", config=None, options=()):
    """ssh with the configuration that the world wrote and the world's own key; a host's key is taken when first seen."""
    known = ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={world.dir / 'known_hosts'}"]
    words = ["ssh", "-F", config or world["ssh_config"], "-o", "BatchMode=yes", *known, *options, f"ubuntu@{address}", command]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=60, env=environment())


def make(curl, group, world):
    """A group with a network, a public address, a NIC and a machine."""
    location = {"location": "canadacentral"}
    same(curl(f"{group}?api-version=2024-07-01", "PUT", location)[0], 201, "status")
    network = f"{group}/providers/Microsoft.Network"
    subnet = {"name": "a", "properties": {"addressPrefix": "10.1.0.0/24"}}
    space = {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": [subnet]}
    put(curl, f"{network}/virtualNetworks/net", "2024-01-01", location | {"properties": space})
    static = {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    put(curl, f"{network}/publicIPAddresses/ip", "2024-01-01", location | static)
    inner = {
        "subnet": {"id": f"{network}/virtualNetworks/net/subnets/a"},
        "publicIPAddress": {"id": f"{network}/publicIPAddresses/ip"},
    }
    nic = {"ipConfigurations": [{"name": "one", "properties": inner}]}
    put(curl, f"{network}/networkInterfaces/nic", "2024-01-01", location | {"properties": nic})
    properties = machine_properties(world, f"{network}/networkInterfaces/nic")
    put(curl, f"{group}/providers/Microsoft.Compute/virtualMachines/vm", "2024-07-01", location | {"properties": properties})


def open_to_ssh(curl, group):
    """Puts a security group that lets logins in around the NIC."""
    network = f"{group}/providers/Microsoft.Network"
    rule = {
        "priority": 1000, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "22",
    }
    rules = {"securityRules": [{"name": "ssh", "properties": rule}]}
    put(curl, f"{network}/networkSecurityGroups/group", "2024-01-01", {"location": "canadacentral", "properties": rules})
    nic = f"{network}/networkInterfaces/nic"
    status, body = curl(f"{nic}?api-version=2024-01-01")
    same(status, 200, "status")
    body["properties"]["networkSecurityGroup"] = {"id": f"{network}/networkSecurityGroups/group"}
    put(curl, nic, "2024-01-01", body)


def put(curl, path, version, body):
    """A PUT that is waited for: the resource says when it is there."""
    status, said = curl(f"{path}?api-version={version}", "PUT", body)
    assert status in (200, 201), f"{path}: {status} {said}"

    def state():
        return curl(f"{path}?api-version={version}")[1]["properties"]["provisioningState"] == "Succeeded"

    until(state, 60, path)


def machine_properties(world, nic):
    data = base64.b64encode(b"#cloud-config\nruncmd:\n  - [sh, -c, 'echo done > /root/done']\n").decode()
    with open(world["ssh_public_key"], encoding="utf-8") as file:
        key = {"path": "/home/ubuntu/.ssh/authorized_keys", "keyData": file.read().strip()}
    image = {"publisher": "Canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts-gen2", "version": "latest"}
    linux = {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    return {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {"imageReference": image, "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"}},
        "osProfile": {"computerName": "vm", "adminUsername": "ubuntu", "customData": data, "linuxConfiguration": linux},
        "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": True}}]},
    }
