"""The cross-encoder: query and document read together by a transformer, one logit for the pair."""

from __future__ import annotations

import logging
import os
import threading
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from ltr.batch import TextLists, TokenRows
from ltr.errors import ConfigError
from ltr.io.model_names import located
from ltr.machine.forks import across_forks
from ltr.machine.threads import threads_for, workers
from ltr.scorers import architectures
from ltr.scorers.cpu import cross_encoder as fused
from ltr.scorers.cpu.cross_encoder import FusedCrossEncoder
from ltr.scorers.cpu.dealing import MOST, dealt, hands
from ltr.scorers.filing import Filing
from ltr.scorers.layout import length_of_pairs, refuse_reading
from ltr.scorers.recomputing import computed
from ltr.scorers.text import loading, packed, saving
from ltr.scorers.text import memory_budget as budget
from ltr.scorers.text.heads import encoder_of, head_of, in_head
from ltr.scorers.text.microbatches import evenly, plan
from ltr.scorers.text.transformer import TransformerScorer
from ltr.settings import ModelSettings, Settings

#: held while a number of tokens is looked for: two trials at once would measure each other
_PROBING = across_forks(threading.Lock())

log = logging.getLogger(__name__)


class CrossEncoder(TransformerScorer):
    """Scores each document by a transformer that reads the query and the document together.

    Wraps transformers' ``AutoModelForSequenceClassification`` with one logit. A backbone without a scoring head
    gets a fresh one, drawn from torch's global generator.

    A training batch that runs out of memory in the forward pass is computed again with smaller micro-batches, then with
    ``checkpointing``; both stay so. Each process does this for itself, before gradients are exchanged. In the backward
    pass ``ltr.training.RankingModule`` does it, where one process trains.

    On a CPU a training batch is dealt to threads, each of which computes documents of its own, forwards and back
    (``ltr.scorers.cpu.dealing``).

    Nothing in it changes while it scores, so that any number of threads may score at once. ``model`` may be what
    ``torch.compile`` makes of it, which is called where the architecture runs as one whole.

    Args:
        model: folder, hub id or ``package:NAME/PATH``; safetensors only, no code from the hub is run.
        attention_dropout: in [0, 1). 0 keeps torch's fused attention (half the memory, clearly faster).
        dropout: of hidden states, in [0, 1); None as the model says.
        head_dropout: before the last layer, in [0, 1); None as the model says.
        layers: keep only the first so many encoder layers; None keeps all.
        freeze_layers: embeddings and the first so many layers are not trained; 0 trains all.
        checkpointing: keep no activations but compute them again in the backward pass: about a third slower, and
            memory no longer grows with the number of documents.
        batch_tokens: most tokens computed at once; changes speed and memory, scores by no more than rounding. None takes
            2048 on a CPU, where activations then stay in its caches, and 32768 elsewhere. ``auto`` tries, in the first
            batch, which number is fastest within a quarter of the free memory (seconds on a CPU).
        batch_docs: most documents computed at once; None for any number.
        revision: of a hub model.

    Raises:
        ConfigError: a model that cannot be opened safely, or a setting outside its range.
    """

    saves_arguments = False
    filing = Filing("Cross-encoder", "text-ranking", "sentence-transformers", ("cross-encoder", "reranker"))

    def __init__(
        self,
        model: str,
        attention_dropout: float = 0.0,
        dropout: float | None = None,
        head_dropout: float | None = None,
        layers: int | None = None,
        freeze_layers: int = 0,
        checkpointing: bool = False,
        batch_tokens: int | Literal["auto"] | None = None,
        batch_docs: int | None = None,
        revision: str | None = None,
    ):
        super().__init__()
        _check_bounds(batch_tokens, batch_docs)
        self.source, self.revision = located(model), revision
        self.checkpointing, self.batch_tokens, self.batch_docs = checkpointing, batch_tokens, batch_docs
        self._probed: dict[tuple[str, bool], int] = {}
        made, self.new_head = loading.load(self.source, attention_dropout, dropout, head_dropout, layers, revision)
        architectures.check(made.config, made, self.source)
        refuse_reading(self.source, revision, lambda: self.tokenizer, "CrossEncoder")
        self.usual_length = length_of_pairs(self.source, revision)
        self._hold(made, freeze_layers)

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer that belongs to the model."""
        return loading.open_cutting(self.source, self.revision, "CrossEncoder")

    @property
    def max_positions(self) -> int | None:
        """How many tokens query and document may have together; None where there is no bound."""
        return loading.max_positions(self.network.config)

    def check_length(self, max_length: int) -> None:
        """Raise ConfigError unless the model has positions for ``max_length`` tokens."""
        loading.check_length(self.network.config, self.source, max_length)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        parts: dict[str, list[nn.Parameter]] = {"encoder": [], "head": []}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                parts["head" if in_head(self.network, name) else "encoder"].append(parameter)
        return parts

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        """Save as a standard sequence-classification folder with tokenizer and ``ltr.json``.

        It opens unchanged in transformers and in sentence-transformers' CrossEncoder, with the same scores. Written
        beside and renamed: an interruption leaves what was there.
        """
        known = settings if isinstance(settings, ModelSettings) else ModelSettings()
        self.check_length(known.max_length)
        saving.save(self.network, self.tokenizer, known, Path(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> CrossEncoder:
        """Open a saved folder (or a hub id), in evaluation mode."""
        return cls(os.fspath(folder)).eval()

    def forward(self, batch: TextLists, tokens: int | None = None) -> Tensor:
        """The scores; ``tokens``: most tokens computed at once this time, None for ``batch_tokens``."""
        if not batch.n_docs:
            # an empty share (the last batch of a rank) still takes part in the backward pass, with gradient 0
            return batch.pad(next(self.model.parameters()).new_zeros(0)) + 0 * self.parts()["head"][0].sum()
        self.check_length(int(batch.lengths.max()))
        return self.sparing(partial(self._computed, batch, tokens))

    def _computed(self, batch: TextLists, tokens: int | None) -> Tensor:
        lengths = batch.lengths
        together = None if self._packs else architectures.apart(self.network.config, batch.tokens)
        threads = self._threads(int(lengths.sum()))
        at_once = evenly(lengths, threads, tokens or self.budget(lengths.device))
        pieces = plan(lengths, at_once, self.batch_docs, together)
        run = partial(self._scores_of, batch)
        if threads > 1 and len(pieces) > 1:
            shares = hands([int(lengths[piece].sum()) for piece in pieces], threads)
            own = [[pieces[i] for i in share] for share in shares]
            pieces = [piece for share in own for piece in share]
            parts = dealt(run, own, [p for p in self.parameters() if p.requires_grad], self.checkpointing)
        else:
            parts = tuple(computed(run, pieces, self.checkpointing))
        return batch.scores(torch.cat(parts)[torch.cat(pieces).argsort()])

    @property
    def deals(self) -> bool:
        """On a CPU, where one process trains what transformers computes."""
        here = next(self.parameters()).device.type == "cpu" and self.model is self.network
        return here and workers() > 1 and not (distributed.is_available() and distributed.is_initialized())

    def _threads(self, tokens: int) -> int:
        """How many threads train on so many tokens; 1 where nothing is trained."""
        trains = self.training and torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        return min(threads_for(tokens), MOST) if trains and self.deals else 1

    def budget(self, device: torch.device) -> int:
        """How many tokens are computed at once on a device."""
        if self.batch_tokens != "auto":
            return super().budget(device)
        training = torch.is_grad_enabled()
        key = (str(device), training)
        if key not in self._probed:
            with _PROBING:
                if key not in self._probed:  # nor found by another thread meanwhile
                    size = budget.token_bytes(self.network.config, training)
                    tokens = budget.probe(partial(self._try, device=device), size, device)
                    log.info("%d tokens at once in %s on %s", tokens, "training" if training else "scoring", device)
                    self._probed[key] = tokens
        return self._probed[key]

    def _try(self, tokens: int, device: torch.device) -> None:
        """Compute about so many tokens, with gradients that go nowhere where gradients are on."""
        length = min(128, self.max_positions or 128, tokens)
        offsets = torch.arange(0, tokens + 1, length, device=device)
        # from a generator of its own: other threads may draw from torch's meanwhile
        own = torch.Generator(device).manual_seed(0)
        ids = torch.randint(self.network.config.vocab_size, (int(offsets[-1]),), device=device, generator=own)
        batch = TextLists(offsets[[0, 0]], tokens=TokenRows(ids, torch.zeros_like(ids), offsets))
        scores = self._scores_of(batch, torch.arange(len(offsets) - 1, device=device))
        if scores.requires_grad:
            torch.autograd.grad(scores.sum(), [p for p in self.parameters() if p.requires_grad], allow_unused=True)

    def _lowers(self, name: str) -> bool:
        # without a head that is known the logit is the network's own
        return head_of(self.network) is None or not in_head(self.network, name)

    def fused(self, dtype: torch.dtype) -> FusedCrossEncoder | None:
        """What scores on a CPU with fewer operations; None where the architecture is not known, or lies elsewhere."""
        if next(self.model.parameters()).device.type != "cpu":
            return None
        tokens = None if self.batch_tokens == "auto" else self.batch_tokens  # its own number was found by trying
        return fused.fused(self.network, dtype, self.source, tokens, self.batch_docs, self.revision)

    def _scores_of(self, batch: TextLists, docs: Tensor) -> Tensor:
        network = self.network
        head = head_of(network)
        if head is None:
            return self.model(**self.padded_inputs(batch.tokens, docs)[0]).logits[:, 0].float()
        if self._packs:
            first = packed.first_states(network, batch.tokens, docs, self._takes_segments)
        else:
            first = encoder_of(network)(**self.padded_inputs(batch.tokens, docs)[0]).last_hidden_state[:, 0]
        with torch.autocast(first.device.type, enabled=False):
            return head(network, first.to(self._head_dtype)).view(-1).float()

    @property
    def _head_dtype(self) -> torch.dtype:
        network = self.network
        return next(p.dtype for name, p in network.named_parameters() if in_head(network, name))


def _check_bounds(tokens: Any, docs: int | None) -> None:
    if isinstance(tokens, str) and tokens != "auto":
        raise ConfigError(f"CrossEncoder: batch_tokens must be a number, auto or None, got {tokens!r}")
    if any(isinstance(bound, int) and bound < 1 for bound in (tokens, docs)):
        raise ConfigError(f"CrossEncoder: batch_tokens and batch_docs must be at least 1, got {tokens} and {docs}")
