"""Pictures of links and losses."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltr.errors import ConfigError
from ltr.links import Link
from ltr.losses.base import Loss
from ltr.report.charts.style import MUTED, STYLES, drawing, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: bars of a histogram of labels
BINS = 40

#: labels that show what a loss does, by what it takes (``Laws.labels``)
LABELS = {
    "scores": (1.0, -1.0, 0.0),
    "grades": (2.0, 1.0, 0.0),
    "binary": (1.0, 0.0, 0.0),
    "positives": (1.0, 0.0, 0.0),
}

#: points along a curve, along each side of a contour picture, and arrows along each side
CURVE, SIDE, ARROWS = 801, 101, 11
#: letters in a line of the legend
LEGEND = 52


def draw_links(
    links: Sequence[Link],
    range: tuple[float, float] = (-4.0, 4.0),
    targets: Sequence[float] = (),
    same_budget: bool = False,
    labels: Sequence[float] | np.ndarray = (),
) -> Figure:
    """Links side by side: their values, their slopes (the sensitivity), and what predictions cost.

    Args:
        links: one or more.
        range: (low, high) of the scores shown.
        targets: target scores, one picture of the cost for each; default: the middle of the range.
        same_budget: scale every link to a mean slope of 1 over the range and let it start at 0, so that the pictures
            compare where sensitivity goes, not how much there is.
        labels: what is to be learnt, in the scores' unit: its histogram stands under the slope.

    Raises:
        ConfigError: no link, or a range that is none.
        MissingExtra: matplotlib is not installed.
    """
    if not links:
        raise ConfigError("draw_links: needs at least one link, got none")
    z = _scores("draw_links", range)
    targets = tuple(targets) or (sum(range) / 2,)
    with drawing():
        figure, axes = _panels(2 + len(targets), 3.1)
        value, slope, *costs = axes
        for link, (color, dash) in zip(links, _styles(len(links)), strict=True):
            start, factor = _budget(link, range) if same_budget else (0.0, 1.0)
            style = {"color": color, "linestyle": dash}
            value.plot(z, factor * (link(z) - start), label=_wrapped(repr(link), LEGEND), **style)
            slope.plot(z, factor * link.slope(z), **style)
            for axis, target in zip(costs, targets, strict=True):
                axis.plot(z, factor * link.divergence(z, torch.full_like(z, target)), **style)
        value.set(title="link h: cost gradient = h(predicted) − h(target)", ylabel="h(score)", xlabel="score")
        slope.set(title="slope h′: the sensitivity", ylabel="h′(score)", xlabel="score")
        slope.set_ylim(bottom=0)
        if len(labels):
            below = slope.twinx()
            below.hist(np.asarray(labels), BINS, range=range, color=MUTED, alpha=0.35)
            below.set(ylabel="labels")
            below.grid(False)
            slope.set_zorder(below.get_zorder() + 1)
            slope.patch.set_visible(False)
        for axis, target in zip(costs, targets, strict=True):
            axis.axvline(target, color=MUTED, linewidth=0.8, linestyle=":")
            axis.set(title=f"cost where the target is {_shown(target)}", ylabel="divergence", xlabel="predicted score")
            axis.set_ylim(bottom=0)
        for axis in axes:
            axis.set_xlim(*range)
        figure.legend(loc="outside lower center", ncols=_columns([repr(link) for link in links]), handlelength=3)
    return figure


def draw_losses(
    losses: Sequence[Loss],
    range: tuple[float, float] = (-4.0, 4.0),
    labels: Sequence[float] = (),
) -> Figure:
    """Losses side by side: pointwise ones as curves over a document's score, others as contours over two scores.

    Contours show one list of three documents: the scores of the first two vary, the others' are 0. Arrows point where
    a gradient step moves the two scores; their area is that of the gradient.

    Args:
        losses: one or more.
        range: (low, high) of the scores shown.
        labels: of the list's documents (contours), or one curve each; default: what suits the loss.

    Raises:
        ConfigError: no loss, a range that is none, or fewer than two labels for a list.
        DataError: labels that the loss does not take.
        MissingExtra: matplotlib is not installed.
    """
    if not losses:
        raise ConfigError("draw_losses: needs at least one loss, got none")
    z = _scores("draw_losses", range)
    with drawing():
        figure, axes = _panels(len(losses), 3.8)
        for loss, axis in zip(losses, axes, strict=True):
            given = tuple(labels) or LABELS[loss.laws.labels]
            if loss.pointwise:
                _curves(axis, loss, z, given)
            else:
                _contours(figure, axis, loss, range, given)
            others = ", ".join(map(_shown, given[2:]))
            held = f"\nother documents: label {others} at score 0" if others and not loss.pointwise else ""
            axis.set_title(_wrapped(repr(loss), 44) + held, fontsize=9)
    return figure


def _scores(who: str, range: tuple[float, float]) -> torch.Tensor:
    if len(range) != 2 or not all(map(math.isfinite, range)) or not range[0] < range[1]:
        raise ConfigError(f"{who}: range must be two finite scores, low < high, got {tuple(range)}")
    return torch.linspace(*range, CURVE, dtype=torch.float64)


def _budget(link: Link, range: tuple[float, float]) -> tuple[float, float]:
    """(h at the low end, the factor that makes the mean slope 1)."""
    low, high = (float(link(end)) for end in range)
    if not high > low:
        raise ConfigError(
            f"draw_links: {link!r} is flat from {range[0]:g} to {range[1]:g}, and cannot be scaled to a budget"
        )
    return low, (range[1] - range[0]) / (high - low)


def _panels(count: int, size: float) -> tuple[Figure, list[Axes]]:
    columns = count if count <= 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    figure = sheet(size * 1.2 * columns, size * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def _styles(count: int) -> list[tuple[str, Any]]:
    return [STYLES[i % len(STYLES)] for i in range(count)]


def _shown(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _wrapped(text: str, width: int) -> str:
    """An expression for a title or legend: at most four digits, broken between its parts."""
    text = re.sub(r"\d+\.\d{4,}", lambda match: f"{float(match[0]):.4g}", text)
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, subsequent_indent="  "))


def _columns(names: list[str]) -> int:
    """Legend columns that fit beside each other, its rows filled evenly."""
    fitting = max(1, min(len(names), 120 // (min(LEGEND, max(map(len, names))) + 8)))
    rows = -(-len(names) // fitting)
    return -(-len(names) // rows)


def _costs(loss: Loss, scores: torch.Tensor, labels: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """The cost of each list of scores [lists, docs], and its gradient, both as they stand before any reduction."""
    scores = scores.clone().requires_grad_()
    given = scores.new_tensor(tuple(labels)).expand_as(scores)
    reduction, loss.reduction = loss.reduction, "none"
    training = loss.training
    try:
        costs = loss.eval()(scores, given)
    finally:
        loss.reduction = reduction
        loss.train(training)
    (gradient,) = torch.autograd.grad(costs.sum(), scores)
    return costs.detach(), gradient


def _curves(axis: Axes, loss: Loss, z: torch.Tensor, labels: Sequence[float]) -> None:
    shown = sorted(set(labels))
    for label, (color, dash) in zip(shown, _styles(len(shown)), strict=True):
        costs, _ = _costs(loss, z[:, None], [label])
        axis.plot(z, costs, label=f"label {_shown(label)}", color=color, linestyle=dash)
    axis.set(xlabel="score of a document", ylabel="cost", xlim=(float(z[0]), float(z[-1])))
    axis.legend(handlelength=3)


def _contours(figure: Figure, axis: Axes, loss: Loss, range: tuple[float, float], labels: Sequence[float]) -> None:
    if len(labels) < 2:
        raise ConfigError(
            f"draw_losses: {type(loss).__name__} needs labels of two documents or more, got {list(labels)}"
        )
    side, costs, _ = _on_square(loss, range, labels, SIDE)
    low, high = float(costs.min()), float(costs.quantile(0.98))
    # finer near the minimum, where training ends
    steps = torch.linspace(0, 1, 15, dtype=torch.float64) ** 1.6
    levels = (low + max(high - low, 1e-9) * steps).tolist()
    filled = axis.contourf(side, side, costs, levels, cmap="cividis", extend="max")
    axis.contour(side, side, costs, levels, colors="white", linewidths=0.4, alpha=0.5)
    bar = figure.colorbar(filled, ax=axis, label="cost of the list", shrink=0.8)
    bar.set_ticks(levels[::2], labels=[f"{level:.3g}" for level in levels[::2]])
    places, _, gradient = _on_square(loss, range, labels, ARROWS, inset=0.05)
    size = gradient.norm(dim=-1, keepdim=True).clamp(min=1e-30)
    arrows = -gradient / size.sqrt() / float(size.max().sqrt())
    axis.quiver(
        places, places, arrows[..., 0], arrows[..., 1], color="white", scale=ARROWS * 1.15, width=0.005, alpha=0.9
    )
    axis.axline((0, 0), slope=1, color="white", linewidth=0.8, linestyle=":")
    if loss.laws.divergence and loss.laws.labels == "scores":
        axis.plot(*labels[:2], marker="*", markersize=10, color="#E69F00", markeredgecolor="black", clip_on=False)
    axis.set(xlabel=f"score of the document with label {_shown(labels[0])}")
    axis.set(ylabel=f"score of the document with label {_shown(labels[1])}")
    axis.set(xlim=range, ylim=range, aspect="equal")
    axis.grid(False)


def _on_square(
    loss: Loss, range: tuple[float, float], labels: Sequence[float], count: int, inset: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(scores along a side, costs [count, count], gradients to the two scores); rows follow the second score."""
    margin = inset * (range[1] - range[0])
    side = torch.linspace(range[0] + margin, range[1] - margin, count, dtype=torch.float64)
    scores = side.new_zeros(count * count, len(labels))
    scores[:, 0] = side.repeat(count)
    scores[:, 1] = side.repeat_interleave(count)
    costs, gradient = _costs(loss, scores, labels)
    return side, costs.view(count, count), gradient[:, :2].view(count, count, 2)
