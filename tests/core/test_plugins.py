"""Plugins as they really are: distributions with metadata in a folder, found by another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ckpt import installed

HANDLER = """
from ckpt.handlers import ResultHandler
from ckpt.plugins import hookimpl_marker

class {cls}(ResultHandler):
    storage_type = {type!r}
    schemes = {schemes!r}

    def __init__(self, place="", *, retries: int = 1):
        self.place, self.retries = place, retries

    def write(self, value, *, key=None):
        return key

    def read(self, location):
        return location

    @classmethod
    def from_storage(cls, storage):
        return cls(storage.netloc, **storage.options_for(cls))

    def to_spec(self):
        return {{"type": self.storage_type, "place": self.place}}

@hookimpl_marker()
def ckpt_result_handlers():
    return [{cls}]
"""

HOOK = "from ckpt.plugins import hookimpl_marker\n\n@hookimpl_marker()\n"


class Site:
    """A folder of throw-away distributions, and processes that see it."""

    def __init__(self, root: Path) -> None:
        self.root = root / "site"
        self.work = root / "work"
        self.root.mkdir()
        self.work.mkdir()

    def install(self, distribution: str, code: str, entry_point: str | None = None, version: str = "1.2.3") -> None:
        """Write a package and its metadata; the entry point is `ckpt-x`'s `x` unless it is given."""
        package = distribution.replace("-", "_")
        (self.root / f"{package}.py").write_text(dedent(code))
        self.describe(distribution, f"{entry_point or distribution.removeprefix('ckpt-')} = {package}", version)

    def describe(self, distribution: str, entry_points: str = "", version: str = "1.2.3") -> None:
        info = self.root / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[ckpt]\n{entry_points}\n")

    def handler(self, distribution: str, cls: str, type: str, *schemes: str, entry_point: str | None = None) -> None:
        self.install(distribution, HANDLER.format(cls=cls, type=type, schemes=schemes), entry_point)

    def run(self, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run code in a process of its own; `tell(callable)` in it prints an error's class and message."""
        program = (
            "import sys\n"
            "from ckpt import config, plugins\nfrom ckpt.storage import Storage\n\n"
            "def tell(ask):\n    try:\n        print(ask())\n"
            "    except Exception as error:\n        print(type(error).__name__ + ':', error)\n\n" + dedent(code)
        )
        env = {**os.environ, "PYTHONPATH": str(self.root), "HOME": str(self.work), **variables}
        del env["CKPT__LEDGER__ENABLED"]  # a section of a plugin has the plugins looked for
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.work,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def lines_about(name: str, text: str) -> list[str]:
    return [line for line in text.splitlines() if name in line]


def test_a_stranger_s_handler_is_found_by_type_scheme_spec_storage_and_class_name(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape", "reel", "spool")
    (site.work / "ckpt.toml").write_text("[storage.tape]\nretries = 5\n")
    done = site.run(
        """
        import pickle
        from ckpt.result_handlers import TapeHandler
        import ckpt.result_handlers
        assert plugins.handler_class("tape") is plugins.handler_class("spool") is TapeHandler
        assert plugins.handler_classes()["tape"] is TapeHandler and "reel" not in plugins.handler_classes()
        assert "TapeHandler" in dir(ckpt.result_handlers)
        handler = plugins.match(Storage.parse("reel://box?retries=7"), config.load())
        print(handler, handler.retries, plugins.match(Storage.parse("reel://box"), config.load()).retries)
        again = plugins.handler_from_spec(handler.to_spec())
        assert again is plugins.handler_from_spec({"place": "box", "type": "tape"})
        print(again, again is not handler)
        """
    )
    assert done.stdout.splitlines() == ["TapeHandler(place='box') 7 5", "TapeHandler(place='box') True"]


def test_nothing_is_imported_before_it_is_needed(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    site.run(
        """
        heavy = {"pluggy", "importlib_metadata", "cloudpickle", "asyncio", "tomllib", "ckpt_tape"}
        import ckpt.result_handlers, ckpt.hookspecs
        config.load(), Storage.parse("s3://x?y=1"), hasattr(ckpt.result_handlers, "__path__")
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        plugins.handler_class("tape")
        assert {"pluggy", "importlib_metadata", "ckpt_tape"} <= set(sys.modules)
        """
    )


def test_the_listing_needs_metadata_and_settings_alone(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    site.handler("ckpt-disc", "DiscHandler", "disc")
    site.describe("ckpt-gone", "gone = ckpt_gone.inner:thing", "0.5")
    (site.work / "ckpt.toml").write_text('[plugins]\nblock = ["disc"]\n')
    done = site.run(
        """
        for each in plugins.found():
            if each.entry_point in ("tape", "disc", "gone"):
                print(each.entry_point, each.value, each.distribution, each.version, each.would_load, each.why)
        assert not {"pluggy", "ckpt_tape", "ckpt_disc"} & set(sys.modules)
        """
    )
    disc, gone, tape = done.stdout.splitlines()
    assert tape == "tape ckpt_tape ckpt-tape 1.2.3 True "
    assert disc == f"disc ckpt_disc ckpt-disc 1.2.3 False blocked by plugins.block ({site.work / 'ckpt.toml'})"
    assert gone.startswith("gone ckpt_gone.inner:thing ckpt-gone 0.5 False its package is not there")
    assert done.stderr == ""


def test_what_is_not_installed_is_named_with_its_pip_line(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    done = site.run(
        """
        for name in ("ftp", "hdfs", "sftp", "tap"):
            tell(lambda: plugins.handler_class(name))
        tell(lambda: plugins.handler_from_spec({"type": "ftp", "bucket": "b"}))
        tell(lambda: plugins.match(Storage.parse("hdfs://bucket"), config.load()))
        tell(lambda: plugins.executor_class("dask"))
        tell(lambda: plugins.serializer_class("msgpack"))
        """,
        CKPT__PLUGINS__ONLY="tape",
    )
    said = done.stdout.splitlines()
    assert all(line.startswith("PluginNotFound: no installed plugin serves the ") for line in said)
    for line, package in zip(said, ["ftp", "hdfs", "sftp", "tap", "ftp", "hdfs", "dask", "msgpack"], strict=True):
        assert f"pip install ckpt-{package} (installed: " in line
    assert "installed: tape" in said[0]
    assert "did you mean 'tape'" in said[3]
    assert "executor 'dask'" in said[6]
    assert "installed: pickle" in said[7]


@pytest.mark.parametrize(
    ("name", "distribution"), [("gs", "ckpt-gcs"), ("az", "ckpt-azure"), ("file", "ckpt-local"), ("ftp", "ckpt-ftp")]
)
def test_a_name_leads_to_the_distribution_that_serves_it(name: str, distribution: str) -> None:
    assert installed.distribution_for(name) == distribution


def test_the_core_s_own_serializer_needs_no_plugin(site: Site) -> None:
    done = site.run('print(plugins.serializer_class("pickle").__name__, "pluggy" in sys.modules)')
    assert done.stdout == "PickleSerializer False\n"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import a_missing_sdk", "ModuleNotFoundError: No module named 'a_missing_sdk'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit('no')", "SystemExit: no"),
        (HOOK + "def ckpt_resulthandlers():\n    return []\n", "unknown hook 'ckpt_resulthandlers'"),
        (HOOK + "def ckpt_run_started(the_run):\n    pass\n", "the_run"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_reported_once_and_left_out(site: Site, code: str, cause: str) -> None:
    site.install("ckpt-broken", code)
    site.handler("ckpt-tape", "TapeHandler", "tape")
    done = site.run(
        """
        print(plugins.handler_class("tape").__name__)
        tell(lambda: plugins.handler_class("broken"))
        tell(lambda: plugins.handler_class("other"))
        plugins.listeners("ckpt_run_started")
        """
    )
    tape, broken, other = done.stdout.splitlines()
    assert tape == "TapeHandler"
    (warning,) = lines_about("plugin 'broken'", done.stderr)
    assert "ckpt-broken 1.2.3" in warning
    assert "CKPT__PLUGINS__BLOCK=broken" in warning
    assert broken.startswith("PluginBroken: ")
    assert "ckpt-broken 1.2.3" in broken
    assert other.startswith("PluginNotFound: ")
    assert "left out: broken of ckpt-broken 1.2.3" in other
    assert all(cause in text for text in (done.stderr, done.stdout))


def test_two_plugins_that_claim_one_type_or_scheme_are_refused_by_name(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape", "reel")
    site.handler("tape-too", "OtherHandler", "tape")
    site.handler("ckpt-film", "FilmHandler", "film", "reel")
    done = site.run(
        """
        for name in ("tape", "reel", "film"):
            tell(lambda: plugins.handler_class(name))
        print(sorted({"tape", "film"} & set(plugins.handler_classes())))
        """
    )
    tape, reel, film, classes = done.stdout.splitlines()
    assert tape.startswith("PluginBroken: the storage type 'tape' is claimed by ckpt-tape 1.2.3 and tape-too 1.2.3")
    assert "CKPT__PLUGINS__BLOCK" in tape
    assert reel.startswith("PluginBroken: the storage type 'reel' is claimed by ckpt-film 1.2.3 and ckpt-tape 1.2.3")
    assert film == "<class 'ckpt_film.FilmHandler'>"
    assert classes == "['film']"
    done = site.run('print(plugins.handler_class("tape"))', CKPT__PLUGINS__BLOCK="tape-too")
    assert done.stdout == "<class 'ckpt_tape.TapeHandler'>\n"


def test_two_distributions_with_one_entry_point_name_are_both_named_and_neither_imported(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    site.handler("tape-too", "OtherHandler", "other", entry_point="tape")
    done = site.run(
        """
        tell(lambda: plugins.handler_class("tape"))
        assert not {"ckpt_tape", "tape_too"} & set(sys.modules)
        print([each.why for each in plugins.found() if each.entry_point == "tape"])
        """
    )
    refused, listed = done.stdout.splitlines()
    assert refused.startswith("PluginBroken: ")
    for text in (refused, listed, done.stderr):
        assert "claimed by ckpt-tape 1.2.3 and tape-too 1.2.3: uninstall one" in text


def test_only_and_block_choose_by_entry_point_name(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    site.handler("ckpt-disc", "DiscHandler", "disc")
    ask = """
        tell(lambda: plugins.handler_class("tape").__name__)
        tell(lambda: plugins.handler_class("disc").__name__)
        print(sorted({"ckpt_tape", "ckpt_disc"} & set(sys.modules)))
        """
    tape, disc, imported = site.run(ask, CKPT__PLUGINS__ONLY="tape").stdout.splitlines()
    assert (tape, imported) == ("TapeHandler", "['ckpt_tape']")
    assert disc.startswith("PluginNotFound: ")
    assert "ckpt-disc 1.2.3, which is installed but left out: not among plugins.only" in disc
    assert "environment variable CKPT__PLUGINS__ONLY" in disc
    tape, disc, imported = site.run(ask, CKPT__PLUGINS__BLOCK="tape").stdout.splitlines()
    assert (disc, imported) == ("DiscHandler", "['ckpt_disc']")
    assert "blocked by plugins.block (environment variable CKPT__PLUGINS__BLOCK)" in tape


def test_a_misspelt_name_in_only_or_block_is_said(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    done = site.run('print(plugins.handler_class("tape").__name__)', CKPT__PLUGINS__BLOCK="tpae")
    assert done.stdout == "TapeHandler\n"
    assert "plugins.block names 'tpae'" in done.stderr


def test_a_section_belongs_to_the_plugin_whose_entry_point_has_its_name_without_importing_it(site: Site) -> None:
    site.handler("ckpt-tape-deck", "TapeHandler", "tape")
    (site.work / "ckpt.toml").write_text("[tape-deck]\nspeed = 3\n")
    done = site.run(
        """
        settings = config.load()
        print(dict(settings.section("tape-deck")), settings.setting("tape-deck.side").source)
        assert not {"pluggy", "ckpt_tape_deck"} & set(sys.modules)
        """,
        CKPT__TAPE_DECK__SIDE="b",
    )
    assert done.stdout == "{'speed': 3, 'side': 'b'} environment variable CKPT__TAPE_DECK__SIDE\n"


def test_the_unrelated_distribution_of_our_import_name_is_noticed(site: Site) -> None:
    site.describe("ckpt", version="0.3.0")
    done = site.run('plugins.handler_classes(); plugins.listeners("ckpt_run_started")')
    (said,) = lines_about("unrelated", done.stderr)
    assert "ckpt 0.3.0" in said
    assert "pip uninstall ckpt, then pip install --force-reinstall ckpt-core" in said


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("return None", "must return a list, not None"),
        ("return [dict]", "subclasses of ResultHandler, not <class 'dict'>"),
        ("return [ResultHandler()]", "abstract"),
        ("return [Half]", "Half lacks read, write"),
        ("return [Nameless]", "storage_type"),
        ("raise SystemExit('no')", "SystemExit: no"),
    ],
)
def test_a_hook_that_answers_wrongly_is_reported_once_and_its_plugin_named(site: Site, body: str, cause: str) -> None:
    site.install(
        "ckpt-broken",
        f"""
from ckpt.handlers import ResultHandler
from ckpt.plugins import hookimpl_marker

class Half(ResultHandler):
    storage_type = "half"

class Nameless(ResultHandler):
    def write(self, value, *, key=None): ...
    def read(self, location): ...

@hookimpl_marker()
def ckpt_result_handlers():
{indent(body, "    ")}
""",
    )
    site.handler("ckpt-tape", "TapeHandler", "tape")
    done = site.run(
        """
        print(plugins.handler_class("tape").__name__)
        tell(lambda: plugins.handler_class("broken"))
        plugins.handler_classes()
        class Progress: pass
        plugins.register(Progress())
        plugins.handler_classes()
        """
    )
    tape, broken = done.stdout.splitlines()
    assert tape == "TapeHandler"
    assert broken.startswith("PluginBroken: ")
    assert "ckpt-broken 1.2.3" in broken
    (warning,) = lines_about("plugin 'broken'", done.stderr)
    assert cause in warning
    assert "ckpt-broken 1.2.3" in warning


def test_events_reach_plugins_and_registered_objects_which_may_leave_arguments_out(site: Site) -> None:
    site.install("ckpt-ear", HOOK + "def ckpt_task_changed(record):\n    print('ear', record)\n")
    done = site.run(
        """
        mark = plugins.hookimpl_marker()

        class Progress:
            @mark
            def ckpt_task_changed(self, run, record):
                print("progress", run, record)

            @mark
            def ckpt_run_ended(self):
                print("ended")

        progress = Progress()
        plugins.register(progress)
        for listener in plugins.listeners("ckpt_task_changed"):
            listener(run="run 1", record="record 1")
        for listener in plugins.listeners("ckpt_run_ended"):
            listener(run="run 1", state="Success")
        plugins.unregister(progress)
        plugins.unregister(progress)
        print(len(plugins.listeners("ckpt_run_ended")))
        """,
        CKPT__PLUGINS__ONLY="ear",
    )
    assert done.stdout.splitlines() == ["progress run 1 record 1", "ear record 1", "ended", "0"]


def test_a_listener_that_raises_is_reported_once_and_not_told_again(site: Site) -> None:
    site.install("ckpt-ear", HOOK + "def ckpt_task_changed(record):\n    print('told')\n    raise OSError('deaf')\n")
    done = site.run(
        """
        first = plugins.listeners("ckpt_task_changed")
        for listener in first * 3:
            listener(run=1, record=2)
        print(len(plugins.listeners("ckpt_task_changed")))
        """,
        CKPT__PLUGINS__ONLY="ear",
    )
    assert done.stdout.splitlines() == ["told", "0"]
    (warning,) = lines_about("deaf", done.stderr)
    assert "ckpt-ear 1.2.3" in warning
    assert "ckpt_task_changed: OSError: deaf" in warning


def test_an_object_whose_hooks_do_not_exist_is_refused_and_leaves_no_trace(site: Site) -> None:
    done = site.run(
        """
        mark = plugins.hookimpl_marker()

        class Wrong:
            @mark
            def ckpt_run_start(self): ...
            @mark
            def ckpt_run_ended(self): ...

        tell(lambda: plugins.register(Wrong()))
        print(len(plugins.listeners("ckpt_run_ended")))
        """,
        CKPT__PLUGINS__ONLY="none",
    )
    refused, count = done.stdout.splitlines()
    assert refused.startswith("PluginBroken: ")
    assert "ckpt_run_start" in refused
    assert count == "0"


def test_docker_is_known_to_keep_no_values(site: Site) -> None:
    done = site.run('print(plugins.match(Storage.parse("docker"), config.load()))')
    assert done.stdout == "None\n"
    (warning,) = lines_about("docker storage", done.stderr)
    assert "flows.storage" in warning


def test_a_wrong_option_names_the_file_it_stands_in(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape", "reel")
    (site.work / "ckpt.toml").write_text("[storage.tape]\nretrys = 5\n")
    done = site.run('tell(lambda: plugins.match(Storage.parse("reel://box"), config.load()))')
    assert done.stdout.startswith("ConfigError: unknown option 'retrys' of tape storage: did you mean 'retries'?")
    assert str(site.work / "ckpt.toml") in done.stdout


def test_a_spec_that_the_installed_version_cannot_read_asks_for_another_version(site: Site) -> None:
    site.handler("ckpt-tape", "TapeHandler", "tape")
    done = site.run(
        """
        tell(lambda: plugins.handler_from_spec({"type": "tape", "colour": "red"}))
        tell(lambda: plugins.handler_from_spec({"place": "x"}))
        """
    )
    newer, typeless = done.stdout.splitlines()
    assert newer.startswith("ConfigError: ")
    assert "colour" in newer
    assert "pip install --upgrade ckpt-tape" in newer
    assert "'type'" in typeless


def test_a_handler_class_that_is_not_installed_is_an_import_error_with_the_pip_line(site: Site) -> None:
    site.handler("ckpt-tape", "TapeResultHandler", "tape")
    done = site.run(
        """
        from ckpt import result_handlers

        # As it is with the names of our own that are not installed.
        result_handlers._KNOWN.update(FTPResultHandler="ftp", TapeResultHandler="tape")

        def from_import(name):
            exec(f"from ckpt.result_handlers import {name}")

        for name in ("FTPResultHandler", "TapeResultHandler", "TapHandler", "nothing"):
            try:
                from_import(name)
            except ImportError as error:
                print(type(error).__name__, error)
        import ckpt.result_handlers
        print(hasattr(ckpt.result_handlers, "__wrapped__"), hasattr(ckpt.result_handlers, "nothing"))
        """,
        CKPT__PLUGINS__BLOCK="tape",
    )
    ftp, tape, tap, nothing, has = done.stdout.splitlines()
    assert ftp.startswith("MissingHandler FTPResultHandler is not there: ")
    assert "pip install ckpt-ftp" in ftp
    assert tape.startswith("MissingHandler TapeResultHandler is not there: ")
    assert "blocked by plugins.block" in tape
    assert tap.startswith("MissingHandler no installed plugin brings TapHandler")
    assert nothing.startswith("ImportError cannot import name 'nothing'")
    assert has == "False False"


def test_a_plugin_that_asks_for_other_plugins_while_it_is_imported_is_told_not_to(site: Site) -> None:
    site.install("ckpt-eager", "from ckpt.result_handlers import TapeHandler\n")
    site.handler("ckpt-tape", "TapeHandler", "tape")
    done = site.run('print(plugins.handler_class("tape").__name__)')
    assert done.stdout == "TapeHandler\n"
    assert "ask when it is first used" in done.stderr


def test_threads_and_forked_processes_share_what_is_loaded_once(site: Site) -> None:
    site.install("ckpt-tape", "print('imported')\n" + HANDLER.format(cls="TapeHandler", type="tape", schemes=()))
    done = site.run(
        """
        import os, threading
        threads = [threading.Thread(target=plugins.handler_class, args=("tape",)) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        sys.stdout.flush()
        held, release = threading.Event(), threading.Event()

        def hold():
            with plugins._here.lock:
                held.set()
                release.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        child = os.fork()
        if not child:
            print(plugins.handler_class("tape").__name__, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        release.set()
        """
    )
    assert done.stdout.splitlines() == ["imported", "TapeHandler"]


def test_reset_loads_anew_what_was_installed_since(site: Site) -> None:
    done = site.run(
        f"""
        tell(lambda: plugins.handler_class("tape").__name__)
        from pathlib import Path
        import importlib
        root = Path({str(site.root)!r})
        (root / "ckpt_tape.py").write_text({HANDLER.format(cls="TapeHandler", type="tape", schemes=())!r})
        info = root / "ckpt_tape-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Name: ckpt-tape\\nVersion: 1\\n")
        (info / "entry_points.txt").write_text("[ckpt]\\ntape = ckpt_tape\\n")
        importlib.invalidate_caches()
        plugins.reset()
        tell(lambda: plugins.handler_class("tape").__name__)
        """
    )
    assert done.stdout.splitlines()[1] == "TapeHandler"


SETTINGS = (
    "class Settings:\n"
    "    def __init__(self, url: str = '', every: int = 5):\n        self.url, self.every = url, every\n"
    "\n\nfrom ckpt import hookimpl\n\n@hookimpl\ndef ckpt_settings():\n    return [Settings]\n"
)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CKPT__DIARY__URL", "sqlite:///x", "loaded"),
        ("CKPT__DIARY__EVERY", "soon", "every"),
        ("CKPT__DIARY__ULR", "x", "'url'"),
        ("CKPT__MUTE__URL", "x", "plugin 'mute' has no settings"),
    ],
)
def test_a_plugin_s_section_is_checked_when_it_is_loaded(site: Site, name: str, value: str, said: str) -> None:
    site.install("ckpt-diary", SETTINGS, entry_point="diary")
    site.install("ckpt-mute", "", entry_point="mute")
    done = site.run(
        "from ckpt import plugins\n"
        "try:\n    plugins.listeners('ckpt_run_ended')\n    print('loaded')\n"
        "except ValueError as error:\n    print(type(error).__name__, error)\n",
        **{name: value},
    )
    assert said in done.stdout
    assert said == "loaded" or done.stdout.startswith("ConfigError"), done.stdout
