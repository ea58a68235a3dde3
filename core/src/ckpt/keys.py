"""The keys that values are kept under: templates with one closed set of fields.

    {date:%Y/%m/%d}   the run's start, UTC; strftime's codes, without any 2026-11-22
    {flow}            name of the flow, as a slug
    {run_id}          id of the run
    {call}            slug of the call, unique in the run: add-1
    {order}           number of the call in the run, {order:04d} with zeros
    {map}             place in a map with its slash, /0007; empty for a call that is not mapped
    {attempt}         1 for the first try
    {parameters[x]}   value of the parameter x
    {tags}            the task's tags, sorted, joined by "+"
    {suffix}          of the serializer, with its dot

Text that comes from people is made safe for one component of a key; so is its length.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from string import Formatter
from typing import Final, Self, cast

from ckpt.errors import ConfigError
from ckpt.suggestions import did_you_mean

__all__ = ["KeyTemplate", "component", "map_part", "slug"]

_PLAIN: Final = frozenset({"date", "flow", "run_id", "call", "order", "map", "attempt", "tags", "suffix"})
_FORMATTED: Final[dict[str, datetime | int]] = {"date": datetime(2026, 11, 22, tzinfo=UTC), "order": 1, "attempt": 1}
"""The fields that take a format, each with a value to try it on."""
_PARAMETER: Final = re.compile(r"parameters\[([^\[\]]+)\]")
_UNSAFE: Final = re.compile(r"[^\w.=+@,-]+")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_PLAIN_LETTERS: Final = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not take apart."""
_BYTES: Final = 120
"""A file system takes 255 bytes for one name; a call, a suffix and a temporary ending must find room beside."""

_FOUR_DIGITS: Final = 10_000

Piece = str | tuple[str, str]
"""A part of a template: text, or a field with its format."""


class KeyTemplate:
    """A template whose fields may be bound step by step, once for a run and once for a call, and then rendered.

    `prefix` goes before the key, with a slash between. It may be pickled.

    Raises: `ConfigError` for a field that does not exist (naming the nearest), a format that does not fit, text
    that cannot be in a key, or a template that does not tell calls apart.
    """

    __slots__ = ("_after", "_before", "_pieces", "fields", "text")

    def __init__(self, text: str, *, prefix: str = "") -> None:
        self.text = text
        pieces = _parsed(text)
        self.fields: frozenset[str] = frozenset(piece[0] for piece in pieces if isinstance(piece, tuple))
        """The fields that the template has, bound or not: `"call"`, `"parameters[x]"`."""
        if not self.fields & {"call", "order"}:
            raise ConfigError(
                f"key template {text!r} gives all tasks of a run the same key: put {{call}} or {{order}} into it"
            )
        prefix = prefix.strip("/")
        _check_characters(prefix, f"prefix {prefix!r}")
        _check_parts(prefix or "x", f"prefix {prefix!r}")
        self._take([f"{prefix}/", *pieces] if prefix else pieces)

    @property
    def parameters(self) -> frozenset[str]:
        """The parameters of the flow that the template needs."""
        return frozenset(found[1] for field in self.fields if (found := _PARAMETER.fullmatch(field)))

    @property
    def start(self) -> str:
        """What every key begins with: the text before the first field that is not bound."""
        first = self._pieces[0] if self._pieces else ""
        return first if isinstance(first, str) else ""

    def bind(self, **values: object) -> Self:
        """Return the template with these fields filled in.

        `date` is a datetime, `order` a whole number, `parameters` a mapping, `tags` an iterable of text, `suffix`
        goes in as it is, and the others are text. Fields that the template does not have are passed over.

        Raises: `ConfigError` for a parameter that the template needs and the mapping lacks.
        """
        bound = object.__new__(type(self))
        bound.text, bound.fields = self.text, self.fields
        bound._take([_bound(piece, values, self.text) for piece in self._pieces])
        return bound

    def render(self, map: str = "", attempt: int = 1, **more: object) -> str:  # noqa: A002  the name of the field
        """Return the key; `map` comes from `map_part`. `more` are fields as for `bind`; none may be left.

        `call` must be what `slug` or `component` returned: it goes in as it is.

        Raises: `ConfigError` for a mapped call where the template has no `{map}`, and for a field not bound.
        """
        if self._before is not None and "call" in more:
            return f"{self._before}{more['call']}{map}{self._after}"
        if map and "map" not in self.fields:
            raise ConfigError(
                f"key template {self.text!r} gives all values of a mapped task the same key: put {{map}} into it"
            )
        late = {**more, "map": map, "attempt": attempt}
        done = [_bound(piece, late, self.text) for piece in self._pieces]
        if missing := [piece[0] for piece in done if isinstance(piece, tuple)]:
            raise ConfigError(f"key template {self.text!r} has no value for {', '.join(missing)}: bind it first")
        return "".join(cast("list[str]", done))

    def _take(self, pieces: Iterable[Piece]) -> None:
        self._pieces = _merged(pieces)
        # What the default template becomes for a run is joined without a loop: text, call, map, text.
        self._before: str | None = None
        self._after = ""
        match self._pieces:
            case [str(before), ("call", _), ("map", _), str(after)]:
                self._before, self._after = before, after

    def __repr__(self) -> str:
        return f"KeyTemplate({self.text!r})"


