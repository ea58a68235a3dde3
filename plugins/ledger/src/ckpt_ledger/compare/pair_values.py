"""The kept values of pairs of task runs, read ahead of whoever compares them: `read_pairs`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ckpt.errors import CkptError
from ckpt_ledger.telling import telling

if TYPE_CHECKING:
    from ckpt.results import SafeResult
    from ckpt.task_records import TaskRecord
    from ckpt_ledger.compare.pairs import Pair

__all__ = ["read_pairs"]

_READERS: Final = 8
_AT_ONCE: Final = 128 << 20
"""Bytes that are read ahead of what is compared."""


def read_pairs(
    pairs: Sequence[Pair], batch: Sequence[int], begin: Callable[[int], bool]
) -> Iterator[tuple[int, tuple[object, object] | CkptError]]:
    """Both values of each pair in the batch, in its order, some of them read ahead; an error where one cannot be read.

    `begin` is asked before a pair is read; one that it does not want is left out.
    """
    if not batch:
        return
    with ThreadPoolExecutor(_READERS, thread_name_prefix="ckpt-reader") as readers:
        waiting: deque[tuple[int, int, Future[tuple[object, object] | CkptError]]] = deque()
        ahead = 0
        for number in batch:
            size = _size(pairs[number])
            while waiting and (ahead + size > _AT_ONCE or len(waiting) >= _READERS):
                done, its_size, future = waiting.popleft()
                ahead -= its_size
                yield done, future.result()
            if begin(number):
                waiting.append((number, size, readers.submit(_both, pairs[number])))
                ahead += size
        for done, _, future in waiting:
            yield done, future.result()


def _both(pair: Pair) -> tuple[object, object] | CkptError:
    try:
        return _value(pair.left), _value(pair.right)
    except CkptError as error:
        return error


def _value(record: TaskRecord | None) -> object:
    assert record is not None
    assert record.safe is not None
    with telling(f"{record.call} of run {record.run}"):
        return record.safe.read()


def _safe(record: TaskRecord | None) -> SafeResult | None:
    return None if record is None else record.safe


def _size(pair: Pair) -> int:
    return sum(safe.size or 0 for safe in map(_safe, (pair.left, pair.right)) if safe is not None)
