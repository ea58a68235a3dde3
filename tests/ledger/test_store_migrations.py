"""The tables of a ledger: made in steps, described once for statements, and never those of a newer ckpt-ledger."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect

from ckpt.errors import ConfigError, CorruptRecord
from ckpt_ledger import SQLLedger
from ckpt_ledger.sql import migrations, schema
from tests.ledger.ledger_records import a_run, a_task


def set_meta(ledger: SQLLedger, key: str, value: str) -> None:
    ledger._database.write(
        lambda connection: connection.execute(schema.meta.update().where(schema.meta.c.key == key).values(value=value))
    )


def test_the_steps_make_the_tables_that_the_statements_are_made_of(ledger: SQLLedger) -> None:
    with ledger._database.reading() as connection:
        found = inspect(connection)
        tables = {name for name in found.get_table_names() if name.startswith("ckpt_")}
        assert tables == set(schema.metadata.tables)
        for name, table in schema.metadata.tables.items():
            columns = {column["name"]: column for column in found.get_columns(name)}
            assert list(columns) == [column.name for column in table.columns], name
            keys = found.get_pk_constraint(name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key], name
            for column in table.columns:
                there = columns[column.name]
                if not column.primary_key:
                    assert there["nullable"] == column.nullable, (name, column.name)
                made, meant = (kind.as_generic().python_type for kind in (there["type"], column.type))
                assert made is meant, (name, column.name)


def test_a_newer_ledger_is_refused_with_the_line_that_upgrades(url: str, ledger: SQLLedger) -> None:
    ledger.begin(a_run())
    set_meta(ledger, "version", str(migrations.VERSION + 1))
    for create in (True, False):
        with pytest.raises(ConfigError, match="pip install --upgrade ckpt-ledger"):
            SQLLedger(url, create=create)
    set_meta(ledger, "version", str(migrations.VERSION))
    again = SQLLedger(url)
    assert len(again.runs()) == 1
    again.close()


@pytest.mark.parametrize("version", ["", "0", "-1", "one", "²"])
def test_a_ledger_that_does_not_say_its_version_is_refused(url: str, ledger: SQLLedger, version: str) -> None:
    set_meta(ledger, "version", version)
    with pytest.raises(CorruptRecord, match="does not say its version"):
        SQLLedger(url)


def test_an_older_ledger_is_brought_up_with_what_is_in_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SQLLedger(url)
    old.begin(a_run())
    old.record([a_task()])
    old.close()
    step = "ALTER TABLE ckpt_logs ADD COLUMN extra TEXT; CREATE INDEX ckpt_logs_extra ON ckpt_logs (extra)"
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, step))
    monkeypatch.setattr(migrations, "VERSION", migrations.VERSION + 1)
    for _ in range(2):
        new = SQLLedger(url, create=False)
        assert (new.id, new.tasks(a_run().id)) == (old.id, [a_task()])
        with new._database.reading() as connection:
            assert "extra" in {column["name"] for column in inspect(connection).get_columns("ckpt_logs")}
        new.close()
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="pip install --upgrade ckpt-ledger"):
        SQLLedger(url)


def test_a_step_that_fails_leaves_the_ledger_as_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SQLLedger(url)
    old.begin(a_run())
    old.close()
    step = "ALTER TABLE ckpt_logs ADD COLUMN extra TEXT; CREATE INDEX ckpt_logs_run ON ckpt_logs (extra)"
    with monkeypatch.context() as context:
        context.setattr(migrations, "STEPS", (*migrations.STEPS, step))
        context.setattr(migrations, "VERSION", migrations.VERSION + 1)
        with pytest.raises((CorruptRecord, ConfigError, ConnectionError)):
            SQLLedger(url)
    again = SQLLedger(url)
    assert len(again.runs()) == 1
    again.close()
