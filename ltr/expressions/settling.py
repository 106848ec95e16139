"""Puts links in the place of those that wait for the training labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ltr.errors import ConfigError
from ltr.expressions.calls import Call
from ltr.expressions.classes import class_of
from ltr.expressions.writing import as_call, as_text, built

log = logging.getLogger("ltr")

#: gives the labels that are learnt; called only where they are needed
Labels = Callable[[], Sequence[float]]


def waits(value: Any) -> bool:
    """Whether a link in a call waits for the training labels."""
    from ltr.links.from_labels import FocusOnLabels

    if isinstance(value, dict):
        return any(map(waits, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(waits, value))
    return isinstance(value, Call) and (value.made is FocusOnLabels or waits(value.arguments))


def settled(value: Any, labels: Labels | None, owner: Call | None = None) -> Any:
    """A call with links of known centre and width in the place of ``FocusOnLabels``; what was taken is told.

    Args:
        value: a call, or what stands among a call's arguments.
        labels: gives the training labels as they are learnt; None where nobody has them yet: links of a range from 0 to 1
            stand in, to see whether labels could do at all.
        owner: the loss (or ``RunningCenter``) that the value belongs to.

    Raises:
        ConfigError: a loss whose links are not about scores in the unit of labels, or labels without a range.
    """
    from ltr.links.from_labels import FocusOnLabels
    from ltr.losses.base import Loss
    from ltr.losses.running import RunningCenter

    if isinstance(value, dict):
        return {key: settled(one, labels, owner) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(settled(one, labels, owner) for one in value)
    if not isinstance(value, Call):
        return value
    if value.made is FocusOnLabels:
        return _focused(value, labels, owner)
    own = value if issubclass(value.made, (Loss, RunningCenter)) else owner
    return Call(value.made, {key: settled(one, labels, own) for key, one in value.arguments.items()})


def _focused(waiting: Call, labels: Labels | None, owner: Call | None) -> Call:
    from ltr.links.focus import region

    given = built(waiting.arguments)
    kind = class_of(given.pop("kind"), None)
    text = as_text(waiting)
    targets = _targets(text, owner)
    if labels is None:
        return as_call(kind.focus(scores=[0.0, 1.0], **given))  # type: ignore[attr-defined]
    scores = _as_scores(labels, targets)
    link = kind.focus(scores=scores, **given)  # type: ignore[attr-defined]
    low, high = region(text, None, scores, given.get("top"), given.get("bottom"))
    end, share = ("top", given["top"]) if given.get("top") is not None else ("bottom", given["bottom"])
    log.info(
        "focus: %r from the training labels, the %s %g %% of which (of %s) lie from %.4g to %.4g",
        *(link, end, 100 * share, f"{len(scores):,}", low, high),
    )
    return as_call(link)


def _as_scores(labels: Labels, targets: Any) -> Any:
    """[documents] the training labels as the scores that they stand for."""
    import numpy as np
    import torch

    read = torch.from_numpy(np.array(labels(), np.float64)).flatten()  # a copy: labels may lie in a file that is mapped
    return read if targets is None else targets.scores(read)


def _targets(text: str, owner: Call | None) -> Any:
    """What labels mean to the owner, whose link looks at scores in their unit; None where they are these scores."""
    from ltr.losses.pair_loss import PairLoss
    from ltr.losses.running import RunningCenter

    if owner is None:
        return None
    name = owner.made.__name__
    if issubclass(owner.made, RunningCenter):
        raise ConfigError(
            f"{name}: {text} would be a range of the labels, and its link stands beside a centre that moves; give range=(low, "
            "high) around 0, or leave the RunningCenter out"
        )
    if issubclass(owner.made, PairLoss):
        raise ConfigError(
            f"{name}: {text} would be a range of the labels, and a loss over pairs brings its scores to no unit of theirs; give "
            "range=(low, high) of what its link looks at: scores, or differences of two in DifferenceMatching"
        )
    targets = built(owner.arguments["targets"]) if "targets" in owner.arguments else _default_targets(owner.made)
    if targets is not None and "scores" not in targets.readings:
        raise ConfigError(
            f"{name}: {text} would be a range of the labels, which {type(targets).__name__} does not read as scores; give "
            "range=(low, high) of scores"
        )
    return targets


def _default_targets(made: type) -> Any:
    import inspect

    parameter = inspect.signature(made).parameters.get("targets")
    return None if parameter is None or parameter.default is parameter.empty else parameter.default
