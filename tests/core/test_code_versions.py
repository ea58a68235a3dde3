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


HEAD = "import functools\nfrom ckpt import Task, task\n"

SAME = {
    "a comment": ("@task\ndef t(x):\n    return x + 1\n", "@task\ndef t(x):\n    # why\n    return x + 1  # what\n"),
    "a docstring": (
        "@task\ndef t(x):\n    return x + 1\n",
        '@task\ndef t(x):\n    """One more."""\n    return x + 1\n',
    ),
    "a docstring alone": ("@task\ndef t(x):\n    pass\n", '@task\ndef t(x):\n    """Nothing."""\n    pass\n'),
    "layout": (
        "@task\ndef t(x):\n    return (x + 1)\n",
        "@task\ndef t( x ):\n\n    return (\n        x\n        + 1\n    )\n",
    ),
    "another place": ("@task\ndef t(x):\n    return x + 1\n", "import os\n\n\n\n@task\ndef t(x):\n    return x + 1\n"),
    "settings": (
        "@task\ndef t(x):\n    return x + 1\n",
        "@task(name='other', max_retries=3, checkpoint=False, cache=True)\ndef t(x):\n    return x + 1\n",
    ),
    "quotes": ("@task\ndef t(x):\n    return 'a'\n", '@task\ndef t(x):\n    return "a"\n'),
    "what is not reached": ("A = 1\n@task\ndef t(x):\n    return x\n", "A = 2\n@task\ndef t(x):\n    return x\n"),
    "a function that is not reached": (
        "def helper():\n    return 1\n@task\ndef t(x):\n    return x\n",
        "def helper():\n    return 2\n@task\ndef t(x):\n    return x\n",
    ),
    "a helper's comment": (
        "def helper():\n    return 1\n@task\ndef t(x):\n    return helper()\n",
        "def helper():\n    # one\n    return 1\n@task\ndef t(x):\n    return helper()\n",
    ),
    "a method's docstring": (
        "class A:\n    def f(self):\n        return 1\n@task\ndef t(x):\n    return A().f()\n",
        "class A:\n    '''An A.'''\n    def f(self):\n        '''One.'''\n        return 1\n@task\ndef t(x):\n    return A().f()\n",
    ),
    "state of the module": (
        "seen = []\n@task\ndef t(x):\n    seen.append(x)\n",
        "seen = [1]\n@task\ndef t(x):\n    seen.append(x)\n",
    ),
    "another order of a set": (
        "A = {'a', 'b', 'c'}\n@task\ndef t(x):\n    return x in A\n",
        "A = {'c', 'b', 'a'}\n@task\ndef t(x):\n    return x in A\n",
    ),
    "settings of a subclass": (
        "class T(Task):\n    def run(self, x):\n        return x\nt = T()\n",
        "class T(Task):\n    def run(self, x):\n        return x\nt = T(max_retries=2, name='u')\n",
    ),
    "a comment in a lambda's line": ("t = task(lambda x: x + 1)\n", "t = task(lambda x: x + 1)  # one more\n"),
}

