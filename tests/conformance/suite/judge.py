"""Holds an exchange against the operation that it is of."""

import json
import re

from operations import find
from schema import REQUEST, RESPONSE, Schemas

# What declares neither its own errors nor these, but answers with them all the same: the documented answers of every operation.
ALWAYS = (401, 403, 429)


class Judge:
    """Judges exchanges by the operations of some specifications."""

    def __init__(self, documents, operations):
        self.operations = operations
        self._documents = documents
        self._schemas = {}

    def schemas(self, direction, strict):
        key = direction, strict
        if key not in self._schemas:
            self._schemas[key] = Schemas(self._documents, direction, strict)
        return self._schemas[key]

    def find(self, exchange, path):
        return find(self.operations, exchange.method, path, exchange.query.get("api-version", [""])[0])

    def parameters(self, exchange, operation, arguments, strict):
        """What is wrong with the request's parameters."""
        given = {"path": arguments, "header": exchange.request_headers, "query": exchange.query}
        known = set()
        for parameter in operation.parameters:
            place, name = parameter["in"], parameter["name"]
            if place not in given:
                continue
            wanted = name.lower() if place == "header" else name
            known.add((place, wanted.lower()))
            values = given[place].get(wanted)
            if values is None:
                if parameter.get("required"):
                    yield f"{place} parameter {name} is missing"
            elif strict or place != "query" or name != "api-version":
                yield from self._value(parameter, values[0] if isinstance(values, list) else values, strict)
        if strict:
            unknown = [name for name in exchange.query if ("query", name.lower()) not in known]
            yield from (f"query parameter {name} is not of the operation" for name in unknown)

    def _value(self, parameter, text, strict):
        schema = {**parameter, **parameter.get("schema", {})}
        schema = {key: value for key, value in schema.items() if key not in ("required", "schema", "in", "name")}
        if schema.get("type") in ("integer", "number", "boolean"):
            try:
                text = json.loads(text)
            except ValueError:
                pass
        for problem in self.schemas(REQUEST, strict).problems(schema, parameter["file"], text):
            yield f"{parameter['in']} parameter {parameter['name']}: {problem.split(': ', 1)[1]}"

    def body(self, exchange, operation, schema, direction, strict):
        """What is wrong with one body."""
        try:
            value = exchange.json(direction)
        except ValueError:
            yield f"{direction} body is not JSON"
            return
        if schema is None:
            if value is not None and strict:
                yield f"{direction} body is not of the operation"
        elif value is None:
            yield f"{direction} body is missing"
        else:
            yield from self.schemas(direction, strict).problems(schema, operation.file, value)


def declared(operation, status):
    """What the operation says about a status; `None` if it says nothing. `default` is for errors."""
    responses = operation.spec["responses"]
    return responses.get(str(status)) or (responses.get("default") if status >= 400 else None)


def declared_or_always(operation, status):
    """The same, where a few statuses need not be declared."""
    return declared(operation, status) or ({} if status in ALWAYS else None)


def is_whole_number(text):
    """Whether a Retry-After is seconds."""
    return re.fullmatch(r"\d+", text) is not None
