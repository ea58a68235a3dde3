"""ckpt keeps the return value of every task of a flow in the storage that the flow is configured for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ckpt.arguments import Secret, unmapped
from ckpt.calls import CallPath
from ckpt.contexts import context, get_logger
from ckpt.executors import Executor
from ckpt.flows import Flow, flow
from ckpt.handlers import JSON, ResultHandler, Stored
from ckpt.ledgers import Ledger
from ckpt.objects import ObjectResultHandler
from ckpt.reading import read
from ckpt.results import NoResult, Result, SafeResult
from ckpt.serializers import Serializer
from ckpt.states import SKIP, State
from ckpt.storage import Storage
from ckpt.stores import ObjectInfo, ObjectStore, ObjectWriter
from ckpt.task_records import Identity, TaskRecord
from ckpt.tasks import Parameter, Task, task
from ckpt.version import __version__

if TYPE_CHECKING:
    from pluggy import HookimplMarker

    hookimpl: HookimplMarker


__all__ = [
    "JSON",
    "SKIP",
    "CallPath",
    "Executor",
    "Flow",
    "Identity",
    "Ledger",
    "NoResult",
    "ObjectInfo",
    "ObjectResultHandler",
    "ObjectStore",
    "ObjectWriter",
    "Parameter",
    "Result",
    "ResultHandler",
    "SafeResult",
    "Secret",
    "Serializer",
    "State",
    "Storage",
    "Stored",
    "Task",
    "TaskRecord",
    "__version__",
    "context",
    "flow",
    "get_logger",
    "hookimpl",
    "read",
    "task",
    "unmapped",
]


def __getattr__(name: str) -> Any:
    # pluggy's marker is made on first use, so that `import ckpt` does not load pluggy.
    if name == "hookimpl":
        from ckpt.plugins import hookimpl_marker

        return hookimpl_marker()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


for _name in __all__:
    # The public path is what `repr` and errors show and what pickles name, so that modules may move. What has fields
    # keeps the module in which their annotations can be resolved.
    _exported = globals().get(_name)
    if hasattr(_exported, "__qualname__") and not hasattr(_exported, "__match_args__"):
        _exported.__module__ = __name__
