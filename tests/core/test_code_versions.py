"""The version of a task's code: what changes it, what does not, and that every process finds the same one."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ckpt import Task
from ckpt.code_versions import CodeVersions

Package = Callable[..., str | None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """`package(source, **modules)`: the version of task `t` in `mine/flow.py`, beside other modules of that package."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("mine", "theirs")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def version(source: str, **modules: str) -> str | None:
        forget()
        for name, text in {"mine.__init__": "", "mine.flow": source, **modules}.items():
            file = tmp_path / f"{name.replace('.', '/').replace('__dot__', '/')}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(text))
        import linecache

        linecache.checkcache()
        return CodeVersions().of(importlib.import_module("mine.flow").t)

    yield version
    forget()


"""Per case a source, a text in it, and what takes its place; `t` is the task."""

HEAD = "import functools\nfrom ckpt import Task, task\n"

SAME: dict[str, tuple[str, str, str]] = {
    "a comment": (
        """
        @task
        def t(x):
            return x + 1
        """,
        "return x + 1",
        "# why\n    return x + 1  # what",
    ),
    "a docstring": (
        """
        @task
        def t(x):
            return x + 1
        """,
        "return x + 1",
        '"""One more."""\n    return x + 1',
    ),
    "a docstring alone": (
        """
        @task
        def t(x):
            pass
        """,
        "pass",
        '"""Nothing."""\n    pass',
    ),
    "layout": (
        """
        @task
        def t(x):
            return (x + 1)
        """,
        "def t(x):\n    return (x + 1)",
        "def t( x ):\n\n    return (\n        x\n        + 1\n    )",
    ),
    "another place": (
        """
        @task
        def t(x):
            return x + 1
        """,
        "@task",
        "import os\n\n\n\n@task",
    ),
    "settings": (
        """
        @task
        def t(x):
            return x + 1
        """,
        "@task",
        "@task(name='other', max_retries=3, checkpoint=False, cache=True)",
    ),
    "quotes": (
        """
        @task
        def t(x):
            return 'a'
        """,
        "return 'a'",
        'return "a"',
    ),
    "what is not reached": (
        """
        A = 1
        @task
        def t(x):
            return x
        """,
        "A = 1",
        "A = 2",
    ),
    "a function that is not reached": (
        """
        def helper():
            return 1
        @task
        def t(x):
            return x
        """,
        "return 1",
        "return 2",
    ),
    "a helper's comment": (
        """
        def helper():
            return 1
        @task
        def t(x):
            return helper()
        """,
        "return 1",
        "# one\n    return 1",
    ),
    "a method's docstring": (
        """
        class A:
            def f(self):
                return 1
        @task
        def t(x):
            return A().f()
        """,
        "def f(self):",
        "'''An A.'''\n    def f(self):\n        '''One.'''",
    ),
    "state of the module": (
        """
        seen = []
        @task
        def t(x):
            seen.append(x)
        """,
        "seen = []",
        "seen = [1]",
    ),
    "another order of a set": (
        """
        A = {'a', 'b', 'c'}
        @task
        def t(x):
            return x in A
        """,
        "A = {'a', 'b', 'c'}",
        "A = {'c', 'b', 'a'}",
    ),
    "settings of a subclass": (
        """
        class T(Task):
            def run(self, x):
                return x
        t = T()
        """,
        "t = T()",
        "t = T(max_retries=2, name='u')",
    ),
    "a comment in a lambda's line": (
        """
        t = task(lambda x: x + 1)
        """,
        "t = task(lambda x: x + 1)",
        "t = task(lambda x: x + 1)  # one more",
    ),
}

