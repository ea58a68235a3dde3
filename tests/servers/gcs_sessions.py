"""Stands before fake-gcs-server and holds the sessions of resumable uploads, as Google documents them.

fake-gcs-server appends whatever comes, so a part that is sent again is there twice; it takes the question how far it
got for the end of the upload; and it knows no conditions there. Everything else goes through as it is.
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

_STEP = 256 << 10
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_PER_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Session:
    """One upload: what is there, and in the end the answer to whoever asks again."""

    path: str
    metadata: dict[str, Any]
    condition: str | None
    data: bytearray = field(default_factory=bytearray)
    answer: tuple[int, list[tuple[str, str]], bytes] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.sessions: dict[str, Session] = {}
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front
    _up: http.client.HTTPConnection | None = None

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "upload_id" in query:
            self._answer(*self._continue(query["upload_id"], body))
        elif query.get("uploadType") == "resumable":
            self._answer(*self._begin(url.path, query, body))
        else:
            self._answer(*self._forward(self.command, self.path, body, dict(self.headers.items())))

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _serve  # noqa: N815  the library's names

    def _begin(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        bucket = path.replace("/upload/", "/", 1).removesuffix("/o")
        found = self._forward("GET", bucket, b"", {})
        if found[0] != 200:
            return found
        metadata = {**json.loads(body or b"{}"), **({"name": query["name"]} if "name" in query else {})}
        session = Session(path, metadata, query.get("ifGenerationMatch"))
        name = uuid.uuid4().hex
        self.server.sessions[name] = session
        location = f"http://{self.headers['Host']}{path}?uploadType=resumable&upload_id={name}"
        return 200, [("Location", location)], b""

    def _continue(self, name: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        session = self.server.sessions.get(name)
        if session is None:
            return 404, [], b"no such upload"
        with session.lock:
            if self.command == "DELETE":
                del self.server.sessions[name]
                return 499, [], b""
            if session.answer is not None:
                return session.answer
            asked = _RANGE.fullmatch(self.headers.get("Content-Range", ""))
            if asked is None:
                return 400, [], b"a range is asked for"
            start, _, total = asked.groups()
            if start is not None:
                begin = int(start)
                if begin > len(session.data):
                    return 503, [], b"there are bytes missing before these"
                new = body[len(session.data) - begin :]  # what is there already is passed over
                if total == "*":
                    new = new[: len(new) // _STEP * _STEP]
                session.data += new
            if total == "*" or len(session.data) < int(total):
                reached = [("Range", f"bytes=0-{len(session.data) - 1}")] if session.data else []
                return 308, reached, b""
            answer = self._create(session)
            if answer[0] < 500:
                session.answer, session.data = answer, bytearray()
            return answer

    def _create(self, session: Session) -> tuple[int, list[tuple[str, str]], bytes]:
        mark = uuid.uuid4().hex
        query = {"uploadType": "multipart"}
        if session.condition is not None:
            query["ifGenerationMatch"] = session.condition
        head = f"--{mark}\r\ncontent-type: application/json\r\n\r\n{json.dumps(session.metadata)}\r\n--{mark}\r\n"
        body = f"{head}content-type: application/octet-stream\r\n\r\n".encode() + session.data
        body += f"\r\n--{mark}--".encode()
        headers = {"Content-Type": f'multipart/related; boundary="{mark}"'}
        return self._forward("POST", f"{session.path}?{urlencode(query)}", body, headers)

    def _forward(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._up is None:
            self._up = http.client.HTTPConnection(self.server.upstream, timeout=60)
        kept = {name: value for name, value in headers.items() if name.lower() not in _PER_HOP}
        if body or method in ("PUT", "POST", "PATCH"):
            kept["Content-Length"] = str(len(body))
        self._up.request(method, path, body or None, kept)
        response = self._up.getresponse()
        answer = response.read()
        back = [(name, value) for name, value in response.getheaders() if name.lower() not in _PER_HOP]
        return response.status, back, answer

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def finish(self) -> None:
        if self._up is not None:
            self._up.close()
        super().finish()


if __name__ == "__main__":
    Front(int(sys.argv[1]), sys.argv[2]).serve_forever()
