"""Why a task was run, reused or left out, and what has changed since which run."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ckpt.errors import NotFound
from ckpt_ledger.compare.explanations import Explanation, explain
from tests.ledger.stories import Story

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
    made = Story(tmp_path)
    made.write(CHAIN)
    return made


def why(story: Story, run: str, text: str, since: str | None = None) -> Explanation:
    ledger = story.ledger
    return explain(ledger, ledger.find(run), text, None if since is None else ledger.find(since))


def causes(found: Explanation) -> list[str]:
    return [cause.text for cause in found.causes]


class TestARunThatGoesOnFromNoOther:
    def test_runs_everything_and_says_so(self, story: Story) -> None:
        story.run("first")
        found = why(story, "first", "total")
        assert found.action == "ran"
        assert "this run goes on from no other, and the task has no cache=" in found.why
        assert found.since is None
        assert causes(found) == []
        assert "there is no earlier run of this flow" in story.ckpt("why", "first", "total", code=0).stdout

    def test_is_compared_with_the_one_before_it(self, story: Story) -> None:
        story.run("first")
        story.run("second")
        found = why(story, "second", "total")
        assert found.since is not None
        assert found.since.name == "first"
        assert causes(found) == []
        assert "nothing has changed since run" in story.ckpt("why", "second", "total", code=0).stdout

    def test_says_of_what_ckpt_does_not_see_that_the_value_is_another_all_the_same(self, story: Story) -> None:
        story.edit("return list(range(n))", "import uuid; return [uuid.uuid4().int for _ in range(n)]")
        story.run("first")
        story.run("second")
        said = story.ckpt("why", "second", "load", code=0).stdout
        assert "nothing has changed since run" in said
        assert "kept as other bytes" in said
        [command] = [line.partition(": ")[2] for line in said.splitlines() if "ckpt diff" in line]
        assert "difference in load-1" in story.ckpt(*command.split()[1:], code=1).stdout
        assert why(story, "second", "load").has_other_bytes
        assert not why(story, "second", "n").has_other_bytes

    def test_names_the_constant_the_code_and_the_parameter_that_changed_and_where(self, story: Story) -> None:
        story.run("first")
        story.edit('"sum"', '"SUM"')
        story.edit("x * k", "x * k + (x == 3)")
        story.run("second", n=5)
        assert causes(why(story, "second", "load")) == ["parameter n: 4 → 5"]
        found = why(story, "second", "total")
        assert found.causes[0].argument == "xs"
        assert "children of scale-1 differ" in found.causes[0].text
        assert (found.causes[1].left, found.causes[1].right) == ("'sum'", "'SUM'")
        upstream = {str(call): said for call, said in found.roots}
        assert upstream["load-1"] == "parameter n: 4 → 5"
        assert "its code has changed" in upstream["scale-1[3]"]
        assert causes(why(story, "second", "n")) == ["it was 4, it is 5"]

    def test_of_a_mapped_call_says_how_many_changed(self, story: Story) -> None:
        story.run("first")
        story.edit("unmapped(2)", "unmapped(3)")
        story.run("second")
        found = why(story, "second", "scale-1")
        assert found.action == "mapped"
        assert "4 elements: 4 ran" in found.why
        assert "argument k: 2 → 3" in causes(found)[0]

    def test_can_be_compared_with_another(self, story: Story) -> None:
        story.run("first")
        story.edit('"sum"', '"SUM"')
        story.run("second")
        story.run("third")
        assert causes(why(story, "third", "total")) == []
        [said] = causes(why(story, "third", "total", since="first"))
        assert said.startswith("argument tag")


class TestARunThatGoesOnFromAnother:
    def test_reuses_what_is_the_same_and_names_the_run(self, story: Story) -> None:
        story.run("first")
        story.edit('"sum"', '"SUM"')
        story.run("second", resume="first")
        first = story.ledger.find("first").id
        found = why(story, "second", "load")
        assert found.action == "reused"
        assert f"its value is that of run {first}; this run goes on from there" in found.why
        found = why(story, "second", "scale-1")
        assert "4 elements: 4 reused" in found.why
        found = why(story, "second", "total")
        assert f"something has changed since run {first}" in found.why
        assert causes(found)[0].startswith("argument tag")

    def test_of_a_mapped_call_counts_only_what_ran(self, story: Story) -> None:
        story.write("""
            @task
            def square(x):
                return x * x

            with Flow("story") as flow:
                square.map([2, 3, 4])
        """)
        story.run("first")
        story.edit("[2, 3, 4]", "[2, 3, 5]")
        story.run("second", resume="first")
        found = why(story, "second", "square-1")
        assert "2 reused" in found.why
        assert "1 ran" in found.why
        [said] = causes(found)
        assert said.startswith("the element that it maps over: 4 → 5")
        assert not said.endswith("of 3)")

    def test_is_compared_with_that_and_not_with_the_one_before(self, story: Story) -> None:
        story.run("first")
        story.edit("x * k", "x * k + 1")
        story.run("other")
        story.edit("x * k + 1", "x * k")
        story.edit('"sum"', '"SUM"')
        story.run("second", resume="first")
        found = why(story, "second", "total")
        assert found.since is not None
        assert found.since.name == "first"
        assert len(causes(found)) == 1
        assert causes(found)[0].startswith("argument tag")

    def test_says_that_a_task_had_failed(self, story: Story) -> None:
        story.edit("return x * k", "return [x * k][x == 2]")
        story.run("first")
        story.edit("return [x * k][x == 2]", "return [x * k][0]")
        story.run("second", resume="first")
        found = why(story, "second", "scale-1[2]")
        assert "something has changed" in found.why
        assert "its code has changed" in causes(found)[0]
        story.run("third", resume="second", from_task=("total",))
        assert "it was asked for with --from" in why(story, "third", "total").why

    def test_says_that_it_had_failed_with_the_same_code(self, story: Story) -> None:
        story.edit("return list(range(n))", "return list(range(int(__import__('pathlib').Path('n.txt').read_text())))")
        story.run("first")
        (story.folder / "n.txt").write_text("3")
        story.run("second", resume="first")
        found = why(story, "second", "load")
        assert "it ended Failed in run" in found.why
        assert "n.txt" in found.why

    def test_says_that_a_value_was_not_kept(self, story: Story) -> None:
        story.edit("@task\ndef load", "@task(checkpoint=False)\ndef load")
        story.run("first")
        story.edit("x * k", "x * k + 1")
        story.run("second", resume="first")
        found = why(story, "second", "load")
        assert "its value was not kept in run" in found.why
        assert found.kept == "not kept: opted out"


GUESS = "depends on something else"


class TestAfterARunThatCameToNoValue:
    @pytest.mark.parametrize(
        ("how", "said", "collected"),
        [
            ("raise KeyboardInterrupt", "it was Cancelled in run {}", "it was Cancelled in run {}"),
            ("raise ValueError('boom')", "it ended Failed in run {}", "it ended TriggerFailed in run {}"),
        ],
    )
    def test_says_how_it_had_ended_and_makes_up_no_cause(
        self, story: Story, how: str, said: str, collected: str
    ) -> None:
        self.stop(story, how)
        story.run("second", resume="first")
        first = story.ledger.find("first").id
        stopped = why(story, "second", "scale[2]")
        assert said.format(first) in stopped.why
        assert "so it ran here" in stopped.why
        assert causes(stopped) == []
        assert said.format(first) in causes(why(story, "second", "scale"))[-1]
        total = why(story, "second", "total")
        assert collected.format(first) in total.why
        assert {str(call).partition("[")[0] for call, _ in total.roots} == {"scale-1"}
        assert any(said.format(first) in text for _, text in total.roots)
        for call in ("scale[2]", "scale[3]", "scale", "total"):
            out = story.ckpt("why", "second", call, code=0).stdout
            assert GUESS not in out
            assert "something has changed" not in out

    def test_says_what_has_changed_as_well(self, story: Story) -> None:
        self.stop(story, "raise ValueError('boom')")
        story.edit('"sum"', '"SUM"')
        story.run("second", resume="first")
        found = why(story, "second", "total")
        assert "it ended TriggerFailed" in found.why
        assert causes(found)[-1].startswith("argument tag")

    def test_without_going_on_from_it_that_is_what_has_changed(self, story: Story) -> None:
        self.stop(story, "raise ValueError('boom')")
        story.run("second")
        [said] = causes(why(story, "second", "scale[2]"))
        assert "it ended Failed in run" in said
        assert GUESS not in story.ckpt("why", "second", "total", code=0).stdout

    def test_a_value_that_was_not_kept_is_no_cause_of_another_kind(self, story: Story) -> None:
        story.edit("@task\ndef load", "@task(checkpoint=False)\ndef load")
        story.run("first")
        story.edit("@task(checkpoint=False)\ndef load", "@task\ndef load")
        story.run("second", resume="first")
        first = story.ledger.find("first").id
        assert f"its value was not kept in run {first}" in why(story, "second", "load").why
        [said] = causes(why(story, "second", "scale[1]"))
        assert f"the value of load-1 was not kept in run {first}" in said
        assert GUESS not in story.ckpt("why", "second", "total", code=0).stdout

    def test_of_a_mapped_call_in_a_killed_run_says_that_it_had_not_ended(self, story: Story) -> None:
        story.run("first")
        with sqlite3.connect(Path.home() / ".ckpt" / "ledger.db") as database:
            database.execute(
                "DELETE FROM ckpt_tasks WHERE slug = 'total-1' OR slug = 'scale-1' AND map_index IN (-1, 3)"
            )
            database.execute("UPDATE ckpt_runs SET ended = NULL, state = NULL, tasks = NULL, heartbeat = 0")
        story.edit("x * k", "x * k + 1")
        story.run("second", resume="first")
        first = story.ledger.find("first").id
        out = story.ckpt("why", "second", "scale", code=0).stdout
        assert "no such task run" not in out
        assert (
            f"run {first}, which it was compared with, did not come to the end of that call: 3 of its children" in out
        )
        assert "its code has changed, that of no other task (3 of 4)" in out
        out = story.ckpt("why", "second", "total", code=0).stdout
        assert f"run {first} has no such task run, and it has not ended (Lost)" in out

    def stop(self, story: Story, how: str) -> None:
        """Run it once so that a child does that, with the same code as later."""
        marker = story.folder / "stop"
        story.edit(
            "return x * k", f"if x == 2 and __import__('pathlib').Path('stop').exists(): {how}\n    return x * k"
        )
        marker.touch()
        with suppress(KeyboardInterrupt):
            story.run("first")
        marker.unlink()


class TestCache:
    @pytest.fixture
    def cached(self, story: Story) -> Story:
        story.edit("@task\ndef load", "@task(cache=True)\ndef load")
        story.run("first")
        return story

    def test_a_hit_names_the_run(self, cached: Story) -> None:
        cached.edit('Flow("story")', 'Flow("tale")')
        cached.run("second")
        found = why(cached, "second", "load")
        assert found.action == "reused"
        assert f"its value is that of run {cached.ledger.find('first').id}; it has cache=" in found.why

    def test_a_miss_says_what_changed(self, cached: Story) -> None:
        cached.run("second", n=7)
        found = why(cached, "second", "load")
        assert "no run had kept a value of the same code and inputs" in found.why
        assert causes(found) == ["parameter n: 4 → 7"]

    def test_a_value_that_cannot_be_read_is_told_with_its_run(self, cached: Story) -> None:
        cached.object("first", "load").unlink()
        cached.run("second")
        found = why(cached, "second", "load")
        first = cached.ledger.find("first").id
        assert found.action == "ran"
        assert (
            f"run {first} has a value of the same code and inputs, which could not be read, or a refresh" in found.why
        )

    def test_no_refresh_is_suspected_where_others_of_the_call_were_reused(self, cached: Story) -> None:
        cached.edit("@task\ndef scale", "@task(cache=True)\ndef scale")
        cached.run("second")
        cached.object("second", "scale[1]").write_bytes(b"")
        cached.run("third")
        assert why(cached, "third", "scale[0]").action == "reused"
        said = why(cached, "third", "scale[1]").why
        assert f"run {cached.ledger.find('second').id} has a value" in said
        assert said.endswith("which could not be read")

    def test_a_value_whose_time_is_over_is_told_with_its_run(self, story: Story) -> None:
        story.edit("@task\ndef load", "@task(cache=0.001)\ndef load")
        story.run("first")
        time.sleep(0.05)
        story.run("second")
        said = why(story, "second", "load").why
        assert (
            f"the value of the same code and inputs that run {story.ledger.find('first').id} had kept had expired"
            in said
        )

    def test_a_value_that_was_not_offered_is_told_with_its_run(self, story: Story) -> None:
        story.run("first")
        story.edit("@task\ndef load", "@task(cache=True)\ndef load")
        story.run("second")
        first = story.ledger.find("first").id
        assert f"run {first} computed the same, and it offers it to no other" in why(story, "second", "load").why


class TestWhatDidNotRun:
    def test_names_the_failure_upstream_however_far_it_is(self, story: Story) -> None:
        story.edit('"sum")', '"sum")\n    far = total([end], "far")')
        story.edit("return x * k", "return [x * k][x == 2]")
        story.run("bad")
        found = why(story, "bad", "total-2")
        assert found.action == "not run"
        assert [str(call) for call, _ in found.roots] == ["scale-1[2]"]
        assert "IndexError" in found.roots[0][1]
        out = story.ckpt("why", "bad", "total-2", code=0).stdout
        assert "ckpt why bad 'scale-1[2]'" in out

    def test_names_a_failure_that_it_only_waited_for(self, story: Story) -> None:
        story.write("""
            @task
            def check():
                raise ValueError("not today")

            @task
            def go():
                return 1

            with Flow("story") as flow:
                go(upstream_tasks=[check()])
        """)
        story.run("bad")
        assert [str(call) for call, _ in why(story, "bad", "go").roots] == ["check-1"]

    def test_names_the_task_that_skipped(self, story: Story) -> None:
        story.edit("return list(range(n))", "raise SKIP('nothing new')")
        story.run("empty")
        found = why(story, "empty", "total")
        assert found.action == "skipped"
        assert [(str(call), said) for call, said in found.roots] == [("load-1", "Skipped: nothing new")]

    def test_a_failed_task_says_what_changed_since_it_worked(self, story: Story) -> None:
        story.run("good")
        story.edit("return x * k", "return [x * k][x == 2]")
        story.run("bad")
        found = why(story, "bad", "scale-1[2]")
        assert found.action == "ran"
        assert "ended Failed" in found.why
        assert "its code has changed" in causes(found)[0]


class TestTheHandler:
    @pytest.mark.parametrize(
        ("old", "new", "level"),
        [
            ("@task\ndef load", "@task\ndef load", "storage"),
            ("@task\ndef load", "@task(result_handler=__import__('ckpt_json').JSONResultHandler())\ndef load", "task"),
            ('Flow("story")', 'Flow("story", result_handler=__import__("ckpt_json").JSONResultHandler())', "flow"),
        ],
    )
    def test_is_told_with_the_level_that_chose_it(self, story: Story, old: str, new: str, level: str) -> None:
        story.edit(old, new)
        story.run("first")
        found = why(story, "first", "load")
        assert found.record.level == level
        assert f"chosen at the level {level}" in found.kept
        assert ("JSONResultHandler" if level != "storage" else "LocalResultHandler") in found.kept

    def test_of_a_parameter_is_json(self, story: Story) -> None:
        story.run("first")
        assert why(story, "first", "n").kept == (
            "kept by JSONResultHandler(), chosen at the level parameter, as for every parameter"
        )


def test_json_is_a_list_of_one(story: Story) -> None:
    story.run("first")
    story.run("second", n=5)
    [found] = json.loads(story.ckpt("why", "second", "load", "--json", code=0).stdout)
    assert found["id"] == found["call"] == "load-1"
    assert found["action"] == "ran"
    assert found["compared_with"] == story.ledger.find("first").id
    assert found["causes"] == [
        {"kind": "parameter", "text": "parameter n: 4 → 5", "argument": "n", "left": "4", "right": "5"}
    ]


def test_no_value_is_read(story: Story) -> None:
    story.run("first")
    story.edit("x * k", "x * k + 1")
    story.run("second")
    for path in story.kept.rglob("*.ckpt"):
        path.unlink()
    assert "its code has changed" in causes(why(story, "second", "scale-1"))[0]


def test_what_is_not_there_is_named_with_the_nearest(story: Story) -> None:
    story.run("first")
    with pytest.raises(NotFound, match="did you mean 'total"):
        why(story, "first", "totl")
    assert "no run has the id or name" in story.ckpt("why", "frist", "total").stderr
