"""The kinds of classes that plugins bring and others ask for by name: handlers, serializers, executors, ledgers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["EXECUTORS", "HANDLERS", "LEDGERS", "SERIALIZERS", "Kind", "check_classes"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of class that plugins bring and others ask for by name."""

    hook: str
    noun: str
    base: Callable[[], type]
    names: Callable[[Any], Iterable[str]]
    """What a class of this kind is asked for by."""
    own: Callable[[], Sequence[type]] = tuple
    """The core's classes, which no plugin can replace."""


def _handler() -> type:
    from ckpt.handlers import ResultHandler

    return ResultHandler


def _serializer() -> type:
    from ckpt.serializers import Serializer

    return Serializer


def _own_serializers() -> Sequence[type]:
    from ckpt.serializers import PickleSerializer

    return (PickleSerializer,)


def _executor() -> type:
    from ckpt.executors import Executor

    return Executor


def _ledger() -> type:
    from ckpt.ledgers import Ledger

    return Ledger


HANDLERS = Kind("ckpt_result_handlers", "storage type", _handler, lambda cls: (cls.storage_type, *cls.schemes))
SERIALIZERS = Kind("ckpt_serializers", "serializer", _serializer, lambda cls: (cls.name,), _own_serializers)
EXECUTORS = Kind("ckpt_executors", "executor", _executor, lambda cls: (cls.name,))
LEDGERS = Kind("ckpt_ledgers", "ledger", _ledger, lambda cls: (f"{cls.__module__}.{cls.__qualname__}",))


def check_classes(answer: list[Any], kind: Kind) -> None:
    """Raise `TypeError` unless every class is of its kind, whole, and has names."""
    base = kind.base()
    for cls in answer:
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise TypeError(f"{kind.hook} must return subclasses of {base.__name__}, not {cls!r}")
        if inspect.isabstract(cls):
            missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
            raise TypeError(f"{cls.__name__} lacks {missing}")
        names: tuple[object, ...] = tuple(kind.names(cls))
        if not all(isinstance(name, str) and name for name in names):
            raise TypeError(f"{cls.__name__} has no {kind.noun}: {names!r}")