OTHER = {
    "the function": ("@task\ndef t(x):\n    return x + 1\n", "@task\ndef t(x):\n    return x + 2\n"),
    "a type of a constant": ("@task\ndef t(x):\n    return 1\n", "@task\ndef t(x):\n    return 1.0\n"),
    "true for one": ("@task\ndef t(x):\n    return 1\n", "@task\ndef t(x):\n    return True\n"),
    "a default": ("@task\ndef t(x=1):\n    return x\n", "@task\ndef t(x=2):\n    return x\n"),
    "a default by name": ("A = 1\n@task\ndef t(x=A):\n    return x\n", "A = 2\n@task\ndef t(x=A):\n    return x\n"),
    "a keyword's default": ("@task\ndef t(*, x=1):\n    return x\n", "@task\ndef t(*, x=2):\n    return x\n"),
    "a constant": ("A = 1\n@task\ndef t(x):\n    return A\n", "A = 2\n@task\ndef t(x):\n    return A\n"),
    "a constant table": (
        "A = {'a': [1]}\n@task\ndef t(x):\n    return A\n",
        "A = {'a': [2]}\n@task\ndef t(x):\n    return A\n",
    ),
    "a helper": (
        "def helper():\n    return 1\n@task\ndef t(x):\n    return helper()\n",
        "def helper():\n    return 2\n@task\ndef t(x):\n    return helper()\n",
    ),
    "a helper's constant": (
        "A = 1\ndef helper():\n    return A\n@task\ndef t(x):\n    return helper()\n",
        "A = 2\ndef helper():\n    return A\n@task\ndef t(x):\n    return helper()\n",
    ),
    "a helper inside": (
        "@task\ndef t(x):\n    def inner():\n        return helper()\n    return inner()\ndef helper():\n    return 1\n",
        "@task\ndef t(x):\n    def inner():\n        return helper()\n    return inner()\ndef helper():\n    return 2\n",
    ),
    "a method": (
        "class A:\n    def f(self):\n        return 1\n@task\ndef t(x):\n    return A().f()\n",
        "class A:\n    def f(self):\n        return 2\n@task\ndef t(x):\n    return A().f()\n",
    ),
    "a method of a base": (
        "class B:\n    def f(self):\n        return 1\nclass A(B):\n    pass\n@task\ndef t(x):\n    return A().f()\n",
        "class B:\n    def f(self):\n        return 2\nclass A(B):\n    pass\n@task\ndef t(x):\n    return A().f()\n",
    ),
    "a class attribute": (
        "class A:\n    n = 1\n@task\ndef t(x):\n    return A.n\n",
        "class A:\n    n = 2\n@task\ndef t(x):\n    return A.n\n",
    ),
    "a closure": (
        "def make(n):\n    @task\n    def t(x):\n        return x * n\n    return t\nt = make(1)\n",
        "def make(n):\n    @task\n    def t(x):\n        return x * n\n    return t\nt = make(2)\n",
    ),
    "a closure's function": (
        "def make(f):\n    @task\n    def t(x):\n        return f(x)\n    return t\ndef one(x):\n    return 1\nt = make(one)\n",
        "def make(f):\n    @task\n    def t(x):\n        return f(x)\n    return t\ndef one(x):\n    return 2\nt = make(one)\n",
    ),
    "a lambda": ("t = task(lambda x: x + 1)\n", "t = task(lambda x: x + 2)\n"),
    "the second lambda of a line": (
        "s, t = task(lambda x: 1), task(lambda x: x + 1)\n",
        "s, t = task(lambda x: 1), task(lambda x: x + 2)\n",
    ),
    "a partial's argument": (
        "def f(a, x):\n    return a + x\nt = task(name='t')(functools.partial(f, 1))\n",
        "def f(a, x):\n    return a + x\nt = task(name='t')(functools.partial(f, 2))\n",
    ),
    "a partial's function": (
        "def f(a, x):\n    return a + x\nt = task(name='t')(functools.partial(f, 1))\n",
        "def f(a, x):\n    return a - x\nt = task(name='t')(functools.partial(f, 1))\n",
    ),
    "a partial that is reached": (
        "def f(a, x):\n    return a + x\ng = functools.partial(f, 1)\n@task\ndef t(x):\n    return g(x)\n",
        "def f(a, x):\n    return a + x\ng = functools.partial(f, 2)\n@task\ndef t(x):\n    return g(x)\n",
    ),
    "a callable object's method": (
        "class A:\n    def __call__(self, x):\n        return 1\nt = task(name='t')(A())\n",
        "class A:\n    def __call__(self, x):\n        return 2\nt = task(name='t')(A())\n",
    ),
    "a callable object's state": (
        "class A:\n    def __init__(self, n):\n        self.n = n\n    def __call__(self, x):\n        return self.n\n"
        "t = task(name='t')(A(1))\n",
        "class A:\n    def __init__(self, n):\n        self.n = n\n    def __call__(self, x):\n        return self.n\n"
        "t = task(name='t')(A(2))\n",
    ),
    "a bound method": (
        "class A:\n    def f(self, x):\n        return 1\nt = task(name='t')(A().f)\n",
        "class A:\n    def f(self, x):\n        return 2\nt = task(name='t')(A().f)\n",
    ),
    "configuration": (
        "class T(Task):\n    def __init__(self, n):\n        super().__init__()\n        self.n = n\n"
        "    def run(self, x):\n        return self.n\nt = T(1)\n",
        "class T(Task):\n    def __init__(self, n):\n        super().__init__()\n        self.n = n\n"
        "    def run(self, x):\n        return self.n\nt = T(2)\n",
    ),
    "configuration beside a version": (
        "class T(Task):\n    def __init__(self, n):\n        super().__init__(version='1')\n        self.n = n\n"
        "    def run(self, x):\n        return self.n\nt = T(1)\n",
        "class T(Task):\n    def __init__(self, n):\n        super().__init__(version='1')\n        self.n = n\n"
        "    def run(self, x):\n        return self.n\nt = T(2)\n",
    ),
    "a method of a task's base": (
        "class B(Task):\n    def help(self):\n        return 1\nclass T(B):\n    def run(self, x):\n        return self.help()\nt = T()\n",
        "class B(Task):\n    def help(self):\n        return 2\nclass T(B):\n    def run(self, x):\n        return self.help()\nt = T()\n",
    ),
    "a decorator": (
        "def twice(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(f(x))\n    return g\n@task\n@twice\ndef t(x):\n    return x + 1\n",
        "def twice(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(x)\n    return g\n@task\n@twice\ndef t(x):\n    return x + 1\n",
    ),
    "what is decorated": (
        "def twice(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(f(x))\n    return g\n@task\n@twice\ndef t(x):\n    return x + 1\n",
        "def twice(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(f(x))\n    return g\n@task\n@twice\ndef t(x):\n    return x + 2\n",
    ),
    "a decorated helper": (
        "def same(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(x)\n    return g\n@same\ndef helper(x):\n    return 1\n"
        "@task\ndef t(x):\n    return helper(x)\n",
        "def same(f):\n    @functools.wraps(f)\n    def g(x):\n        return f(x)\n    return g\n@same\ndef helper(x):\n    return 2\n"
        "@task\ndef t(x):\n    return helper(x)\n",
    ),
    "a cached helper": (
        "@functools.lru_cache\ndef helper(x):\n    return 1\n@task\ndef t(x):\n    return helper(x)\n",
        "@functools.lru_cache\ndef helper(x):\n    return 2\n@task\ndef t(x):\n    return helper(x)\n",
    ),
    "another task that is called": (
        "@task\ndef helper(x):\n    return 1\n@task\ndef t(x):\n    return helper(x)\n",
        "@task\ndef helper(x):\n    return 2\n@task\ndef t(x):\n    return helper(x)\n",
    ),
    "a recursive function": (
        "@task\ndef t(x):\n    return f(x)\ndef f(x):\n    return g(x)\ndef g(x):\n    return f(x - 1) if x else 1\n",
        "@task\ndef t(x):\n    return f(x)\ndef f(x):\n    return g(x)\ndef g(x):\n    return f(x - 1) if x else 2\n",
    ),
    "an async function": ("@task\nasync def t(x):\n    return 1\n", "@task\nasync def t(x):\n    return 2\n"),
    "a dataclass's field": (
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 1\n@task\ndef t(x):\n    return A()\n",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int = 2\n@task\ndef t(x):\n    return A()\n",
    ),
    "an enum's member": (
        "import enum\nclass A(enum.Enum):\n    N = 1\n@task\ndef t(x):\n    return A.N.value\n",
        "import enum\nclass A(enum.Enum):\n    N = 2\n@task\ndef t(x):\n    return A.N.value\n",
    ),
    "the version": ("@task(version='1')\ndef t(x):\n    return 1\n", "@task(version='2')\ndef t(x):\n    return 1\n"),
    "the function of a version": (
        "@task(version='1')\ndef t(x):\n    return 1\n",
        "@task(version='1')\ndef u(x):\n    return 1\nt = u\n",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_what_changes_no_value_does_not_count(name: str, package: Package) -> None:
    before, after = SAME[name]
    assert package(HEAD + before) == package(HEAD + after) is not None


@pytest.mark.parametrize("name", OTHER)
def test_what_can_change_a_value_counts(name: str, package: Package) -> None:
    before, after = OTHER[name]
    found = package(HEAD + before)
    assert found is not None
    assert found != package(HEAD + after)
    assert found == package(HEAD + before)


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
