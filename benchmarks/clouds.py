"""What keeping values in S3 costs, against boto3 itself with the same server in the same run.

    python benchmarks/clouds.py [--quick] [--only TEXT] [--json FILE] [--folder DIR]

The server is SeaweedFS on this machine, so that both share its processors and none of the network's delays; the row
with delays adds them. Rounds and medians are as in `run.py`. `by hand` is boto3: sixteen threads that put, or its own
parallel transfers from and to memory; of the chain it is the same chain with nothing kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
from arrays import BYTES, ITEMS, peak
from rows import Row, Took, timed
from run import asked, told
from scheduling import finished

from ckpt import Flow, SafeResult, task
from ckpt.handlers import Meta
from ckpt_s3 import S3ResultHandler

sys.path.append(str(Path(__file__).parents[1]))
from tests.servers.proxy import Fault, Proxy
from tests.servers.s3 import BUCKET, KEY_ID, SECRET, seaweedfs_server

VALUES = 1000
THREADS = 16
CHAIN = 200
SECONDS = 0.02
DELAY = 0.05
SDKS = ("azure", "boto3", "botocore", "google")


def sdk() -> Any:
    """boto3 as it comes, with a connection for each of our threads."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client("s3", config=Config(max_pool_connections=2 * THREADS))


def text(number: int) -> bytes:
    return b"%04d" % number * 256


class FanOut:
    """1,000 values of 1 KB, each by a task that depends on nothing; and by boto3 alone."""

    def __init__(self) -> None:
        self._handler = S3ResultHandler(BUCKET, prefix="fan-out")
        self._client = sdk()
        self._task = task(text, name="text")

    def work(self, place: Path) -> Took:
        with Flow("fan-out", result_handler=self._handler) as flow:
            for number in range(VALUES):
                self._task(number)
        return timed(lambda: finished(flow.run(checkpointing=True)))

    def floor(self, place: Path) -> Took:
        def put(number: int) -> None:
            key = f"by-hand/{place.parent.name}/{number}"
            self._client.put_object(Bucket=BUCKET, Key=key, Body=cloudpickle.dumps(text(number)))

        def run() -> None:
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(put, range(VALUES)))

        return timed(run)


class Far(Proxy):
    """The server behind a network that delays each request."""

    def drawn(self, method: str) -> Fault | None:
        time.sleep(DELAY)
        return super().drawn(method)


def slow(value: int) -> int:
    time.sleep(SECONDS)
    return value + 1


def slow_chain(url: str, kept: bool, place: Path) -> Took:
    step = task(slow)
    with Far(url) as proxy:
        handler = S3ResultHandler(BUCKET, prefix="chain", endpoint_url=proxy.url)
        with Flow("slow", result_handler=handler) as flow:
            value: Any = 0
            for _ in range(CHAIN):
                value = step(value)
        # The client is made, and connected, before it counts: once in a process.
        handler.write(0)
        return timed(lambda: finished(flow.run(checkpointing=kept)))


def requests(url: str, method: str, place: Path) -> Took:
    """How many requests writing one small value takes, or reading it."""
    with Proxy(url) as proxy:
        handler = S3ResultHandler(BUCKET, endpoint_url=proxy.url)
        start = time.perf_counter()
        safe = SafeResult.of(handler.store("small", key="requests", meta=Meta()), handler)
        written = proxy.requests
        safe.read()
        return Took(time.perf_counter() - start, written if method == "PUT" else proxy.requests - written)


def up() -> tuple[float, str]:
    """ckpt: a task returns the array."""
    import numpy as np

    array = np.arange(ITEMS, dtype=np.float64)
    handler = S3ResultHandler(BUCKET, prefix="array")
    handler.write(0)
    with Flow("large", result_handler=handler) as flow:
        kept = task(lambda: array, name="make")()
    seconds, state = clocked(lambda: flow.run(checkpointing=True))
    finished(state)
    return seconds, state.result[kept].kept.safe_value.to_dict()


def up_by_hand() -> tuple[float, str]:
    import numpy as np

    body = io.BytesIO(np.arange(ITEMS, dtype=np.float64))  # type: ignore[arg-type]  anything with a buffer will do
    client = sdk()
    client.put_object(Bucket=BUCKET, Key="warm", Body=b"x")
    seconds, _ = clocked(lambda: client.upload_fileobj(body, BUCKET, "by-hand/array"))
    return seconds, ""


