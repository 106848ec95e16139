"""``ltr plot``: draw a link or a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ltr.cli.command import beside_output, run
from ltr.errors import ConfigError


def plot(
    kind: Literal["link", "loss"],
    expressions: list[str],
    /,
    output: str = "plot.png",
    range: list[float] = [-4.0, 4.0],  # noqa: B006 (never changed; shown in --help)
    target: list[float] | None = None,
    labels: list[float] | None = None,
    same_budget: bool = False,
) -> None:
    """Draw links (value, slope = sensitivity, cost) or losses (curves, contours) to a picture.

    Expressions are Python as the library prints it: known names, literal arguments, + and *; a class of your own has its
    module before it, which may lie in the current folder. What YAML says as class_path and init_args is taken, too.

    Examples:
      ltr plot link "Sigmoid(center=2)" "Exp()" --output links.png --target 2
      ltr plot link "Sigmoid.focus(range=(1, 3)) + 0.1 * Identity()"
      ltr plot loss "Matching(Sigmoid(center=2))" "CompositeSoftmax(Exp())" --output losses.svg
      ltr plot link "mypkg.Steep(width=2)" "{class_path: Exp, init_args: {width: 2}}"

    Args:
        kind: what the expressions are.
        expressions: one or more links or losses, drawn side by side.
        output: file to write, .png, .svg or .pdf.
        range: lowest and highest score shown.
        target: links: target scores, a picture of the cost for each (default: the middle of the range).
        labels: losses: labels of the list's documents, or one curve each (default: what suits the loss).
        same_budget: links: scale all to the same mean slope over the range, to compare where sensitivity goes.
    """
    from ltr.expressions import read, value_of
    from ltr.links import Link
    from ltr.losses.base import Loss
    from ltr.report.charts.plots import draw_links, draw_losses, save

    wanted = Link if kind == "link" else Loss
    if (labels if kind == "link" else target) is not None:
        raise ConfigError(f"--{'labels' if kind == 'link' else 'target'} does not go with {kind}")
    if len(range) != 2:
        raise ConfigError(f"--range takes two scores, lowest and highest, got {len(range)}")
    ends = (range[0], range[1])
    values = [value_of(read(text), packages=None) for text in expressions]
    for text, value in zip(expressions, values, strict=True):
        if not isinstance(value, wanted):
            other = "loss" if kind == "link" else "link"
            raise ConfigError(f"{text!r} must be a {kind}, got {type(value).__name__}; did you mean ltr plot {other}?")
    if kind == "link":
        figure = draw_links(values, ends, target or (), same_budget)
    else:
        figure = draw_losses(values, ends, labels or ())
    print(f"wrote {save(figure, output)}", file=beside_output(output))


def main(argv: Sequence[str]) -> None:
    return run(plot, argv, prog="ltr plot", short={"output": "-o"})
