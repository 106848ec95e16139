"""One small table, rendered as text, Markdown, CSV, JSON or LaTeX."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal, get_args

from ltr.errors import ConfigError, ShapeError
from ltr.io.names import suggestion

#: columns of text that header and notes take at least before they are wrapped
WIDTH = 100

#: rows that a LaTeX float holds; more of them are broken over pages
FLOAT = 40

Format = Literal["text", "markdown", "csv", "json", "latex"]


@dataclass(frozen=True)
class Cell:
    """A value with what belongs to it.

    Args:
        value: text or number; None is shown as an empty cell.
        low: lower end of its interval; None or NaN where there is none.
        high: upper end of its interval, likewise.
        marks: signs of significance after it, such as ``"†"``.
        best: whether it is the best of its column (bold where there is bold).
        digits: digits after the point, those of the table by default.
        spread: how much the value varies otherwise, such as over seeds; shown behind ±.
        bound: whether the true value may be smaller; shown as ≤ and rounded up.
    """

    value: str | float | int | None
    low: float | None = None
    high: float | None = None
    marks: str = ""
    best: bool = False
    digits: int | None = None
    spread: float | None = None
    bound: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, where both are numbers."""
        ends = self.low, self.high
        return None if any(end is None or math.isnan(end) for end in ends) else ends  # type: ignore[return-value]

    def shown(self, digits: int) -> str:
        """Value, interval and spread, without marks."""
        digits = digits if self.digits is None else self.digits
        text = f"≤{_number(_above(self.value, digits), digits)}" if self.bound else _number(self.value, digits)
        if self.interval:
            text += f" [{_number(self.low, digits)}, {_number(self.high, digits)}]"
        return text if self.spread is None else f"{text} ± {_number(self.spread, digits)}"


