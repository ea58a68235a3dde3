"""How S3 is reached and with which credentials: the part of the options that makes a client."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final

from ckpt import JSON, Secret
from ckpt.credentials import is_reference, looks_secret, without_credentials
from ckpt.errors import ConfigError, NotFound
from ckpt.options import is_json
from ckpt.redaction import Redaction

__all__ = ["S3Connection"]

_CONNECT_SECONDS: Final = 5.0
_CONNECTIONS: Final = 32
"""Sixteen writers, and some large values in parts beside them."""

# Loggers of the SDK that show headers at DEBUG: the key's id, and the session token as it is.
_TALKATIVE: Final = ("botocore.auth", "botocore.endpoint", "botocore.hooks", "botocore.parsers", "botocore.regions")
_TOKEN: Final = re.compile(r"(x-amz-security-token['\"]?\s*[:=]\s*b?['\"]?)[^'\"\s,}&]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class S3Connection:
    """What boto3 is asked for; with nothing given, exactly what it does by itself.

    A credential may be given as `env:NAME` or `file:PATH`, which is looked up where the client is made. One that is
    given as a value stays in this process: pickling is refused, and `to_spec` leaves it out.

    Raises: `ConfigError` for options that cannot be right.
    """

    region_name: str | None = None
    endpoint_url: str | None = None
    profile_name: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    boto3_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """More for `Session.client("s3", …)`; `config` may be a `botocore.config.Config` or a table of its options."""
    request_timeout: float = 20.0
    """Seconds without a byte after which a request counts as failed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boto3_kwargs", dict(self.boto3_kwargs))
        if not self.request_timeout > 0:
            raise ConfigError(f"request_timeout={self.request_timeout!r} must be more than 0 seconds")
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            there, missing = "aws_access_key_id", "aws_secret_access_key"
            if self.aws_access_key_id is None:
                there, missing = missing, there
            raise ConfigError(f"{there} is given without {missing}: give both, or leave both to boto3's own chain")
        if self.endpoint_url is not None and without_credentials(self.endpoint_url) != self.endpoint_url:
            raise ConfigError("endpoint_url has a credential in it: give aws_access_key_id='env:NAME' and the like")
        if self.endpoint_url is not None and "://" not in self.endpoint_url:
            raise ConfigError(f"endpoint_url={self.endpoint_url!r} has no scheme: write http:// or https:// before it")

    def client(self) -> tuple[Any, Redaction]:
        """Make a client, and what removes its credentials from text.

        Raises: `ConfigError` for a reference that leads nowhere; what boto3 raises.
        """
        import boto3
        import botocore.session
        from botocore.config import Config

        kwargs = {name: _resolved(name, value) for name, value in self.boto3_kwargs.items()}
        keys = {name: _resolved(name, value) for name, value in self._credentials()}
        redaction = Redaction(
            [*keys.values(), *(value for name, value in kwargs.items() if _is_plain(name, value))], _TOKEN
        )
        redaction.guard(*_TALKATIVE)
        # Requests are tried again by the store, which knows which of them may be and for how long.
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            connect_timeout=min(_CONNECT_SECONDS, self.request_timeout),
            read_timeout=self.request_timeout,
            max_pool_connections=_CONNECTIONS,
        )
        theirs = kwargs.pop("config", None)
        if theirs is not None:
            config = config.merge(Config(**theirs) if isinstance(theirs, Mapping) else theirs)
        below = botocore.session.Session(profile=self.profile_name)
        loader = _loader(below.get_config_variable("data_path"))
        below.register_component("data_loader", loader)
        session = boto3.session.Session(botocore_session=below, region_name=self.region_name, **keys)
        # Each session puts its folder there once more.
        loader.search_paths[:] = list(dict.fromkeys(loader.search_paths))
        return session.client("s3", **{"endpoint_url": self.endpoint_url, **kwargs, "config": config}), redaction

    def to_spec(self) -> dict[str, JSON]:
        """What was given, in plain JSON: references as they are, without credentials and objects of the SDK."""
        spec: dict[str, JSON] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "boto3_kwargs":
                value = {name: inner for name, inner in value.items() if not _is_plain(name, inner) and is_json(inner)}
            default = {} if each.name == "boto3_kwargs" else each.default
            if value != default and not _is_plain(each.name, value):
                spec[each.name] = value
        return spec

    def _credentials(self) -> Iterator[tuple[str, str]]:
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.to_spec().items())
        return f"S3Connection({options})"

    def __reduce__(self) -> tuple[object, ...]:
        plain = [name for name, value in [*self._credentials(), *self.boto3_kwargs.items()] if _is_plain(name, value)]
        if plain:
            raise ConfigError(
                f"{plain[0]} is given as a value, and such a credential does not go to another process: leave it to "
                f"boto3's own chain (environment, profile, role), or give a reference, {plain[0]}='env:NAME' or "
                "'file:PATH'; a flow with executor='local' or 'threads' needs neither"
            )
        return _made, ({each.name: getattr(self, each.name) for each in fields(self)},)


@lru_cache(maxsize=4)
def _loader(path: str | None) -> Any:
    """The SDK's description of S3, read once in a process: reading it is four fifths of making a client."""
    from botocore.loaders import create_loader

    return create_loader(path)


def _made(options: dict[str, Any]) -> S3Connection:
    return S3Connection(**options)


def _is_plain(name: str, value: object) -> bool:
    """Is it a credential itself, and no reference to one? Also somewhere inside."""
    if isinstance(value, Mapping):
        return any(_is_plain(str(inner), each) for inner, each in value.items())
    if not isinstance(value, str):
        return _is_plain("proxies", getattr(value, "proxies", ""))
    return (looks_secret(name) and not is_reference(value)) or without_credentials(value) != value


def _resolved(name: str, value: Any) -> Any:
    if not (isinstance(value, str) and looks_secret(name) and is_reference(value)):
        return value
    try:
        return Secret(value).get()
    except NotFound as error:
        raise ConfigError(f"{name}={value!r} leads nowhere in this process: {error}") from error
