"""The sections of a page: tables, pictures with what they show in words, and the comparison query by query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ltr.report.charts.charts import draw_curves, draw_forest, draw_tradeoff, verdict
from ltr.report.charts.links_and_losses import draw_links
from ltr.report.charts.svg import inline
from ltr.report.page.links import score_range
from ltr.report.page.page import Curves, Forest, LinkPicture, Queries, Section, TradeOff
from ltr.report.page.queries import content, embedded
from ltr.report.page.tables import html_table, named, paragraphs, plain_table
from ltr.report.tables.table import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTHING = '<p class="small">Nothing to show yet.</p>'


@dataclass(frozen=True)
class Part:
    """A piece of the page with its entries in the table of contents.

    Attributes:
        id: its anchor.
        title: its heading.
        html: with the heading.
        entries: (anchor, title) of what is inside.
    """

    id: str
    title: str
    html: str
    entries: list[tuple[str, str]]


def section_part(section: Section, id: str) -> Part:
    """One data set. Kinds of content that are not there at all are left out."""
    blocks: list[tuple[str, str, str]] = []
    if section.tables:
        tables = "".join(html_table(table, section.conventions) for table in section.tables)
        blocks.append(("results", "Results", tables))
    if section.forests:
        pictures = "".join(_forest(forest, f"{id}-forest{i}") for i, forest in enumerate(section.forests))
        blocks.append(("differences", "Differences to the baseline", pictures))
    if section.tradeoffs:
        pictures = "".join(_tradeoff(tradeoff, f"{id}-tradeoff{i}") for i, tradeoff in enumerate(section.tradeoffs))
        blocks.append(("tradeoff", "Focus against the rest", pictures))
    if section.curves:
        pictures = "".join(_curves(curves, f"{id}-curves{i}") for i, curves in enumerate(section.curves))
        blocks.append(("curves", "Training curves", pictures))
    if section.queries is not None:
        blocks.append(("queries", "Query by query", _queries(section.queries)))
    body = "".join(f'<section id="{id}-{name}"><h3>{title}</h3>{html}</section>' for name, title, html in blocks)
    notes = "".join(f"<p>{text}</p>" for note in section.notes for text in paragraphs(note))
    conventions = f'<p class="small">{escape(section.conventions)}</p>' if section.conventions else ""
    html = f'<section id="{id}"><h2>{escape(section.name)}</h2>{conventions}{notes}{body or NOTHING}</section>'
    return Part(id, section.name, html, [(f"{id}-{name}", title) for name, title, _ in blocks])


def link_part(links: Sequence[LinkPicture]) -> Part:
    """The links of the selective losses, drawn."""
    what = (
        "<p>A selective loss spends accuracy where its link is steep. Left: the link. Middle: its slope, the price of a "
        "small error at each score. Right: the cost of a prediction whose target is the middle of the range.</p>"
    )
    pictures = "".join(_link(picture, f"link{i}") for i, picture in enumerate(links))
    html = f'<section id="links"><h2>Links of the selective losses</h2>{what}{pictures}</section>'
    return Part("links", "Links of the selective losses", html, [])


def _link(picture: LinkPicture, id: str) -> str:
    figure = draw_links(picture.links, picture.range or score_range(picture.links))
    expressions = "<br>".join(named(line) for line in picture.expression.splitlines())
    caption = f"<b>{escape(picture.label)}</b><br>{expressions}" if picture.label != picture.expression else expressions
    return _figure(figure, id, f"Link of {picture.expression}: value, slope and cost", caption)


def _forest(forest: Forest, id: str) -> str:
    title = f"<h4>{escape(forest.measure)}{' (smaller is better)' if forest.smaller_is_better else ''}</h4>"
    if not forest.rows:
        return title + NOTHING
    against = f"Mean differences to {named(forest.baseline)} with {forest.level:.0%} intervals; right is better."
    tested = any(row.p is not None for row in forest.rows)
    signs = (
        f" Filled disc: better, filled square: worse (adjusted p &lt; {forest.alpha:g}); open circle: not told apart."
        if tested
        else " No tests were done."
    )
    rows = [[row.system, Cell(row.difference, row.low, row.high), row.p, verdict(forest, row)] for row in forest.rows]
    columns = ["system", "difference", "adjusted p", "verdict"]
    numbers = plain_table(columns, rows, f"{forest.measure}: differences to {forest.baseline}")
    label = f"Forest plot of {forest.measure}: " + "; ".join(f"{r[0]} {r[3]}" for r in rows)
    return title + _figure(draw_forest(forest), id, label, against + signs, numbers)


def _tradeoff(tradeoff: TradeOff, id: str) -> str:
    title = f"<h4>{escape(tradeoff.y)} against {escape(tradeoff.x)}</h4>"
    if not tradeoff.points:
        return title + NOTHING
    front = {p.system for p in tradeoff.front}
    caption = "The shaded steps are the Pareto front: no system beats one on it in both measures."
    caption += f" Bars: {escape(tradeoff.bars)}." if tradeoff.bars else ""
    rows = [
        [p.system, Cell(p.x, *(p.x_range or (None, None))), Cell(p.y, *(p.y_range or (None, None))), p.system in front]
        for p in tradeoff.points
    ]
    shown = [[*row[:3], "yes" if row[3] else "no"] for row in rows]
    columns = ["system", tradeoff.x, tradeoff.y, "on the front"]
    numbers = plain_table(columns, shown, f"{tradeoff.y} against {tradeoff.x}")
    label = f"{tradeoff.y} against {tradeoff.x}; on the Pareto front: {', '.join(p.system for p in tradeoff.front)}"
    return title + _figure(draw_tradeoff(tradeoff), id, label, caption, numbers)


def _curves(curves: Curves, id: str) -> str:
    title = f"<h4>{escape(curves.measure)}</h4>"
    if not any(len(seed) for seeds in curves.systems.values() for seed in seeds):
        return title + NOTHING
    caption = "Thin: one line per seed. Thick: their mean over the steps that all have reached. Grey: the other systems' means."
    label = f"Training curves of {curves.measure} for {', '.join(curves.systems)}"
    return title + _figure(draw_curves(curves), id, label, caption)


def _figure(figure: Figure, id: str, label: str, caption: str, numbers: str = "") -> str:
    more = f'<details class="numbers"><summary>The numbers</summary>{numbers}</details>' if numbers else ""
    return (
        f'<figure><div class="chart" role="region" tabindex="0" aria-label="{escape(label)}">'
        f"{inline(figure, id, label)}</div><figcaption>{caption}</figcaption>{more}</figure>"
    )


_EXPLORER = """
<noscript><p class="small">Comparing systems query by query needs a browser that runs scripts.</p></noscript>
<div class="choose" role="group" aria-label="What is compared">
<label class="few">measure <select data-part="measure"></select></label>
<label>across <select data-part="x"></select></label>
<label>up <select data-part="y"></select></label>
<button type="button" data-part="swap">swap</button>
</div>
<p class="tally" data-part="tally" aria-live="polite"></p>
<div class="plot"><div>
<ul class="legend">
<li><svg viewBox="-6 -6 12 12" aria-hidden="true"><path class="point better" d="M0,-5.5L5,4L-5,4Z"/></svg><span data-part="better"></span></li>
<li><svg viewBox="-6 -6 12 12" aria-hidden="true"><path class="point worse" d="M0,5.5L5,-4L-5,-4Z"/></svg><span data-part="worse"></span></li>
<li><svg viewBox="-6 -6 12 12" aria-hidden="true"><circle class="point equal" r="4.5"/></svg>equal</li>
</ul>
<div class="scatter"><svg viewBox="0 0 460 446" role="group" data-part="plot" aria-label="One mark per query, larger where several
share a place. Arrow keys walk through the marks from the biggest win to the biggest loss, Enter opens one."></svg>
<div class="tip" data-part="tip" hidden></div></div></div>
<div><h4 data-part="wintitle"></h4><ul class="cases" data-part="wins"></ul>
<h4 data-part="losstitle"></h4><ul class="cases" data-part="losses"></ul></div></div>
<div class="detail" data-part="detail"></div>"""


def _queries(queries: Queries) -> str:
    if len(queries.systems) < 2 or not len(queries.query_ids):
        return '<p class="small">Comparing query by query needs two finished systems.</p>'
    what = (
        "<p>Choose two systems: every mark is a query, or several at one place. Point at it for the query, choose it (or "
        "one of the biggest wins and losses) for the documents that both systems put on top.</p>"
    )
    kept = len(queries.rankings)
    what += (
        f'<p class="small">Documents are kept for the {kept} queries on which systems differ most.</p>' if kept else ""
    )
    data = f'<script type="application/json">{embedded(content(queries))}</script>'
    return f'{what}<div class="explorer">{_EXPLORER}{data}</div>'
