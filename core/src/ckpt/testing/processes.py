"""Starting the program of `ckpt.testing.child`, and sending a handler or the opener of a store there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

import cloudpickle

from ckpt.serializers import pickled
from ckpt.testing import child

__all__ = ["Kind", "run", "shipped"]

Kind = Literal["handler", "store", "spec"]

_SECONDS = 300
"""After this a process counts as hung; no promise is measured in time."""


def run(kind: Kind, data: bytes, action: str, **arguments: Any) -> dict[str, Any]:
    """Run an action of `ckpt.testing.child` on the subject pickled in `data`, in a new interpreter.

    Returns its answer, with `killed` telling whether the process ended by SIGKILL.
    """
    path = [str(Path(entry).absolute()) for entry in sys.path]
    request = {"path": path, "kind": kind, "action": action, "arguments": arguments}
    # -P: a script's own folder does not belong in its path.
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-P", str(Path(child.__file__))],
        input=json.dumps(request).encode() + b"\n" + data,
        capture_output=True,
        check=False,
        timeout=_SECONDS,
    )
    killed = done.returncode == -signal.SIGKILL
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    told = lines[-1] if lines else ""
    assert killed or done.returncode == 0, (
        f"the process that should {action!r} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}"
    )
    answer = cast("dict[str, Any]", json.loads(told)) if told.startswith("{") else {}
    return {"killed": killed, **answer}


def shipped(subject: object) -> bytes:
    """Pickle `subject` for a new interpreter; what that could not import (a test module) travels by value.

    Raises: `NotSerializable`.
    """
    strangers = [module for module in _modules(subject) if not _importable(module)]
    for module in strangers:
        cloudpickle.register_pickle_by_value(module)
    try:
        return pickled(subject)
    finally:
        for module in strangers:
            cloudpickle.unregister_pickle_by_value(module)


def _modules(subject: object) -> set[ModuleType]:
    """The modules that what is to be pickled comes from, as far as they can be seen."""
    if isinstance(subject, tuple):
        return set().union(*map(_modules, subject))
    subject = getattr(subject, "func", subject)  # of functools.partial
    kinds = getattr(subject, "__mro__", ()) or type(subject).__mro__
    names = {kind.__module__ for kind in kinds} | {getattr(subject, "__module__", "")}
    return {sys.modules[name] for name in names if isinstance(name, str) and name in sys.modules}


def _importable(module: ModuleType) -> bool:
    """Would a new interpreter with this one's path find the module? `sys.modules` is not asked: it has all of them."""
    top = module.__name__.partition(".")[0]
    specs = (finder.find_spec(top, None) for finder in sys.meta_path)
    spec = next((spec for spec in specs if spec is not None), None)
    # A namespace package may be any folder that happens to be there.
    return spec is not None and spec.origin is not None
