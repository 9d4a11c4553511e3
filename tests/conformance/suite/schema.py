"""Swagger 2.0 and OpenAPI 3.0 schemas as JSON Schema, for requests or for answers."""

import datetime
import base64
import json
import pathlib
import re
import uuid

import jsonschema
import yaml

REQUEST, RESPONSE = "request", "response"
# Lists of words that their own descriptions call out of date: any word goes.
OUTDATED = {"VirtualMachineSizeTypes"}
# Keywords that mean the same in JSON Schema.
KEPT = (
    "type", "format", "pattern", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minimum", "maximum",
    "multipleOf", "minProperties", "maxProperties",
)


class Documents:
    """Specification files, read once."""

    def __init__(self):
        self._read = {}

    def __getitem__(self, path):
        path = pathlib.Path(path).resolve()
        if path not in self._read:
            text = path.read_text(encoding="utf-8-sig")
            self._read[path] = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        return self._read[path]

    def follow(self, node, file):
        """The node that a chain of references leads to, and its file."""
        while isinstance(node, dict) and "$ref" in node:
            target, _, pointer = node["$ref"].partition("#")
            file = (pathlib.Path(file).parent / target).resolve() if target else file
            node = self[file]
            for part in pointer.strip("/").split("/"):
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return node, file


class Schemas:
    """Compiles schemas of one direction; a strict one refuses members and words that the specification does not have."""

    def __init__(self, documents, direction, strict):
        self.documents, self.direction, self.strict = documents, direction, strict
        self._definitions = {}
        self._names = {}

    def problems(self, schema, file, value):
        """What is wrong with `value`, one line each."""
        root = {"$defs": self._definitions, **self._convert(schema, file)}
        checker = jsonschema.Draft202012Validator(root, format_checker=FORMATS)
        for error in checker.iter_errors(value):
            for leaf in leaves(error):
                where = "".join(f"/{part}" for part in leaf.absolute_path)
                yield f"{self.direction} body {where or '/'}: {leaf.message[:300]}"

    def _convert(self, schema, file):
        target, target_file = self.documents.follow(schema, file)
        if target is not schema:
            # One definition for every place that refers to it; entered before it is converted, for it may contain itself.
            key = id(target)
            if key not in self._names:
                self._names[key] = f"d{len(self._names)}"
                self._definitions[self._names[key]] = True
                self._definitions[self._names[key]] = self._inline(target, target_file)
            return {"$ref": f"#/$defs/{self._names[key]}"}
        return self._inline(schema, file)

    def _inline(self, schema, file):
        if "allOf" in schema or "properties" in schema or "additionalProperties" in schema:
            return self._nullable(schema, self._object(schema, file))
        converted = {key: schema[key] for key in KEPT if key in schema and schema[key] != "file"}
        for bound, word in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if schema.get(word) is True:
                converted[word] = converted.pop(bound)
        listed = schema.get("x-ms-enum", {})
        is_open = listed.get("name") in OUTDATED or (listed.get("modelAsString") and not self.strict)
        if "enum" in schema and not is_open:
            converted |= self._words(schema["enum"])
        if "items" in schema:
            converted["items"] = self._convert(schema["items"], file)
        return self._nullable(schema, converted)

    def _words(self, words):
        """Azure takes words in any case, and az makes use of it; who is held to its own version writes them as they are."""
        if self.strict or self.direction == RESPONSE or not all(isinstance(word, str) for word in words):
            return {"enum": words}
        return {"pattern": f"(?i)^({'|'.join(map(re.escape, words))})$"}

    @staticmethod
    def _nullable(schema, converted):
        nullable = schema.get("x-nullable") or schema.get("nullable")
        return {"anyOf": [{"type": "null"}, converted]} if nullable else converted

    def _object(self, schema, file):
        properties, required, additional = self._flatten(schema, file)
        converted = {"type": "object", "properties": {}, "required": []}
        for name, (part, part_file) in properties.items():
            shown = self._property(part, part_file)
            converted["properties"][name] = shown
            if name in required and shown is not False and not self._is_read_only(part, part_file):
                converted["required"].append(name)
        if isinstance(additional, tuple):
            converted["additionalProperties"] = self._convert(*additional)
        elif additional is None and properties and self.strict:
            converted["additionalProperties"] = False
        kinds = self._kinds(schema, file)
        return {**converted, "allOf": kinds, "additionalProperties": True} if kinds else converted

    def _property(self, part, file):
        """The schema of a member; `False` if an answer must not have it."""
        target, _ = self.documents.follow(part, file)
        mutability = part.get("x-ms-mutability", target.get("x-ms-mutability"))
        hidden = part.get("x-ms-secret") or (mutability is not None and "read" not in mutability)
        if self.direction == RESPONSE and hidden:
            return False
        return self._nullable(part, self._convert(part, file)) if "$ref" in part else self._convert(part, file)

    def _is_read_only(self, part, file):
        target, _ = self.documents.follow(part, file)
        mutability = part.get("x-ms-mutability", target.get("x-ms-mutability"))
        read_only = part.get("readOnly") or target.get("readOnly") or mutability == ["read"]
        return self.direction == REQUEST and bool(read_only)

    def _flatten(self, schema, file):
        """Members of a schema and of all that it is made of."""
        schema, file = self.documents.follow(schema, file)
        properties, required, additional = {}, set(), None
        for part in schema.get("allOf", []):
            inner, inner_required, inner_additional = self._flatten(part, file)
            properties |= inner
            required |= inner_required
            additional = inner_additional if inner_additional is not None else additional
        properties |= {name: (part, file) for name, part in schema.get("properties", {}).items()}
        required |= set(schema.get("required", []))
        if "additionalProperties" in schema:
            own = schema["additionalProperties"]
            additional = (own, file) if isinstance(own, dict) else own
        return properties, required, additional

    def _kinds(self, schema, file):
        """For a base with a discriminator: what each value of it stands for."""
        name = schema.get("discriminator")
        if not isinstance(name, str):
            return []
        kinds = []
        for word, other in self.documents[file].get("definitions", {}).items():
            bases = [self.documents.follow(base, file)[0] for base in other.get("allOf", [])]
            if any(base is schema for base in bases):
                value = other.get("x-ms-discriminator-value", word)
                condition = {"properties": {name: {"const": value}}, "required": [name]}
                kinds.append({"if": condition, "then": self._object(other, file)})
        return kinds


def leaves(error):
    """The errors inside an error that has several ways to be right."""
    inner = [one for one in error.context or [] if one.validator != "type" or one.validator_value != "null"]
    if not inner:
        return [error]
    return [leaf for one in inner for leaf in leaves(one)]


FORMATS = jsonschema.FormatChecker(formats=())
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def format_of(name):
    """Registers how a format is checked; only strings and numbers of the right type come here."""

    def register(function):
        def conforms(value):
            return not isinstance(value, str) or bool(function(value))

        FORMATS.checks(name, raises=(ValueError,))(conforms)
        return function

    return register


@format_of("date-time")
def _date_time(text):
    return DATE_TIME.fullmatch(text) and datetime.date.fromisoformat(text[:10])


@format_of("uuid")
def _uuid(text):
    return str(uuid.UUID(text)) == text.lower()


@format_of("byte")
def _byte(text):
    return base64.b64decode(text, validate=True) is not None


@format_of("arm-id")
def _arm_id(text):
    return text.startswith("/")


@FORMATS.checks("int32")
def _int32(number):
    return not isinstance(number, int) or -(2**31) <= number < 2**31


@FORMATS.checks("int64")
def _int64(number):
    return not isinstance(number, int) or -(2**63) <= number < 2**63