OTHER: dict[str, tuple[str, str, str]] = {
    "the function": (
        """
        @task
        def t(x):
            return x + 1
        """,
        "return x + 1",
        "return x + 2",
    ),
    "a type of a constant": (
        """
        @task
        def t(x):
            return 1
        """,
        "return 1",
        "return 1.0",
    ),
    "true for one": (
        """
        @task
        def t(x):
            return 1
        """,
        "return 1",
        "return True",
    ),
    "a default": (
        """
        @task
        def t(x=1):
            return x
        """,
        "def t(x=1):",
        "def t(x=2):",
    ),
    "a default by name": (
        """
        A = 1
        @task
        def t(x=A):
            return x
        """,
        "A = 1",
        "A = 2",
    ),
    "a keyword's default": (
        """
        @task
        def t(*, x=1):
            return x
        """,
        "def t(*, x=1):",
        "def t(*, x=2):",
    ),
    "a constant": (
        """
        A = 1
        @task
        def t(x):
            return A
        """,
        "A = 1",
        "A = 2",
    ),
    "a constant table": (
        """
        A = {'a': [1]}
        @task
        def t(x):
            return A
        """,
        "A = {'a': [1]}",
        "A = {'a': [2]}",
    ),
    "a helper": (
        """
        def helper():
            return 1
        @task
        def t(x):
            return helper()
        """,
        "return 1",
        "return 2",
    ),
    "a helper's constant": (
        """
        A = 1
        def helper():
            return A
        @task
        def t(x):
            return helper()
        """,
        "A = 1",
        "A = 2",
    ),
    "a helper inside": (
        """
        @task
        def t(x):
            def inner():
                return helper()
            return inner()
        def helper():
            return 1
        """,
        "return 1",
        "return 2",
    ),
    "a method": (
        """
        class A:
            def f(self):
                return 1
        @task
        def t(x):
            return A().f()
        """,
        "return 1",
        "return 2",
    ),
    "a method of a base": (
        """
        class B:
            def f(self):
                return 1
        class A(B):
            pass
        @task
        def t(x):
            return A().f()
        """,
        "return 1",
        "return 2",
    ),
    "a class attribute": (
        """
        class A:
            n = 1
        @task
        def t(x):
            return A.n
        """,
        "n = 1",
        "n = 2",
    ),
    "a closure": (
        """
        def make(n):
            @task
            def t(x):
                return x * n
            return t
        t = make(1)
        """,
        "t = make(1)",
        "t = make(2)",
    ),
    "a closure's function": (
        """
        def make(f):
            @task
            def t(x):
                return f(x)
            return t
        def one(x):
            return 1
        t = make(one)
        """,
        "return 1",
        "return 2",
    ),
    "a lambda": (
        """
        t = task(lambda x: x + 1)
        """,
        "t = task(lambda x: x + 1)",
        "t = task(lambda x: x + 2)",
    ),
    "the second lambda of a line": (
        """
        s, t = task(lambda x: 1), task(lambda x: x + 1)
        """,
        "s, t = task(lambda x: 1), task(lambda x: x + 1)",
        "s, t = task(lambda x: 1), task(lambda x: x + 2)",
    ),
    "a partial's argument": (
        """
        def f(a, x):
            return a + x
        t = task(name='t')(functools.partial(f, 1))
        """,
        "t = task(name='t')(functools.partial(f, 1))",
        "t = task(name='t')(functools.partial(f, 2))",
    ),
    "a partial's function": (
        """
        def f(a, x):
            return a + x
        t = task(name='t')(functools.partial(f, 1))
        """,
        "return a + x",
        "return a - x",
    ),
    "a partial that is reached": (
        """
        def f(a, x):
            return a + x
        g = functools.partial(f, 1)
        @task
        def t(x):
            return g(x)
        """,
        "g = functools.partial(f, 1)",
        "g = functools.partial(f, 2)",
    ),
    "a callable object's method": (
        """
        class A:
            def __call__(self, x):
                return 1
        t = task(name='t')(A())
        """,
        "return 1",
        "return 2",
    ),
    "a callable object's state": (
        """
        class A:
            def __init__(self, n):
                self.n = n
            def __call__(self, x):
                return self.n
        t = task(name='t')(A(1))
        """,
        "t = task(name='t')(A(1))",
        "t = task(name='t')(A(2))",
    ),
    "a bound method": (
        """
        class A:
            def f(self, x):
                return 1
        t = task(name='t')(A().f)
        """,
        "return 1",
        "return 2",
    ),
    "configuration": (
        """
        class T(Task):
            def __init__(self, n):
                super().__init__()
                self.n = n
            def run(self, x):
                return self.n
        t = T(1)
        """,
        "t = T(1)",
        "t = T(2)",
    ),
    "configuration beside a version": (
        """
        class T(Task):
            def __init__(self, n):
                super().__init__(version='1')
                self.n = n
            def run(self, x):
                return self.n
        t = T(1)
        """,
        "t = T(1)",
        "t = T(2)",
    ),
    "a method of a task's base": (
        """
        class B(Task):
            def help(self):
                return 1
        class T(B):
            def run(self, x):
                return self.help()
        t = T()
        """,
        "return 1",
        "return 2",
    ),
    "a decorator": (
        """
        def twice(f):
            @functools.wraps(f)
            def g(x):
                return f(f(x))
            return g
        @task
        @twice
        def t(x):
            return x + 1
        """,
        "return f(f(x))",
        "return f(x)",
    ),
    "what is decorated": (
        """
        def twice(f):
            @functools.wraps(f)
            def g(x):
                return f(f(x))
            return g
        @task
        @twice
        def t(x):
            return x + 1
        """,
        "return x + 1",
        "return x + 2",
    ),
    "a decorated helper": (
        """
        def same(f):
            @functools.wraps(f)
            def g(x):
                return f(x)
            return g
        @same
        def helper(x):
            return 1
        @task
        def t(x):
            return helper(x)
        """,
        "return 1",
        "return 2",
    ),
    "a cached helper": (
        """
        @functools.lru_cache
        def helper(x):
            return 1
        @task
        def t(x):
            return helper(x)
        """,
        "return 1",
        "return 2",
    ),
    "another task that is called": (
        """
        @task
        def helper(x):
            return 1
        @task
        def t(x):
            return helper(x)
        """,
        "return 1",
        "return 2",
    ),
    "a recursive function": (
        """
        @task
        def t(x):
            return f(x)
        def f(x):
            return g(x)
        def g(x):
            return f(x - 1) if x else 1
        """,
        "return f(x - 1) if x else 1",
        "return f(x - 1) if x else 2",
    ),
    "an async function": (
        """
        @task
        async def t(x):
            return 1
        """,
        "return 1",
        "return 2",
    ),
    "a dataclass's field": (
        """
        from dataclasses import dataclass
        @dataclass
        class A:
            n: int = 1
        @task
        def t(x):
            return A()
        """,
        "n: int = 1",
        "n: int = 2",
    ),
    "an enum's member": (
        """
        import enum
        class A(enum.Enum):
            N = 1
        @task
        def t(x):
            return A.N.value
        """,
        "N = 1",
        "N = 2",
    ),
    "the version": (
        """
        @task(version='1')
        def t(x):
            return 1
        """,
        "@task(version='1')",
        "@task(version='2')",
    ),
    "the function of a version": (
        """
        @task(version='1')
        def t(x):
            return 1
        """,
        "def t(x):\n    return 1",
        "def u(x):\n    return 1\nt = u",
    ),
}


