"""What all losses share: the contract, its checks, reductions, and which laws a loss keeps."""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.links.autograd import widened
from ltr.losses.engines.row_blocks import Rows
from ltr.machine.threads import alone

#: torch shares out operations on more numbers than these
GRAIN = 1 << 15
REDUCTIONS = ("mean", "sum", "none")
#: arguments that are not shown
LEFT_OUT = (("reduction", "mean"), ("of", "scores"), ("centering", 0.0))


@dataclass(frozen=True)
class Laws:
    """Which laws a loss keeps; the contract tests read this and test each claim.

    Attributes:
        labels: what labels the loss takes: ``"scores"`` (any real), ``"grades"`` (0, 1, 2 ...), ``"binary"`` (in
            [0, 1]) or ``"positives"`` (grades of which at least one is positive).
        divergence: zero at the target scores and never negative.
        ranks: the loss ranks by score, so permutation is a law only without ties, and gradients have jumps there.
        kinks: the gradient has jumps at other places too (hinge, piecewise transforms).
        lower_bound: no value lies below it.
        shift: adding a constant to all scores of a list changes nothing.
        why: the reason for each law that does not hold in full: an entry ``"divergence"`` or ``"shift"`` where that is
            False, ``"ranks"`` or ``"kinks"`` where that is True, ``"lower_bound"`` where that is not 0.
    """

    labels: str = "grades"
    divergence: bool = False
    ranks: bool = False
    kinks: bool = False
    lower_bound: float = 0.0
    shift: bool = False
    why: dict[str, str] = field(default_factory=dict)

    def unexplained(self) -> list[str]:
        """The laws that do not hold in full and have no reason in ``why``."""
        broken = {
            "divergence": not self.divergence,
            "shift": not self.shift,
            "ranks": self.ranks,
            "kinks": self.kinks,
            "lower_bound": self.lower_bound != 0,
        }
        return [name for name, is_broken in broken.items() if is_broken and not self.why.get(name)]


class LogRatios(NamedTuple):
    """Scores of completions: ``beta · (log π − log π_ref)``, over the sum of their tokens or their mean.

    Attributes:
        beta: above 0.
        reference: whether there is a π_ref; without, scores are ``beta · log π``.
        length: ``sum`` over a completion's tokens, or their ``mean``.
    """

    beta: float
    reference: bool
    length: str

    def __str__(self) -> str:
        return f"beta {self.beta:g}, {'a' if self.reference else 'no'} reference and length {self.length!r}"


