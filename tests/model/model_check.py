"""Holds what was seen of a run against what the rules allow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model_programs import Program
from model_rules import News, Path, Row, Rules, news, order
from model_runs import Observed, Seen

from ckpt import NoResult

STEPS = 20_000
"""Rows that are tried at most before a run counts as one that no history explains."""


class Check:
    """Looks for a history in which each row is as it was seen; the nearest miss is told where there is none."""

    def __init__(self, program: Program, seen: Observed, *, remote: bool) -> None:
        self.program, self.seen, self.remote = program, seen, remote
        self.rules = Rules(program, remote=remote)
        self.todo = [(number, None) for number in order(program)]
        self.steps = 0
        self.miss: tuple[int, list[str]] = (-1, [])

    def complaints(self) -> list[str]:
        """What is wrong with the run; nothing if all is well."""
        if not self._explained(self.todo, 0):
            return self.miss[1]
        return [*self.seen.wrong, *self._overall()]

    @property
    def has_late_news(self) -> bool:
        """Did it depend on the moment what the run would be?"""
        return any(row.late for row in self.rules.rows.values())

    def _explained(self, todo: list[Path], depth: int) -> bool:
        """Can the rows that are still to do be explained, after those that are?"""
        self.steps += 1
        if not todo:
            return True
        if self.steps > STEPS:
            return False
        path, rest = todo[0], todo[1:]
        rows = self.rules.rows
        before = self.rules.earlier(path)
        late = [up for up in dict.fromkeys(self.rules.upstream(path)) if rows[up].late and up not in before]
        fitting: list[News] = []
        for came in self._news(path, late):
            if any(came >= less for less in fitting):
                continue  # knowing more explains no more: it only binds those downstream
            row = self.rules.row(path, before | came)
            wrong = self._differences(path, row)
            if wrong:
                if depth >= self.miss[0]:
                    self.miss = depth, [*(self.miss[1] if depth == self.miss[0] else []), *wrong]
                continue
            fitting.append(came)
            rows[path] = row
            children = [(path[0], index) for index in range(row.children or 0)]
            if self._explained([*children, *rest], depth + 1):
                return True
            del rows[path]
        return False

    def _news(self, path: Path, late: list[Path]) -> Iterator[News]:
        """The news that may have come when a row started: all that had been told, where somebody listened."""
        seen = self.seen.rows.get(path)
        if not self.program.listened or seen is None or seen.children is not None:  # becoming children is not told
            return news(late)
        began = self.seen.began[self._name(path)]
        return iter([frozenset(up for up in late if self.seen.ended[self._name(up)] < began)])

    def _differences(self, path: Path, row: Row) -> list[str]:
        """In what a row is not as it was seen."""
        seen = self.seen.rows.get(path)
        name = self._name(path)
        if seen is None:
            return [f"{name} was not seen, and should be {row.state}"]
        wrong = []

        def expect(what: str, right: object, found: object) -> None:
            if right != found or type(right) is not type(found):
                wrong.append(f"{name}: {what} should be {right!r:.300}, and is {found!r:.300}")

        expect("state", row.state, seen.state)
        exact = not row.message or row.message.endswith(".")
        fits = seen.message == row.message.removesuffix(".") if exact else seen.message.startswith(row.message)
        if not fits:
            wrong.append(f"{name}: message should be {row.message!r}, and is {seen.message!r}")
        expect("number of children", row.children, seen.children)
        expect("calls of the function", row.called, self._count(self.seen.called, name))
        expect("tries of the write", row.tries, self._count(self.seen.tries, name))
        if self.program.listened:
            expect("states that were told", row.told, self.seen.told.get(name, []))
            expect("outcome of the write", row.outcome, self.seen.outcomes.get(name))
        if row.children is None and not wrong:
            wrong += self._value_differences(path, row, seen, expect)
        return wrong

    def _count(self, counts: dict[str, int], name: str) -> int:
        return counts.get(name, 0)

    def _value_differences(self, path: Path, row: Row, seen: Seen, expect: Any) -> list[str]:
        stored = row.outcome == "stored"
        wrong: list[str] = []
        expect("what is kept", [row.value] if stored else None, seen.kept)
        dropped = row.state == "Success" and self.rules.dropped(path[0])
        expect("being lost", dropped and not stored, seen.lost)
        if not seen.lost:
            right, found = row.value, seen.value
            if isinstance(right, Exception):
                right, found = (
                    (type(right), str(right) if type(right) is ValueError else ""),
                    (
                        type(found),
                        str(found) if type(found) is ValueError else "",
                    ),
                )
            expect("value", right, found)
        if not self.remote:
            expect("being in memory", not dropped and row.value is not NoResult, seen.loaded)
        return wrong

    def _overall(self) -> list[str]:
        """What is wrong with the run as a whole."""
        wrong = []
        state = self.rules.verdict()
        if state != self.seen.state:
            wrong.append(f"the flow should be {state}, and is {self.seen.state}: {self.seen.message}")
        rows = self.rules.rows.items()
        stored = sorted(self._name(path) for path, row in rows if row.outcome == "stored" and row.tries)
        if stored != self.seen.keys:
            wrong.append(f"these should be in the stores: {stored}; these are: {self.seen.keys}")
        extra = set(self.seen.rows) - set(self.rules.rows)
        wrong += [f"{self._name(path)} should not be there" for path in extra]
        for (number, index), row in self.rules.rows.items():
            whole = self.seen.rows[number, None].whole
            if index is not None and whole is not None and row.outcome:
                found = whole[index]  # type: ignore[index]
                if found != row.value:
                    wrong.append(f"{self._name((number, index))}: its place in the list has {found!r:.200}")
        return wrong

    def _name(self, path: Path) -> str:
        slug = self.program.slug(path[0])
        return slug if path[1] is None else f"{slug}[{path[1]}]"
