"""Comparing bytes by the megabyte: a diff as pytest shows it takes minutes where nothing cuts it short."""

from __future__ import annotations

from ckpt.stores import Buffer

__all__ = ["assert_same_bytes"]

_SHOWN = 1_000
"""Bytes that pytest may compare by itself."""


def assert_same_bytes(found: Buffer, wanted: Buffer) -> None:
    """Fail unless both are the same bytes; of long ones the lengths and the first difference are told."""
    left, right = bytes(memoryview(found)), bytes(memoryview(wanted))
    if len(left) + len(right) <= _SHOWN:
        assert left == right
    elif left != right:
        differ = (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
        place = next(differ, min(len(left), len(right)))
        told = f"{len(left)} bytes, of which the one at {place} differs from the {len(right)} bytes that were wanted"
        raise AssertionError(f"{told}: {left[place : place + 20]!r}, not {right[place : place + 20]!r}")
