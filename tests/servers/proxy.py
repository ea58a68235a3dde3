"""A proxy on the loopback that breaks a part of what goes through it, and counts what it broke.

Each request draws its fault from a seeded row, so a run can be repeated as far as its requests come in the same order.
A fault that a request gives no occasion for (no body to cut) lets it through and is not counted.
"""

from __future__ import annotations

import http.client
import os
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal, Protocol, Self, get_args
from urllib.parse import urlsplit

__all__ = ["FAULTS", "SHARE", "VALUES", "Fault", "Proxy", "broken"]

Fault = Literal[
    "unavailable",  # 503, not passed on
    "throttled",  # 503 SlowDown, not passed on
    "reset before",  # the connection is reset, nothing was passed on
    "reset after",  # the server has done it, and the connection is reset
    "cut",  # a body that ends in the middle
    "changed",  # a body with one other bit
    "changed on its way",  # the same, of a body that goes to the server
    "stalled",  # nothing comes for a long time
]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
VALUES: Final = int(os.environ.get("CKPT_TESTS_VALUES", "1000"))
"""How many values go through a network that breaks."""
SHARE: Final = 0.1
"""Of its requests that are broken."""

_PER_HOP = {"connection", "keep-alive", "transfer-encoding"}


class Proxy:
    """Stands before the server at `url`; `rates` says of which share of the requests each fault befalls."""

    def __init__(
        self, url: str, rates: Mapping[Fault, float] | None = None, *, seed: int = 1, stall: float = 30
    ) -> None:
        self.upstream = urlsplit(url).netloc
        self.rates = dict(rates or {})
        self.stall = stall
        self.requests = 0
        self.broken: Counter[Fault] = Counter()
        self.methods: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def drawn(self, method: str) -> Fault | None:
        """The fault of the next request."""
        with self._lock:
            self.requests += 1
            self.methods[method] += 1
            if not self.rates:
                return None
            kinds = [None, *self.rates]
            weights = [1 - sum(self.rates.values()), *self.rates.values()]
            return self._chance.choices(kinds, weights)[0]

    def fired(self, fault: Fault) -> None:
        with self._lock:
            self.broken[fault] += 1

    def wait(self) -> None:
        """As long as a stall takes, or until the proxy is closed."""
        self._closed.wait(self.stall)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _up: http.client.HTTPConnection | None = None

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        fault = proxy.drawn(self.command)
        if fault in ("unavailable", "throttled"):
            code = "SlowDown" if fault == "throttled" else "ServiceUnavailable"
            proxy.fired(fault)
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>planted</Message></Error>".encode()
            self._answer(503, [("Content-Type", "application/xml")], text)
            return
        if fault == "reset before":
            proxy.fired(fault)
            self._reset()
            return
        if fault == "changed on its way" and body:
            proxy.fired(fault)
            body = _changed(body)
        status, headers, answer = self._forward(body)
        if fault == "reset after":
            proxy.fired(fault)
            self._reset()
        elif fault == "stalled":
            proxy.fired(fault)
            proxy.wait()
            self._reset()
        elif fault == "cut" and len(answer) > 1 and self.command == "GET":
            proxy.fired(fault)
            self._answer(status, headers, answer, send=len(answer) // 2)
            self._reset()
        elif fault == "changed" and answer and self.command == "GET" and not _is_own_word(headers):
            proxy.fired(fault)
            self._answer(status, headers, _changed(answer))
        else:
            self._answer(status, headers, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815  the library's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._up is None:
            self._up = http.client.HTTPConnection(self.server.proxy.upstream, timeout=60)
        # The host stays what the client signed.
        self._up.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _PER_HOP | {"content-length", "expect"}:
                self._up.putheader(name, value)
        if body or self.command in ("PUT", "POST"):
            self._up.putheader("Content-Length", str(len(body)))
        self._up.endheaders(body or None)
        response = self._up.getresponse()
        answer = response.read()
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in _PER_HOP]
        if response.will_close:
            self._up.close()
        return response.status, headers, answer

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, send: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if self.command == "HEAD" or name.lower() != "content-length":
                self.send_header(name, value)
        if self.command != "HEAD" and status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:send])

    def _reset(self) -> None:
        """Close with RST."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        if self._up is not None:
            self._up.close()
        with suppress(OSError):  # reset
            super().finish()


def _is_own_word(headers: list[tuple[str, str]]) -> bool:
    """Is it the server's own word? It has no digest, and nobody claims to notice what was changed in it."""
    return any(name.lower() == "content-type" and ("xml" in value or "json" in value) for name, value in headers)


def _changed(data: bytes) -> bytes:
    middle = len(data) // 2
    return b"%b%c%b" % (data[:middle], data[middle] ^ 1, data[middle + 1 :])


class Served(Protocol):
    """A server as the tests know it."""

    @property
    def url(self) -> str: ...


@contextmanager
def broken(
    server: Served, *faults: Fault, share: float = SHARE, stalled: float = 0.0, seed: int = 1
) -> Iterator[Proxy]:
    """A proxy that spreads `share` of its requests over the faults, and `stalled` of them over stalls."""
    rates: dict[Fault, float] = dict.fromkeys(faults, share / max(1, len(faults)))
    if stalled:
        rates["stalled"] = stalled
    with Proxy(server.url, rates, seed=seed) as proxy:
        yield proxy
