"""The published OpenAPI v3 of Kubernetes over the traffic with API servers."""

import json

import yaml

from judge import Judge
from operations import load
from schema import REQUEST, RESPONSE, Schemas

PROTOBUF = "application/vnd.kubernetes.protobuf"
META = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1."
TABLE = {"kind", "apiVersion", "metadata", "columnDefinitions", "rows"}
COLUMN = {"name", "type", "format", "description", "priority"}


class KubeSchemas(Schemas):
    """What the schemas of Kubernetes have that others have not; of a partial object nothing is required."""

    def __init__(self, documents, direction, partial):
        super().__init__(documents, direction, True)
        self.partial = partial

    def _inline(self, schema, file):
        if len(schema.get("allOf", [])) == 1 and "properties" not in schema:
            return self._convert(schema["allOf"][0], file)
        if "oneOf" in schema:
            return {"anyOf": [self._convert(one, file) for one in schema["oneOf"]]}
        return super()._inline(schema, file)

    def _object(self, schema, file):
        shown = super()._object(schema, file)
        return shown | {"required": []} if self.partial else shown


class KubeJudge:
    """Judges exchanges with an API server. Bodies in protobuf are judged by what the server made of them only."""

    def __init__(self, documents, root):
        self.documents = documents
        files = sorted([*root.glob("api__v1_openapi.json"), *root.glob("apis__*__v1_openapi.json")])
        self.core = root / "api__v1_openapi.json"
        self.groups = {file.name.split("__")[1] for file in files}
        self.judge = Judge(documents, load(documents, files))
        self._schemas = {(way, partial): KubeSchemas(documents, way, partial) for way in (REQUEST, RESPONSE) for partial in (False, True)}

    def findings(self, exchange):
        """What is wrong with an exchange."""
        kind = exchange.headers.get("content-type", "").split(";")[0]
        if exchange.status >= 400:
            yield from self._refusal(exchange, kind)
            return
        path = exchange.path.rstrip("/")
        operation = self.judge.find(exchange, path)
        if operation is None:
            if path.split("/")[2] in self.groups or path.startswith("/api/"):
                yield "the specification does not have this operation"
            else:
                yield from self._custom(exchange, kind)
                yield from self._custom_request(exchange)
            return
        yield from self.judge.parameters(exchange, operation, operation.arguments(path), True)
        yield from self._request(exchange, operation)
        if exchange.status == 101:
            yield from self._upgrade(exchange)
            return
        yield from self._answer(exchange, operation, kind)

    def _problems(self, schema, file, value, direction, partial=False):
        yield from self._schemas[direction, partial].problems(schema, file, without_nulls(value))

    def _meta(self, name, value):
        yield from self._problems({"$ref": META + name}, self.core, value, RESPONSE)

    def _refusal(self, exchange, kind):
        if kind != "application/json":
            yield f"a refusal of the type {kind}"
            return
        body = parsed(exchange.body)
        if not isinstance(body, dict) or body.get("kind") != "Status" or body.get("apiVersion") != "v1":
            yield "a refusal that is no Status"
            return
        yield from self._meta("Status", body)
        if body.get("status") != "Failure" or body.get("code") != exchange.status or not body.get("message"):
            yield "a Status without Failure, the code of the answer and a message"

    def _request(self, exchange, operation):
        declared = operation.spec.get("requestBody", {})
        if not exchange.request_body.strip():
            if declared.get("required"):
                yield "request body is missing"
            return
        kind = exchange.request_headers.get("content-type", "").split(";")[0]
        if kind == PROTOBUF:
            return
        content = declared.get("content", {})
        if exchange.method != "PATCH" and "*/*" in content:
            yield from self._problems(content["*/*"]["schema"], operation.file, parsed(exchange.request_body), REQUEST)
        elif kind == "application/json-patch+json":
            steps = parsed(exchange.request_body)
            if not isinstance(steps, list) or not all(isinstance(one, dict) and {"op", "path"} <= one.keys() for one in steps):
                yield "request body is no JSON patch"
        elif kind in content:
            target = operation.spec["responses"]["200"]["content"]["application/json"]["schema"]
            body = without_directives(yaml.safe_load(exchange.request_body))
            yield from self._problems(target, operation.file, body, REQUEST, partial=True)
        else:
            yield f"request body of the type {kind}"

    def _upgrade(self, exchange):
        """OpenAPI declares no upgrade; RFC 6455 says how one is answered."""
        offered = [one.strip() for one in exchange.request_headers.get("sec-websocket-protocol", "").split(",")]
        if exchange.headers.get("upgrade", "").lower() != "websocket":
            yield "an upgrade to something else than a WebSocket"
        if exchange.headers.get("sec-websocket-protocol") not in offered:
            yield "a subprotocol that the client has not offered"

    def _answer(self, exchange, operation, kind):
        response = operation.spec["responses"].get(str(exchange.status))
        if response is None:
            yield f"{operation.name} does not declare status {exchange.status}"
            return
        if kind not in response.get("content", {}):
            yield f"answer of the type {kind}"
            return
        if kind != "application/json":
            return
        schema = response["content"][kind]["schema"]
        if exchange.query.get("watch", ["false"])[0] not in ("false", "0"):
            yield from self._events(exchange, operation, schema)
            return
        body = parsed(exchange.body)
        if not isinstance(body, dict):
            yield "response body is no object"
            return
        yield from self._object(exchange, operation, schema, body)

    def _object(self, exchange, operation, schema, body):
        kind = body.get("kind")
        if not kind or not body.get("apiVersion"):
            yield "an object without kind and apiVersion"
        elif kind == "Table":
            yield from self._table(body)
        elif kind == "Status":
            yield from self._meta("Status", body)
        elif kind.startswith("PartialObjectMetadata"):
            for one in body.get("items", [body]):
                yield from self._meta("ObjectMeta", one.get("metadata"))
        else:
            if exchange.method == "DELETE":
                schema = self._read(exchange) or schema
            yield from self._problems(schema, operation.file, body, RESPONSE)

    def _read(self, exchange):
        """The schema that a GET of the same has: what is not gone at once is shown as it is."""
        read = next((one for one in self.judge.operations if one.method == "get" and one.arguments(exchange.path.rstrip("/")) is not None), None)
        return read and read.spec["responses"]["200"]["content"]["application/json"]["schema"]

    def _events(self, exchange, operation, schema):
        target, file = self.documents.follow(schema, operation.file)
        item = target["properties"]["items"]["items"]
        for line in exchange.body.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break                                     # the client has left in the middle of it
            event = parsed(line)
            if not isinstance(event, dict) or event.keys() != {"type", "object"} or not isinstance(event["object"], dict):
                yield "a line of a watch that is no event"
            elif event["type"] not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"):
                yield f"an event of the type {event['type']}"
            elif event["type"] == "BOOKMARK":
                yield from self._meta("ObjectMeta", event["object"].get("metadata"))
            else:
                yield from self._object(exchange, operation, item, event["object"])
        if not exchange.body.endswith(b"\n") and exchange.body.strip().startswith(b"["):
            yield "a watch that is no stream of events"

    def _table(self, body):
        """Tables are in no specification; this is what `kubectl` decodes them into."""
        if set(body) - TABLE:
            yield f"a table with {sorted(set(body) - TABLE)}"
        columns = body.get("columnDefinitions") or []
        for column in columns:
            if set(column) != COLUMN or not isinstance(column["priority"], int):
                yield f"a column of a table with {sorted(column)}"
        for row in body.get("rows", []):
            if columns and len(row["cells"]) != len(columns):
                yield "a row of a table with more or fewer cells than columns"
            if row.get("object") is not None:
                yield from self._meta("ObjectMeta", row["object"].get("metadata"))

    def _custom_request(self, exchange):
        """What is created or replaced is an object as all are."""
        if exchange.method not in ("POST", "PUT"):
            return
        body = parsed(exchange.request_body)
        if not isinstance(body, dict) or not body.get("kind") or not body.get("apiVersion"):
            yield "a request that is no object with kind and apiVersion"
        else:
            yield from self._problems({"$ref": META + "ObjectMeta"}, self.core, body.get("metadata"), REQUEST)

    def _custom(self, exchange, kind):
        """Custom resources are in no published specification: what all objects have."""
        if kind != "application/json":
            yield f"answer of the type {kind}"
            return
        if exchange.status not in (200, 201):
            yield f"status {exchange.status} of a custom resource"
        lines = exchange.body.splitlines() if "watch" in exchange.query else [exchange.body]
        for body in map(parsed, lines):
            body = body.get("object") if isinstance(body, dict) and "watch" in exchange.query else body
            if not isinstance(body, dict) or not body.get("kind") or not body.get("apiVersion"):
                yield "an object without kind and apiVersion"
            elif body["kind"] == "Table":
                yield from self._table(body)
            elif body["kind"] == "Status":
                yield from self._meta("Status", body)
            elif "items" in body:
                yield from self._meta("ListMeta", body.get("metadata"))
                for one in body["items"]:
                    yield from self._meta("ObjectMeta", one.get("metadata"))
            elif body["kind"] not in ("APIResourceList", "APIGroup"):
                yield from self._meta("ObjectMeta", body.get("metadata"))


def parsed(content):
    """The JSON of a body; None if it is none."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def without_nulls(value):
    """Null is what is not there, both ways: so Go reads it, and so it writes times that are not set."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def without_directives(value):
    """A strategic merge patch without what tells how to merge."""
    if isinstance(value, dict):
        return {key: without_directives(one) for key, one in value.items() if not key.startswith("$")}
    return [without_directives(one) for one in value] if isinstance(value, list) else value


def is_kubernetes(exchange):
    """Whether it is about objects or about the resources of a version; what is read of all groups has no schema."""
    return exchange.path.startswith(("/api/v1", "/apis/")) and len(exchange.path.rstrip("/").split("/")) > 3
