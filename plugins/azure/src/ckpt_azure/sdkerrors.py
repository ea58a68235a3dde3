"""The one place where what the SDK raises becomes an error of `ckpt.errors`."""

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

__all__ = ["code_of", "explained"]

_Kind = type[CkptError]

_ROLE: Final = "check the credential and its role or permissions; the how-to for Azure has the smallest role"
_AGAIN: Final = "run again, or raise retry_seconds"
_NOTHING: Final = (NotFound, "nothing is kept there: check the key and the container")

# https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_CODES: Final[dict[str, tuple[_Kind, str]]] = {
    "AccountIsDisabled": (AccessDenied, "the account is disabled: enable it"),
    "AuthenticationFailed": (AccessDenied, "refused: check the key or SAS, and this machine's clock"),
    "AuthorizationFailure": (AccessDenied, f"refused, perhaps by the account's firewall: {_ROLE}"),
    "BlobAlreadyExists": (AlreadyExists, "that key is taken: use another key, or allow overwriting"),
    "BlobArchived": (AccessDenied, "the blob is in the archive tier: rehydrate it first"),
    "BlobBeingRehydrated": (AccessDenied, "the blob is still being rehydrated: wait for it"),
    "BlobImmutableDueToPolicy": (AccessDenied, "a policy of the container forbids to change the blob: use another key"),
    "BlobNotFound": _NOTHING,
    "ContainerBeingDeleted": (StoreUnavailable, f"the container is being deleted: {_AGAIN}"),
    "InvalidBlobType": (ConfigError, "there is a blob of another kind: use another key, or delete it"),
    "InvalidResourceName": (ConfigError, "that is no name of a container or blob: correct it"),
    "KeyBasedAuthenticationNotPermitted": (AccessDenied, "the account takes no keys: leave it to azure-identity"),
    "LeaseIdMissing": (AccessDenied, "somebody has a lease on it: break the lease, or use another key"),
    "NoAuthenticationInformation": (AccessDenied, "refused without a credential: give one"),
    "RequestBodyTooLarge": (ConfigError, "the value is larger than a blob may be here: return less"),
    "ResourceNotFound": _NOTHING,
    "ServerBusy": (StoreUnavailable, f"too many requests: {_AGAIN}"),
    "SnapshotsPresent": (ConfigError, "the blob has snapshots: delete them first"),
    "UnsupportedHeader": (Unsupported, "this account or server cannot do that: use another"),
}

# Bytes of ours that did not arrive as they were sent.
_DAMAGED: Final = frozenset({"Crc64Mismatch", "IncompleteBody", "InvalidMd5", "Md5Mismatch"})
_PASSING: Final = frozenset({408, 425, 429})


def code_of(error: CkptError) -> str:
    """Azure's own word for what `error` stands for."""
    return str(getattr(error.__cause__, "code", ""))


class explained(Explained):  # noqa: N801  a context manager, read as a verb
    """Turn every error of the SDK in the block into the fitting one of `ckpt.errors`, its cause kept as text."""

    __slots__ = ()
    scheme = "az"

    def _explanation(self, error: Exception) -> tuple[CkptError, SDKCause] | None:
        from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        answer: Any = getattr(error, "response", None) if isinstance(error, HttpResponseError) else None
        code = "" if answer is None else _code(error, answer)
        # Without a word of Azure's own it is the one who was asked for a token that refused.
        is_azure = bool(code) or not isinstance(error, ClientAuthenticationError)
        if answer is not None and answer.status_code >= 300 and is_azure:
            told = self._redact(_told(error, answer, code))
            kind, meaning = self.meaning(code, answer.status_code, told)
        elif isinstance(error, AzureError | RequestException | HTTPError | OSError):
            told = self._redact(f"{type(error).__name__}: {_line(error)}")
            kind, meaning = _unanswered(error, told)
        else:
            return None
        return kind(f"{self._where}: {meaning} ({told})"), SDKCause(f"{type(error).__name__}: {told}", code)

    def meaning(self, code: str, status: int, told: str = "") -> tuple[_Kind, str]:
        """What an answer with this code and status stands for."""
        if code == "ContainerNotFound":
            return ConfigError, (
                "there is no such container: make it with `az storage container create --name "
                f"{self._bucket}`, or name another in the storage"
            )
        if code == "AuthenticationFailed" and "time frame" in told:
            return AccessDenied, "the SAS is not valid now: make another, or set this machine's clock"
        if code in _CODES:
            return _CODES[code]
        if code in _DAMAGED:
            return StoreUnavailable, f"what was sent did not arrive whole: {_AGAIN}"
        if status == 412 or code == "ConditionNotMet":
            if self._writing:
                return AlreadyExists, "that key is taken: use another key, or allow overwriting"
            return CorruptRecord, "it was replaced while it was being read: read it again"
        if status >= 500 or status in _PASSING:
            return StoreUnavailable, f"it cannot answer now: {_AGAIN}"
        if status in (401, 403):
            return AccessDenied, f"refused: {_ROLE}"
        if status == 404:
            return _NOTHING
        if "x-ms-version" in told or "API version" in told:
            return ConfigError, "the server does not know this version of the API: give client_kwargs api_version"
        return ConfigError, "it was not understood: check the options of the storage"


def _code(error: Exception, answer: Any) -> str:
    code = getattr(error, "error_code", None) or answer.headers.get("x-ms-error-code") or ""
    return str(getattr(code, "value", code))


def _told(error: Exception, answer: Any, code: str) -> str:
    told = f"{code}, HTTP {answer.status_code}" if code else f"HTTP {answer.status_code}"
    if request := answer.headers.get("x-ms-request-id"):
        told += f", request {request}"
    detail = (getattr(error, "additional_info", None) or {}).get("authenticationerrordetail")
    return f"{told}: {_line(error)}" + f" {_line(detail)}" * bool(detail)


def _line(said: object) -> str:
    """The first line: what follows repeats the request, a signature included."""
    return next(iter(str(said).splitlines()), "")[:500]


def _unanswered(error: Exception, told: str) -> tuple[_Kind, str]:
    from azure.core.exceptions import ClientAuthenticationError

    if type(error).__name__ == "AzureSigningError":  # the SDK has no public name for it
        return AccessDenied, "the account key is none: correct credential or connection_string"
    if isinstance(error, ClientAuthenticationError):
        return AccessDenied, "no credential can be had: `az login`, or give credential='env:NAME'"
    if "CERTIFICATE" in told.upper():
        return ConfigError, "the server's certificate is not trusted: correct account_url, or connection_verify"
    return StoreUnavailable, f"no answer, or a part of one: check network and account_url, {_AGAIN}"
