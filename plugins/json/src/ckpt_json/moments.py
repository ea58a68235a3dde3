"""Times and datetimes as text, with everything that ISO 8601 alone loses: the zone's name and the fold."""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone, tzinfo
from typing import TypeVar

from ckpt.errors import Unsupported
from ckpt_json.refusal import Refused, type_name

__all__ = ["read_moment", "write_moment"]

Moment = TypeVar("Moment", datetime, time)


def write_moment(value: datetime | time) -> str | dict[str, str | int | list[int]]:
    """ISO 8601 where that says it all, else `{"at": …}` with what it does not.

    That is `zone` (IANA), `offset` (days, seconds, microseconds: only where it has any of the last), `name` (of the
    offset) and `fold`.
    """
    zone = value.tzinfo
    extra: dict[str, str | int | list[int]] = {}
    if zone is None:
        at = value.isoformat()
    elif type(zone) is timezone:
        offset = zone.utcoffset(None)
        if offset.microseconds:
            # `fromisoformat` takes an offset of less than a second for UTC.
            at = value.replace(tzinfo=None).isoformat()
            extra["offset"] = [offset.days, offset.seconds, offset.microseconds]
        else:
            at = value.isoformat()
        if (name := zone.tzname(None)) != timezone(offset).tzname(None):
            extra["name"] = name
    else:
        # The wall time without its offset: the rules of a zone may change between writing and reading.
        at = value.replace(tzinfo=None).isoformat()
        try:
            extra["zone"] = _zone_name(zone)
        except Refused as refused:
            refused.inside(".tzinfo", value)
            raise
    if value.fold:
        extra["fold"] = 1
    return {"at": at, **extra} if extra else at


def read_moment(kind: type[Moment], payload: object) -> Moment:
    """Undo `write_moment`; whatever is wrong raises a builtin error."""
    if isinstance(payload, str):
        return kind.fromisoformat(payload)
    if not isinstance(payload, dict):
        raise TypeError(payload)
    moment = kind.fromisoformat(payload["at"])
    if "zone" in payload:
        moment = moment.replace(tzinfo=_zone(payload["zone"]))
    elif "offset" in payload:
        moment = moment.replace(tzinfo=timezone(timedelta(*payload["offset"])))
    if "name" in payload and moment.tzinfo is not None:
        offset = moment.tzinfo.utcoffset(None)
        if offset is not None:
            moment = moment.replace(tzinfo=timezone(offset, payload["name"]))
    return moment.replace(fold=payload.get("fold", 0))


def _zone_name(zone: tzinfo) -> str:
    from zoneinfo import ZoneInfo  # not needed by most values

    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    raise Refused(
        f"its time zone is a {type_name(type(zone))} and not known by a name",
        "use zoneinfo.ZoneInfo(name) or a UTC offset",
    )


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        raise Unsupported(f"this machine has no time zone {name!r}: pip install tzdata") from None
