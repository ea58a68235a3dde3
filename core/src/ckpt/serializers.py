"""How a value becomes bytes and comes back: the contract of a serializer, and pickle.

`unpickle` is the one place in the whole repository that executes a pickle; a test over the syntax tree guards
that. Bytes from storage reach it through `ckpt.records` alone, which has verified them before.
"""

from __future__ import annotations

import io
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pickle import BINBYTES, BINBYTES8, BYTEARRAY8, NEXT_BUFFER, READONLY_BUFFER, PickleBuffer
from typing import Any, BinaryIO, ClassVar, Final

from ckpt.errors import CkptError, NotSerializable
from ckpt.stores import Buffer

__all__ = ["NEXT_BUFFER", "READONLY_BUFFER", "PickleSerializer", "Serializer", "buffer_opcode", "pickled", "unpickle"]

PROTOCOL: Final = 5
"""Part of the record's format: `ckpt.decoding` replaces opcodes of protocol 5."""

_SCALARS: Final = frozenset({type(None), bool, int, float, complex})
_TEXTS: Final = frozenset({str, bytes})
_SHORT: Final = 1 << 16


class Serializer(ABC):
    """One way of turning values into bytes, an axis separate from where the bytes are kept."""

    name: ClassVar[str]
    """What is recorded with every value, and what `serializer=` takes: `"pickle"`."""
    suffix: ClassVar[str]
    """End of the keys, with its dot: `".ckpt"`."""
    framed: ClassVar[bool] = False
    """True: the bytes go into a ckpt record, which is verified before `load` sees them. False: kept as they are."""

    @abstractmethod
    def dump(self, value: object, out: BinaryIO) -> None:
        """Write `value` to `out`, of which only `write` may be used.

        Raises: `NotSerializable` naming the path inside the value; whatever `out.write` raises.
        """

    @abstractmethod
    def load(self, source: BinaryIO) -> object:
        """Read one value from `source`, equal to the one that was dumped."""


class PickleSerializer(Serializer):
    """Pickle, protocol 5: everything that cloudpickle takes, functions and classes of `__main__` by value."""

    name = "pickle"
    suffix = ".ckpt"
    framed = True

    def dump(self, value: object, out: BinaryIO) -> None:
        try:
            if _is_scalar(value):
                out.write(pickle.dumps(value, PROTOCOL))
            else:
                _pickle_to(value, out)
        except CkptError:
            raise
        except Exception as error:
            raise _not_serializable(value, error) from error

    def load(self, source: BinaryIO) -> object:
        return unpickle(source)


def pickled(value: object) -> bytes:
    """Return `value` as a plain pickle, as it travels to a worker process; `unpickle` undoes it.

    Raises: `NotSerializable` naming the path inside the value.
    """
    from cloudpickle import dumps

    try:
        return pickle.dumps(value, PROTOCOL) if _is_scalar(value) else dumps(value, PROTOCOL)
    except CkptError:
        raise
    except Exception as error:
        raise _not_serializable(value, error) from error


def unpickle(source: Buffer | BinaryIO, buffers: Iterable[Buffer] | None = None) -> object:
    """Execute a pickle that is trusted: verified by `ckpt.records`, or sent by a process of this run.

    `buffers` are those that the pickle asks for out of band, in its order. Raises whatever the pickle raises.
    """
    if isinstance(source, bytes | bytearray | memoryview | PickleBuffer):
        data = bytes(source) if isinstance(source, memoryview | PickleBuffer) else source
        if b"cloudpickle" not in data:
            return pickle.loads(data, buffers=buffers)  # noqa: S301  the one place, see above
        source = io.BytesIO(data)
    return _Reader(source, buffers=buffers).load()


def unpickle_flow(source: bytes) -> object:
    """What `unpickle` does, for the flow that a worker process is to serve: its classes are the ones of all values."""
    return _FlowReader(io.BytesIO(source)).load()


# A class of a script is written into the values that hold it, and cloudpickle makes it anew where they are read: an
# instance would then be of another class than the one that the script compares it with, and have the methods of
# yesterday. As with a class that travels by reference, the class of that name wins where this process has one: that of
# the module, or in a worker process the one that came with the flow.

