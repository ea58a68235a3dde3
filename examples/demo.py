"""What ckpt is for: a report is wrong, and the kept values show the task where it went wrong.

    make demo

The flow is in seattle_weather.py. What is here runs it, and then looks at what it has kept.
"""

from __future__ import annotations

import logging
import pickle
import sys
import tempfile
from pathlib import Path
from textwrap import fill, indent

import pandas as pd
from seattle_weather import clean, findings, flow, rain
from vega_datasets import local_data

import ckpt
from ckpt import SafeResult, State


def main(inbox: Path) -> None:
    logging.getLogger("ckpt").setLevel(logging.WARNING)  # what the messages say is told here

    heading("1. A flow runs, and the value of every task is kept")
    say(f"{flow.explain().headline()}.")
    good_run = flow.run()
    show(good_run.result[findings].result)
    say(
        "What is left in the place of a value is its safe value. Here it is a key below the folder results, where … "
        f"stands for {good_run.result[rain].safe_value.value.rpartition('/')[0]}; parameters are kept as JSON, "
        "in the safe value itself."
    )
    show(table_of_tasks(good_run))

    heading("2. Any value can be read, with ckpt and without")
    file = Path("results") / good_run.result[rain].safe_value.value
    say("In the program that has run the flow:")
    show(">>> state.result[rain].result", good_run.result[rain].result)
    say("In any other program, which may have the safe value, the key or the file. The digest is verified first:")
    show(f'>>> file = "{file}"', ">>> ckpt.read(file)", ckpt.read(str(file)))
    say("Where ckpt is not installed, for every file is a pickle:")
    with file.open("rb") as opened:
        show('>>> pickle.load(open(file, "rb"))', pickle.load(opened))  # noqa: S301  written by this program just now

    heading("3. A new delivery comes, and the report is wrong")
    delivery = new_delivery(inbox)
    bad_run = flow.run(delivery=delivery)
    show(bad_run.result[findings].result)
    say("Hot in February? No task failed, and nothing was logged. But both runs have kept all their values.")

    heading("4. The digests say where to look, before any value is read")
    show(table_of_digests(good_run, bad_run))
    good, bad = safe_values(good_run), safe_values(bad_run)
    suspects = [name for name in bad if bad[name].digest != good[name].digest]
    say(
        f"Equal digests prove equal values: {len(bad) - len(suspects)} of {len(bad)} need no look, and the rain in the "
        f"report is right. The other {len(suspects)} are worth one."
    )

    heading("5. The values, in the order of the flow, show where it went wrong")
    sent, sent_before = ckpt.read(bad["read-days-1"]), ckpt.read(good["read-days-1"])
    row = sent.index[(sent != sent_before).any(axis="columns")][0]
    say("What read-days returned, at the first row that differs:")
    show(f"good run   {in_one_line(sent_before.loc[row])}", f"bad run    {in_one_line(sent.loc[row])}")
    say(
        f"The station now sends another unit, and says so: {sent.temp_max[row]} °F is {sent_before.temp_max[row]} °C. "
        "That is right, and split-months only splits it."
    )
    months = [name for name in suspects if name.startswith("clean")]
    month = next(name for name in months if not ckpt.read(bad[name]).equals(ckpt.read(good[name])))
    cleaned, cleaned_before = ckpt.read(bad[month]), ckpt.read(good[month])
    say(f"What {month} returned, which is in °C by promise:")
    show(f"good run   {in_one_line(cleaned_before.iloc[0])}", f"bad run    {in_one_line(cleaned.iloc[0])}")
    say(
        "That is wrong, so the task is clean. Its other input is kept as well, and says why: it was told only one name "
        "of the unit."
    )
    show('>>> ckpt.read(bad["fahrenheit"])', ckpt.read(bad["fahrenheit"]))

    heading("6. The repair is tried on exactly the input that the task had")
    number = int(month.removesuffix("]").partition("[")[2])
    say("A task that is called outside a flow simply runs. Here it is given what the bad run has kept:")
    show(
        f'>>> month = ckpt.read(bad["split-months-1"])[{number}]',
        f'>>> clean(month, ["F", "degF"]).equals(ckpt.read(good["{month}"]))',
        clean(ckpt.read(bad["split-months-1"])[number], ["F", "degF"]).equals(cleaned_before),
    )
    say("And the flow on the new delivery, repaired:")
    repaired_run = flow.run(delivery=delivery, fahrenheit=["F", "degF"])
    show('>>> state = flow.run(delivery=…, fahrenheit=["F", "degF"])', repaired_run.result[findings].result)
    repaired = safe_values(repaired_run)
    downstream = list(repaired)[list(repaired).index("clean-1[0]") :]
    equal = sum(repaired[name].digest == good[name].digest for name in downstream)
    say(f"{equal} of {len(downstream)} values, from clean to the report, have the digest of the good run again.")

    heading("Your turn")
    command, script = nearest(Path(sys.executable).with_name("ckpt")), nearest(Path(__file__))
    show(
        f"{command} read results/{bad[month].value}",
        f"{command} explain {script.with_name('seattle_weather.py')}",
        f"{command} run {script.with_name('seattle_weather.py')}",
    )


