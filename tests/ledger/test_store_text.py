"""Text that looks like SQL is text: in every argument of every method."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from ckpt import CallPath, Identity, SafeResult
from ckpt.errors import CkptError
from ckpt.task_records import CallArguments, Place, RunRecord, Source
from ckpt_ledger import SQLLedger
from tests.ledger.ledger_records import START, a_line, a_run, a_task

ATTACKS = [
    "'; DROP TABLE ckpt_tasks; --",
    '"; DELETE FROM ckpt_runs; --',
    "x' OR '1'='1",
    "%s %(run)s ? :run ?1 $1 {run}",
    "\\'; DELETE FROM ckpt_runs; --",
    "%' ESCAPE '\\",
]

each_attack = pytest.mark.parametrize("text", ATTACKS)


@each_attack
def test_every_text_of_a_record_comes_back_as_it_is(ledger: SQLLedger, text: str) -> None:
    spec = {text: text, "type": text}
    run = RunRecord(
        text, text, START, text, text, {text: text}, text, {text: [text]}, text, 1, (Place(spec, text),), text, text
    )
    task = a_task(
        run=text, state=text, message=text, outcome=text, handler=text, level=text, identity=Identity(text), task=text,
        safe=SafeResult({text: text}, spec, digest=text, size=1, serializer=text), summary={text: text}, error=text,
        inputs={text: (Source(CallPath(text, 1), text),)}, code=text, arguments=text, origin=text,
    )  # fmt: skip
    given = CallArguments(text, text.encode())
    line = a_line(text, text, run=text)
    ledger.begin(run)
    ledger.record([task], [given])
    ledger.log([line])
    assert ledger.find(text).record == run
    assert ledger.tasks(text) == [task]
    assert (ledger.arguments(text), ledger.logs(text, CallPath(text))) == (given, [line])
    ledger.heartbeat(text)
    ledger.end(text, text, text)
    row = ledger.find(text)
    assert (row.state, row.message, row.tasks) == (text, text, 1)


@each_attack
def test_no_argument_of_a_question_is_more_than_text(ledger: SQLLedger, text: str) -> None:
    for run in ("2026a", "2026b"):
        ledger.begin(a_run(run, name="good"))
        ledger.record([a_task(run=run, identity=Identity("i"))])
        ledger.log([a_line("hello", run=run)])
    questions: list[Callable[[], object]] = [
        lambda: ledger.runs(flow=text),
        lambda: ledger.runs(name=text),
        lambda: ledger.runs(state=text),
        lambda: ledger.runs(before=text),
        lambda: ledger.find(text),
        lambda: ledger.find("last", flow=text),
        lambda: ledger.previous(text),
        lambda: ledger.tasks(text),
        lambda: ledger.task("2026a", text),
        lambda: ledger.task(text, "clean-1"),
        lambda: ledger.logs(text),
        lambda: ledger.logs("2026a", CallPath(text)),
        lambda: ledger.arguments(text),
        lambda: ledger.prior(text, flow=text),
        lambda: ledger.lookup([Identity(text)]),
        lambda: ledger.references([text]),
        lambda: ledger.rename(text, text),
        lambda: ledger.heartbeat(text),
        lambda: ledger.end(text, text, text),
        lambda: ledger.delete_runs([text]),
    ]
    for number, question in enumerate(questions):
        answer: object = None
        with suppress(CkptError):
            answer = question()
        assert not answer, number
    ledger.rename("2026a", text)
    assert ledger.find(text).id == "2026a"
    assert {row.id for row in ledger.runs()} == {"2026a", "2026b"}
    assert [len(ledger.tasks(run)) + len(ledger.logs(run)) for run in ("2026a", "2026b")] == [2, 2]
