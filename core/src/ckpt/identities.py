"""The identity of a task run: what makes two of them the same computation.

A digest over the code version, and over each argument: of a constant its content, of a value that is kept the digest
that it was kept with, of one that is not kept the identity of the task run that made it. So no value is hashed again.
A task run without an identity, since something in it cannot be pickled, is never taken for another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ckpt.arguments import Build, Fetch, Look, Slot, slots_in
from ckpt.code_versions import CodeVersions, code_name
from ckpt.contents import digest_of
from ckpt.errors import CkptError
from ckpt.serializers import pickled
from ckpt.task_records import CallArguments, Identity, Source

if TYPE_CHECKING:
    from ckpt.calls import Call
    from ckpt.tasks import Task

__all__ = [
    "ArgumentId",
    "Identities",
    "Signature",
    "argument_of",
    "arguments_of",
    "constant",
    "content",
    "inputs_by_argument",
    "places",
    "shape",
]

ArgumentId = str | None
"""What stands for one argument in an identity; None for one that has none."""

_PLAIN: Final = frozenset({str, bytes, float, bool, type(None)})
_COMPARED: Final = frozenset({int, str, bool, bytes})
_SHORT: Final = 200


class Signature(NamedTuple):
    """What all task runs of a call have in common."""

    code: str | None
    """The code version; None where it has none, and then no identity either."""
    start: bytes | None
    """Digest over code and constants; None for what has no identity."""
    slots: tuple[int, ...]
    """The inputs that count, by their numbers in the call."""
    by_argument: Mapping[str, Sequence[int]]
    """Per argument the inputs in it."""
    given: Mapping[str, Sequence[Source]]
    """Per argument that holds anything given in the flow, that."""

    def identity(self, inputs: Sequence[ArgumentId]) -> Identity | None:
        """The identity of a task run, from what stands for its inputs, one for each of `slots`."""
        if self.start is None or None in inputs:
            return None
        if not inputs:
            return Identity(self.start.hex())
        joined = "\0".join(inputs)  # type: ignore[arg-type]  # none is None
        return Identity(hashlib.sha256(self.start + joined.encode()).hexdigest())


class Identities:
    """The signature of each call of a run; calls of one task with equal constants share one."""

    def __init__(self) -> None:
        self.versions = CodeVersions()
        self._alike: dict[tuple[object, ...], Signature] = {}
        """By what calls have written between their parentheses, where that is easily compared."""
        self._shared: dict[Any, Signature] = {}
        self._tasks: dict[int, Task] = {}

    def signature(self, call: Call) -> Signature:
        """What all task runs of `call` have in common."""
        task = call.task
        likeness = (id(task), call.is_parameter and call.slug, *map(_mark, call.args))
        if call.kwargs:
            likeness += (*call.kwargs, *map(_mark, call.kwargs.values()))
        found = self._alike.get(likeness)
        if found is None:
            self._tasks[id(task)] = task  # its id stays its own
            found, forms = self._made(call)
            if None not in likeness:
                self._alike[likeness] = found
            elif not task.cache_exclude:  # of what is left out the forms do not tell what it is
                found = self._shared.setdefault((*likeness[:2], *call.kwargs, *forms), found)
        return found

    def _made(self, call: Call) -> tuple[Signature, Sequence[bytes | None]]:
        """The signature, and the forms of the arguments that it was made of."""
        excluded = call.task.cache_exclude
        code = "parameter" if call.is_parameter else self.versions.of(call.task)
        start = [(code or "").encode()]
        forms: list[bytes | None] = []
        given: dict[str, Sequence[Source]] = {}
        for (name, label), part in places(call):
            form = b"excluded" if name in excluded else shape(part)
            forms.append(form)
            if form is None:
                continue
            if type(part) is not Slot:
                before = given[name][0].digest or "" if name in given else ""
                given[name] = (Source(None, hashlib.sha256(before.encode() + form).hexdigest()),)
            start.append(b"%b=%d:%b" % (label.encode(), len(form), form))
        digest = None if code is None or None in forms else hashlib.sha256(b"\0".join(start)).digest()
        if not call.inputs and not call.each:
            return Signature(code, digest, (), {}, given), forms
        by_argument = inputs_by_argument(places(call))
        slots = dict.fromkeys(slot for name, numbers in by_argument.items() if name not in excluded for slot in numbers)
        return Signature(code, digest, tuple(slots), by_argument, given), forms


def _mark(part: object) -> object:
    """What tells a simple argument from others; None for one that is not simple."""
    kind = type(part)
    if kind is Slot:
        return part.number  # type: ignore[attr-defined]  # it is a Slot
    return (kind, part) if kind in _COMPARED else None


def inputs_by_argument(given: Iterable[tuple[tuple[str, str], object]]) -> Mapping[str, Sequence[int]]:
    """Per argument that takes values of other calls, the numbers of these inputs."""
    found: dict[str, dict[int, None]] = {}
    for (name, _), part in given:
        for slot in slots_in(part):
            found.setdefault(name, {})[slot] = None
    return {name: tuple(slots) for name, slots in found.items()}


def places(call: Call) -> Iterable[tuple[tuple[str, str], object]]:
    """Per argument that a call gives: the name in the signature and a label that is its alone, and the template.

    They differ for what `*args` and `**kwargs` gather: `args` and `args[1]`.
    """
    parts = (*call.args, *call.kwargs.values()) if call.kwargs else call.args
    names = _names(call.task, len(call.args), tuple(call.kwargs))
    return zip(names, parts)  # noqa: B905  there is a name for each, and to check it takes longer


@lru_cache(maxsize=256)
def _names(task: Task, count: int, keywords: tuple[str, ...]) -> Sequence[tuple[str, str]]:
    """Name and label of the arguments by place, then of those by name."""
    names: dict[int | str, tuple[str, str]] = {}
    bound = task.signature.bind_partial(*range(count), **{name: name for name in keywords}).arguments
    for name, place in bound.items():
        if isinstance(place, tuple):
            names.update((inner, (name, f"{name}[{number}]")) for number, inner in enumerate(place))
        elif isinstance(place, dict):
            names.update((inner, (name, f"{name}.{inner}")) for inner in place.values())
        else:
            names[place] = (name, name)
    return [names[place] for place in (*range(count), *keywords)]


def shape(template: Any) -> bytes | None:
    """What an argument is without its inputs, as bytes that differ where it differs; None where there are none."""
    kind = type(template)
    if kind is int:
        return b"int 0x%x" % template  # Python writes no int of more than 4,300 decimal digits
    if kind in _PLAIN and (kind not in (str, bytes) or len(template) < _SHORT):
        return f"{kind.__name__} {template!r}".encode(errors="surrogatepass")
    if isinstance(template, Slot):
        return b"slot %d" % template.number
    if isinstance(template, Fetch):
        return f"secret {template.secret.reference}".encode()
    parts: Sequence[object]
    if isinstance(template, Look):
        head, parts = "look", (template.source, template.key)
    elif isinstance(template, Build):
        kind = template.kind
        head, parts = code_name(kind) or f"{kind.__module__}.{kind.__qualname__}", (*template.names, *template.parts)
    else:
        digest = constant(template)
        return None if digest is None else f"value {digest}".encode()
    inner = [shape(part) for part in parts]
    if None in inner:
        return None
    return f"({head} ".encode(errors="surrogatepass") + b" ".join(
        b"%d:" % len(part) + part for part in inner if part is not None
    )


def constant(value: object) -> str | None:
    """Digest over the content of a constant, the same in every process; None if it has no bytes."""
    try:
        return digest_of(value, code_name)
    except CkptError:
        return None


def content(value: object) -> str | None:
    """Digest over one element of what is mapped over, which may be known as its bytes alone; None if it has none."""
    try:
        return hashlib.sha256(pickled(value)).hexdigest()
    except CkptError:
        return None


def argument_of(digest: str | None, identity: Identity | None) -> ArgumentId:
    """What stands for a value: its digest where it is kept, else the identity of the task run that made it."""
    if digest is not None:
        return f"value {digest}"
    return None if identity is None else f"of {identity}"


def arguments_of(call: Call, signature: Signature, keep: Callable[[bytes], CallArguments]) -> CallArguments | None:
    """What the flow gave to `call`, to be kept with the run; None where it gave nothing that can be kept."""
    if not signature.given and not call.each:
        return None
    try:
        return keep(pickled((call.args, call.kwargs, [each.elements for each in call.each or ()])))
    except Exception:  # noqa: BLE001  whatever a handler raises, it is not kept
        return None
