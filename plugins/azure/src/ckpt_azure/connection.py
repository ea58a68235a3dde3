"""How Azure is reached and with which credentials: the part of the options that makes a client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ckpt import JSON, Secret
from ckpt.credentials import is_reference, looks_secret, without_credentials
from ckpt.errors import ConfigError, NotFound
from ckpt.options import is_json
from ckpt.ranges import RANGE
from ckpt.redaction import Redaction

__all__ = ["AzureConnection"]

_CONNECT_SECONDS: Final = 5.0
_CONNECTIONS: Final = 32
"""Sixteen writers, and some large values in parts beside them."""
_VARIABLE: Final = "AZURE_STORAGE_CONNECTION_STRING"

# Loggers that show addresses at DEBUG, with the signature of a SAS in them, or headers.
_TALKATIVE: Final = (
    "azure.core.pipeline.policies._universal",
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.storage.blob._shared.policies",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)
_SIGNED: Final = re.compile(r"(\bsig=|AccountKey=|SharedAccessSignature=|\bBearer\s+)[^&;\s'\"]+", re.IGNORECASE)
_INSIDE: Final = re.compile(r"(?:\bsig|AccountKey|SharedAccessSignature)=([^&;]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AzureConnection:
    """What azure-storage-blob is asked for.

    Each credential may be given as `env:NAME` or `file:PATH`, which is looked up where the client is made. One that is
    given as a value or an object stays in this process: pickling is refused, and `to_spec` leaves it out.

    Raises: `ConfigError` for options that cannot be right.
    """

    account_url: str | None = None
    """`"https://ACCOUNT.blob.core.windows.net"`; a SAS that follows is a credential."""
    connection_string: str | None = None
    credential: Any = None
    """What the SDK takes: an account key, a SAS, an object of azure-identity."""
    client_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """More for `ContainerClient`, such as `api_version`, `proxies` or `connection_verify`."""
    request_timeout: float = 20.0
    """Seconds without a byte after which a request counts as failed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_kwargs", dict(self.client_kwargs))
        if not self.request_timeout > 0:
            raise ConfigError(f"request_timeout={self.request_timeout!r} must be more than 0 seconds")
        if self.account_url is not None and self.connection_string is not None:
            raise ConfigError("account_url and connection_string both name an account: give one of them")
        if self.credential is not None and self.account_url is None and self.connection_string is None:
            raise ConfigError("credential is given without account_url: give both")
        url = self.account_url
        if url is None or is_reference(url):
            return
        if "://" not in url:
            raise ConfigError(
                f"account_url={url.partition('?')[0]!r} has no scheme: write https://ACCOUNT.blob.core.windows.net"
            )
        if "@" in urlsplit(url).netloc:
            raise ConfigError("account_url has a credential before its host: give credential='env:NAME'")

    def client(self, container: str) -> tuple[Any, Redaction]:
        """Make a client of one container, and what removes its credentials from text.

        Raises: `ConfigError` for a reference that leads nowhere, and for options that the SDK refuses.
        """
        from azure.storage.blob import ContainerClient

        url, text = _resolved("account_url", self.account_url), self.connection_string
        if url is None and text is None:
            text = os.environ.get(_VARIABLE)
            if not text:
                raise ConfigError(
                    f"az://{container}: which account? Give account_url='https://ACCOUNT.blob.core.windows.net', or "
                    f"set {_VARIABLE}"
                )
        text, credential = _resolved("connection_string", text), _resolved("credential", self.credential)
        kwargs = {name: _resolved(name, value) for name, value in self.client_kwargs.items()}
        redaction = Redaction(_secrets([url, text, credential, kwargs]), _SIGNED)
        redaction.guard(*_TALKATIVE)
        ours = {
            # Requests are tried again by the store, which knows which of them may be and for how long.
            "retry_total": 0,
            "connection_timeout": min(_CONNECT_SECONDS, self.request_timeout),
            "read_timeout": self.request_timeout,
            # A range is read in one piece: for pieces that are joined, memory is needed twice.
            "connection_data_block_size": RANGE,
            "max_chunk_get_size": RANGE,
        }
        kwargs = {**ours, **kwargs}
        if "transport" not in kwargs:
            kwargs["transport"] = _transport(kwargs)
        if credential is None and url is not None and not urlsplit(url).query:
            credential = _default_credential(container)
        try:
            if text is not None:
                client = ContainerClient.from_connection_string(text, container, credential=credential, **kwargs)
            else:
                client = ContainerClient(url, container, credential=credential, **kwargs)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                redaction(f"az://{container}: azure-storage-blob makes no client of these options: {error}")
            ) from None
        return client, redaction

    def to_spec(self) -> dict[str, JSON]:
        """What was given, in plain JSON: references as they are, without credentials and objects of the SDK."""
        spec: dict[str, JSON] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "client_kwargs":
                value = {name: inner for name, inner in value.items() if not _is_plain(name, inner) and is_json(inner)}
            default = {} if each.name == "client_kwargs" else each.default
            if each.name == "account_url" and value is not None and _is_plain("account_url", value):
                value = value.partition("?")[0]  # still says which account it is
            if value != default and not _is_plain(each.name, value) and is_json(value):
                spec[each.name] = value
        return spec

    def _given(self) -> Iterator[tuple[str, Any]]:
        for name in ("account_url", "connection_string", "credential"):
            value = getattr(self, name)
            if value is not None:
                yield name, value
        yield from self.client_kwargs.items()

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.to_spec().items())
        return f"AzureConnection({options})"

    def __reduce__(self) -> tuple[object, ...]:
        plain = [name for name, value in self._given() if _is_plain(name, value)]
        if plain:
            raise ConfigError(
                f"{plain[0]} holds a credential itself, and such a one does not go to another process: leave it out "
                "and azure-identity finds one there, or give a reference, "
                f"{plain[0]}='env:NAME' or 'file:PATH'; a flow with executor='local' or 'threads' needs neither"
            )
        return _made, ({each.name: getattr(self, each.name) for each in fields(self)},)


