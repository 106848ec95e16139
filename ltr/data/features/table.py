"""Documents described by numbers, in lists: what every feature data set is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import Dataset

from ltr.batch import FeatureLists
from ltr.data.collections.shares import share_of
from ltr.data.lists.sampling import Drawn
from ltr.errors import DataError
from ltr.io.offsets import offsets_of, spans
from ltr.io.trec import Qrels


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Lists of documents with features and labels, in file order.

    Attributes:
        source: the file, as the user wrote it.
        features: [documents, features] float32; may be mapped from a file that is not to be written to.
        labels: [documents] float64.
        offsets: [lists + 1] the documents of list i are ``offsets[i]:offsets[i + 1]``.
        query_ids: one per list.
        lines: [documents] where each document stands in the file, from 1.
        named: [documents] UTF-8 ids of the documents, or None where the file gives none: then ``LIST-CODE-LINE`` is an id,
            whose four hexadecimal digits CODE put documents with equal scores in an order that knows nothing of the file's
            (which often knows the labels).
        weights: [lists] or [documents] importance, or None for 1.
        names: of the features, where the file has them.
        digest: of the file's content.
        notes: what a reader should know of the features, such as which columns are none.
    """

    source: str
    features: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray
    query_ids: Sequence[str]
    lines: np.ndarray
    named: np.ndarray | None = None
    weights: np.ndarray | None = None
    names: tuple[str, ...] = ()
    digest: str = ""
    notes: tuple[str, ...] = ()

    @property
    def n_lists(self) -> int:
        """Number of lists."""
        return len(self.offsets) - 1

    @property
    def n_docs(self) -> int:
        """Number of documents in all lists."""
        return len(self.labels)

    @property
    def n_features(self) -> int:
        """Numbers that describe a document."""
        return self.features.shape[1]

    def doc_ids(self, rows: np.ndarray) -> list[str]:
        """Ids of some documents, unique within a list."""
        if self.named is not None:
            return [doc_id.decode() for doc_id in self.named[rows].tolist()]
        lists, lines = (np.searchsorted(self.offsets, rows, "right") - 1).tolist(), self.lines[rows]
        made = zip(lists, codes_of(lines).tolist(), lines.tolist(), strict=True)
        return [f"{self.query_ids[i]}-{code:04x}-{line}" for i, code, line in made]

    def take(self, lists: np.ndarray) -> FeatureTable:
        """The lists of those numbers, in that order."""
        lengths = np.diff(self.offsets)[lists]
        rows = spans(self.offsets[:-1][lists], lengths)
        return self._of(lists, rows, lengths)

    def share(self, low: float, high: float) -> FeatureTable:
        """The lists between two shares, in file order; see ``ltr.data.collections.shares.share_of``.

        Raises:
            DataError: the share holds no list.
        """
        chosen = share_of(self.query_ids, low, high)
        kept = [i for i, query_id in enumerate(self.query_ids) if query_id in chosen]
        if not kept:
            raise DataError(
                f"{self.source}: {100 * low:g}% to {100 * high:g}% of its {self.n_lists} lists is none; take more"
            )
        return self.take(np.array(kept))

    def share_of_items(self, low: float, high: float) -> FeatureTable:
        """The documents whose ids lie between two shares of all ids, in lists without the others.

        What is learnt of an item cannot help to know it again in the other share, as it would where an item stands in
        lists of both. Lists that lose all their documents are left out.

        Raises:
            DataError: the file names no items, or the share holds none.
        """
        if self.named is None:
            raise DataError(f"{self.source}: names no items to split by; give their column, or split by lists")
        ids = [item.decode() for item in self.named.tolist()]
        chosen = share_of(set(ids), low, high)
        rows = np.flatnonzero([item in chosen for item in ids])
        if not len(rows):
            raise DataError(f"{self.source}: {100 * low:g}% to {100 * high:g}% of its items is none; take more")
        owners = np.repeat(np.arange(self.n_lists), np.diff(self.offsets))[rows]
        lists, lengths = np.unique(owners, return_counts=True)
        return self._of(lists, rows, lengths)

    def _of(self, lists: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> FeatureTable:
        """Some documents as lists of those lengths."""
        weights = self.weights
        if weights is not None:
            weights = weights[lists if len(weights) == self.n_lists else rows]
        return replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            offsets=offsets_of(lengths),
            query_ids=[self.query_ids[i] for i in lists.tolist()],
            lines=self.lines[rows],
            named=None if self.named is None else self.named[rows],
            weights=weights,
        )

    def widened(self, n_features: int) -> FeatureTable:
        """With columns of zeros behind, so that there are ``n_features``."""
        more = n_features - self.n_features
        return self if not more else replace(self, features=np.pad(self.features, ((0, 0), (0, more))))

    def labelled(self, target: Callable[[np.ndarray], np.ndarray]) -> FeatureTable:
        """With ``target(labels)`` as labels."""
        return replace(self, labels=target(self.labels))

    def drawn(self) -> Drawn:
        """All lists with all documents, in file order."""
        return Drawn(
            np.arange(self.n_lists),
            self.offsets,
            np.arange(self.n_docs, dtype=np.int32),
            self.labels.astype(np.float32),
        )

    def qrels(self) -> Qrels:
        """The labels as judgements; they must be whole numbers."""
        ids = self.doc_ids(np.arange(self.n_docs))
        grades = self.labels.astype(np.int64).tolist()
        bounds = self.offsets.tolist()
        return {
            query_id: dict(zip(ids[bounds[i] : bounds[i + 1]], grades[bounds[i] : bounds[i + 1]], strict=True))
            for i, query_id in enumerate(self.query_ids)
        }


def codes_of(lines: np.ndarray) -> np.ndarray:
    """[documents] numbers from 0 to 65535 that look drawn at random, the same for the same line of a file.

    >>> codes_of(np.arange(1, 5)).tolist()
    [52655, 26100, 17743, 33260]
    """
    mixed = lines.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # the steps of splitmix64
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) & np.uint64(0xFFFF)


@dataclass(eq=False)
class FeatureEncoder(Dataset):
    """Gathers the batches of a table: lists of document numbers in, features out."""

    table: FeatureTable

    def __getitem__(self, lists: Drawn) -> FeatureLists:
        table = self.table
        weights = table.weights
        if weights is not None:
            weights = weights[lists.entries if len(weights) == table.n_lists else lists.docs]
        return FeatureLists.of(
            table.features[lists.docs],
            lists.offsets,
            lists.labels,
            weights,
            [table.query_ids[entry] for entry in lists.entries.tolist()],
            table.doc_ids(lists.docs),
        )
