"""Keys: what a template may say, and that no text of a user leads out of its place."""

from __future__ import annotations

import datetime
import pickle
import re

import pytest

from ckpt.errors import ConfigError
from ckpt.handlers import DEFAULT_TEMPLATE
from ckpt.keys import KeyTemplate, component, map_part, slug

STARTED = datetime.datetime(2026, 11, 22, 17, 5, tzinfo=datetime.UTC)


def test_the_default_key_tells_date_flow_run_call_and_place() -> None:
    run = KeyTemplate(DEFAULT_TEMPLATE, prefix="/pre/fix/").bind(date=STARTED, flow="My handled flow!", run_id="r-1")
    call = run.bind(call="add-1", suffix=".ckpt")
    assert call.render() == "pre/fix/2026/11/22/my-handled-flow/r-1/add-1.ckpt"
    assert call.render(map_part(7, 1000)) == "pre/fix/2026/11/22/my-handled-flow/r-1/add-1/0007.ckpt"
    assert run.bind(call="sub-1", suffix=".json").render("/0001", 3).endswith("/sub-1/0001.json")
    assert pickle.loads(pickle.dumps(call)).render() == call.render()


def test_what_differs_from_call_to_call_may_be_given_when_rendering() -> None:
    run = KeyTemplate(DEFAULT_TEMPLATE).bind(date=STARTED, flow="f", run_id="r", suffix=".ckpt")
    assert run.render("/0007", call="add-1", order=3, tags=()) == "2026/11/22/f/r/add-1/0007.ckpt"
    assert run.render(call="add-1") == run.bind(call="add-1").render()
    other = KeyTemplate("{order:03d}-{call}{map}-{tags}-{attempt}").render("/0", 2, call="c", order=7, tags=["b", "a"])
    assert other == "007-c/0-a+b-2"


