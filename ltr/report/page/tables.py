"""Tables and texts of a page as HTML; everything that a user wrote is escaped here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from numbers import Real
from typing import Any

from ltr.report.tables.table import Cell, Table


def html_table(table: Table, told: str = "") -> str:
    """A table with caption, conventions and notes; its columns can be sorted where a script runs.

    Args:
        table: the table.
        told: conventions that stand above it already; where they are the table's, they are not said again.
    """
    cells = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in table.rows]
    numeric = [_numeric([row[j] for row in cells]) for j in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{_class("number" if right else "")}>{_breakable(str(name))}</th>'
        for name, right in zip(table.columns, numeric, strict=True)
    )
    rows = "".join(f"<tr>{''.join(_cell(c, j, table.digits) for j, c in enumerate(row))}</tr>" for row in cells)
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    label = escape(table.title or f"table of {', '.join(map(str, table.columns))}")
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    ranges = [any(c.interval or c.spread is not None for c in column) for column in zip(*cells, strict=True)]
    single = " single" if sum(ranges) == 1 else ""  # printed, they have room beside their values
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{label}"><table class="sortable{single}">{caption}'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        + (f'<p class="small">{escape(table.header)}</p>' if table.header not in ("", told) else "")
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str) -> str:
    """A table without notes."""
    return html_table(Table(columns, rows, title))


def named(name: str) -> str:
    """A system's name, which may break after brackets and commas.

    >>> named("RankNet(2)")
    '<span class="name">RankNet(<wbr>2)</span>'
    """
    return f'<span class="name">{_breakable(name)}</span>'


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text; `code` and **strong** words as in Markdown, nothing else.

    >>> paragraphs("It is `a < b`.")
    ['It is <code>a &lt; b</code>.']
    """
    texts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return [_marked(part) for part in texts if part]


def _marked(text: str) -> str:
    pieces = re.split(r"`([^`]+)`", text)
    return "".join(
        f"<code>{escape(piece)}</code>" if i % 2 else re.sub(r"\*\*(\S(?:.*?\S)?)\*\*", r"<b>\1</b>", escape(piece))
        for i, piece in enumerate(pieces)
    )


def _breakable(name: str) -> str:
    return re.sub("([(,/_=])", r"\1<wbr>", escape(name))


def _cell(cell: Cell, column: int, digits: int) -> str:
    text = cell.shown(digits)
    if _is_number(cell.value):
        # the value, then its interval and its spread, each on a line of its own
        first, _, more = text.partition(" ")
        value = f"<b>{escape(first)}</b>" if cell.best else escape(first)
        parts = filter(None, re.split(r" (?=±)|^(?=±)", more))
        below = "".join(f' <span class="more">{escape(part)}</span>' for part in parts)
        number: Any = cell.value
        data = f' data-value="{float(number)!r}"' if math.isfinite(number) else ' data-value=""'
    else:
        value, data, below = named(text) if column == 0 or "(" in text else escape(text), "", ""
        value = f"<b>{value}</b>" if cell.best else value
    # numbers of one column stay below each other, marked or not
    marks = f'<span class="mark">{escape(cell.marks)}</span>' if cell.marks or below else ""
    if column == 0:
        return f'<th scope="row"{data}>{value}{marks}{below}</th>'
    return f"<td{_class('number' if _is_number(cell.value) else '')}{data}>{value}{marks}{below}</td>"


def _numeric(cells: Sequence[Cell]) -> bool:
    values = [cell.value for cell in cells if cell.value is not None]
    return bool(values) and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
