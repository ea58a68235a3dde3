"""Known credentials taken out of text: of errors, and of what an SDK logs."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote

from ckpt.credentials import HIDDEN

__all__ = ["Redaction"]

_SHORTEST = 4
"""Characters; what is shorter is no credential, and would be found everywhere."""


class Redaction:
    """Replaces every one of `secrets`, also where it is quoted or encoded.

    `pattern` catches credentials that nobody told of, such as the value of a header that the SDK found by itself: of
    what it matches its group 1 is left, and `***`.
    """

    __slots__ = ("_known", "_pattern")

    def __init__(self, secrets: Iterable[str] = (), pattern: re.Pattern[str] | None = None) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        # The longest first: one secret may be a part of another.
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._pattern = pattern

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return text if self._pattern is None else self._pattern.sub(rf"\1{HIDDEN}", text)

    def guard(self, *loggers: str) -> None:
        """Redact from now on what these loggers log: by each one's own name, since a parent's filter sees nothing."""
        for name in loggers:
            logging.getLogger(name).addFilter(_Filter(self))


class _Filter(logging.Filter):
    """Compares equal to one that redacts the same, so that a logger gets it once."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self.redaction = redaction

    def _what(self) -> tuple[object, object]:
        return self.redaction._known, self.redaction._pattern  # noqa: SLF001  of the same module

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Filter) and self._what() == other._what()

    def __hash__(self) -> int:
        return hash(self._what())

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        redacted = self.redaction(text)
        if redacted != text:
            record.msg, record.args = redacted, ()
        return True


def _forms(secret: str) -> set[str]:
    data = secret.encode()
    return {secret, quote(secret, safe=""), base64.b64encode(data).decode(), repr(secret)[1:-1], data.hex()}
