"""From the texts of queries and documents to batches that a cross-encoder scores."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np

from ltr.batch import Lists, TextLists
from ltr.data.lists.ragged import Ragged
from ltr.data.tokens.pairs import PairTemplate, backend_of, check_lengths, encode, tokens_of
from ltr.data.tokens.passages import Cutting, check_stride, encode_passages, inside_words
from ltr.io.offsets import offsets_of
from ltr.settings.texts import ModelSettings

log = logging.getLogger(__name__)

#: documents tokenised together
CHUNK = 1024
#: so many characters of a document that is read whole count as one more document, so that memory does not grow with lengths
LONG = 4096


class Texts(NamedTuple):
    """A query and its documents.

    Attributes:
        query_id, query: the query's id and text.
        doc_ids, docs: ids and texts of its documents.
    """

    query_id: str
    query: str
    doc_ids: Sequence[str]
    docs: Sequence[str]


def together(lists: Iterable[Texts], whole: bool = False) -> Iterator[list[Texts]]:
    """Lists some at a time, as many as are tokenised together: tokenizers are quick on many texts and slow on few.

    Args:
        lists: one after the other.
        whole: documents are read to their end, so that long ones count as several.
    """
    held: list[Texts] = []
    count = 0
    for one in lists:
        held.append(one)
        count += len(one.docs) + (sum(map(len, one.docs)) // LONG if whole else 0)
        if count >= CHUNK:
            yield held
            held, count = [], 0
    if held:
        yield held


class Reader(Protocol):
    """What turns texts into the batches of a scorer."""

    def batches(self, lists: Iterable[Texts]) -> Iterator[Lists]:
        """Encoded lists, some at a time."""
        ...


class TextEncoder:
    """Tokenises texts, and encodes each document, or each passage of it, with its query.

    Args:
        tokenizer: a fast transformers tokenizer.
        settings: lengths, and how documents are read that are longer.

    Raises:
        ConfigError: lengths that leave no room for a document, or a stride that leaves tokens out.
    """

    def __init__(self, tokenizer: Any, settings: ModelSettings):
        self.tokenizer, self.settings = tokenizer, settings
        self.template = PairTemplate.of(tokenizer)
        check_lengths(self.template, settings.max_length, settings.max_query_length)
        check_stride(self.template, settings.stride, settings.max_length, settings.max_query_length)
        # kept, because making one takes 20 ms: 4 x for a query with one document, 1.35 x with ten, 1.04 x with a hundred
        self._backend = backend_of(tokenizer)
        inside = None if settings.passages == "first" else inside_words(tokenizer)
        self.cutting = Cutting(settings.stride, settings.max_passages, inside)
        self._told = False  # whether it was said that queries are cut; all that ever changes

    def batches(self, lists: Iterable[Texts]) -> Iterator[TextLists]:
        """Encoded lists, some at a time."""
        return map(self.batch, together(lists, whole=self.settings.passages != "first"))

    def batch(self, lists: Sequence[Texts]) -> TextLists:
        """The lists as one batch; of passages, unless documents are read at their beginning alone."""
        settings, sizes = self.settings, np.array([len(one.docs) for one in lists], np.int64)
        # one token more than is read tells which are cut
        queries = self.tokens([one.query for one in lists], settings.max_query_length + 1)
        self._tell([one.query_id for one in lists], queries.lengths)
        docs = [text for one in lists for text in one.docs]
        lengths = settings.max_length, settings.max_query_length
        owners = np.repeat(np.arange(len(lists)), sizes)
        named: dict[str, Any] = {
            "query_ids": [one.query_id for one in lists],
            "doc_ids": list(chain.from_iterable(one.doc_ids for one in lists)),
        }
        if settings.passages == "first":
            encoded = encode(self.template, queries, self.tokens(docs, settings.max_length), *lengths, owners)
            return TextLists.of(*encoded[:3], offsets_of(sizes), **named)
        tokens = self.tokens(docs, self.cutting.reach(settings.max_length))
        encoded, passages = encode_passages(self.template, queries, tokens, self.cutting, *lengths, owners)
        return TextLists.of(
            *encoded[:3], offsets_of(sizes), **named, passage_offsets=passages, pooling=settings.passages
        )

    def _tell(self, query_ids: Sequence[str], lengths: np.ndarray) -> None:
        """Say once that queries are cut."""
        cut = np.flatnonzero(lengths > self.settings.max_query_length)
        if len(cut) and not self._told:
            self._told = True
            log.warning(
                "queries of more than %d tokens are cut there, such as query %s: raise max_query_length (and max_length with "
                "it) to read them whole",
                self.settings.max_query_length, query_ids[cut[0]],
            )  # fmt: skip

    def tokens(self, texts: Sequence[str], most: int | None) -> Ragged:
        return tokens_of(self._backend, texts, most)
