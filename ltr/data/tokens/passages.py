"""Documents longer than the model's window, cut into passages that overlap."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from ltr.batch import check_passages
from ltr.data.lists.ragged import Ragged
from ltr.data.tokens.pairs import Encoded, PairTemplate, backend_of, check_lengths, encode
from ltr.errors import ConfigError
from ltr.io.offsets import offsets_of, spans

#: more tokens than any document has
EVERY = 2**31 - 1
#: a passage starts at most this many tokens later, so that it starts with a word; what is longer is no word
LONGEST_WORD = 16
#: what byte-level and sentencepiece vocabularies put before a token that begins a word
WORD_MARKS = ("Ġ", "▁")


@dataclass(frozen=True)
class Reading:
    """How documents are read in validation and test that do not fit into ``max_length``; kept with the model.

    Args:
        passages: ``first`` reads their beginning, as training does; ``max`` and ``mean`` read all of them in overlapping
            passages and take the largest or the mean score.
        stride: tokens from the start of a passage to the start of the next, at most; null for three quarters of a passage.
        max_passages: passages of a document that are read, from its beginning; null for all.
    """

    passages: str = "first"
    stride: int | None = None
    max_passages: int | None = None

    def __post_init__(self):
        check_passages("Reading", self.passages, self.stride, self.max_passages)

    def reach(self, max_length: int) -> int:
        """Tokens of a document that must be at hand."""
        if self.passages == "first":
            return max_length
        reach = Cutting(self.stride, self.max_passages).reach(max_length)
        return EVERY if reach is None else reach


@dataclass(frozen=True, eq=False)
class Cutting:
    """How documents are cut into passages.

    A document that fits into one passage is one. Of any other, n passages are made, as few as ``stride`` allows, and their
    starts spread evenly from its beginning to where the last passage ends with it. So every token is in some passage, none
    of them is short, and the first is exactly what cutting the document at the model's window leaves. A start inside a word
    moves on to the next word where the overlap covers what is skipped (within ``LONGEST_WORD`` tokens); only a last passage
    gets shorter by that.

    Attributes:
        stride: tokens from a start to the next, at most; None for three quarters of a passage.
        most: passages of a document; None for any number. What lies behind them is not read.
        inside: [vocabulary] whether a token goes on with the word before it; None cuts at any token.
    """

    stride: int | None = None
    most: int | None = None
    inside: np.ndarray | None = None

    def reach(self, max_length: int) -> int | None:
        """Tokens of a document that are read at most; None where there is no bound."""
        return None if self.most is None else max_length + (self.most - 1) * (self.stride or max_length)

    def cut(self, docs: Ragged, rooms: np.ndarray) -> tuple[Ragged, np.ndarray]:
        """(all passages, in the order of the documents; [documents] how many each has).

        Args:
            docs: token ids of the documents, without special tokens.
            rooms: [documents] tokens that a passage of each may have, at least 1.

        >>> passages, counts = Cutting(stride=2).cut(Ragged.of([[1, 2, 3, 4, 5, 6, 7], [8]]), np.array([3, 3]))
        >>> np.split(passages.values, passages.offsets[1:-1]), counts
        ([array([1, 2, 3]...), array([3, 4, 5]...), array([5, 6, 7]...), array([8]...)], array([3, 1]))
        """
        lengths = self.read(docs.lengths, rooms)
        beyond = np.maximum(lengths - rooms, 0)
        counts = self.counts(docs.lengths, rooms)
        steps = counts - 1
        doc = np.repeat(np.arange(docs.n), counts)
        number = np.arange(len(doc)) - offsets_of(counts)[doc]
        starts = number * beyond[doc] // np.maximum(steps, 1)[doc]
        if self.inside is not None:
            starts += self._moves(docs, doc, starts, rooms, beyond / np.maximum(steps, 1))
        sizes = np.minimum(rooms[doc], lengths[doc] - starts)
        values = docs.values[spans(docs.offsets[doc] + starts, sizes)]
        return Ragged(values, offsets_of(sizes)), counts

    def read(self, lengths: np.ndarray, rooms: np.ndarray) -> np.ndarray:
        """[documents] tokens of documents of these lengths that are read; rooms as in ``cut``."""
        most = None if self.most is None else rooms + (self.most - 1) * self._strides(rooms)
        return lengths if most is None else np.minimum(lengths, most)

    def counts(self, lengths: np.ndarray, rooms: np.ndarray) -> np.ndarray:
        """[documents] passages of documents of these lengths."""
        return 1 - (-np.maximum(self.read(lengths, rooms) - rooms, 0) // self._strides(rooms))

    def _strides(self, rooms: np.ndarray) -> np.ndarray:
        return rooms - rooms // 4 if self.stride is None else np.minimum(self.stride, rooms)

    def _moves(
        self, docs: Ragged, doc: np.ndarray, starts: np.ndarray, rooms: np.ndarray, step: np.ndarray
    ) -> np.ndarray:
        """[passages] tokens to the beginning of the next word, or 0 where that is too far."""
        assert self.inside is not None
        places = np.arange(len(docs.values))
        begins = np.where(self.inside[docs.values], len(places), places)
        nearest = np.minimum.accumulate(begins[::-1])[::-1]  # the next place where a word begins
        at = docs.offsets[doc] + starts
        moving = starts > 0
        moves = np.zeros_like(starts)
        moves[moving] = nearest[at[moving]] - at[moving]
        # no token may fall between two passages, and each passage starts after the one before
        most = np.minimum(rooms - np.ceil(step), np.floor(step) - 1).clip(0, LONGEST_WORD).astype(np.int64)
        return np.where(moves <= most[doc], moves, 0)


def inside_words(tokenizer: Any) -> np.ndarray | None:
    """[vocabulary] bool: which tokens go on with a word, as WordPiece's ``##ing``; None where tokens do not tell."""
    prefix = json.loads(backend_of(tokenizer).to_str())["model"].get("continuing_subword_prefix")
    vocabulary = tokenizer.get_vocab()
    inside = np.zeros(max(vocabulary.values()) + 1, bool)
    if prefix:
        inside[[number for token, number in vocabulary.items() if token.startswith(prefix) and token != prefix]] = True
        return inside
    starting = {mark: [number for token, number in vocabulary.items() if token.startswith(mark)] for mark in WORD_MARKS}
    begins = max(starting.values(), key=len)
    if len(begins) < 2:  # the mark alone, or a letter that looks like it
        return None
    inside[list(vocabulary.values())] = True
    inside[begins] = False
    return inside


