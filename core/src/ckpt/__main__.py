"""`python -m ckpt` is the command `ckpt`."""

from __future__ import annotations

import sys

from ckpt.cli import main

if __name__ == "__main__":
    sys.exit(main())
