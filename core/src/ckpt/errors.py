"""Every error that ckpt raises on purpose, as one tree.

    CkptError
    ├── NotFound          LookupError            nothing is kept under that key
    ├── AccessDenied      PermissionError        the store refused: credentials, policy, file mode
    ├── StoreUnavailable  ConnectionError        the store cannot be reached or cannot take more: worth another try
    ├── AlreadyExists     FileExistsError        create-only write, and the key is taken
    ├── CorruptRecord     ValueError             the bytes are not what was written; nothing was unpickled
    ├── NotSerializable   TypeError              the value cannot be turned into bytes: names the path inside it
    ├── Unreadable        RuntimeError           whole, but no value comes of it here: names the versions that wrote it
    ├── Unsupported       NotImplementedError    this handler or store cannot do that at all
    ├── PluginNotFound    LookupError            no installed plugin serves it: names the pip line
    ├── PluginBroken      ImportError            an installed plugin cannot be used: names the distribution
    ├── ConfigError       ValueError             a setting, argument or graph that cannot be right
    └── WorkerLost        ChildProcessError      the process that ran a task is gone

    FlowInterrupted       KeyboardInterrupt      Ctrl-C during a run, after what was in flight was kept

Each takes exactly one argument, the message, so that `str`, `copy` and `pickle` treat all of them alike
(the two-argument form of `OSError` and keyword-only arguments break one or the other), and each message
ends with what to do next. Errors of an SDK are mapped in the backend, their cause kept as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckpt.states import State

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "CkptError",
    "ConfigError",
    "CorruptRecord",
    "FlowInterrupted",
    "NotFound",
    "NotSerializable",
    "PluginBroken",
    "PluginNotFound",
    "StoreUnavailable",
    "Unreadable",
    "Unsupported",
    "WorkerLost",
]


class CkptError(Exception):
    """The root of the tree: catch it to catch everything ckpt raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class NotFound(CkptError, LookupError):
    """Nothing is kept under that key."""


class AccessDenied(CkptError, PermissionError):
    """The store refused; the key may or may not exist."""


class StoreUnavailable(CkptError, ConnectionError):
    """The store cannot be reached or cannot take more now; the only store error that is worth another try."""


class AlreadyExists(CkptError, FileExistsError):
    """A create-only write found the key taken; what is there is unchanged."""


class CorruptRecord(CkptError, ValueError):
    """The stored bytes are not the bytes that were written; nothing of them was unpickled."""


class NotSerializable(CkptError, TypeError):
    """A value cannot be turned into bytes; the message names the path inside the value and the type there."""


class Unreadable(CkptError, RuntimeError):
    """The stored bytes are those that were written, but this process cannot make the value from them.

    A module is missing or has changed, or Python has: the message has the versions that wrote the value and
    those of this process, the cause is kept.
    """


class Unsupported(CkptError, NotImplementedError):
    """This handler or store cannot do that at all."""


class PluginNotFound(CkptError, LookupError):
    """No installed plugin serves this type; the message has the pip line."""


class PluginBroken(CkptError, ImportError):
    """An installed plugin cannot be imported or used; the message names its distribution and version."""


class ConfigError(CkptError, ValueError):
    """A setting, an argument or a graph that cannot be right, found before any task runs."""


class WorkerLost(CkptError, ChildProcessError):
    """The process that ran a task ended without reporting (killed, out of memory, crashed)."""


class FlowInterrupted(KeyboardInterrupt):
    """Raised by `Flow.run` after Ctrl-C, once what was in flight is kept.

    `state` is the flow's final state (`Cancelled`), with the state of every task in its `result`;
    None on a copy that came out of a pickle.
    """

    def __init__(self, message: str = "", state: State | None = None) -> None:
        super().__init__(message)
        self.state = state
