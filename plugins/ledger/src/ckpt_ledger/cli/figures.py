"""Moments and spans of time for people, and moments as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from click import Context, Parameter

__all__ = ["Moment", "iso", "moment", "seconds_between", "span"]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAYS: Final = {"today": 0, "yesterday": 1}


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """A date, a date with a time, `today`, `yesterday`, or how long ago: `90m`, `24h`, `7d`.

    As the end of a period a day stands for its end.
    """

    name = "when"

    def __init__(self, *, is_end: bool = False) -> None:
        self._is_end = is_end

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            return self._read(text)
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no moment: 2026-11-22, '2026-11-22 17:16', today, yesterday, or 90m, 24h, 7d", param, ctx
            )

    def _read(self, text: str) -> datetime:
        now = datetime.now(UTC).astimezone()
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        days = _DAYS.get(text)
        day = (now - timedelta(days=days)).date().isoformat() if days is not None else text
        found = datetime.fromisoformat(day)
        if self._is_end and _DAY.fullmatch(day):
            found += timedelta(days=1)
        return found.astimezone()


def moment(at: datetime | None) -> str:
    """A moment by the clock of this machine."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def iso(at: datetime | None) -> str | None:
    """A moment for programs, UTC."""
    return None if at is None else at.isoformat()


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from one moment to another; None where one of them is not known."""
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


def span(seconds: float | None) -> str:
    """A span of time, as `38 ms`, `4.2 s`, `3m 07s`, `1h 02m`, `2d 03h`."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        milliseconds = seconds * 1e3
        return (
            f"{milliseconds:.0f} ms"
            if milliseconds >= 9.5
            else f"{milliseconds:.1f} ms"
            if seconds >= 1e-4
            else "<0.1 ms"
        )
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for above, unit, below, part in ((60, "m", 1, "s"), (3600, "h", 60, "m"), (86400, "d", 3600, "h")):
        if whole < above * (60 if unit == "m" else 24) or unit == "d":
            return f"{whole // above}{unit} {whole % above // below:02}{part}"
    raise AssertionError("not reached")
