"""numpy scalars, from a closed list of dtypes, without importing numpy to write and only when one is met to read."""

from __future__ import annotations

import re
import sys
from typing import Any

from ckpt.errors import Unsupported
from ckpt_json.refusal import Refused, type_name

__all__ = ["NAMES", "is_numpy", "numpy_payload", "read_numpy"]

NAMES = frozenset(
    (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128", "str", "bytes"),
    )
)
"""dtypes by name; beside them `datetime64[…]` and `timedelta64[…]`, whose payload counts units as an integer."""

_MOMENT = re.compile(r"(datetime64|timedelta64)(\[([1-9][0-9]{0,9})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])")


def is_numpy(value: object) -> bool:
    """Is it a numpy scalar? Where numpy was never imported, nothing is."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return generic is not None and isinstance(value, generic)


def numpy_payload(value: Any) -> list[object]:
    """`[dtype, item]` of a numpy scalar.

    Raises: `Refused` for a dtype outside the list and for a subclass of a numpy scalar.
    """
    numpy = sys.modules["numpy"]
    kind = type(value)
    if kind is numpy.str_:
        return ["str", str.__str__(value)]
    if kind is numpy.bytes_:
        return ["bytes", b"".join((value,))]
    name: str = value.dtype.name
    if kind is numpy.datetime64 or kind is numpy.timedelta64:
        if not _MOMENT.fullmatch(name):
            raise Refused(f"it is a {type_name(kind)} without a unit", f"give it one: value.astype('{name}[ns]')")
        return [name, int(value.view("int64"))]
    # The C types that have no name of their own (`longlong` where `long` is as wide) would come back as another type.
    if name not in NAMES or numpy.dtype(name).type is not kind:
        raise Refused(f"it is a {type_name(kind)}, which is not of the dtypes that ckpt-json keeps")
    return [name, value.item()]


def read_numpy(payload: object) -> object:
    """Undo `numpy_payload`; whatever is wrong raises a builtin error."""
    if not isinstance(payload, list):
        raise TypeError(payload)
    name, item = payload
    moment = _MOMENT.fullmatch(name)
    if not moment and name not in NAMES:
        raise ValueError(name)
    try:
        import numpy as np
    except ImportError:
        raise Unsupported(
            f"the JSON text holds a numpy {name}, and numpy is not installed: pip install numpy"
        ) from None
    if moment:
        return np.int64(item).view(name)
    with np.errstate(all="ignore"):  # an item that does not fit is found by writing it again
        return np.dtype(name).type(item)
