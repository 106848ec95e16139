"""What README and guides show, taken apart: fenced blocks, files with a title, commands as a shell would split them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "ltr" / "guides"
#: pages whose commands are checked
PAGES = [
    ROOT / "README.md",
    *sorted(GUIDES.glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("configs/recipes", "configs/benchmarks", "data")),
]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is (title="..."), its text, the line at which it begins."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found[1], found[2], found[3], text.count("\n", 0, found.start()) + 2)
        for found in re.finditer(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    ]


def commands(block: Block) -> list[list[str]]:
    """The commands of a block of shell, as lists of words; variables set before a command and what stands behind > or | are apart."""
    if block.language not in ("", "sh", "console"):
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    if not block.language:  # forms of files, too
        lines = [line for line in lines if re.match(r" *ltr \w", line)]
    return [words for line in lines for words in _words(line)]


def printed(block: Block) -> list[tuple[list[str], str]]:
    """(command, what it printed) for each command of a console."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
    return [(words, output) for command, output in found for words in _words(command)]


def _words(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line.replace("$year", "2019"), posix=True, punctuation_chars="|;<>&")
    lexer.whitespace_split = True
    simple: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if set(word) <= set("|;&"):
            simple.append([])
        elif set(word) <= set("<>"):
            skip = True  # the file behind it is no argument
        elif skip:
            skip = False
        elif simple[-1] or not re.fullmatch(r"\w+=.*", word):
            simple[-1].append(word)
    return [words for words in simple if words and words[0] not in ("for", "do", "done", "echo", "cat")]