def edited(source: str, old: str, new: str) -> tuple[str, str]:
    """A file before an edit and after it."""
    text = textwrap.dedent(source)
    assert text.count(old) == 1
    return HEAD + text, HEAD + text.replace(old, new)


@pytest.mark.parametrize("name", SAME)
def test_what_changes_no_value_does_not_count(name: str, package: Package) -> None:
    before, after = edited(*SAME[name])
    assert package(before) == package(after) is not None


@pytest.mark.parametrize("name", OTHER)
def test_what_can_change_a_value_counts(name: str, package: Package) -> None:
    before, after = edited(*OTHER[name])
    found = package(before)
    assert found is not None
    assert found != package(after)
    assert found == package(before)


@pytest.mark.parametrize(
    "reach",
    [
        "from mine.other import helper\n",
        "from .other import helper\n",
        "import mine.other\nhelper = mine.other.helper\n",
    ],
)
def test_a_helper_in_another_module_of_the_package_counts(reach: str, package: Package) -> None:
    source = f"{HEAD}{reach}@task\ndef t(x):\n    return helper(x)\n"
    helpers = ["A = 1\ndef helper(x):\n    return A\n", "A = 2\ndef helper(x):\n    return A\n"]
    assert package(source, **{"mine.other": helpers[0]}) != package(source, **{"mine.other": helpers[1]})


@pytest.mark.parametrize("call", ["other.helper(x)", "mine.other.helper(x)", "other.A"])
def test_what_is_reached_through_a_module_of_the_package_counts(call: str, package: Package) -> None:
    source = f"{HEAD}import mine.other\nfrom mine import other\n@task\ndef t(x):\n    return {call}\n"
    helpers = ["A = 1\ndef helper(x):\n    return A\n", "A = 2\ndef helper(x):\n    return A\n"]
    assert package(source, **{"mine.other": helpers[0]}) != package(source, **{"mine.other": helpers[1]})


def test_another_package_does_not_count(package: Package) -> None:
    source = f"{HEAD}import theirs\nfrom theirs import helper\n@task\ndef t(x):\n    return helper(x) + theirs.A\n"
    theirs = ["A = 1\ndef helper(x):\n    return 1\n", "A = 2\ndef helper(x):\n    return 2\n"]
    assert package(source, theirs=theirs[0]) == package(source, theirs=theirs[1]) is not None


