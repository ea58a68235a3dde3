"""What the SDK logs of credentials and of sessions of an upload, taken out again."""

from __future__ import annotations

import logging
import re
from typing import Final

from ckpt.credentials import HIDDEN
from ckpt.redaction import Redaction

__all__ = ["TOKENS", "guard"]

_TALKATIVE: Final = (
    "google.auth._default",
    "google.auth.compute_engine._metadata",
    "google.auth.compute_engine.credentials",
    "google.auth.transport.requests",
    "google.auth.transport.urllib3",
    "google.cloud.storage._http",
    "google.cloud.storage._media._helpers",
    "google.cloud.storage.blob",
    "google.oauth2._client",
    "google.oauth2.credentials",
    "google.oauth2.service_account",
    "urllib3.connectionpool",
)
TOKENS: Final = re.compile(
    r"(\bbearer\s+|authorization['\"]?\s*[:=]\s*b?['\"]?(?:bearer\s+)?|(?:access|id|refresh)_token['\"]?\s*[:=]\s*['\"]?"
    r"|\bassertion=|\b(?:upload_id|x-goog-signature|x-goog-credential|signature|key)=)(?!\s|bearer\b)[^'\"\s,}&]+",
    re.IGNORECASE,
)
"""Who knows the `upload_id` of a session may write the object: it is a credential."""


def guard(redaction: Redaction) -> None:
    """Redact from now on what the SDK logs."""
    redaction.guard(*_TALKATIVE)
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_without_headers)


def _without_headers(record: logging.LogRecord) -> bool:
    """google-auth hangs whole requests with their headers on its records, for formatters that print all there is."""
    for name in ("httpRequest", "httpResponse"):
        if hasattr(record, name):
            setattr(record, name, HIDDEN)
    return True
