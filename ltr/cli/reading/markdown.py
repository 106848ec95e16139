"""Markdown laid out for a terminal: wrapped, with tables in columns, and colours where they are wanted."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator

BOLD, ITALIC, CODE, HEAD, PLAIN = "\033[1m", "\033[3m", "\033[36m", "\033[1;4m", "\033[0m"
#: code, bold and italic words in a text, which may run over the end of a line
MARKS = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*|(?<![\w*])\*(?! )([^*]+)\*(?![\w*])", re.DOTALL)
#: between the columns of a table
GAP = "  "
#: no column of a table becomes narrower than this
NARROWEST = 12


def laid_out(text: str, width: int, colours: bool = True) -> str:
    """The text of a page, as a terminal shows it.

    Knows what guides are made of: headings, paragraphs, lists, tables, fenced code, pictures, links. Code is never
    wrapped: it is there to be copied.

    Args:
        text: Markdown.
        width: columns of the terminal.
        colours: mark headings and code by terminal codes; without them code keeps its `quotes`.
    """

    def marked(code: str, words: str) -> str:
        return f"{code}{words}{PLAIN}" if colours else words

    shown = (_block(block, width, marked) for block in _blocks(text))
    return "\n\n".join("\n".join(lines) for lines in shown if lines) + "\n"


def _blocks(text: str) -> Iterator[list[str]]:
    """Paragraphs, lists, tables, headings, and whole fenced blocks with their fences."""
    block: list[str] = []
    fence = False
    for line in text.splitlines():
        edge = line.startswith("```")
        alone = not fence and (edge or not line.strip() or line.startswith("#"))
        if alone and block:
            yield block
            block = []
        if line.strip() or fence:
            block.append(line)
        if (edge and fence) or (not fence and line.startswith("#")):
            yield block
            block = []
        fence ^= edge
    if block:
        yield block


def _block(block: list[str], width: int, marked: Callable[[str, str], str]) -> list[str]:
    first = block[0]
    if first.startswith("```"):
        title = re.search(r'title="([^"]+)"', first)
        head = [f"    {title[1]}:"] if title else []
        return [*head, *("    " + marked(CODE, line) if line.strip() else "" for line in block[1:-1])]
    if first.startswith("#"):
        return [marked(HEAD if first.startswith("# ") else BOLD, _inline(first.lstrip("# ")))]
    if first.startswith("|"):
        return _table([_cells(line) for line in block if not set(line) <= set("|-: ")], width, marked)
    if first.startswith("!["):
        return []

    def shown(match: re.Match) -> str:
        code, bold, italic = match.groups()
        if code:
            return marked(CODE, code if marked(CODE, "") else f"`{code}`")
        return marked(BOLD, bold) if bold else marked(ITALIC, italic)

    lines = [line for item in _items(block) for line in _wrapped(_links(" ".join(item)), width)]
    return MARKS.sub(shown, "\n".join(lines)).splitlines()


def _items(block: list[str]) -> list[list[str]]:
    """Lines of a paragraph, or of each entry of a list."""
    items: list[list[str]] = []
    for line in block:
        if not items or re.match(r"\s*(?:[-*]|\d+\.) ", line):
            items.append([line.rstrip()])
        else:
            items[-1].append(line.strip())
    return items


def _wrapped(text: str, width: int) -> list[str]:
    mark = re.match(r"\s*(?:(?:[-*]|\d+\.) )?", text)
    indent = " " * len(mark[0]) if mark else ""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _links(text: str) -> str:
    """Links in words: other guides by their command, pages of the web by their address, files by what is said."""
    text = re.sub(r"\[([^\]]+)\]\((\w+)\.md(?:#[\w-]+)?\)", r"\1 (`ltr guide \2`)", text)
    text = re.sub(r"\[([^\]]+)\]\((https?://[^)]+)\)", r"\1 (\2)", text)
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)


def _inline(text: str) -> str:
    """Text without marks."""
    return MARKS.sub(lambda match: match[1] or match[2] or match[3], _links(text))


def _cells(line: str) -> list[str]:
    return [_inline(cell.strip().replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def _table(rows: list[list[str]], width: int, marked: Callable[[str, str], str]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    lines: list[str] = []
    for number, row in enumerate(rows):
        cells = [textwrap.wrap(cell, w, break_on_hyphens=False) or [""] for cell, w in zip(row, widths, strict=True)]
        for height in range(max(map(len, cells))):
            parts = [cell[height] if height < len(cell) else "" for cell in cells]
            line = GAP.join(f"{part:<{w}}" for part, w in zip(parts, widths, strict=True)).rstrip()
            lines.append(line if number else marked(BOLD, line))
        if not number:
            lines.append(GAP.join("-" * w for w in widths))
        elif max(map(len, cells)) > 1 and number + 1 < len(rows):
            lines.append("")
    return lines
