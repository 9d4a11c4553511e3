"""The operations that specifications declare, found by method and path."""

import dataclasses
import pathlib
import re

METHODS = ("get", "put", "post", "patch", "delete", "head")


@dataclasses.dataclass
class Operation:
    """An operation with the file that it is in; parameters are followed and merged."""

    name: str
    method: str
    template: str
    spec: dict
    file: pathlib.Path
    version: str
    parameters: list
    pattern: re.Pattern

    def arguments(self, path):
        """The path's arguments by name; None if the path is another's."""
        found = self.pattern.fullmatch(path)
        names = re.findall(r"{(\w+)}", self.template)
        return dict(zip(names, found.groups())) if found else None


def load(documents, files, base=""):
    """Every operation of the files."""
    operations = []
    for file in files:
        document = documents[file]
        for template, item in document.get("paths", {}).items():
            for method in METHODS:
                if method in item:
                    operations.append(_operation(documents, file, document, base + template, item, method))
    return operations


def _operation(documents, file, document, template, item, method):
    spec = item[method]
    merged = {}
    for parameter in item.get("parameters", []) + spec.get("parameters", []):
        parameter, where = documents.follow(parameter, file)
        merged[parameter["name"], parameter["in"]] = {**parameter, "file": where}
    parts = re.split(r"{\w+}", template.rstrip("/"))
    # A scope such as a resource's id may have slashes; every other argument is one segment.
    pattern = re.compile("([^/]+)".join(re.escape(part) for part in parts), re.I)
    version = _version(merged) or document["info"].get("version", "")
    name = spec.get("operationId", f"{method} {template}")
    return Operation(name, method, template, spec, file, version, list(merged.values()), pattern)


def _version(parameters):
    """The api-version that an operation has of its own, apart from its file's."""
    return (parameters.get(("api-version", "query"), {}).get("enum") or [None])[0]


def find(operations, method, path, version=""):
    """The operation that a request is for: of several, the one with the fewest arguments, of the version asked for if it is there."""
    path = path.rstrip("/")
    fitting = [one for one in operations if one.method == method.lower() and one.arguments(path) is not None]
    return min(fitting, key=lambda one: (one.template.count("{"), one.version != version), default=None)