@dataclass(frozen=True)
class Table:
    """Rows under named columns, with what a reader must know to compare it with another table.

    Args:
        columns: headings.
        rows: one value or Cell per column.
        title: above the table.
        header: the line of conventions: queries, gain, relevance level, ties, missing queries.
        notes: below the table, such as the meaning of marks.
        digits: digits after the point of numbers that are not whole.

    Raises:
        ShapeError: for a row that has not one cell per column.

    >>> print(Table(["run", "mrr"], [["bm25", 0.5], ["ours", Cell(0.75, marks="†", best=True)]]).text())
    run      mrr
    ----  -------
    bm25  0.5000
    ours  0.7500†
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    header: str = ""
    notes: Sequence[str] = field(default_factory=tuple)
    digits: int = 4

    def __post_init__(self):
        for i, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ShapeError(
                    f"table: a row has one cell per column ({len(self.columns)}), row {i} has {len(row)}: {list(row)}"
                )

    def render(self, format: str) -> str:
        """The table in one of the formats: text, markdown, csv, json, latex. Ends without a newline."""
        if format not in get_args(Format):
            raise ConfigError(f"table: no format {format!r}; {suggestion(format, get_args(Format))}")
        return getattr(self, format)()

    def text(self) -> str:
        """Aligned plain text: words to the left, numbers to the right, marks beyond the last digit."""
        shown, numeric = self._shown(lambda c: c.shown(self.digits)), self._numeric()
        marks = [[cell.marks for cell in row] for row in self._cells()]
        columns = []
        for j, name in enumerate(self.columns):
            reserve = max((len(row[j]) for row in marks), default=0)
            body = [row[j] for row in shown]
            width = max(map(len, [*body, name]))
            if numeric[j]:
                lines = [text.rjust(width) + m[j].ljust(reserve) for text, m in zip(body, marks, strict=True)]
                columns.append([name.rjust(width) + " " * reserve, "-" * (width + reserve), *lines])
            else:
                lines = [(text + m[j]).ljust(width + reserve) for text, m in zip(body, marks, strict=True)]
                columns.append([name.ljust(width + reserve), "-" * (width + reserve), *lines])
        lines = ["  ".join(parts).rstrip() for parts in zip(*columns, strict=True)]
        width = max(WIDTH, len(lines[0]))
        words = [textwrap.fill(line, width) for line in (self.title, self.header, *self.notes)]
        return "\n".join([*filter(None, words[:2]), *lines, *words[2:]])

    def markdown(self) -> str:
        """A GitHub table with the best values in bold."""

        def cell(c: Cell) -> str:
            text = c.shown(self.digits).replace("|", "\\|")
            return (f"**{text}**" if c.best else text) + c.marks

        shown, numeric = self._shown(cell), self._numeric()
        names = [name.replace("|", "\\|") for name in self.columns]
        widths = [max(3, *map(len, column)) for column in zip(names, *shown, strict=True)]
        rule = ["-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric, strict=True)]
        lines = [
            "| "
            + " | ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, numeric, strict=True))
            + " |"
            for row in [names, rule, *shown]
        ]
        above = [f"**{self.title}**", ""] if self.title else []
        above += [f"_{self.header}_", ""] if self.header else []
        # one item a note: lines below each other would flow into one paragraph
        notes = ["", *("- " + re.sub(r"([\[*])", r"\\\1", note) for note in self.notes)] if self.notes else []
        return "\n".join([*above, *lines, *notes])

    def csv(self) -> str:
        """Comma-separated values in full precision; an interval becomes two columns, spread and marks one each. Title,
        header and notes are told by ``about``: every reader of CSV reads these lines."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        with_interval, with_spread, with_marks = self._with_interval(), self._with_spread(), self._with_marks()
        names: list[str] = []
        for name, interval, spread, marks in zip(self.columns, with_interval, with_spread, with_marks, strict=True):
            names += [
                name,
                *([f"{name} low", f"{name} high"] if interval else []),
                *([f"{name} spread"] if spread else []),
                *([f"{name} marks"] if marks else []),
            ]
        writer.writerow(names)
        for row in self._cells():
            line: list[Any] = []
            for c, interval, spread, marks in zip(row, with_interval, with_spread, with_marks, strict=True):
                line += [c.value, *((c.interval or (None, None)) if interval else ())]
                line += [*([c.spread] if spread else []), *([c.marks] if marks else [])]
            writer.writerow(["" if v is None else v for v in line])
        return out.getvalue().rstrip("\n")

    def about(self) -> str:
        """Title, header and notes, one a line: what stands in a file of its own beside a CSV file."""
        return "\n".join(filter(None, [self.title, self.header, *self.notes]))

    def json(self) -> str:
        """The content in full precision; a column with intervals, spread or marks holds objects with value, low, high …"""
        return json.dumps(self.content(), indent=2, ensure_ascii=False, allow_nan=False)

    def content(self) -> dict[str, Any]:
        """What ``json`` writes, as Python objects; a number that is not finite is None."""

        cells = self._cells()
        intervals, spreads, marks = self._with_interval(), self._with_spread(), self._with_marks()
        rows = []
        for row in cells:
            content: dict[str, Any] = {}
            for j, (name, c) in enumerate(zip(self.columns, row, strict=True)):
                more = {"low": _plain(c.low), "high": _plain(c.high)} if intervals[j] else {}
                more |= {"spread": _plain(c.spread)} if spreads[j] else {}
                more |= {"marks": c.marks} if marks[j] else {}
                content[name] = {"value": _plain(c.value), **more} if more else _plain(c.value)
            rows.append(content)
        return {"title": self.title, "header": self.header, "rows": rows, "notes": list(self.notes)}

    def latex(self, label: str = "") -> str:
        """A table with caption and label, booktabs rules, and header and notes below it; the best values in bold, marks
        as superscripts, minus signs as such. More than ``FLOAT`` rows are a ``longtable``, which goes on over pages under
        its headings; fewer are a ``table`` (threeparttable).

        Args:
            label: of the table, behind ``tab:``; made from the title by default.
        """

        def cell(c: Cell) -> str:
            text = escaped(c.shown(self.digits))
            text = re.sub(r"(?<!\w)-(?=\d)", "$-$", text) if isinstance(c.value, Real) else text
            text = f"\\textbf{{{text}}}" if c.best else text
            return f"{text}$^{{{''.join(MARKS.get(m, m) for m in c.marks)}}}$" if c.marks else text

        align = "".join("r" if right else "l" for right in self._numeric())
        lines = [" & ".join(row) + r" \\" for row in self._shown(cell)]
        head = " & ".join(map(escaped, self.columns)) + r" \\"
        caption = [f"\\caption{{{escaped(self.title)}}}"] if self.title else []
        caption += [f"\\label{{tab:{label or slug(self.title)}}}"] if caption else []
        below = [*map(escaped, filter(None, [self.header, *self.notes]))]
        shape = _float if len(lines) <= FLOAT else _longtable
        return "\n".join(shape(align, caption, head, lines, below))

    def _cells(self) -> list[list[Cell]]:
        return [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in self.rows]

    def _shown(self, show: Callable[[Cell], str]) -> list[list[str]]:
        return [[show(c) for c in row] for row in self._cells()]

    def _with_interval(self) -> list[bool]:
        return [any(row[j].interval for row in self._cells()) for j in range(len(self.columns))]

    def _with_spread(self) -> list[bool]:
        return [any(row[j].spread is not None for row in self._cells()) for j in range(len(self.columns))]

    def _with_marks(self) -> list[bool]:
        return [any(row[j].marks for row in self._cells()) for j in range(len(self.columns))]

    def _numeric(self) -> list[bool]:
        """Whether a column holds numbers only (empty cells aside)."""
        cells = self._cells()
        return [
            any(row[j].value is not None for row in cells)
            and all(isinstance(row[j].value, (Real, type(None))) for row in cells)
            for j in range(len(self.columns))
        ]


