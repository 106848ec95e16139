"""``Reranker``: texts in, ranked texts out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ltr.data.tokens.reader import Texts
from ltr.errors import ConfigError
from ltr.inference.documents import Document, check_query, text_of
from ltr.inference.pickling import Picklable
from ltr.inference.probability import probability_of
from ltr.inference.ranking import Lists, TextRanker
from ltr.inference.scoring import Scored, prepared, score
from ltr.io.model_names import located
from ltr.scorers.base import TextScorer
from ltr.scorers.causal.causal_scorer import CausalScorer
from ltr.scorers.causal.prompts import prompt_for
from ltr.scorers.cpu.quantised import FILE as QUANTISED
from ltr.scorers.cpu.quantised import load_quantised
from ltr.scorers.layout import MODULES
from ltr.scorers.opening import load_scorer
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings import FILE, ModelSettings, Settings

log = logging.getLogger(__name__)


class Reranker(TextRanker, Picklable):
    """Sorts documents by what a trained scorer of texts thinks of them: a cross-encoder, or a bi-encoder and its kin.

    Args:
        scorer: with a trained head; it is used as it is, so do not train it meanwhile.
        settings: how its texts are cut, and its interpolation weight.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` …
        precision: ``32``, ``bf16``, or ``auto``: bf16 where the hardware multiplies it.
        passages: how a document is scored that is longer than ``max_length`` allows: ``first`` reads its beginning;
            ``max`` and ``mean`` read all of it in overlapping passages and take their largest or their mean score, at a
            cost that grows as the document does. None as the settings say.
        stride: tokens from the start of a passage to the start of the next, at most; see ModelSettings.
        max_passages: passages of a document that are read, from its beginning; see ModelSettings.

    Raises:
        ConfigError: lengths that do not fit the model, or settings of passages that cannot work.

    Note:
        Equal scores keep the order of the input.
    """

    def __init__(
        self,
        scorer: TextScorer,
        settings: ModelSettings | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        passages: str | None = None,
        stride: int | None = None,
        max_passages: int | None = None,
    ):
        self.settings = (settings or scorer.usual_settings()).reading(passages, stride, max_passages)
        scorer.check_length(self.settings.max_length)
        self.source = scorer.source
        self.reader = scorer.reader(self.settings)
        self.scorer = prepared(scorer, device, precision).eval()
        self.device = next(self.scorer.parameters()).device
        self.precision = self.scorer.computes_in
        self.probability = probability_of(self.settings)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that texts go through."""
        return self.scorer.tokenizer

    @classmethod
    def load(
        cls,
        model: str | os.PathLike,
        device: str | torch.device = "auto",
        precision: str = "auto",
        batch_tokens: int | Literal["auto"] | None = None,
        max_length: int | None = None,
        max_query_length: int | None = None,
        passages: str | None = None,
        stride: int | None = None,
        max_passages: int | None = None,
        allow: Sequence[str] = (),
    ) -> Reranker:
        """Open a model that ltr saved, or any cross-encoder with one logit.

        Args:
            model: folder or hub id.
            device: see the class.
            precision: see the class.
            batch_tokens: see CrossEncoder.
            max_length: tokens of query and document together; None as the model was trained.
            max_query_length: tokens of the query; None as the model was trained.
            passages, stride, max_passages: see the class; None as the model was saved.
            allow: packages (or classes) that are not part of ltr and may be the model's scorer; see ``load_scorer``.

        Raises:
            ConfigError: the model cannot be opened, has no trained head, or a length does not fit it.
        """
        scorer = opened(os.fspath(model), batch_tokens, precision, allow)
        own = scorer.settings_type.find(scorer.source or os.fspath(model)) or scorer.usual_settings(max_length)
        length = own.max_length if max_length is None else max_length
        if own.form and max_query_length is not None:
            raise ConfigError(
                f"Reranker: {os.fspath(model)} scores responses to prompts: a prompt gets what its response leaves of "
                f"max_length, and loses its beginning; leave max_query_length out, got {max_query_length}"
            )
        if max_query_length is None:
            max_query_length = own.query_share(length)
        settings = replace(own, max_length=length, max_query_length=max_query_length)
        return cls(scorer, settings, device, precision, passages, stride, max_passages)

    def scores_of_lists(self, lists: Lists, probability: bool, progress: bool) -> list[np.ndarray]:
        return [one.scores for one in self._scored(lists, "reranking" if progress else None)]

    async def ascores_of_lists(self, lists: Lists, probability: bool) -> list[np.ndarray]:
        return await asyncio.to_thread(self.scores_of_lists, lists, probability, False)

    def shown(self, scores: np.ndarray, probability: bool) -> np.ndarray:
        return self.probability(scores) if probability else scores

    def stored_weight(self) -> float:
        if self.settings.interpolation is None:
            raise ConfigError(
                "Reranker: interpolate=True needs a weight that was stored with the model, and there is none; give the "
                "first stage's weight, such as interpolate=0.3"
            )
        return self.settings.interpolation

    def check_first_stage(self, name: str) -> None:
        """Warn where the stored weight was chosen for another first stage than the one of this name."""
        chosen = self.settings.interpolated_with
        if self.settings.interpolation is not None and chosen not in ("", name):
            log.warning(
                "the weight %.2f was chosen on dev with the first stage %s, and here %s is mixed in: if that is more than "
                "another name, choose a weight of its own (--weight, or fit with it)",
                *(self.settings.interpolation, chosen, name),
            )

    def score(self, pairs: Sequence[tuple[str, Document]], progress: bool = False) -> np.ndarray:
        """Raw scores [pairs] float32 of (query, document) pairs, in their order."""
        names = list(map(str, range(len(self.checked_pairs(pairs)))))
        for name, (query, _) in zip(names, pairs, strict=True):
            check_query(query, name)
        texts = [[text_of(doc, name, "0")] for name, (_, doc) in zip(names, pairs, strict=True)]
        lists = Lists(names, [query for query, _ in pairs], [["0"]] * len(pairs), texts)
        scored = self._scored(lists, "scoring" if progress else None)
        return np.concatenate([*(one.scores for one in scored), np.zeros(0, np.float32)])

    def _scored(self, lists: Lists, progress: str | None) -> Iterator[Scored]:
        given = zip(lists.names, lists.queries, lists.ids, lists.texts, strict=True)
        batches = self.reader.batches(Texts(name, query, ids, own) for name, query, ids, own in given)
        return score(self.scorer, batches, self.device, None, progress, total=len(lists.queries))


def opened(
    model: str, batch_tokens: int | Literal["auto"] | None, precision: str, allow: Sequence[str] = ()
) -> TextScorer:
    """The scorer of a folder or hub id; one on 8-bit integers where ``ltr export`` wrote the folder."""
    if (Path(model) / QUANTISED).is_file():
        if precision != "auto":
            raise ConfigError(
                f"Reranker: {model} was exported to 8-bit integers and has no other precision; leave precision out, or "
                "load the model that it was exported from"
            )
        return load_quantised(Path(model), None if batch_tokens == "auto" else batch_tokens)
    named = (Path(model) / FILE).is_file() and Settings.read(model).scorer
    if named or (Path(model) / MODULES).is_file():
        own = load_scorer(model, allow)
        if not isinstance(own, TextScorer):
            raise ConfigError(
                f"Reranker: {model} holds {type(own).__name__}, which reads no texts; open it with ltr.FeatureRanker"
            )
        return own
    if (prompt := prompt_for(located(model))) is not None:
        log.warning("%s is a language model; it is asked by the prompt %r of CausalScorer", model, prompt)
        return CausalScorer(model, prompt, batch_tokens=None if batch_tokens == "auto" else batch_tokens)
    scorer = CrossEncoder(model, batch_tokens=batch_tokens)
    if scorer.new_head:
        raise ConfigError(
            f"Reranker: {model} has no trained scoring head, its scores would be random; train one with ltr fit"
        )
    return scorer