def new_delivery(folder: Path) -> str:
    """A file with the same measurements, one month of which is in a unit whose name clean does not know."""
    days = pd.read_csv(local_data.seattle_weather.filepath, parse_dates=["date"])
    february = days["date"].dt.strftime("%Y-%m") == "2014-02"
    temperatures = ["temp_max", "temp_min"]
    days.loc[february, temperatures] = (days.loc[february, temperatures] * 1.8 + 32).round(1)
    days["unit"] = february.map({True: "degF", False: "C"})
    path = folder / "new-delivery.csv"
    days.to_csv(path, index=False)
    return str(path)


def task_runs(state: State, call: object) -> list[State]:
    """The states of the children of a mapped call, or of the call alone."""
    return state.result[call].map_states or [state.result[call]]


def safe_values(state: State) -> dict[str, SafeResult]:
    """The safe value of every task run, by a name such as `read-days-1` or `clean-1[25]`, in the order of the flow."""
    found = {}
    for call in flow.calls:
        runs = task_runs(state, call)
        for number, task_run in enumerate(runs):
            found[call.slug if len(runs) == 1 else f"{call.slug}[{number}]"] = task_run.safe_value
    return found


def table_of_tasks(state: State) -> str:
    lines = ["task             state       bytes  safe value"]
    for call in flow.calls:
        safe = [task_run.safe_value for task_run in task_runs(state, call)]
        size = sum(value.size for value in safe)
        places = shortened(safe[0]) if len(safe) == 1 else f"{shortened(safe[0])} to {shortened(safe[-1])}"
        lines.append(f"{call.slug:<16} {state.result[call].name:<8} {size:>8,}  {places}")
    return "\n".join(lines)


def table_of_digests(good: State, bad: State) -> str:
    lines = ["task             good run      bad run"]
    for call in flow.calls:
        pairs = [
            (then.safe_value.digest[:12], now.safe_value.digest[:12])
            for then, now in zip(task_runs(good, call), task_runs(bad, call), strict=True)
        ]
        differ = [f"{call.slug}[{number}]" for number, (then, now) in enumerate(pairs) if then != now]
        if len(pairs) == 1:
            lines.append(f"{call.slug:<16} {'  '.join(pairs[0])}  {'differs' if differ else 'equal'}")
        else:
            which = differ[0] if len(differ) == 1 else f"{len(differ)} values"
            verdict = f"{len(pairs) - len(differ)} of {len(pairs)} equal, different: {which}"
            lines.append(f"{call.slug:<16} {'…':<12}  {'…':<12}  {verdict}")
    return "\n".join(lines)


def shortened(safe: SafeResult) -> str:
    """A safe value without the folders that all have in common."""
    parts = safe.value.split("/")
    if safe.serializer == "json":
        return safe.value if len(parts) == 1 else f'"…/{parts[-1]}'
    return f"…/{'/'.join(parts[5:])}"


def in_one_line(day: pd.Series) -> str:
    facts = [f"{name} {value}" for name, value in day.items() if name != "date"]
    return "   ".join([f"{day['date']:%Y-%m-%d}", *facts])


def nearest(path: Path) -> Path:
    """The path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


def say(text: str) -> None:
    print(fill(text, 98, break_long_words=False, break_on_hyphens=False), end="\n\n")


def show(*lines: object) -> None:
    print(indent("\n".join(str(line) for line in lines), "    "), end="\n\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
