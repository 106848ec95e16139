"""``ltr plot``: draw a link or a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ltr.cli.command import beside_output, run
from ltr.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np


def plot(
    kind: Literal["link", "loss"],
    expressions: list[str],
    /,
    output: str = "plot.png",
    range: list[float] | None = None,
    target: list[float] | None = None,
    labels: list[float] | None = None,
    same_budget: bool = False,
    data: str | None = None,
    label: str = "seconds",
    transform: Literal["log1p", "none"] = "log1p",
    standardise: bool = False,
    top: float = 0.2,
) -> None:
    """Draw links (value, slope = sensitivity, cost) or losses (curves, contours) to a picture.

    Expressions are Python as the library prints it: known names, literal arguments, + and *; a class of your own has its
    module before it, which may lie in the current folder. What YAML says as class_path and init_args is taken, too.

    Examples:
      ltr plot link "Sigmoid(center=2)" "Exp()" --output links.png --target 2
      ltr plot link "Sigmoid.focus(range=(1, 3)) + 0.1 * Identity()"
      ltr plot loss "Matching(Sigmoid(center=2))" "CompositeSoftmax(Exp())" --output losses.svg
      ltr plot link "mypkg.Steep(width=2)" "{class_path: Exp, init_args: {width: 2}}"
      ltr plot link "Sigmoid(center=1, width=0.5)" "Exp()" --data log.csv --standardise

    Args:
        kind: what the expressions are.
        expressions: one or more links or losses, drawn side by side.
        output: file to write, .png, .svg or .pdf.
        range: lowest and highest score shown (default: -4 and 4; with --data those of the labels).
        target: links: target scores, a picture of the cost for each (default: the middle of the range).
        labels: losses: labels of the list's documents, or one curve each (default: what suits the loss).
        same_budget: links: scale all to the same mean slope over the range, to compare where sensitivity goes.
        data: links: a table or SVMlight file of amounts; what would be learnt of them stands as a histogram under the slope,
            and the range of the largest is printed, as Link.focus takes it.
        label: column of the amount in --data.
        transform: what is learnt of --data: log(1 + amount), or the amount; as data.transform of a recipe.
        standardise: bring what is learnt to mean 0 and deviation 1, as data.standardise_label of a recipe.
        top: share of the largest labels whose range is printed.
    """
    if data is not None and kind == "loss":
        raise ConfigError("--data does not go with loss")
    from ltr.expressions import read, value_of
    from ltr.links import Link
    from ltr.links.focus import region
    from ltr.losses.base import Loss
    from ltr.report.charts.links_and_losses import draw_links, draw_losses
    from ltr.report.charts.style import save

    wanted = Link if kind == "link" else Loss
    if (labels if kind == "link" else target) is not None:
        raise ConfigError(f"--{'labels' if kind == 'link' else 'target'} does not go with {kind}")
    learnt = None if data is None else _learnt(data, label, transform, standardise)
    if range is None:
        range = [-4.0, 4.0] if learnt is None else [float(learnt.min()), float(learnt.max())]
    if len(range) != 2:
        raise ConfigError(f"--range takes two scores, lowest and highest, got {len(range)}")
    ends = (range[0], range[1])
    known = None if learnt is None else learnt.tolist
    values = [value_of(read(text), packages=None, labels=known) for text in expressions]
    for text, value in zip(expressions, values, strict=True):
        if not isinstance(value, wanted):
            other = "loss" if kind == "link" else "link"
            raise ConfigError(f"{text!r} must be a {kind}, got {type(value).__name__}; did you mean ltr plot {other}?")
    if kind == "link":
        figure = draw_links(values, ends, target or (), same_budget, () if learnt is None else learnt)
    else:
        figure = draw_losses(values, ends, labels or ())
    print(f"wrote {save(figure, output)}", file=beside_output(output))
    if learnt is not None:
        low, high = region("Link", None, learnt.tolist(), top, None)
        said = f"the largest {100 * top:g} % of {len(learnt):,} labels: focus(range=({low:.4g}, {high:.4g}))"
        print(
            f"{said}, such as --model.loss='Matching(Sigmoid.focus(range=({low:.4g}, {high:.4g})))'",
            file=beside_output(output),
        )


def _learnt(data: str, label: str, transform: Literal["log1p", "none"], standardise: bool) -> np.ndarray:
    """[documents] what a training would learn of a file of amounts."""
    from ltr.data import EngagementData

    given = EngagementData(train=data, item_id=None, label=label, transform=transform, standardise_label=standardise)
    return given.labels_of("train").labels


def main(argv: Sequence[str]) -> None:
    return run(plot, argv, prog="ltr plot", short={"output": "-o"})
