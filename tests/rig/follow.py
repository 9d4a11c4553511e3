#!/usr/bin/env python3
"""Makes the simulator's world real: follows its stream of events and lets fabric.sh and machine.sh do what each says.

    follow.py URL STATE TOKEN    URL of the simulator; STATE is a file that remembers what is known and how far the stream was read;
                                 TOKEN is the file with the token of its control API

An event may come twice (the state is kept after it took effect, so a killed follower repeats the last one): whatever is done is
the difference to what is there. Only a machine's first NIC is made.
"""

import ipaddress
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIRST_EGRESS = 20  # networks are 192.168.99.20, .21, … in the internet


def run(script, *arguments):
    """Runs one of our scripts; its failure is ours."""
    subprocess.run([str(HERE / script), *map(str, arguments)], check=True)


class World:
    """What the stream has said so far, and how it becomes real."""

    def __init__(self, file):
        self.file = Path(file)
        empty = {"seq": 0, "networks": {}, "nics": {}, "routes": {}, "machines": {}}
        self.known = json.loads(self.file.read_text()) if self.file.exists() else empty

    def apply(self, event):
        getattr(self, event["type"])(event)
        self.known["seq"] = event["seq"]
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps(self.known, indent=1))
        beside.rename(self.file)

    def aks_node_created(self, event):
        """Nodes of AKS are machines of aks.sh."""

    aks_node_deleted = aks_node_created

    def network_changed(self, event):
        self.network(event["name"], event["prefixes"])

    def network(self, name, prefixes):
        network = self.known["networks"].setdefault(name, {"egress": f"192.168.99.{FIRST_EGRESS + len(self.known['networks'])}"})
        network["prefixes"] = prefixes
        run("fabric.sh", "network", name, network["egress"], *prefixes)
        self.routes(name)

    def nic_changed(self, nic):
        before = self.known["nics"].get(nic["id"], {})
        self.known["nics"][nic["id"]] = nic
        if before.get("machine") in self.known["machines"] and not nic.get("machine"):
            run("fabric.sh", "unplug", before["network"], before["machine"])
        elif nic.get("machine") in self.known["machines"]:
            self.flags(nic)

    def nic_deleted(self, event):
        nic = self.known["nics"].pop(event["id"], None)
        if nic and nic["network"] in self.known["networks"]:
            run("fabric.sh", "public", nic["network"], nic["private_ip"], "-")

    def flags(self, nic):
        run("fabric.sh", "forward", nic["network"], nic["machine"], "on" if nic["ip_forwarding"] else "off")
        run("fabric.sh", "public", nic["network"], nic["private_ip"], nic.get("public_ip") or "-")

    def routes_changed(self, event):
        self.known["routes"].setdefault(event["network"], {})[event["subnet"]] = event["routes"]
        if event["network"] in self.known["networks"]:
            self.routes(event["network"])

    def routes(self, network):
        """Every table of the network."""
        words = {"None": "none", "Internet": "internet", "VnetLocal": "local", "VirtualNetworkGateway": "none"}
        for subnet, routes in self.known["routes"].get(network, {}).items():
            hops = [f"{r['prefix']}={r.get('next_hop') or words[r['next_hop_type']]}" for r in routes]
            run("fabric.sh", "routes", network, subnet, *hops)

    def machine_created(self, machine):
        name, nic = machine["name"], {**machine["nics"][0], "machine": machine["name"]}
        self.known["nics"][nic["id"]] = nic
        if nic["network"] not in self.known["networks"]:
            self.network(nic["network"], [nic["subnet_prefix"]])
        self.known["machines"][name] = {"id": machine["id"], "nic": nic["id"]}
        run("machine.sh", "delete", name)  # a creation that was cut short leaves half a disk
        self.plug(nic)
        subnet = ipaddress.ip_network(nic["subnet_prefix"])
        with tempfile.TemporaryDirectory() as folder:
            self.seed(Path(folder), machine)
            run("machine.sh", "create", name, folder, f"{nic['private_ip']}/{subnet.prefixlen}", next(subnet.hosts()))

    def plug(self, nic):
        length = ipaddress.ip_network(nic["subnet_prefix"]).prefixlen
        run("fabric.sh", "nic", nic["network"], nic["subnet"], nic["machine"], f"{nic['private_ip']}/{length}", nic["mac"])
        self.flags(nic)

    @staticmethod
    def seed(folder, machine):
        """The user data as it is; beside it what a machine of Azure gets from its osProfile."""
        user = {"name": machine["admin_user"], "shell": "/bin/bash", "lock_passwd": True, "sudo": ["ALL=(ALL) NOPASSWD:ALL"]}
        identity = {"instance-id": f"{machine['name']}-{machine['seq']}", "local-hostname": machine["name"]}
        (folder / "user-data").write_text(machine["user_data"])
        (folder / "meta-data").write_text(json.dumps({**identity, "public-keys": machine["admin_keys"]}))
        (folder / "vendor-data").write_text("#cloud-config\n" + json.dumps({"system_info": {"default_user": user}}))

    def machine_deleted(self, event):
        machine = self.known["machines"].pop(event["name"], None)
        if machine is None:
            return
        run("machine.sh", "delete", event["name"])
        nic = self.known["nics"].get(machine["nic"])
        if nic:
            nic["machine"] = None
            run("fabric.sh", "unplug", nic["network"], event["name"])

    def machine_restarted(self, event):
        """A new kernel: its network namespace is made anew, so nothing of it survives but the disk."""
        nic = self.known["nics"][self.known["machines"][event["name"]]["nic"]]
        run("machine.sh", "stop", event["name"])
        self.plug(nic)
        run("machine.sh", "start", event["name"])


def events(url, token_file, after):
    headers = {"Authorization": "Bearer " + Path(token_file).read_text(encoding="utf-8")}
    request = urllib.request.Request(f"{url}/_world/events?after={after}&follow=1", headers=headers)
    with urllib.request.urlopen(request) as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)


def main():
    url, world, token_file = sys.argv[1], World(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        try:
            for event in events(url, token_file, world.known["seq"]):
                print(event["seq"], event["type"], event.get("name") or event.get("id") or event.get("subnet"), flush=True)
                world.apply(event)
        except (urllib.error.URLError, ConnectionError) as error:  # the simulator is not up yet, or restarts
            print(f"simulator at {url}: {error}", flush=True)
        time.sleep(0.2)


if __name__ == "__main__":
    main()
