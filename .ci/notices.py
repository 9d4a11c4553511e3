#!/usr/bin/env python3
"""Lists the packages that are compiled into the binary, with their licences: THIRD-PARTY-NOTICES.md.

usage: .ci/notices.py [--check | --texts FILE]
  without an option   writes THIRD-PARTY-NOTICES.md
  --check             exits with 1 if THIRD-PARTY-NOTICES.md is not what would be written
  --texts FILE        writes the packages' licence texts to FILE, to be shipped with a binary
"""
import collections, json, pathlib, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTICES = ROOT / "THIRD-PARTY-NOTICES.md"
HEAD = """# Third-party notices

stargate is licensed under the MIT licence (see `LICENSE`). Its binary contains the packages below, each
under the licence that it names. `.ci/notices.py` writes this list from `Cargo.lock`;
`.ci/notices.py --texts FILE` writes the full licence texts, which belong next to a distributed binary.

| package | version | licence |
|---|---|---|
"""


def packages():
    """The packages of other authors that are compiled for Linux, sorted by name and version."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    by_id = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    reached, todo = set(), [metadata["resolve"]["root"]]
    while todo:
        node = nodes[todo.pop()]
        for dependency in node["deps"]:
            compiled = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if compiled and dependency["pkg"] not in reached:
                reached.add(dependency["pkg"])
                todo.append(dependency["pkg"])
    external = [by_id[id] for id in reached if by_id[id]["source"]]
    return sorted(external, key=lambda package: (package["name"], package["version"]))


def row(package):
    licence = package["license"] or f"see `{package['license_file']}`"
    return f"| {package['name']} | {package['version']} | {licence} |\n"


def texts():
    """The licence files of the packages, each text once, with the packages that it belongs to."""
    owners = collections.defaultdict(list)
    for package in packages():
        folder = pathlib.Path(package["manifest_path"]).parent
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT")):
                owners[path.read_text(errors="replace").strip()].append(f"{package['name']} {package['version']}")
    return "\n\n".join(f"{'=' * 80}\n{', '.join(names)}\n{'=' * 80}\n\n{text}" for text, names in owners.items())


def main(arguments):
    if arguments[:1] == ["--texts"] and len(arguments) == 2:
        pathlib.Path(arguments[1]).write_text(texts())
        return 0
    wanted = HEAD + "".join(row(package) for package in packages())
    if arguments == ["--check"]:
        if not NOTICES.exists() or NOTICES.read_text() != wanted:
            print("THIRD-PARTY-NOTICES.md is out of date: run `.ci/notices.py` and commit it", file=sys.stderr)
            return 1
        return 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 64
    NOTICES.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
