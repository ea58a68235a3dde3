"""A plugin tried in a process of its own: what it brings, how long importing it takes, and what that pulls in.

The process that asks imports nothing of the plugin, so a plugin that hangs, crashes or exits harms nobody.
`python -m ckpt.trial NAME` is that other process: one JSON object on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ckpt import installed, plugins

__all__ = ["Trial", "main", "tried"]

SECONDS = 60.0
"""How long a plugin may take before it counts as hanging."""

_EVENTS = ("ckpt_run_started", "ckpt_task_changed", "ckpt_run_ended")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of importing one plugin."""

    entry_point: str
    seconds: float = 0.0
    """Wall time of the import alone, the core and pluggy being there already."""
    brings: Sequence[str] = ()
    """In words: `handler s3 (s3://): ckpt_s3.S3ResultHandler`."""
    pulls_in: Sequence[str] = ()
    """Top-level packages beyond the standard library that the import loaded, its own among them."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""


def tried(name: str, seconds: float = SECONDS) -> Trial:
    """Try the plugin of that entry-point name in a new process; waits up to `seconds`."""
    environment = {**os.environ, "CKPT__PLUGINS__ONLY": name, "CKPT__PLUGINS__BLOCK": ""}
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and our own module
            [sys.executable, "-m", "ckpt.trial", name],
            env=environment,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(name, seconds, problem=f"importing it had not ended after {seconds:g} s")
    try:
        return Trial(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        return Trial(name, problem=f"importing it ended the process with exit code {done.returncode}: {last}")


def main(name: str) -> None:
    """Import one plugin here and print the `Trial` as JSON; in a process that does nothing else."""
    plugin = next((each for each in installed.plugins() if each.name == name), None)
    if plugin is None:
        trial = Trial(name, problem="it is not installed")
    else:
        before = {*sys.modules, *_manager_modules()}
        start = time.perf_counter()
        try:
            plugin.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  importing it runs a stranger's code
            trial = Trial(name, time.perf_counter() - start, problem=f"{type(error).__name__}: {error}")
        else:
            took = time.perf_counter() - start
            pulled = {module.partition(".")[0] for module in sys.modules.keys() - before}
            trial = Trial(name, took, _brought(), sorted(pulled - set(sys.stdlib_module_names)), _problem())
    sys.stdout.write("\n" + json.dumps(asdict(trial)) + "\n")


def _manager_modules() -> Sequence[str]:
    """What loading any plugin needs, imported here so that it is not counted."""
    import importlib_metadata  # noqa: F401
    import pluggy

    import ckpt  # noqa: F401

    return [pluggy.__name__, *sys.modules]


def _problem() -> str:
    left_out = [each.why for each in plugins.left_out() if each.is_broken]
    return "; ".join(left_out)


def _brought() -> list[str]:
    found = [
        f"handler {name} ({', '.join(f'{scheme}://' for scheme in cls.schemes) or 'no URL'}): {_path(cls)}"
        for name, cls in plugins.handler_classes().items()
    ]
    found += [f"serializer {name}: {_path(cls)}" for name, cls in _others(plugins.serializer_classes()).items()]
    found += [f"executor {name}: {_path(cls)}" for name, cls in plugins.executor_classes().items()]
    found += [f"ledger: {_path(cls)}" for cls in plugins.ledger_classes()]
    if any(plugins.implements(hook) for hook in ("ckpt_commands",)):
        found += ["commands"]
    return found + [f"listens to {hook}" for hook in _EVENTS if plugins.implements(hook)]


def _others(classes: Mapping[str, type[Any]]) -> Mapping[str, type[Any]]:
    return {name: cls for name, cls in classes.items() if not cls.__module__.startswith("ckpt.")}


def _path(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


if __name__ == "__main__":
    main(sys.argv[1])
