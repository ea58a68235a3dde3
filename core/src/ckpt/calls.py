"""The nodes of a flow's graph: what calling a task inside a flow gives back.

A `Call` stands for the value that one task will return. It goes into arguments of other calls, also inside
lists, tuples, dicts and dataclasses; `call[key]` stands for a part of the value and adds no task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

from ckpt.arguments import Fetch, Later, Look, Slot, abstract, holds, unmapped

if TYPE_CHECKING:
    from ckpt.flows import Flow
    from ckpt.tasks import Task

__all__ = ["Call", "CallPath", "Each", "Item", "inputs_of"]


class CallPath(NamedTuple):
    """Names one task run inside a run: `add-1`, or the child `add-1[7]` of a mapped call."""

    slug: str
    map_index: int | None = None

    def __str__(self) -> str:
        return self.slug if self.map_index is None else f"{self.slug}[{self.map_index}]"


class _Node:
    """What a person can do with a call or a part of it while the flow is built, and the mistakes they can make."""

    __slots__ = ()

    def __getitem__(self, key: object) -> Item:
        return Item(self, key)

    def __iter__(self) -> Iterator[NoReturn]:
        raise TypeError(
            f"{self!r} has no value while the flow is built, so it cannot be unpacked or looped over: "
            "take parts with call[0], call[1], or use task.map(call) for one task run an element"
        )

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self!r} has no value while the flow is built, so it cannot decide an `if`: decide inside a task "
            "(raise SKIP, or use a trigger), or compare with `is None`"
        )


class Item(_Node):
    """`call[key]`: a part of a value, looked up where it is used."""

    __slots__ = ("key", "source")

    def __init__(self, source: _Node, key: object) -> None:
        self.source, self.key = source, key

    def __repr__(self) -> str:
        return f"{self.source!r}[{self.key!r}]"


class Each(NamedTuple):
    """An input of a mapped call that its children take one element each of.

    `call` is None for a sequence given in the flow: its `elements` are templates over the call's other inputs.
    Otherwise the elements are those of the call's value, or of the part of it that `look` (a template over one
    slot) finds.
    """

    call: Call | None
    look: object
    elements: Sequence[object] = ()


class Call(_Node):
    """One call of a task in a flow.

    `inputs` are the calls whose values it reads, each once; `args` and `kwargs` are templates whose slots number
    them. Of a mapped call they number the first `shared` inputs, which every child gets whole, and then the entries
    of `each`; the other inputs are in elements of these. `upstream` are the calls it waits for.
    """

    __slots__ = ("after", "args", "each", "flow", "index", "inputs", "kwargs", "path", "shared", "task")

    is_parameter: ClassVar[bool] = False
    """Is its value given when the flow runs?"""

    def __init__(self, task: Task, flow: Flow | None) -> None:
        self.task = task
        self.flow = flow
        self.index = -1
        self.path = CallPath("")
        """Its task run, of a mapped call the parent of its children."""
        self.args: tuple[object, ...] = ()
        self.kwargs: dict[str, object] = {}
        self.inputs: list[Call] = []
        self.shared = 0
        self.each: list[Each] | None = None
        self.after: list[Call] = []

    @property
    def name(self) -> str:
        """The name of the task."""
        return self.task.name

    @property
    def slug(self) -> str:
        """Its name in the flow."""
        return self.path.slug

    @property
    def is_mapped(self) -> bool:
        """Does it run once for each element of its mapped arguments?"""
        return self.each is not None

    @property
    def sources(self) -> list[Call]:
        """Every call whose value this one takes, each once."""
        if self.each is None:
            return self.inputs
        return list(dict.fromkeys([*self.inputs, *(each.call for each in self.each if each.call is not None)]))

    @property
    def upstream(self) -> list[Call]:
        """Every call that must have finished before this one may start, each once."""
        return list(dict.fromkeys([*self.sources, *self.after]))

    def set_upstream(self, *calls: Call) -> None:
        """Wait for `calls` without taking their values."""
        for call in calls:
            if not isinstance(call, Call):
                raise TypeError(f"{self!r} can wait for calls of tasks only, not for {call!r}")
            if self.flow is not None:
                self.flow.adopt(call)
            self.after.append(call)

    def set_downstream(self, *calls: Call) -> None:
        """Let `calls` wait for this one."""
        for call in calls:
            call.set_upstream(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} belongs to a flow and does not travel; pass it as an argument of a call instead")

    def __repr__(self) -> str:
        return f"<Call {self.slug or self.task.name}>"


def inputs_of(
    call: Call,
    adopt: Callable[[Call], None],
    args: Sequence[object],
    kwargs: Mapping[str, object],
    *,
    mapped: bool,
) -> None:
    """Set `args`, `kwargs`, `inputs` and `each` of `call` from what the person wrote.

    Raises: `TypeError` for something that cannot be mapped over.
    """
    inputs: dict[Call, Slot] = {}

    def find(value: object) -> object | None:
        if isinstance(value, Call):
            adopt(value)
            return inputs.setdefault(value, Slot(len(inputs)))
        if isinstance(value, Item):
            source = find(value.source)
            return Look(source, abstract(value.key, find))
        if isinstance(value, unmapped):
            raise TypeError("unmapped() is for arguments of task.map(…) only, and not inside a container")
        return None

    if not mapped:
        call.args = tuple(abstract(value, find) for value in args)
        call.kwargs = {name: abstract(value, find) for name, value in kwargs.items()}
        call.inputs = list(inputs)
        return

    given = [*args, *kwargs.values()]
    whole = [abstract(value.value, find) if isinstance(value, unmapped) else None for value in given]
    call.shared = len(inputs)
    call.each = []
    templates: list[object] = []
    for value, template in zip(given, whole, strict=True):
        if isinstance(value, unmapped):
            templates.append(template)
            continue
        each = _each(value, adopt, find)
        place = Later if any(holds(element, Fetch) for element in each.elements) else Slot
        templates.append(place(call.shared + len(call.each)))
        call.each.append(each)
    if not call.each:
        raise TypeError(f"{call.task.name}.map(…) has nothing to map over: every argument is unmapped")
    call.args = tuple(templates[: len(args)])
    call.kwargs = dict(zip(kwargs, templates[len(args) :], strict=True))
    call.inputs = list(inputs)
    lengths = [len(each.elements) for each in call.each if each.call is None]
    if len(set(lengths)) > 1:
        said = ", ".join(map(str, lengths))
        raise TypeError(f"{call.task.name}.map(…) maps over arguments of different lengths: {said}")


def _each(value: object, adopt: Callable[[Call], None], find: Callable[[object], object | None]) -> Each:
    if isinstance(value, Call):
        adopt(value)
        return Each(value, Slot(0))
    if isinstance(value, Item):
        root: Any = value
        keys: list[object] = []
        while isinstance(root, Item):
            keys.append(root.key)
            root = root.source
        look: object = Slot(0)
        for key in reversed(keys):
            if isinstance(key, _Node):
                raise TypeError(f"cannot map over {value!r}: its key is a call; look it up in a task and map over that")
            look = Look(look, key)
        adopt(root)
        return Each(root, look)
    if isinstance(value, str | bytes | bytearray | dict) or not hasattr(value, "__iter__"):
        hint = "map over list(d.items())" if isinstance(value, dict) else "unmapped(…) gives it whole to every child"
        raise TypeError(f"cannot map over {type(value).__name__} {value!r:.80}: {hint}")
    elements = [abstract(element, find) for element in value]
    if any(holds(element, Fetch) and holds(element, Slot) for element in elements):
        raise TypeError("cannot map over an element that holds a Secret and a call: map over two lists, one of each")
    return Each(None, None, elements)