def down(safe: dict[str, Any]) -> tuple[float, str]:
    """ckpt: read the kept array, verified."""
    import numpy as np

    handler = SafeResult.from_dict(safe).result_handler
    warm = SafeResult.of(handler.store(np.zeros(1), key="warm", meta=Meta()), handler)
    warm.read()
    seconds, array = clocked(SafeResult.from_dict(safe).read)
    if array[-1] != ITEMS - 1:
        raise SystemExit("read something else than was written")
    return seconds, ""


def down_by_hand(_: object) -> tuple[float, str]:
    """The transfer alone: nothing is verified."""
    import numpy as np

    client = sdk()
    client.put_object(Bucket=BUCKET, Key="warm", Body=b"x")
    client.get_object(Bucket=BUCKET, Key="warm")["Body"].read()
    body = io.BytesIO()
    seconds, _ = clocked(lambda: client.download_fileobj(BUCKET, "by-hand/array", body))
    if np.frombuffer(body.getbuffer())[-1] != ITEMS - 1:
        raise SystemExit("read something else than was written")
    return seconds, ""


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


WORKS: dict[str, Callable[..., tuple[float, Any]]] = {
    "up": up,
    "up_by_hand": up_by_hand,
    "down": down,
    "down_by_hand": down_by_hand,
}


def round_of(work: str, *given: str) -> None:
    """One round, in this process: seconds, and peak memory above the array in megabytes."""
    hashlib.sha256(b"").digest()
    # What Python, boto3 and numpy take is there before; the array itself is not counted.
    sdk()
    import numpy as np

    np.zeros(1)
    base = peak()
    seconds, made = WORKS[work](*map(json.loads, given))
    print(json.dumps({"seconds": seconds, "extra": (peak() - base - BYTES) / 1e6, "made": made}))


def child(work: str, place: Path) -> Took:
    given = []
    if work == "down":
        given = [json.dumps(run("up")["made"])]
    elif work == "down_by_hand":
        run("up_by_hand")
        given = ["null"]
    facts = run(work, *given)
    return Took(facts["seconds"], facts["extra"])


def run(work: str, *given: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, work, *given], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{work} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def discovery(place: Path) -> Took:
    """Finding what the installed plugins bring, in a process that has imported ckpt."""
    program = (
        "import json, sys, time, ckpt; from ckpt import plugins; start = time.perf_counter(); "
        "found = list(plugins.handler_classes()); took = time.perf_counter() - start; "
        f"print(json.dumps([took, found, [name for name in {SDKS} if name in sys.modules]]))"
    )
    # As after an installation: the round that does not count compiles what was not.
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", program], env=compiled, capture_output=True, text=True, check=True)
    seconds, _, loaded = json.loads(done.stdout)
    if loaded:
        raise SystemExit(f"finding the plugins has imported {loaded}")
    return Took(seconds)


def rows(url: str) -> list[Row]:
    fan_out = FanOut()
    chain, unkept = partial(slow_chain, url, True), partial(slow_chain, url, False)
    there, there_by_hand = partial(child, "up"), partial(child, "up_by_hand")
    back, back_by_hand = partial(child, "down"), partial(child, "down_by_hand")
    put, get = partial(requests, url, "PUT"), partial(requests, url, "GET")
    # Nine tenths of the rate are ten ninths of the time.
    return [
        Row("fan-out", "S3: fan-out of 1,000 values of 1 KB", fan_out.work, fan_out.floor, 10 / 9, "ratio", VALUES),
        Row("chain", "S3, 50 ms a request: chain of 200 tasks of 20 ms", chain, unkept, 1.15, "ratio", rounds=3),
        Row("up", "S3: 256 MB array kept", there, there_by_hand, 1.15, "ratio", rounds=5),
        Row("up-peak", "S3: 256 MB array kept: memory above it", there, None, 96, "megabytes", rounds=3),
        Row("down", "S3: 256 MB array read back, verified", back, back_by_hand, 1.15, "ratio", rounds=5),
        Row("down-peak", "S3: 256 MB array read back: memory above it", back, None, 96, "megabytes", rounds=3),
        Row("put", "S3: requests to write a small value", put, None, 1, "requests", rounds=3),
        Row("get", "S3: requests to read it", get, None, 1, "requests", rounds=3),
        Row("discovery", "finding what the installed plugins bring", discovery, None, 30, "milliseconds", rounds=15),
    ]


def main() -> int:
    import tempfile

    arguments = asked(__doc__, "results-clouds.json")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, seaweedfs_server(Path(folder)) as server:
        os.environ |= {
            "CKPT__LEDGER__ENABLED": "false",  # what recording costs, `history.py` measures
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        return told(rows(server.url), arguments)


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in WORKS:
        round_of(*sys.argv[1:])
    else:
        sys.exit(main())
