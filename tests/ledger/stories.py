"""Flows in a file that is edited between runs, as a person edits theirs, and what is told of two runs of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from ckpt import State
from ckpt.loading import load_flow
from ckpt.results import SafeResult
from ckpt_ledger import SQLLedger, open_ledger
from ckpt_ledger.compare.run_differences import Compared, RunDifference, diff_runs

__all__ = ["CKPT", "Story"]

CKPT = str(Path(sys.executable).with_name("ckpt"))


class Story:
    """A folder with `flow.py`, a storage and a ledger; the home has been set already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "flow.py"
        self.kept = folder / "kept"

    def write(self, text: str) -> None:
        head = "from ckpt import Flow, Parameter, SKIP, task, unmapped\n"
        tail = f'\nflow.storage = "{self.kept.as_uri()}"\nif __name__ == "__main__":\n    import sys\n'
        self.file.write_text(f"{head}{dedent(text)}{tail}    flow.run(run_name=sys.argv[1])\n")

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def run(self, name: str, /, resume: str | None = None, **parameters: object) -> State:
        """Run the file as it is now, in this process."""
        from_task = parameters.pop("from_task", ())
        sys.modules.pop(self.file.stem, None)
        try:
            flow = load_flow(str(self.file)).flow
            return flow.run(parameters, run_name=name, resume=resume, from_task=from_task)  # type: ignore[arg-type]
        finally:
            sys.modules.pop(self.file.stem, None)

    def python(self, name: str, **variables: str) -> None:
        """Run the file as `__main__`, in a process of its own."""
        self.process(sys.executable, str(self.file), name, code=0, **variables)

    def ckpt(self, *arguments: str, code: int | None = None) -> subprocess.CompletedProcess[str]:
        return self.process(CKPT, *arguments, code=code)

    def process(self, *command: str, code: int | None, **variables: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in ran.stderr or code is None, ran.stderr
        assert code is None or ran.returncode == code, ran.stdout + ran.stderr
        return ran

    @property
    def ledger(self) -> SQLLedger:
        return open_ledger()

    def diff(self, left: str = "good", right: str = "bad", **how: object) -> RunDifference:
        ledger = self.ledger
        return diff_runs(ledger, ledger.find(left), ledger.find(right), **how)  # type: ignore[arg-type]  # by name

    def verdicts(self, left: str = "good", right: str = "bad", **how: object) -> dict[str, str]:
        return {str(each.pair.call): each.verdict for each in self.diff(left, right, **how).items}

    def firsts(self, left: str = "good", right: str = "bad", **how: object) -> list[str]:
        return [str(each.pair.call) for each in self.diff(left, right, **how).firsts]

    def one(self, call: str, left: str = "good", right: str = "bad", **how: object) -> Compared:
        [found] = [each for each in self.diff(left, right, **how).items if str(each.pair.call) == call]
        return found

    def object(self, run: str, call: str) -> Path:
        """The file of a kept value."""
        ledger = self.ledger
        safe = ledger.task(ledger.find(run).id, call).safe
        assert isinstance(safe, SafeResult)
        return self.kept / str(safe.value)
