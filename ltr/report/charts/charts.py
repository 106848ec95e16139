"""Pictures of results: forest plots, trade-offs and training curves, for pages and as files (``style.save``)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ltr.report.charts.style import GRID, INK, MUTED, STYLES, drawing, sheet
from ltr.report.page.page import Curves, Forest, ForestRow, TradeOff, TradePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: shapes beside the seven colours: their numbers share no factor, so that 56 systems look different
SHAPES = "osD^vPX<"
#: inches: of a forest plot's width, of one line of text
WIDE, LINE = 8.2, 0.17
#: letters in a line of names beside a forest plot, in a legend, above a small picture
NAME, LEGEND, HEADING = 40, 46, 36


def draw_forest(forest: Forest) -> Figure:
    """Differences to the baseline with their intervals, one row per system, and the figures beside them.

    A filled disc is a gain whose adjusted p-value is below alpha, a filled square such a loss; an open circle is
    neither. To the right is always better, also for errors.

    Args:
        forest: what to draw; without rows the picture is empty axes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    names = [folded(row.system, NAME) for row in forest.rows]
    lines = [max(1.55, name.count("\n") + 1.45) for name in names] or [2.0]
    places = np.cumsum(lines) - np.asarray(lines) / 2
    # where the p-values begin: points beyond the longest interval
    column = (
        max((len(f"{signed(r.difference)} {signed(r.low)} {signed(r.high)}") + 3 for r in forest.rows), default=0) * 4.9
    )
    with drawing():
        figure = sheet(WIDE, sum(lines) * LINE + 0.85)
        axis = figure.subplots()
        axis.axvline(0, color=INK, linewidth=1)
        for row, place in zip(forest.rows, places, strict=False):
            _interval(axis, forest, row, float(place), column)
        axis.set_yticks(places[: len(names)], names, fontsize=8)
        axis.set_ylim(sum(lines), 0)
        if forest.smaller_is_better:
            axis.invert_xaxis()
        axis.margins(x=0.08)
        axis.locator_params(axis="x", nbins=6)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"difference in {forest.measure} to the baseline      better →")
        axis.set_title(folded(f"baseline: {forest.baseline}", 90), fontsize=9, loc="left")
    return figure


def draw_tradeoff(tradeoff: TradeOff) -> Figure:
    """Two measures against each other: systems with bars, lines between those that belong together, the Pareto front.

    Args:
        tradeoff: what to draw; without points the picture is empty axes.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    groups = _groups(tradeoff)
    with drawing():
        names = [folded(name, LEGEND) for name, _ in groups]
        rows = sum(name.count("\n") + 1 for name in names) + 3
        figure = sheet(WIDE, max(4.4, rows * LINE + 0.6))
        axis = figure.subplots()
        front = tradeoff.front
        if len(front) > 1:
            # no system lies between two of the front: steps along the worse of both
            step: Any = {"drawstyle": "steps-post" if tradeoff.x_smaller_is_better else "steps-pre"}
            shade: Any = {"color": MUTED, "linewidth": 6, "alpha": 0.3, "label": "Pareto front"}
            axis.plot([p.x for p in front], [p.y for p in front], **step, **shade)
        for number, (name, points) in enumerate(groups):
            _system(axis, folded(name, LEGEND), points, number)
        base = next((p for p in tradeoff.points if p.system == tradeoff.baseline), None)
        if base:
            circle: Any = {"marker": "o", "markersize": 15, "markerfacecolor": "none", "markeredgecolor": INK}
            axis.plot(base.x, base.y, linestyle="none", label="baseline", **circle)
        axis.set(xlabel=_direction(tradeoff.x, tradeoff.x_smaller_is_better, "←→"))
        axis.set(ylabel=_direction(tradeoff.y, tradeoff.y_smaller_is_better, "↓↑"))
        if groups:
            axis.margins(0.1)
            figure.legend(loc="outside right upper", fontsize=8, labelspacing=0.7)
    return figure


def draw_curves(curves: Curves) -> Figure:
    """One small picture per system: a thin line per seed, their mean over it, the other systems' means behind in grey.

    Args:
        curves: what to draw; systems without a curve keep their empty picture.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    count = max(1, len(curves.systems))
    columns = min(3, count)
    rows = -(-count // columns)
    means = {name: mean_curve(seeds) for name, seeds in curves.systems.items()}
    with drawing():
        figure = sheet(WIDE if columns > 1 else WIDE / 2, 2.1 * rows + 0.3)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten().tolist()
        for axis in axes[len(curves.systems) :]:
            axis.set_visible(count == 1)
        for number, (axis, name) in enumerate(zip(axes, curves.systems, strict=False)):
            color, _ = STYLES[number % len(STYLES)]
            for other, mean in means.items():
                if other != name and len(mean):
                    axis.plot(*mean.T, color=MUTED, linewidth=0.8, alpha=0.45)
            for seed in curves.systems[name]:
                axis.plot(*_columns(seed).T, color=color, linewidth=0.8, alpha=0.5)
            if len(means[name]):
                axis.plot(*means[name].T, color=color, marker="o" if len(means[name]) < 30 else "", markersize=3)
            axis.set_title(folded(name, HEADING), fontsize=7.5, loc="left")
            # the picture below may be missing in the last row
            axis.tick_params(labelbottom=number + columns >= len(curves.systems))
        figure.supxlabel(curves.step, fontsize=9)
        figure.supylabel(curves.measure, fontsize=9)
    return figure


def mean_curve(seeds: Sequence[Sequence[tuple[float, float]]]) -> np.ndarray:
    """[steps, 2] (step, mean over seeds) at the steps that all seeds reached; empty where they share none.

    >>> mean_curve([[(1, 0.5), (2, 0.75)], [(1, 0.25), (2, 0.25), (3, 1.0)]]).tolist()
    [[1.0, 0.375], [2.0, 0.5]]
    """
    curves = [dict(seed) for seed in seeds if len(seed)]
    shared = sorted(set.intersection(*(set(seed) for seed in curves))) if curves else []
    return _columns([(step, float(np.mean([seed[step] for seed in curves]))) for step in shared])


def folded(text: str, width: int) -> str:
    """A name on lines of at most ``width`` letters where that is possible: broken at spaces, long words after a bracket.

    >>> print(folded("CompositeSoftmax(Exp(center=1.0), targets=Positives())", 36))
    CompositeSoftmax(Exp(center=1.0),
    targets=Positives())
    """
    words = (f"{word} " for word in text.split())
    parts = [part for word in words for part in (re.findall(r"[^(]+\(?|\(", word) if len(word) > width else [word])]
    lines = [""]
    for part in parts:
        if lines[-1] and len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)


