"""Underspecified regression: where a model too small for its target is accurate is decided by the link.

    python benchmarks/quality/underspecified.py

One feature x, even in [-1, 1]; target scores 4 sinh(2.5 x)/sinh(2.5), which bend twice, plus noise. A *line* (2 numbers)
cannot bend, *one unit* (a + b tanh(c x + d), 4 numbers) bends once; *two units* (7 numbers) are enough: the control. All are trained to the optimum of each loss (the best
of some random starts by Adam, then L-BFGS) on samples of their own for each seed. Errors are taken against the target
without noise, in the fifth of the documents that the loss focuses on, and in the rest.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from ltr.io.files import replacing
from ltr.links import Exp, Identity, Link, Piecewise, Sigmoid, Sinh
from ltr.losses import MSE, Huber, Loss, Matching
from ltr.report.charts.style import drawing, save
from ltr.training.run.records import versions

ROOT = Path(__file__).parents[2]
GRID = torch.linspace(-1, 1, 2001, dtype=torch.float64)


def target(x: Tensor) -> Tensor:
    """The scores that are to be learnt, from -4 to 4."""
    return 4 * torch.sinh(2.5 * x) / math.sinh(2.5)


TRUTH = target(GRID)
#: ends of regions of target scores: a fifth of the documents each, and a tenth at either end
CUTS = torch.quantile(TRUTH, torch.tensor([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0], dtype=torch.float64)).tolist()
BOTTOM, MIDDLE, TOP = (CUTS[0], CUTS[2]), (CUTS[3], CUTS[4]), (CUTS[5], CUTS[7])


def between(low: float, high: float) -> Tensor:
    """[grid] bool: targets in a region."""
    return TRUTH.ge(low) & TRUTH.le(high)


REGIONS = {
    "bottom fifth": between(*BOTTOM),
    "middle fifth": between(*MIDDLE),
    "top fifth": between(*TOP),
    "both ends": ~between(CUTS[1], CUTS[6]),
}


def line(numbers: Tensor, x: Tensor) -> Tensor:
    """[runs, 2] and [runs, docs] to scores [runs, docs]."""
    return numbers[:, :1] + numbers[:, 1:2] * x


def unit(numbers: Tensor, x: Tensor) -> Tensor:
    """One hidden unit: [runs, 4] and [runs, docs] to scores [runs, docs]."""
    return numbers[:, :1] + numbers[:, 1:2] * torch.tanh(numbers[:, 2:3] * x + numbers[:, 3:4])


def two_units(numbers: Tensor, x: Tensor) -> Tensor:
    """Two hidden units: [runs, 7] and [runs, docs] to scores [runs, docs]."""
    return unit(numbers[:, :4], x) + numbers[:, 4:5] * torch.tanh(numbers[:, 5:6] * x + numbers[:, 6:7])


#: name -> (scores, how many numbers, random starts)
MODELS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int, int]] = {
    "line": (line, 2, 1),
    "one unit": (unit, 4, 4),
    "two units": (two_units, 7, 6),
}


@dataclass(frozen=True)
class Entry:
    """A loss with one cost per list, the region that it is meant for ("" for none), and weights from labels, if any."""

    name: str
    loss: Loss
    focus: str = ""
    weigh: Callable[[Tensor], Tensor] | None = None


def selective(name: str, link: Link, focus: str) -> Entry:
    return Entry(name, Matching(link, reduction="none"), focus)


HIGH = Sigmoid.focus(range=TOP)
ENTRIES = [
    Entry("squared error", MSE(reduction="none")),
    Entry("Huber", Huber(reduction="none")),
    selective("sigmoid, bottom", Sigmoid.focus(range=BOTTOM), "bottom fifth"),
    selective("sigmoid, middle", Sigmoid.focus(range=MIDDLE), "middle fifth"),
    selective("sigmoid, top", HIGH, "top fifth"),
    selective("sigmoid, top, floor .02", HIGH + 0.02 * Identity(), "top fifth"),
    selective("sigmoid, top, floor .1", HIGH + 0.1 * Identity(), "top fifth"),
    selective("exp", Exp(center=TOP[0], width=0.7), "top fifth"),
    selective("piecewise, top", Piecewise.focus(range=TOP), "top fifth"),
    selective("sinh", Sinh(width=0.7), "both ends"),
    # the obvious alternative: squared errors weighted by the slope that the label has
    Entry("squared error, weighted, top", MSE(reduction="none"), "top fifth", HIGH.slope),
]
#: what the figure shows, left to right
SHOWN = ["sigmoid, bottom", "sigmoid, middle", "sigmoid, top"]


def sample(seeds: int, documents: int, noise: float) -> tuple[Tensor, Tensor]:
    """[seeds, docs] features and labels, each seed's own."""
    xs, ys = [], []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        x = 2 * torch.rand(documents, generator=generator, dtype=torch.float64) - 1
        xs.append(x)
        ys.append(target(x) + noise * torch.randn(documents, generator=generator, dtype=torch.float64))
    return torch.stack(xs), torch.stack(ys)


