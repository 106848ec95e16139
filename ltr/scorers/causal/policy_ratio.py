"""PolicyRatio: how much likelier a policy makes a completion than its reference does; a score like any other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ltr.batch import Lists, TextLists, TokenRows
from ltr.errors import ConfigError, DataError
from ltr.losses.base import LogRatios, positive
from ltr.scorers.causal.language_model import LanguageModel
from ltr.scorers.causal.log_probs import token_log_probs
from ltr.scorers.causal.references import References, row_keys, weights_digest
from ltr.scorers.causal.vocabulary import Vocabulary
from ltr.scorers.filing import Filing
from ltr.scorers.out_of_memory import released
from ltr.settings import Settings

START = "start"
LENGTHS = ("sum", "mean")


class PolicyRatio(LanguageModel):
    """Scores completions of a prompt by ``beta · (log π − log π_ref)``, π the policy that is trained.

    The scores of a list are rewards that the policy implies, so that every loss of ltr aligns it: ``DPO()`` on pairs,
    ``CompositeSoftmax`` on lists, graded and tied preferences. Log-probabilities are those of a row's tokens that are
    marked as completion, computed in float32 and summed in float64; policy and reference go through the same code in the
    same precision, so that training starts from scores of 0; for the same reason the model's own dropout is off in training, too
    (``lora_dropout`` is not). The reference's are computed once, before an epoch needs them,
    and kept in the user's cache under a hash of its weights and of the row; then its weights are let go.

    Args:
        model: the policy to start from: folder (``package:NAME/PATH`` for one inside a package) or hub id.
        reference: ``start`` for the policy as it was opened (with adapters: as it is without them), another model of the
            same tokenizer, or None for none: then ``beta · log π`` alone (SimPO, ORPO).
        beta: above 0.
        length: ``sum`` over the completion's tokens, or their ``mean``.
        lora: rank of low-rank adapters, which alone are trained then; None trains the model itself.
        lora_alpha: their scale; None for twice the rank.
        lora_dropout: share of their inputs that is dropped in training.
        checkpointing: keep the inputs of layers alone for the gradient, and compute the rest again.
        batch_tokens: most tokens computed at once; None for 2048 on a CPU and 16384 elsewhere.
        revision: of a hub model.

    Raises:
        ConfigError: a model that cannot be opened safely, a reference of another tokenizer or vocabulary, an unknown length.
        MissingExtra: adapters without the package peft.
    """

    drops = False
    filing = Filing("Language model aligned by preferences", "text-generation", "transformers", ("alignment",))

    def __init__(
        self,
        model: str,
        reference: str | None = START,
        beta: float = 0.1,
        length: str = "sum",
        lora: int | None = None,
        lora_alpha: float | None = None,
        lora_dropout: float = 0.0,
        checkpointing: bool = False,
        batch_tokens: int | None = None,
        revision: str | None = None,
    ):
        if length not in LENGTHS:
            raise ConfigError(f"PolicyRatio: length must be sum or mean, got {length!r}")
        super().__init__(
            model, False, lora=lora, lora_alpha=lora_alpha, lora_dropout=lora_dropout, checkpointing=checkpointing,
            batch_tokens=batch_tokens, revision=revision,
        )  # fmt: skip
        self.reference, self.length = reference, length
        self.beta = positive("PolicyRatio", "beta", beta)
        #: opened when it is first needed; in a list, since it is no part of what is trained and saved
        self._held: list[Any] = []
        self._tables: dict[str, References] = {}

    @property
    def log_ratios(self) -> LogRatios:
        return LogRatios(self.beta, self.reference is not None, self.length)

    @property
    def arguments(self) -> dict[str, Any]:
        reference = self.source if self.reference == START else self.reference
        return {"reference": reference, "beta": self.beta, "length": self.length}

    def values(self, tokens: TokenRows, rows: Tensor, states: Tensor, places: Tensor) -> Tensor:
        assert self.vocabulary is not None
        return completion_log_probs(self.network, self.vocabulary, tokens, rows, states, places)

    def forward(self, batch: TextLists, tokens: int | None = None) -> Tensor:
        if not batch.n_docs:
            return super().forward(batch, tokens)
        rows = batch.tokens
        self.check_length(int(rows.lengths.max()))
        ratio = self.scored(batch, rows, tokens)
        if batch.prior is not None and self.reference is not None:
            ratio = ratio - batch.prior
        elif self.reference is not None:
            ratio = ratio - self.reference_log_probs(batch, tokens)
        if self.length == "mean":
            ratio = ratio / completion_tokens(rows)
        return batch.scores((self.beta * ratio).float())

    def before_epoch(self, batches: Iterable[Lists]) -> None:
        """Compute what the batches will need of the reference, and let its weights go: then memory holds one model."""
        if self.reference is None or (self.reference == START and self.lora is not None):
            return  # none, or weights that are held anyway
        with torch.no_grad():
            for batch in batches:
                if isinstance(batch, TextLists) and batch.n_docs and batch.prior is None:
                    self.reference_log_probs(batch)
        self._held.clear()
        released()

    def observed(self, batch: TextLists, scores: Tensor) -> dict[str, Tensor]:
        """Rewards of the best and of the other completions, margin and accuracy of pairs, how far the policy went, lengths.

        A completion that stands alone is one of the best where its label is above 0. What a batch has none of is left out.
        """
        labels, mask = batch.pad(batch.labels), batch.mask  # type: ignore[arg-type]
        best = mask & (labels == labels.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True))
        best &= (labels > 0) | (mask.sum(-1, keepdim=True) > 1)
        rest = mask & ~best
        better = (labels[:, :, None] > labels[:, None, :]) & mask[:, :, None] & mask[:, None, :]
        gap = (scores[:, :, None] - scores[:, None, :])[better]
        sizes = batch.pad(completion_tokens(batch.tokens).to(scores.dtype))
        found = {
            "reward_chosen": scores[best],
            "reward_rejected": scores[rest],
            "margin": gap,
            "accuracy": (gap > 0).float() + 0.5 * (gap == 0).float(),
            "tokens_chosen": sizes[best],
            "tokens_rejected": sizes[rest],
        }
        if self.reference is not None:
            #: of the data's completions, not of samples: an estimate of the KL divergence where data come from the policy
            found["kl"] = scores[mask] / self.beta
        return {name: values.mean().detach() for name, values in found.items() if len(values)}

    # ------------------------------------------------------------------ the reference

    def reference_log_probs(self, batch: TextLists, tokens: int | None = None) -> Tensor:
        """[rows] float64 log-probabilities of the completions under the reference: kept ones, or computed and kept."""
        rows = batch.tokens
        table, keys = self._table(rows.ids.device), row_keys(rows)
        held = table.known(keys)
        missing = [i for i, value in enumerate(held) if value is None]
        if missing:
            computed = self._by_reference(batch, tokens).tolist()
            table.put([keys[i] for i in missing], [computed[i] for i in missing])
            held = [computed[i] if value is None else value for i, value in enumerate(held)]
        return torch.tensor(held, dtype=sums_in(rows.ids.device), device=rows.ids.device)

    @torch.no_grad()
    def _by_reference(self, batch: TextLists, tokens: int | None) -> Tensor:
        if self.reference == START and self.lora is not None:
            with self.model.disable_adapter():
                return self.scored(batch, batch.tokens, tokens)
        other = self._reference().to(batch.tokens.ids.device)
        other.to(next(self.parameters()).dtype)
        return other.scored(batch, batch.tokens, tokens)

    def _reference(self) -> LanguageModel:
        if not self._held:
            source = self.source if self.reference == START else str(self.reference)
            revision = self.revision if source == self.source else None  # another model has revisions of its own
            try:
                other = PolicyRatio(source, None, batch_tokens=self.batch_tokens, revision=revision)
            except ConfigError as error:
                raise ConfigError(
                    f"PolicyRatio: the reference {source}, from whose log-probabilities scores are counted, cannot be opened ({error}); "
                    "put it back, or write where it is as reference in ltr.json"
                ) from error
            if source != self.source:
                self.check_vocabulary(other, "reference")
            self._held.append(other.requires_grad_(False).eval())
        return self._held[0]

    def _table(self, device: torch.device) -> References:
        kind = next(self.parameters()).dtype
        if torch.is_autocast_enabled(device.type):
            kind = torch.get_autocast_dtype(device.type)
        name = str(kind).removeprefix("torch.")
        if name not in self._tables:
            source = self.source if self.reference == START else str(self.reference)
            if not self._held and self.reference not in (START, None):
                self._reference()  # a reference of another tokenizer is told before anything is looked up
            found = weights_digest(source, lambda: self._reference().network)
            # of models that scale or cap logits older versions kept log-probabilities without that
            shape = "" if self.vocabulary is None or self.vocabulary.plain else "-logits"
            self._tables[name] = References(f"{found}-{name}{shape}")
        return self._tables[name]

    def save(self, folder: str | os.PathLike, settings: Settings | None = None) -> None:
        for table in self._tables.values():
            table.write()
        super().save(folder, settings)


def completion_tokens(tokens: TokenRows) -> Tensor:
    """[rows] tokens of each row that are marked as completion (1) and have a probability: the row's first token has none.

    Raises:
        DataError: a row without one.
    """
    owners, scored = torch.repeat_interleave(tokens.lengths), tokens.marks == 1
    scored[tokens.offsets[:-1][tokens.lengths > 0]] = False
    counts = torch.zeros_like(tokens.lengths).index_add(0, owners, scored.long())
    if not bool(counts.all()):
        at = int((counts == 0).nonzero()[0])
        raise DataError(
            f"PolicyRatio: row {at} has no token of a completion (marked 1) behind its first; give prompts and completions that are not empty"
        )
    return counts


def completion_log_probs(
    network: Any, vocabulary: Vocabulary, tokens: TokenRows, rows: Tensor, states: Tensor, places: Tensor
) -> Tensor:
    """[rows] float64 sums of the log-probabilities of some rows' completion tokens, each given what stands before it.

    A sum of hundreds has steps of 3e-5 in float32, of which the difference from a reference's would be made.
    """
    chosen, ids, owners = completion_places(tokens, rows)
    head = network.get_output_embeddings()
    found = token_log_probs(states[places[chosen - 1]], head.weight, ids, head.bias, *vocabulary)
    wide = found.to(sums_in(tokens.ids.device))
    return wide.new_zeros(len(rows)).index_add(0, owners, wide)


def completion_places(tokens: TokenRows, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the completions' tokens of some rows: their places among these rows' tokens, their ids, and the number of each one's row.

    A row's first token, before which nothing stands, is none of them.
    """
    lengths, device = tokens.lengths[rows], tokens.ids.device
    ends = lengths.cumsum(0)
    within = torch.arange(int(ends[-1]), device=device) - (ends - lengths).repeat_interleave(lengths)
    at = tokens.offsets[rows].repeat_interleave(lengths) + within
    chosen = ((tokens.marks[at] == 1) & (within > 0)).nonzero()[:, 0]
    return chosen, tokens.ids[at[chosen]], torch.repeat_interleave(lengths)[chosen]


def sums_in(device: torch.device) -> torch.dtype:
    """The precision of sums over a completion: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
