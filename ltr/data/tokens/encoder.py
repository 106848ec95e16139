"""From drawn lists of integers to batches a scorer takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ltr.batch import Lists, TextLists
from ltr.data.collections.collection import Collection
from ltr.data.lists.ragged import Ragged
from ltr.data.lists.sampling import Drawn
from ltr.data.text.parts import EvalPart, TrainPart
from ltr.data.tokens.pairs import PairTemplate, encode, encoded_lengths
from ltr.data.tokens.store import TokenStore, TokenTable
from ltr.io.offsets import offsets_of
from ltr.settings import Prompts

#: texts are stored cut at this many tokens or the next power of two that holds the length asked for, so that trying out
#: lengths does not tokenise anew
STORED_TOKENS = 512


@dataclass(eq=False)
class ListEncoder(Dataset):
    """Encodes lists of documents: gathers token ids from memory-mapped files.

    Holds integers and ids only, and works in loader processes. One's own defines ``__getitem__`` and ``whole_lengths``.

    Attributes:
        queries, docs: token tables.
        query_rows: [entries] row in ``queries`` of each entry that lists are drawn from.
        doc_rows: [documents] row in ``docs`` of each document number.
        query_ids, doc_ids: their ids.
        max_length, max_query_length: in tokens.
    """

    queries: TokenTable
    docs: TokenTable
    query_rows: np.ndarray
    doc_rows: np.ndarray
    query_ids: Sequence[str]
    doc_ids: Sequence[str]
    max_length: int
    max_query_length: int

    def __getitem__(self, lists: Drawn) -> Lists:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(lists)")

    def _gathered(self, lists: Drawn) -> tuple[Ragged, Ragged, np.ndarray]:
        """Tokens of the lists' queries and of their documents, and [documents] which list each belongs to."""
        owners = np.repeat(np.arange(len(lists.entries)), np.diff(lists.offsets))
        return (
            self.queries.gather(self.query_rows[lists.entries]),
            self.docs.gather(self.doc_rows[lists.docs]),
            owners,
        )

    def _named(self, lists: Drawn) -> tuple[list[str], list[str]]:
        """The ids of the lists' queries and documents."""
        query_ids = [self.query_ids[entry] for entry in lists.entries.tolist()]
        return query_ids, [self.doc_ids[number] for number in lists.docs.tolist()]

    def whole_lengths(self, lists: Drawn) -> np.ndarray:
        """[documents] tokens that each document's encoding would have if nothing of the document were cut."""
        raise NotImplementedError(f"{type(self).__name__} must define whole_lengths(lists)")

    @property
    def query_room(self) -> int:
        """Tokens of a query's own text that are read."""
        return self.max_query_length

    def lengths(self, lists: Drawn) -> np.ndarray:
        """[documents] tokens of each document's encoding."""
        return np.minimum(self.whole_lengths(lists), self.max_length)

    def tokens(self, lists: Drawn) -> np.ndarray:
        """[lists] tokens of each list."""
        sums = offsets_of(self.lengths(lists))
        return np.diff(sums[lists.offsets])

    def facts(self, lists: Drawn) -> dict[str, float]:
        """Counts of lists, documents per list, tokens per document, and the shares of documents and queries that lose tokens."""
        whole = self.whole_lengths(lists)
        queries = self.queries.lengths(self.query_rows[np.unique(lists.entries)])
        return {
            "lists": len(lists.entries),
            "docs_per_list": len(lists.docs) / len(lists.entries),
            "tokens_per_doc": float(np.minimum(whole, self.max_length).mean()),
            "truncated": float((whole > self.max_length).mean()),
            "truncated_queries": float((queries > self.query_room).mean()),
        }


@dataclass(eq=False)
class Encoder(ListEncoder):
    """Encodes each document together with its query.

    Attributes:
        template: what stands around query and document.
    """

    template: PairTemplate

    def __getitem__(self, lists: Drawn) -> TextLists:
        queries, docs, owners = self._gathered(lists)
        encoded = encode(self.template, queries, docs, self.max_length, self.max_query_length, owners)
        return TextLists.of(*encoded[:3], lists.offsets, lists.labels, *self._named(lists))

    def whole_lengths(self, lists: Drawn) -> np.ndarray:
        owners = np.repeat(lists.entries, np.diff(lists.offsets))
        return encoded_lengths(
            self.template,
            self.queries.lengths(self.query_rows[owners]),
            self.docs.lengths(self.doc_rows[lists.docs]),
            self.max_query_length,
        )


def stores(
    collection: Collection,
    tokenizer: Any,
    max_length: int,
    max_query_length: int,
    prompts: Prompts = Prompts(),  # noqa: B008 (frozen)
) -> tuple[TokenStore, TokenStore]:
    """The token caches of a collection's queries and documents, each with its prompt."""
    before = [f" behind {prompt!r}" if prompt else "" for prompt in prompts]
    return (
        TokenStore(f"queries of {collection.signature}{before[0]}", tokenizer, _stored(max_query_length)),
        TokenStore(f"documents of {collection.docs_signature}{before[1]}", tokenizer, _stored(max_length)),
    )


def _stored(most: int) -> int:
    return max(STORED_TOKENS, 1 << (most - 1).bit_length())


def encoder_of(part: TrainPart | EvalPart, tokenizer: Any, max_length: int, max_query_length: int) -> Encoder:
    """The encoder of a part's lists, whose texts are in the caches of ``stores``."""
    given = texts_of(part, tokenizer, max_length, max_query_length)
    return Encoder(**given, template=PairTemplate.of(tokenizer))


def texts_of(
    part: TrainPart | EvalPart,
    tokenizer: Any,
    max_length: int,
    max_query_length: int,
    prompts: Prompts = Prompts(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """What a ``ListEncoder`` of a part takes."""
    queries, docs = (
        store.open() for store in stores(part.collection, tokenizer, max_length, max_query_length, prompts)
    )
    return {
        "queries": queries,
        "docs": docs,
        "query_rows": queries.rows(part.query_ids),
        "doc_rows": docs.rows(part.doc_ids),
        "query_ids": part.query_ids,
        "doc_ids": part.doc_ids,
        "max_length": max_length,
        "max_query_length": max_query_length,
    }