def fit(entry: Entry, model: str, x: Tensor, y: Tensor, steps: int = 200) -> Tensor:
    """[seeds, numbers] at the optimum of each seed's own cost; the seeds do not see each other."""
    scores, size, starts = MODELS[model]

    def costs(numbers: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return entry.loss(scores(numbers, x), y, weights=None if entry.weigh is None else entry.weigh(y))

    begun = [
        torch.randn(starts, size, generator=torch.Generator().manual_seed(s), dtype=x.dtype) for s in range(len(x))
    ]
    numbers = torch.cat(begun).requires_grad_()
    many_x, many_y = x.repeat_interleave(starts, 0), y.repeat_interleave(starts, 0)
    adam = torch.optim.Adam([numbers], lr=0.1)
    for _ in range(steps):
        adam.zero_grad()
        costs(numbers, many_x, many_y).sum().backward()
        adam.step()
    best = costs(numbers, many_x, many_y).detach().view(len(x), starts).argmin(1)
    numbers = numbers.detach().view(len(x), starts, size)[torch.arange(len(x)), best].clone().requires_grad_()
    newton = torch.optim.LBFGS(
        [numbers], max_iter=2 * steps, history_size=40, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        newton.zero_grad()
        total = costs(numbers, x, y).sum()
        total.backward()
        return total

    newton.step(closure)  # type: ignore[arg-type]  # torch's stub wants a float
    return numbers.detach()


def rmse(found: Tensor, region: Tensor) -> list[float]:
    """One per seed."""
    return (found - TRUTH)[:, region].square().mean(1).sqrt().tolist()


def spread(values: list[float]) -> dict[str, Any]:
    """Mean over seeds with its 95 % t interval."""
    found = torch.tensor(values, dtype=torch.float64)
    half = float(stats.t.ppf(0.975, len(values) - 1) * found.std() / math.sqrt(len(values)))
    return {"mean": round(float(found.mean()), 4), "interval_95_over_seeds": round(half, 4)}


def measured(found: dict[tuple[str, str], Tensor]) -> list[dict[str, Any]]:
    """One row for each model and loss: errors by region, and inside and outside of the focus."""
    rows = []
    for (model, name), scores in found.items():
        entry = next(e for e in ENTRIES if e.name == name)
        row: dict[str, Any] = {
            "model": model,
            "loss": name,
            "expression": repr(entry.loss).replace(", reduction='none'", ""),
        }
        row["rmse"] = {region: spread(rmse(scores, inside)) for region, inside in REGIONS.items()}
        row["rmse"]["all"] = spread(rmse(scores, torch.ones_like(TRUTH, dtype=torch.bool)))
        if entry.focus:
            plain, inside = found[model, "squared error"], REGIONS[entry.focus]
            row["focus"] = entry.focus
            for where, region in (("inside", inside), ("outside", ~inside)):
                pairs = zip(rmse(scores, region), rmse(plain, region), strict=True)
                row[where] = spread(rmse(scores, region))
                row[where]["minus_squared_error"] = spread([ours - theirs for ours, theirs in pairs])
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: errors inside and outside of the focus, those of squared error in brackets."""

    def shown(one: dict[str, Any]) -> str:
        return f"{one['mean']:.2f} ± {one['interval_95_over_seeds']:.2f}"

    lines = ["| model | loss | focus | RMSE inside | squared error there | RMSE outside | squared error there |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        if "focus" not in row:
            lines.append(f"| {row['model']} | {row['loss']} | all | {shown(row['rmse']['all'])} | | | |")
            continue
        theirs = [f"{row[w]['mean'] - row[w]['minus_squared_error']['mean']:.2f}" for w in ("inside", "outside")]
        errors = f"{shown(row['inside'])} | {theirs[0]} | {shown(row['outside'])} | {theirs[1]}"
        lines.append(f"| {row['model']} | {row['loss']} | {row['focus']} | {errors} |")
    return "\n".join(lines)


BLUE, ORANGE, GREY, BAND = "#0072B2", "#D55E00", "#666666", "#E69F00"


def draw(found: dict[tuple[str, str], Tensor], x: Tensor, y: Tensor, model: str = "one unit") -> Any:
    """Columns: links; above the fits to one sample, below the errors over seeds and the link's slope."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9.0, 5.7), layout="constrained")
        axes = figure.subplots(2, len(SHOWN), sharey="row", height_ratios=[1.25, 1])
        plain = found[model, "squared error"]
        for (above, below), name in zip(axes.T, SHOWN, strict=True):
            entry = next(e for e in ENTRIES if e.name == name)
            scores, inside = found[model, name], TRUTH[REGIONS[entry.focus]]
            low, high = float(inside.min()), float(inside.max())
            _fits(above, x[0], y[0], plain[0], scores[0])
            above.axhspan(low, high, color=BAND, alpha=0.18, linewidth=0)
            _errors(below, entry, plain, scores)
            below.axvspan(low, high, color=BAND, alpha=0.18, linewidth=0)
            focus = REGIONS[entry.focus]
            gain = [sum(rmse(s, part)) / len(s) for part in (focus, ~focus) for s in (plain, scores)]
            above.set_title(
                f"focus: {entry.focus} of the scores\n"
                f"RMSE {gain[0]:.2f} → {gain[1]:.2f}; elsewhere {gain[2]:.2f} → {gain[3]:.2f}",
                fontsize=9,
            )
        figure.suptitle("A target bends twice, the model only once: the link decides where it is accurate", fontsize=11)
        axes[0, 0].set_ylabel("score")
        axes[1, 0].set_ylabel("absolute error")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        more = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles + more[0], labels + more[1], loc="outside lower center", ncols=5, handlelength=2.4)
    return figure


def _fits(axis: Any, x: Tensor, y: Tensor, plain: Tensor, scores: Tensor) -> None:
    axis.plot(x, y, ".", color="#bbbbbb", markersize=3, zorder=1)
    axis.plot(GRID, TRUTH, color="black", linewidth=1.2, label="target")
    axis.plot(GRID, plain, color=BLUE, linestyle=(0, (6, 1.5)), label="squared error")
    axis.plot(GRID, scores, color=ORANGE, label="matching loss, sigmoid link")
    axis.set(xlabel="feature x", xlim=(-1, 1), ylim=(-4.6, 4.6), xticks=[-1, 0, 1], yticks=[-4, -2, 0, 2, 4])


def _errors(axis: Any, entry: Entry, plain: Tensor, scores: Tensor) -> None:
    for found, color, dash in ((plain, BLUE, (0, (6, 1.5))), (scores, ORANGE, "-")):
        errors = (found - TRUTH).abs()
        half = float(stats.t.ppf(0.975, len(errors) - 1)) * errors.std(0) / math.sqrt(len(errors))
        axis.plot(TRUTH, errors.mean(0), color=color, linestyle=dash)
        axis.fill_between(TRUTH, errors.mean(0) - half, errors.mean(0) + half, color=color, alpha=0.25, linewidth=0)
    slope = entry.loss.link.slope(TRUTH)  # type: ignore[operator, union-attr]
    axis.fill_between(
        TRUTH, -0.9, -0.9 + 0.8 * slope / slope.max(), color=GREY, alpha=0.55, linewidth=0, label="slope of the link"
    )
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set(xlabel="target score", xlim=(-4, 4), ylim=(-0.9, 3.0), xticks=[-4, -2, 0, 2, 4], yticks=[0, 1, 2, 3])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--documents", type=int, default=200, help="of each sample")
    parser.add_argument(
        "--noise", type=float, nargs="+", default=[0.3, 1.0],
        help="standard deviations of the labels around the target; the picture shows the first",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=200, help="of Adam; twice as many of L-BFGS")
    parser.add_argument("--picture", default=str(ROOT / "data" / "underspecified.png"))
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "results" / "underspecified" / "results.json"))
    args = parser.parse_args(arguments)
    begin = time.perf_counter()
    rows = {}
    for noise in args.noise:
        x, y = sample(args.seeds, args.documents, noise)
        found = {(m, e.name): MODELS[m][0](fit(e, m, x, y, args.steps), GRID) for m in MODELS for e in ENTRIES}
        rows[f"{noise:g}"] = measured(found)
        print(f"Noise {noise:g}\n\n{table(rows[f'{noise:g}'])}\n")
        if noise == args.noise[0]:
            save(draw(found, x, y), args.picture)
    settings = {name: getattr(args, name) for name in ("seeds", "documents", "steps")}
    command = "python benchmarks/quality/underspecified.py"
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    with replacing(args.output) as file:
        json.dump({"command": command, **settings, "versions": versions(), "noise": rows}, file, indent=1)
        file.write("\n")
    print(f"{time.perf_counter() - begin:.0f} s; {args.picture}, {args.output}")


if __name__ == "__main__":
    main()
