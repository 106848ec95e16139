"""Search by words: what the definition finds, ties as trec_eval, in whatever blocks."""

import tracemalloc

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse import random as random_matrix

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.search import inverted
from ltr.search.inverted import Shard, search


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """Small ones, so that there are several."""
    monkeypatch.setattr(inverted, "ROWS", 16)
    monkeypatch.setattr(inverted, "QUERIES", 4)


def some(rows, seed, levels=None, width=40, density=0.15):
    """Weights above 0; ``levels``: of so many values, so that scores tie."""
    rng = np.random.default_rng(seed)
    found = csr_array(random_matrix(rows, width, density, "csr", np.float32, rng))
    found.data = rng.integers(1, levels + 1, found.nnz).astype(np.float32) if levels else found.data + np.float32(0.01)
    found.sort_indices()
    return found


def by_definition(queries, docs, k, place):
    """(rows, scores): all products in float64, rounded to float32, sorted; -1 where no word is shared."""
    found, values = np.full((queries.shape[0], k), -1), np.full((queries.shape[0], k), -np.inf, np.float32)
    scores = (queries.toarray().astype(np.float64) @ docs.toarray().astype(np.float64).T).astype(np.float32)
    for i, own in enumerate(scores):
        order = np.lexsort((place, -own))
        order = order[own[order] > 0][:k]
        found[i, : len(order)], values[i, : len(order)] = order, own[order]
    return found, values


def shards(docs, *at):
    return [Shard.of(docs[a:b]) for a, b in zip((0, *at), (*at, docs.shape[0]), strict=True)]


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_finds_what_the_definition_finds_in_trec_evals_order(levels, k):
    queries, docs = some(9, 1, levels), some(100, 2, levels)
    place = np.random.default_rng(3).permutation(100)
    rows, scores = by_definition(queries, docs, k, place)
    for at in ((), (1, 16, 17, 60), (0, 100)):
        best = search(queries, shards(docs, *at), k, place)
        assert best.rows.tolist() == rows.tolist()
        np.testing.assert_array_equal(best.scores, scores)


def test_queries_and_documents_without_words_find_nothing():
    queries, docs = csr_array(np.float32([[0, 0], [1, 0]])), csr_array(np.float32([[0, 0], [0, 3]]))
    best = search(queries, [Shard.of(docs)], 2)
    assert best.rows.tolist() == [[-1, -1], [-1, -1]]
    assert search(queries, [Shard.of(csr_array((0, 2), dtype=np.float32))], 2).rows.shape == (2, 0)


def test_half_precision_weights_are_multiplied_as_they_are():
    queries, docs = some(3, 4), some(30, 5)
    half = Shard.of(docs)
    half.weights = docs.data.astype(np.float16)
    docs.data = half.weights.astype(np.float32)
    rows, scores = by_definition(queries, docs, 5, np.arange(30))
    best = search(queries, [half], 5)
    assert best.rows.tolist() == rows.tolist()
    np.testing.assert_array_equal(best.scores, scores)


def test_memory_does_not_grow_with_the_collection(monkeypatch):
    """Eight shards, whose files would be mapped, take what one takes: a block and its products."""
    monkeypatch.setattr(inverted, "ROWS", 512)
    queries, docs = some(8, 6, width=200), Shard.of(some(1024, 7, width=200))
    search(queries, [docs], 10)  # whatever is set up once

    def peak(n):
        tracemalloc.start()
        search(queries, [docs] * n, 10)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(8) < 1.2 * peak(1)


def test_what_cannot_be_searched_is_refused():
    queries, docs = some(3, 4), some(40, 5)
    with pytest.raises(ConfigError, match="search: k must be at least 1, got 0"):
        search(queries, [Shard.of(docs)], 0)
    with pytest.raises(ShapeError, match="weights of one vocabulary, got 40 words and 39"):
        search(queries, [Shard.of(docs[:, :39])], 1)
    docs.data[docs.indptr[37]] = np.nan
    with pytest.raises(DataError, match="the vector of document row 37 is not finite"):
        search(queries, shards(docs, 5), 1)
    queries.data[-1] = np.inf
    with pytest.raises(DataError, match="the vector of query row 2 is not finite"):
        search(queries, [Shard.of(docs)], 1)
