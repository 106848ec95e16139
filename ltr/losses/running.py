"""A centre that follows the scores, and the share of scores where a transform has gone flat."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

from ltr.errors import ConfigError
from ltr.links import Link
from ltr.losses.base import Loss, as_constructed, increasing


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

    Raises:
        ConfigError: a quantile or momentum outside its range, or something that is no plain link.

    >>> from ltr.links import Sigmoid
    >>> center = RunningCenter(Sigmoid(), quantile=0.5)
    >>> center.observe(torch.tensor([[1.0, 2.0, 3.0]]))
    >>> center(torch.tensor([2.0]))
    tensor([0.5000])
    """

    center: Tensor
    started: Tensor

    def __init__(self, link: Link, quantile: float = 0.9, momentum: float = 0.99):
        super().__init__()
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
    def observe(self, scores: Tensor, mask: Tensor | None = None) -> None:
        """Move the centre towards the quantile of the real ``scores``; does nothing in evaluation mode.

        All processes of distributed training must call this equally often. A batch without documents moves nothing.
        """
        if not self.training:
            return
        values = (scores if mask is None else scores[mask]).detach().flatten().to(self.center)
        quantile = values.quantile(self.quantile) if len(values) else self.center.new_zeros(())
        pooled = torch.stack([quantile * len(values), self.center.new_tensor(len(values))])
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(pooled)
        quantile = pooled[0] / pooled[1].clamp(min=1)
        moved = torch.where(self.started, self.momentum * self.center + (1 - self.momentum) * quantile, quantile)
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


def transform_of(loss: Loss) -> Link | RunningCenter | None:
    """The link or transform that a loss applies to scores; None for a loss without one, or with one on differences."""
    if loss.on_differences:
        return None
    kept = (getattr(loss, name, None) for name in ("transform", "link"))
    # a loss of one's own may call something else so
    return next((each for each in kept if isinstance(each, (Link, RunningCenter))), None)


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
