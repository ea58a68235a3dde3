"""Flow files: loaded as a module of their own name, while what they run is written down instead of run.

Classes and functions of a flow file travel by value, so that what they made can be read where the file is not.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

from ckpt.building import recording
from ckpt.errors import ConfigError
from ckpt.flows import Flow
from ckpt.suggestions import did_you_mean

__all__ = ["LoadedFlow", "load_flow", "split_target"]

_LOG = logging.getLogger("ckpt")
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

Runs = Sequence[tuple[Flow, Mapping[str, object]]]


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """A flow with the module that it is defined in."""

    flow: Flow
    module: ModuleType
    parameters: Mapping[str, object]
    """What the file's own `flow.run(…)` gave; empty where it has none, or several that differ."""


def load_flow(target: str) -> LoadedFlow:
    """Load `FILE[:flow]` or `package.module[:flow]` and find the flow: by variable or flow name, else the only one.

    Raises: `ConfigError` for a file that is missing, broken or has no such flow.
    """
    place, name = split_target(target)
    with recording() as runs:
        module, error = _loaded(place)
    if error is not None:
        if not runs:
            raise ConfigError(_broken(place, error)) from error
        # Most likely it wanted the result of the run that was taken down and not done.
        _LOG.warning("%s; this came after the file had run a flow, so the flow is used", _broken(place, error))
    flow = _chosen(place, name, _flows(module), runs)
    given = [dict(parameters) for ran, parameters in runs if ran is flow]
    only = given[0] if given and all(_same(one, given[0]) for one in given) else {}
    return LoadedFlow(flow, module, only)


def split_target(target: str) -> tuple[str, str | None]:
    """The file or module, and the name of the flow where there is one."""
    if Path(target).exists():
        return target, None
    place, colon, name = target.rpartition(":")
    return (place, name or None) if colon and place else (target, None)


def _loaded(place: str) -> tuple[ModuleType, BaseException | None]:
    """The module, whole or as far as it came."""
    path = Path(place)
    if path.is_dir():
        raise ConfigError(f"{place} is a folder: name the file that has the flow")
    if path.exists():
        return _from_file(path)
    if path.suffix == ".py" or not _DOTTED.fullmatch(place):
        raise ConfigError(f"there is no file {place}{_nearby(path)}")
    return _from_path(place)


def _from_file(path: Path) -> tuple[ModuleType, BaseException | None]:
    path = path.resolve()
    name = path.stem
    taken = sys.modules.get(name)
    if taken is not None:
        raise ConfigError(
            f"{path.name} has the name of the module {name!r} ({getattr(taken, '__file__', None) or 'built in'}), "
            "which is loaded already: rename the file"
        )
    code = _compiled(path)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    argv, sys.argv = sys.argv, [str(path)]
    try:
        exec(code, module.__dict__)  # noqa: S102  a flow file is a program that the person asked to run
    except (Exception, SystemExit) as error:  # noqa: BLE001  it is told, and may come after all that is needed
        # The first frame is ours; the next is the file's.
        return module, error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    finally:
        sys.argv = argv
    return module, None


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        raise ConfigError(_broken(path.name, error)) from error


def _from_path(name: str) -> tuple[ModuleType, BaseException | None]:
    """A module of a package is importable wherever the package is, so it travels by reference, as usual."""
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name), None
    except ModuleNotFoundError as error:
        if error.name is not None and (error.name == name or name.startswith(f"{error.name}.")):
            raise ConfigError(f"there is neither a file nor a module {name}{_nearby(Path(name))}") from None
        raise ConfigError(_broken(name, error)) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(_broken(name, error)) from error


def _nearby(path: Path) -> str:
    """What may have been meant: the flow files of that folder."""
    try:
        there = [file.name for file in path.parent.iterdir() if file.suffix == ".py"]
    except OSError:
        return f": there is no folder {path.parent}"
    guess = did_you_mean(path.name, there) if there else ""
    return f": {guess}" if guess else ""


def _flows(module: ModuleType) -> dict[str, Flow]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Flow)}


def _chosen(place: str, name: str | None, flows: Mapping[str, Flow], runs: Runs) -> Flow:
    recorded = list(dict.fromkeys(flow for flow, _ in runs))
    known = list(dict.fromkeys([*flows.values(), *recorded]))
    if not known:
        raise ConfigError(
            f'{place} has no flow: write `with Flow("name") as flow:` at the top level of the file '
            '(what stands under `if __name__ == "__main__":` is not run)'
        )
    if name is not None:
        found = [flows[name]] if name in flows else [flow for flow in known if flow.name == name]
        if len(found) != 1:
            what = "several flows" if found else "no flow"
            names = {*flows, *(flow.name for flow in known)}
            raise ConfigError(f"{place} has {what} {name!r}: {did_you_mean(name, names)}")
        return found[0]
    for candidates in (known, recorded):
        if len(candidates) == 1:
            return candidates[0]
    variables = {id(flow): name for name, flow in flows.items()}
    listed = ", ".join(f"{place}:{variables.get(id(flow), flow.name)}" for flow in known)
    raise ConfigError(f"{place} has {len(known)} flows, say which one: {listed}")


def _same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Equal parameters; of values that cannot be compared in one answer (arrays) only the very same."""
    try:
        return one.keys() == other.keys() and all(v is other[k] or bool(v == other[k]) for k, v in one.items())
    except Exception:  # noqa: BLE001  a person's values may refuse to be compared
        return False


def _broken(place: str, error: BaseException) -> str:
    """What went wrong in the file, with the line."""
    name = Path(place).name
    if isinstance(error, SyntaxError):
        return f"{name} is not Python:\n" + "".join(traceback.format_exception_only(error)).rstrip()
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == name]
    where = f", line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    return f"{name} stopped while it was loaded: {said}{where}"
