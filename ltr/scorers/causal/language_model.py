"""What scorers made of causal language models share: opening, adapters, packed rows, memory, saving."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltr.batch import TextLists, TokenRows
from ltr.data.tokens.pairs import tokenizer_identity
from ltr.errors import ConfigError, DataError
from ltr.io.files import building
from ltr.io.model_names import located
from ltr.scorers.base import Scorer, TextScorer, class_path, half_or_single
from ltr.scorers.causal import branches, opening
from ltr.scorers.causal.vocabulary import vocabulary_of
from ltr.scorers.out_of_memory import is_out_of_memory, released
from ltr.scorers.recomputing import computed
from ltr.scorers.text import loading
from ltr.scorers.text.saving import write_tokenizer
from ltr.settings import ModelSettings, Settings

log = logging.getLogger(__name__)

#: folder of adapters by themselves in a saved model
ADAPTER = "adapter"


class LanguageModel(TextScorer):
    """A causal language model whose rows of tokens have scores; a subclass defines ``values``.

    Args:
        model: folder (``package:NAME/PATH`` for one inside a package) or hub id.
        head: one trained logit of the last token in place of the vocabulary's.
        lora: rank of low-rank adapters, which alone are trained then; None trains the model itself.
        lora_alpha: their scale; None for twice the rank.
        lora_dropout: share of their inputs that is dropped in training.
        checkpointing: keep the inputs of layers alone for the gradient, and compute the rest again: about a third slower.
        batch_tokens: most tokens computed at once; None for 2048 on a CPU and 16384 elsewhere.
        revision: of a hub model.

    Raises:
        ConfigError: a model that cannot be opened safely, or a setting outside its range.
        MissingExtra: adapters without the package peft.
    """

    #: whether training drops what the model's configuration says
    drops: ClassVar[bool] = True

    def __init__(
        self,
        model: str,
        head: bool = False,
        lora: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        checkpointing: bool = False,
        batch_tokens: int | None = None,
        revision: str | None = None,
    ):
        super().__init__()
        who = type(self).__name__
        if batch_tokens is not None and batch_tokens < 1:
            raise ConfigError(f"{who}: batch_tokens must be at least 1, got {batch_tokens}")
        self.source, self.revision, self.lora = located(model), revision, lora
        self.checkpointing, self.batch_tokens = checkpointing, batch_tokens
        self._layers_told = False  # that they keep their input alone
        plain, self.new_head = opening.open_model(who, self.source, head, revision)
        if head and self.new_head:
            log.info("%s has no scoring head: score.weight starts from random values", self.source)
        #: how logits of words are made; None for a model that has one logit
        self.vocabulary = None if head else vocabulary_of(who, self.source, plain)
        reason = branches.obstacle(plain.config)
        if reason is None:
            branches.enable(plain)
        else:
            log.info("%s runs in padded batches: %s", self.source, reason)
        self.packs, self._turn = reason is None, branches.turning_length(plain.config)
        if not self.drops:
            opening.drop_nothing(plain)  # before adapters come, which have a dropout of their own
        self.model = plain if lora is None else opening.adapted(who, plain, lora, lora_alpha, lora_dropout, head)

    def values(self, tokens: TokenRows, rows: Tensor, states: Tensor, places: Tensor) -> Tensor:
        """[rows] float32 scores of some rows.

        Args:
            tokens: all rows.
            rows: the numbers of those that are scored.
            states: [positions, hidden] what the model makes of them.
            places: [tokens of the rows] where in ``states`` each token stands, row after row.
        """
        raise NotImplementedError(f"{type(self).__name__} must define values(tokens, rows, states, places)")

    def rows_of(self, batch: TextLists) -> TokenRows:
        """The rows as the model reads them. Default: as they come."""
        return batch.tokens

    # ------------------------------------------------------------------ the model

    @property
    def network(self) -> Any:
        """transformers' model itself, with or without adapters in it."""
        return self.model.get_base_model() if self.lora is not None else self.model

    @cached_property
    def tokenizer(self) -> Any:
        """The fast tokenizer that belongs to the model."""
        return loading.open_tokenizer(self.source, self.revision)

    @property
    def max_positions(self) -> int | None:
        """How many tokens a row may have; None where there is no bound."""
        return loading.max_positions(self.network.config)

    def check_vocabulary(self, other: LanguageModel, role: str) -> None:
        """Raise ConfigError unless another model has the same tokenizer and vocabulary; ``role``: what it is here."""
        sizes = [len(one.network.get_output_embeddings().weight) for one in (self, other)]
        if tokenizer_identity(self.tokenizer) != tokenizer_identity(other.tokenizer) or sizes[0] != sizes[1]:
            raise ConfigError(
                f"{type(self).__name__}: the {role} {other.source} has another tokenizer or vocabulary ({sizes[1]} tokens) "
                f"than {self.source} ({sizes[0]}), so that their log-probabilities are of other tokens; take a {role} of the "
                "same family"
            )

    def parts(self) -> dict[str, list[nn.Parameter]]:
        found: dict[str, list[nn.Parameter]] = {"encoder": [], "head": []}
        for name, parameter in self.network.named_parameters():
            if parameter.requires_grad:
                found["head" if name.startswith("score.") else "encoder"].append(parameter)
        return found

    # ------------------------------------------------------------------ scoring

    def forward(self, batch: TextLists, tokens: int | None = None) -> Tensor:
        """The scores; ``tokens``: most tokens computed at once this time, None for ``batch_tokens``."""
        if not batch.n_docs:
            # an empty share (the last batch of a rank) still takes part in the backward pass, with gradient 0
            some = next((p for p in self.parameters() if p.requires_grad), next(self.parameters()))
            return batch.pad(some.new_zeros(0)) + 0 * some.sum()
        self.check_length(int(batch.lengths.max()))
        return batch.scores(self.scored(batch, self.rows_of(batch), tokens))

    def scored(self, batch: TextLists, rows: TokenRows, tokens: int | None = None) -> Tensor:
        """[rows] values of all rows, some at a time.

        Raises:
            DataError: a token that the model does not know.
        """
        words = len(self.network.get_input_embeddings().weight)
        if (most := int(rows.ids.max())) >= words:
            raise DataError(
                f"{type(self).__name__}: a text holds the token {most} ({self.tokenizer.convert_ids_to_tokens(most)!r}), and {self.source} "
                f"knows {words} tokens, up to {words - 1}: its tokenizer has more of them; take the tokenizer that belongs to the model, "
                "or give the model the new ones first (resize_token_embeddings in transformers)"
            )
        retries = 0
        while True:
            try:
                whole = self.checkpointing and torch.is_grad_enabled() and not self._layers_computed_again()
                run = partial(self._piece, batch, rows)
                return torch.cat(computed(run, self.pieces(rows, tokens), whole))
            except (RuntimeError, MemoryError) as error:
                if not torch.is_grad_enabled() or not is_out_of_memory(error) or not self.spare(retries):
                    raise
            released()
            retries += 1

    def _layers_computed_again(self) -> bool:
        """Whether each layer keeps its input alone, which takes the least memory; models can do so in training."""
        if not self.network.training or not self.network.supports_gradient_checkpointing:
            return False
        if not self._layers_told:
            opening.compute_layers_again(self.network)
            self._layers_told = True
        return True

    def pieces(self, rows: TokenRows, tokens: int | None = None) -> list[Tensor]:
        """The numbers of the rows that are computed at once, of about so many tokens; None for ``batch_tokens``."""
        return _pieces(rows.lengths, tokens or self.budget(rows.ids.device))

    def _piece(self, batch: TextLists, rows: TokenRows, piece: Tensor) -> Tensor:
        return self.values(rows, piece, *self.states_of(batch, rows, piece))

    def states_of(self, batch: TextLists, rows: TokenRows, piece: Tensor) -> tuple[Tensor, Tensor]:
        """(states [positions, hidden], [tokens of the rows] where in them each token stands) of some rows."""
        if self.checkpointing and torch.is_grad_enabled():
            self._layers_computed_again()
        if self._turn is None or len((far := rows.lengths[piece] > self._turn).unique()) == 1:
            return self._states(batch, rows, piece)
        # long rows would turn the positions of short ones
        near, places = self._states(batch, rows, piece[~far])
        beyond, more = self._states(batch, rows, piece[far])
        of_far = far.repeat_interleave(rows.lengths[piece])
        found = torch.empty(len(of_far), dtype=places.dtype, device=places.device)
        found[~of_far], found[of_far] = places, more + len(near)
        return torch.cat([near, beyond]), found

    def _states(self, batch: TextLists, rows: TokenRows, piece: Tensor) -> tuple[Tensor, Tensor]:
        """``states_of`` rows that are computed at once."""
        body = self.network.base_model
        if not self.packs:
            states = branches.padded_states(body, rows, piece)
            return states, torch.arange(len(states), device=states.device)
        # rows that are named twice, or are passages, stand in no list by their number
        plain = batch.rows is None and batch.row_offsets is None
        shared = branches.shared_prefixes(batch, rows, piece) if plain else [([i], 0) for i in range(len(piece))]
        line = branches.line_of(rows, piece, shared)
        return branches.states(body, line), line.places

    def budget(self, device: torch.device) -> int:
        """How many tokens are computed at once on a device."""
        return self.batch_tokens or (2048 if device.type == "cpu" else 16384)

    def fewer_tokens(self, tokens: int | None = None) -> int | None:
        half = (tokens or self.budget(next(self.parameters()).device)) // 2
        return half if half >= 64 else None

    def spare(self, retries: int = 0) -> bool:
        if not self.checkpointing:
            self.checkpointing = True
            log.warning("out of memory: training goes on with checkpointing, about a third slower")
            return True
        tokens = self.fewer_tokens()
        if tokens is None:
            return False
        self.batch_tokens = tokens
        log.warning("out of memory: training goes on with %d tokens at once", tokens)
        return True

    def for_scoring(self, device: torch.device, precision: str | None) -> Scorer:
        made = super().for_scoring(device, precision)
        dtype = half_or_single(device, precision)
        if precision is None or next(made.parameters()).dtype == dtype:
            return made
        import copy

        return (copy.deepcopy(made) if made is self else made).to(dtype)

    # ------------------------------------------------------------------ saving and opening

    @property
    def saved(self) -> nn.Module:
        return self.network

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        """Save as an ordinary folder of transformers: adapters merged into the weights, and by themselves in ``adapter``."""
        known = settings if isinstance(settings, ModelSettings) else ModelSettings()
        made = replace(known, scorer=class_path(type(self)), arguments=self.arguments)
        whole = opening.merged(self.model)
        with building(Path(folder)) as beside, loading.quiet():
            whole.config.use_cache = True
            whole.save_pretrained(beside)
            self.network.config.use_cache = False
            if self.lora is not None:
                # no adapter of ltr is of words: peft need not look for the base to see whether there are more
                self.model.save_pretrained(str(beside / ADAPTER), save_embedding_layers=False)
                write_tokenizer(self.tokenizer, beside / ADAPTER)
            write_tokenizer(self.tokenizer, beside)
            self.write_more(beside, made)
            made.write(beside)

    def write_more(self, folder: Path, settings: ModelSettings) -> None:
        """What a kind of model writes into its folder beside the weights and the tokenizer. Default: nothing."""

    def take_weights(self, folder: str | os.PathLike, device: torch.device | str = "cpu") -> None:
        if self.lora is None:
            super().take_weights(folder, device)
        else:
            opening.restore(self.model, Path(folder) / ADAPTER)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> LanguageModel:  # type: ignore[override]
        """Open a saved folder, in evaluation mode."""
        return cls(os.fspath(folder), **ModelSettings.read(folder).arguments).eval()


def _pieces(lengths: Tensor, tokens: int) -> list[Tensor]:
    """Rows in their order, as many at a time as hold about ``tokens``: those of a list stay together."""
    ends = lengths.cumsum(0).cpu()
    pieces, start, held = [], 0, 0
    for at, end in enumerate(ends.tolist()):
        if at > start and end - held > tokens:
            pieces.append(torch.arange(start, at, device=lengths.device))
            start, held = at, int(ends[at - 1])
    return [*pieces, torch.arange(start, len(lengths), device=lengths.device)]
