"""Retrievers with one vector for each text: pooling, similarity, scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ltr.batch import TokenRows, TwinLists
from ltr.scorers.retrievers.base import Products, Retriever, chosen_products, places_of
from ltr.scorers.text.microbatches import Row

Pooling = Literal["mean", "first", "last"]
Similarity = Literal["cos", "dot"]
POOLINGS = ("mean", "first", "last")
SIMILARITIES = ("cos", "dot")


class VectorScorer(Retriever):
    """A retriever whose texts are vectors, and whose scores are their inner products.

    One's own defines ``vectors`` and keeps ``pooling``, ``similarity``, ``log_scale`` and ``shift``.
    """

    #: what of a text's states becomes its vector
    pooling: str
    similarity: Similarity
    #: logarithm of what products are multiplied by; None for 1
    log_scale: Tensor | None
    #: what is added then; None for 0
    shift: Tensor | None
    #: shorter vectors that are trained, too
    widths: Sequence[int] = ()
    #: how many numbers of the pooled states are a vector, the first; None for all
    truncated: int | None = None

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return self.truncated or int(self.config.hidden_size)

    @property
    def gives_cosines(self) -> bool:
        """Whether scores are cosines, without a scale of their own."""
        return self.similarity == "cos" and self.log_scale is None

    def vectors(self, rows: TokenRows, tokens: int | None) -> Tensor:
        """[rows, hidden] pooled states, in any length."""
        raise NotImplementedError(f"{type(self).__name__} must define vectors")

    def encode(self, rows: TokenRows, tokens: int | None = None) -> Tensor:
        """[rows, dim] float32 vectors, of length 1 where the similarity is ``cos``; 0 for a row without a token.

        Args:
            rows: texts, as ``reader`` makes them.
            tokens: most tokens computed at once this time; None for the scorer's own.
        """
        if not len(rows):
            return next(self.parameters()).new_zeros(0, self.dim)
        self.check_length(int(rows.lengths.max()))
        there = rows.lengths > 0
        if not bool(there.all()):  # a tokenizer without marks of its own leaves nothing of an empty text
            every = rows.ids.new_zeros(len(rows), self.dim, dtype=torch.float32)
            every[there] = self.encode(rows.without_empty(), tokens)
            return every
        found = self.vectors(rows, tokens)[:, : self.truncated]
        return normalize(found, dim=-1) if self.similarity == "cos" else found

    def encode_queries(self, rows: TokenRows, tokens: int | None = None) -> Tensor:
        return self.encode(rows, tokens)

    def encode_docs(self, rows: TokenRows, tokens: int | None = None) -> Tensor:
        return self.encode(rows, tokens)

    def scores_of(self, queries: Any, docs: Any, owners: Tensor, rows: Tensor) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            found = chosen_products(self.scaled(queries), docs, owners, rows)
        return found if self.shift is None else found + self.shift

    def cut(self, vectors: Tensor, width: int) -> Tensor:
        """Vectors of their first ``width`` numbers, of length 1 where the similarity is ``cos``."""
        if width == self.dim:
            return vectors
        shorter = vectors[:, :width]
        return normalize(shorter, dim=-1) if self.similarity == "cos" else shorter

    def products(self, queries: Any, docs: Any) -> list[Products] | None:
        cut = [(self.cut(queries, width), self.cut(docs, width)) for width in (self.dim, *self.widths)]
        return [Products(self.scaled(q), d, self.shift) for q, d in cut]

    def trained_scores(self, batch: TwinLists) -> Sequence[Tensor]:
        return self.scores_at_widths(self.encode_queries(batch.queries), self.encode_docs(batch.docs), batch)

    def scores_at_widths(self, queries: Tensor, docs: Tensor, batch: TwinLists) -> list[Tensor]:
        """[lists, docs] scores of a batch's lists from its vectors: of whole ones first, then of those of each of ``widths``."""
        owners, rows = places_of(batch)
        widths = (self.dim, *self.widths)
        found = [self.scores_of(self.cut(queries, width), self.cut(docs, width), owners, rows) for width in widths]
        return [batch.pad(batch.pooled(values)) for values in found]

    def scaled(self, queries: Tensor) -> Tensor:
        """Queries times the trained scale."""
        return queries if self.log_scale is None else queries * self.log_scale.exp()


def pooled(states: Tensor, line: Row, pooling: str) -> Tensor:
    """[docs, hidden] float32 from the states [tokens, hidden] of documents that stand one after the other."""
    if pooling == "first":
        return states[line.starts].float()
    if pooling == "last":
        return states[line.ends - 1].float()
    at, found = 0, []
    for docs, length in line.runs:
        found.append(states[at : at + docs * length].unflatten(0, (docs, length)).float().mean(1))
        at += docs * length
    return torch.cat(found)
