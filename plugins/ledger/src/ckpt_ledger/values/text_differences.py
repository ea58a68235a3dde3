"""How two texts or two byte strings differ."""

from __future__ import annotations

from typing import Final

from ckpt.briefs import printable
from ckpt_ledger.values.alignment import Gap, gaps
from ckpt_ledger.values.changes import BytesChange, TextChange

__all__ = ["compare_bytes", "compare_texts"]

_AROUND: Final = 24
"""Characters of a line that are shown on either side of what differs."""
_WIDE: Final = 120
_HUNK_LINES: Final = 24
_CONTEXT: Final = 2
_BLOCK: Final = 1 << 16


def compare_texts(left: str, right: str, path: str, right_path: str | None) -> TextChange | None:
    """Lines are set side by side; of one line each, or of the first that differs, the place in it is told."""
    if left == right:
        return None
    at = _first_difference(left, right)
    line = left.count("\n", 0, at)
    start = left.rfind("\n", 0, at) + 1
    ours, theirs = (_line_from(text, start) for text in (left, right))
    shown = _around(ours, theirs, at - start)
    found: list[Gap] = []
    hunks: tuple[str, ...] = ()
    if "\n" in left or "\n" in right:
        # Only what lies between the first and the last line that differ is cut into lines.
        end = _common_end(left[start:], right[start:])
        cut = left.find("\n", len(left) - end) + 1 if end else 0
        end = len(left) - cut if cut else 0
        before = left[:start].split("\n")[-_CONTEXT - 1 : -1]
        after = left[len(left) - end :].split("\n")[:_CONTEXT] if end else []
        left_lines = left[start : len(left) - end].splitlines(keepends=True)
        right_lines = right[start : len(right) - end].splitlines(keepends=True)
        found = gaps(left_lines, right_lines)
        hunks = _hunks(left_lines, right_lines, found, line, before, after)
    return TextChange(
        path, right_path, len(left), len(right), line + 1, at - start + 1, *shown,
        sum(b - a for a, b, _, _ in found), sum(d - c for _, _, c, d in found), hunks,
    )  # fmt: skip


def _line_from(text: str, start: int) -> str:
    end = text.find("\n", start)
    return text[start:] if end < 0 else text[start:end]


def _around(left: str, right: str, column: int) -> tuple[str, str]:
    start = max(0, column - _AROUND) if max(len(left), len(right)) > _WIDE else 0
    most = _WIDE if start == 0 else 3 * _AROUND
    return _excerpt(left, start, most), _excerpt(right, start, most)


def _excerpt(line: str, start: int, most: int) -> str:
    end = "…" if len(line) > start + most else ""
    return f"{'…' if start else ''}{printable(line[start : start + most], 4 * most)}{end}"


def _hunks(
    left: list[str], right: list[str], found: list[Gap], first: int, before: list[str], after: list[str]
) -> tuple[str, ...]:
    """The first lines of a unified diff; `first`: the number of lines before."""
    out: list[str] = []
    done = 0
    for number, (a, b, c, d) in enumerate(found):
        if len(out) >= _HUNK_LINES:
            break
        start = max(done, a - _CONTEXT)
        if number == 0 or start > done:
            out.append(f"@@ -{first + a + 1},{b - a} +{first + c + 1},{d - c} @@")
        if number == 0:
            out += [f"  {_cut(text)}" for text in before]
        out += [f"  {_cut(text)}" for text in left[start:a]]
        out += [f"- {_cut(text)}" for text in left[a : min(b, a + _HUNK_LINES)]]
        out += [f"+ {_cut(text)}" for text in right[c : min(d, c + _HUNK_LINES)]]
        done = b
        following = found[number + 1][0] if number + 1 < len(found) else len(left)
        stop = min(following, b + _CONTEXT)
        out += [f"  {_cut(text)}" for text in left[b:stop]]
        done = stop
    else:
        if done == len(left):
            # The last is empty where the text ends with a line's end.
            out += [f"  {_cut(text)}" for text in after if text or text is not after[-1]]
    return tuple(out)


def _cut(line: str) -> str:
    return printable(line.removesuffix("\n"), _WIDE)


def compare_bytes(left: bytes, right: bytes, path: str, right_path: str | None) -> BytesChange | None:
    """The first byte that differs, with those around it."""
    if left == right:
        return None
    at = _first_difference(left, right)
    start = max(0, at - 8) // 8 * 8
    window = slice(start, start + 24)
    return BytesChange(
        path, right_path, len(left), len(right), at, start, bytes(left[window]).hex(), bytes(right[window]).hex()
    )


def _first_difference(left: str | bytes, right: str | bytes) -> int:
    shortest = min(len(left), len(right))
    start, width = 0, _BLOCK
    # Blocks of a fixed size first, which are compared by the interpreter; then halves of the one that differs.
    while start < shortest and left[start : start + width] == right[start : start + width]:
        start += width
    while width > 1 and start < shortest:
        width //= 2
        if left[start : start + width] == right[start : start + width]:
            start += width
    return min(start, shortest)


def _common_end(left: str, right: str) -> int:
    shortest = min(len(left), len(right))
    known, width = 0, _BLOCK
    while width:
        while (
            known + width <= shortest
            and left[len(left) - known - width : len(left) - known]
            == right[len(right) - known - width : len(right) - known]
        ):
            known += width
        width //= 2
    return known
