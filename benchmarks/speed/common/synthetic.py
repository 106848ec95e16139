"""A made collection of any size that looks like MS MARCO to a loader: lengths, ids, and how often words come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

#: words of a passage and of a query on average, as in MS MARCO
PASSAGE_WORDS, QUERY_WORDS = 56, 6
#: how often the r-th most frequent word comes: 1 / r, from KNEE on falling as r ** -TAIL. Chosen so that the first half
#: million of words holds about as many different ones (60 thousand with marks and capitals) as that many of MS MARCO's
#: (51 thousand), since that decides what remembering words is worth
KNEE, TAIL = 3000, 1.6
#: different words that there are, at most and for each passage: those beyond would hardly come
VOCABULARY, PER_PASSAGE = 2_000_000, 40
#: dev queries, and candidates of each
DEV = (200, 50)
BLOCK = 10_000
MARKS = ",,,,....;:)?"


class Made(NamedTuple):
    """A plain folder with the splits ``train`` and ``dev`` and the candidates ``first``."""

    folder: Path
    passages: int
    queries: int
    depth: int


def make(folder: Path, passages: int, depth: int, words: np.ndarray, seed: int = 0) -> Made:
    """Write a collection in which every passage is a training candidate of one query, so that all must be tokenised.

    Args:
        folder: where to; it is created.
        passages: how many.
        depth: candidates of each training query, one of them relevant.
        words: from ``vocabulary``.
        seed: decides everything.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    texts = Texts(words, rng)
    with open(folder / "docs.tsv", "w") as file:
        for first in range(0, passages, BLOCK):
            block = texts.some(min(BLOCK, passages - first), PASSAGE_WORDS)
            file.writelines(f"{number}\t{text}\n" for number, text in enumerate(block, first))
    queries = max(4, passages // depth)
    order = rng.permutation(passages)
    _write_split(folder, "train", texts, [order[i * depth : (i + 1) * depth] for i in range(queries)])
    n_dev, dev_depth = min(DEV[0], queries), min(DEV[1], passages)
    _write_split(folder, "dev", texts, [rng.choice(passages, dev_depth, replace=False) for _ in range(n_dev)])
    return Made(folder, passages, queries, depth)


def _write_split(folder: Path, split: str, texts: Texts, candidates: list[np.ndarray]) -> None:
    with (
        open(folder / f"queries.{split}.tsv", "w") as queries,
        open(folder / f"qrels.{split}.trec", "w") as qrels,
        open(folder / f"run.first.{split}.trec", "w") as run,
    ):
        for i, (text, docs) in enumerate(zip(texts.some(len(candidates), QUERY_WORDS), candidates, strict=True)):
            queries.write(f"{split[0]}{i}\t{text}\n")
            qrels.write(f"{split[0]}{i} 0 {docs[len(docs) // 3]} 1\n")
            ranked = enumerate(docs.tolist(), 1)
            run.writelines(f"{split[0]}{i} Q0 {doc} {rank} {1000 - rank} first\n" for rank, doc in ranked)


class Texts:
    """English-like texts: a few words make most of the text, rare ones never end; marks and capitals among them."""

    def __init__(self, words: np.ndarray, rng: np.random.Generator):
        self._rng, self._words = rng, words
        rank = np.arange(len(words)) + 1.5
        shares = np.where(rank < KNEE, 1 / rank, (rank / KNEE) ** -TAIL / KNEE)
        self._sums = np.cumsum(shares / shares.sum())

    def some(self, n: int, mean: int) -> Iterator[str]:
        """``n`` texts of ``mean`` words on average."""
        lengths = np.clip(self._rng.gamma(6, mean / 6, n), max(2, mean / 8), 4 * mean).astype(np.int64)
        total = int(lengths.sum())
        words = self._words[np.minimum(np.searchsorted(self._sums, self._rng.random(total)), len(self._words) - 1)]
        mark = self._rng.random(total)
        for at in np.flatnonzero(mark < 0.17).tolist():
            words[at] = (
                words[at].capitalize() if mark[at] < 0.08 else words[at] + MARKS[int(mark[at] * 1e6) % len(MARKS)]
            )
        text = words.tolist()
        ends = np.cumsum(lengths).tolist()
        return (" ".join(text[end - length : end]) for end, length in zip(ends, lengths.tolist(), strict=True))


def vocabulary(tokenizer: str, passages: int, seed: int = 0) -> np.ndarray:
    """Words, the most frequent first: short ones that a tokenizer knows, then longer ones put together from them.

    So texts break into about as many pieces as English.
    """
    from ltr.data.tokens.pairs import load_tokenizer

    rng = np.random.default_rng(seed)
    found = sorted(word for word in load_tokenizer(tokenizer).get_vocab() if word.isascii() and word.isalpha())
    known = sorted((word for word in found if len(word) > 1), key=lambda word: len(word) + 14 * rng.random())
    rare = max(0, min(VOCABULARY, PER_PASSAGE * passages) - len(known))
    pairs = rng.integers(0, len(known), (2, rare)).tolist()
    return np.array([*known, *(known[a][:5] + known[b][-4:] for a, b in zip(*pairs, strict=True))], object)
