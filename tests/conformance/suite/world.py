"""The simulated world in a process of its own."""

import json
import os
import pathlib
import subprocess
import tempfile
import time
import urllib.request

# Above 25 the world tells clients to ask again after 0 seconds, which the SDKs take for no advice: they wait 30 seconds then.
SPEED = "24"
CLUSTER = "stargate-aks-e2e-7"
LOCATION = "canadacentral"
NODE_GROUP = f"MC_{CLUSTER}_{CLUSTER}_{LOCATION}"


class World:
    """A `stargate sim` that is ended with the `with` block."""

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.TemporaryDirectory(prefix="stargate-conformance-")
        self.dir = pathlib.Path(self.folder.name)
        self.log = open(self.dir / "sim.log", "w", encoding="utf-8")
        command = [program, "sim", "--speed", SPEED, "--dir", str(self.dir / "world"), "-o", "json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert line, f"the world has not opened: {(self.dir / 'sim.log').read_text()}"
        self.endpoints = json.loads(line)

    def __getitem__(self, name):
        """One of the endpoints that the world said."""
        return self.endpoints[name]

    def control(self, what, method="GET"):
        """Asks the control API."""
        request = urllib.request.Request(f"{self['http']}/_world/{what}", method=method,
            headers={"Authorization": f"Bearer {self['control_token']}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def instructions(self):
        """What the world told a person to type, in full."""
        return (self.dir / "sim.log").read_text(encoding="utf-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()
        self.folder.cleanup()


def environment(**more):
    """This process's environment without what would lead a client elsewhere, and with `more`."""
    prefixes = ("STARGATE_", "AZURE_", "TAILSCALE_", "ARM_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return {key: value for key, value in kept.items() if key not in proxies} | more


def until(condition, seconds, what):
    """Waits until `condition` gives something, and gives it."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} seconds")
