"""From drawn lists of integers to batches of queries and documents that are read apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ltr.batch import QUERY_TO_DOC, TwinLists
from ltr.data.lists.ragged import Ragged
from ltr.data.lists.sampling import Drawn, Sampling
from ltr.data.text.parts import EvalPart, TrainPart
from ltr.data.tokens.encoder import ListEncoder, texts_of
from ltr.data.tokens.twins import RowTemplate
from ltr.settings import Prompts


@dataclass(eq=False)
class TwinEncoder(ListEncoder):
    """Encodes each query and each document once, however many lists hold it.

    Attributes:
        template: what stands around a text.
        relevant: the documents that are known to be relevant to each entry's query, where the documents of a batch are
            negatives of all its lists; None where they are not.
        directions: what is compared then.
    """

    template: RowTemplate
    relevant: Ragged | None = None
    directions: tuple[str, ...] = QUERY_TO_DOC

    def __getitem__(self, lists: Drawn) -> TwinLists:
        numbers, rows = np.unique(lists.docs, return_inverse=True)
        query_ids, doc_ids = self._named(lists)
        batch = TwinLists(
            torch.from_numpy(lists.offsets.astype(np.int64)),
            torch.from_numpy(lists.labels.astype(np.float32)),
            query_ids=query_ids,
            doc_ids=doc_ids,
            rows=torch.from_numpy(rows.astype(np.int64)),
            queries=self.template.rows(self.queries.gather(self.query_rows[lists.entries]), self.max_query_length),
            docs=self.template.rows(self.docs.gather(self.doc_rows[numbers]), self.max_length),
        )
        if self.relevant is not None:
            known = self.relevant.take(lists.entries)
            batch.directions = self.directions
            batch.in_batch, batch.keys = True, torch.from_numpy(numbers.astype(np.int64))
            batch.relevant = torch.from_numpy(known.values.astype(np.int64))
            batch.relevant_offsets = torch.from_numpy(known.offsets.astype(np.int64))
        return batch

    def whole_lengths(self, lists: Drawn) -> np.ndarray:
        return self.docs.lengths(self.doc_rows[lists.docs]) + self.template.overhead

    @property
    def query_room(self) -> int:
        return self.max_query_length - self.template.overhead


def twin_encoder(
    part: TrainPart | EvalPart,
    tokenizer: Any,
    max_length: int,
    max_query_length: int,
    prompts: Prompts,
    sampling: Sampling | None = None,
) -> TwinEncoder:
    """The encoder of a part whose queries and documents are read apart, each behind its prompt.

    Args:
        part: whose texts are in the caches of ``stores``.
        tokenizer: of the scorer.
        max_length: tokens of a document's row.
        max_query_length: tokens of a query's row.
        prompts: what stands before a text.
        sampling: how training lists are made.
    """
    given = texts_of(part, tokenizer, max_length, max_query_length, prompts)
    template = RowTemplate.of(tokenizer)
    if sampling is None or not sampling.in_batch or not isinstance(part, TrainPart):
        return TwinEncoder(**given, template=template)
    return TwinEncoder(**given, template=template, relevant=part.pool.relevant, directions=sampling.directions)
