"""Many processes, SIGKILL, full and read-only disks, and the order of system calls: the promises about files hold.

Each fault is counted where it fires, and where a test could be blind a naive writer shows that it is not.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

START = """if True:
    import json, os, random, resource, signal, sys, time
    from pathlib import Path
    from ckpt.errors import *
    from ckpt_local import LocalStore
    from ckpt_local.drafts import NamedDraft, NamelessDraft

    class NaiveStore:
        def __init__(self, root):
            self.root = Path(root)
            self.root.mkdir(parents=True, exist_ok=True)
        def put(self, key, data):
            (self.root / key).write_bytes(data)
        def get(self, key):
            try:
                return (self.root / key).read_bytes()
            except FileNotFoundError:
                raise NotFound(key)

    def opened(root, kind, durability="os"):
        if kind == "naive":
            return NaiveStore(root)
        store = LocalStore(root, durability=durability)
        store._kind = {"nameless": NamelessDraft, "named": NamedDraft}[kind]
        return store

    def whole(data):
        return len(data) == SIZE and len(set(data)) == 1

    def forked(work):
        child = os.fork()
        if child == 0:
            try:
                work()
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        return child

    SIZE = 300_000
"""


def ran(program: str, *arguments: str | Path, before: tuple[str, ...] = ()) -> str:
    """What a new process printed that runs `program` after START."""
    command = [*before, sys.executable, "-c", START + program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


MANY = """
    root, kind = sys.argv[1:]
    store = opened(root, kind)
    store.put("key", b"a" * SIZE)

    def write(letter):
        for _ in range(12):
            store.put("key", letter * SIZE)

    def read():
        torn = seen = 0
        while not os.path.exists(root + ".done"):
            data = store.get("key")
            seen += 1
            torn += not whole(data)
        os.write(report, b"%d %d\\n" % (torn, seen))

    answers, report = os.pipe()
    readers = [forked(read) for _ in range(2)]
    writers = [forked(lambda: write(bytes([97 + number]))) for number in range(16)]
    codes = [os.waitpid(child, 0)[1] for child in writers]
    open(root + ".done", "w").close()
    codes += [os.waitpid(child, 0)[1] for child in readers]
    os.close(report)
    torn, seen = map(sum, zip(*(map(int, line.split()) for line in open(answers))))
    print(json.dumps([codes, torn, seen, whole(store.get("key")), sorted(os.listdir(root))]))
