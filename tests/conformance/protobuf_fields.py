#!/usr/bin/env python3
"""Writes plugins/sim/src/kube/protobuf_fields.txt: how clients of Kubernetes number the fields of the kinds that they send as protobuf.

usage: protobuf_fields.py [VERSION] > FILE      VERSION of the modules k8s.io/api and k8s.io/apimachinery, 0.37.2 if none is given
Reads the tags of the modules' types; Go must be there.
"""

import json
import pathlib
import re
import subprocess
import sys

GROUPS = (
    "apps", "authentication", "authorization", "autoscaling", "batch", "certificates", "coordination", "core", "discovery",
    "networking", "policy", "rbac", "scheduling", "storage",
)
SCALARS = {
    "string": "string", "bool": "bool", "[]byte": "bytes", "int": "int", "int32": "int", "int64": "int", "uint32": "int", "uint64": "int",
    "byte": "int", "float64": "double",
}
# What JSON does not write as an object with the same fields.
SPECIAL = {
    "metav1.Time": "time", "Time": "time", "metav1.MicroTime": "time", "MicroTime": "time", "resource.Quantity": "quantity",
    "intstr.IntOrString": "int-or-string", "FieldsV1": "raw", "metav1.FieldsV1": "raw", "runtime.RawExtension": "raw",
    "types.UID": "string", "metav1.Duration": "duration",
}
FIELD = re.compile(r"^\t(?:(\w+)\s+)?([\w.*\[\]]+)\s+`json:\"([^\"]*)\".*?protobuf:\"(\w+),(\d+),")


def main():
    version = sys.argv[1] if len(sys.argv) > 1 else "0.37.2"
    api, machinery = (module(f"k8s.io/{name}@v{version}") for name in ("api", "apimachinery"))
    sources = {group: api / group / "v1" / "types.go" for group in GROUPS}
    sources["meta"] = machinery / "pkg/apis/meta/v1/types.go"
    structs, names = {}, {}
    for group, file in sources.items():
        read(group, file.read_text(encoding="utf-8"), structs, names)
    roots = [name for name, fields in structs.items() if any(field[1:3] == (".", "TypeMeta") for field in fields)]
    print(f"# Field numbers of the types of k8s.io/api and k8s.io/apimachinery {version}; made by tests/conformance/protobuf_fields.py.")
    print("# A line is NUMBER NAME TYPE: `.` is a field whose own fields are its parent's, `[]` a list, `{}` a map of strings, and `?` what is")
    print("# left out where it is zero.")
    wanted, done = sorted(root for root in roots if not root.endswith("List")), set()
    while wanted:
        name = wanted.pop()
        if name in done or name not in structs:
            continue
        done.add(name)
        print(f"{name}")
        for number, key, kind, optional in structs[name]:
            if kind == "TypeMeta":
                continue
            shown, message = resolve(name.split(".")[0], kind, names, structs)
            print(f"{number} {key} {shown}{'?' if optional and not message else ''}")
            if message:
                wanted.append(message)


def module(name):
    done = subprocess.run(["go", "mod", "download", "-json", name], check=True, capture_output=True, text=True)
    return pathlib.Path(json.loads(done.stdout)["Dir"])


def read(group, text, structs, names):
    """Structs with their fields, and names of other types with what they stand for."""
    current = None
    for line in text.splitlines():
        begun = re.match(r"^type (\w+) struct \{", line)
        alias = re.match(r"^type (\w+) ([\w.\[\]]+)", line)
        if begun:
            current = structs.setdefault(f"{group}.{begun[1]}", [])
        elif alias and alias[2] != "struct":
            names[f"{group}.{alias[1]}"] = alias[2]
        elif line.startswith("}"):
            current = None
        field = FIELD.match(line) if current is not None else None
        if field:
            _, kind, tag, _, number = field.groups()
            key, *flags = tag.split(",")
            is_optional = ("omitempty" in flags or "omitzero" in flags) and not kind.startswith("*")
            current.append((int(number), key or ".", kind.lstrip("*"), is_optional))
        elif current is not None and re.match(r"^\t(metav1\.)?TypeMeta ", line):
            current.append((0, ".", "TypeMeta", False))


def resolve(group, kind, names, structs):
    """How the table writes a Go type, and the struct that it leads to."""
    kind = kind.lstrip("*")
    if kind in SPECIAL:
        return SPECIAL[kind], None
    if kind in SCALARS:
        return SCALARS[kind], None
    if kind.startswith("[]"):
        shown, message = resolve(group, kind[2:], names, structs)
        return f"[]{shown}", message
    if kind.startswith("map["):
        shown, message = resolve(group, kind.split("]", 1)[1], names, structs)
        return f"{{}}{shown}", message
    package, _, name = kind.rpartition(".")
    place = {"metav1": "meta", "v1": "core", "corev1": "core", "rbacv1": "rbac"}.get(package, group if not package else package)
    full = f"{place}.{name}"
    if full in structs:
        return full, full
    held = names.get(full, "string")
    if held.startswith("[]") and held != "[]byte":
        return "items", None                              # a list of strings that is a message of its own
    if held.startswith("map["):
        return resolve(place, held, names, structs)
    return resolve(place, held, names, structs)


main()
