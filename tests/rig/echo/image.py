#!/usr/bin/env python3
"""image.py PROGRAM TAR: a container image of one static program, as `docker save` would write it; the same bytes every time."""
import hashlib
import io
import json
import sys
import tarfile

NAMES = ["stargate.test/echo:1", "registry.k8s.io/pause:3.8", "registry.k8s.io/pause:3.10"]  # containerd 1.7 asks for 3.8


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, mode in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def main(program, target):
    with open(program, "rb") as file:
        layer = tar([("echo", file.read(), 0o755)])
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/echo"]},
                         "rootfs": {"type": "layers", "diff_ids": [diff]}}).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": name, "RepoTags": NAMES, "Layers": ["layer.tar"]}]).encode()
    with open(target, "wb") as file:
        file.write(tar([("layer.tar", layer, 0o644), (name, config, 0o644), ("manifest.json", manifest, 0o644)]))


main(*sys.argv[1:])
