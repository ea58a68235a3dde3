"""Where a flow keeps its values, as configuration says it: a type name or a URL, not yet a handler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Self
from urllib.parse import quote, unquote

from ckpt import options as option_reader
from ckpt.credentials import HIDDEN, is_reference, looks_secret, without_credentials
from ckpt.errors import ConfigError

__all__ = ["Storage"]

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(?::(?P<port>[0-9]+))?")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_Class = type[Any]  # inside Storage, `type` is a field

_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True, repr=False)
class Storage:
    """One place: `Storage.parse("s3://bucket/prefix?region_name=eu-west-1")`, or a type name alone.

    Made without looking for a plugin, so that it can be written, compared and pickled anywhere.
    """

    type: str
    """A storage type (`"gcs"`), or the scheme of a URL (`"gs"`) in lower case; `ckpt.plugins` finds who serves it."""
    netloc: str = ""
    """Bucket, container or host, with its port; `""` where there is none."""
    path: str = ""
    """As in the URL, with its slashes, percent-decoded."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Text as URLs give it or typed as TOML does; `options_for` converts both."""
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)
    """For messages: where the options that did not come with the URL were written."""

    def __post_init__(self) -> None:
        kind: object = self.type
        if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
            raise ConfigError(f"{self.type!r} is no storage type: write a name such as 'local', or use Storage.parse")
        if "@" in self.netloc:
            _refuse_credential(self.type, "a user or password before '@'")
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        object.__setattr__(self, "sources", MappingProxyType(dict(self.sources)))

    @property
    def prefix(self) -> str:
        """The path without the slashes around it."""
        return self.path.strip("/")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a storage type or a URL.

        Raises: `ConfigError` for a path, a malformed URL, and a credential in it, which is not repeated.
        """
        if not isinstance(text, str):
            raise ConfigError(f"a storage is text or a Storage, not {text!r}: write 'local' or 's3://bucket/prefix'")
        text = text.strip()
        if _TYPE.fullmatch(text):
            return cls(text.lower())
        scheme, mark, rest = text.partition("://")
        if not mark or not _TYPE.fullmatch(scheme):
            _refuse_text(text)
        scheme = scheme.lower()
        rest, _, query = rest.partition("?")
        netloc, slash, path = rest.partition("/")
        if "@" in unquote(netloc):
            _refuse_credential(scheme, "a user or password before '@'")
        host = _HOST.fullmatch(netloc)
        if host is None or (host["port"] is not None and int(host["port"]) > 65535):
            # Not repeated: `key:secret` without an `@` looks the same.
            raise ConfigError(
                f"storage {scheme}://…: what follows ':' is not a port (0 to 65535): write {scheme}://host:9000/prefix "
                "and credentials nowhere in the URL"
            )
        if "#" in text or _CONTROL.search(text):
            raise ConfigError(f"storage {without_credentials(text)!r}: write '#', spaces and the like percent-encoded")
        return cls(scheme, _decoded(netloc, text), slash + _decoded(path, text), _query(query, scheme, text))

    def with_table(self, table: Mapping[str, object], sources: Mapping[str, str] | None = None) -> Self:
        """The same place with the options of a `[storage.<type>]` table below its own."""
        below = {name: where for name, where in (sources or {}).items() if name not in self.options}
        return replace(self, options={**table, **self.options}, sources={**self.sources, **below})

    def options_for(self, cls: _Class) -> dict[str, object]:
        """The options, checked and converted by the annotations of `cls.__init__`.

        Raises: `ConfigError` for an option that `__init__` does not take, or of the wrong type, by name.
        """
        kind = getattr(cls, "storage_type", self.type)
        return option_reader.checked(
            cls,
            self.options,
            what=f"{kind} storage",
            stand=f"the URL after '?', in [storage.{kind}] of ckpt.toml, or in CKPT__STORAGE__{kind.upper()}__NAME",
            sources=self.sources,
        )

    def __str__(self) -> str:
        if not (self.netloc or self.path or self.options):
            return self.type
        query = "&".join(
            f"{quote(name, safe='')}={quote(str(value), safe='/:,~@') if public else HIDDEN}"
            for name, value, public in self._shown_options()
        )
        return (
            f"{self.type}://{quote(self.netloc, safe='[]:')}{quote(self.path, safe='/:,~@')}"
            + "?" * bool(query)
            + query
        )

    def __repr__(self) -> str:
        return f"Storage({str(self)!r})"

    def __hash__(self) -> int:
        return hash((self.type, self.netloc, self.path, frozenset(self.options)))

    def __reduce__(self) -> tuple[object, ...]:
        if secret := [name for name, _, public in self._shown_options() if not public]:
            raise ConfigError(
                f"{self} cannot go to another process with the credential {secret[0]!r}: "
                f"leave it to the SDK's own chain, or give a reference such as {secret[0]}='env:NAME'"
            )
        return type(self), (self.type, self.netloc, self.path, dict(self.options), dict(self.sources))

    def _shown_options(self) -> list[tuple[str, object, bool]]:
        """Name, value as a URL has it, and whether it may be seen."""
        return [
            (
                name,
                str(value).lower() if isinstance(value, bool) else value,
                not looks_secret(name) or value is None or is_reference(value),
            )
            for name, value in self.options.items()
        ]


def _query(query: str, scheme: str, text: str) -> dict[str, object]:
    options: dict[str, object] = {}
    for piece in filter(None, query.split("&")):
        raw, equals, value = piece.partition("=")
        name = _decoded(raw, text)
        if not equals or not name:
            raise ConfigError(f"storage {without_credentials(text)!r}: an option is written name=value after '?'")
        if name in options:
            raise ConfigError(f"storage {without_credentials(text)!r} gives the option {name!r} twice: keep one")
        decoded = _decoded(value, text)
        if looks_secret(name) and not is_reference(decoded):
            _refuse_credential(scheme, f"the option {name!r}", name)
        options[name] = decoded
    return options


def _decoded(part: str, text: str) -> str:
    try:
        decoded = unquote(part, errors="strict")
    except UnicodeDecodeError:
        decoded = "\0"
    if _BAD_ESCAPE.search(part) or "\0" in decoded:
        raise ConfigError(f"storage {without_credentials(text)!r} has a bad percent escape: write '%' itself as %25")
    return decoded


def _refuse_credential(scheme: str, what: str, name: str = "secret_key") -> NoReturn:
    raise ConfigError(
        f"storage {scheme}://…: {what} looks like a credential, and a URL is printed, logged and kept. Leave it to the "
        f"SDK's own chain (environment, profile, role), give a reference (?{name}=env:NAME or file:PATH), or set "
        f"CKPT__STORAGE__{scheme.upper()}__{name.upper()} in the environment"
    )


def _refuse_text(text: str) -> NoReturn:
    """Say what was meant by text that is neither a type nor a URL: most often a path."""
    said = without_credentials(text)
    if re.match(r"[A-Za-z]:[\\/]", text):
        raise ConfigError(f"{said!r} is a path, not a storage: write file:///{text.replace(chr(92), '/')}")
    if text.startswith("~") or (text.startswith((".", "/", "$")) or ("/" in text and ":" not in text)):
        place = text if text.startswith("$") else Path(text).expanduser().absolute().as_posix()
        hint = "the folder in full, as in file:///data/x" if text.startswith("$") else f"file://{quote(place)}"
        raise ConfigError(f"{said!r} is a path, not a storage: write {hint}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
        scheme = text.partition(":")[0]
        raise ConfigError(f"a storage URL has two slashes after its scheme: write {scheme}://bucket/prefix")
    raise ConfigError(f"{said!r} is no storage: write a type such as 'local' or a URL such as s3://bucket/prefix")
