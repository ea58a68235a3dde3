"""The settings of the ledger: the section `[ledger]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ckpt.errors import ConfigError
from ckpt.options import checked

if TYPE_CHECKING:
    from ckpt.settings import Settings

__all__ = ["SECTION", "LedgerSettings"]

SECTION: Final = "ledger"


def _key(default: object, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """`[ledger]`: each key with its type, default and documentation."""

    url: str | None = _key(
        None,
        "Where runs are recorded: `sqlite:///folder/file.db`, `postgresql://host/database`, or `env:NAME` or "
        "`file:PATH` where such a URL stands; default: the file `~/.ckpt/ledger.db`.",
    )
    enabled: bool = _key(True, "Whether runs are recorded.")
    required: bool = _key(
        False, "Whether a task whose record cannot be kept counts as one whose value could not be kept."
    )
    lease_seconds: float = _key(60.0, "How long after its last sign of life a run still counts as in progress.")

    @classmethod
    def of(cls, settings: Settings) -> LedgerSettings:
        """What the settings say.

        Raises: `ConfigError` naming the key and where it was set.
        """
        given: Mapping[str, Any] = settings.section(SECTION)
        sources = settings.sources(SECTION)
        mine = cls(**checked(cls, given, what="plugin ledger", stand=f"[{SECTION}]", sources=sources))  # type: ignore[arg-type]  # checked by these very annotations
        if not 1 <= mine.lease_seconds < float("inf"):
            where = sources.get("lease_seconds", f"[{SECTION}]")
            raise ConfigError(
                f"ledger.lease_seconds must be at least 1, not {mine.lease_seconds!r}: correct it in {where}"
            )
        return mine