def _made(options: dict[str, Any]) -> AzureConnection:
    return AzureConnection(**options)


def _transport(options: Mapping[str, Any]) -> Any:
    """What the SDK would make, with as many connections as there are writers."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    session = requests.Session()
    session.trust_env = options.get("use_env_settings", True)
    once = Retry(total=False, redirect=False, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS, max_retries=once))
    return RequestsTransport(**{**options, "session": session})


def _default_credential(container: str) -> Any:
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise ConfigError(
            f"az://{container}: no credential is given. `pip install azure-identity`, which finds one (`az login`, "
            "environment, managed identity), or give credential='env:NAME', or a connection_string"
        ) from None
    return DefaultAzureCredential()


def _is_plain(name: str, value: object) -> bool:
    """Is it a credential itself, and no reference to one? Also somewhere inside."""
    if isinstance(value, Mapping):
        return any(_is_plain(str(inner), each) for inner, each in value.items())
    if value is None or is_reference(value):
        return False
    if name == "connection_string":
        return _INSIDE.search(str(value)) is not None
    if name == "credential" or (isinstance(value, str) and looks_secret(name)):
        return True
    return isinstance(value, str) and without_credentials(value) != value


def _resolved(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _resolved(inner, each) for inner, each in value.items()}
    if not (is_reference(value) and (name == "account_url" or looks_secret(name))):
        return value
    try:
        return Secret(value).get()
    except NotFound as error:
        raise ConfigError(f"{name}={value!r} leads nowhere in this process: {error}") from error


def _secrets(values: Iterable[object]) -> Iterator[str]:
    """Every text in the options, the name of an option before it, that gives access."""
    for value in values:
        if isinstance(value, Mapping):
            yield from _secrets(inner for name, inner in value.items() if _is_plain(str(name), inner))
            continue
        # Objects of azure.core that hold a key or a SAS; those of azure-identity fetch tokens, and never show them.
        text = getattr(getattr(value, "named_key", value), "key", getattr(value, "signature", value))
        if isinstance(text, str):
            inside = _INSIDE.findall(text)
            yield from (form for each in inside for form in (each, unquote(each)))
            # A SAS is named by its signature: the rest of it is no secret, nor is the address before it.
            if not inside and "://" not in text:
                yield text
