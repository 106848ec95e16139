"""A centre that follows the scores, and the share of scores where a transform has gone flat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, distributed, nn

from ltr.errors import ConfigError
from ltr.links import Identity, Link
from ltr.losses.base import Loss, as_constructed, increasing

#: what a centre may follow
FOLLOWED = ("scores", "positives")


class RunningCenter(nn.Module):
    """A link whose centre follows the scores during training, so that its steep region stays at the top of them.

    Works like the link ``h(z − c)`` wherever a loss takes a link or transform. c is a moving average of a quantile of
    the batches' scores: ``c ← momentum·c + (1 − momentum)·quantile``; the first batch sets it. It moves only in training
    mode, carries no gradient, is saved with checkpoints, and is the same on all processes of distributed training (the
    mean of their quantiles, weighted by their numbers of documents).

    Args:
        link: the link to shift; its own centre is an offset from c.
        quantile: which quantile of all real scores of a batch to follow, from 0 (lowest) to 1 (highest).
        momentum: how much of c stays at each batch, in [0, 1); 0.99 averages over about a hundred batches.
        of: what is followed: ``scores``, the quantile of all of them, or ``positives``, the mean score of the documents
            with a label above 0 (then ``quantile`` means nothing). Where a query meets the documents of a whole batch,
            nearly all of them negatives, every quantile lies among these, and steepness there costs nDCG: take
            ``positives``.

    Raises:
        ConfigError: a quantile or momentum outside its range, an unknown ``of``, or something that is no plain link.

    >>> from ltr.links import Sigmoid
    >>> center = RunningCenter(Sigmoid(), quantile=0.5)
    >>> center.observe(torch.tensor([[1.0, 2.0, 3.0]]))
    >>> center(torch.tensor([2.0]))
    tensor([0.5000])
    """

    center: Tensor
    started: Tensor

    def __init__(
        self, link: Link, quantile: float = 0.9, momentum: float = 0.99, of: Literal["scores", "positives"] = "scores"
    ):
        super().__init__()
        if of not in FOLLOWED:
            raise ConfigError(f"RunningCenter: of must be one of {', '.join(FOLLOWED)}, got {of!r}")
        self.of = of
        if isinstance(link, nn.Module):
            raise ConfigError(f"RunningCenter: needs a plain link to shift, got {link!r}")
        if not 0 <= quantile <= 1:
            raise ConfigError(f"RunningCenter: quantile must lie in [0, 1], got {quantile!r}")
        if not 0 <= momentum < 1:
            raise ConfigError(f"RunningCenter: momentum must lie in [0, 1), got {momentum!r}")
        self.link = increasing("RunningCenter", link)
        self.quantile, self.momentum = float(quantile), float(momentum)
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def __repr__(self) -> str:
        return as_constructed(self)

    @torch.no_grad()
    def observe(self, scores: Tensor, mask: Tensor | None = None, labels: Tensor | None = None) -> None:
        """Move the centre towards what it follows of the real ``scores``; does nothing in evaluation mode.

        All processes of distributed training must call this equally often. A batch without documents (without positives,
        where these are followed) moves nothing.

        Args:
            scores: of any shape.
            mask: True where there is a document; None for everywhere.
            labels: of the scores' shape; needed where positives are followed.
        """
        if not self.training:
            return
        if self.of == "positives":
            if labels is None:
                raise ConfigError("RunningCenter(of='positives'): observe needs the labels of the scores, got none")
            mask = labels > 0 if mask is None else mask & (labels > 0)
        values = (scores if mask is None else scores[mask]).detach().flatten().to(self.center)
        if not len(values):
            level = self.center.new_zeros(())
        else:
            level = values.mean() if self.of == "positives" else values.quantile(self.quantile)
        self.move(level, len(values))

    @torch.no_grad()
    def move(self, level: Tensor, count: int) -> None:
        """Move the centre towards a level that was found in so many scores; in training mode, on all processes together."""
        pooled = torch.stack([level * count, self.center.new_tensor(count)])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(pooled)
        level = pooled[0] / pooled[1].clamp(min=1)
        moved = torch.where(self.started, self.momentum * self.center + (1 - self.momentum) * level, level)
        any_seen = pooled[1] > 0
        self.center.copy_(torch.where(any_seen, moved, self.center))
        self.started.logical_or_(any_seen)

    def _shifted(self, z: Tensor) -> Tensor:
        return z - self.center.to(z.dtype)

    # the link's own interface, at the running centre

    def forward(self, z: Tensor) -> Tensor:
        return self.link(self._shifted(z))

    def primitive(self, z: Tensor) -> Tensor:
        return self.link.primitive(self._shifted(z))

    def slope(self, z: Tensor) -> Tensor:
        return self.link.slope(self._shifted(z))

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.link.value_and_slope(self._shifted(z))

    def curvature(self, z: Tensor) -> Tensor:
        return self.link.curvature(self._shifted(z))

    def divergence(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.link.divergence(self._shifted(pred), self._shifted(target))

    def difference(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.link.difference(self._shifted(pred), self._shifted(target))

    def bregman(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.link.bregman(self._shifted(pred), self._shifted(target))

    def boundary(self, pred: Tensor, upper: bool) -> Tensor:
        return self.link.boundary(self._shifted(pred), upper)

    def inverse(self, y: Tensor) -> Tensor:
        return self.link.inverse(y) + self.center.to(y.dtype)

    def slope_peak(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.link.slope_peak(self._shifted(scores), mask)

    def dead_share(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.link.dead_share(self._shifted(scores), mask)

    @property
    def range(self) -> tuple[float, float]:
        return self.link.range

    @property
    def convex(self) -> bool:
        return self.link.convex

    @property
    def smooth(self) -> bool:
        return self.link.smooth


@contextmanager
def held(loss: Loss) -> Iterator[None]:
    """Within, running centres of a loss stand still: they move once a step, however often its costs are computed."""
    centers = [part for part in loss.children() if isinstance(part, RunningCenter) and part.training]
    for center in centers:
        center.eval()
    try:
        yield
    finally:
        for center in centers:
            center.train()


def transform_of(loss: Loss) -> Link | RunningCenter | None:
    """The link or transform that a loss applies to scores; None for a loss without one, or with one on differences."""
    if loss.on_differences:
        return None
    kept = (getattr(loss, name, None) for name in ("transform", "link"))
    # a loss of one's own may call something else so
    return next((each for each in kept if isinstance(each, (Link, RunningCenter))), None)


def center_of(transform: Link | RunningCenter) -> float | None:
    """The lowest score at which a part of a link is centred, where it moves; None for links that are centred nowhere.

    A part that grows without end (Identity) has its centre everywhere and does not count.

    >>> from ltr.links import Identity, Softplus
    >>> center_of(Identity() + Softplus(center=0.7)), center_of(Identity())
    (0.7, None)
    """
    if isinstance(transform, RunningCenter):
        own = center_of(transform.link)
        return None if own is None else own + float(transform.center)
    parts = getattr(transform, "parts", None) or [getattr(transform, "link", None)]
    if parts != [None]:
        found = [center for center in map(center_of, parts) if center is not None]
        return min(found, default=None)
    return None if isinstance(transform, Identity) else getattr(transform, "center", None)


@torch.no_grad()
def dead_share(loss: Loss, scores: Tensor, mask: Tensor | None = None) -> Tensor | None:
    """Share of the real scores at which the loss's transform has gone flat: slope under 1 % of its peak.

    There learning stops: the transform's centre is too far away, or its width too small. Training logs this and warns.

    Returns:
        A number in [0, 1] as a tensor without dimensions (0 when there is no document); None for a loss without a
        transform of scores.

    >>> from ltr.links import Sigmoid
    >>> from ltr.losses import CompositeSoftmax
    >>> dead_share(CompositeSoftmax(Sigmoid()), torch.tensor([[0.0, 1.0, 50.0, 60.0]]))
    tensor(0.5000)
    """
    transform = transform_of(loss)
    return None if transform is None else transform.dead_share(scores.detach(), mask)