def slug(text: str, limit: int = 80) -> str:
    """Return `text` in lower-case letters a-z, digits and single dashes, at most `limit` of them and never none."""
    plain = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN_LETTERS)).encode("ascii", "ignore").decode()
    found = re.sub("[^a-z0-9]+", "-", plain).strip("-")[:limit].strip("-")
    return found or f"x-{_fingerprint(text)}"


@lru_cache(maxsize=256)
def component(text: str) -> str:
    """Return `text` as one safe component of a key; different texts stay different.

    Letters and digits of all languages and `_.=+@,-` stay. Where anything had to be changed, eight hexadecimal
    digits at the end keep two texts from becoming one.
    """
    safe = _UNSAFE.sub("-", unicodedata.normalize("NFC", text)).strip(".-")
    safe = safe.encode()[:_BYTES].decode(errors="ignore")
    if safe == text and text:
        return text
    return f"{safe}-{_fingerprint(text)}" if safe else f"x-{_fingerprint(text)}"


def map_part(index: int, length: int) -> str:
    """Return what `{map}` is for one of `length` children: `/0007`, with as many digits as all need, four at least."""
    if length <= _FOUR_DIGITS:
        return f"/{index:04d}"
    return f"/{index:0{len(str(length - 1))}d}"


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def _parsed(text: str) -> list[Piece]:
    _check_characters(text, f"key template {text!r}")
    try:
        found = list(Formatter().parse(text))
    except ValueError as error:
        raise ConfigError(f"key template {text!r}: {error}; write {{{{ for a brace") from error
    pieces: list[Piece] = []
    for literal, field, form, conversion in found:
        if literal:
            pieces.append(literal)
        if field is not None:
            _check_field(text, field, form or "", conversion)
            pieces.append((field, form or ""))
    # Checked with something in the place of each field, so that what stands between the slashes is whole.
    sample = "".join(
        piece if isinstance(piece, str) else {"map": "/0", "suffix": ".x"}.get(piece[0]) or _sample(*piece)
        for piece in pieces
    )
    _check_parts(sample, f"key template {text!r}")
    return pieces


def _check_field(text: str, field: str, form: str, conversion: str | None) -> None:
    if field not in _PLAIN and not _PARAMETER.fullmatch(field):
        raise ConfigError(
            f"key template {text!r} has an unknown field {field!r}: {did_you_mean(field, {*_PLAIN, 'parameters[x]'})}"
        )
    if conversion or (form and field not in _FORMATTED):
        raise ConfigError(f"key template {text!r}: {field!r} takes no format; {', '.join(sorted(_FORMATTED))} take one")
    try:
        _sample(field, form)
    except ValueError as error:
        raise ConfigError(f"key template {text!r}: {form!r} is no format for {field!r}: {error}") from error


def _sample(field: str, form: str) -> str:
    return format(_FORMATTED.get(field, "x"), form)


def _check_characters(text: str, what: str) -> None:
    if _FORBIDDEN.search(text):
        raise ConfigError(f"{what} has a control character or a backslash, which no key may have: leave it out")


def _check_parts(text: str, what: str) -> None:
    if any(part in ("", ".", "..") for part in text.split("/")):
        raise ConfigError(f"{what} makes an empty, '.' or '..' part between slashes, which no key may have")


def _bound(piece: Piece, values: Mapping[str, object], text: str) -> Piece:
    if isinstance(piece, str):
        return piece
    field, form = piece
    if found := _PARAMETER.fullmatch(field):
        if "parameters" not in values:
            return piece
        parameters = cast("Mapping[str, object]", values["parameters"])
        if found[1] not in parameters:
            raise ConfigError(
                f"key template {text!r} needs the parameter {found[1]!r}: {did_you_mean(found[1], parameters)}"
            )
        return component(str(parameters[found[1]]))
    if field not in values:
        return piece
    value = values[field]
    match field:
        case "flow":
            return slug(str(value))
        case "tags":
            return component("+".join(sorted(map(str, cast("Iterable[object]", value)))) or "untagged")
        case "run_id" | "call":
            return component(str(value))
        case "map" | "suffix":
            return str(value)
        case "date":
            return format(value, form or "%Y-%m-%d")
        case _:
            return format(value, form)


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and isinstance(piece, str) and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece:
            merged.append(piece)
    return merged
