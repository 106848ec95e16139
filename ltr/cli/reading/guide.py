"""``ltr guide``: the guides that come with ltr, in the terminal."""

from __future__ import annotations

import os
import pydoc
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ltr.cli.command import run
from ltr.errors import ConfigError
from ltr.io.names import suggestion

FOLDER = Path(__file__).parents[2] / "guides"
#: how the contents list a guide: - [name](name.md): what it tells
ENTRY = re.compile(r"^- \[(\w+)\]\((\w+)\.md\): (.+)$", re.MULTILINE)
#: lines longer than this are hard to read, however wide the terminal is
WIDEST = 110


def guide(name: str | None = None, /) -> None:
    """List the guides, or read one of them: ltr guide training.

    On a terminal a guide is laid out and shown page by page (PAGER); into a pipe or a file it goes as Markdown.

    Args:
        name: which guide; without it, all are listed.
    """
    if name is None:
        print(contents())
        return
    text = page(name)
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from ltr.cli.reading.markdown import laid_out

    os.environ.setdefault("LESS", "FRX")  # leave at once where a page is enough, and take colours as colours
    pydoc.pager(laid_out(text, min(WIDEST, shutil.get_terminal_size().columns), colours="NO_COLOR" not in os.environ))


def summaries() -> dict[str, str]:
    """Name -> what the guide tells, in reading order."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    return {name: summary for name, _, summary in ENTRY.findall(text)}


def contents() -> str:
    """All guides, one line each."""
    pages = summaries()
    width = max(map(len, pages))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in pages.items()]
    return "\n".join(["ltr guide NAME prints one of", "", *lines])


def page(name: str) -> str:
    """The Markdown of a guide.

    Raises:
        ConfigError: there is no such guide; the nearest is named.
    """
    known = summaries()
    chosen = name.lower().removesuffix(".md")
    if chosen not in known:
        raise ConfigError(f"no guide {name!r}; {suggestion(chosen, known)}; ltr guide lists them")
    return (FOLDER / f"{chosen}.md").read_text(encoding="utf-8")


def main(argv: Sequence[str]) -> None:
    return run(guide, argv, prog="ltr guide")
