"""`ckpt check`: can values be kept in a storage, and if not, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

import click
from rich.text import Text

from ckpt import config
from ckpt.cli.command import debug_option
from ckpt.cli.output import console, printable, show_json, show_table
from ckpt.cli.targets import complete_storage
from ckpt.errors import ConfigError
from ckpt.probe import STEPS, Step, probed
from ckpt.storage import Storage

__all__ = ["check"]


@click.command(short_help="Try a storage, and say what is missing.")
@click.argument("storage", metavar="[STORAGE]", required=False, shell_complete=complete_storage)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@debug_option
def check(storage: str | None, as_json: bool) -> int:
    """Write, look up, read, list and delete one small value in STORAGE, and say how long each took.

    STORAGE is a type or a URL, as in the setting flows.storage, which is the default. It is opened as a run would open
    it. What is missing is said in words: a package, a permission, the bucket, its region, the clock. Each step is
    tried even if another was refused. Ends with 1 if something is missing. The value is deleted whatever happens.

    \b
    Examples:
      ckpt check
      ckpt check s3://bucket/prefix
      ckpt check "s3://bucket?retry_seconds=2"     give up soon
    """
    settings = config.load()
    text = storage if storage is not None else settings.flows.storage
    if text is None:
        raise ConfigError("no storage is configured: name one, as in `ckpt check s3://bucket/prefix`")
    place = Storage.parse(text)
    steps: list[Step] = []
    with console(stderr=True).status("") as status, closing(probed(place, settings)) as probing:
        status.update(f"{STEPS[0]} …")
        for step in probing:
            steps.append(step)
            status.update(f"{STEPS[min(len(steps), len(STEPS) - 1)]} …")
    if as_json:
        show_json(
            [
                {"id": s.name, "outcome": s.outcome, "milliseconds": round(s.seconds * 1e3, 1), "said": s.said}
                for s in steps
            ]
        )
    else:
        _show(str(place), steps)
    return int(any(step.is_problem for step in steps))


def _show(place: str, steps: Sequence[Step]) -> None:
    rows = []
    for step in steps:
        took = "-" if step.outcome == "not tried" else f"{step.seconds * 1e3:.1f} ms"
        rows.append((step.name, Text(took, justify="right"), _coloured(step)))
    show_table(("step", "time", "result"), rows)
    to = console()
    to.print()
    if not any(step.is_problem for step in steps):
        to.print(printable(f"{place}: nothing is missing."), soft_wrap=True)
    refused = [step.name for step in steps if step.outcome == "refused"]
    if refused:
        to.print(printable(f"{place}: no permission to {_and(refused)}."), soft_wrap=True)
    for outcome, said in _sayings(steps):
        to.print(Text.assemble((outcome, "bold"), f": {printable(said)}"), soft_wrap=True)


def _coloured(step: Step) -> Text:
    if step.outcome == "ok" and step.said:
        return Text("ok, but see below", style="yellow")
    return Text(step.outcome, style="red" if step.is_problem and step.outcome != "not tried" else "")


def _sayings(steps: Iterable[Step]) -> Iterable[tuple[str, str]]:
    """One saying for each kind of problem, the first: five refusals say the same five times."""
    firsts: dict[str, str] = {}
    for step in steps:
        if step.said and (step.is_problem or step.outcome == "ok"):
            firsts.setdefault("warning" if step.outcome == "ok" else step.outcome, step.said)
    return firsts.items()


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
