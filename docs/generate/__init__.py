"""What the reference says, taken from the code when the site is built.

A page holds `<!-- generated: settings -->` where the text of that name belongs. Links to tests, such as
`../../tests/core/test_records.py#test_a_value_comes_back_equal`, lead to the file where the page is read as a file, and
to the source of the test where it is read as a site. `name?` in a table of contents stands for a page if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import api, command, facts, proofs

__all__ = ["PARTS", "expand"]

PARTS: Mapping[str, Callable[[], str]] = {
    "api": api.everything,
    "command": command.every_command,
    "errors": facts.errors,
    "handlers": api.handlers,
    "hooks": facts.hooks,
    "keys": facts.keys,
    "record": facts.record,
    "settings": facts.settings,
    "states": facts.states,
    "storage-options": facts.storage_options,
    "tests": proofs.every_linked_test,
    "triggers": facts.triggers,
}

_IF_THERE = re.compile(r"^([\w-]+)\?$", re.MULTILINE)
_MARK = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)


def expand(page: str, folder: Path) -> str:
    """The page, of that folder, with what is generated in it and its links to tests leading to the page of tests.

    Raises: `KeyError` for a name that nothing generates.
    """
    page = _IF_THERE.sub(lambda entry: entry[1] if (folder / f"{entry[1]}.md").is_file() else "", page)
    return proofs.LINK.sub(r"](#\g<label>)", _MARK.sub(lambda mark: PARTS[mark[1]](), page))
