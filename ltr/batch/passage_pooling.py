"""Documents that are read in passages: how their scores are pooled, and which settings of it can work."""

from __future__ import annotations

import torch
from torch import Tensor

from ltr.errors import ConfigError

#: how a document is scored that is longer than the model's window
PASSAGES = ("first", "max", "mean")


def pooled_passages(values: Tensor, offsets: Tensor, pooling: str) -> Tensor:
    """[documents] scores of documents from those of their passages [passages].

    A document with a passage whose score is not a number has none itself.

    Args:
        values: of the passages, document by document.
        offsets: [documents + 1]; the passages of document j are ``offsets[j]:offsets[j + 1]``, at least one.
        pooling: ``max`` or ``mean``.

    >>> pooled_passages(torch.tensor([5.0, 1.0, 2.0]), torch.tensor([0, 1, 3]), "mean").tolist()
    [5.0, 1.5]
    """
    if offsets.numel() == 1:  # segment_reduce refuses to reduce nothing
        return values
    return torch.segment_reduce(values, pooling, lengths=offsets.diff())


def check_passages(who: str, passages: str, stride: int | None, max_passages: int | None) -> None:
    """Raise ConfigError, in the name of ``who``, where settings of passages cannot work or would be of no use."""
    if passages not in PASSAGES:
        raise ConfigError(f"{who}: passages must be first, max or mean, got {passages!r}")
    for name, value in (("stride", stride), ("max_passages", max_passages)):
        if value is not None and value < 1:
            raise ConfigError(f"{who}: {name} must be at least 1, got {value}")
        if value is not None and passages == "first":
            raise ConfigError(
                f"{who}: {name} is for documents that are read in passages, and passages is first, which reads their "
                f"beginning alone; set passages to max or mean, or leave {name} out (got {value})"
            )
