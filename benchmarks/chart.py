"""The comparison as a picture: one line for each contender, its ratios as dots on a logarithmic axis.

`python chart.py results-peers.json FILE` draws a result again.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

__all__ = ["Line", "drawn"]

WIDTH = 760
LEFT, RIGHT = 200, 520
"""Where the axis begins and ends."""
ROW, HEAD = 30, 38

STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; fill: #1f2328 }
  .card { fill: #ffffff; stroke: #d1d9e0 }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  .quiet { font-size: 12px; fill: #59636e }
  .ours { fill: #0757ba; font-weight: 600 }
  .grid { stroke: #d1d9e0 }
  .hand { stroke: #59636e; stroke-dasharray: 3 3 }
  .chain { fill: #6e7781; stroke: #6e7781 }
  .fan-out { fill: #ffffff; stroke: #6e7781 }
  .ours.chain { fill: #0969da; stroke: #0969da }
  .ours.fan-out { fill: #ffffff; stroke: #0969da }
  circle { stroke-width: 2.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .card { fill: #151b23; stroke: #3d444d }
    .quiet { fill: #9198a1 }
    .ours { fill: #79b8ff }
    .grid { stroke: #3d444d }
    .hand { stroke: #9198a1 }
    .chain { fill: #9198a1; stroke: #9198a1 }
    .fan-out { fill: #151b23; stroke: #9198a1 }
    .ours.chain { fill: #4493f8; stroke: #4493f8 }
    .ours.fan-out { fill: #151b23; stroke: #4493f8 }
  }
"""


@dataclass(frozen=True, slots=True)
class Line:
    """What was measured of one contender."""

    name: str
    version: str
    durable: bool
    tasks: int
    micros: dict[str, float]
    """Microseconds a task, for each shape."""
    ratios: dict[str, float]
    """To the loop by hand that promises the same."""

    @property
    def promise(self) -> str:
        """What holds once the value counts as kept."""
        return "durable" if self.durable else "not synced"

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def drawn(lines: Sequence[Line]) -> str:
    """Return the picture as SVG."""
    ratios = [ratio for line in lines for ratio in line.ratios.values()]
    low, high = math.log10(min(ratios) / 1.25), math.log10(max(ratios) * 1.25)

    def at(ratio: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (math.log10(ratio) - low) / (high - low), 1)

    bottom = 88 + ROW * len(lines) + HEAD * len({line.promise for line in lines})
    parts = [
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{bottom + 61}" rx="6"/>',
        text(20, 30, "What a trivial task costs when its value is kept in a file", "title"),
        text(20, 51, "times the cost of a loop by hand that promises the same; further left is cheaper", "quiet"),
        *scale(range(math.ceil(low), math.floor(high) + 1), at, bottom),
    ]
    y = 66
    for promise, group in groupby(lines, key=lambda line: line.promise):
        y += HEAD
        parts.append(text(20, y - 6, promise, "group"))
        parts.append(text(WIDTH - 20, y - 6, "chain · fan-out, µs a task", "quiet", "end"))
        for line in group:
            y += ROW
            parts += row(line, y - 9, at)
    parts += [
        dot(LEFT, bottom + 40, "chain"),
        text(LEFT + 12, bottom + 44, "chain", "quiet"),
        dot(LEFT + 70, bottom + 40, "fan-out"),
        text(LEFT + 82, bottom + 44, "fan-out, then reduce", "quiet"),
    ]
    told = "; ".join(f"{line.promise}, {line.name}: {' and '.join(shown(line))} times" for line in lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 62}" width="{WIDTH}" '
        f'height="{bottom + 62}" role="img" aria-labelledby="title told">\n'
        f'<title id="title">What keeping a value costs, beside a loop by hand</title>\n'
        f'<desc id="told">Chain and fan-out: {told}.</desc>\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def scale(powers: Iterable[int], at: Any, bottom: float) -> Iterator[str]:
    for power in powers:
        x = at(10**power)
        yield f'<path class="{"hand" if power == 0 else "grid"}" d="M{x} 72V{bottom}"/>'
        yield text(x, bottom + 17, f"{10.0**power:g}×", "quiet", "middle")


def row(line: Line, y: float, at: Any) -> Iterator[str]:
    ours = " ours" if line.name == "ckpt" else ""
    yield text(32, y + 5, f"{line.name} {line.version}".rstrip(), ours.strip())
    for shape, ratio in sorted(line.ratios.items(), reverse=True):
        yield dot(at(ratio), y, f"{shape}{ours}")
    yield text(RIGHT + 100, y + 5, " · ".join(f"{ratio}×" for ratio in shown(line)), ours.strip(), "end")
    yield text(WIDTH - 20, y + 5, " · ".join(f"{micros:,.0f}" for micros in line.micros.values()), ours.strip(), "end")


def shown(line: Line) -> list[str]:
    return [f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}" for ratio in line.ratios.values()]


def dot(x: float, y: float, name: str) -> str:
    # Of two dots in one place both are seen: the chain's is the smaller one, and is drawn last.
    return f'<circle class="{name}" cx="{x}" cy="{y}" r="{3 if name.startswith("chain") else 6}"/>'


def text(x: float, y: float, words: str, name: str = "", anchor: str = "start") -> str:
    named = f' class="{name}"' if name else ""
    ends = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x}" y="{y}"{named}{ends}>{words}</text>'


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(
        drawn([Line(**line) for line in json.loads(Path(sys.argv[1]).read_text())["lines"]]), encoding="utf-8"
    )
