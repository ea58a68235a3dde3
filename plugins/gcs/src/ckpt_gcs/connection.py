"""How Google Cloud Storage is reached and with which credentials: the part of the options that makes a client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from ckpt import JSON, Secret
from ckpt.credentials import is_reference, looks_secret, without_credentials
from ckpt.errors import ConfigError, NotFound
from ckpt.options import is_json
from ckpt.redaction import Redaction
from ckpt_gcs.silence import TOKENS, guard

__all__ = ["GCSConnection"]

_CONNECTIONS: Final = 32
"""Sixteen writers, and some large values in ranges beside them; requests keeps ten unless told."""
_KINDS: Final = ("service_account", "authorized_user")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GCSConnection:
    """What the SDK is asked for; with nothing given, exactly what it does by itself.

    `credentials` may be `env:NAME` or `file:PATH`, which is looked up where the client is made. A credentials object of
    google-auth stays in this process, as any credential that is given as a value: pickling is refused, and `to_spec`
    leaves it out.

    Raises: `ConfigError` for options that cannot be right.
    """

    project: str | None = None
    credentials: Any = None
    api_endpoint: str | None = None
    client_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """More for `google.cloud.storage.Client`."""
    request_timeout: float = 20.0
    """Seconds without a byte after which a request counts as failed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_kwargs", dict(self.client_kwargs))
        if not self.request_timeout > 0:
            raise ConfigError(f"request_timeout={self.request_timeout!r} must be more than 0 seconds")
        if isinstance(self.credentials, str) and not is_reference(self.credentials):
            raise ConfigError(
                "credentials is a text that is no reference: give credentials='env:NAME' or 'file:PATH' with the JSON "
                "of a service account, or leave it to Application Default Credentials"
            )
        if self.api_endpoint is not None and without_credentials(self.api_endpoint) != self.api_endpoint:
            raise ConfigError("api_endpoint has a credential in it: give credentials='file:PATH' and the like")
        if self.api_endpoint is not None and "://" not in self.api_endpoint:
            raise ConfigError(f"api_endpoint={self.api_endpoint!r} has no scheme: write http:// or https:// before it")
        for name in ("project", "credentials"):
            if name in self.client_kwargs:
                raise ConfigError(f"client_kwargs names {name}, which is an option of its own: give {name}=… beside it")

    def client(self) -> tuple[Any, Redaction]:
        """Make a client, and what removes its credentials from text.

        Raises: `ConfigError` for a reference that leads nowhere; what the SDK raises.
        """
        from google.cloud.storage import Client
        from requests.adapters import HTTPAdapter

        secrets: list[str] = []
        kwargs = {name: _resolved(name, value, secrets) for name, value in self.client_kwargs.items()}
        credentials = self._credentials(secrets)
        redaction = Redaction(secrets, TOKENS)
        guard(redaction)
        if self.api_endpoint is not None:
            kwargs["client_options"] = _with_endpoint(kwargs.get("client_options"), self.api_endpoint)
        client = Client(project=self.project, credentials=credentials, **kwargs)
        # For traces it asks for the bucket itself, in the background: a request and a permission that nobody expects.
        client._bucket_metadata_cache = None  # noqa: SLF001  a variable of the environment would be for all clients
        session = client._http  # noqa: SLF001  there is no other way to more connections, and the SDK's authors say so
        if not session.is_mtls:
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        return client, redaction

    def to_spec(self) -> dict[str, JSON]:
        """What was given, in plain JSON: references as they are, without credentials and objects of the SDK."""
        spec: dict[str, JSON] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "client_kwargs":
                value = {name: inner for name, inner in value.items() if not _is_plain(name, inner) and is_json(inner)}
            default = {} if each.name == "client_kwargs" else each.default
            if value != default and not _is_plain(each.name, value):
                spec[each.name] = value
        return spec

    def _credentials(self, secrets: list[str]) -> Any:
        if not isinstance(self.credentials, str):
            secrets += [
                value
                for name in ("token", "refresh_token", "client_secret")
                if isinstance(value := getattr(self.credentials, name, None), str)
            ]
            return self.credentials
        text = _resolved("credentials", self.credentials, secrets)
        try:
            info = json.loads(text)
        except ValueError:
            raise self._unfit("is no JSON") from None
        kind = info.get("type") if isinstance(info, dict) else None
        if kind not in _KINDS:
            raise self._unfit("is of another type")
        secrets += _secrets_in(info)
        from google.oauth2.credentials import Credentials
        from google.oauth2.service_account import Credentials as ServiceAccount

        read = ServiceAccount.from_service_account_info if kind == _KINDS[0] else Credentials.from_authorized_user_info
        try:
            return read(info)
        except (ValueError, KeyError, TypeError):
            raise self._unfit("cannot be read") from None

    def _unfit(self, why: str) -> ConfigError:
        return ConfigError(
            f"credentials={self.credentials!r}: what is there {why}: it has to be the JSON of a service account "
            "or of an authorized user; for others set GOOGLE_APPLICATION_CREDENTIALS"
        )

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.to_spec().items())
        return f"GCSConnection({options})"

    def __reduce__(self) -> tuple[object, ...]:
        given = [("credentials", self.credentials), *self.client_kwargs.items()]
        if plain := [name for name, value in given if _is_plain(name, value)]:
            raise ConfigError(
                f"{plain[0]} is given as a value, and such a credential does not go to another process: leave it to "
                "Application Default Credentials, or give a reference to the JSON of a service account, "
                "credentials='env:NAME' or 'file:PATH'; a flow with executor='local' or 'threads' needs neither"
            )
        return _made, ({each.name: getattr(self, each.name) for each in fields(self)},)