def test_every_field_can_be_used() -> None:
    text = (
        "{date}|{date:%H}|{flow}|{run_id}|{call}|{order:03d}|{order}|{map}|{attempt}|{parameters[a b]}|{tags}|{suffix}"
    )
    template = KeyTemplate(text.replace("|", "-"))
    assert template.parameters == {"a b"}
    bound = template.bind(
        date=STARTED, flow="F", run_id="r", call="c-1", order=7, parameters={"a b": 3, "other": 1}, tags={"y", "x"},
        suffix=".s",
    )  # fmt: skip
    assert bound.render("/0002", attempt=4) == "2026-11-22-17-f-r-c-1-007-7-/0002-4-3-x+y-.s"
    assert bound.render() == "2026-11-22-17-f-r-c-1-007-7--1-3-x+y-.s"
    assert "parameters[a b]" in template.fields


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{call}{map}{sufix}", "did you mean 'suffix'?"),
        ("{call}/{param[x]}", "'parameters[x]'"),
        ("{call}/{parameters}", "'parameters'"),
        ("{call}/{parameters[x].y}", "unknown field"),
        ("{call}/{parameters[x][y]}", "unknown field"),
        ("{call}/{0}", "unknown field '0'"),
        ("{call}/{}", "unknown field ''"),
        ("{call.__class__}", "unknown field"),
        ("{call!r}", "takes no format"),
        ("{call:>300}", "takes no format"),
        ("{call}{order:q}", "no format for 'order'"),
        ("{call", "write {{ for a brace"),
        ("x", "the same key"),
        ("{date}/{flow}/{run_id}{map}", "the same key"),
        ("/{call}", "empty, '.' or '..'"),
        ("a//{call}", "empty, '.' or '..'"),
        ("../{call}", "empty, '.' or '..'"),
        ("./{call}", "empty, '.' or '..'"),
        ("{map}/{call}", "empty, '.' or '..'"),
        ("{call}/", "empty, '.' or '..'"),
        ("{call}\n", "control character"),
        ("a\\{call}", "backslash"),
        ("{date:%Y\0}{call}", "control character"),
    ],
)
def test_a_template_that_cannot_work_is_refused_when_it_is_made(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        KeyTemplate(text)


def test_a_prefix_that_leads_elsewhere_is_refused() -> None:
    for prefix in ("..", "a/../b", "a//b", "a\0"):
        with pytest.raises(ConfigError, match="prefix"):
            KeyTemplate("{call}", prefix=prefix)


def test_a_parameter_that_the_flow_lacks_is_named_with_the_nearest() -> None:
    template = KeyTemplate("{parameters[contry]}/{call}")
    with pytest.raises(ConfigError, match="needs the parameter 'contry': did you mean 'country'"):
        template.bind(parameters={"country": "PL"})


def test_mapped_children_never_share_a_key() -> None:
    with pytest.raises(ConfigError, match=r"put \{map\} into it"):
        KeyTemplate("{call}{suffix}").bind(call="c", suffix="").render(map_part(0, 2))
    assert len({map_part(index, 20_000) for index in range(20_000)}) == 20_000


def test_a_field_that_nobody_bound_is_named() -> None:
    with pytest.raises(ConfigError, match="no value for flow, suffix"):
        KeyTemplate("{flow}/{call}{suffix}").bind(call="c").render()
    with pytest.raises(ConfigError, match="no value for call"):
        KeyTemplate(DEFAULT_TEMPLATE).bind(date=STARTED, flow="f", run_id="r", suffix="").render()


def test_map_parts_sort_like_their_numbers() -> None:
    for length in (1, 10, 10_000, 10_001, 123_456):
        some = [0, 1, 9, 10, length // 2, length - 1]
        parts = [map_part(index, length) for index in sorted({i for i in some if i < length})]
        assert parts == sorted(parts)
        assert len({len(part) for part in parts}) == 1
    assert (map_part(7, 12), map_part(7, 10_001), map_part(99_999, 100_000)) == ("/0007", "/00007", "/99999")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add", "add"),
        ("load_data", "load-data"),
        ("My handled flow!", "my-handled-flow"),
        ("Zażółć GĘŚLĄ", "zazolc-gesla"),
        ("Straße", "strasse"),
        ("../../etc/passwd", "etc-passwd"),
        ("--a--b--", "a-b"),
        ("a" * 200, "a" * 80),
        ("a" * 79 + "-b", "a" * 79),
    ],
)
def test_a_slug_is_plain_and_short(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_a_slug_is_never_empty_and_tells_texts_apart() -> None:
    slugs = [slug(text) for text in ("数据", "流程", "", "///", "\ud800")]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch("x-[0-9a-f]{8}", each) for each in slugs)
    assert slug("abcdef", limit=3) == "abc"


HARSH = [
    "", ".", "..", "...", "/", "//", "a/b", "a-b", "../x", "a\0b", "a\nb", "\x7f", "a\\b", "C:\\x", " ", " a", "a ",
    "a%2Fb", "x" * 500, "x" * 501, "數" * 200, "é", "e\u0301", "\u202e", "a:b", "a?b", "a#b", ".hidden", "CON", "-",
    "\ud800", "a.", "{call}",
]  # fmt: skip


def test_text_of_users_becomes_one_safe_component_and_stays_distinct() -> None:
    made = [component(text) for text in HARSH]
    assert len(set(made)) == len(HARSH)
    for text in made:
        assert text not in ("", ".", "..")
        assert not set(text) & set("/\\\0\n\x7f :?#")
        assert not text.startswith(".")
        assert len(text.encode()) <= 140
    assert [component(text) for text in ("EU-west_1", "2026-01-01", "3.5", "Łódź", "a+b=c")] == [
        "EU-west_1", "2026-01-01", "3.5", "Łódź", "a+b=c",
    ]  # fmt: skip


@pytest.mark.parametrize("text", HARSH)
def test_no_text_of_a_user_changes_the_shape_of_a_key(text: str) -> None:
    template = KeyTemplate("{flow}/{parameters[x]}/{tags}/{run_id}/{call}{suffix}")
    key = template.bind(flow=text, parameters={"x": text}, tags=[text], run_id=text, call=text, suffix=".ckpt").render()
    parts = key.split("/")
    assert len(parts) == 5
    assert not {"", ".", ".."} & set(parts)
    key.encode()
