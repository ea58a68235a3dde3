"""The command `ckpt`; needs the extra `cli`, and says so where that is missing.

command     the group, and what an error looks like     targets   FILE[:flow], and how it is completed
run         ckpt run                                    progress  what is shown while a flow runs
explain     ckpt explain                                summary   what is said when it has ended
read        ckpt read                                   output    tables, JSON, text that is safe to print
new_plugin  ckpt new-plugin                         skeleton  the package that it makes
check, config, plugins, completion: the commands of these names
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command with the arguments of this process and return its exit code."""
    try:
        from ckpt.cli.command import invoke
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.stderr.write("The command `ckpt` needs click and rich:\n\n    pip install 'ckpt-core[cli]'\n")
        return 2
    return invoke()
