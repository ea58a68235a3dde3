"""Keys that a storage may stumble over: each is kept as what it is, or refused."""

from __future__ import annotations

from typing import Final

__all__ = ["ODD_KEYS", "PAIRS", "shown"]

PAIRS: Final[tuple[tuple[str, str], ...]] = (
    ("a/b", "a_b"),
    ("a/b", "a%2Fb"),
    ("a/b", "a//b"),
    ("a/b", "a/./b"),
    ("a/b", "a/c/../b"),
    ("a/b", "/a/b"),
    ("a/b", "a/b/"),
    ("a/b", "a\\b"),
    ("a/b", "a/b.ckpt"),
    ("case", "CASE"),
    ("\u00e9", "e\u0301"),
    ("a b", "a+b"),
    ("a b", "a%20b"),
    ("a b", "a  b"),
    ("spaces", " spaces"),
    ("spaces", "spaces "),
    ("dot", "dot."),
    ("nul", "nul\0"),
    ("line", "line\n"),
    ("line", "line\r\n"),
    ("x" * 1000, "x" * 999 + "y"),
    ("/".join(["part"] * 200), "/".join([*["part"] * 199, "trap"])),
    ("p" * 255, "p" * 256),
    ("1", "01"),
    ("ﬁ", "fi"),
    ("\u200b", "\u200b\u200b"),
)
"""Keys that a storage which rewrites them could take for one another."""

_ALONE: Final = (
    "",
    " ",
    ".",
    "..",
    "/",
    "//",
    "../outside",
    "a/../../outside",
    "..\\outside",
    "/tmp/ckpt-kit-outside",  # noqa: S108  nothing may be written there
    "~",
    "~/home",
    "$HOME/x",
    "${HOME}",
    "%2e%2e/x",
    "CON",
    "nul.txt",
    "AUX/x",
    "COM1",
    "C:\\x",
    "C:x",
    "a:b",
    "file:///x",
    "s3://bucket/x",
    "-rf",
    "--help",
    "*",
    "?",
    "a?b#c&d=e",
    "[x]",
    "{x}",
    '"quoted"',
    "'; DROP TABLE x; --",
    "<x>",
    "a|b",
    "`x`",
    ".hidden",
    ".tmp",
    "x.tmp",
    "x.lock",
    ".ckpt-tmp-x",
    ".git/config",
    "日本語/ключ/😀",
    "\u202egnp.exe",
    "\ud800",
    "\x7f",
    "\x1b[31m",
    "😀" * 250,
)

ODD_KEYS: Final = tuple(dict.fromkeys([*(key for pair in PAIRS for key in pair), *_ALONE]))


def shown(key: str) -> str:
    """The key as a reader can take it in."""
    return ascii(key) if len(key) <= 40 else f"{key[:8]!a}… ({len(key)} characters)"
