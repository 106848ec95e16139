"""TokenStudent: a language model that learns a teacher's distribution over the next token, token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ltr.batch import TextLists, TokenRows
from ltr.scorers.causal import log_probs
from ltr.scorers.causal.language_model import LanguageModel
from ltr.scorers.causal.policy_ratio import completion_log_probs, completion_places, completion_tokens
from ltr.scorers.filing import Filing

#: numbers of a chunk's logits: half of what log-probabilities take, since the teacher's stand beside them. On a CPU a block of more
#: than 32 MiB is made of new pages each time: with twice as many a step took a sixth longer and a third more memory
NUMBERS = log_probs.NUMBERS // 2
#: a cost for each token: of its log-probabilities over the vocabulary, and the teacher's [tokens, vocabulary]
TokenCost = Callable[[Tensor, Tensor], Tensor]


class TokenStudent(LanguageModel):
    """A language model trained on its teacher's distribution over the next token at each token of the completions.

    For the loss every such token is a list whose documents are the vocabulary: scores are the student's log-probabilities
    ``ℓ = log softmax(logits)``, labels are the teacher's. ``KLDistillation()`` is plain distillation;
    ``CompositeSoftmax(f)`` compares ``p_f ∝ exp f(ℓ)``, sharp where f is steep: log-probabilities, unlike logits, have a
    level that means the same at every token. The cost is the mean over tokens. The vocabulary is seen for some tokens at a
    time, and computed again for the gradient: no [tokens, vocabulary] matrix is kept, of student or teacher.

    As a scorer it gives a completion the mean log-probability of its tokens, by which measures on dev see it.

    Args:
        model: the student: folder (``package:NAME/PATH`` for one inside a package) or hub id.
        teacher: a language model of the same tokenizer, likewise; opened when training begins.
        lora: rank of low-rank adapters, which alone are trained then; None trains the model itself.
        lora_alpha: their scale; None for twice the rank.
        lora_dropout: share of their inputs that is dropped in training.
        checkpointing: keep the inputs of layers alone for the gradient, and compute the rest again.
        batch_tokens: most tokens computed at once; None for 2048 on a CPU and 16384 elsewhere.
        revision: of a hub model.

    Raises:
        ConfigError: a model that cannot be opened safely, a teacher of another tokenizer or vocabulary.
        MissingExtra: adapters without the package peft.
    """

    filing = Filing("Language model that learnt from a teacher", "text-generation", "transformers", ("distillation",))

    def __init__(
        self,
        model: str,
        teacher: str,
        lora: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        checkpointing: bool = False,
        batch_tokens: int | None = None,
        revision: str | None = None,
    ):
        super().__init__(
            model, False, lora=lora, lora_alpha=lora_alpha, lora_dropout=lora_dropout, checkpointing=checkpointing,
            batch_tokens=batch_tokens, revision=revision,
        )  # fmt: skip
        self.teacher = teacher
        #: in a list, since it is no part of what is trained and saved
        self._held: list[_Teacher] = []

    @property
    def arguments(self) -> dict[str, Any]:
        return {"teacher": self.teacher}

    def values(self, tokens: TokenRows, rows: Tensor, states: Tensor, places: Tensor) -> Tensor:
        assert self.vocabulary is not None
        return completion_log_probs(self.network, self.vocabulary, tokens, rows, states, places)

    def forward(self, batch: TextLists, tokens: int | None = None) -> Tensor:
        if not batch.n_docs:
            return super().forward(batch, tokens)
        self.check_length(int(batch.lengths.max()))
        sums = self.scored(batch, batch.tokens, tokens)
        return batch.scores((sums / completion_tokens(batch.tokens)).float())

    def token_costs(self, batch: TextLists, cost: TokenCost) -> Tensor:
        """[tokens] costs of all tokens of the completions, with gradient.

        Args:
            batch: of prompts and completions.
            cost: of some tokens.
        """
        if not batch.n_docs:
            return batch.tokens.ids.new_zeros(0, dtype=torch.float32) + 0 * next(self.parameters()).sum()
        self.check_length(int(batch.lengths.max()))
        rows, teacher = batch.tokens, self._teacher(batch.tokens.ids.device)
        vocabulary, found = len(self.network.get_output_embeddings().weight), []
        for piece in self.pieces(rows):
            before = completion_places(rows, piece)[0] - 1
            states, places = self.states_of(batch, rows, piece)
            with torch.no_grad():
                theirs, their_places = teacher.states_of(batch, rows, piece)
            mine, theirs = states[places[before]], theirs[their_places[before]]
            for part in _parts(len(before), vocabulary):
                found.append(checkpoint(self._some, cost, mine[part], theirs[part], use_reentrant=False))
        return torch.cat(found)

    def _some(self, cost: TokenCost, states: Tensor, theirs: Tensor) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            with torch.no_grad():
                labels = _log_probs(self._held[0], theirs)
            return cost(_log_probs(self, states), labels)

    def _teacher(self, device: torch.device) -> _Teacher:
        if not self._held:
            other = _Teacher(self.teacher, batch_tokens=self.batch_tokens)
            self.check_vocabulary(other, "teacher")
            self._held.append(other.requires_grad_(False).eval())
        return self._held[0].to(device)


class _Teacher(LanguageModel):
    """A language model of which only states are asked."""


def _log_probs(model: LanguageModel, states: Tensor) -> Tensor:
    assert model.vocabulary is not None
    return model.vocabulary.logits(model.network, states).log_softmax(-1)


def _parts(tokens: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, NUMBERS // vocabulary)
    return (slice(start, start + size) for start in range(0, tokens, size))
