"""JSONResultHandler: the location is the value, and so nothing else is kept anywhere."""

from __future__ import annotations

import enum
import hashlib
import io
import json
import pickle
from datetime import date
from typing import Any

import pytest

from ckpt.errors import ConfigError, CorruptRecord, NotSerializable, Unsupported
from ckpt.handlers import Meta
from ckpt.results import Result, SafeResult
from ckpt_json import JSONResultHandler, JSONSerializer


class Color(enum.Enum):
    RED = 1


def kept(value: object, handler: JSONResultHandler | None = None) -> SafeResult:
    handler = handler or JSONResultHandler()
    return SafeResult.of(handler.store(value, key="a/key", meta=Meta()), handler)


def test_the_safe_value_of_3_is_its_text() -> None:
    assert repr(kept(3)) == "<SafeResult: '3'>"
    assert repr(JSONResultHandler()) == "JSONResultHandler()"


def test_the_location_is_the_text_whatever_the_key() -> None:
    handler = JSONResultHandler()
    assert handler.write({"a": [1, 2.5, None]}) == '{"a": [1, 2.5, null]}'
    assert handler.write(3, key="here") == handler.write(3, key="there") == handler.write(3) == "3"
    assert handler.read("3") == 3


def test_what_is_stored_is_described_by_its_bytes() -> None:
    stored = JSONResultHandler().store("é", key="k", meta=Meta())
    assert stored.location == '"é"'
    assert stored.size == 4
    assert stored.digest == hashlib.sha256('"é"'.encode()).hexdigest()
    assert stored.serializer == "json"


def test_staging_leaves_nothing_to_send() -> None:
    value = [1]
    staged = JSONResultHandler().stage(value, key="k", meta=Meta())
    value.append(2)
    assert staged.data is None
    assert staged.stored.location == "[1]"
    assert JSONResultHandler().writers == 0


@pytest.mark.parametrize("changed", ["4", " 3", "3 ", "\ud800", "garbage", "3.0"])
def test_text_that_is_not_what_the_digest_pins_is_refused(changed: str) -> None:
    safe = kept(3)
    with pytest.raises(CorruptRecord):
        SafeResult(changed, safe.result_handler, digest=safe.digest).read()
    assert safe.read() == 3


def test_without_a_digest_text_is_read_as_it_is() -> None:
    assert SafeResult("[1, 2]", JSONResultHandler()).read() == [1, 2]
    with pytest.raises(CorruptRecord):
        SafeResult(["no", "text"], JSONResultHandler(), digest="0" * 64).read()


def test_a_result_stores_itself_and_reads_back() -> None:
    result = Result((1, date(2026, 1, 1)), result_handler=JSONResultHandler())
    safe = result.store_safe_value()
    assert Result(safe_value=safe).value == (1, date(2026, 1, 1))


def test_the_limit_counts_bytes_and_is_named_with_the_size_and_the_next_step() -> None:
    handler = JSONResultHandler(max_bytes=10)
    assert handler.write("12345678") == '"12345678"'
    assert handler.write("éééé") == '"éééé"'
    for value, size in [("123456789", "11"), ("ééééé", "12"), (10**11, "12"), (1.2345678901, "12")]:
        with pytest.raises(NotSerializable) as caught:
            handler.write(value)
        message = str(caught.value)
        assert f"{size} bytes is over the limit of 10" in message
        assert "LocalResultHandler()" in message
        assert "max_bytes=" in message


def test_the_default_limit_is_64_kib() -> None:
    handler = JSONResultHandler()
    assert len(str(handler.write("x" * 65_534))) == 65_536
    with pytest.raises(NotSerializable, match="65537 bytes is over the limit of 65536"):
        handler.write("x" * 65_535)


def test_a_value_far_too_large_is_refused_before_it_is_written_out() -> None:
    doubling: object = "x"
    for _ in range(90):
        doubling = [doubling, doubling]
    text = "x" * 1000
    for value in (doubling, [text] * 10_000, {"a": b"x" * 70_000}, [0] * 100_000, dict.fromkeys(range(40_000))):
        with pytest.raises(NotSerializable, match=r"at least [0-9]+ bytes is over the limit of 65536"):
            JSONResultHandler().write(value)


