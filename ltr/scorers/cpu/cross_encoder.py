"""A cross-encoder made for scoring on a CPU: the same scores as the model it comes from, from fewer operations."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ltr.batch import TextLists
from ltr.errors import ConfigError
from ltr.machine.threads import in_threads, threads_for
from ltr.scorers.base import TextScorer
from ltr.scorers.cpu.layers import ACTIVATIONS, FusedLayer, kept_in, layer_of
from ltr.scorers.text.heads import head_of
from ltr.scorers.text.layer_parts import PARTS, Parts
from ltr.scorers.text.loading import check_length, encoder_layers, max_positions, open_tokenizer, takes_segments
from ltr.scorers.text.microbatches import Row, evenly, filled, row
from ltr.scorers.text.packed import inputs_of

log = logging.getLogger(__name__)

#: tokens computed at once: 3 % faster than 2048 or 8192 on two cores
TOKENS = 4096


class FusedCrossEncoder(TextScorer):
    """Scores as the cross-encoder that it was made from does, on a CPU and without gradients.

    Args:
        model: transformers' model without its layers: embeddings and head, in float32.
        layers: of the encoder, in order.
        precision: what the layers compute in: ``float32``, ``bfloat16`` or ``int8``.
        source: folder or hub id that it came from, with its tokenizer.
        batch_tokens: most tokens that one thread computes at once; None for ``TOKENS``.
        batch_docs: most documents that one thread computes at once; None for any number.
        revision: of a hub model.
        separator: token id behind a query, for layers that compute queries in a higher precision; None for no such layers.

    Raises:
        ConfigError: a budget below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[FusedLayer],
        precision: str,
        source: str,
        batch_tokens: int | None = None,
        batch_docs: int | None = None,
        revision: str | None = None,
        separator: int | None = None,
    ):
        super().__init__()
        if any(bound is not None and bound < 1 for bound in (batch_tokens, batch_docs)):
            raise ConfigError(
                f"FusedCrossEncoder: batch_tokens and batch_docs must be at least 1, got {batch_tokens} and {batch_docs}"
            )
        self.source, self.revision, self.separator = source, revision, separator
        self.model = model.requires_grad_(False)
        self.layers = list(layers)
        self.precision = precision
        self.batch_tokens = TOKENS if batch_tokens is None else batch_tokens
        self.batch_docs = batch_docs
        self.eval()

    def train(self, mode: bool = True) -> FusedCrossEncoder:
        """Stays in evaluation mode: it scores, and nothing else."""
        return super().train(False)

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer that belongs to the model."""
        return open_tokenizer(self.source, self.revision)

    @property
    def max_positions(self) -> int | None:
        """How many tokens query and document may have together; None where there is no bound."""
        return max_positions(self.model.config)

    def check_length(self, max_length: int) -> None:
        """Raise ConfigError unless the model has positions for ``max_length`` tokens."""
        check_length(self.model.config, self.source, max_length)

    @property
    def computes_in(self) -> str:
        return self.precision

    def for_scoring(self, device: torch.device, precision: str | None) -> FusedCrossEncoder:
        """As it is: it stays on the CPU, in the precision that it was made in. Raises ConfigError for another."""
        own = {"float32": "32", "bfloat16": "bf16"}.get(self.precision, self.precision)
        if precision not in (None, "auto", own):
            raise ConfigError(
                f"precision: the scorer was made in {own} and cannot become {precision}; make it anew from its model"
            )
        return self.to(device)  # refuses any other place

    def forward(self, batch: TextLists, tokens: int | None = None) -> Tensor:
        """The scores; ``tokens``: most tokens that a thread computes at once this time, None for ``batch_tokens``."""
        if not batch.n_rows:
            return batch.scores(torch.zeros(0))
        self.check_length(int(batch.lengths.max()))
        threads = threads_for(int(batch.lengths.sum()))
        pieces = filled(batch.lengths, evenly(batch.lengths, threads, tokens or self.batch_tokens), self.batch_docs)
        with torch.inference_mode():
            flat = torch.cat(in_threads(partial(self._scores_of, batch), pieces, threads))
            return batch.scores(flat[torch.cat(pieces).argsort()])

    def fewer_tokens(self, tokens: int | None = None) -> int | None:
        half = (tokens or self.batch_tokens) // 2
        return half if half >= 64 else None

    def _apply(self, fn: Any, recurse: bool = True) -> FusedCrossEncoder:
        # the reordered weights of the layers cannot move; the head alone must not
        probe = fn(torch.zeros(1))
        if probe.device.type != "cpu" or probe.dtype != torch.float32:
            raise ConfigError(
                f"FusedCrossEncoder: stays on the CPU in the precision it was made in, cannot go to {probe.device} as "
                f"{probe.dtype}; load the model that it was made (or exported) from for that device"
            )
        return self

    def _scores_of(self, batch: TextLists, docs: Tensor) -> Tensor:
        # both are set for each thread
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            return self._scores_of_row(row(batch.tokens, docs))

    def pass_through(self, batch: TextLists) -> None:
        """Score a batch in this thread alone, in pieces that depend on nothing else, for layers that take notes."""
        for piece in filled(batch.lengths, self.batch_tokens, self.batch_docs):
            self._scores_of(batch, piece)

    def _scores_of_row(self, line: Row) -> Tensor:
        states = embedded(self.model, line)
        states = pad(states, (0, 0, 0, spare_rows(len(states)))).to(kept_in(self.layers))
        careful = None if self.separator is None else query_rows(line, self.separator)
        for layer in self.layers:
            states = layer(states, line.runs, line.starts, careful)
        head = head_of(self.model)
        assert head is not None  # else ``unknown`` says so
        return head(self.model, states).view(-1)


def spare_rows(tokens: int) -> int:
    """How many empty rows are computed behind so many tokens; at most 1/32 of them, about 1 % in a full micro-batch.

    oneDNN makes and keeps code for each number of rows that it meets. With few different numbers less memory is kept: 70 MB
    less after 1,800 documents, in the same time, and no more with every further batch.

    >>> spare_rows(4096), spare_rows(4000), spare_rows(20)
    (0, 32, 0)
    """
    step = max(1, 2 ** (tokens.bit_length() - 6))
    return -tokens % step


def query_rows(line: Row, separator: int) -> Tensor:
    """Rows of the tokens of each document up to its first separator: the query, as all cross-encoders read it first.

    >>> from ltr.batch import TokenRows
    >>> ids = torch.tensor([1, 5, 2, 7, 2, 1, 2, 8, 2])
    >>> tokens = TokenRows(ids, torch.zeros_like(ids), torch.tensor([0, 5, 9]))
    >>> query_rows(row(tokens, torch.tensor([0, 1])), separator=2).tolist()
    [0, 1, 2, 5, 6]
    """
    here = line.input_ids.eq(separator)
    before = here.cumsum(0) - here.long()
    in_document = before - before[line.starts].repeat_interleave(line.ends - line.starts)
    return in_document.eq(0).nonzero()[:, 0]


def embedded(model: Any, line: Row) -> Tensor:
    """What the first layer reads: states [tokens, hidden] of a row of documents."""
    base = model.base_model
    inputs, table = inputs_of(model.config, line, takes_segments(model)), base.embeddings
    if "position_ids" in inspect.signature(table.forward).parameters:
        states = table(**inputs)
    else:  # DistilBERT's in transformers 4, which counts the places of a row through
        places = table.position_embeddings(inputs["position_ids"])
        states = table.LayerNorm(table.word_embeddings(inputs["input_ids"]) + places)
    projection = getattr(base, "embeddings_project", None)  # ELECTRA's small embeddings
    return (states if projection is None else projection(states))[0].float()


def fused(
    model: Any,
    dtype: torch.dtype,
    source: str,
    batch_tokens: int | None = None,
    batch_docs: int | None = None,
    revision: str | None = None,
) -> FusedCrossEncoder | None:
    """A model's scorer for the CPU, or None where its kind of layer is not known (the reason is logged).

    Args:
        model: transformers' sequence classification with one logit, on a CPU; left as it is.
        dtype: of the layers.
        source, batch_tokens, batch_docs, revision: see ``FusedCrossEncoder``.
    """
    reason = unknown(model)
    if reason:
        log.info("%s is scored through transformers: %s", model.config.model_type, reason)
        return None
    parts = parts_of(model)
    layers = [layer_of(one, dtype, activation_of(model), heads_of(model), one is parts[-1]) for one in parts]
    name = str(dtype).removeprefix("torch.")
    return FusedCrossEncoder(without_layers(model), layers, name, source, batch_tokens, batch_docs, revision)


def unknown(model: Any) -> str:
    """Why a model's layers cannot be fused; empty where they can."""
    config = model.config
    if config.model_type not in PARTS:
        return f"its layers are none of {', '.join(PARTS)}"
    if head_of(model) is None:
        return "its head does not read first tokens alone"
    if activation_name(config) not in ACTIVATIONS:
        return f"its activation {activation_name(config)} is none of {', '.join(ACTIVATIONS)}"
    if getattr(config, "position_embedding_type", "absolute") != "absolute" or getattr(config, "is_decoder", False):
        return "it has relative positions or reads in one direction"
    return ""


def parts_of(model: Any) -> list[Parts]:
    """The modules of each layer."""
    return [PARTS[model.config.model_type](layer) for layer in encoder_layers(model)]


def activation_name(config: Any) -> Any:
    """transformers' name of the activation between the two products of the feed-forward part."""
    return getattr(config, "activation" if config.model_type == "distilbert" else "hidden_act", None)


def activation_of(model: Any) -> str:
    """The name, for a model that ``unknown`` finds no fault with."""
    return str(activation_name(model.config))


def heads_of(model: Any) -> int:
    """Number of attention heads."""
    return int(model.config.num_attention_heads)


def without_layers(model: Any) -> nn.Module:
    """A float32 copy of a model with embeddings and head, but no layers."""
    layers = encoder_layers(model)
    copied: nn.Module = copy.deepcopy(model, {id(layers): nn.ModuleList()})
    copied.zero_grad(set_to_none=True)
    return copied.float()
