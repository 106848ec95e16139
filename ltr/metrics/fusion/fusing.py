"""Several runs put together to one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.io.runs import Run
from ltr.metrics.fusion.joined import Joined
from ltr.metrics.fusion.methods import method_of, parameter_of, weights_of
from ltr.metrics.fusion.norms import NORMS
from ltr.metrics.inputs import as_run

log = logging.getLogger("ltr")


def fuse(
    runs: Sequence[Run],
    method: str = "rrf",
    norm: str = "min-max",
    weights: Sequence[float] | None = None,
    parameter: float | None = None,
    name: str | None = None,
) -> Run:
    """One run from several, by ranx's methods; documents with equal scores stand in trec_eval's order.

    Ranks are those of trec_eval's order, too, so that ties in the runs fuse alike everywhere. A document that a run
    does not hold counts nothing there. A query that only some runs hold is fused from those.

    Args:
        runs: two or more.
        method: of ``METHODS``.
        norm: what brings the scores of different runs to one scale, of ``NORMS``; methods by rank need none.
        weights: of the runs, for methods that are weighted; equal by default (1 each for ``rrf``, else 1 / runs).
        parameter: what the method takes: ``k`` of rrf, ``gamma`` of gmnz, ``sigma`` of logn_isr, ``phi`` of rbc.
        name: of the new run; by default the method and the runs' names.

    Raises:
        ConfigError: an unknown method or norm, fewer than two runs, weights that do not fit.

    >>> a = Run.from_dict({"q": {"x": 9.0, "y": 5.0}}, "a")
    >>> b = Run.from_dict({"q": {"y": 3.0, "z": 1.0}}, "b")
    >>> fuse([a, b], "rrf")["q"][0].tolist()
    ['y', 'x', 'z']
    """
    chosen = method_of(method)
    values = parameter_of(method, chosen, parameter)
    given = weights_of(method, chosen, weights, len(runs))
    runs = list(map(as_run, runs))
    joined = joined_of(runs, method, norm)
    return joined.run(chosen.fused(joined, given, values), name or f"{method} {' + '.join(run.name for run in runs)}")


def joined_of(runs: Sequence[Run], method: str, norm: str) -> Joined:
    """Runs put side by side, with scores normalised as the method needs them."""
    if len(runs) < 2:
        raise ConfigError(f"fuse: two runs or more are needed, got {len(runs)}")
    if norm not in NORMS:
        raise ConfigError(f"fuse: no norm {norm!r}; {suggestion(norm, NORMS)}")
    chosen = method_of(method)
    runs = list(map(as_run, runs))
    joined = Joined.of(runs, [run.scores if chosen.by_rank else NORMS[norm](run) for run in runs])
    if not (chosen.by_rank or chosen.by_holders):
        _tell_of_zeros(runs, joined)
    return joined


def _tell_of_zeros(runs: Sequence[Run], joined: Joined) -> None:
    """Warn of runs that would lift a document by not holding it."""
    for i, run in enumerate(runs):
        if (joined.scores[i] < 0).any() and (~joined.held[i] & (joined.lengths[i] > 0)).any():
            log.warning(
                "fuse: run %s has scores below 0 (%g), and a document that it does not hold counts 0, which is above them; norm min-max "
                "puts all others above it",
                run.name, joined.scores[i].min(),
            )  # fmt: skip


def interpolate(first: Run, second: Run, weight: float, name: str | None = None) -> Run:
    """Weighted sum of two runs, ``weight * n(first) + (1 - weight) * n(second)``.

    n maps the scores of a query to [0, 1] by ``(s - min) / (max - min)`` (all 0 where they are equal). Min-max and not
    z-scores, because a document that only one run holds counts 0 in the other: that is the lowest retrieved document
    there, while the 0 of z-scores is an average one, which would lift what was never retrieved. A query that only one
    run holds keeps that run's order. Equals ranx's ``fuse(norm="min-max", method="wsum")``.

    Args:
        first: one run.
        second: another run, often the first stage.
        weight: of ``first``, in [0, 1].
        name: the new run's name, such as ``0.3 a + 0.7 b`` by default.

    Raises:
        ConfigError: for a weight outside of [0, 1].

    >>> a = Run.from_dict({"q": {"x": 9.0, "y": 5.0, "z": 1.0}})
    >>> b = Run.from_dict({"q": {"x": 0.0, "y": 3.0}})
    >>> interpolate(a, b, 0.25).to_dict()
    {'q': {'y': 0.875, 'x': 0.25, 'z': 0.0}}
    """
    if not 0 <= weight <= 1:
        raise ConfigError(f"interpolate: the weight of the first run must be in [0, 1], got {weight}")
    first, second = as_run(first), as_run(second)
    title = name or f"{weight:.4g} {first.name} + {1 - weight:.4g} {second.name}"
    return fuse([first, second], "wsum", weights=[weight, 1 - weight], name=title)
