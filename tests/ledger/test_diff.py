"""Two runs side by side: the place where they begin to differ, how they differ there, and why they could."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from ckpt import Flow, ResultHandler, task
from ckpt.errors import NotFound
from ckpt.handlers import JSON, Meta, Stored
from ckpt_ledger import open_ledger
from ckpt_ledger.compare.run_differences import diff_runs
from tests.ledger.stories import CKPT, Story

CHAIN = """
    @task
    def load(n):
        return list(range(n))

    @task
    def scale(x, k):
        return x * k

    @task
    def total(xs, tag):
        return f"{tag}: {sum(xs)}"

    with Flow("story") as flow:
        n = Parameter("n", 4)
        end = total(scale.map(load(n), unmapped(2)), "sum")
"""


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    monkeypatch.chdir(tmp_path)
    return Story(tmp_path)


class TestTheFirstDifference:
    def test_of_equal_runs_there_is_none(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.run("bad")
        assert set(story.verdicts().values()) == {"same"}
        assert story.firsts() == []

    def test_is_where_code_has_changed_and_downstream_is_not_compared(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.edit("x * k", "x * k + (x == 2)")
        story.run("bad")
        assert story.firsts() == ["scale-1[2]"]
        found = story.one("scale-1[2]")
        assert found.difference is not None
        assert found.difference.to_dict()["left"] == "4"
        assert [cause.kind for cause in found.causes] == ["code"]
        assert "that of no other task" in found.causes[0].text
        verdicts = story.verdicts()
        assert verdicts["total-1"] == "not compared"
        assert verdicts["scale-1"] == "different"
        assert [verdicts[name] for name in ("load-1", "scale-1[0]", "scale-1[1]", "scale-1[3]")] == ["same"] * 4

    def test_shared_code_names_the_other_tasks_that_changed(self, story: Story) -> None:
        story.write("""
            def helper(x):
                return x + 1

            @task
            def one(x):
                return helper(x)

            @task
            def two(x):
                return helper(x) * 2

            with Flow("story") as flow:
                one(1), two(1)
        """)
        story.run("good")
        story.edit("x + 1", "x + 2")
        story.run("bad")
        assert story.firsts() == ["one-1", "two-1"]
        assert "and that of two" in story.one("one-1").causes[0].text

    def test_a_changed_constant_is_named_with_both_values(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.edit('"sum"', '"SUM"')
        story.run("bad")
        [cause] = story.one("total-1").causes
        assert (cause.kind, cause.argument, cause.left, cause.right) == ("constant", "tag", "'sum'", "'SUM'")

    def test_gathered_constants_are_told_under_their_name(self, story: Story) -> None:
        story.write("""
            @task
            def add(first, *rest, **more):
                return first + sum(rest) + sum(more.values())

            with Flow("story") as flow:
                add(1, 2, 3, z=5)
        """)
        story.run("good")
        story.edit("add(1, 2, 3, z=5)", "add(1, 2, 4, z=6)")
        story.run("bad")
        causes = {cause.argument: (cause.left, cause.right) for cause in story.one("add-1").causes}
        assert causes.keys() == {"rest", "more"}
        assert "3 → 4" in " ".join(cause.text for cause in story.one("add-1").causes)

    def test_large_constants_are_read_from_where_they_are_kept(self, story: Story) -> None:
        story.write("""
            @task
            def mean(xs):
                return sum(xs) / len(xs)

            with Flow("story") as flow:
                mean([float(n) for n in range(20_000)])
        """)
        story.run("good")
        story.edit("float(n) for", "float(n + (n == 77)) for")
        story.run("bad")
        [cause] = story.one("mean-1").causes
        assert "[77]: 77.0 → 78.0" in cause.text

    def test_an_argument_that_holds_a_secret_is_never_told(self, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOKEN_A", "hunter2")
        monkeypatch.setenv("TOKEN_B", "hunter3")
        story.write("""
            from ckpt import Secret

            @task
            def ask(token, n):
                return len(token) + n

            with Flow("story") as flow:
                ask(Secret("env:TOKEN_A"), 1)
        """)
        story.run("good")
        story.edit('"env:TOKEN_A"), 1', '"env:TOKEN_B"), 2')
        story.run("bad")
        said = json.dumps(story.one("ask-1").to_dict(), ensure_ascii=False)
        assert "hunter" not in said
        assert "argument token is given differently" in said
        assert "argument n: 1 → 2" in said

    def test_a_parameter_is_the_cause_and_not_the_place(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.run("bad", n=5)
        assert story.firsts() == ["load-1"]
        assert [cause.text for cause in story.one("load-1").causes] == ["parameter n: 4 → 5"]
        assert story.verdicts()["scale-1[4]"] == "only right"

    def test_a_parameter_that_changes_nothing_is_told_all_the_same(self, story: Story) -> None:
        story.write("""
            @task
            def parity(n):
                return n % 2

            with Flow("story") as flow:
                parity(Parameter("n", 4))
        """)
        story.run("good")
        story.run("bad", n=6)
        assert story.verdicts() == {"n": "different", "parity-1": "same"}
        assert story.firsts() == ["n"]
        assert story.ckpt("diff", "good", "bad", code=1).stdout.startswith("first difference: parameter n: 4 → 6")

    def test_equal_code_and_inputs_mean_that_something_else_counts(self, story: Story) -> None:
        (story.folder / "data.txt").write_text("1")
        story.write("""
            @task
            def load():
                from pathlib import Path
                return Path("data.txt").read_text()

            with Flow("story") as flow:
                load()
        """)
        story.run("good")
        (story.folder / "data.txt").write_text("2")
        story.run("bad")
        [cause] = story.one("load-1").causes
        assert cause.kind == "nothing"
        assert "such as a file" in cause.text

    def test_an_input_that_comes_from_another_task_is_a_cause(self, story: Story) -> None:
        story.write("""
            @task
            def one():
                return 1

            @task
            def two():
                return 2

            @task
            def use(x):
                return x

            with Flow("story") as flow:
                a, b = one(), two()
                use(a)
        """)
        story.run("good")
        story.edit("use(a)", "use(b)")
        story.run("bad")
        assert story.firsts() == ["use-1"]
        assert "argument x comes from two-1, before from one-1" in story.one("use-1").causes[0].text

    def test_one_changed_cell_of_a_frame_is_found_among_many(self, story: Story) -> None:
        story.write("""
            import pandas as pd

            @task
            def months():
                return [pd.DataFrame({"day": range(30), "t": [float(m)] * 30}) for m in range(12)]

            @task
            def clean(month, broken):
                month = month.copy()
                if month.t[0] == 7 and broken:
                    month.loc[3, "t"] = 99.5
                return month

            @task
            def report(months):
                return sum(float(month.t.mean()) for month in months)

            with Flow("story") as flow:
                report(clean.map(months(), unmapped(Parameter("broken", False))))
        """)
        story.run("good")
        story.run("bad", broken=True)
        assert story.firsts() == ["clean-1[7]"]
        out = story.ckpt("diff", "good", "bad", code=1).stdout
        first, *rest = out.splitlines()
        assert first == "first difference: clean-1[7]: 1 of 30 rows changed in column t, largest 92.5"
        assert "  why: parameter broken: False → True" in rest
        assert "7.0 → 99.5" in out
        assert "downstream: 1 more task run differs, not compared (--all does): report-1" in out
        assert "ckpt replay bad 'clean-1[7]'" in out
        assert "ckpt get good 'clean-1[7]'" in out


class TestSameValueInOtherBytes:
    FLOW = """
        class Point:
            def __init__(self, x, names):
                self.x, self.names = x, names

        @task
        def names():
            return {"anna", "bert", "carl", "dora", "emil", "fritz", "gerd", "hans"}

        @task
        def point(names):
            return Point(len(names), frozenset(names | {"ida"}))

        @task
        def weigh(point):
            return point.x * FACTOR

        FACTOR = 10

        with Flow("story") as flow:
            weigh(point(names()))
    """

    def test_is_passed_over(self, story: Story) -> None:
        story.write(self.FLOW)
        story.python("good", PYTHONHASHSEED="1")
        story.python("bad", PYTHONHASHSEED="2")
        verdicts = story.verdicts()
        assert verdicts == {"names-1": "same value", "point-1": "same value", "weigh-1": "same"}
        ran = story.ckpt("diff", "good", "bad", code=0)
        assert "(same value, different bytes)" in ran.stdout.splitlines()[0]

    def test_and_the_comparison_goes_on_downstream_of_it(self, story: Story) -> None:
        story.write(self.FLOW)
        story.python("good", PYTHONHASHSEED="1")
        story.edit("FACTOR = 10", "FACTOR = 11")
        story.python("bad", PYTHONHASHSEED="2")
        verdicts = story.verdicts()
        assert verdicts == {"names-1": "same value", "point-1": "same value", "weigh-1": "different"}
        assert story.firsts() == ["weigh-1"]

    def test_and_a_change_inside_an_instance_is_found(self, story: Story) -> None:
        story.write(self.FLOW)
        story.python("good", PYTHONHASHSEED="1")
        story.edit("Point(len(names),", "Point(-len(names),")
        story.python("bad", PYTHONHASHSEED="2")
        assert story.firsts() == ["point-1"]
        difference = story.one("point-1").difference
        assert difference is not None
        assert difference.groups[0].pattern == ".x"


class TestTaskRunsFindEachOther:
    def test_calls_that_are_renumbered_are_aligned_by_identity(self, story: Story) -> None:
        story.write("""
            @task
            def add(a, b):
                return a + b

            with Flow("story") as flow:
                add(add(1, 2), 10)
        """)
        story.run("good")
        story.edit('with Flow("story") as flow:\n', 'with Flow("story") as flow:\n    add(5, 5)\n')
        story.run("bad")
        items = {str(each.pair.call): each for each in story.diff().items}
        assert {name: each.verdict for name, each in items.items()} == {
            "add-1": "only right", "add-2": "same", "add-3": "same",
        }  # fmt: skip
        assert items["add-3"].to_dict()["left_call"] == "add-2"

    def test_renumbered_calls_are_aligned_by_their_inputs_where_code_has_changed(self, story: Story) -> None:
        story.write("""
            @task
            def source(n):
                return n

            @task
            def twice(x):
                return x * 2

            with Flow("story") as flow:
                a, b = source(1), source(2)
                twice(a), twice(b)
        """)
        story.run("good")
        story.edit("twice(a), twice(b)", "twice(source(9)), twice(a), twice(b)")
        story.edit("x * 2", "x * 3")
        story.run("bad")
        pairs = {
            (each.to_dict()["left_call"], each.to_dict()["right_call"])
            for each in story.diff().items
            if each.pair.record.task == "twice"
        }
        assert pairs == {(None, "twice-1"), ("twice-1", "twice-2"), ("twice-2", "twice-3")}

    def test_mapped_children_are_aligned_where_elements_were_inserted(self, story: Story) -> None:
        story.write("""
            @task
            def square(x):
                return x * x

            with Flow("story") as flow:
                square.map([2, 3, 4])
        """)
        story.run("good")
        story.edit("[2, 3, 4]", "[1, 2, 3, 4]")
        story.run("bad")
        verdicts = story.verdicts()
        assert [verdicts[f"square-1[{n}]"] for n in range(4)] == ["only right", "same", "same", "same"]
        assert story.firsts() == ["square-1[0]"]

    def test_mapped_children_are_aligned_although_their_code_has_changed_too(self, story: Story) -> None:
        story.write("""
            @task
            def square(x):
                return x * x

            with Flow("story") as flow:
                square.map([2, 3, 4])
        """)
        story.run("good")
        story.edit("[2, 3, 4]", "[1, 2, 3, 4]")
        story.edit("x * x", "x * x + 0")
        story.run("bad")
        verdicts = story.verdicts()
        assert [verdicts[f"square-1[{n}]"] for n in range(4)] == ["only right", "same", "same", "same"]

    def test_mapped_children_in_another_order_are_aligned(self, story: Story) -> None:
        story.write("""
            @task
            def square(x):
                return x * x

            with Flow("story") as flow:
                square.map([2, 3, 4])
        """)
        story.run("good")
        story.edit("[2, 3, 4]", "[4, 2, 3]")
        story.run("bad")
        items = {str(each.pair.call): each.to_dict() for each in story.diff().items}
        assert {each["verdict"] for each in items.values()} == {"same"}
        assert items["square-1[0]"]["left_call"] == "square-1[2]"

    def test_parameters_of_equal_value_are_not_mistaken_for_each_other(self, story: Story) -> None:
        story.write("""
            @task
            def join(a, b):
                return [a, b]

            with Flow("story") as flow:
                join(Parameter("a", 1), Parameter("b", 2))
        """)
        story.run("good")
        story.run("bad", a=2, b=1)
        assert {str(each.pair.call): each.to_dict()["left_call"] for each in story.diff().items} == {
            "a": "a", "b": "b", "join-1": "join-1",
        }  # fmt: skip

    def test_what_only_the_left_run_has_is_in_its_place(self, story: Story) -> None:
        story.write("""
            @task
            def one():
                return 1

            @task
            def two():
                return 2

            @task
            def three():
                return 3

            with Flow("story") as flow:
                one(), two(), three()
        """)
        story.run("good")
        story.edit("one(), two(), three()", "one(), three()")
        story.run("bad")
        assert list(story.verdicts().items()) == [("one-1", "same"), ("two-1", "only left"), ("three-1", "same")]


class TestWhatDidNotEndWell:
    def test_a_task_that_failed_is_the_first_difference_and_what_it_kept_from_running_is_not(
        self, story: Story
    ) -> None:
        story.write(CHAIN)
        story.run("good")
        story.edit("return x * k", "return [x * k][x == 2]")
        story.run("bad")
        assert story.firsts() == ["scale-1[2]"]
        found = story.one("scale-1[2]").to_dict()
        assert (found["left_state"], found["right_state"]) == ("Success", "Failed")
        assert story.verdicts()["total-1"] == "different"
        ran = story.ckpt("diff", "good", "bad", code=1)
        assert ran.stdout.startswith("first difference: scale-1[2]: Success → Failed: IndexError")
        assert "ckpt replay bad 'scale-1[2]' --pdb" in ran.stdout

    def test_two_equal_failures_are_no_difference_and_two_unlike_ones_are(self, story: Story) -> None:
        story.write("""
            @task
            def broken(n):
                raise ValueError(f"no {n}")

            with Flow("story") as flow:
                broken(Parameter("n", 1))
        """)
        story.run("one")
        story.run("two")
        story.run("three", n=2)
        assert story.one("broken-1", "one", "two").note == "Failed in both"
        assert story.verdicts("one", "two")["broken-1"] == "same"
        assert story.firsts("one", "three") == ["broken-1"]

    def test_a_value_that_is_not_kept_is_told_by_its_code_and_inputs(self, story: Story) -> None:
        story.write("""
            @task(checkpoint=False)
            def hidden(n):
                return n

            @task
            def use(x):
                return x

            with Flow("story") as flow:
                use(hidden(1))
        """)
        story.run("good")
        story.run("same")
        story.edit("return n", "return n + 1")
        story.run("bad")
        assert story.one("hidden-1", "good", "same").note.endswith("its code and inputs are the same")
        assert story.diff("good", "same").differing == []
        assert story.one("hidden-1").note.endswith("its code has changed")
        assert story.firsts() == ["use-1"]
        assert "the value of hidden-1 is not kept, and its code has changed" in story.one("use-1").causes[0].text

    def test_a_difference_is_handed_on_through_a_value_that_is_not_kept(self, story: Story) -> None:
        story.write("""
            @task
            def load(n):
                return n

            @task(checkpoint=False)
            def hidden(n):
                return n

            @task
            def use(x):
                return x

            with Flow("story") as flow:
                use(hidden(load(1)))
        """)
        story.run("good")
        story.edit("load(1)", "load(2)")
        story.run("bad")
        assert story.firsts() == ["load-1"]
        assert story.verdicts()["use-1"] == "not compared"

    def test_what_could_not_be_compared_is_not_called_the_same(self, story: Story) -> None:
        story.write("""
            import random

            @task
            def load():
                return random.random()

            @task(checkpoint=False)
            def hidden():
                return 1

            with Flow("story") as flow:
                load()
                hidden()
        """)
        story.run("good")
        story.run("bad")
        alone = story.ckpt("diff", "good", "bad", "--task", "hidden", code=2).stdout
        assert alone.startswith("1 task run could not be compared\n")
        story.object("bad", "load-1").unlink()
        damaged = story.ckpt("diff", "good", "bad", code=2).stdout
        assert damaged.startswith("2 task runs could not be compared\n")
        with_itself = story.ckpt("diff", "good", "good", code=0).stdout
        assert with_itself.startswith("no difference: 1 task run the same; 1 task run could not be compared\n")

    def test_what_only_waited_for_a_failure_is_not_where_it_began(self, story: Story) -> None:
        story.write("""
            @task
            def go():
                return 1

            @task
            def check(n):
                return 1 // n

            with Flow("story") as flow:
                n = Parameter("n", 1)
                go(upstream_tasks=[check(n)])
        """)
        story.run("good")
        story.run("bad", n=0)
        assert story.firsts() == ["check-1"]
        assert story.verdicts()["go-1"] == "different"

    def test_what_a_run_in_progress_has_not_got_to_is_no_difference(self, story: Story) -> None:
        story.write("""
            @task
            def one():
                return 1

            @task
            def look(x):
                import ckpt_ledger
                from ckpt_ledger.compare.run_differences import diff_runs
                import time
                ledger = ckpt_ledger.open_ledger()
                while LATER and not ledger.tasks(ledger.find("bad").id):
                    time.sleep(0.01)
                for names in (("good", "bad"), ("bad", "good")) if LATER else ():
                    found = diff_runs(ledger, *map(ledger.find, names))
                    print([(str(e.pair.call), e.verdict, e.note) for e in found.items])

            LATER = False
            with Flow("story") as flow:
                look(one())
        """)
        story.run("good")
        story.edit("LATER = False", "LATER = True")
        ran = story.ckpt("run", "flow.py", "--name", "bad", "--executor", "threads", code=0)
        lines = ran.stdout.splitlines()
        assert len(lines) == 2
        for line in lines:
            assert "('one-1', 'same', '')" in line
            assert "('look-1', 'not compared'" in line
            assert "(Running) has not got to it" in line

    def test_runs_of_two_flows_are_compared_and_said_to_be_that(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.edit('Flow("story")', 'Flow("tale")')
        story.run("bad")
        ran = story.ckpt("diff", "good", "bad", code=0)
        assert "note: these are runs of two flows, 'story' and 'tale'" in ran.stdout


class TestObjectsThatCannotBeTrusted:
    @pytest.fixture
    def runs(self, story: Story) -> Story:
        story.write("""
            @task
            def one(n):
                return ["one", n]

            @task
            def two(n):
                return ["two", n]

            @task
            def after(x):
                return x

            with Flow("story") as flow:
                a, b = one(1), two(1)
                after(a)
        """)
        story.run("good")
        story.edit("one(1), two(1)", "one(2), two(2)")
        story.run("bad")
        return story

    @pytest.mark.parametrize("fault", ["missing", "truncated", "flipped", "swapped"])
    def test_are_named_and_the_rest_goes_on(self, runs: Story, fault: str) -> None:
        path = runs.object("bad", "one-1")
        data = path.read_bytes()
        if fault == "missing":
            path.unlink()
        elif fault == "truncated":
            path.write_bytes(data[:-20])
        elif fault == "flipped":
            path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        else:
            other = runs.object("bad", "two-1")
            path.write_bytes(other.read_bytes())
        ran = runs.ckpt("diff", "good", "bad", "--json", code=2)
        found = {each["id"]: each for each in json.loads(ran.stdout)}
        assert found["one-1"]["verdict"] == "not compared"
        assert path.name in found["one-1"]["error"]
        assert "one-1 of run" in ran.stderr
        assert found["two-1"]["verdict"] == "different"
        # What takes it is looked at instead.
        assert found["after-1"]["verdict"] == "different"
        assert found["after-1"]["first"]

    def test_that_are_equal_by_digest_are_not_asked_for(self, runs: Story) -> None:
        runs.run("again")
        for run in ("bad", "again"):
            for name in ("one-1", "two-1", "after-1"):
                runs.object(run, name).unlink()
        assert set(runs.verdicts("bad", "again").values()) == {"same"}


class TestHowMuchIsRead:
    def test_all_compares_everything_and_task_one_task(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.edit("x * k", "x * k + (x == 2)")
        story.run("bad")
        assert story.verdicts(everything=True)["total-1"] == "different"
        assert story.verdicts(task="total") == {"total-1": "different"}
        assert story.verdicts(task="scale-1[0]") == story.verdicts(task="scale[0]") == {"scale-1[0]": "same"}
        out = story.ckpt("diff", "good", "bad", "--all", code=1).stdout
        assert "downstream: 1 more task run differs\n  total-1: text differs" in out
        out = story.ckpt("diff", "good", "bad", "--task", "total", code=1).stdout
        assert out.startswith("difference in total: total-1: text differs")
        assert "argument xs: 1 of 4 children of scale-1 differ" in out
        story.ckpt("diff", "good", "bad", "--task", "scale-1[0]", code=0)

    def test_of_very_many_children_that_differ_some_are_enough(self, story: Story) -> None:
        story.write("""
            @task
            def square(x):
                return x * x

            with Flow("story") as flow:
                square.map(list(range(1, 101)))
        """)
        story.run("good")
        story.edit("x * x", "x * x + 1")
        story.run("bad")
        verdicts = list(story.verdicts().values())
        assert 20 <= verdicts.count("different") <= 40
        assert verdicts.count("not compared") >= 60
        assert list(story.verdicts(everything=True).values()).count("not compared") == 0

    def test_of_two_equal_runs_of_10_000_tasks_no_value_is_read(self, tmp_path: Path) -> None:
        handler = Counting()

        @task
        def give(x: int) -> int:
            return x

        with Flow("many", result_handler=handler) as flow:
            give.map(give.map(list(range(5000))))
        for name in ("good", "bad"):
            flow.run(run_name=name, keep_values="none", checkpointing=True)
        handler.reads.unlink(missing_ok=True)
        ledger = open_ledger()
        found = diff_runs(ledger, ledger.find("good"), ledger.find("bad"))
        assert [each.verdict for each in found.items] == ["same"] * 10_002
        assert not handler.reads.exists()


class Counting(ResultHandler):
    """Keeps nothing but a digest, and writes down every read."""

    storage_type = "counting"
    reads = Path("reads.txt")

    def write(self, value: object, *, key: str | None = None) -> JSON:
        return repr(value)

    def store(self, value: object, *, key: str, meta: Meta) -> Stored:
        return Stored(repr(value), f"{hash(repr(value)):064x}", 1, "repr")

    def read(self, location: JSON) -> object:
        with self.reads.open("a") as out:
            out.write(f"{location}\n")
        return location


class TestTheCommand:
    def test_json_is_a_list_in_run_order(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.run("bad", n=3)
        found = json.loads(story.ckpt("diff", "good", "bad", "--json", code=1).stdout)
        assert [each["call"] for each in found][:3] == ["n", "load-1", "scale-1"]
        assert len({each["id"] for each in found}) == len(found)
        by_id = {each["id"]: each for each in found}
        assert by_id["scale-1[3]"]["verdict"] == "only left"
        assert by_id["load-1"]["first"]
        assert by_id["load-1"]["difference"]["groups"][0]["changes"][0]["kind"] == "part"

    def test_ends_with_2_for_what_is_not_there(self, story: Story) -> None:
        assert "no run has been recorded" in story.ckpt("diff", "good", "bad", code=2).stderr
        story.write(CHAIN)
        story.run("good")
        assert "no run has the id or name 'goud'" in story.ckpt("diff", "good", "goud", code=2).stderr
        assert (
            "neither run has a task run 'totl'" in story.ckpt("diff", "good", "last", "--task", "totl", code=2).stderr
        )
        assert "take one of them" in story.ckpt("diff", "good", "last", "--task", "total", "--all", code=2).stderr
        with pytest.raises(NotFound, match="did you mean 'total"):
            story.diff("good", "good", task="totl")
        with pytest.raises(NotFound, match=r"neither run has a task run 'scale\[9\]'"):
            story.diff("good", "good", task="scale[9]")

    def test_names_packages_that_are_of_another_version(self, story: Story) -> None:
        (story.folder / "oddlib.py").write_text('__version__ = "1.0"\nFACTOR = 2\n')
        story.write("""
            import oddlib

            @task
            def scale(x):
                return getattr(oddlib, "FAC" + "TOR") * x

            with Flow("story") as flow:
                scale(1)
        """)
        story.python("good", PYTHONDONTWRITEBYTECODE="1")
        (story.folder / "oddlib.py").write_text('__version__ = "1.1"\nFACTOR = 33\n')
        story.python("bad", PYTHONDONTWRITEBYTECODE="1")
        out = story.ckpt("diff", "good", "bad", code=1).stdout
        assert "its code and inputs are the same, the environment is not: oddlib 1.0 → 1.1" in out
        assert "pid" not in out, "it is another process each time"

    def test_nothing_in_a_value_can_move_the_cursor(self, story: Story) -> None:
        story.write("""
            @task
            def say(text):
                return text

            with Flow("story") as flow:
                say("\\x1b[2J good")
        """)
        story.run("good")
        story.edit("\\x1b[2J good", "\\x1b[2J bad")
        story.run("bad")
        story.edit("return text", "raise ValueError(text)")
        story.run("failed")
        for names in (("good", "bad"), ("good", "failed")):
            out = story.ckpt("diff", *names, code=1).stdout
            assert "\x1b" not in out
            assert "argument text" in out
            assert "[2J" in out

    def test_says_on_a_terminal_what_is_read(self, story: Story) -> None:
        story.write(CHAIN)
        story.run("good")
        story.run("bad", n=3)
        leader, follower = pty.openpty()
        with subprocess.Popen(
            [CKPT, "diff", "good", "bad", "--json"],
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "TERM": "xterm"},
        ) as ran:
            os.close(follower)
            assert ran.stdout is not None
            out = ran.stdout.read()
            shown = b""
            while True:
                try:
                    more = os.read(leader, 10_000)
                except OSError:
                    break
                if not more:
                    break
                shown += more
        os.close(leader)
        assert json.loads(out)
        assert b"comparing values" in shown
