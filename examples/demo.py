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


def main() -> None:
    logging.getLogger("ckpt").setLevel(logging.WARNING)  # what the messages say is told here

    heading("1. A flow runs, and the value of every task is kept")
    say(f"{flow.explain().headline()}.")
    good = flow.run()
    show(good.result[findings].result)
    show(table_of_tasks(good))

    heading("2. Any value can be read, with ckpt and without")
    file = Path("results") / good.result[rain].safe_value.value
    say("In the program that has run the flow; in any other, where the digest is verified first; and where ckpt is not")
    say("installed, because every file is a pickle:")
    show(">>> state.result[rain].result", good.result[rain].result)
    show(f'>>> file = "{file}"', ">>> ckpt.read(file)", ckpt.read(str(file)))
    with file.open("rb") as opened:
        show('>>> pickle.load(open(file, "rb"))', pickle.load(opened))  # noqa: S301  written by this program just now

    heading("3. A new delivery comes, and the report is wrong")
    with tempfile.TemporaryDirectory() as inbox:
        delivery = spoiled_delivery(Path(inbox, "new-delivery.csv"))
        bad = flow.run(delivery=delivery)
        repaired = flow.run(delivery=delivery, fahrenheit=["F", "degF"])  # used in part 6
    show(bad.result[findings].result)
    say("No task failed, and nothing was logged. The input file is gone by now. But both runs have kept every value.")

    heading("4. The digests say where to look, before any value is read")
    then, now = kept(good), kept(bad)
    changed = [name for name in now if now[name].digest != then[name].digest]
    show(table_of_digests(good, bad))
    say(f"Equal digests prove equal values: {len(now) - len(changed)} of {len(now)} need no look. The rain in the report is right.")

    heading("5. The values, in the order of the flow, show where it went wrong")
    say("read-days returned what the station sent. For one month it says degF, and 48.9 °F is 9.4 °C. Right.")
    sent, sent_then = ckpt.read(now["read-days-1"]), ckpt.read(then["read-days-1"])
    first = sent.index[(sent != sent_then).any(axis="columns")][0]
    show(f"good run   {in_one_line(sent_then.loc[first])}", f"bad run    {in_one_line(sent.loc[first])}")

    suspect = next(name for name in changed if name.startswith("clean"))
    say(f"{suspect} has taken these for °C. Wrong!")
    cleaned, cleaned_then = ckpt.read(now[suspect]), ckpt.read(then[suspect])
    show(f"good run   {in_one_line(cleaned_then.iloc[0])}", f"bad run    {in_one_line(cleaned.iloc[0])}")
    say("The task is clean. Its other input is kept too, and says why: it was told one spelling of Fahrenheit only.")
    show(">>> ckpt.read(fahrenheit)", ckpt.read(now["fahrenheit"]))

    heading("6. The repair is tried on exactly the input that the task had")
    number = int(suspect.removesuffix("]").partition("[")[2])
    month = ckpt.read(now["split-months-1"])[number]
    say("A task that is called outside a flow simply runs:")
    show(
        f">>> month = ckpt.read(split_months)[{number}]",
        '>>> clean(month, ["F", "degF"]).equals(ckpt.read(clean_in_the_good_run))',
        clean(month, ["F", "degF"]).equals(cleaned_then),
    )
    say('And flow.run(fahrenheit=["F", "degF"]) has, from clean on, the digests of the good run again:')
    show(table_of_digests(good, repaired))

    heading("Your turn")
    command = Path(sys.executable).with_name("ckpt")
    show(f"{command} read {Path('results') / now[suspect].value}")
    show(f"{command} run {Path(__file__).with_name('seattle_weather.py')}")


def kept(state: State) -> dict[str, SafeResult]:
    """The safe value of every task run by its name: `read-days-1`, of the children of a mapped call `clean-1[0]`."""
    found = {}
    for call in flow.calls:
        task_run = state.result[call]
        if task_run.map_states is None:
            found[call.slug] = task_run.safe_value
        else:
            found |= {f"{call.slug}[{n}]": child.safe_value for n, child in enumerate(task_run.map_states)}
    return found


def spoiled_delivery(path: Path) -> str:
    """The same measurements, but February 2014 comes in another unit, which the station names in a way of its own."""
    days = pd.read_csv(local_data.seattle_weather.filepath)
    february = days["date"].str.startswith("2014-02")
    temperatures = ["temp_max", "temp_min"]
    days.loc[february, temperatures] = (days.loc[february, temperatures] * 1.8 + 32).round(1)
    days["unit"] = february.map({True: "degF", False: "C"})
    days.to_csv(path, index=False)
    return str(path)


def table_of_tasks(state: State) -> str:
    lines = [f"{'task':<16} {'state':<8} {'bytes':>8}  safe value"]
    for call in flow.calls:
        task_run = state.result[call]
        safe = [child.safe_value for child in task_run.map_states or [task_run]]
        size = sum(value.size for value in safe)
        places = [shortened(value) for value in (safe[:1] + safe[-1:])[: len(safe)]]
        lines.append(f"{call.slug:<16} {task_run.name:<8} {size:>8,}  {' to '.join(places)}")
    return "\n".join(lines)


def table_of_digests(one: State, other: State) -> str:
    lines = [f"{'task':<16} {'digest then':<14} {'digest now':<14}"]
    for call in flow.calls:
        pairs = [
            (a.safe_value.digest[:10], b.safe_value.digest[:10])
            for a, b in zip(
                one.result[call].map_states or [one.result[call]],
                other.result[call].map_states or [other.result[call]],
                strict=True,
            )
        ]
        different = [n for n, (a, b) in enumerate(pairs) if a != b]
        if len(pairs) == 1:
            lines.append(f"{call.slug:<16} {pairs[0][0]:<14} {pairs[0][1]:<14} {'DIFFERENT' if different else 'equal'}")
        else:
            which = f", DIFFERENT: {', '.join(f'{call.slug}[{n}]' for n in different)}" if different else ""
            lines.append(f"{call.slug:<16} {f'{len(pairs)} values':<29} {len(pairs) - len(different)} equal{which}")
    return "\n".join(lines)


def shortened(safe: SafeResult) -> str:
    parts = str(safe.value).split("/")
    return safe.value if len(parts) == 1 else f"…/{parts[-1]}"


def in_one_line(day: pd.Series) -> str:
    return "   ".join(f"{name} {value:%Y-%m-%d}" if name == "date" else f"{name} {value}" for name, value in day.items())


def heading(text: str) -> None:
    print(f"\n{text}\n{'─' * len(text)}")


def say(text: str) -> None:
    print(fill(text, 96, break_long_words=False, break_on_hyphens=False))


def show(*things: object) -> None:
    print(indent("\n".join(str(thing) for thing in things), "    "))


if __name__ == "__main__":
    main()