def test_a_closure_over_what_has_no_bytes_has_no_version() -> None:
    import threading

    def make(lock: object) -> Task:
        from ckpt import task

        return task(name="t")(lambda: lock)

    assert CodeVersions().of(make(threading.Lock())) is None


FLOW = """
from __future__ import annotations
import enum, functools
from dataclasses import dataclass
from ckpt import Flow, Task, task
import neighbour

SCALE = {"a": [1, 2.5, None], "b": (True, "x")}
NAMES = {"one", "two", "three", "four"}

@dataclass
class Row:
    '''A row.'''
    n: int = 1

class Colour(enum.Enum):
    RED = 1

def factorial(n, *, base=1):
    return base if n < 2 else n * factorial(n - 1)

def loud(f):
    @functools.wraps(f)
    def inner(*args):
        return f(*args)
    return inner

class Scaled(Task):
    def __init__(self, by, **more):
        super().__init__(**more)
        self.by = by
    def run(self, x):
        return x * self.by

class Callable:
    def __init__(self, n):
        self.n = n
    def __call__(self, x):
        return x + self.n

@task
@loud
def plain(x):
    '''Doc.'''
    return factorial(x) + SCALE["a"][0] + len(NAMES) + neighbour.other(x) + Row().n + Colour.RED.value

@task(max_retries=2)
async def waits(x, row=Row(), colour=Colour.RED, names=NAMES):
    match x:
        case 1:
            return f"{x!r:>{3}}"
    try:
        found = [y for y in range(x) if (z := y)]
    except* ValueError:
        found = []
    return lambda a, /, b, *, c=1: found

def make(k, names):
    @task
    def closed(x):
        return x * k + len(names)
    return closed

TASKS = [plain, waits, make(3, NAMES), task(name="l")(lambda x: x + SCALE["a"][0]), Scaled(3), Scaled(4),
         task(name="p")(functools.partial(factorial, base=2)), task(name="c")(Callable(3)),
         task(name="m")(Callable(4).__call__), make(3, Row(2)), make(4, Colour.RED)]

with Flow("f") as flow:
    for each in TASKS:
        each(1)

if __name__ == "__main__":
    import json
    from ckpt.code_versions import CodeVersions
    versions = CodeVersions()
    print(json.dumps([versions.of(each) for each in TASKS]))
"""

NEIGHBOUR = "def other(x):\n    return x\n"

IMPORTED = """
import json
from ckpt.code_versions import CodeVersions
import the_flow
versions = CodeVersions()
print(json.dumps([versions.of(each) for each in the_flow.TASKS]))
"""

LOADED = """
import json
from ckpt.code_versions import CodeVersions
from ckpt.loading import load_flow
flow = load_flow("the_flow.py").flow
versions = CodeVersions()
print(json.dumps([versions.of(call.task) for call in flow.calls]))
"""


def versions(folder: Path, *command: str, python: str = sys.executable, seed: int = 0) -> list[str | None]:
    done = subprocess.run(
        [python, *command], cwd=folder, env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    found: list[str | None] = json.loads(done.stdout)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "the_flow.py").write_text(FLOW)
    (tmp_path / "neighbour.py").write_text(NEIGHBOUR)
    return tmp_path


def test_a_version_is_the_same_in_processes_with_other_hash_seeds(folder: Path) -> None:
    first = versions(folder, "the_flow.py", seed=1)
    assert None not in first
    assert len(set(first)) == len(first)
    assert versions(folder, "the_flow.py", seed=2) == first


def test_a_version_is_the_same_however_the_flow_is_loaded(folder: Path) -> None:
    run = versions(folder, "the_flow.py")
    assert versions(folder, "-c", IMPORTED) == run
    assert versions(folder, "-c", LOADED) == run


def test_a_module_beside_a_script_counts_and_one_that_is_installed_does_not(tmp_path: Path) -> None:
    script = (
        "import math\nimport beside_the_script\nfrom ckpt import task\nfrom ckpt.code_versions import CodeVersions\n"
    )
    script += "@task\ndef t(x):\n    return math.floor(beside_the_script.helper(x))\nprint(CodeVersions().of(t))\n"
    (tmp_path / "script.py").write_text(script)
    versions = []
    for body in ("return x + 1", "return x + 2", "return x + 1  # as before"):
        (tmp_path / "beside_the_script.py").write_text(f"def helper(x):\n    {body}\n")
        command = [sys.executable, "-B", str(tmp_path / "script.py")]
        versions.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert versions[0] == versions[2] != versions[1]
