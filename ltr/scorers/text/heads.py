"""The scoring heads of the common encoders, apart from their encoders.

A head turns the hidden state of a document's first token into its score. Knowing it apart lets the encoder run in
another precision or without padding. An architecture that is not named here runs as one whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ltr.scorers.views import beside

#: (transformers model, hidden states of the first tokens [docs, hidden]) -> [docs, 1]
Head = Callable[[Any, Tensor], Tensor]


def _pooled(model: Any, first: Tensor) -> Tensor:
    return model.classifier(model.dropout(model.base_model.pooler(first[:, None])))


def _pooled_outside(model: Any, first: Tensor) -> Tensor:
    return model.classifier(model.dropout(model.pooler(first[:, None])))


def _classifier(model: Any, first: Tensor) -> Tensor:
    return model.classifier(first[:, None])


def _modern(model: Any, first: Tensor) -> Tensor:
    return model.classifier(model.drop(model.head(first)))


def _distilled(model: Any, first: Tensor) -> Tensor:
    return model.classifier(model.dropout(model.pre_classifier(first).relu()))


_BY_TYPE: dict[str, Head] = {
    "bert": _pooled,
    "electra": _classifier,
    "roberta": _classifier,
    "xlm-roberta": _classifier,
    "camembert": _classifier,
    "mpnet": _classifier,
    "distilbert": _distilled,
    "deberta-v2": _pooled_outside,
    "modernbert": _modern,
}


def head_of(model: Any) -> Head | None:
    """The head of a sequence-classification model, or None where it is not known apart."""
    if getattr(model.config, "classifier_pooling", "cls") != "cls":
        return None  # ModernBERT's may read all tokens
    return _BY_TYPE.get(model.config.model_type)


def in_head(model: Any, name: str) -> bool:
    """Whether the parameter ``name`` belongs to the head: outside the encoder, or its pooler."""
    base = f"{model.base_model_prefix}."
    return not name.startswith(base) or name.startswith(f"{base}pooler.")


def encoder_of(model: Any) -> Any:
    """The encoder alone: its pooler is part of the head, and would only run a second time."""
    base = model.base_model
    return beside(base, {"pooler": None}) if base._modules.get("pooler") is not None else base
