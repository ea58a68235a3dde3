"""What `import ckpt` adds to the start of Python."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

from rows import Row, Took, timed

__all__ = ["rows"]


def python(code: str, place: Path) -> Took:
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def rows() -> list[Row]:
    return [
        Row(
            "import",
            "import ckpt, above bare Python",
            partial(python, "import ckpt"),
            partial(python, "pass"),
            60,
            "milliseconds",
            rounds=15,
        )
    ]
