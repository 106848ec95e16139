"""The reliability diagram: which share of documents is relevant where a model says how many should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ltr.metrics.calibration import Group
from ltr.report.charts.style import INK, STYLES, drawing, sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICKS = (1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


def draw_reliability(curves: Mapping[str, Sequence[Group]]) -> Figure:
    """Share of relevant documents against mean probability, with intervals; what can be believed lies on the diagonal.

    Both axes are those of log odds: where few documents are relevant, all that matters happens near 0.

    Args:
        curves: name in the legend -> its groups. Groups without any relevant document, or without any other, stand at
            the rim of the picture.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    every = [group for groups in curves.values() for group in groups]
    rim = min([0.05, *(value for g in every for value in (g.predicted, g.observed, 1 - g.observed) if value > 0)]) / 2
    with drawing():
        figure = sheet(5.2, 4.8)
        axis = figure.subplots()
        axis.set(xscale="logit", yscale="logit", xlim=(rim, 1 - rim), ylim=(rim, 1 - rim), box_aspect=1)
        axis.plot([rim, 1 - rim], [rim, 1 - rim], color=INK, linewidth=0.8, linestyle=":")
        for (name, groups), (color, dash) in zip(curves.items(), STYLES, strict=False):
            place, found, low, high = (
                [min(max(value, rim), 1 - rim) for value in values]
                for values in zip(*((g.predicted, g.observed, g.low, g.high) for g in groups), strict=True)
            )
            bars: Any = [
                [f - at for f, at in zip(found, low, strict=True)],
                [a - f for f, a in zip(found, high, strict=True)],
            ]
            axis.errorbar(
                place,
                found,
                yerr=[[max(0.0, b) for b in side] for side in bars],
                color=color,
                alpha=0.5,
                fmt="none",
                linewidth=1,
            )
            axis.plot(place, found, color=color, linestyle=dash, marker="o", markersize=4, label=name)
        axis.set(xlabel="mean probability of a group", ylabel="share of it that is relevant")
        for one in (axis.xaxis, axis.yaxis):
            one.set_major_formatter(lambda value, _: f"{value:g}")
            one.set_ticks([tick for tick in TICKS if rim < tick < 1 - rim], minor=False)
        axis.minorticks_off()
        axis.legend(handlelength=3, loc="upper left")
    return figure
