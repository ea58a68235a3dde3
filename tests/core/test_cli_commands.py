"""The commands that look: `read`, `explain`, `config`, `plugins`, `completion`; and the command without its extra."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

FLOW = """
    from ckpt import Flow, Parameter, flow, task

    VALUES = {"number": 3, "text": "3", "lines": "a\\nb", "bytes": b"x" * 10, "accent": "caf\\xe9"}

    @task
    def make(kind):
        return VALUES.get(str(kind), kind)

    with Flow("values") as values:
        make(Parameter("kind"))

    @flow
    def built(day, limit=3):
        make(day)
"""


CKPT = str(Path(sys.executable).with_name("ckpt"))


class Desk:
    """A folder to work in, an empty home, and the real command in processes of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        home = root / "home"
        home.mkdir()
        foreign = ("CKPT__", "PYTHON", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_", "TERM")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env |= {"HOME": str(home), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env={**self.env, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def ckpt(self, *arguments: str, code: int | None = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command; it must end with `code`, and never with a traceback."""
        ran = self.run(CKPT, *arguments, **variables)
        assert code is None or ran.returncode == code, ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran

    @property
    def storage(self) -> str:
        return (self.root / "kept").as_uri()

    def kept(self, name: str) -> Path:
        """The file of the one value whose name matches."""
        [path] = (self.root / "kept").rglob(name)
        return path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def value(desk: Desk) -> Path:
    """The file of a kept dict."""
    desk.write("f.py", FLOW)
    return keep(desk, '{"a": [1, null], "b": "c"}')


def keep(desk: Desk, kind: str) -> Path:
    """Run the flow; answer the file of what its task made of `kind`."""
    before = set((desk.root / "kept").rglob("make-1.ckpt"))
    desk.ckpt("run", "f.py:values", "-p", f"kind={kind}", "--storage", desk.storage)
    [path] = set((desk.root / "kept").rglob("make-1.ckpt")) - before
    return path


class TestRead:
    def test_a_value_is_shown_as_python_writes_it(self, desk: Desk, value: Path) -> None:
        assert desk.ckpt("read", str(value)).stdout == "{'a': [1, None], 'b': 'c'}\n"

    @pytest.mark.parametrize(
        ("kind", "shown"), [("number", "3\n"), ("text", "'3'\n"), ("lines", "a\nb\n"), ("bytes", "b'xxxxxxxxxx'\n")]
    )
    def test_text_and_number_are_told_apart_and_lines_stay_lines(self, desk: Desk, kind: str, shown: str) -> None:
        desk.write("f.py", FLOW)
        assert desk.ckpt("read", str(keep(desk, kind))).stdout == shown

    def test_a_location_is_a_path_a_url_a_key_or_a_safe_value(self, desk: Desk, value: Path) -> None:
        key = str(value.relative_to(desk.root / "kept"))
        safe = json.dumps({"value": key, "handler": {"type": "local", "dir": str(desk.root / "kept")}})
        shown = desk.ckpt("read", str(value)).stdout
        assert desk.ckpt("read", value.as_uri()).stdout == shown
        assert desk.ckpt("read", key, CKPT__FLOWS__STORAGE=desk.storage).stdout == shown
        assert desk.ckpt("read", safe).stdout == shown

    def test_a_location_comes_from_another_command(self, desk: Desk) -> None:
        desk.write("f.py", FLOW)
        pick = "import json, sys; print(json.dumps(json.load(sys.stdin)['tasks'][-1]['safe_value']))"
        commands = (f"{CKPT} run f.py:values -p kind=number --json", f'{sys.executable} -c "{pick}"', f"{CKPT} read -")
        ran = desk.run("sh", "-c", " | ".join(commands), CKPT__FLOWS__STORAGE=desk.storage)
        assert ran.stdout == "3\n", ran.stderr

    def test_several_are_shown_under_their_names(self, desk: Desk, value: Path) -> None:
        shown = desk.ckpt("read", str(value), str(value)).stdout
        assert shown.count(f"== {value}\n{{'a': [1, None], 'b': 'c'}}\n") == 2

    def test_raw_is_every_byte(self, desk: Desk, value: Path) -> None:
        ran = subprocess.run([CKPT, "read", str(value), "--raw"], env=desk.env, capture_output=True, check=True)
        assert ran.stdout == value.read_bytes()
        assert pickle.loads(ran.stdout) == {"a": [1, None], "b": "c"}

    def test_into_a_file_whole_or_not_at_all(self, desk: Desk, value: Path) -> None:
        desk.ckpt("read", str(value), "-o", "copy.ckpt")
        assert (desk.root / "copy.ckpt").read_bytes() == value.read_bytes()
        names = set(desk.root.iterdir())
        desk.ckpt("read", str(desk.root / "nothing"), "-o", "copy.ckpt", code=2)
        desk.ckpt("read", str(value), "-o", "nowhere/copy.ckpt", code=1)
        no_room = desk.run("sh", "-c", f"ulimit -f 0; exec {CKPT} read {value} -o copy.ckpt")
        assert (no_room.returncode, "File too large" in no_room.stderr) == (1, True), no_room.stderr
        assert (desk.root / "copy.ckpt").read_bytes() == value.read_bytes()
        assert set(desk.root.iterdir()) == names

    def test_the_header_says_which_run_and_task_wrote_it(self, desk: Desk, value: Path) -> None:
        header = json.loads(desk.ckpt("read", str(value), "--meta", "--json").stdout)
        assert (header["call"], header["serializer"], header["run"]) == ("make-1", "pickle", value.parent.name)
        table = desk.ckpt("read", str(value), "--meta").stdout
        assert f"run           {value.parent.name}\n" in table

    def test_a_changed_byte_ends_with_1_and_one_line(self, desk: Desk, value: Path) -> None:
        data = bytearray(value.read_bytes())
        data[30] ^= 1
        value.write_bytes(data)
        for option in ([], ["--meta"]):
            ran = desk.ckpt("read", str(value), *option, code=1)
            assert ran.stdout == ""
            assert ran.stderr.startswith("error: ")
        desk.ckpt("read", str(value), "-o", "as-it-is")
        assert (desk.root / "as-it-is").read_bytes() == data

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["no/such/key.ckpt"], "set flows.storage"),
            (["ftp://host/key"], "pip install ckpt-ftp"),
            (["{not json"], "not a safe result in JSON"),
            (["x", "--json"], "--json goes with --meta"),
            (["x", "--meta", "--raw"], "take one of them"),
            (["x", "y", "--raw"], "take one LOCATION"),
            ([], "Missing argument"),
        ],
    )
    def test_what_cannot_be_read_says_why(self, desk: Desk, arguments: list[str], said: str) -> None:
        assert said in desk.ckpt("read", *arguments, code=2).stderr

    def test_a_reader_that_has_seen_enough_ends_it_silently(self, desk: Desk) -> None:
        desk.write("f.py", FLOW)
        path = keep(desk, json.dumps(list(range(20_000))))
        ran = desk.run("sh", "-c", f"{CKPT} read {path} | head -n 1")
        assert (ran.stdout, ran.stderr) == ("[\n", "")

    def test_text_that_stdout_cannot_hold_is_spelled_out(self, desk: Desk) -> None:
        desk.write("f.py", FLOW)
        path = keep(desk, "accent")
        assert desk.ckpt("read", str(path), PYTHONIOENCODING="ascii").stdout == "'caf\\xe9'\n"
        desk.ckpt("run", "--help", PYTHONIOENCODING="ascii")


