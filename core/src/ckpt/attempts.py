"""Trying a request again while its failure may pass: with pauses that grow, inside a budget of time.

For stores over a network. `StoreUnavailable` is the only error that is worth another try, so a store first maps what
its SDK raises and asks through here; the retries of the SDK itself are turned off, or the two multiply.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ckpt.errors import ConfigError, StoreUnavailable

__all__ = ["Attempts"]

T = TypeVar("T")

_FIRST: Final = 0.1
_LONGEST: Final = 5.0
"""Seconds of the longest pause before the first and before a late try."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """How long to go on: call it with what has to be done, which must be harmless when done twice.

    The pauses are "full jitter": anything between nothing and a bound that doubles, so that many who were refused
    at once do not come back at once. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    seconds: float = 30.0
    """From the start; the last try begins when they are over, at the latest. 0: one try."""

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ConfigError(f"retry_seconds={self.seconds!r} must be 0 or more: 0 tries each request once")

    def __call__(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises.

        Raises: the last `StoreUnavailable`, once the time is up; any other error at once.
        """
        end = time.monotonic() + self.seconds
        bound = _FIRST
        while True:
            try:
                return work()
            except StoreUnavailable:
                left = end - time.monotonic()
                if left <= 0:
                    raise
            pause = random.uniform(0, bound)  # noqa: S311  spreads load, hides nothing
            time.sleep(min(pause, left))
            bound = min(2 * bound, _LONGEST)
