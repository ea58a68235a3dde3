"""Heavy things are imported where they are used: `import ckpt` costs next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = {
    "asyncio", "click", "cloudpickle", "concurrent.futures.process", "importlib_metadata", "multiprocessing", "numpy",
    "pandas", "pluggy", "rich", "tomllib",
}  # fmt: skip
SDKS = {"azure", "boto3", "botocore", "google", "numpy", "pandas", "psycopg", "sqlalchemy"}


def loaded_by(program: str) -> set[str]:
    """Names of the modules that a new process has loaded after `program`, less those of a bare Python."""
    tail = "\nimport sys, json; print(json.dumps(list(sys.modules)))"
    bare, full = (
        set(json.loads(subprocess.run([sys.executable, "-c", code + tail], check=True, capture_output=True).stdout))
        for code in ("", program)
    )
    return full - bare


def test_import_ckpt_loads_nothing_heavy() -> None:
    loaded = loaded_by("import ckpt")
    assert "ckpt" in loaded
    assert loaded & HEAVY == set()


def test_building_a_flow_loads_no_plugin_machinery() -> None:
    loaded = loaded_by("""
import ckpt

@ckpt.task
def add(x, y=1):
    return x + y

with ckpt.Flow("light") as flow:
    add(add(1), y=2)
""")
    assert loaded & HEAVY == set()


def test_finding_the_plugins_loads_no_sdk() -> None:
    names = "AzureResultHandler, GCSResultHandler, JSONResultHandler, LocalResultHandler, S3ResultHandler"
    loaded = loaded_by(f"from ckpt.result_handlers import {names}")
    assert {"ckpt_azure", "ckpt_gcs", "ckpt_json", "ckpt_local", "ckpt_s3"} <= loaded
    assert loaded & SDKS == set()


def test_finding_the_ledger_loads_no_sql() -> None:
    switched_off = """if True:
        import os
        os.environ["CKPT__LEDGER__ENABLED"] = "no"
        from ckpt import config, plugins
        assert [cls.from_settings(config.load()) for cls in plugins.ledger_classes()] == [None]
    """
    loaded = loaded_by(switched_off)
    assert "ckpt_ledger" in loaded
    assert loaded & SDKS == set()
