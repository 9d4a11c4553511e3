#!/usr/bin/env python3
"""The broken states of the simulator's tests in terms of the deployment that stands here.

    states.py FACTS STATES    a line of JSON per state: its name, what breaks it, what mends it, and the dead pairs as matrix.sh names them

FACTS says what the deployment has: its nodes by the names of the file, its pods' addresses, its subnets with their routes, what its
routers advertise and what of that is approved. An entry of the file may be part of a shorter prefix here, a site's: then that one is
broken, and with it dies what the file says of the one worker, for each worker that it carries.
"""

import ipaddress
import json
import sys

VERSION = "?api-version=2024-05-01"


class Absent(Exception):
    """The deployment has nothing that the state could break."""


class Deployment:
    def __init__(self, facts):
        self.facts = facts

    @staticmethod
    def carrying(prefix, entries, what):
        """The longest of the entries that has all of the prefix."""
        wanted = ipaddress.ip_network(prefix)
        found = [entry for entry in entries if wanted.subnet_of(ipaddress.ip_network(entry))]
        if not found:
            raise Absent(f"{what} has nothing for {prefix}")
        return max(found, key=lambda entry: ipaddress.ip_network(entry).prefixlen)

    def held(self, drift):
        """The prefix that is there for that of a change, or nothing if the change is not of a prefix."""
        kind = drift["kind"]
        if kind == "route":
            return self.carrying(drift["prefix"], self.subnet(drift)["routes"], f"the table of {drift['subnet']}")
        if kind in ("advertisement", "approval"):
            return self.carrying(drift["prefix"], self.facts[kind][drift["router"]], f"the {kind} of {drift['router']}")
        return None

    def subnet(self, drift):
        return self.facts["subnets"][drift["subnet"]]

    def change(self, drift, mends):
        """What is to be done here."""
        subnet = self.facts["subnets"].get(drift.get("subnet"))
        if drift["kind"] == "route":
            route = subnet["routes"][self.held(drift)]
            put = {"method": "PUT", "path": route["id"] + VERSION, "body": {"properties": route["properties"]}}
            return put if mends else {"method": "DELETE", "path": route["id"] + VERSION}
        if drift["kind"] == "association":
            named = {"kind": "association", "network": subnet["network"], "subnet": subnet["name"]}
            return {**named, "table": subnet["table"]} if mends else named
        return {**drift, "prefix": self.held(drift)} if self.held(drift) else drift

    def nodes_in(self, prefix):
        """The nodes whose pods are in the prefix."""
        network = ipaddress.ip_network(prefix)
        return {node for node, address in self.facts["pods"].items() if ipaddress.ip_address(address) in network}

    def dead(self, state):
        pairs = {tuple(pair) for pair in state["dead"]}
        for drift in state["break"]:
            held = self.held(drift)
            if held is None or held == drift["prefix"]:
                continue
            (owner,) = self.nodes_in(drift["prefix"])
            pairs = {tuple(node if end == owner else end for end in pair) for pair in pairs for node in self.nodes_in(held)}
        names = self.facts["nodes"]
        return sorted(f"echo-{names[a]} echo-{names[b]}" for a, b in pairs)

    def state(self, state):
        try:
            return {
                "name": state["name"],
                "break": [self.change(drift, False) for drift in state["break"]],
                "mend": [self.change(drift, True) for drift in state["mend"]],
                "dead": self.dead(state),
            }
        except Absent as reason:
            return {"name": state["name"], "absent": str(reason)}


def main():
    with open(sys.argv[1]) as facts, open(sys.argv[2]) as states:
        deployment = Deployment(json.load(facts))
        for state in json.load(states):
            print(json.dumps(deployment.state(state)))


if __name__ == "__main__":
    main()
