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
from ltr.errors import ConfigError, DataError
from ltr.inference.documents import (
    Document,
    Ranked,
    check_query,
    check_several,
    mixed_scores,
    same_number,
    text_of,
)
from ltr.inference.pickling import Picklable
from ltr.inference.probability import probability_of
from ltr.inference.scoring import Scored, prepared, score
from ltr.io.models import located
from ltr.scorers.base import TextScorer
from ltr.scorers.causal.causal_scorer import CausalScorer
from ltr.scorers.causal.prompts import prompt_for
from ltr.scorers.cpu.quantised import FILE as QUANTISED
from ltr.scorers.cpu.quantised import load_quantised
from ltr.scorers.opening import load_scorer
from ltr.scorers.retrievers.layout import MODULES
from ltr.scorers.text.cross_encoder import CrossEncoder
from ltr.settings import FILE, ModelSettings, Settings

log = logging.getLogger(__name__)


class Reranker(Picklable):
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
        if max_query_length is None:
            max_query_length = own.query_share(length)
        settings = replace(own, max_length=length, max_query_length=max_query_length)
        return cls(scorer, settings, device, precision, passages, stride, max_passages)

    def rank(
        self,
        query: str,
        docs: Sequence[Document],
        ids: Sequence[str] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[float] | None = None,
        interpolate: bool | float = False,
        probability: bool = False,
    ) -> list[Ranked]:
        """The documents, best first.

        Args:
            query: must not be empty.
            docs: texts, or mappings with ``text`` and perhaps ``title``; an empty text is ranked by what the model
                makes of the query alone.
            ids: one per document, returned with it.
            top_k: return only so many.
            first_scores: the first stage's score of each document, for ``interpolate``.
            interpolate: mix both scores, each spread over [0, 1] within the query: True at the weight stored
                with the model, a number as the first stage's weight.
            probability: give probabilities of relevance instead of raw scores, in the same order: by the map that
                ``ltr calibrate`` stored with the model, else by the sigmoid.

        Raises:
            DataError: an empty query, a document that is no text, numbers of documents, ids and scores that differ.
            ConfigError: interpolation without a weight or without first-stage scores, or of probabilities; top_k below 1.
        """
        check_several("docs", docs, f"docs=[{docs!r:.40}]")
        several = None if first_scores is None else [first_scores]
        own_ids = None if ids is None else [ids]
        return self.rank_many([query], [docs], own_ids, top_k, several, interpolate, probability=probability)[0]

    def rank_many(
        self,
        queries: Sequence[str],
        docs: Sequence[Sequence[Document]],
        ids: Sequence[Sequence[str]] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[Sequence[float]] | None = None,
        interpolate: bool | float = False,
        progress: bool = False,
        query_ids: Sequence[str] | None = None,
        probability: bool = False,
    ) -> list[list[Ranked]]:
        """``rank`` for many queries at once, which is faster; arguments hold one entry per query.

        Args:
            progress: show a progress bar.
            query_ids: names of the queries in error messages; their numbers by default.
        """
        if top_k is not None and top_k < 1:
            raise ConfigError(f"Reranker: top_k must be at least 1, got {top_k}")
        weight = self._weight(interpolate, first_scores)
        if probability and weight is not None:
            raise ConfigError(
                "Reranker: probability=True is about the model's own scores, and interpolate mixes them with others; give one"
            )
        check_several("queries", queries, "a list with one query, or rank")
        same_number("queries", len(queries), docs=docs, ids=ids, first_scores=first_scores, query_ids=query_ids)
        names = list(query_ids or map(str, range(len(queries))))
        for i, own in enumerate(docs):
            check_several(f"the documents of query {names[i]}", own, "a list of texts")
            if ids:
                check_several(f"the ids of query {names[i]}", ids[i], "a list of ids")
            what = f"documents of query {names[i]}"
            same_number(what, len(own), ids=ids and ids[i], first_scores=first_scores and first_scores[i])
        labels = [list(ids[i]) if ids else [str(j) for j in range(len(own))] for i, own in enumerate(docs)]
        results = []
        # all of them first: where one fails, those behind it do not stand where they belong
        every = list(self._scored(queries, docs, names, labels, "reranking" if progress else None))
        for i, scored in enumerate(every):
            scores = scored.scores.astype(np.float64)
            if weight is not None and first_scores is not None:
                scores = mixed_scores(first_scores[i], scores, weight)
            order = np.argsort(-scores, kind="stable")[:top_k]
            scores = self.probability(scores) if probability else scores
            results.append([Ranked(scored.doc_ids[j], float(scores[j]), r, int(j)) for r, j in enumerate(order, 1)])
        return results

    async def arank(
        self,
        query: str,
        docs: Sequence[Document],
        ids: Sequence[str] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[float] | None = None,
        interpolate: bool | float = False,
        probability: bool = False,
    ) -> list[Ranked]:
        """``rank`` in a thread, so that other tasks run meanwhile."""
        given = (query, docs, ids, top_k, first_scores, interpolate, probability)
        return await asyncio.to_thread(self.rank, *given)

    async def arank_many(
        self,
        queries: Sequence[str],
        docs: Sequence[Sequence[Document]],
        ids: Sequence[Sequence[str]] | None = None,
        top_k: int | None = None,
        first_scores: Sequence[Sequence[float]] | None = None,
        interpolate: bool | float = False,
        query_ids: Sequence[str] | None = None,
        probability: bool = False,
    ) -> list[list[Ranked]]:
        """``rank_many`` in a thread, so that other tasks run meanwhile."""
        given = (queries, docs, ids, top_k, first_scores, interpolate)
        return await asyncio.to_thread(self.rank_many, *given, query_ids=query_ids, probability=probability)

    def score(self, pairs: Sequence[tuple[str, Document]], progress: bool = False) -> np.ndarray:
        """Raw scores [pairs] float32 of (query, document) pairs, in their order."""
        for i, pair in enumerate(pairs):
            if isinstance(pair, str) or len(pair) != 2:
                raise DataError(f"Reranker: pair {i} must be a query and a document, got {pair!r:.80}")
        queries, docs = [query for query, _ in pairs], [[doc] for _, doc in pairs]
        names = [str(i) for i in range(len(pairs))]
        scored = self._scored(queries, docs, names, [["0"]] * len(pairs), "scoring" if progress else None)
        return np.concatenate([*(one.scores for one in scored), np.zeros(0, np.float32)])

    def _scored(
        self,
        queries: Sequence[str],
        docs: Sequence[Sequence[Document]],
        names: Sequence[str],
        labels: Sequence[list[str]],
        progress: str | None,
    ) -> Iterator[Scored]:
        batches = self.reader.batches(_texts(queries, docs, names, labels))
        return score(self.scorer, batches, self.device, None, progress, total=len(queries))

    def _weight(self, interpolate: bool | float, first_scores: object) -> float | None:
        if interpolate is False:
            return None
        weight = self.settings.interpolation if interpolate is True else float(interpolate)
        if weight is None:
            raise ConfigError(
                "Reranker: interpolate=True needs a weight that was stored with the model, and there is none; give the "
                "first stage's weight, such as interpolate=0.3"
            )
        if not 0 <= weight <= 1:
            raise ConfigError(f"Reranker: interpolate must be a weight from 0 to 1, got {weight}")
        if first_scores is None:
            raise ConfigError("Reranker: interpolate needs first_scores, the first stage's score of each document")
        return weight


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


def _texts(
    queries: Sequence[str], docs: Sequence[Sequence[Document]], names: Sequence[str], labels: Sequence[list[str]]
) -> Iterator[Texts]:
    for name, query, ids, own in zip(names, queries, labels, docs, strict=True):
        check_query(query, name)
        yield Texts(name, query, ids, [text_of(doc, name, doc_id) for doc, doc_id in zip(own, ids, strict=True)])
