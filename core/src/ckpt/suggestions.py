"""The name that somebody probably meant."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`; None where nothing does."""
    from difflib import get_close_matches

    by_plain = {each.lower().replace("-", "_"): each for each in known}
    found = get_close_matches(name.lower().replace("-", "_"), by_plain, n=1, cutoff=0.6)
    return by_plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    known = sorted(known)
    if (guess := nearest(name, known)) is not None:
        return f"did you mean {guess!r}?"
    return f"known: {', '.join(known)}" if known else "there is none"