def _made(options: dict[str, Any]) -> GCSConnection:
    return GCSConnection(**options)


def _with_endpoint(options: Any, endpoint: str) -> Any:
    """The options of a client with the endpoint in them; those of the user stay as they are."""
    from google.api_core.client_options import ClientOptions

    known = dict(vars(options)) if isinstance(options, ClientOptions) else dict(options or {})
    return ClientOptions(**{**known, "api_endpoint": endpoint})


def _is_plain(name: str, value: object) -> bool:
    """Is it a credential itself, and no reference to one? Also somewhere inside."""
    if value is None or isinstance(value, bool | int | float):
        return False
    if isinstance(value, Mapping):
        return any(_is_plain(str(inner), each) for inner, each in value.items())
    if isinstance(value, str):
        return (_is_secret(name) and not is_reference(value)) or without_credentials(value) != value
    if name in ("credentials", "_http"):
        return True
    return any(_is_plain(inner, each) for inner, each in getattr(value, "__dict__", {}).items() if _is_secret(inner))


def _is_secret(name: str) -> bool:
    """Could that be the name of a credential? As a header, too."""
    return name != "credentials_file" and (looks_secret(name) or name.lower() in ("authorization", "cookie"))


def _resolved(name: str, value: Any, secrets: list[str]) -> Any:
    """The value with the references in it looked up; what is secret is noted."""
    if isinstance(value, Mapping):
        return {inner: _resolved(str(inner), each, secrets) for inner, each in value.items()}
    if not isinstance(value, str) or not _is_secret(name):
        secrets += _secrets_in(getattr(value, "__dict__", {}))
        return value
    if is_reference(value):
        try:
            value = Secret(value).get()
        except NotFound as error:
            raise ConfigError(f"{name}={value!r} leads nowhere in this process: {error}") from error
    secrets.append(value)
    return value


def _secrets_in(info: Mapping[str, Any]) -> Iterator[str]:
    for name, value in info.items():
        if isinstance(value, str) and _is_secret(name) and not name.endswith(("_uri", "_url")):
            yield value
