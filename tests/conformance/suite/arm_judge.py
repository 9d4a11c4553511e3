"""The specifications of Azure over the traffic with Azure Resource Manager."""

import pathlib
import re

from judge import Judge, declared, is_whole_number
from operations import load
from schema import RESPONSE

OPERATION = r"/subscriptions/[^/]+/providers/[^/]+/locations/[^/]+/(\w+)/[^/]+"
DEPLOYMENT = r"/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft.resources/deployments/[^/]+/operationstatuses/[^/]+"
GROUP_RESULT = r"/subscriptions/[^/]+/operationresults/[^/]+"
# What clients ask that the specifications at hand do not have.
UNSPECIFIED = (
    r"/subscriptions/[^/]+/providers/microsoft\.compute/locations/[^/]+/publishers/.*",
    r"/subscriptions/[^/]+/providers/microsoft\.compute/skus",
)
TERMINAL = {"succeeded", "failed", "canceled"}


class ArmJudge:
    """Judges exchanges in the order in which they were made: a poll is held against what it polls."""

    def __init__(self, documents, root):
        root = pathlib.Path(root)
        files = sorted(path for path in root.rglob("*.json") if "examples" not in path.parts)
        self.judge = Judge(documents, load(documents, files))
        self.status_file = root / "common-types/resource-management/v5/types.json"
        self.status_schema = documents[self.status_file]["definitions"]["OperationStatusResult"]
        self.polled = {}

    def findings(self, exchange):
        """What is wrong with an exchange."""
        yield from common(exchange)
        path = exchange.path.rstrip("/")
        if any(re.fullmatch(pattern, path, re.I) for pattern in (OPERATION, DEPLOYMENT, GROUP_RESULT)):
            # Its path may also look like one of a location's: a poll it is if it was announced.
            if poll_key(exchange.target) in self.polled:
                yield from self._poll(exchange)
                return
        operation = self.judge.find(exchange, path)
        if operation is None:
            if exchange.status < 400 and not any(re.fullmatch(one, path, re.I) for one in UNSPECIFIED):
                yield "no specification has this operation"
            return
        yield from self._operation(exchange, operation, path)

    def _operation(self, exchange, operation, path):
        version = exchange.query.get("api-version", [""])[0]
        strict = version == operation.version
        response = declared(operation, exchange.status)
        if exchange.status < 400:
            yield from self.judge.parameters(exchange, operation, operation.arguments(path), strict)
            yield from self._request_body(exchange, operation, strict)
        if response is None:
            yield f"{operation.name} does not declare status {exchange.status}"
            return
        if exchange.method != "HEAD":
            yield from self._answer(exchange, operation, response, strict)
        yield from self._long_running(exchange, operation)

    def _request_body(self, exchange, operation, strict):
        bodies = [parameter for parameter in operation.parameters if parameter["in"] == "body"]
        if bodies and (exchange.request_body.strip() or bodies[0].get("required")):
            yield from self.judge.body(exchange, operation, bodies[0]["schema"], "request", strict)
        elif not bodies and exchange.request_body.strip() and strict:
            yield "request body is not of the operation"

    def _answer(self, exchange, operation, response, strict):
        if exchange.status >= 400:
            yield from error_body(exchange)
        schema = response.get("schema")
        # A first answer of something that takes time may have what it is about, declared or not.
        if schema is not None or not exchange.body.strip():
            yield from self.judge.body(exchange, operation, schema, RESPONSE, strict) if schema else ()
        elif strict:
            yield "response body is not of the operation"

    def _long_running(self, exchange, operation):
        """Whoever is told to wait must be told where to look."""
        for header in ("azure-asyncoperation", "location"):
            if header in exchange.headers and exchange.status < 400:
                self.polled[poll_key(exchange.headers[header])] = header, operation
        if exchange.status not in (201, 202) or exchange.method == "GET":
            return
        is_long = operation.spec.get("x-ms-long-running-operation")
        body = (exchange.json(RESPONSE) or {}) if exchange.body.strip() else {}
        state = str((body.get("properties") or {}).get("provisioningState", "")).lower()
        told = {header for header in ("azure-asyncoperation", "location") if header in exchange.headers}
        if exchange.status == 202 and not told:
            yield "202 with neither Azure-AsyncOperation nor Location"
        if is_long and exchange.status == 201 and not told and state not in TERMINAL:
            yield "201 of something unfinished with neither Azure-AsyncOperation nor Location"
        final = operation.spec.get("x-ms-long-running-operation-options", {}).get("final-state-via")
        if exchange.status == 202 and final == "location" and "location" not in told:
            yield "202 without the Location that the result is to be read from"
        if told and not is_long:
            yield f"{operation.name} is not long-running and answers with {sorted(told)}"

    def _poll(self, exchange):
        """Answers of operations themselves: their shape is common to all providers."""
        header, operation = self.polled[poll_key(exchange.target)]
        if exchange.status >= 400:
            yield from error_body(exchange)
        elif header == "azure-asyncoperation":
            yield from self._status(exchange)
        elif exchange.status == 202:
            if "location" not in exchange.headers:
                yield "202 of a result without Location"
            else:
                self.polled[poll_key(exchange.headers["location"])] = header, operation
        elif exchange.status == 200 and exchange.body.strip():
            schema = (operation.spec["responses"].get("200") or {}).get("schema")
            strict = exchange.query.get("api-version", [""])[0] == operation.version
            yield from self.judge.body(exchange, operation, schema, RESPONSE, strict)
        elif exchange.status not in (200, 204):
            yield f"status {exchange.status} of a result"

    def _status(self, exchange):
        if exchange.status != 200:
            yield f"status {exchange.status} of an operation's status"
            return
        body = exchange.json(RESPONSE)
        schemas = self.judge.schemas(RESPONSE, False)
        yield from schemas.problems(self.status_schema, self.status_file, body)
        failed = str(body.get("status", "")).lower() in ("failed", "canceled")
        if failed != ("error" in body):
            yield "an operation's status has an error exactly if it failed"


def poll_key(url):
    """What tells one poll from another: the whole path and query, past scheme and host."""
    return re.sub(r"^\w+://[^/]+", "", url)


def common(exchange):
    """What every answer of Azure Resource Manager has."""
    for header in ("x-ms-request-id", "x-ms-correlation-request-id"):
        if header not in exchange.headers:
            yield f"answer without {header}"
    if exchange.body.strip() and not exchange.headers.get("content-type", "").startswith("application/json"):
        yield f"answer of the type {exchange.headers.get('content-type')}"
    if not is_whole_number(exchange.headers.get("retry-after", "0")):
        yield f"Retry-After {exchange.headers['retry-after']}"


def error_body(exchange):
    """The one shape that errors have."""
    if exchange.method == "HEAD":
        return
    try:
        error = (exchange.json(RESPONSE) or {}).get("error")
    except ValueError:
        error = None
    if not isinstance(error, dict) or not all(isinstance(error.get(key), str) and error[key] for key in ("code", "message")):
        yield "an error without code and message"
