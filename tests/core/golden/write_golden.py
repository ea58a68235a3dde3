"""Writes the golden records of the present layout, once each: what is committed is read for ever, never rewritten.

Run with `python tests/core/golden/write_golden.py` after adding a value or a layout.
"""

from __future__ import annotations

import datetime
import decimal
import pathlib
import uuid
from pickle import PickleBuffer

import numpy as np

HERE = pathlib.Path(__file__).parent

META = {
    "run": "20261122-170000-0001",
    "call": "clean-1[7]",
    "ledger": "5f2c",
    "identity": "0123456789abcdef" * 4,
    "attempt": 2,
    "created": "2026-11-22T17:00:00.000001Z",
}

VALUES: dict[str, object] = {
    "none": None,
    "integer": 2**70,
    "text": "zażółć gęślą jaźń \N{SNOWMAN}",
    "nested": {
        "rows": [{"id": 1, "tags": ("a", "b")}, {"id": 2, "tags": ()}],
        "ok": True,
        "share": 0.25,
        "raw": b"\0\xff",
    },
    "builtins": [
        datetime.datetime(2026, 11, 22, 17, tzinfo=datetime.UTC),
        decimal.Decimal("1.10"),
        uuid.UUID(int=7),
        pathlib.PurePosixPath("a/b"),
        {1, 2, 3},
        1 + 2j,
    ],
    "array": np.arange(9000, dtype="<f8").reshape(90, 100),
    # Out of band buffers without any library: one that may be written to, one read-only, and the first once more.
    "buffers": [first := PickleBuffer(bytearray(b"ckpt" * 17_000)), PickleBuffer(b"\1\2" * 40_000), "between", first],
}


def main() -> None:
    from ckpt.encoding import encode
    from ckpt.handlers import Meta
    from ckpt.serializers import PickleSerializer

    for name, value in VALUES.items():
        path = HERE / f"v1-{name}.ckpt"
        if not path.exists():
            data = encode(value, PickleSerializer(), Meta(**META), _no_writer).data
            assert data is not None
            path.write_bytes(data)


def _no_writer() -> None:
    raise AssertionError("golden values are small")


if __name__ == "__main__":
    main()