class Loss(nn.Module):
    """A cost for lists of scored documents.

    ``loss(scores, labels, mask, weights)`` computes one cost per list and reduces them. Scores are raw: no
    activation is hidden in a loss, larger is better. All work is done in float32 or wider, whatever the scores' type
    and under autocast too. A link or transform may be a ``RunningCenter``, which sees the scores in training mode.

    One's own defines ``costs`` and gets the rest: masks, weights, reductions, checks. It may also say which lists it
    ``contributes`` for, which labels it takes and whether they are ``good_or_bad``, that it is ``pointwise``, and which ``laws``
    it keeps. Arguments of its
    constructor stay under their names, from which ``repr``, configurations and benchmarks make it again. A loss over
    pairs of documents derives from ``PairLoss``.

    Args:
        reduction: ``"mean"`` sums over lists that contribute and divides by their number, ``"sum"`` sums, ``"none"``
            returns one cost per list. A list that does not contribute (``contributes``) costs exactly 0 and has
            gradient 0.

    Shape:
        scores [lists, docs] float; labels [lists, docs]; mask [lists, docs] bool, True where there is a document
        (default: everywhere); weights [lists], or [lists, docs] for pointwise losses: they multiply costs and do not
        change what a mean divides by. What stands at masked places (NaN too) does not matter. Costs are bounded below
        by 0 unless a loss says otherwise.

    Raises:
        ShapeError: shapes that do not fit.
        DataError: NaN or infinite scores, labels or weights, or labels that the loss's targets refuse, with the place.
        ConfigError: an unknown reduction, or a class that defines no costs.

    Note:
        Gradients of float16 scores saturate at 65504 instead of turning infinite, so a gradient scaler does not see
        them overflow: pass ``scores.float()`` where one is in use.

    >>> class Absolute(Loss):
    ...     pointwise = True
    ...
    ...     def costs(self, scores, labels, mask):
    ...         return (scores - labels).abs()
    >>> Absolute()(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]))  # (2 + 0) / 2
    tensor(1.)
    """

    #: which laws the loss keeps; an instance may hold its own
    laws: Laws = Laws()
    #: True for losses that are a mean over documents and take weights per document
    pointwise: ClassVar[bool] = False
    #: True for losses whose link takes differences of scores, not scores
    on_differences: ClassVar[bool] = False

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        kind = type(self)
        if kind.costs is Loss.costs and kind.counted is Loss.counted:
            raise ConfigError(
                f"{kind.__name__}: a Loss must define costs(self, scores, labels, mask), which returns one cost per list; a "
                "loss over pairs of documents derives from PairLoss"
            )
        if reduction not in REDUCTIONS:
            raise ConfigError(f"{kind.__name__}: reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
        self.reduction = reduction

    def __repr__(self) -> str:
        return as_constructed(self)

    def costs(self, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """One cost per list [lists] (per document [lists, docs] for pointwise losses), before weights.

        Called with checked contiguous float32 or float64 tensors, finite everywhere (0 where ``mask`` is False). What it
        returns at lists that do not contribute (documents that are masked) is ignored, but must have finite gradients.
        """
        raise NotImplementedError

    def contributes(self, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """[lists] bool: which lists can have a cost at all. Default: those with at least one document."""
        return real(labels, mask).any(-1)

    def check_labels(self, labels: Tensor, mask: Tensor) -> None:
        """Raise DataError for finite labels that this loss cannot take. Default: takes all."""

    def good_or_bad(self) -> bool:
        """Whether a document is good where its label is above 0, and bad elsewhere, so that labels above 0 alone tell none apart.

        Default: what the loss's targets say, where it has some.
        """
        return bool(getattr(getattr(self, "targets", None), "good_or_bad", False))

    def check_scores(self, log_ratios: LogRatios | None) -> None:
        """Refuse scores that the loss would read as something else, or warn of them; called before training. Default: takes all.

        Args:
            log_ratios: what of a policy's the scores are; None where they are no log-probabilities.

        Raises:
            ConfigError: scores that the loss is not for.
        """

    def counted(self, scores: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """``costs``, exactly 0 for lists that do not contribute, and ``contributes``.

        For losses in which one falls out of the other; by default each is asked for.
        """
        keep, costs = self.contributes(labels, mask), self.costs(scores, labels, mask)
        shape = mask.shape if self.pointwise else mask.shape[:1]
        if costs.shape != shape:
            what = "document, [lists, docs]" if self.pointwise else "list, [lists]"
            hint = "" if self.pointwise else "; a mean over documents says pointwise = True"
            raise ShapeError(
                f"{type(self).__name__}: costs must return one cost per {what} {list(shape)}, got {list(costs.shape)}{hint}"
            )
        return torch.where(keep[:, None] if costs.dim() == 2 else keep, costs, 0), keep

    @property
    def row_scale(self) -> float:
        """What the products of a batch's vectors are multiplied by before ``row_costs`` sees them as scores. Default: 1."""
        return 1.0

    def row_costs(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Costs of some lists against all documents of a batch: see ``ltr.losses.in_batch``.

        By default those of ``costs``, with gradients by autograd. Losses override it that know their gradient.

        Returns:
            [rows] costs, [rows, docs] their gradients in the scores, [rows] bool which lists contribute.
        """
        labels, mask = rows.all_labels, rows.mask
        self.check_labels(labels, mask)
        with torch.enable_grad():
            scores = torch.where(mask, rows.scores.detach(), 0).requires_grad_()
            costs, keep = self.counted(scores, labels, mask)
            costs = self._weighted(costs, mask, None)
            total = costs.sum()
            known = total.requires_grad
            gradient = torch.autograd.grad(total, scores)[0] if known else torch.zeros_like(scores)
        return costs.detach(), gradient, keep

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        scores, labels, mask = self._checked(scores, labels, mask)
        with _surroundings(scores):
            for part in self.children():
                observe = getattr(part, "observe", None)
                if callable(observe):
                    observe(scores.detach(), mask, labels)
            costs, keep = self.counted(scores, labels, mask)
            costs = self._weighted(costs, mask, weights)
            if self.reduction == "none":
                return costs
            total = costs.sum()
            return total if self.reduction == "sum" else total / keep.sum().clamp(min=1)

    def _weighted(self, costs: Tensor, mask: Tensor, weights: Tensor | None) -> Tensor:
        """Costs per list [lists], times the weights."""
        if weights is not None:
            also = " or [lists, docs]" if self.pointwise else ""
            if weights.shape != mask.shape[:1] and not (self.pointwise and weights.shape == mask.shape):
                raise ShapeError(
                    f"{type(self).__name__}: weights must be [lists]{also} of scores {list(mask.shape)}, got {list(weights.shape)}"
                )
            counted = mask if weights.dim() == 2 else torch.ones_like(weights, dtype=torch.bool)
            weights = torch.where(counted, weights, 0).to(costs)
            self._refuse_infinite("weights", weights)
        if self.pointwise:
            if weights is not None and weights.dim() == 2:
                costs, weights = costs * weights, None
            costs = torch.where(mask, costs, 0).sum(-1) / mask.sum(-1).clamp(min=1)
        return costs if weights is None else costs * weights

    def _checked(self, scores: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        name = type(self).__name__
        if scores.dim() != 2:
            raise ShapeError(
                f"{name}: scores must be [lists, docs], got {list(scores.shape)}; for one list use scores[None]"
            )
        if labels.shape != scores.shape:
            raise ShapeError(
                f"{name}: labels must have the scores' shape {list(scores.shape)}, got {list(labels.shape)}"
            )
        padded = mask is not None
        if mask is None:
            mask = torch.ones_like(scores, dtype=torch.bool)
        elif mask.shape != scores.shape or mask.dtype != torch.bool:
            raise ShapeError(
                f"{name}: mask must be bool {list(scores.shape)} (True = real document), got {mask.dtype} {list(mask.shape)}"
            )
        if not scores.is_floating_point():
            raise ShapeError(f"{name}: scores must be floating point, got {scores.dtype}")
        # without a mask there is nothing to hide: saves two kernels, and one on the way back
        scores = widened(torch.where(mask, scores, 0) if padded else scores)
        labels = (torch.where(mask, labels, 0) if padded else labels).to(scores.dtype)
        self._refuse_infinite("scores", scores)
        self._refuse_infinite("labels", labels)
        # slices and transposes as if they had been made for the purpose: searches in sorted rows warn about others
        scores, labels, mask = scores.contiguous(), labels.contiguous(), mask.contiguous()
        self.check_labels(labels, mask)
        return scores, labels, mask

    def _refuse_infinite(self, what: str, values: Tensor) -> None:
        # a finite sum has finite parts: one kernel where all is well, in place of seven
        if math.isfinite(values.detach().sum().item()):
            return
        refuse(f"{type(self).__name__}: {what} must be finite", values, ~values.isfinite(), "mask it or mend the data")


#: for where nothing is to be set: entering a new one each time would be a part of what small losses take
_NOTHING = contextlib.nullcontext()


def full_precision(scores: Tensor) -> contextlib.AbstractContextManager:
    """Autocast off, where it is on."""
    kind = scores.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return _NOTHING


@contextlib.contextmanager
def _large(scores: Tensor) -> Iterator[None]:
    """torch's helpers left to threads that take blocks of their own, in full precision."""
    with full_precision(scores), alone():
        yield


def _surroundings(scores: Tensor) -> contextlib.AbstractContextManager:
    """Full precision, and where there are pairs enough to wake up torch's helpers, these left to threads of ours."""
    many = scores.numel() * scores.shape[-1] > GRAIN
    helped = many and scores.device.type == "cpu" and torch.get_num_threads() > 1
    return _large(scores) if helped else full_precision(scores)


def as_constructed(module: nn.Module) -> str:
    """``Name(argument=value, ...)``: valid Python, from arguments that are stored under their own names.

    The default reduction is left out, and what came later where it is the default, so that texts stay as they were; what a
    module does not keep shows as ``...``.
    """
    shown = [f"{n}={v!r}" for n, v in arguments_of(module).items() if (n, v) not in LEFT_OUT]
    return f"{type(module).__name__}({', '.join(shown)})"


def arguments_of(module: nn.Module) -> dict[str, Any]:
    """What a module was constructed with, by name; ``...`` (Ellipsis) for arguments that it does not keep under theirs."""
    parameters = inspect.signature(type(module).__init__).parameters.values()
    fixed = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return {name: getattr(module, name, ...) for name in fixed[1:]}


def increasing(owner: str, link: Any) -> Any:
    """``link``, when it is a link or a running centre around one; a ConfigError that names ``owner`` otherwise."""
    if isinstance(link, type):
        raise ConfigError(f"{owner}: needs a link object, got the class {link.__name__}; write {link.__name__}()")
    if not (callable(link) and all(hasattr(link, part) for part in ("slope", "divergence", "range", "convex"))):
        raise ConfigError(f"{owner}: needs a link such as ltr.links.Sigmoid(center=2.0), got {link!r}")
    return link


def positive(owner: str, what: str, value: float) -> float:
    """``value`` as a float, when it is finite and above 0; a ConfigError that names ``owner`` otherwise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
        raise ConfigError(f"{owner}: {what} must be a finite number above 0, got {value!r}")
    return float(value)


def as_temperature(owner: str, value: float) -> float:
    """``value`` as a float, when scores can be divided by it; a ConfigError that names ``owner`` otherwise."""
    temperature = positive(owner, "temperature", value)
    # float32 reaches from 1e-38 to 3e38, and scores of some size are left room
    if not 1e-30 <= temperature <= 1e30:
        raise ConfigError(f"{owner}: temperature must be between 1e-30 and 1e30, got {value!r}")
    return temperature


def refuse(rule: str, values: Tensor, bad: Tensor, advice: str) -> None:
    """Raise DataError "rule, got value at place; advice" for the first of the ``values`` that is ``bad``."""
    if bool(bad.any()):
        at = bad.nonzero()[0].tolist()
        place = f"list {at[0]}, document {at[1]}" if len(at) == 2 else f"list {at[0]}"
        raise DataError(f"{rule}, got {values[tuple(at)].item():g} at {place}; {advice}")


def real(labels: Tensor, mask: Tensor | None) -> Tensor:
    """The mask, or all True."""
    return torch.ones_like(labels, dtype=torch.bool) if mask is None else mask


def has_pair(labels: Tensor, mask: Tensor | None) -> Tensor:
    """[lists] bool: two documents of different labels."""
    mask = real(labels, mask)
    low = torch.where(mask, labels, torch.inf).amin(-1) if labels.shape[-1] else labels.new_zeros(len(labels))
    high = torch.where(mask, labels, -torch.inf).amax(-1) if labels.shape[-1] else labels.new_zeros(len(labels))
    return high > low


def has_positive(labels: Tensor, mask: Tensor | None) -> Tensor:
    """[lists] bool: a document with a positive label."""
    return (real(labels, mask) & (labels > 0)).any(-1)


def has_two(labels: Tensor, mask: Tensor | None) -> Tensor:
    """[lists] bool: at least two documents."""
    return real(labels, mask).sum(-1) >= 2
