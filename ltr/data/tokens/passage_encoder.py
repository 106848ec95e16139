"""From drawn lists of integers to batches of documents that are read in passages."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ltr.batch import TextLists
from ltr.data.lists.sampling import Drawn
from ltr.data.text.parts import EvalPart, TrainPart
from ltr.data.tokens.encoder import Encoder, encoder_of
from ltr.data.tokens.passages import Cutting, Reading, encode_passages, inside_words


@dataclass(eq=False)
class PassageEncoder(Encoder):
    """An encoder of all passages of each document.

    Attributes:
        cutting: how documents are cut.
        pooling: what is made of the passages' scores, ``max`` or ``mean``.
    """

    cutting: Cutting = field(default_factory=Cutting)
    pooling: str = "max"

    def __getitem__(self, lists: Drawn) -> TextLists:
        queries, docs, owners = self._gathered(lists)
        encoded, passages = encode_passages(
            self.template, queries, docs, self.cutting, self.max_length, self.max_query_length, owners
        )
        return TextLists.of(*encoded[:3], lists.offsets, lists.labels, *self._named(lists), passages, self.pooling)

    def lengths(self, lists: Drawn) -> np.ndarray:
        """[documents] tokens of the encodings of each document's passages, at most."""
        own, rooms = self._own_lengths(lists)
        counts = self.cutting.counts(own, rooms)
        return np.where(counts > 1, counts * self.max_length, own + self.max_length - rooms)

    def facts(self, lists: Drawn) -> dict[str, float]:
        own, rooms = self._own_lengths(lists)
        cut = own > self.cutting.read(own, rooms)
        tokens = self.lengths(lists).mean()
        return {**super().facts(lists), "tokens_per_doc": float(tokens), "truncated": float(cut.mean())}

    def _own_lengths(self, lists: Drawn) -> tuple[np.ndarray, np.ndarray]:
        """[documents] tokens of each document alone, and room for them in a passage."""
        own = self.docs.lengths(self.doc_rows[lists.docs])
        return own, self.max_length - (self.whole_lengths(lists) - own)


def passage_encoder(
    part: TrainPart | EvalPart, tokenizer: Any, max_length: int, max_query_length: int, reading: Reading
) -> PassageEncoder:
    """The encoder of a part whose documents are read in passages, and stored as far as ``reading`` reaches."""
    plain = encoder_of(part, tokenizer, reading.reach(max_length), max_query_length)
    given = {one.name: getattr(plain, one.name) for one in fields(plain)}
    cutting = Cutting(reading.stride, reading.max_passages, inside_words(tokenizer))
    return PassageEncoder(**{**given, "max_length": max_length}, cutting=cutting, pooling=reading.passages)
