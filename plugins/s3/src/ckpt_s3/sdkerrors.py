"""The one place where what boto3 raises becomes an error of `ckpt.errors`."""

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

_KEYS: Final = "check the keys and the policy of this user or role; the how-to for S3 has the smallest policy"
_AGAIN: Final = "run again, or raise retry_seconds"

_CODES: Final[dict[str, tuple[_Kind, str]]] = {
    "AccessDenied": (AccessDenied, f"refused: {_KEYS}"),
    "403": (AccessDenied, f"refused: {_KEYS}"),
    "400": (AccessDenied, "refused without a reason, which is how expired credentials look here: renew them"),
    "ExpiredToken": (AccessDenied, "the credentials have expired: renew them"),
    "InvalidObjectState": (AccessDenied, "the object is in an archive: restore it first"),
    "RequestTimeTooSkewed": (AccessDenied, "the clock of this machine is wrong: set it"),
    "NoSuchKey": (NotFound, "nothing is kept there: check the key and the bucket"),
    "404": (NotFound, "nothing is kept there: check the key and the bucket"),
    "NoSuchVersion": (NotFound, "nothing is kept there: check the key and the bucket"),
    "PermanentRedirect": (ConfigError, "the bucket is in another region: set region_name to it"),
    "AuthorizationHeaderMalformed": (ConfigError, "the bucket is in another region: set region_name to it"),
    "InvalidBucketName": (ConfigError, "that is no name of a bucket: correct it"),
    "EntityTooLarge": (ConfigError, "the value is larger than an object may be here: return less"),
    "KeyTooLongError": (ConfigError, "the key is too long: use a shorter template or prefix"),
    "NotImplemented": (Unsupported, "this server cannot do that: use another"),
    "ConditionalRequestConflict": (StoreUnavailable, f"others write the same key: {_AGAIN}"),
    "OperationAborted": (StoreUnavailable, f"others change the same thing: {_AGAIN}"),
    "SlowDown": (StoreUnavailable, f"too many requests: {_AGAIN}"),
}

# Bytes of ours that did not arrive as they were sent.
_DAMAGED: Final = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InvalidDigest",
        "RequestTimeout",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_PASSING: Final = frozenset({408, 425, 429})


class explained(Explained):  # noqa: N801  a context manager, read as a verb
    """Turn every error of the SDK in the block into the fitting one of `ckpt.errors`, its cause kept as text."""

    __slots__ = ()
    scheme = "s3"

    def _explanation(self, error: Exception) -> tuple[CkptError, SDKCause] | None:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        if isinstance(error, ClientError):
            kind, meaning, told = self._answered(error.response)
            cause = SDKCause(self._redact(f"{type(error).__name__}: {told}"), _code(error.response))
        elif isinstance(error, BotoCoreError | ResponseParserError | HTTPError | OSError):
            told = self._redact(f"{type(error).__name__}: {error}")
            kind, meaning = _unanswered(error, told)
            cause = SDKCause(told)
        else:
            return None
        return kind(f"{self._where}: {meaning} ({self._redact(told)})"), cause

    def _answered(self, response: dict[str, Any]) -> tuple[_Kind, str, str]:
        code = _code(response)
        facts = response.get("ResponseMetadata", {})
        status = facts.get("HTTPStatusCode", 0)
        request = facts.get("RequestId") or response.get("Error", {}).get("RequestId")
        told = f"{code}, HTTP {status}" + f", request {request}" * bool(request)
        if message := response.get("Error", {}).get("Message"):
            told += f": {message}"
        return *self._meaning(code, status), told

    def _meaning(self, code: str, status: int) -> tuple[_Kind, str]:
        if code == "NoSuchBucket":
            return ConfigError, (
                f"there is no such bucket: make it with `aws s3 mb s3://{self._bucket}`, or name another in the storage"
            )
        if code in ("PreconditionFailed", "412"):
            if self._writing:
                return AlreadyExists, "that key is taken: use another key, or allow overwriting"
            return CorruptRecord, "it was replaced while it was being read: read it again"
        if code in _CODES:
            return _CODES[code]
        if code in _DAMAGED:
            return StoreUnavailable, f"what was sent did not arrive whole: {_AGAIN}"
        if status >= 500 or status in _PASSING:
            return StoreUnavailable, f"it cannot answer now: {_AGAIN}"
        if status in (401, 403):
            return AccessDenied, f"refused: {_KEYS}"
        if status == 404:
            return StoreUnavailable, f"what was asked for is gone: {_AGAIN}"
        if 300 <= status < 400:
            return ConfigError, "the bucket is elsewhere: set region_name or endpoint_url"
        return ConfigError, "it was not understood: check the options of the storage"


def _code(response: dict[str, Any]) -> str:
    return str(response.get("Error", {}).get("Code", ""))


def _unanswered(error: Exception, told: str) -> tuple[_Kind, str]:
    from botocore import exceptions as sdk

    if isinstance(error, sdk.FlexibleChecksumError):
        return CorruptRecord, "what arrived has not the checksum that was stored with it: read it again"
    if isinstance(error, sdk.NoCredentialsError):
        return AccessDenied, (
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a profile with profile_name"
        )
    if isinstance(
        error,
        sdk.PartialCredentialsError
        | sdk.CredentialRetrievalError
        | sdk.MetadataRetrievalError
        | sdk.TokenRetrievalError
        | sdk.UnauthorizedSSOTokenError
        | sdk.SSOError,
    ):
        return AccessDenied, "the credentials cannot be had: renew them"
    if isinstance(error, sdk.SSLError) and "CERTIFICATE" in told.upper():
        return ConfigError, "the server's certificate is not trusted: correct endpoint_url, or boto3_kwargs verify"
    if isinstance(error, sdk.ConnectionError | sdk.HTTPClientError | sdk.IncompleteReadError):
        return StoreUnavailable, f"no answer, or a part of one: check network and endpoint_url, {_AGAIN}"
    if isinstance(error, sdk.BotoCoreError):
        return ConfigError, "boto3 refuses the options: correct them"
    return StoreUnavailable, f"the connection broke: check the network, {_AGAIN}"
