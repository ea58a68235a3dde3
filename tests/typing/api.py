"""Code as users and plugin authors write it; only the type checker reads it, nobody runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import ckpt
from ckpt import (
    JSON,
    SKIP,
    Flow,
    NoResult,
    ObjectInfo,
    ObjectStore,
    Parameter,
    Result,
    ResultHandler,
    SafeResult,
    Secret,
    State,
    Storage,
    Task,
    flow,
    get_logger,
    task,
    unmapped,
)
from ckpt.errors import CkptError, NotFound
from ckpt.states import Failed, Success
from ckpt.stores import Buffer
from ckpt.triggers import all_finished
from ckpt_json import JSONResultHandler
from ckpt_local import LocalResultHandler

# A flow's author.


@task
def add(x: int, y: int = 1) -> int:
    return x + y


@task(max_retries=3, retry_delay=timedelta(seconds=1), timeout=10, tags=["net"], checkpoint=False)
def fetch(url: str, key: str) -> bytes:
    if not url:
        raise SKIP
    get_logger().info("fetching %s", url)
    return url.encode() + key.encode()


@task(result_handler=LocalResultHandler(dir="results"), trigger=all_finished)
async def report(parts: list[bytes]) -> int:
    return len(parts)


class Doubled(Task):
    def run(self, x: int) -> int:
        return 2 * x


with Flow("typed", result_handler=JSONResultHandler()) as typed:
    start = Parameter("start", default=1)
    parts = fetch.map(["a", "b"], unmapped(Secret("env:KEY")))
    first = add(start, y=2)
    second = Doubled()(first, upstream_tasks=[parts])
    report([parts, second])


@flow
def built() -> None:
    add(add(1), y=2)


def run() -> object:
    state: State = typed.run(start=2)
    if isinstance(state, Failed) or not state.is_successful():
        return state.message
    of_first: State = state.result[first]
    kept: Result = of_first.kept
    safe = kept.safe_value
    if safe is not NoResult and isinstance(safe, SafeResult):
        as_json: Mapping[str, JSON] = safe.to_dict()
        return SafeResult.from_dict(as_json).to_result().value
    return isinstance(of_first, Success)


def read_it(safe: SafeResult) -> object:
    try:
        return ckpt.read(safe)
    except NotFound as error:
        return str(error)
    except CkptError:
        return None


def configured() -> Storage:
    return Storage.parse("file:///data/results")


# A plugin's author: two methods of a handler, or five of a store.


class TextResultHandler(ResultHandler):
    storage_type = "text"

    def __init__(self, folder: str = ".") -> None:
        self.folder = folder

    def write(self, value: object, *, key: str | None = None) -> JSON:
        Path(self.folder, key or "value").write_text(str(value))
        return key

    def read(self, location: JSON) -> object:
        return Path(self.folder, str(location)).read_text()


class DictStore(ObjectStore):
    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: Buffer, *, overwrite: bool = True) -> ObjectInfo:
        self.objects[key] = bytes(data)
        return self.head(key)

    def get(self, key: str) -> Buffer:
        return self.objects[key]

    def head(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.objects[key]))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return (self.head(key) for key in self.objects if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)


@ckpt.hookimpl
def ckpt_result_handlers() -> list[type[ResultHandler]]:
    return [TextResultHandler]
