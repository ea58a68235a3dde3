"""The suite for object stores."""

from __future__ import annotations

from typing import ClassVar

from ckpt.testing.store_faults import StoreFaults
from ckpt.testing.store_keys import StoreKeys
from ckpt.testing.store_trust import StoreTrust

__all__ = ["ObjectStoreTests"]


class ObjectStoreTests(StoreTrust, StoreKeys, StoreFaults):
    """Every promise of a `ckpt.ObjectStore`: subclass it and give the fixture `store`.

    More is asked where the fixtures `raw`, `opener`, `refused`, `unreachable`, `secret` and `downloads` are given.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"downloads", "opener", "raw", "refused", "secret", "unreachable"})
