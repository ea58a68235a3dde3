"""What fake-gcs-server lacks of Google: service accounts, and an answer to those whom it does not know."""

from __future__ import annotations

import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

__all__ = ["ACCOUNTS", "Refusing", "account"]

_UNIVERSE: Final = "google.example"
ACCOUNTS: Final[dict[str, Any]] = {"client_options": {"universe_domain": _UNIVERSE}}
"""`client_kwargs` to go with `account`."""


@cache
def account() -> dict[str, str]:
    """The JSON of a service account with a key of its own.

    It is of another universe than Google's own, since those sign their tokens themselves: nobody is asked for one.
    """
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "key-of-ckpt-tests",
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": "ckpt@tests.iam.google.example",
        "token_uri": "https://oauth2.google.example/token",
        "universe_domain": _UNIVERSE,
    }


class Refusing:
    """Says 401 to everybody."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


_REFUSAL = {"error": {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(_REFUSAL).encode()
        self.send_response_only(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  the library's names
