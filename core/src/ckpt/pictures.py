"""A flow's graph as a picture: text always, and SVG where graphviz is installed; coloured by state."""

from __future__ import annotations

import heapq
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckpt.calls import Call
from ckpt.errors import ConfigError, Unsupported
from ckpt.states import State

if TYPE_CHECKING:
    import os

    from ckpt.flows import Flow

__all__ = ["Picture"]

_TEXT, _DOT = frozenset({"", ".txt"}), frozenset({".dot", ".gv"})


class Picture:
    """The graph of `flow`; with the `state` that `flow.run` returned, also what became of each call.

    `str` draws it as text, one call a line, each below what it waits for. A notebook shows the SVG if it can.

    Raises: `ConfigError` for a state of another flow.
    """

    def __init__(self, flow: Flow, state: State | None = None) -> None:
        self.flow = flow
        self.state = state
        self._states = {} if state is None else _states(flow, state)

    def __str__(self) -> str:
        ended = "" if self.state is None else f": {self.state.name}"
        lines = [f"{self.flow.name}{ended}"]
        rows = [(_title(call), self._said(call), _upstream(call)) for call in _in_order(self.flow.calls)]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        for title, said, upstream in rows:
            cells = [title.ljust(widths[0]), *([said.ljust(widths[1])] if widths[1] else []), upstream]
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    @property
    def dot(self) -> str:
        """The graph in graphviz' language."""
        lines = [
            f"digraph {_quoted(self.flow.name)} {{",
            f"  label={_quoted(self.flow.name)}; labelloc=t; fontname=Helvetica; bgcolor=white;",
            '  node [shape=box, style="rounded,filled", fillcolor=white, fontname=Helvetica, penwidth=1.5];',
            "  edge [arrowsize=0.7, fontname=Helvetica, fontsize=10];",
        ]
        for call in self.flow.calls:
            lines.append(f"  n{call.index} [{self._attributes(call)}];")
            waits = dict.fromkeys(call.after, "style=dashed")
            waits |= dict.fromkeys((each.call for each in call.each or () if each.call is not None), 'label="each"')
            waits |= {up: "" for up in call.inputs if up not in waits or waits[up] == "style=dashed"}
            lines += [f"  n{up.index} -> n{call.index}{f' [{how}]' if how else ''};" for up, how in waits.items()]
        return "\n".join([*lines, "}", ""])

    def svg(self) -> str:
        """The graph as SVG, drawn by graphviz.

        Raises: `Unsupported` where graphviz is not installed, saying how to get it.
        """
        return self._drawn("svg").decode()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture; the suffix says how: `.svg`, `.png`, `.pdf` (by graphviz), `.dot` or `.txt`.

        Raises: `Unsupported` where graphviz is not installed or does not know the suffix.
        """
        path = Path(path)
        if path.suffix in _TEXT:
            path.write_text(f"{self}\n", encoding="utf-8")
        elif path.suffix in _DOT:
            path.write_text(self.dot, encoding="utf-8")
        else:
            path.write_bytes(self._drawn(path.suffix[1:]))
        return path

    def _repr_svg_(self) -> str | None:
        return self.svg() if shutil.which("dot") else None

    def _drawn(self, kind: str) -> bytes:
        program = shutil.which("dot")
        if program is None:
            raise Unsupported(
                "drawing needs graphviz' program `dot`, which is not here: apt-get install graphviz (Debian, Ubuntu) "
                "or brew install graphviz (macOS); print(flow.visualize()) draws as text without it"
            )
        done = subprocess.run([program, f"-T{kind}"], input=self.dot.encode(), capture_output=True, check=False)  # noqa: S603  found on PATH
        if done.returncode:
            raise Unsupported(f"graphviz did not draw {kind!r}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _said(self, call: Call) -> str:
        """The call's state in words; of a mapped call also those of its children."""
        state = self._states.get(call)
        if state is None:
            return ""
        if state.map_states is None:
            return state.name
        counts = Counter(child.name for child in state.map_states)
        children = ", ".join(f"{count} {name}" for name, count in counts.items()) or "over nothing"
        return f"{state.name}: {children}"

    def _attributes(self, call: Call) -> str:
        label = _title(call)
        attributes: dict[str, str] = {}
        state = self._states.get(call)
        if state is not None:
            label += f"\n{self._said(call)}"
            failed = state.is_mapped() and state.is_failed()
            worst = next((child for child in state.map_states or () if child.is_failed()), state) if failed else state
            attributes |= {"color": worst.color, "penwidth": "3"}
        if call.is_mapped:
            attributes["peripheries"] = "2"
        if call.is_parameter:
            attributes["shape"] = "ellipse"
        return ", ".join(f"{name}={_quoted(value)}" for name, value in {"label": label, **attributes}.items())


def _states(flow: Flow, state: State) -> dict[Call, State]:
    """The state of each call; a state that has travelled knows calls by their slugs."""
    states: Any = getattr(state, "result", None)
    if not isinstance(states, Mapping):
        raise ConfigError(f"visualize takes the state that flow.run() returned, not {state!r}")
    by_slug = {str(getattr(key, "slug", key)): value for key, value in states.items()}
    strangers = any(isinstance(key, Call) and key.flow is not flow for key in states)
    if strangers or by_slug.keys() != {call.slug for call in flow.calls}:
        raise ConfigError(f"that is not the state of flow {flow.name!r} as it is now: run it, then visualize")
    return {call: by_slug[call.slug] for call in flow.calls}


def _in_order(calls: list[Call]) -> list[Call]:
    """Each call after what it waits for, otherwise as they were made; the calls of a cycle at the end."""
    waits = [len(call.upstream) for call in calls]
    down: list[list[int]] = [[] for _ in calls]
    for call in calls:
        for up in call.upstream:
            down[up.index].append(call.index)
    ready = [number for number, waiting in enumerate(waits) if not waiting]
    order = []
    while ready:
        number = heapq.heappop(ready)
        order.append(number)
        for after in down[number]:
            waits[after] -= 1
            if not waits[after]:
                heapq.heappush(ready, after)
    return [calls[number] for number in [*order, *(number for number, waiting in enumerate(waits) if waiting)]]


def _title(call: Call) -> str:
    return f"{call.slug}[]" if call.is_mapped else call.slug


def _upstream(call: Call) -> str:
    """What it waits for: `each x` of what it is mapped over, `after x` where no value is taken."""
    mapped = [each.call for each in call.each or () if each.call is not None]
    parts = [f"each {up.slug}" for up in dict.fromkeys(mapped)]
    parts += [up.slug for up in call.inputs]
    parts += [f"after {up.slug}" for up in dict.fromkeys(call.after) if up not in mapped and up not in call.inputs]
    return f"← {', '.join(parts)}" if parts else "parameter" if call.is_parameter else ""


def _quoted(text: str) -> str:
    """Text as graphviz takes it; it reads backslashes, quotes and HTML entities."""
    text = "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("&", "&amp;"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
