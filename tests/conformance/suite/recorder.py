"""A proxy that writes down what goes through it, byte for byte, and changes nothing."""

import base64
import dataclasses
import http.client
import http.server
import json
import pathlib
import ssl
import threading
import urllib.parse

import yaml

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade"}


@dataclasses.dataclass
class Exchange:
    """A request and its answer. Header names are lower-case."""

    client: str
    method: str
    target: str
    request_headers: dict
    request_body: bytes
    status: int
    headers: dict
    body: bytes

    @property
    def path(self):
        return urllib.parse.unquote(urllib.parse.urlsplit(self.target).path)

    @property
    def query(self):
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.target).query, keep_blank_values=True)

    def json(self, which):
        """The request's or the answer's body as JSON; None if it has none."""
        content = self.request_body if which == "request" else self.body
        return json.loads(content) if content.strip() else None

    def __str__(self):
        return f"{self.client}: {self.method} {self.target[:200]} -> {self.status}"


class Recorder:
    """Listens beside the world on HTTP and on HTTPS, with the certificate that the world made."""

    def __init__(self, world):
        self.exchanges = []
        self.servers = []
        folder = world.dir / "world"
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(folder / "server.pem", folder / "server.key")
        client_side = ssl.create_default_context(cafile=world["ca"])
        self.http = self._serve("http://127.0.0.1", world["http"], None, None)
        self.https = self._serve("https://localhost", world["https"], server_side, client_side)

        self.kubeconfig = self._kubernetes(world, server_side)

    def _kubernetes(self, world, server_side):
        """Listens beside the API server; gives a kubeconfig that leads here."""
        config = yaml.safe_load(pathlib.Path(world["kubeconfig"]).read_text(encoding="utf-8"))
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        client_side = ssl.create_default_context(cadata=authority)
        own = base64.b64encode(pathlib.Path(world["ca"]).read_bytes()).decode()
        cluster["server"] = self._serve("https://localhost", cluster["server"], server_side, client_side)
        cluster["certificate-authority-data"] = own
        file = world.dir / "recorded-kubeconfig"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return str(file)

    def _serve(self, base, upstream, server_side, client_side):
        host = urllib.parse.urlsplit(upstream).netloc
        handler = type("Handler", (_Handler,), {"recorder": self, "upstream": host, "tls": client_side})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        if server_side:
            # The handshake is made by the connection's own thread.
            server.socket = server_side.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        return f"{base}:{server.server_port}"

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    recorder = upstream = tls = None

    def setup(self):
        super().setup()
        connect = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        more = {"context": self.tls} if self.tls else {}
        self.out = connect(self.upstream, timeout=120, **more)

    def finish(self):
        self.out.close()
        super().finish()

    def _pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upgrades = "upgrade" in self.headers
        sent = {name: value for name, value in self.headers.items() if upgrades or name.lower() not in HOP_BY_HOP}
        self.out.request(self.command, self.path, body=body or None, headers=sent)
        answer = self.out.getresponse()
        if "watch" in urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query) and answer.status == 200:
            self._pass_on_stream(body, answer)
            return
        if answer.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self._pass_on_upgraded(body, answer)
            return
        content = answer.read()
        self._note(body, answer, content)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        if self.command == "HEAD" or answer.status not in (204, 304):
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _pass_on_stream(self, body, answer):
        """Passes on what comes when it comes."""
        exchange = self._note(body, answer, b"")
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while content := answer.read1(65536):
                exchange.body += content
                self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):    # the client has what it wanted
            self.close_connection = True

    def _pass_on_upgraded(self, body, answer):
        """Passes on both directions until the server ends its own; what is said is no HTTP any more and not noted."""
        self._note(body, answer, b"")
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        to_server = threading.Thread(target=copied, args=(self.rfile, self.out.sock.sendall), daemon=True)
        to_server.start()
        copied(answer.fp, self.wfile.write)

    def _note(self, body, answer, content):
        lower = {name.lower(): value for name, value in self.headers.items()}
        given = {name.lower(): value for name, value in answer.getheaders()}
        client = client_of(lower.get("user-agent", ""))
        exchange = Exchange(client, self.command, self.path, lower, body, answer.status, given, content)
        self.recorder.exchanges.append(exchange)
        return exchange

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _pass_on

    def log_message(self, *_):
        """Says nothing: everything is in the record."""


def copied(source, write):
    """Writes what comes when it comes, until either side has gone."""
    try:
        while content := source.read1(65536):
            write(content)
    except (OSError, ValueError):    # ValueError: the connection was closed from the other thread
        pass


def client_of(agent):
    """The short name of a client, from its User-Agent."""
    for mark, name in (("AZURECLI", "az"), ("azsdk", "sdk"), ("stargate", "stargate"), ("curl", "curl"), ("kubectl", "kubectl")):
        if mark in agent:
            return name
    return agent or "nobody"