_MAKER: Final = "cloudpickle.cloudpickle"
_of_the_flow: dict[tuple[str, str], type] = {}
"""In a worker process: the classes of the flow, by module and name."""


class _Reader(pickle.Unpickler):
    """Reads a pickle; classes that are written into it give way to those that are here."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if module == _MAKER:
            if name == "_make_skeleton_class":
                return lambda kind, called, bases, given, *rest: (
                    _here(given.get("__module__"), called) or self._made(found(kind, called, bases, given, *rest))
                )
            if name == "_make_skeleton_enum":
                return lambda bases, called, qualname, members, home, *rest: (
                    _here(home, called) or self._made(found(bases, called, qualname, members, home, *rest))
                )
            if name == "_class_setstate":
                return lambda made, state: made if _here(made.__module__, made.__name__) is made else found(made, state)
        return found

    def _made(self, made: type) -> type:
        return made


class _FlowReader(_Reader):
    """Reads the flow in a worker process: its classes are those that values are of from then on."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(source)
        self._classes: list[type] = []

    def _made(self, made: type) -> type:
        self._classes.append(made)
        return made

    def load(self) -> Any:
        """The flow; its classes are known only once they are whole."""
        flow = super().load()
        _of_the_flow.update(((made.__module__, made.__name__), made) for made in self._classes)
        return flow


def _here(module: str | None, name: str) -> type | None:
    """The class of that name in this process, None if there is none."""
    if module is None:
        return None
    if (known := _of_the_flow.get((module, name))) is not None:
        return known
    found = getattr(sys.modules.get(module), name, None)
    if isinstance(found, type) and (found.__module__, found.__qualname__) == (module, name):
        return found
    return None


def buffer_opcode(size: int, readonly: bool) -> bytes:
    """Return the opcode with its argument that protocol 5 writes right before an in-band buffer of `size` bytes."""
    if not readonly:
        return BYTEARRAY8 + size.to_bytes(8, "little")
    if size <= 0xFFFFFFFF:
        return BINBYTES + size.to_bytes(4, "little")
    return BINBYTES8 + size.to_bytes(8, "little")


def _is_scalar(value: object) -> bool:
    """Is it of a builtin type that the plain pickler writes byte for byte like cloudpickle, 10 times as fast?"""
    kind = type(value)
    # Long text is streamed instead: `dumps` would copy it.
    return kind in _SCALARS or (kind in _TEXTS and len(value) < _SHORT)  # type: ignore[arg-type]


def _is_plain_array(value: object) -> bool:
    """Is it exactly a numpy array of numbers or text? Then nothing in it is for cloudpickle to reduce."""
    # An array cannot exist before numpy is imported, so looking costs no import.
    kind = getattr(sys.modules.get("numpy"), "ndarray", None)
    if type(value) is not kind:
        return False
    dtype = value.dtype  # type: ignore[attr-defined]
    return not dtype.hasobject and dtype.names is None and dtype.metadata is None


def _pickle_to(value: object, out: BinaryIO) -> None:
    if _is_plain_array(value):
        pickle.Pickler(out, PROTOCOL).dump(value)
        return
    from cloudpickle import Pickler

    Pickler(out, PROTOCOL).dump(value)


def _not_serializable(value: object, error: Exception) -> NotSerializable:
    advice = "return something else, or keep no value of this task with @task(checkpoint=False)"
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        # Every part of a deep value fails alike, so there is no path to name.
        return NotSerializable(
            f"the value, a {_type_name(value)}, is nested too deeply to be pickled: return a flatter one, "
            "or keep no value of this task with @task(checkpoint=False)"
        )
    if isinstance(error, MemoryError):
        return NotSerializable(
            f"memory ran out while the value, a {_type_name(value)}, was pickled: return less at once, "
            "or keep no value of this task with @task(checkpoint=False)"
        )
    from ckpt.culprits import find_culprit

    path, culprit, cause = find_culprit(value, error, _pickle_to)
    what = f"the value at {path}, a {_type_name(culprit)}," if path else f"the value, a {_type_name(value)},"
    return NotSerializable(f"{what} cannot be pickled ({type(cause).__name__}: {cause}): {advice}")


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
