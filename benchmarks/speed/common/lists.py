"""Questions as batches of ltr, and as a Lightning data module that tokenises each batch when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from common.texts import Asked
from ltr.batch import TextLists
from ltr.data.base import RankingData
from ltr.data.tokens.pairs import PairTemplate, encode, tokenize

#: tokens of query and passage together, for ltr and all its rivals, and of the query alone
MAX_LENGTH, MAX_QUERY_LENGTH = 256, 64


def batch_of(questions: Sequence[Asked], tokenizer: Any, template: PairTemplate, max_length: int) -> TextLists:
    """Tokenised lists with label 1 for the passage that each query was taken from, 0 for the others."""
    sizes = np.array([len(q.docs) for q in questions])
    docs = tokenize(tokenizer, [doc for q in questions for doc in q.docs], max_length)
    queries = tokenize(tokenizer, [q.query for q in questions], MAX_QUERY_LENGTH)
    encoded = encode(template, queries, docs, max_length, max_length // 4, np.repeat(np.arange(len(sizes)), sizes))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    labels = np.zeros(offsets[-1], np.float32)
    labels[offsets[:-1] + [q.positive for q in questions]] = 1
    ids = [str(i) for i in range(int(offsets[-1]))]
    return TextLists.of(
        encoded.input_ids,
        encoded.segment_ids,
        encoded.doc_offsets,
        offsets,
        labels,
        query_ids=[str(i) for i in range(len(questions))],
        doc_ids=ids,
    )


class Questions(RankingData):
    """Training batches of ``lists`` questions each, in the order in which these stand; nothing to validate on."""

    def __init__(self, questions: Sequence[Asked], tokenizer: Any, lists: int, max_length: int = MAX_LENGTH):
        super().__init__("questions")
        self._batches = _Batches(questions, tokenizer, lists, max_length)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self._batches, batch_size=None)

    def val_dataloader(self) -> list[DataLoader]:
        return []


class _Batches(Dataset):
    def __init__(self, questions: Sequence[Asked], tokenizer: Any, lists: int, max_length: int):
        self._questions, self._tokenizer, self._lists, self._max_length = questions, tokenizer, lists, max_length
        self._template = PairTemplate.of(tokenizer)

    def __len__(self) -> int:
        return len(self._questions) // self._lists

    def __getitem__(self, i: int) -> TextLists:
        if not 0 <= i < len(self):
            raise IndexError(i)
        own = self._questions[i * self._lists : (i + 1) * self._lists]
        return batch_of(own, self._tokenizer, self._template, self._max_length)

    def __iter__(self) -> Iterator[TextLists]:
        return (self[i] for i in range(len(self)))
