"""`flow.visualize()`: what a person sees of a graph, with and without graphviz."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from ckpt import Flow, Parameter, State, task, unmapped
from ckpt.errors import ConfigError, Unsupported

pytestmark = pytest.mark.usefixtures("plain")


@task
def load(n: int) -> list[int]:
    return list(range(n))


@task
def weigh(row: int, limit: int) -> int:
    if row > limit:
        raise ValueError("too heavy")
    return row


@task
def total(weights: list[int]) -> int:
    return sum(weights)


@task
def clean() -> None: ...


@pytest.fixture
def flow() -> Flow:
    with Flow("weigh things") as flow:
        limit = Parameter("limit", 100)
        rows = load(3, upstream_tasks=[clean()])
        total(weigh.map(rows, unmapped(limit)))
    return flow


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `dot` that writes down what it is given, and answers with its arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    dot = folder / "dot"
    dot.write_text(f'#!/bin/sh\n/bin/cat > {folder}/given\nprintf "<svg>%s</svg>" "$*"\n')
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return dot


@pytest.fixture
def no_graphviz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_the_text_has_each_call_after_what_it_waits_for(flow: Flow) -> None:
    assert str(flow.visualize()).splitlines() == [
        "weigh things",
        "  limit      parameter",
        "  clean-1",
        "  load-1     ← after clean-1",
        "  weigh-1[]  ← each load-1, limit",
        "  total-1    ← weigh-1",
    ]


def test_a_call_that_waits_for_a_later_one_comes_after_it() -> None:
    with Flow("f") as flow:
        first = clean()
        second = clean()
        first.set_upstream(second)
    assert [line.split()[0] for line in str(flow.visualize()).splitlines()[1:]] == ["clean-2", "clean-1"]


def test_a_flow_with_a_cycle_is_drawn_so_that_it_can_be_found() -> None:
    with Flow("f") as flow:
        first, second = clean(), clean()
        first.set_upstream(second)
        second.set_upstream(first)
    assert str(flow.visualize()).splitlines()[1:] == ["  clean-1  ← after clean-2", "  clean-2  ← after clean-1"]


def test_a_state_is_shown_for_each_call_and_counted_for_mapped_ones(flow: Flow) -> None:
    shown = str(flow.visualize(flow.run(limit=1)))
    rows = {line.split()[0]: line for line in shown.splitlines()[1:]}
    assert shown.startswith("weigh things: Failed\n")
    assert "Mapped: 2 Success, 1 Failed" in rows["weigh-1[]"]
    assert "TriggerFailed" in rows["total-1"]
    assert re.search(r"\bSuccess\b.*← after clean-1", rows["load-1"])


def test_a_state_that_has_travelled_is_shown_too(flow: Flow) -> None:
    import pickle

    state = flow.run()
    travelled: State = pickle.loads(pickle.dumps(state))
    assert str(flow.visualize(travelled)) == str(flow.visualize(state))


def test_the_state_of_another_flow_is_refused(flow: Flow) -> None:
    with Flow("other") as other:
        clean()
    with pytest.raises(ConfigError, match="not the state of flow 'other'"):
        other.visualize(flow.run())
    with Flow("twin") as twin:
        clean()
    with pytest.raises(ConfigError, match="not the state of flow 'other'"):
        other.visualize(twin.run())
    not_of_a_flow: Any = flow.run().result[flow.calls[0]]  # type: ignore[index]  # a mapping, for a flow
    with pytest.raises(ConfigError, match="that flow.run\\(\\) returned"):
        flow.visualize(not_of_a_flow)


def test_a_mapped_call_is_coloured_by_the_child_that_failed(flow: Flow) -> None:
    from ckpt.states import Failed, Mapped, Success

    colours = dict(re.findall(r'n(\d) \[label=.*?color="(\w+)"', flow.visualize(flow.run(limit=1)).dot))
    assert (colours["3"], colours["2"]) == (Failed.color, Success.color)
    colours = dict(re.findall(r'n(\d) \[label=.*?color="(\w+)"', flow.visualize(flow.run()).dot))
    assert colours["3"] == Mapped.color


def test_edges_tell_values_elements_and_mere_order_apart(flow: Flow) -> None:
    edges = re.findall(r"(n\d -> n\d)(?: \[(.*)\])?;", flow.visualize().dot)
    assert dict(edges) == {
        "n1 -> n2": "style=dashed",
        "n0 -> n3": "",
        "n2 -> n3": 'label="each"',
        "n3 -> n4": "",
    }


def test_a_name_means_nothing_but_itself_to_graphviz() -> None:
    dot = Flow('a "b" \\N & <c>\x1b\n').visualize().dot
    assert 'label="a \\"b\\" \\\\N &amp; <c>�\\n"' in dot


def test_a_flow_without_calls_is_drawn() -> None:
    assert str(Flow("empty").visualize()) == "empty"
    assert Flow("empty").visualize().dot.startswith('digraph "empty" {')


def test_svg_is_what_graphviz_makes_of_the_graph(flow: Flow, program: Path) -> None:
    picture = flow.visualize()
    assert picture.svg() == picture._repr_svg_() == "<svg>-Tsvg</svg>"
    assert program.with_name("given").read_text(encoding="utf-8") == picture.dot


def test_what_graphviz_refuses_is_told(flow: Flow, program: Path, tmp_path: Path) -> None:
    program.write_text('#!/bin/sh\necho "Format not recognized" >&2\nexit 1\n')
    with pytest.raises(Unsupported, match="Format not recognized"):
        flow.visualize().save(tmp_path / "picture.xyz")
    assert not (tmp_path / "picture.xyz").exists()


def test_the_suffix_says_how_it_is_saved(flow: Flow, program: Path, tmp_path: Path) -> None:
    picture = flow.visualize()
    saved = {suffix: picture.save(tmp_path / f"flow{suffix}").read_text("utf-8") for suffix in (".txt", ".dot", ".png")}
    assert saved == {".txt": f"{picture}\n", ".dot": picture.dot, ".png": "<svg>-Tpng</svg>"}
    assert picture.save(os.fspath(tmp_path / "plain")).read_text("utf-8") == f"{picture}\n"


@pytest.mark.usefixtures("no_graphviz")
def test_without_graphviz_it_says_what_to_install_and_text_still_works(flow: Flow) -> None:
    picture = flow.visualize()
    with pytest.raises(Unsupported, match="apt-get install graphviz"):
        picture.svg()
    assert picture._repr_svg_() is None
    assert repr(picture) == str(picture)