@pytest.mark.parametrize("wrong", [0, -1, True, "10", 1.5, None])
def test_a_limit_that_is_none_is_refused_where_it_is_given(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="max_bytes"):
        JSONResultHandler(max_bytes=wrong)


def test_types_that_cannot_be_kept_are_refused_where_they_are_given() -> None:
    with pytest.raises(ConfigError, match="int is neither"):
        JSONResultHandler(types=[int])


@pytest.mark.parametrize("handler", [JSONResultHandler(), JSONResultHandler(max_bytes=99)])
def test_the_spec_makes_an_equal_handler(handler: JSONResultHandler) -> None:
    spec = json.loads(json.dumps(handler.to_spec()))
    again = JSONResultHandler.from_spec(spec)
    assert again.to_spec() == spec
    assert repr(again) == repr(handler)


def test_the_spec_says_only_what_differs() -> None:
    assert JSONResultHandler().to_spec() == {"type": "json"}
    assert JSONResultHandler(max_bytes=99).to_spec() == {"type": "json", "max_bytes": 99}
    assert JSONResultHandler(types=[Color]).to_spec() == {"type": "json"}
    assert repr(JSONResultHandler(types=[Color], max_bytes=99)) == "JSONResultHandler(types=[Color], max_bytes=99)"


@pytest.mark.parametrize("spec", [{"type": "json", "types": ["x:Y"]}, {"type": "json", "max_bytes": "9"}, {"size": 1}])
def test_a_spec_that_cannot_be_right_is_refused_by_name(spec: Any) -> None:
    with pytest.raises(ConfigError, match="spec of a JSON handler"):
        JSONResultHandler.from_spec(spec)


def test_types_travel_in_a_pickle_and_not_in_a_safe_result() -> None:
    handler = JSONResultHandler(types=[Color], max_bytes=99)
    copy = pickle.loads(pickle.dumps(handler))
    assert copy.types == (Color,)
    assert copy.max_bytes == 99
    assert copy.read(handler.write([Color.RED])) == [Color.RED]
    safe = SafeResult.from_dict(kept(Color.RED, handler).to_dict())
    assert handler.fetch(safe) is Color.RED
    with pytest.raises(ConfigError, match=r"types=\[Color\]"):
        JSONResultHandler.from_spec(safe.spec).fetch(safe)


def test_a_location_exists_if_it_is_json_text() -> None:
    handler = JSONResultHandler()
    assert handler.exists(handler.write({1: Color.__name__}))
    for nothing in ("", "a/key", "[1", None, 3, "[" * 100_000):
        assert not handler.exists(nothing)


def test_there_is_nothing_to_delete() -> None:
    with pytest.raises(Unsupported, match="forget the safe value"):
        JSONResultHandler().delete("3")


def test_the_serializer_writes_bare_json_in_utf_8() -> None:
    out = io.BytesIO()
    JSONSerializer().dump({"é": (1,)}, out)
    assert out.getvalue() == '{"é": {"$tuple": [1]}}'.encode()
    out.seek(0)
    assert JSONSerializer().load(out) == {"é": (1,)}
    assert (JSONSerializer.name, JSONSerializer.suffix, JSONSerializer.framed) == ("json", ".json", False)


def test_the_serializer_has_no_limit_and_takes_types() -> None:
    out = io.BytesIO()
    JSONSerializer(types=[Color]).dump(["x" * 100_000, Color.RED], out)
    out.seek(0)
    assert JSONSerializer(types=[Color]).load(out) == ["x" * 100_000, Color.RED]


@pytest.mark.parametrize("data", [b"", b"\xff", b'"\xed\xa0\x80"', b"[1", b"\x80\x05N.", b"\xef\xbb\xbf1"])
def test_bytes_that_are_no_json_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptRecord):
        JSONSerializer().load(io.BytesIO(data))


def test_a_value_that_the_serializer_refuses_leaves_no_bytes() -> None:
    out = io.BytesIO()
    with pytest.raises(NotSerializable, match=r"\[1\]"):
        JSONSerializer().dump([1, object()], out)
    assert out.getvalue() == b""