"""


@pytest.mark.parametrize("kind", ["nameless", "named"])
def test_sixteen_processes_write_one_key_and_readers_see_whole_values(tmp_path: Path, kind: str) -> None:
    codes, torn, seen, last_is_whole, left = json.loads(ran(MANY, tmp_path / "root", kind))
    assert codes == [0] * 18
    assert seen > 10
    assert torn == 0
    assert last_is_whole
    assert left == ["key"]


def test_the_readers_would_see_a_torn_value(tmp_path: Path) -> None:
    _, torn, _, _, _ = json.loads(ran(MANY, tmp_path / "root", "naive"))
    assert torn > 0


def test_processes_make_the_same_folders_at_once(tmp_path: Path) -> None:
    program = """
    store = opened(sys.argv[1], "nameless", "disk")

    def work(number):
        for turn in range(5):
            store.put(f"{turn}/b/c/{number}", b"%d" % number)

    children = [forked(lambda: work(number)) for number in range(16)]
    print(json.dumps([os.waitpid(child, 0)[1] for child in children]))
    """
    assert json.loads(ran(program, tmp_path / "new/root")) == [0] * 16
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 80


KILLED = """
    root, kind = sys.argv[1:]
    store = opened(root, kind)

    def write(start):
        for number in range(start, 10**9):
            os.write(mark, b"(")
            store.put("key", bytes([97 + number % 26]) * SIZE)
            os.write(mark, b")")

    inside = torn = killed = 0
    random.seed(2)
    for turn in range(40):
        store.put("key", b"?" * SIZE)
        marks, mark = os.pipe()
        child = forked(lambda: write(turn))
        os.read(marks, 1)
        time.sleep(random.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        killed += os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        os.close(mark)
        seen = b""
        while piece := os.read(marks, 65536):
            seen += piece
        os.close(marks)
        inside += not seen.endswith(b")")
        torn += not whole(store.get("key"))
    listed = [info.key for info in store.list()] if kind != "naive" else None
    print(json.dumps([killed, inside, torn, listed, sorted(os.listdir(root))]))
"""


@pytest.mark.parametrize("kind", ["nameless", "named"])
def test_a_killed_writer_leaves_the_old_value_or_the_new(tmp_path: Path, kind: str) -> None:
    killed, inside, torn, listed, left = json.loads(ran(KILLED, tmp_path / "root", kind))
    assert killed == 40
    assert inside >= 10, "too few processes died in the middle of a put to prove anything"
    assert torn == 0
    assert listed == ["key"]
    assert all(name == "key" or name.startswith(".ckpt-tmp-") for name in left)


def test_a_kill_would_tear_a_naive_write(tmp_path: Path) -> None:
    _, _, torn, _, _ = json.loads(ran(KILLED, tmp_path / "root", "naive"))
    assert torn > 0


def test_a_child_of_fork_opens_its_own_folders_and_waits_for_no_thread_of_its_parent(tmp_path: Path) -> None:
    program = """
    store = opened(sys.argv[1], "nameless", "disk")
    store.put("a/key", b"parent")
    folder = store._folders.open(b"a", make=False)
    with store._folders._lock, folder._lock:  # as a thread of the parent has them while it puts
        def work():
            signal.alarm(10)
            store.put("a/key", b"child")
            assert store._folders.open(b"a", make=False) is not folder
        code = os.waitpid(forked(work), 0)[1]
    store.put("a/other", b"parent")
    print(json.dumps([code, store.get("a/key").decode(), store.get("a/other").decode()]))
    """
    assert json.loads(ran(program, tmp_path)) == [0, "child", "parent"]


FULL = """
    root = sys.argv[1]
    store = opened(root, sys.argv[2], sys.argv[3])
    store.put("key", b"old")
    prepare()
    before = set(os.listdir(root))
    big = os.urandom(1_040_000)  # less than one slice: the system writes a part of it and says how much

    def stream():
        with store.open_write("key") as writer:
            writer.write(big)
            writer.commit()

    def batch():
        big_answer, small_answer = store.put_many([("key", big), ("small", b"small")])
        assert small_answer is None and store.get("small") == b"small", small_answer
        store.delete("small")
        raise big_answer

    said = []
    for write in (lambda: store.put("key", big), stream, batch):
        try:
            write()
        except StoreUnavailable as error:
            said.append(str(error))
        assert store.get("key") == b"old"
        assert set(os.listdir(root)) == before
    print(json.dumps(said))
"""


@pytest.mark.parametrize("kind", ["nameless", "named"])
@pytest.mark.parametrize("durability", ["disk", "os"])
def test_a_full_disk_leaves_the_old_value_and_says_what_to_do(tmp_path: Path, kind: str, durability: str) -> None:
    program = "\n    def prepare(): pass\n" + FULL
    root = tmp_path / "mounted"
    root.mkdir()
    said = json.loads(ran(program, root, kind, durability, before=mounted(root, "size=900k")))
    assert len(said) == 3
    assert all("'key'" in text and "no space left: free some" in text for text in said)


def test_a_limit_on_the_size_of_files_leaves_the_old_value(tmp_path: Path) -> None:
    program = "\n    def prepare(): resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n" + FULL
    said = json.loads(ran(program, tmp_path / "root", "nameless", "disk"))
    assert len(said) == 3
    assert all("ulimit -f" in text for text in said)


def mounted(root: Path, options: str, then: str = "") -> tuple[str, ...]:
    """The start of a command that has a new file system at `root`, of its own and in need of no rights."""
    script = f'mount -t tmpfs -o {options} tmpfs "{root}" && {then} exec "$@"'
    return ("unshare", "-Urm", "sh", "-c", script, "sh")


REFUSED = """
    from ckpt_local import LocalResultHandler
    root = sys.argv[1]
    store = LocalStore(root)
    prepare()
    said = []
    def batch(): raise store.put_many([("a/key", b"")])[0]
    for use in (lambda: store.put("a/key", b""), lambda: store.put("new/key", b""), lambda: store.open_write("key"),
                lambda: store.delete("a/key"), batch, store.check, LocalResultHandler(root).for_run,
                LocalResultHandler(root + "/below").for_run, *reads(store)):
        try:
            use()
        except AccessDenied as error:
            said.append(str(error))
    print(json.dumps(said))
"""


def test_a_read_only_disk_is_refused_by_name_and_still_read(tmp_path: Path) -> None:
    program = """
    def prepare():
        assert store.get("a/key") == b"old" and [info.key for info in store.list()] == ["a/key"]
    def reads(store): return []
    """
    then = f'mkdir "{tmp_path}/a" && printf old > "{tmp_path}/a/key" && mount -o remount,ro "{tmp_path}" &&'
    said = json.loads(ran(program + REFUSED, tmp_path, before=mounted(tmp_path, "size=1m", then)))
    assert len(said) == 8
    assert all(str(tmp_path) in text and "Read-only" in text for text in said)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are for one user."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_of_somebody_else_is_refused_which_is_not_the_same_as_missing(public: Path) -> None:
    program = """
    def prepare():
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
    def reads(store):
        return [lambda: store.get("a/key"), lambda: store.head("a/key"), lambda: store.head("missing"),
                lambda: store.open_read("a/key"), lambda: list(store.list()), lambda: list(store.list("a/"))]
    """
    closed = public / "closed"
    closed.mkdir()
    closed.chmod(0o000)
    said = json.loads(ran(program + REFUSED, closed))
    closed.chmod(0o700)
    assert len(said) == 14
    assert all(str(closed) in text and "Permission denied" in text for text in said)


# What SIGKILL cannot show, since the page cache survives it, the order of the system calls does.

TRACED = """
    root = sys.argv[1]
    store = opened(root, sys.argv[2], sys.argv[3])
    def marked(what, act):
        act()
        os.write(1, f"acknowledged {what}\\n".encode())
    def stream(key):
        with store.open_write(key) as writer:
            writer.write(b"streamed")
            writer.commit()
    marked("put", lambda: store.put("a/b/put", b"value"))
    marked("second", lambda: store.put("a/b/second", b"value"))
    marked("replaced", lambda: store.put("a/b/put", b"value"))
    marked("batch", lambda: store.put_many([("a/b/one", b"1"), ("c/two", b"2"), ("a/b/three", b"3")]))
    marked("stream", lambda: stream("d/streamed"))
"""
CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)", re.MULTILINE)
FILE = re.compile(r"\d+<([^<>]*)>")


def traced(tmp_path: Path, *arguments: str, inject: str | None = None) -> tuple[str, list[tuple[str, str, int]]]:
    """What the program printed, and its system calls on files: name, arguments, result."""
    strace = shutil.which("strace")
    assert strace is not None, "strace is missing, and this test needs it: apt-get install strace"
    log = tmp_path / "trace"
    calls = "fdatasync,fsync,linkat,rename,renameat,renameat2,mkdirat,mkdir,write"
    command = (strace, "-f", "-y", "-o", str(log), "-e", f"trace={calls}", *(("-e", inject) if inject else ()))
    printed = ran(TRACED if inject is None else INJECTED, tmp_path / "top/root", *arguments, before=command)
    return printed, [(name, rest, int(code)) for name, rest, code in CALL.findall(log.read_text())]


@pytest.mark.parametrize("kind", ["nameless", "named"])
def test_file_then_name_then_folders_are_on_disk_before_a_put_is_acknowledged(tmp_path: Path, kind: str) -> None:
    top, root = str(tmp_path / "top"), str(tmp_path / "top/root")
    at = {"put": f"{root}/a/b", "second": f"{root}/a/b", "replaced": f"{root}/a/b", "stream": f"{root}/d"}
    new = {"put": {f"{root}/a", root, top, str(tmp_path)}, "batch": {root}, "stream": {root}}
    folders: dict[str, set[str]] = {key: {path} for key, path in at.items()} | {"batch": {f"{root}/a/b", f"{root}/c"}}
    acknowledged = []
    since: list[tuple[str, str]] = []
    for name, rest, code in traced(tmp_path, kind, "disk")[1]:
        if name == "write" and (mark := re.search(r'"acknowledged (\w+)', rest)):
            what = mark[1]
            acknowledged.append(what)
            order = [name for name, _ in since]
            naming = "linkat" if kind == "nameless" else "renameat"
            files = 3 if what == "batch" else 1
            assert order.count("fdatasync") == files
            named = [number for number, name in enumerate(order) if name.startswith(naming)]
            synced = [number for number, name in enumerate(order) if name == "fdatasync"]
            assert len(named) >= files
            assert all(file < name for file, name in zip(synced, named, strict=False))
            after = [FILE.findall(rest)[0] for name, rest in since[named[-1] :] if name == "fsync"]
            assert set(after) >= folders[what] | new.get(what, set())
            assert len(after) == len(set(after))
            since = []
        elif code == 0 and name != "write":
            since.append((name, rest))
    assert acknowledged == ["put", "second", "replaced", "batch", "stream"]


def test_durability_os_waits_for_nothing(tmp_path: Path) -> None:
    _, calls = traced(tmp_path, "nameless", "os")
    assert sum("acknowledged" in rest for _, rest, _ in calls) == 5
    assert [name for name, _, _ in calls if name in ("fsync", "fdatasync")] == []


INJECTED = """
    store = LocalStore(sys.argv[1])
    for turn in range(3):
        try:
            store.put("key", b"%d" % turn)
            os.write(1, b"kept ")
        except StoreUnavailable as error:
            os.write(1, b"failed ")
        os.write(1, str(store.head("key").size if os.path.exists(sys.argv[1] + "/key") else None).encode() + b" ")
"""


def test_a_failed_sync_of_a_file_gives_no_name_and_is_not_tried_again(tmp_path: Path) -> None:
    printed, calls = traced(tmp_path, inject="inject=fdatasync:error=EIO:when=1")
    assert printed.split() == ["failed", "None", "kept", "1", "kept", "1"]
    assert [code for name, _, code in calls if name == "fdatasync"] == [-1, 0, 0]
    # One name proves that O_TMPFILE works here and goes again; the failed put gives none.
    first = [name for name, _, _ in calls].index("fdatasync")
    second = [name for name, _, _ in calls].index("fdatasync", first + 1)
    assert "linkat" not in [name for name, _, _ in calls[first:second]]


def test_a_failed_sync_of_a_folder_fails_the_put(tmp_path: Path) -> None:
    printed, calls = traced(tmp_path, inject="inject=fsync:error=EIO:when=1")
    assert printed.split() == ["failed", "1", "kept", "1", "kept", "1"]
    assert next(code for name, _, code in calls if name == "fsync") == -1
