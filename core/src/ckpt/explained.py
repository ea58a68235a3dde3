"""Errors of an SDK as errors of `ckpt.errors`: what all the backends' one place for that has in common."""

from __future__ import annotations

from abc import abstractmethod
from types import TracebackType
from typing import ClassVar

from ckpt.errors import CkptError
from ckpt.redaction import Redaction

__all__ = ["Explained", "SDKCause"]


class SDKCause(Exception):
    """What an SDK raised, as text: its own exception refers to requests and must not travel."""

    def __init__(self, text: str, code: str | int = "") -> None:
        super().__init__(text, code)
        self.code = code
        """The service's own word or status for it; empty or 0 where there was no answer."""

    def __str__(self) -> str:
        return str(self.args[0])


class Explained:
    """Turns every error of an SDK in its block into the fitting one of `ckpt.errors`, its cause kept as text."""

    __slots__ = ("_bucket", "_key", "_redact", "_writing")
    scheme: ClassVar[str]
    """`"s3"`"""

    def __init__(self, bucket: str, key: str | None, redact: Redaction, *, writing: bool = False) -> None:
        self._bucket, self._key, self._redact, self._writing = bucket, key, redact, writing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not isinstance(error, Exception) or isinstance(error, CkptError):
            return
        found = self._explanation(error)
        if found is None:
            return
        said, cause = found
        try:
            raise said from cause
        finally:
            said.__context__ = None  # the SDK's exception, with headers in it

    @property
    def _where(self) -> str:
        bucket = f"{self.scheme}://{self._bucket}"
        return bucket if self._key is None else f"{self._key!r} in {bucket}"

    @abstractmethod
    def _explanation(self, error: Exception) -> tuple[CkptError, SDKCause] | None:
        """The error to raise and its cause; None for one that is not the SDK's."""
