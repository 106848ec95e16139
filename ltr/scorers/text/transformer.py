"""What scorers share that are built around one encoder of transformers, and train it."""

from __future__ import annotations

import copy
import logging
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ltr.batch import TokenRows
from ltr.errors import ConfigError
from ltr.scorers import architectures
from ltr.scorers.base import Scorer, TextScorer, half_or_single
from ltr.scorers.text import loading, packed
from ltr.scorers.text.microbatches import padded
from ltr.scorers.text.sparing import Sparing
from ltr.scorers.views import plain

log = logging.getLogger(__name__)

Own = TypeVar("Own", bound="TransformerScorer")


class TransformerScorer(Sparing, TextScorer):
    """A scorer around a model of transformers: packed where its kind can be, frozen in part, lowered for scoring.

    One's own keeps ``source`` and calls ``_hold`` in its constructor.
    """

    #: transformers' model, compiled or not
    model: Any
    _packs: bool
    _takes_segments: bool
    _takes_mask: bool

    def _hold(self, model: Any, freeze_layers: int) -> None:
        """Take a model as one's own; embeddings and the first ``freeze_layers`` layers are not trained."""
        self.model = model
        self._freeze(freeze_layers)
        obstacle = packed.enable(model)
        self._packs = obstacle is None
        self._takes_segments, self._takes_mask = loading.takes_segments(model), loading.takes_mask(model)
        if obstacle is not None:
            _tell(self.network.config.model_type, obstacle)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._packs:  # in the process that it was sent to
            packed.register()

    @property
    def network(self) -> Any:
        """transformers' model itself, compiled or not."""
        return plain(self.model)

    @property
    def saved(self) -> nn.Module:
        return self.network

    def padded_inputs(self, rows: TokenRows, piece: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(what the model takes by name, [rows, longest] which tokens are real) of some rows, padded."""
        ids, segments, mask = padded(rows, piece, self.network.config.pad_token_id or 0)
        inputs = {"input_ids": ids}
        if self._takes_mask:
            inputs["attention_mask"] = mask.long()
        if self._takes_segments:
            inputs["token_type_ids"] = segments
        return inputs, mask

    @property
    def in_float32_alone(self) -> str | None:
        """What keeps the architecture from lower precisions; None where nothing does."""
        return architectures.IN_FLOAT32_ALONE.get(self.network.config.model_type)

    def _lowers(self, name: str) -> bool:
        """Whether a parameter of the network may be of low precision in scoring. Default: all."""
        return True

    def lowered(self: Own, dtype: torch.dtype = torch.bfloat16) -> Own:
        """A copy for scoring alone whose encoder works in ``dtype``; head or pooling stays in float32.

        Raises:
            ConfigError: the architecture computes in float32 alone.
        """
        if self.in_float32_alone:
            raise ConfigError(
                f"{type(self).__name__}: {self.source} computes in float32 alone: {self.in_float32_alone} in transformers "
                f"takes no {str(dtype).removeprefix('torch.')}; take precision 32"
            )
        copied = copy.deepcopy(self).requires_grad_(False)
        for name, parameter in copied.network.named_parameters():
            if copied._lowers(name):
                parameter.data = parameter.data.to(dtype)
        return copied

    def fused(self, dtype: torch.dtype) -> Scorer | None:
        """What scores on a CPU with fewer operations; None where there is nothing such. Default: None."""
        return None

    def for_scoring(self, device: torch.device, precision: str | None) -> Scorer:
        """On a CPU fused layers where the architecture is known: same scores, fewer operations."""
        if precision == "auto" and self.in_float32_alone:
            precision = "32"
        dtype = half_or_single(device, precision)
        if precision is not None and device.type == "cpu" and (made := self.fused(dtype)) is not None:
            return made
        if precision is not None and dtype == torch.bfloat16:
            return self.lowered(dtype).to(device)
        return super().for_scoring(device, precision)

    def _freeze(self, layers: int) -> None:
        if not layers:
            return
        stack = loading.encoder_layers(self.network)
        if not 0 <= layers <= len(stack):
            raise ConfigError(
                f"{type(self).__name__}: freeze_layers must be 0 to {len(stack)} for {self.source}, got {layers}"
            )
        for module in (self.network.base_model.embeddings, *stack[:layers]):
            module.requires_grad_(False)


@cache  # once for each kind and reason
def _tell(kind: str, obstacle: str) -> None:
    log.info("%s models run in padded batches of similar length, not packed: %s", kind, obstacle)
