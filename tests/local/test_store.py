"""What a folder of files promises as an object store, in one process."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ckpt.errors import AccessDenied, AlreadyExists, CkptError, ConfigError, NotFound, StoreUnavailable, Unsupported
from ckpt_local.drafts import Draft, NamedDraft, NamelessDraft
from ckpt_local.store import Durability, LocalStore

TEMPORARY = ".ckpt-tmp-1-left-by-a-killed-process"


@pytest.fixture(params=["disk", "os"])
def durability(request: pytest.FixtureRequest) -> Durability:
    return request.param


@pytest.fixture(params=[NamelessDraft, NamedDraft])
def kind(request: pytest.FixtureRequest) -> type[Draft]:
    """With O_TMPFILE, and as on a file system that lacks it."""
    return request.param


@pytest.fixture
def store(tmp_path: Path, durability: Durability, kind: type[Draft]) -> LocalStore:
    store = LocalStore(tmp_path / "root", durability=durability)
    store._kind = kind
    return store


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def uses(store: LocalStore) -> list[Callable[[str], object]]:
    return [store.get, store.head, store.open_read, store.open_write, store.delete, lambda key: store.put(key, b"")]


def open_files() -> int:
    gc.collect()  # what earlier tests have left is not to be closed in the middle of this one
    return len(list(Path("/proc/self/fd").iterdir()))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_put_is_a_plain_file_and_comes_back(store: LocalStore, tmp_path: Path) -> None:
    info = store.put("a/b/c.ckpt", b"value")
    assert (info.key, info.size) == ("a/b/c.ckpt", 5)
    assert store.get("a/b/c.ckpt") == b"value"
    with store.open_read("a/b/c.ckpt") as file:
        assert file.read() == b"value"
    assert files(tmp_path) == {"root/a/b/c.ckpt": b"value"}
    head = store.head("a/b/c.ckpt")
    assert (head.key, head.size) == ("a/b/c.ckpt", 5)
    assert head.modified is not None
    assert head.modified.timestamp() == pytest.approx((tmp_path / "root/a/b/c.ckpt").stat().st_mtime, abs=1e-3)


def test_a_second_put_replaces_and_leaves_nothing_beside(store: LocalStore, tmp_path: Path) -> None:
    for value in (b"old", b"", b"new"):
        store.put("a/key", value)
        assert store.get("a/key") == value
    store.put_many([("a/key", b"newer"), ("a/key", b"newest")])
    assert files(tmp_path / "root") == {"a/key": b"newest"}


def test_create_only_refuses_a_taken_key_and_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    store.put("key", b"first", overwrite=False)
    with pytest.raises(AlreadyExists, match="'key'"):
        store.put("key", b"second", overwrite=False)
    writer = store.open_write("key", overwrite=False)
    writer.write(b"third")
    with pytest.raises(AlreadyExists, match="'key'"):
        writer.commit()
    assert files(tmp_path / "root") == {"key": b"first"}


def test_a_batch_is_answered_for_each_in_order(store: LocalStore, tmp_path: Path) -> None:
    store.put("taken", b"")
    many = [(f"run/{number:04d}", b"%d" % number) for number in range(150)]
    answers = store.put_many([*many, ("../out", b""), ("taken/below", b""), ("last", b"last")])
    assert answers[:150] == [None] * 150
    assert [type(answer) for answer in answers[150:]] == [ConfigError, ConfigError, type(None)]
    assert files(tmp_path / "root") == {**dict(many), "taken": b"", "last": b"last"}


def test_every_kind_of_buffer_is_written_as_its_bytes(store: LocalStore) -> None:
    array = np.arange(12.0).reshape(3, 4)
    for data, expected in [
        (bytearray(b"ab"), b"ab"),
        (memoryview(array), array.tobytes()),
        (memoryview(b"abcdef")[::2], b"ace"),
        (pickle.PickleBuffer(np.asfortranarray(array)), array.T.tobytes()),
    ]:
        assert store.put("key", data).size == len(expected)
        assert store.get("key") == expected
        with store.open_write("streamed") as writer:
            writer.write(data)
            writer.commit()
        assert store.get("streamed") == expected


def test_a_streamed_object_is_unseen_until_it_is_committed(store: LocalStore) -> None:
    store.put("a/key", b"old")
    piece = bytes(range(256)) * 6000
    with store.open_write("a/key") as writer:
        writer.write(piece)
        writer.write(b"end")
        assert store.get("a/key") == b"old"
        assert [info.key for info in store.list()] == ["a/key"]
        assert writer.commit().size == len(piece) + 3
    writer.abort()
    assert store.get("a/key") == piece + b"end"
    with pytest.raises(Unsupported, match="a/key"):
        writer.commit()


def test_an_aborted_object_leaves_no_trace(store: LocalStore, tmp_path: Path) -> None:
    store.put("key", b"old")
    with store.open_write("key") as writer:
        writer.write(b"half")
    forgotten = store.open_write("other")
    forgotten.write(b"half")
    del forgotten
    assert files(tmp_path / "root") == {"key": b"old"}


def test_nothing_under_a_key_is_said_so(store: LocalStore) -> None:
    for read in (store.get, store.head, store.open_read):
        with pytest.raises(NotFound, match=r"'missing' in .*root"):
            read("missing")
    store.put("a/b", b"")
    for key in ("a", "a/c", "b/a", "a/b/c"):
        for read in (store.get, store.head, store.open_read):
            with pytest.raises(NotFound, match=repr(key)):
                read(key)
        store.delete(key)
    assert store.get("a/b") == b""


def test_reading_makes_no_folder(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    with pytest.raises(NotFound):
        store.get("a/b")
    assert list(store.list()) == []
    store.delete("a/b")
    assert list(tmp_path.iterdir()) == []


def test_listing_gives_every_key_that_begins_so(store: LocalStore) -> None:
    keys = {"a", "ab/1", "ab/2/x", "abc", "b/ab", "b/\N{SNOWMAN}", "c d/\n", ".hidden", "back\\slash"}
    for key in keys:
        store.put(key, key.encode())
    for prefix in ["", "a", "ab", "ab/", "ab/2", "b/\N{SNOWMAN}", ".", "c", "nothing", "ab/2/x/", "a/"]:
        found = list(store.list(prefix))
        assert {info.key for info in found} == {key for key in keys if key.startswith(prefix)}, prefix
        assert all(info.size == len(info.key.encode()) and info.modified for info in found)
    for prefix in ["/", "../", "a//", "ab/../", "\ud800", "./", "x" * 300]:
        assert list(store.list(prefix)) == []


def test_listing_is_lazy_and_outlives_deletions(store: LocalStore) -> None:
    store.put_many([(f"{number % 7}/{number}", b"") for number in range(70)])
    listed = store.list()
    next(listed)
    store.delete_many([info.key for info in store.list()])
    assert len(list(listed)) < 69


def test_files_on_their_way_are_invisible_and_harmless(store: LocalStore, tmp_path: Path) -> None:
    store.put("a/key", b"value")
    (tmp_path / "root/a" / TEMPORARY).write_bytes(b"half")
    (tmp_path / "root" / os.fsdecode(b"no-utf-8-\xff")).write_bytes(b"")
    assert [info.key for info in store.list()] == ["a/key"]
    for use in (store.get, store.head, lambda key: store.put(key, b"")):
        with pytest.raises(ConfigError, match=r"\.ckpt-tmp-"):
            use("a/" + TEMPORARY)
    store.put("a/key", b"new")
    assert store.get("a/key") == b"new"


def test_deleting_the_last_value_removes_the_empty_folders(store: LocalStore, tmp_path: Path) -> None:
    for key in ("a/b/c/1", "a/b/c/2", "a/other"):
        store.put(key, b"")
    store.delete("a/b/c/1")
    store.delete("a/b/c/1")
    assert set(files(tmp_path / "root")) == {"a/b/c/2", "a/other"}
    store.delete("a/b/c/2")
    assert [path.name for path in (tmp_path / "root/a").iterdir()] == ["other"]
    store.put("a/b/c/3", b"again")
    assert store.get("a/b/c/3") == b"again"
    store.delete_many(["a/b/c/3", "missing", "a/other"])
    assert list((tmp_path / "root").iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "/a", "//a", "a/", "a//b", ".", "..", "a/.", "../a", "a/../b", "a/..", "./a", "a\0b", "a\0/b"),
        *("\ud800", "a/\udcff", "x" * 256, "a/" + "x" * 256 + "/b", "\N{SNOWMAN}" * 86),
    ],
)
def test_a_key_that_no_file_could_bear_is_refused(tmp_path: Path, key: str) -> None:
    store = LocalStore(tmp_path / "root")
    for use in uses(store):
        with pytest.raises(ConfigError, match="cannot be kept as a file"):
            use(key)
    (answer,) = store.put_many([(key, b"")])
    assert isinstance(answer, ConfigError)
    assert files(tmp_path) == {}


def test_odd_keys_that_are_accepted_never_meet(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root", durability="os")
    keys = ["a\\b", "a b", " a", "a ", "a.", "...", "a:b", "~", "$HOME", "%2e%2e", "*", "e\u0301", "\u00e9", "-rf"]
    keys += ["a\nb", "x" * 255, "/".join(["deep" * 50] * 30)]
    for number, key in enumerate(keys):
        store.put(key, b"%d" % number)
    assert [store.get(key) for key in keys] == [b"%d" % number for number in range(len(keys))]
    assert sorted(info.key for info in store.list()) == sorted(keys)


def test_a_key_below_another_is_refused_and_harms_neither(store: LocalStore) -> None:
    store.put("a", b"file")
    store.put("b/c", b"file")
    for key in ("a/x", "a/x/y", "b"):
        with pytest.raises(ConfigError, match=repr(key)):
            store.put(key, b"")
        with pytest.raises(ConfigError, match=repr(key)), store.open_write(key) as writer:
            writer.commit()
    assert {info.key for info in store.list()} == {"a", "b/c"}


def test_no_symbolic_link_leads_out(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.put("a/b/key", b"value")
    root = tmp_path / "root"
    (root / "link").symlink_to(outside)
    (root / "a/link").symlink_to("../../outside")
    (root / "a/b/loop").symlink_to("loop")
    (root / "a/b/dangling").symlink_to(outside / "made")
    (root / "a/b/file").symlink_to(outside / "secret")

    for key in ("link/secret", "a/link/secret", "link/new", "a/b/loop/x"):
        for use in uses(store):
            with pytest.raises(AccessDenied, match="symbolic link"):
                use(key)
    for key in ("a/b/file", "a/b/dangling", "a/b/loop"):
        for read in (store.get, store.head, store.open_read):
            with pytest.raises(AccessDenied, match="symbolic link"):
                read(key)
    assert [info.key for info in store.list()] == ["a/b/key"]

    store.put("a/b/file", b"replaced")
    store.put("a/b/dangling", b"replaced")
    store.delete("a/b/loop")
    assert store.get("a/b/file") == b"replaced"
    assert files(outside) == {"secret": b"secret"}
    assert not (root / "a/b/file").is_symlink()


def test_the_root_may_be_or_lie_behind_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    for root in (tmp_path / "link", tmp_path / "link/below", tmp_path / "link/new"):
        LocalStore(root).put("key", b"value")
        assert LocalStore(root).get("key") == b"value"
    (tmp_path / "nowhere").symlink_to("missing")
    with pytest.raises(ConfigError, match="missing"):
        LocalStore(tmp_path / "nowhere").put("key", b"value")


def test_a_link_to_nothing_above_the_root_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="link is a symbolic link to nothing: make '.*nothing'"):
        LocalStore(tmp_path / "link/a/root").put("key", b"")


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for store in (LocalStore(tmp_path / "file"), LocalStore(tmp_path / "file/below")):
        with pytest.raises(ConfigError, match="file"):
            store.check()
        with pytest.raises(ConfigError, match="file"):
            store.put("key", b"")


def test_a_named_pipe_in_the_place_of_a_value_does_not_hang_the_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    store = LocalStore(tmp_path)
    for read in (store.get, store.open_read, store.head):
        with pytest.raises(AccessDenied, match="no regular file"):
            read("pipe")


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_only_the_owner_may_read_whatever_the_umask(store: LocalStore, tmp_path: Path, umask: None, mask: int) -> None:
    os.umask(mask)
    store.put("a/b/put", b"")
    store.put("a/b/put", b"replaced")
    store.put_many([("a/b/batch", b"")])
    with store.open_write("a/b/streamed") as writer:
        writer.commit()
    os.umask(0o022)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"root": 0o700, "a": 0o700, "b": 0o700, "put": 0o600, "batch": 0o600, "streamed": 0o600}


def test_a_folder_deleted_under_us_is_made_again(store: LocalStore, tmp_path: Path) -> None:
    for gone in ("root", "root/a", "root/a/b"):
        store.put("a/b/old", b"old")
        writer = store.open_write("a/b/old")
        shutil.rmtree(tmp_path / gone)
        with pytest.raises(NotFound):
            store.get("a/b/old")
        assert list(store.list("a/b/")) == []
        store.put("a/b/new", b"new")
        assert store.get("a/b/new") == b"new"
        shutil.rmtree(tmp_path / gone)
        assert store.put_many([("a/b/many", b"many")]) == [None]
        assert files(tmp_path / "root") == {"a/b/many": b"many"}
        if store._kind is NamelessDraft:  # a file with a temporary name went with the folder
            writer.commit()
            assert store.get("a/b/old") == b""
        writer.abort()


def test_a_folder_made_anew_by_others_is_read(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    store.put("a/key", b"old")
    shutil.rmtree(tmp_path / "root/a")
    LocalStore(tmp_path / "root").put("a/key", b"new")
    assert store.get("a/key") == b"new"
    assert [info.key for info in store.list("a/")] == ["a/key"]


def test_few_folders_are_kept_open(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root", durability="os")
    before = open_files()
    for number in range(300):
        store.put(f"{number}/x/key", b"%d" % number)
    assert open_files() - before <= 70
    assert [store.get(f"{number}/x/key") for number in range(300)] == [b"%d" % number for number in range(300)]
    del store
    assert open_files() == before


def test_many_threads_put_at_once_in_folders_that_are_made_and_deleted(store: LocalStore) -> None:
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                key = f"shared/{turn % 3}/{number}"
                store.put(key, b"%d" % number)
                assert store.get(key) == b"%d" % number
                store.delete(key)
        except BaseException as error:  # noqa: BLE001  reported by the test's own thread
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert list(store.list()) == []


def test_puts_that_wait_for_a_folder_share_its_next_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.put("run/first", b"")
    real, synced, first, release = os.fsync, [], threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        if len(synced) == 1:
            first.set()
            assert release.wait(30)
        real(fd)

    monkeypatch.setattr(os, "fsync", slow)
    threads = [threading.Thread(target=store.put, args=(f"run/{number}", b"")) for number in range(16)]
    threads[0].start()
    assert first.wait(30)
    for thread in threads[1:]:
        thread.start()
    # Each has its name, and comes to the folder's sync right after.
    pause = threading.Event()
    while len(list((tmp_path / "run").iterdir())) < 17:
        pause.wait(0.001)
    pause.wait(0.05)
    release.set()
    for thread in threads:
        thread.join()
    # The one that was running when they came covers none of them; those after it cover many at once.
    assert set(synced) == {str(tmp_path / "run")}
    assert 2 <= len(synced) < len(threads)


def test_a_failed_sync_of_the_folder_fails_the_puts_that_needed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)
    store.put("run/first", b"")
    real, failed = os.fsync, []

    def broken(fd: int) -> None:
        if not failed:
            failed.append(fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr(os, "fsync", broken)
    answers = store.put_many([("run/second", b""), ("other/third", b"")])
    assert [type(answer) for answer in answers] == [StoreUnavailable, type(None)]
    assert "'run/second'" in str(answers[0])
    failed.clear()
    with pytest.raises(StoreUnavailable, match="run/fourth"):
        store.put("run/fourth", b"")
    store.put("run/fourth", b"")
    assert store.get("run/fourth") == b""


def test_without_o_tmpfile_or_proc_a_temporary_name_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open
    refused = []

    def without(path: object, flags: int, *rest: object, **more: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            refused.append(path)
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", without)
    store = LocalStore(tmp_path)
    store.put("a/key", b"old")
    store.put("a/key", b"new")
    with pytest.raises(AlreadyExists):
        store.put("a/key", b"newer", overwrite=False)
    assert len(refused) == 1
    assert files(tmp_path) == {"a/key": b"new"}


def test_no_error_of_the_system_gets_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        errno.EACCES: AccessDenied, errno.EPERM: AccessDenied, errno.EROFS: AccessDenied,
        errno.ENOSPC: StoreUnavailable, errno.EDQUOT: StoreUnavailable, errno.EIO: StoreUnavailable,
        errno.EMFILE: StoreUnavailable,
        errno.ENAMETOOLONG: ConfigError, errno.ENOTDIR: ConfigError, errno.ESTALE: StoreUnavailable,
        errno.ENOMEM: StoreUnavailable,
    }  # fmt: skip
    for code, kind in expected.items():
        store = LocalStore(tmp_path)
        store.put("a/key", b"")

        def broken(*_: object, code: int = code, **__: object) -> int:
            raise OSError(code, os.strerror(code))

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", broken)
            with pytest.raises(CkptError) as raised:
                store.put("a/key", b"")
        assert raised.type is kind, errno.errorcode[code]
        assert "'a/key'" in str(raised.value)
        assert str(tmp_path) in str(raised.value)
        assert isinstance(raised.value.__cause__, OSError)
        assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_a_disk_that_fails_while_a_file_is_read_is_an_error_of_ckpt() -> None:
    with LocalStore("/proc/self").open_read("mem") as source:  # opens, and cannot be read at its start
        for read in (source.read, lambda: source.read(5), lambda: source.readinto(bytearray(5))):  # type: ignore[attr-defined]
            with pytest.raises(StoreUnavailable, match="'mem' in /proc/self: the disk reported an error"):
                read()


def test_a_file_whose_mode_cannot_be_set_is_closed_and_gone(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("key", b"old")
    before = open_files()

    def broken(fd: int, mode: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", broken)
        with pytest.raises(StoreUnavailable):
            store.put("key", b"new")
    assert open_files() == before
    assert files(Path(store.dir)) == {"key": b"old"}


def test_a_file_of_a_batch_that_cannot_be_closed_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.put("key", b"")
    before, close, refusals = open_files(), os.close, iter([True])

    def refusing(fd: int) -> None:
        close(fd)
        if next(refusals, False):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "close", refusing)
        first, *others = store.put_many([(f"{number}", b"value") for number in range(5)])
    assert isinstance(first, StoreUnavailable)
    assert others == [None] * 4
    assert open_files() == before
