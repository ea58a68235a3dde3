"""The one place where what google-cloud-storage raises becomes an error of `ckpt.errors`."""

from __future__ import annotations

from typing import Any, Final

from ckpt.errors import (
    AccessDenied,
    AlreadyExists,
    CkptError,
    ConfigError,
    CorruptRecord,
    NotFound,
    StoreUnavailable,
    Unsupported,
)
from ckpt.explained import Explained, SDKCause

__all__ = ["explained"]

_Kind = type[CkptError]

_LOGIN: Final = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
_ROLE: Final = "check the account and its roles; the how-to for Google Cloud Storage has the smallest role"
_AGAIN: Final = "run again, or raise retry_seconds"
_PASSING: Final = frozenset({408, 410, 425, 429})
_LIMITS: Final = ("rateLimitExceeded", "userRateLimitExceeded")
_LONGEST: Final = 500
"""Characters of a server's answer; some send a page of HTML."""


class explained(Explained):  # noqa: N801  a context manager, read as a verb
    """Turn every error of the SDK in the block into the fitting one of `ckpt.errors`, its cause kept as text."""

    __slots__ = ()
    scheme = "gs"

    def _explanation(self, error: Exception) -> tuple[CkptError, SDKCause] | None:
        from google.api_core.exceptions import GoogleAPICallError
        from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

        status, told = 0, f"{type(error).__name__}: {error}"
        if isinstance(error, DataCorruption):
            kind, meaning = self._damaged()
        elif isinstance(error, GoogleAPICallError | InvalidResponse):
            status, said, reasons = _answer(error)
            told = f"HTTP {status}" + f": {said}" * bool(said)
            kind, meaning = self._answered(status, told, reasons)
        else:
            unanswered = _unanswered(error, told)
            if unanswered is None:
                return None
            kind, meaning = unanswered
        told = self._redact(told)
        if len(told) > _LONGEST:
            told = f"{told[:_LONGEST]}…"
        return kind(f"{self._where}: {meaning} ({told})"), SDKCause(told, status)

    def _damaged(self) -> tuple[_Kind, str]:
        if self._writing:
            return StoreUnavailable, f"what was sent did not arrive whole: {_AGAIN}"
        return CorruptRecord, "what arrived has not the checksum that was stored with it: read it again"

    def _answered(self, status: int, told: str, reasons: list[str]) -> tuple[_Kind, str]:
        if status == 412:
            if self._writing:
                return AlreadyExists, "that key is taken: use another key, or allow overwriting"
            return CorruptRecord, "it was replaced while it was being read: read it again"
        if status == 416:
            return CorruptRecord, "it has fewer bytes than it had when it was opened: read it again"
        if status == 404 and (self._writing or self._key is None or "bucket does not exist" in told):
            return ConfigError, (
                f"there is no such bucket: make it with `gcloud storage buckets create gs://{self._bucket}`, or name "
                "another in the storage"
            )
        if status == 404:
            return NotFound, "nothing is kept there: check the key and the bucket"
        if status >= 500 or status in _PASSING or any(reason in _LIMITS for reason in reasons):
            return (Unsupported, "this server cannot do that: use another") if status == 501 else _LATER
        if status == 401:
            return AccessDenied, f"the credentials are not accepted: {_LOGIN}"
        if status == 403:
            return AccessDenied, f"refused: {_ROLE}"
        if 300 <= status < 400:
            return ConfigError, "the bucket is elsewhere: correct api_endpoint"
        return ConfigError, "it was not understood: check the options of the storage"


_LATER: Final[tuple[_Kind, str]] = (StoreUnavailable, f"it cannot answer now: {_AGAIN}")


def _answer(error: Any) -> tuple[int, str, list[str]]:
    """Status, message and reasons of what the server answered: JSON, or text where media was asked for."""
    response = error.response
    if response is None:
        return int(error.code or 0), str(error.message), []
    try:
        body = response.json()["error"]
        said, details = str(body["message"]), body.get("errors", ())
        return int(response.status_code), said, [str(each.get("reason", "")) for each in details]
    except (ValueError, KeyError, TypeError, AttributeError):
        return int(response.status_code), str(response.text).strip(), []


def _unanswered(error: Exception, told: str) -> tuple[_Kind, str] | None:
    from http.client import HTTPException

    from google.api_core.exceptions import GoogleAPIError
    from google.auth import exceptions as auth
    from requests import exceptions as requests
    from urllib3.exceptions import HTTPError

    if isinstance(error, auth.DefaultCredentialsError):
        return AccessDenied, f"no credentials: {_LOGIN}"
    if isinstance(error, auth.TransportError) or (isinstance(error, auth.RefreshError) and error.retryable):
        return StoreUnavailable, f"the credentials cannot be renewed now: check the network, {_AGAIN}"
    if isinstance(error, auth.MutualTLSChannelError):
        return ConfigError, "the client's certificate cannot be used: correct it"
    if isinstance(error, auth.GoogleAuthError):
        return AccessDenied, f"the credentials cannot be had: {_LOGIN}"
    if isinstance(error, requests.SSLError) and "CERTIFICATE" in told.upper():
        return ConfigError, "the server's certificate is not trusted: correct api_endpoint, or REQUESTS_CA_BUNDLE"
    if isinstance(
        error, requests.InvalidURL | requests.MissingSchema | requests.InvalidSchema | requests.TooManyRedirects
    ):
        return ConfigError, "the address is no good: correct api_endpoint"
    if isinstance(error, requests.RequestException | HTTPError | HTTPException | OSError):
        return StoreUnavailable, f"no answer, or a part of one: check network and api_endpoint, {_AGAIN}"
    if isinstance(error, GoogleAPIError):
        return ConfigError, "the SDK refuses the options: correct them"
    return None
