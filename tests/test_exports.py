"""The public names: what is promised, what `ckpt.__all__` says and what is really there are the same."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from typing import get_type_hints

import pytest

import ckpt

PROMISED = {
    "CallPath", "Executor", "Flow", "Identity", "JSON", "Ledger", "NoResult", "ObjectInfo", "ObjectResultHandler",
    "ObjectStore", "ObjectWriter", "Parameter", "Result", "ResultHandler", "SKIP", "SafeResult", "Secret", "Serializer",
    "State", "Storage", "Stored", "Task", "TaskRecord", "__version__", "context", "flow", "get_logger", "hookimpl",
    "read", "task", "unmapped",
}  # fmt: skip

EXPORTING = [
    "ckpt", "ckpt.errors", "ckpt.states", "ckpt.triggers",
    "ckpt_azure", "ckpt_gcs", "ckpt_json", "ckpt_ledger", "ckpt_local", "ckpt_s3",
]  # fmt: skip


def test_ckpt_exports_exactly_what_is_promised() -> None:
    assert set(ckpt.__all__) == PROMISED


@pytest.mark.parametrize("module", EXPORTING)
def test_every_exported_name_is_there_once(module: str) -> None:
    exporting = importlib.import_module(module)
    assert len(exporting.__all__) == len(set(exporting.__all__))
    missing = [name for name in exporting.__all__ if not hasattr(exporting, name)]
    assert missing == []


def test_dir_lists_every_export() -> None:
    assert set(ckpt.__all__) - set(dir(ckpt)) == set()


def test_every_export_can_be_imported_first_and_alone() -> None:
    program = """if True:
        import sys
        for name in sys.argv[1:]:
            for module in [module for module in sys.modules if module.split(".")[0] == "ckpt"]:
                del sys.modules[module]
            exec(f"from ckpt import {name}")
    """
    subprocess.run([sys.executable, "-c", program, *sorted(PROMISED)], check=True)


def test_no_module_bears_the_name_of_an_export() -> None:
    modules = {module.name for module in pkgutil.iter_modules(ckpt.__path__)}
    assert modules & PROMISED == set()


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_an_exported_class_or_function_shows_its_public_path(name: str) -> None:
    exported = getattr(ckpt, name)
    if not hasattr(exported, "__qualname__"):
        return
    if hasattr(exported, "__match_args__"):
        get_type_hints(exported)
    else:
        assert f"{exported.__module__}.{exported.__qualname__}" == f"ckpt.{name}"


@pytest.mark.parametrize("module", ["ckpt_azure", "ckpt_gcs", "ckpt_json", "ckpt_local", "ckpt_s3"])
def test_a_handler_of_a_plugin_shows_its_public_path(module: str) -> None:
    exporting = importlib.import_module(module)
    handlers = [getattr(exporting, name) for name in exporting.__all__ if name.endswith("ResultHandler")]
    assert [handler.__module__ for handler in handlers] == [module]
