"""The methods by which the scores or ranks of a document in several runs become one, by ranx's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ltr.errors import ConfigError
from ltr.io.names import suggestion
from ltr.metrics.fusion.joined import Joined


@dataclass(frozen=True)
class Method:
    """How the scores or ranks of a document in several runs become one score.

    Attributes:
        formula: s are scores, r ranks, w weights, n the number of runs that hold the document; sums run over these.
        fused: from joined runs, [runs, 1] weights and the parameter.
        weighted: whether weights are part of it.
        by_rank: whether only ranks count; else scores are normalised first.
        by_holders: whether only the runs that hold a document decide; else it counts 0 in the others.
        parameter: its name, where there is one.
        default: of the parameter.
        bounds: of the parameter.
    """

    formula: str
    fused: Callable[[Joined, np.ndarray, float], np.ndarray]
    weighted: bool = False
    by_rank: bool = False
    by_holders: bool = False
    parameter: str | None = None
    default: float = 0.0
    bounds: tuple[float, float] = (0.0, np.inf)


def _by_rank(
    joined: Joined, value: Callable[[np.ndarray], np.ndarray], weights: np.ndarray | float = 1.0
) -> np.ndarray:
    """The sum over runs of a function of the rank, which is 0 where a run does not hold the document."""
    return (weights * np.where(joined.held, value(np.maximum(joined.ranks, 1).astype(float)), 0.0)).sum(0)


def _median(joined: Joined) -> np.ndarray:
    values = np.sort(np.where(joined.held, joined.scores, np.inf), axis=0)
    low, high = (joined.holders - 1) // 2, joined.holders // 2
    column = np.arange(values.shape[1])
    return (values[low, column] + values[high, column]) / 2


def _borda(joined: Joined, weights: np.ndarray) -> np.ndarray:
    """As many points as documents at the first rank, one fewer at each next; the rest is shared by those not held."""
    sizes = np.diff(joined.offsets)
    all_of = np.repeat(sizes, sizes)
    points = np.where(joined.held, all_of - joined.ranks + 1, (all_of - joined.lengths + 1) / 2)
    return (weights * points).sum(0)


#: name, as in ranx -> method
METHODS = {
    "rrf": Method(
        "Σ w / (k + r)",
        lambda j, w, k: _by_rank(j, lambda r: 1 / (k + r), w),
        weighted=True,
        by_rank=True,
        parameter="k",
        default=60.0,
    ),
    "wsum": Method("Σ w s", lambda j, w, _: (w * j.scores).sum(0), weighted=True),
    "sum": Method("Σ s", lambda j, w, _: j.scores.sum(0)),
    "max": Method(
        "max s", lambda j, w, _: np.where(j.held, j.scores, -np.inf).max(0, initial=-np.inf), by_holders=True
    ),
    "min": Method("min s", lambda j, w, _: np.where(j.held, j.scores, np.inf).min(0, initial=np.inf), by_holders=True),
    "med": Method("median s", lambda j, w, _: _median(j), by_holders=True),
    "anz": Method("Σ s / n", lambda j, w, _: j.scores.sum(0) / j.holders, by_holders=True),
    "mnz": Method("n Σ s", lambda j, w, _: j.scores.sum(0) * j.holders),
    "gmnz": Method(
        "n^gamma Σ s", lambda j, w, gamma: j.scores.sum(0) * j.holders**gamma, parameter="gamma", default=0.5
    ),
    "wmnz": Method("Σ w · Σ s", lambda j, w, _: j.scores.sum(0) * (w * j.held).sum(0), weighted=True),
    "mixed": Method("√n Σ w s", lambda j, w, _: (w * j.scores).sum(0) * np.sqrt(j.holders), weighted=True),
    "isr": Method("n Σ 1 / r²", lambda j, w, _: _by_rank(j, lambda r: 1 / r**2) * j.holders, by_rank=True),
    "log_isr": Method(
        "log n · Σ 1 / r²", lambda j, w, _: _by_rank(j, lambda r: 1 / r**2) * np.log(j.holders), by_rank=True
    ),
    "logn_isr": Method(
        "log(n + sigma) · Σ 1 / r²",
        lambda j, w, sigma: _by_rank(j, lambda r: 1 / r**2) * np.log(j.holders + sigma),
        by_rank=True,
        parameter="sigma",
        default=0.01,
        bounds=(0.0, 1.0),
    ),
    "rbc": Method(
        "Σ (1 - phi) phi^(r - 1)",
        lambda j, w, phi: _by_rank(j, lambda r: (1 - phi) * phi ** (r - 1)),
        by_rank=True,
        parameter="phi",
        default=0.8,
        bounds=(0.0, 1.0),
    ),
    "bordafuse": Method("Σ points by rank", lambda j, w, _: _borda(j, np.ones_like(w)), by_rank=True),
    "w_bordafuse": Method("Σ w · points by rank", lambda j, w, _: _borda(j, w), weighted=True, by_rank=True),
}
#: methods that take weights
WEIGHTED = [name for name, method in METHODS.items() if method.weighted]


def method_of(name: str) -> Method:
    """The method of a name. Raises ConfigError with the nearest known one."""
    if name not in METHODS:
        raise ConfigError(f"fuse: no method {name!r}; {suggestion(name, METHODS)}")
    return METHODS[name]


def parameter_of(name: str, method: Method, value: float | None) -> float:
    """What a method takes beside weights: the value, when it can be, or the default. Raises ConfigError."""
    if value is None:
        return method.default
    if method.parameter is None:
        those = ", ".join(f"{m.parameter} of {n}" for n, m in METHODS.items() if m.parameter)
        raise ConfigError(f"fuse: {name} takes no parameter, got {value}; there are {those}")
    low, high = method.bounds
    if not low <= value <= high:
        raise ConfigError(f"fuse: {method.parameter} of {name} must be from {low:g} to {high:g}, got {value}")
    return value


def weights_of(name: str, method: Method, weights: Sequence[float] | None, n: int) -> np.ndarray:
    """[runs, 1] weights of ``n`` runs, equal by default. Raises ConfigError for such as do not fit."""
    if weights is None:
        return np.full((n, 1), 1.0 if name == "rrf" else 1 / max(n, 1))
    if not method.weighted:
        raise ConfigError(f"fuse: {name} takes no weights; those that do: {', '.join(WEIGHTED)}")
    found = np.array(weights, np.float64)
    if len(found) != n or not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise ConfigError(f"fuse: one weight for each of the {n} runs, none negative and not all 0, got {weights}")
    return found[:, None]
