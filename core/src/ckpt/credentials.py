"""What looks like a credential, and text without it.

Over-cautious on purpose: a harmless value shown as `***` costs a look into a file, a password in a log costs more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

__all__ = ["HIDDEN", "is_reference", "looks_secret", "shown", "without_credentials"]

HIDDEN = "***"

_PARTS = re.compile(r"passw|passphrase|secret|token|credential|signature|connection_?string")
_WORDS = frozenset({"auth", "keys", "pwd", "sas", "sig"})
_HARMLESS = frozenset({"kms", "partition", "public", "template"})
_USER = re.compile(r"(?<=://).*(?:@|%40)")
_OPTION = re.compile(r"(?<=[?&])([^=&]+)=([^&]*)")


def looks_secret(name: str) -> bool:
    """Could the value under this name be a credential?"""
    name = name.lower()
    if _PARTS.search(name):
        return True
    words = re.findall(r"[a-z0-9]+", name)
    return any(word in _WORDS or word.endswith("key") for word in words) and _HARMLESS.isdisjoint(words)


def is_reference(value: object) -> bool:
    """Does the text only say where a credential is: `env:NAME`, `file:PATH`?"""
    return isinstance(value, str) and value.startswith(("env:", "file:"))


def without_credentials(text: str) -> str:
    """A URL with its user part and the options that look secret hidden; other text as it is."""
    if "://" not in text:
        return text
    return _OPTION.sub(_hide_option, _USER.sub(HIDDEN + "@", text))


def shown(name: str, value: object) -> object:
    """The value as it may be listed under this name: what looks secret is hidden, also inside tables and lists."""
    if isinstance(value, Mapping):
        return {key: shown(str(key), inner) for key, inner in value.items()}
    if looks_secret(name) and value is not None and not is_reference(value):
        return HIDDEN
    if isinstance(value, list | tuple):
        return type(value)([shown("", inner) for inner in value])
    return without_credentials(value) if isinstance(value, str) else value


def _hide_option(option: re.Match[str]) -> str:
    name, value = option.groups()
    if looks_secret(unquote(name)) and not is_reference(unquote(value)):
        return f"{name}={HIDDEN}"
    return option.group()
