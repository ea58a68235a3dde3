"""What holds between processes: the same text, the same value, and nothing imported to read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from ckpt.handlers import Meta
from ckpt.results import SafeResult
from ckpt_json import JSONResultHandler, decode

PALETTE = """
import enum
from dataclasses import dataclass

class Color(enum.Enum):
    RED = 1

@dataclass(frozen=True)
class Paint:
    color: Color
    names: frozenset
"""


def run(code: str, folder: Path, *arguments: str, seed: str = "0") -> str:
    """Run `code` in a fresh interpreter that finds modules in `folder`, and return what it printed."""
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": seed,
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def palette(tmp_path: Path) -> Path:
    (tmp_path / "palette.py").write_text(PALETTE)
    return tmp_path


def test_equal_values_have_equal_text_under_every_hash_seed(palette: Path) -> None:
    code = """
from ckpt_json import encode
from palette import Color, Paint
words = "the quick brown fox jumps over the lazy dog".split()
value = [set(words), {frozenset(words): {(w, 1) for w in words}}, Paint(Color.RED, frozenset(words)), {b"a", 1.5, None}]
print(encode(value, [Color, Paint]), list(set(words)) != sorted(words))
"""
    printed = [run(code, palette, seed=seed) for seed in ("0", "1", "2", "3")]
    assert len(set(printed)) == 1
    assert printed[0].endswith("True\n")


def test_a_safe_result_is_read_in_another_process(tmp_path: Path) -> None:
    handler = JSONResultHandler()
    value = {"when": date(2026, 1, 1), 7: (Decimal("1.10"), {b"x"})}
    safe = SafeResult.of(handler.store(value, key="k", meta=Meta()), handler)
    code = """
import json, sys
from ckpt.results import SafeResult
print(repr(SafeResult.from_dict(json.loads(sys.argv[1])).read()))
"""
    assert run(code, tmp_path, json.dumps(safe.to_dict())) == f"{value!r}\n"


def test_what_another_process_wrote_is_read_here(palette: Path) -> None:
    code = """
import palette
from ckpt_json import encode
print(encode({(1, "x"): [palette.Color.RED]}, [palette.Color]))
"""
    assert run(code, palette) == '{"$dict": [[{"$tuple": [1, "x"]}, [{"$enum": ["palette:Color", "RED"]}]]]}\n'


def test_reading_imports_no_class_whatever_the_text_says(palette: Path) -> None:
    (palette / "trap.py").write_text("raise SystemExit('imported')")
    code = """
import sys
from ckpt.errors import CkptError
from ckpt_json import decode
seen = []
sys.addaudithook(lambda event, arguments: seen.append(arguments[0]) if event == "import" else None)
refused = 0
for name in ("palette:Color", "palette:Paint", "trap:Trap", "os:system", "builtins:eval", "subprocess:Popen"):
    for tag in ("enum", "dataclass"):
        for member in ('"RED"', '{"color": 1}', "0"):
            try:
                decode('{"$%s": ["%s", %s]}' % (tag, name, member))
            except CkptError:
                refused += 1
for text in ('{"$numpy": ["trap", 1]}', '{"$trap": 1}', '{"$datetime": {"at": "2026-01-01T00:00:00", "zone": 3}}'):
    try:
        decode(text)
    except CkptError:
        refused += 1
print(refused, seen)
"""
    printed = run(code, palette)
    assert printed.split(" ", 1)[0] == "39"  # all were refused, so all were tried
    assert "'zoneinfo'" in printed  # the hook sees imports
    for name in ("palette", "trap", "subprocess", "numpy"):
        assert repr(name) not in printed


def test_numpy_is_imported_only_when_its_tag_is_met(tmp_path: Path) -> None:
    code = """
import sys
from ckpt_json import decode, encode
value = [1, 2.5, "x", None, {1: (b"y",)}]
assert decode(encode(value)) == value
try:
    encode(object())
except TypeError:
    pass
before = "numpy" in sys.modules
number = decode('{"$numpy": ["float32", 0.5]}')
print(before, type(number).__name__, number)
"""
    assert run(code, tmp_path) == "False float32 0.5\n"


def test_where_numpy_is_missing_its_tag_says_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["numpy"] = None
from ckpt.errors import Unsupported
from ckpt_json import decode
try:
    decode('{"$numpy": ["float32", 0.5]}')
except Unsupported as error:
    print(error)
"""
    assert "pip install numpy" in run(code, tmp_path)


def test_an_integer_is_read_under_the_lowest_limit_on_digits(tmp_path: Path) -> None:
    code = """
import sys
from ckpt_json import decode, encode
sys.set_int_max_str_digits(640)
for bits in (2047, 2048, 2049, 100_000):
    assert decode(encode(-(1 << bits))) == -(1 << bits)
    assert decode(encode([1 << bits])) == [1 << bits]
print("read")
"""
    assert run(code, tmp_path) == "read\n"


def test_plain_values_are_plain_json_for_other_tools() -> None:
    value = {"name": "Größe", "rows": [[1, 2.5, None], [True, -0.0, 1e300]], "": {}}
    text = str(JSONResultHandler().write(value))
    assert text == json.dumps(value, ensure_ascii=False)
    assert json.loads(text) == value
    assert decode(json.dumps(value, indent=2)) == value
