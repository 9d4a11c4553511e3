"""The specification of the Tailscale API over the traffic with it."""

from judge import ALWAYS, Judge, declared_or_always
from operations import load
from schema import RESPONSE

BASE = "/api/v2"


class TailnetJudge:
    """Judges exchanges with the Tailscale API."""

    def __init__(self, documents, file):
        self.documents = documents
        self.file = file
        self.judge = Judge(documents, load(documents, [file]))

    def findings(self, exchange):
        """What is wrong with an exchange."""
        path = exchange.path.removeprefix(BASE)
        operation = self.judge.find(exchange, path)
        if operation is None:
            yield "the specification does not have this operation"
            return
        if exchange.status < 400:
            arguments = operation.arguments(path.rstrip("/"))
            yield from self.judge.parameters(exchange, operation, arguments, operation.spec["operationId"] != "listTailnetDevices")
            yield from self._request(exchange, operation)
        yield from self._answer(exchange, operation)

    def _request(self, exchange, operation):
        declared = operation.spec.get("requestBody", {})
        kind = exchange.request_headers.get("content-type", "").split(";")[0]
        if not exchange.request_body.strip():
            if declared.get("required"):
                yield "request body is missing"
        elif kind not in declared.get("content", {}):
            yield f"request body of the type {kind}"
        elif kind == "application/json":
            schema = declared["content"][kind]["schema"]
            yield from self.judge.body(exchange, operation, schema, "request", True)

    def _answer(self, exchange, operation):
        response = declared_or_always(operation, exchange.status)
        if response is None:
            yield f"{operation.name} does not declare status {exchange.status}"
            return
        response, _ = self.documents.follow(response, self.file)
        if exchange.status in ALWAYS and not response:
            response = self.documents[self.file]["components"]["responses"]["Error"]
        content = response.get("content", {})
        kind = exchange.headers.get("content-type", "").split(";")[0]
        if not content:
            if exchange.body.strip() not in (b"", b"null", b"{}"):
                yield "response body is not of the operation"
        elif kind not in content:
            yield f"answer of the type {kind}"
        elif kind == "application/json":
            yield from self.judge.body(exchange, operation, content[kind]["schema"], RESPONSE, True)
