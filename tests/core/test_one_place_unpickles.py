"""Executing a pickle is executing code: it happens in one place, which sees nothing that is not verified."""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
THE_ONE_PLACE = "core/src/ckpt/serializers.py"

NEVER_IMPORTED = {"marshal", "shelve", "dill", "_pickle", "cPickle", "joblib", "jsonpickle", "dbm", "copy_reg"}
"""Modules whose every use reads pickles or code."""
PICKLING = {"pickle", "cloudpickle"}
ONLY_WRITING = {
    "BINBYTES", "BINBYTES8", "BYTEARRAY8", "HIGHEST_PROTOCOL", "NEXT_BUFFER", "PickleBuffer", "PickleError", "Pickler",
    "PicklingError", "READONLY_BUFFER", "UnpicklingError", "__version__", "dump", "dumps",
    "list_registry_pickle_by_value", "register_pickle_by_value", "unregister_pickle_by_value",
}  # fmt: skip
"""All of these modules that may be used elsewhere."""
UNPICKLE_BESIDE = {
    "Manager",
    "Pool",
    "ProcessPoolExecutor",
    "Queue",
    "SharedMemoryManager",
    "SimpleQueue",
    "JoinableQueue",
}
"""What of multiprocessing unpickles whatever arrives; of a pipe only `recv` does, which is looked for itself."""
METHODS = {"read_pickle", "from_pickle", "to_object", "recv"}


def violations(source: str) -> list[str]:
    """Every line of `source` that executes a pickle, or could without this test seeing it."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {(each.asname or each.name).split(".")[0]: each.name for each in node.names}
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = []
    for node in ast.walk(tree):
        reason = _reason(node, modules, parents)
        if reason:
            found.append(f"{node.lineno}: {reason}")  # type: ignore[attr-defined]
    return found


def _reason(node: ast.AST, modules: dict[str, str], parents: dict[ast.AST, ast.AST]) -> str | None:
    match node:
        case ast.Import():
            tops = {each.name.split(".")[0] for each in node.names}
            if tops & NEVER_IMPORTED or any(each.name.startswith("cloudpickle.") for each in node.names):
                return ast.unparse(node)
        case ast.ImportFrom(module=str(module)):
            top = module.split(".")[0]
            names = {each.name for each in node.names}
            if top in NEVER_IMPORTED or (top in PICKLING and names - ONLY_WRITING):
                return ast.unparse(node)
            if top in ("multiprocessing", "concurrent") and names & UNPICKLE_BESIDE:
                return ast.unparse(node)
        case ast.Name(id=name) if modules.get(name, "").split(".")[0] in PICKLING:
            parent = parents[node]
            if not (isinstance(parent, ast.Attribute) and parent.attr in ONLY_WRITING):
                return ast.unparse(parent)
        case ast.Attribute(attr=attr) if attr in UNPICKLE_BESIDE and "queue" not in ast.unparse(node.value):
            return ast.unparse(node)
        case ast.Call(func=ast.Attribute(attr=attr)) if attr in METHODS:
            # A socket's `recv` says how much; a connection's does not, and unpickles.
            if attr != "recv" or not node.args:
                return ast.unparse(node)
        case ast.Call(func=ast.Name(id="eval" | "exec" | "compile"), args=[ast.Constant(), *_]):
            # Code in a string is not looked through; compiled code is a person's own program.
            return ast.unparse(node)
        case ast.Call(func=ast.Name(id="__import__")):
            return ast.unparse(node)
        case ast.Call() if any(each.arg == "allow_pickle" for each in node.keywords):
            return ast.unparse(node)
        case ast.Constant(value=str(text)) if text in PICKLING | NEVER_IMPORTED and _is_import(parents[node]):
            return text
    return None


def _is_import(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "getattr"))


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in SOURCES if path != ROOT / THE_ONE_PLACE])
def test_no_other_module_executes_a_pickle(path: str) -> None:
    assert violations((ROOT / path).read_text()) == []


def test_the_one_place_is_one_function() -> None:
    source = (ROOT / THE_ONE_PLACE).read_text()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    [unpickle] = [node for node in functions if node.name == "unpickle"]
    lines = range(unpickle.lineno, (unpickle.end_lineno or 0) + 1)
    loads, reader = sorted(violations(source), key=lambda each: each.endswith("Unpickler"))
    assert int(loads.split(":")[0]) in lines
    assert reader.endswith("pickle.Unpickler"), "the class that `unpickle` reads with"


def test_every_source_is_looked_at() -> None:
    names = {str(path.relative_to(ROOT)) for path in SOURCES}
    assert {THE_ONE_PLACE, "core/src/ckpt/decoding.py", "core/src/ckpt/records.py"} <= names
    assert any(name.startswith("plugins/local/") for name in names)
    assert any(name.startswith("plugins/json/") for name in names)


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle\npickle.loads(b'')",
        "import pickle as p\np.load(f)",
        "import pickle\nread = pickle.loads",
        "import pickle\nclass U(pickle.Unpickler): pass",
        "import pickle\npickle._loads(b'')",
        "import pickle\ngetattr(pickle, 'lo' + 'ads')(b'')",
        "import pickle\nread(using=pickle)",
        "from pickle import loads",
        "from pickle import loads as l",
        "from pickle import *",
        "from pickle import Unpickler",
        "from pickle import dumps, _Unpickler",
        "def f():\n    from pickle import load",
        "import cloudpickle\ncloudpickle.loads(b'')",
        "import cloudpickle.cloudpickle",
        "from cloudpickle import load",
        "from cloudpickle.cloudpickle import pickle",
        "import _pickle",
        "from _pickle import loads",
        "import marshal",
        "import shelve",
        "import dill",
        "from joblib import load",
        "import joblib",
        "import numpy as np\nnp.load(f, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "connection.recv()",
        "from multiprocessing import Pool",
        "import multiprocessing\nmultiprocessing.Queue()",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor()",
        "import importlib\nimportlib.import_module('pickle')",
        "__import__('pickle')",
        "exec('import pickle')",
        "compile('import pickle', '', 'exec')",
    ],
)
def test_a_planted_unpickling_is_seen(planted: str) -> None:
    assert violations(planted)


def test_what_is_harmless_is_let_through() -> None:
    harmless = [
        "import pickle\npickle.dumps(1)\nisinstance(x, pickle.PickleBuffer)",
        "from pickle import PickleBuffer, dumps",
        "import json\njson.loads('1')",
        "connection.recv_bytes()",
        "from multiprocessing.connection import Pipe",
        "exec(code, module.__dict__)",
        "socket.recv(4096)",
        "import queue\nqueue.SimpleQueue()",
        "from queue import SimpleQueue\nSimpleQueue()",
        "from concurrent.futures import ThreadPoolExecutor",
    ]
    assert [text for text in harmless if violations(text)] == []