class TestExplain:
    def test_a_table_of_tasks_handlers_and_levels_below_the_headline(self, desk: Desk) -> None:
        desk.write("f.py", FLOW)
        lines = desk.ckpt("explain", "f.py:values", "--storage", desk.storage).stdout.splitlines()
        assert lines[0].startswith("values: checkpointing is on: ")
        rows = [line.split() for line in lines[2:]]
        assert rows[0] == ["task", "handler", "level"]
        assert rows[1] == ["kind", "JSONResultHandler()", "parameter"]
        assert rows[2] == ["make-1", f"LocalResultHandler(dir='{desk.root}/kept')", "storage"]
        assert not (desk.root / "kept").exists()

    def test_as_json(self, desk: Desk) -> None:
        desk.write("f.py", FLOW)
        decision = json.loads(desk.ckpt("explain", "f.py:built", "--json", "--no-checkpointing").stdout)
        assert decision["on"] is False
        assert [each["id"] for each in decision["calls"]] == ["day", "limit", "make-1"]


class TestConfig:
    def test_each_value_has_its_source_and_credentials_are_hidden(self, desk: Desk) -> None:
        desk.write("ckpt.toml", '[flows]\nworkers = 3\n[storage.s3]\nsecret_key = "hush"\n')
        ran = desk.ckpt("config", CKPT__FLOWS__STORAGE="local")
        rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in ran.stdout.splitlines()}
        assert rows["flows.workers"] == ["3", str(desk.root / "ckpt.toml")]
        assert rows["flows.storage"] == ["local", "environment variable CKPT__FLOWS__STORAGE"]
        assert rows["flows.executor"] == ["local", "default"]
        assert rows["storage.s3.secret_key"][0] == "***"
        listed = {each["id"]: each for each in json.loads(desk.ckpt("config", "--json").stdout)}
        assert (listed["flows.workers"]["value"], listed["storage.s3.secret_key"]["value"]) == (3, "***")

    def test_one_key_with_what_it_means(self, desk: Desk) -> None:
        shown = desk.ckpt("config", "flows.storage").stdout
        assert shown == "flows.storage = -\nfrom: default\nWhere values are kept: a storage type or a URL.\n"
        assert "did you mean 'flows.storage'?" in desk.ckpt("config", "flows.storge", code=2).stderr

    def test_a_misspelt_section_is_told_and_hides_no_command(self, desk: Desk) -> None:
        desk.write("ckpt.toml", "[flow]\nworkers = 3\n")
        assert "did you mean [flows]?" in desk.ckpt("config", code=2).stderr
        assert "  run " in desk.ckpt("--help").stdout