def check_stride(template: PairTemplate, stride: int | None, max_length: int, max_query_length: int) -> None:
    """Raise ConfigError where a stride leaves tokens out between two passages beside the longest query."""
    room = max_length - template.overhead - max_query_length
    if stride is not None and not 1 <= stride <= room:
        raise ConfigError(
            f"stride must be at least 1 and at most {room}, the tokens of a passage beside the longest query (max_length "
            f"{max_length} - max_query_length {max_query_length} - {template.overhead} special tokens), or passages would "
            f"leave tokens out; got {stride}"
        )


def encode_passages(
    template: PairTemplate,
    queries: Ragged,
    docs: Ragged,
    cutting: Cutting,
    max_length: int,
    max_query_length: int,
    query_of: np.ndarray,
) -> tuple[Encoded, np.ndarray]:
    """Encode each passage of each document together with its query.

    Args:
        template: what stands around the two.
        queries: token ids of the queries, without special tokens.
        docs: token ids of the documents, likewise.
        cutting: how documents are cut.
        max_length: most tokens of an encoded passage, query and special tokens included.
        max_query_length: most tokens of a query; longer queries lose their end.
        query_of: [documents] which query each document belongs to.

    Returns:
        The encoding, whose documents are the passages, and [documents + 1] where each document's passages start.

    Raises:
        ConfigError: the lengths leave no room for a document, or the stride leaves out tokens.
    """
    check_lengths(template, max_length, max_query_length)
    check_stride(template, cutting.stride, max_length, max_query_length)
    rooms = max_length - template.overhead - np.minimum(queries.lengths, max_query_length)[query_of]
    passages, counts = cutting.cut(docs, rooms)
    encoded = encode(template, queries, passages, max_length, max_query_length, np.repeat(query_of, counts))
    return encoded, offsets_of(counts)