#: signs of significance in LaTeX
MARKS = {"†": r"\dagger", "‡": r"\ddagger", "*": r"\ast", "§": r"\S"}
_ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$"}
_ESCAPES |= {"±": r"$\pm$", "≤": r"$\leq$", "≥": r"$\geq$", "×": r"$\times$", "·": r"$\cdot$", "σ": r"$\sigma$"}
_ESCAPES |= {"|": r"\textbar{}"} | {sign: f"${text}$" for sign, text in MARKS.items() if sign != "*"}
_ESCAPES |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def _float(align: str, caption: list[str], head: str, lines: list[str], below: list[str]) -> list[str]:
    notes = [rf"\item {{}}{note}" for note in below]
    return [
        "% needs the packages booktabs and threeparttable",
        r"\begin{table}",
        r"\centering",
        r"\begin{threeparttable}",
        *caption,
        f"\\begin{{tabular}}{{{align}}}",
        r"\toprule",
        head,
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        *([r"\begin{tablenotes}", r"\footnotesize", *notes, r"\end{tablenotes}"] if notes else []),
        r"\end{threeparttable}",
        r"\end{table}",
    ]


def _longtable(align: str, caption: list[str], head: str, lines: list[str], below: list[str]) -> list[str]:
    repeated = [r"\toprule", head, r"\midrule"]
    first = [*caption[:-1], caption[-1] + r" \\"] if caption else []
    notes = [note + r"\par" for note in below]
    return [
        "% needs the packages booktabs and longtable",
        r"\begingroup",
        r"\footnotesize",
        f"\\begin{{longtable}}{{{align}}}",
        *first,
        *repeated,
        r"\endfirsthead",
        *repeated,
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
        *lines,
        r"\end{longtable}",
        *([r"\noindent", *notes] if notes else []),
        r"\endgroup",
    ]


def together(tables: Sequence[Table], format: str, prefix: str = "") -> str:
    """Tables below each other in one of the formats; no two have the same LaTeX label.

    Args:
        tables: in order.
        format: see ``Table.render``.
        prefix: before all labels, where tables of several files meet in one document.

    Raises:
        ConfigError: for several tables as csv or json, which hold one.
    """
    if format in ("csv", "json") and len(tables) != 1:
        raise ConfigError(f"tables: {format} holds one table, got {len(tables)}; write each to a file of its own")
    if format != "latex":
        return "\n\n".join(table.render(format) for table in tables)
    labels: list[str] = []
    for table in tables:
        name = "-".join(filter(None, [slug(prefix), slug(table.title)]))
        counted = (name if n == 1 else f"{name}-{n}" for n in itertools.count(1))
        labels.append(next(label for label in counted if label not in labels))
    return "\n\n".join(table.latex(label) for table, label in zip(tables, labels, strict=True))


def slug(text: str) -> str:
    """Text in small letters, digits and hyphens.

    >>> slug("Against BM25 (k1 = 0.9)")
    'against-bm25-k1-0-9'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def escaped(text: str) -> str:
    """Text as LaTeX shows it literally.

    >>> escaped("ndcg_burges & 5%")
    'ndcg\\\\_burges \\\\& 5\\\\%'
    """
    return "".join(_ESCAPES.get(sign, sign) for sign in text)


def _number(value: Any, digits: int) -> str:
    """A number for readers: rounded, but never to 0 (a p-value of 2.3e-09 is told)."""
    if value is None:
        return ""
    if not isinstance(value, Real) or isinstance(value, Integral):
        return str(value)
    small = 0 < abs(float(value)) < 0.5 * 10**-digits
    return f"{value:.1e}" if small else f"{value:.{digits}f}"


def _above(value: Any, digits: int) -> float:
    """A positive number rounded up to the digits that are shown of it."""
    step = 10.0 ** (-digits if value >= 0.5 * 10**-digits else math.floor(math.log10(value)) - 1)
    return math.ceil(value / step - 1e-9) * step


def _plain(value: Any) -> Any:
    """A number as JSON knows it; None where it is not finite."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return value