class TestPlugins:
    @pytest.fixture
    def site(self, desk: Desk) -> str:
        """Two plugins: one that brings a command, one that cannot be imported."""
        desk.write(
            "site/ckpt_greet.py",
            """
            import click
            from pathlib import Path
            from ckpt import hookimpl

            Path("greet-was-imported").touch()

            @click.command(help="Greet somebody.")
            def greet():
                click.echo("hello")

            @hookimpl
            def ckpt_commands():
                return [greet]
        """,
        )
        desk.write("site/ckpt_broken.py", "raise RuntimeError('no good')\n")
        for name in ("greet", "broken"):
            info = f"site/ckpt_{name}-1.2.3.dist-info"
            desk.write(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: ckpt-{name}\nVersion: 1.2.3\n")
            desk.write(f"{info}/entry_points.txt", f"[ckpt]\n{name} = ckpt_{name}\n")
        return str(desk.root / "site")

    def test_are_listed_without_being_imported(self, desk: Desk, site: str) -> None:
        ran = desk.ckpt("plugins", PYTHONPATH=site, CKPT__PLUGINS__BLOCK="broken")
        rows = {line.split()[0]: line for line in ran.stdout.splitlines()}
        assert rows.keys() >= {"json", "local", "greet", "broken"}
        assert rows["greet"].split() == ["greet", "ckpt-greet", "1.2.3", "ckpt_greet", "loaded"]
        assert "left out: blocked by plugins.block (environment variable CKPT__PLUGINS__BLOCK)" in rows["broken"]
        assert not (desk.root / "greet-was-imported").exists()

    def test_as_json(self, desk: Desk, site: str) -> None:
        listed = json.loads(desk.ckpt("plugins", "--json", PYTHONPATH=site).stdout)
        [greet] = [each for each in listed if each["id"] == "greet"]
        assert (greet["distribution"], greet["version"], greet["would_load"]) == ("ckpt-greet", "1.2.3", True)

    def test_the_unrelated_ckpt_is_noticed(self, desk: Desk) -> None:
        desk.write("site/ckpt-9.dist-info/METADATA", "Metadata-Version: 2.1\nName: ckpt\nVersion: 9\n")
        assert "pip uninstall ckpt" in desk.ckpt("plugins", PYTHONPATH=str(desk.root / "site")).stderr

    def test_bring_commands_and_a_broken_one_hides_none(self, desk: Desk, site: str) -> None:
        shown = desk.ckpt("--help", PYTHONPATH=site)
        assert "  greet       Greet somebody.\n" in shown.stdout
        assert "  run " in shown.stdout
        assert "'broken' of ckpt-broken 1.2.3 is left out: RuntimeError: no good" in shown.stderr
        assert desk.ckpt("greet", PYTHONPATH=site).stdout == "hello\n"

    def test_cannot_take_the_place_of_a_command(self, desk: Desk) -> None:
        desk.write(
            "site/ckpt_taker.py",
            """
            import click
            from ckpt import hookimpl

            @hookimpl
            def ckpt_commands():
                return [click.Command("run", help="Taken.")]
        """,
        )
        desk.write("site/ckpt_taker-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: ckpt-taker\nVersion: 1\n")
        desk.write("site/ckpt_taker-1.dist-info/entry_points.txt", "[ckpt]\ntaker = ckpt_taker\n")
        ran = desk.ckpt("--help", PYTHONPATH=str(desk.root / "site"))
        assert "Taken." not in ran.stdout
        assert "its name is taken" in ran.stderr


class TestCompletion:
    @pytest.mark.parametrize(
        ("shell", "begins"),
        [("bash", "_ckpt_completion() {"), ("zsh", "#compdef ckpt"), ("fish", "function _ckpt_comp")],
    )
    def test_the_script_says_where_it_belongs(self, desk: Desk, shell: str, begins: str) -> None:
        script = desk.ckpt("completion", shell).stdout
        assert script.startswith(begins)
        assert f"ckpt completion {shell} > ~/." in script.splitlines()[-1] + script.splitlines()[-2]

    def test_bash_takes_the_script(self, desk: Desk) -> None:
        program = f'PATH={Path(CKPT).parent}:$PATH; eval "$(ckpt completion bash)"; complete -p ckpt'
        ran = desk.run("bash", "--norc", "-c", program)
        assert "_ckpt_completion ckpt" in ran.stdout, ran.stderr

    @pytest.mark.parametrize(
        ("words", "offered"),
        [
            (["r"], {"run", "read", "runs", "replay"}),
            (["run", "f"], {"f"}),
            (["run", "f.py:"], {"f.py:values", "f.py:built"}),
            (["run", "f.py", "--param", ""], {"kind=", "day=", "limit="}),
            (["run", "f.py", "-p", "kind=3", "-p", "l"], {"limit="}),
            (["run", "f.py", "--executor", "t"], {"threads"}),
            (["run", "f.py", "--storage", "loc"], {"local"}),
            (["run", "broken.py:"], set()),
            (["config", "flows.stor"], {"flows.storage"}),
            (["completion", "z"], {"zsh"}),
        ],
    )
    def test_offers_what_fits(self, desk: Desk, words: list[str], offered: set[str]) -> None:
        desk.write("f.py", FLOW + "\n    raise SystemExit('completing a file must not run it')\n")
        desk.write("broken.py", "def f(:\n")
        line = " ".join(["ckpt", *words])
        ran = desk.ckpt(_CKPT_COMPLETE="zsh_complete", COMP_WORDS=line, COMP_CWORD=str(len(words)))
        lines = ran.stdout.splitlines()
        assert {value.replace("\\:", ":") for value in lines[1::3]} == offered
        assert ran.stderr == ""

    def test_says_nothing_into_the_line_that_is_typed(self, desk: Desk) -> None:
        desk.write("ckpt.toml", "[flow]\nworkers = 3\n")
        ran = desk.ckpt(_CKPT_COMPLETE="zsh_complete", COMP_WORDS="ckpt r", COMP_CWORD="1")
        assert (ran.stdout.splitlines()[1::3], ran.stderr) == (["run", "read"], "")


class TestTheCommand:
    @pytest.mark.parametrize("missing", ["click", "rich"])
    def test_without_its_extra_prints_the_pip_line(self, desk: Desk, missing: str) -> None:
        desk.write(
            "site/sitecustomize.py",
            f"MISSING = {missing!r}\n"
            + dedent("""
            import sys

            class Hidden:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] == MISSING:
                        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

            sys.meta_path.insert(0, Hidden())
        """),
        )
        ran = desk.ckpt("--version", code=2, PYTHONPATH=str(desk.root / "site"))
        assert "pip install 'ckpt-core[cli]'" in ran.stderr
        assert ran.stdout == ""

    def test_alone_teaches_and_ends_with_0(self, desk: Desk) -> None:
        shown = desk.ckpt().stdout
        assert "ckpt run flow.py" in shown
        assert shown == desk.ckpt("--help").stdout

    @pytest.mark.parametrize("name", ["run", "explain", "read", "check", "config", "plugins", "completion"])
    def test_the_help_of_each_has_an_example(self, desk: Desk, name: str) -> None:
        shown = desk.ckpt(name, "--help").stdout
        assert "Example" in shown
        assert shown.count(f"ckpt {name}") >= 2

    def test_a_misspelt_one_names_the_nearest(self, desk: Desk) -> None:
        desk.write("f.py", "")
        assert "did you mean `ckpt run`?" in desk.ckpt("rnu", code=2).stderr
        assert "to run a flow file: ckpt run f.py" in desk.ckpt("f.py", code=2).stderr

    def test_is_there_as_a_module_too(self, desk: Desk) -> None:
        as_module = desk.run(sys.executable, "-m", "ckpt", "--version")
        assert as_module.stdout == desk.ckpt("--version").stdout
        assert as_module.stdout.startswith("ckpt, version ")