def signed(value: float) -> str:
    """A difference with its sign, to four digits after the point or three that count.

    >>> signed(-0.25), signed(12.3456), signed(0.00001234)
    ('−0.2500', '+12.3456', '+1.23e-05')
    """
    text = f"{value:+.2e}" if 0 < abs(value) < 5e-5 else f"{value:+.4f}"
    return text.replace("-", "−", 1) if value < 0 else text


def verdict(forest: Forest, row: ForestRow) -> str:
    """``better`` or ``worse`` where the adjusted p-value is below alpha, else ``unclear``."""
    if row.p is None or not row.p < forest.alpha or row.difference == 0:
        return "unclear"
    return "better" if (row.difference < 0) == forest.smaller_is_better else "worse"


def _interval(axis: Axes, forest: Forest, row: ForestRow, place: float, column: float) -> None:
    kind = verdict(forest, row)
    color = {"better": STYLES[0][0], "worse": STYLES[1][0], "unclear": MUTED}[kind]
    beside: Any = {"xycoords": axis.get_yaxis_transform(), "textcoords": "offset points", "va": "center", "fontsize": 8}
    whole = math.isfinite(row.low) and math.isfinite(row.high)
    interval = signed(row.difference) + (f" [{signed(row.low)}, {signed(row.high)}]" if whole else "")
    axis.annotate(interval, (1, place), (9, 0), **beside)
    if row.p is not None and not math.isnan(row.p):
        p = f"p {row.p:.3f}" if row.p >= 0.0005 else f"p {row.p:.0e}" if row.p >= 1e-6 else "p < 1e-06"
        axis.annotate(p, (1, place), (16 + column, 0), **beside)
    if not math.isfinite(row.difference):
        return
    if whole:
        axis.plot([row.low, row.high], [place, place], color=color, linewidth=2, solid_capstyle="butt")
    shape = {"better": "o", "worse": "s", "unclear": "o"}[kind]
    fill = "none" if kind == "unclear" else color
    axis.plot(row.difference, place, marker=shape, markersize=6, color=color, markerfacecolor=fill, markeredgewidth=1.5)


def _groups(tradeoff: TradeOff) -> list[tuple[str, list[TradePoint]]]:
    """(name in the legend, its points): the lines first, then every system that is on none."""
    points = {p.system: p for p in tradeoff.points}
    lined = [(name, [points[s] for s in systems]) for name, systems in tradeoff.lines.items()]
    held = {p.system for _, members in lined for p in members}
    return lined + [(p.system, [p]) for p in tradeoff.points if p.system not in held]


def _system(axis: Axes, name: str, points: list[TradePoint], number: int) -> None:
    color, _ = STYLES[number % len(STYLES)]
    shape = SHAPES[number % len(SHAPES)]
    for p in points:
        sides = [
            None
            if ends is None or not np.isfinite(ends).all()
            else [[max(0.0, at - ends[0])], [max(0.0, ends[1] - at)]]
            for at, ends in ((p.x, p.x_range), (p.y, p.y_range))
        ]
        if sides != [None, None]:
            axis.errorbar(p.x, p.y, xerr=sides[0], yerr=sides[1], color=color, linewidth=1, alpha=0.7, fmt="none")
        if p.label:
            axis.annotate(p.label, (p.x, p.y), (6, 5), textcoords="offset points", fontsize=8)
    places = _columns([(p.x, p.y) for p in points])
    name = f" {name}" if name.startswith("_") else name  # or matplotlib hides it
    edge: Any = {"markeredgecolor": GRID, "markeredgewidth": 0.6}
    joined: Any = {"linestyle": "-" if len(points) > 1 else "none", "linewidth": 1.3}
    axis.plot(*places.T, color=color, marker=shape, markersize=8, label=name, **joined, **edge)


def _direction(name: str, smaller: bool, arrows: str) -> str:
    return f"{name}   ({arrows[0 if smaller else 1]} better)"


def _columns(pairs: Sequence[tuple[float, float]]) -> np.ndarray:
    return np.asarray(pairs, np.float64).reshape(len(pairs), 2)
