"""How documents are read that are longer than a model's window: which settings of it can work."""

from __future__ import annotations

from ltr.errors import ConfigError

#: how a document is scored that is longer than the model's window
PASSAGES = ("first", "max", "mean")


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
