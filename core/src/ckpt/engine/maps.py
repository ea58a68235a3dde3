"""How a mapped call becomes children: one element a child from each mapped input.

An input that is mapped over is a sequence given in the flow, the value of a call, a part of such a value, or another
mapped call; of the last each child follows the child with its number, as soon as that one is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ckpt.arguments import Fetch, Slot, holds, resolve
from ckpt.engine.plans import Code
from ckpt.errors import ConfigError
from ckpt.results import Held

if TYPE_CHECKING:
    from ckpt.calls import Call, Each
    from ckpt.engine.runs import Rows

__all__ = ["Column", "columns_of", "elements", "follows"]

Column = range | Sequence[object]
"""One mapped input: the rows of the children that are followed, or the elements themselves."""


def follows(each: Each) -> bool:
    """Does this input follow another mapped call, child by child?"""
    return each.call is not None and each.call.is_mapped and type(each.look) is Slot


def elements(look: object, value: object) -> list[object]:
    """The elements of the part of `value` that the template `look` finds.

    Raises: `ConfigError` for something that has no elements to map over.
    """
    part: Any = resolve(look, (value,))
    if isinstance(part, str | bytes | bytearray | dict) or not hasattr(part, "__iter__"):
        hint = "; map over list(d.items())" if isinstance(part, dict) else "; return a list"
        raise ConfigError(f"cannot map over a {type(part).__name__}{hint}")
    return list(part)


def _filled(element: object, inputs: Sequence[object], fill: Callable[[object, Sequence[object]], object]) -> object:
    if type(element) is Slot:
        return inputs[element.number]
    return element if holds(element, Fetch) else fill(element, inputs)  # a secret is fetched where the child runs


def columns_of(
    call: Call,
    rows: Rows,
    parts: Mapping[int, Sequence[Sequence[object] | Exception]],
    splits: Mapping[int, Sequence[object]],
    value_of: Callable[[int], object],
    fill: Callable[[object, Sequence[object]], object],
    unfilled: dict[int, Exception],
) -> list[Column]:
    """The mapped inputs of `call`, all of one length.

    `parts` has the elements of values that are elsewhere, one part for each of the `splits`; `fill` fills a template
    where its inputs are; what that raises goes to `unfilled`, by the number of the child whose failure it is.

    Raises: `ConfigError` for lengths that differ, and for an input that has no elements.
    """
    columns: list[Column] = []
    for each in call.each or ():
        if each.call is None:
            inputs = [value_of(source.index) for source in call.inputs]
            column: list[object] = []
            for index, element in enumerate(each.elements):
                try:
                    column.append(_filled(element, inputs, fill))
                except Exception as error:  # noqa: BLE001  looking into a person's value may raise anything
                    column.append(None)
                    unfilled.setdefault(index, error)
            columns.append(column)
            continue
        source = each.call.index
        if follows(each) and source in rows.children:
            columns.append(rows.children[source])
            continue
        has_value = rows.code[source] in (Code.SUCCESS, Code.CACHED, Code.MAPPED, Code.RUNNING)
        if not has_value and source not in rows.write_errors:  # what is not kept was computed all the same
            raise ConfigError(f"nothing to map over: {each.call.slug} has no value")
        value = value_of(source)
        if isinstance(value, Held) and source in rows.children:
            value = value.load()  # a part of the list of a mapped call; no worker has all of it
        if isinstance(value, Held):
            part = parts[source][splits[source].index(each.look)]
            if isinstance(part, Exception):
                raise part
            columns.append(part)
        else:
            columns.append(elements(each.look, value))
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise ConfigError(f"{call.slug} maps over inputs of different lengths: {lengths}")
    return columns
