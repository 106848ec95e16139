"""BM25 over a collection, with the bm25s library and an index in the user's cache."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ltr.data.candidates.bm25_tokenizer import ANALYSIS, terms
from ltr.data.collections.collection import Collection
from ltr.errors import ConfigError, DataError
from ltr.io.caching.cached import cached
from ltr.io.caching.keys import key_of_parts
from ltr.io.runs import Run, as_bytes
from ltr.machine.cores import cores


class BM25:
    """A BM25 index (Lucene's variant) of a collection.

    ``score = sum over query terms t of idf(t) * tf / (tf + k1 * (1 - b + b * length / mean length))``, with
    ``idf(t) = ln(1 + (n - df + 0.5) / (df + 0.5))``.

    Args:
        collection: what to index. The index lies in the user's cache, keyed by the documents, k1 and b.
        k1: how slowly repeated terms saturate, at least 0.
        b: how much long documents are held back, from 0 to 1.
        progress: whether to show a bar with an estimate while indexing and searching.

    Raises:
        ConfigError: for k1 below 0 or b outside 0 to 1.
        DataError: for a collection without documents.

    Source: Robertson et al., "Okapi at TREC-3", 1994; the variant: Kamphuis et al., ECIR 2020, table 1.
    """

    def __init__(self, collection: Collection, k1: float = 1.2, b: float = 0.75, progress: bool = False):
        if not k1 >= 0:
            raise ConfigError(f"BM25: k1 must be at least 0, got {k1}")
        if not 0 <= b <= 1:
            raise ConfigError(f"BM25: b must be between 0 and 1, got {b}")
        self.collection, self.k1, self.b, self.progress = collection, k1, b, progress
        parts = f"{collection.docs_signature} {ANALYSIS} {k1:g} {b:g}"
        cached("bm25", key_of_parts(parts), self._build, self._load)

    def _load(self, folder: Path) -> None:
        import bm25s

        self._index = bm25s.BM25.load(folder, mmap=True, show_progress=False)
        self._doc_ids = as_bytes((folder / "doc_ids.txt").read_text(encoding="utf-8").split("\n"))
        self._place = np.load(folder / "place.npy", mmap_mode="r")
        if len(self._place) != len(self._doc_ids):
            raise ValueError(f"{len(self._doc_ids)} ids of {len(self._place)} documents")

    def _build(self, folder: Path) -> None:
        import bm25s
        from bm25s.tokenization import Tokenized

        doc_ids, vocabulary, lists = [], {}, []  # type: ignore[var-annotated]
        total = self.collection.n_docs if self.progress else None
        for doc_id, text in self._bar(self.collection.docs(), "BM25 index", "doc", total):
            doc_ids.append(doc_id)
            lists.append(array("i", [vocabulary.setdefault(t, len(vocabulary)) for t in terms(text)]))
        if not vocabulary:
            raise DataError(f"{self.collection.name}: there is nothing to index: {len(doc_ids)} documents, no words")
        index = bm25s.BM25(method="lucene", k1=self.k1, b=self.b)
        index.index(Tokenized(ids=lists, vocab=vocabulary), create_empty_token=False, show_progress=False)
        index.save(folder, show_progress=False)
        (folder / "doc_ids.txt").write_text("\n".join(doc_ids), encoding="utf-8")
        place = np.empty(len(doc_ids), np.int64)
        place[sorted(range(len(doc_ids)), key=doc_ids.__getitem__, reverse=True)] = np.arange(len(doc_ids))
        np.save(folder / "place.npy", place)

    def search(self, queries: Mapping[str, str], k: int = 100) -> Run:
        """The best documents of each query; documents without a common term are left out.

        Equal scores are ordered as trec_eval orders them, also at the cut, so that a run does not depend on chance.

        Args:
            queries: query id -> text.
            k: documents per query, at least 1.

        Raises:
            ConfigError: for k below 1.
        """
        if k < 1:
            raise ConfigError(f"BM25: k must be at least 1, got {k}")
        with ThreadPoolExecutor(cores()) as pool:
            ranked = pool.map(lambda text: self._best(text, k), queries.values())
            results = list(self._bar(ranked, "BM25 search", "query", len(queries)))
        offsets = np.cumsum([0, *(len(docs) for docs, _ in results)])
        docs = np.concatenate([docs for docs, _ in results] or [np.zeros(0, np.int64)])
        scores = np.concatenate([scores for _, scores in results] or [np.zeros(0)])
        return Run(list(queries), offsets, self._doc_ids[docs], scores, name="bm25")

    def _best(self, text: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        ids = self._index.get_tokens_ids(terms(text))
        if not ids:
            return np.zeros(0, np.int64), np.zeros(0)
        scores = self._index.get_scores_from_ids(ids)
        cut = np.partition(scores, -k)[-k] if k < len(scores) else 0.0
        docs = np.flatnonzero(scores >= cut if cut > 0 else scores > 0)
        docs = docs[np.lexsort((self._place[docs], -scores[docs]))][:k]
        return docs, scores[docs].astype(np.float64)

    def _bar(self, items: Iterator, text: str, unit: str, total: int | None) -> Iterator:
        return iter(tqdm(items, text, total, unit=unit, disable=not self.progress, mininterval=0.5, smoothing=0.05))
