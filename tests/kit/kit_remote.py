"""A storage in memory behind a socket, with a client, an SDK's error, tokens and pages: what the kit is tried on.

The server runs in threads of the process of the tests, so its memory is the back door; other processes reach it by
the path of its socket.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from ckpt import ObjectInfo, ObjectResultHandler, ObjectStore, ResultHandler
from ckpt.errors import AccessDenied, AlreadyExists, ConfigError, NotFound, StoreUnavailable
from ckpt.stores import Buffer

TOKEN = "s3cr3t-token-of-the-reference"
PAGE = 10
LONGEST = 900


class SDKError(Exception):
    """What the made-up SDK raises."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


class Server:
    """Holds the objects."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.downloaded = 0
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # A client may be killed at any moment.
        with suppress(OSError), client:
            while (request := received(client)) is not None:
                token, verb, *arguments = request
                try:
                    if token != TOKEN:
                        raise SDKError(403, "the token is not accepted")
                    with self._lock:
                        answer = getattr(self, f"do_{verb}")(*arguments)
                except SDKError as error:
                    answer = error
                sent(client, answer)

    def do_put(self, key: str, data: bytes, overwrite: bool) -> None:
        if not overwrite and key in self.objects:
            raise SDKError(412, f"{key} is taken")
        self.objects[key] = (data, datetime.now(UTC))

    def do_append(self, key: str, data: bytes) -> None:
        self.objects[key] = (self.objects.get(key, (b"", None))[0] + data, datetime.now(UTC))

    def do_get(self, key: str) -> bytes:
        data = self._found(key)[0]
        self.downloaded += len(data)
        return data

    def do_head(self, key: str) -> tuple[int, datetime]:
        data, modified = self._found(key)
        return len(data), modified

    def do_list(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, int]]:
        keys = sorted(key for key in self.objects if key.startswith(prefix) and (after is None or key > after))
        return [(key, len(self.objects[key][0])) for key in keys[:limit]]

    def do_delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def _found(self, key: str) -> tuple[bytes, datetime]:
        if key not in self.objects:
            raise SDKError(404, f"there is no {key}")
        return self.objects[key]


class Client:
    """The made-up SDK: one connection, made with a token."""

    def __init__(self, path: str, token: str) -> None:
        self.token = token
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)

    def call(self, *request: object) -> Any:
        sent(self.socket, (self.token, *request))
        answer = received(self.socket)
        if isinstance(answer, SDKError):
            raise answer
        return answer

    def __del__(self) -> None:
        self.socket.close()


def sent(connection: socket.socket, message: object) -> None:
    data = pickle.dumps(message)
    connection.sendall(struct.pack(">Q", len(data)) + data)


def received(connection: socket.socket) -> Any:
    """One message; None where the other side is gone."""
    head = exactly(connection, 8)
    data = exactly(connection, struct.unpack(">Q", head)[0]) if head else None
    return pickle.loads(data) if data else None


def exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class RemoteStore(ObjectStore):
    """Keeps every promise."""

    def __init__(self, path: str, token: str = TOKEN) -> None:
        self.path = path
        self._token = token
        self._local = threading.local()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def client(self) -> Client:
        """One for each thread of each process."""
        if self._pid != os.getpid():
            self._local, self._pid = threading.local(), os.getpid()
        if not hasattr(self._local, "client"):
            self._local.client = Client(self.path, self._token)
        return self._local.client  # type: ignore[no-any-return]

    @contextmanager
    def mapped(self, key: str) -> Iterator[None]:
        try:
            yield
        except SDKError as error:
            kind = {403: AccessDenied, 404: NotFound, 412: AlreadyExists}[error.code]
            raise kind(f"{key}: {error.args[1]}") from error
        except OSError as error:
            if isinstance(error, AccessDenied | AlreadyExists):
                raise
            raise StoreUnavailable(f"{key}: {error}") from error

    def checked(self, key: str) -> str:
        if not 0 < len(key) <= LONGEST:
            raise ConfigError(f"a key has 1 to {LONGEST} characters, not {len(key)}")
        return key

    def call(self, verb: str, key: str, *arguments: object) -> Any:
        with self.mapped(key):
            return self.client().call(verb, self.checked(key), *arguments)

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        data = memoryview(data).tobytes()
        self.call("put", key, data, overwrite)
        return ObjectInfo(key, len(data))

    def get(self, key: str) -> bytes:
        return self.call("get", key)  # type: ignore[no-any-return]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, *self.call("head", key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        after = None
        while True:
            with self.mapped(prefix):
                page = self.client().call("list", prefix, after, PAGE)
            for key, size in page:
                yield ObjectInfo(key, size)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def delete(self, key: str) -> None:
        self.call("delete", key)


class RemoteHandler(ObjectResultHandler):
    """Keeps every promise; the token comes from the environment."""

    storage_type = "remote"
    store_class: Callable[[str, str], ObjectStore] = RemoteStore

    def __init__(self, path: str, *, token: str = "env:REFERENCE_TOKEN") -> None:
        super().__init__()
        self.path = path
        self.token = token

    def open_store(self) -> ObjectStore:
        token = os.environ[self.token[4:]] if self.token.startswith("env:") else self.token
        return type(self).store_class(self.path, token)

    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "path": self.path}


class TwoMethodHandler(ResultHandler):
    """What a stranger writes: two methods, over pickled bytes, without a digest."""

    storage_type = "two-methods"

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, value: object, *, key: str | None = None) -> str:
        from uuid import uuid4

        from ckpt.serializers import pickled

        key = key or uuid4().hex
        RemoteStore(self.path).put(key, pickled(value))
        return key

    def read(self, location: Any) -> object:
        return pickle.loads(RemoteStore(self.path).get(location))

    def to_spec(self) -> dict[str, Any]:
        return {**super().to_spec(), "path": self.path}


class Door:
    """The back door: the server's memory."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def read(self, location: Any) -> bytes:
        return self.server.objects[location][0]

    def write(self, location: Any, data: bytes) -> None:
        self.server.objects[location] = (data, datetime.now(UTC))

    def list(self) -> list[Any]:
        return list(self.server.objects)
