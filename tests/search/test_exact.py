"""Exact search: the same rows and scores whatever computes the shortlist, ties as trec_eval."""

import subprocess
import sys

import numpy as np
import pytest

from ltr.errors import ConfigError, DataError, ShapeError
from ltr.io.runs import Run
from ltr.search import exact
from ltr.search.exact import search


@pytest.fixture(params=["bf16", "fp32"], autouse=True)
def shortlist(request, monkeypatch):
    """Each way to find a shortlist; small blocks, so that there are several."""
    monkeypatch.setattr(exact, "multiplies_bf16", lambda device: request.param == "bf16")
    monkeypatch.setattr(exact, "ROWS", 64)
    monkeypatch.setattr(exact, "QUERIES", 8)


def by_definition(queries, docs, k, place=None):
    """All products in float64, rounded to float32, sorted."""
    scores = np.einsum("id,jd->ij", queries.astype(np.float64), docs.astype(np.float64)).astype(np.float32)
    place = np.arange(len(docs)) if place is None else place
    rows = np.stack([np.lexsort((place, -own))[:k] for own in scores])
    return rows, np.take_along_axis(scores, rows, 1)


def cut(docs, *at):
    return np.split(docs, at)


def unit(rng, n, dim=32):
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def check(queries, docs, shards, k, place=None):
    best = search(queries, shards, k, place)
    rows, scores = by_definition(queries, docs, k, place)
    assert np.array_equal(best.rows, rows)
    assert np.array_equal(best.scores, scores)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_finds_what_the_definition_finds(dtype):
    rng = np.random.default_rng(0)
    queries, docs = unit(rng, 19), unit(rng, 700).astype(dtype)
    check(queries, docs, cut(docs, 100, 101, 500), 10)


def test_shards_are_mapped_from_files(tmp_path):
    rng = np.random.default_rng(9)
    docs, queries = unit(rng, 300), unit(rng, 5)
    for i, part in enumerate(cut(docs, 120)):
        np.save(tmp_path / f"{i}.npy", part)
    check(queries, docs, [np.load(tmp_path / f"{i}.npy", mmap_mode="r") for i in range(2)], 20)


def test_near_ties_that_bfloat16_cannot_tell_apart_are_told_apart():
    """All documents within one rounding step of bfloat16 of each other: a fixed shortlist would miss most."""
    rng = np.random.default_rng(1)
    base = unit(rng, 1)
    docs = (base + 1e-5 * rng.normal(size=(900, 32))).astype(np.float32)
    check(unit(rng, 9) + base, docs, cut(docs, 450), 10)


def test_roundings_of_bfloat16_that_add_up():
    """The best document loses half a unit in each number and in its sum, and the second best gains as much."""
    rng = np.random.default_rng(0)
    queries = (1 + np.floor(rng.uniform(0, 128, (40, 100))) / 128 * rng.uniform(0, 1, (40, 1))).astype(np.float32)
    queries = (queries.view(np.uint32) & 0xFFFF0000).view(np.float32)  # numbers of bfloat16
    docs = np.full((2, 100), 1 + 2.0**-8, np.float32) + np.float32([[-(2.0**-16)], [2.0**-16]])
    docs[1, :2] = 1
    check(queries, docs, [docs], 1)


def test_near_ties_that_float32_sums_cannot_tell_apart():
    """Scores a few units in the last place apart, beside products that cancel: sums in blocks differ there."""
    rng = np.random.default_rng(2)
    docs = np.concatenate([1 + 2.0**-22 * rng.integers(0, 8, (300, 32)), -np.ones((300, 32))], axis=1)
    docs = docs[:, rng.permutation(64)].astype(np.float32)
    check(np.ones((5, 64), np.float32), docs, [docs], 25)


def test_ties_stand_by_document_id_descending():
    """Six kinds of vectors, so that most documents tie, also at the cut; the same order as in a run."""
    rng = np.random.default_rng(3)
    docs, queries = unit(rng, 6)[rng.integers(0, 6, 400)], unit(rng, 5)
    ids = rng.permutation([f"d{i}" for i in range(400)])
    place = np.empty(400, np.int64)
    place[sorted(range(400), key=lambda i: ids[i], reverse=True)] = np.arange(400)
    check(queries, docs, cut(docs, 150), 30, place)
    rows = search(queries, cut(docs, 150), 400, place).rows
    scores = by_definition(queries, docs, 400, place)[1]
    for own, values in zip(rows, scores, strict=True):
        assert ids[own].tolist() == Run(["q"], [0, 400], ids[own].tolist(), values)["q"][0].tolist()


def test_everything_ties_and_memory_stays_bounded(monkeypatch):
    monkeypatch.setattr(exact, "MOST", 50)
    docs = np.ones((500, 4), np.float32)
    check(np.ones((3, 4), np.float32), docs, cut(docs, 200), 7, np.arange(500)[::-1].copy())


def test_negative_scores_and_tiny_ones():
    rng = np.random.default_rng(4)
    docs = -np.abs(rng.normal(size=(300, 8))).astype(np.float32)
    check(np.abs(rng.normal(size=(6, 8))).astype(np.float32), docs, [docs], 9)
    check(unit(rng, 4, 8) * np.float32(1e-18), docs * np.float32(1e-18), [docs * np.float32(1e-18)], 9)


def test_zero_vectors_score_zero():
    rng = np.random.default_rng(5)
    docs = unit(rng, 90)
    docs[::3] = 0
    queries = unit(rng, 4)
    queries[1] = 0
    check(queries, docs, cut(docs, 30), 40)


def test_a_shard_without_rows_and_more_wanted_than_there_is():
    rng = np.random.default_rng(6)
    docs, queries = unit(rng, 12), unit(rng, 3)
    best = search(queries, [docs[:5], docs[5:5], docs[5:]], 50)
    assert best.rows.shape == (3, 12)
    assert np.array_equal(best.rows, by_definition(queries, docs, 12)[0])


def test_no_documents_and_no_queries():
    assert search(np.ones((2, 4), np.float32), [np.ones((0, 4), np.float32)], 3).rows.shape == (2, 0)
    assert search(np.ones((0, 4), np.float32), [np.ones((5, 4), np.float32)], 3).rows.shape == (0, 3)


def test_lower_precision_that_the_process_allows_changes_nothing():
    import torch

    rng = np.random.default_rng(7)
    docs, queries = unit(rng, 300), unit(rng, 5)
    torch.set_float32_matmul_precision("medium")
    try:
        check(queries, docs, [docs], 20)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_told(value):
    docs = np.ones((80, 4), np.float32)
    docs[70, 2] = value
    with pytest.raises(DataError, match="search: the vector of document row 70 is not finite; the model overflows"):
        search(np.ones((1, 4), np.float32), cut(docs, 3), 2)
    with pytest.raises(DataError, match="search: the vector of query row 70 is not finite"):
        search(docs, [docs[:3]], 2)


def test_wrong_settings():
    docs = np.ones((3, 4), np.float32)
    with pytest.raises(ConfigError, match="search: k must be at least 1, got 0"):
        search(docs, [docs], 0)
    with pytest.raises(
        ShapeError, match=r"search: queries and shards must be \[rows, dim\] with one dim, got \[3, 4\]"
    ):
        search(docs, [docs[:, :2]], 1)


def test_equals_faiss():
    """An independent tool finds the same, where no two scores are near each other."""
    faiss = pytest.importorskip("faiss")
    rng = np.random.default_rng(8)
    docs, queries = unit(rng, 400), unit(rng, 9)
    scores, rows = faiss.knn(queries, docs, 5, metric=faiss.METRIC_INNER_PRODUCT)
    best = search(queries, cut(docs, 170), 5)
    assert np.array_equal(best.rows, rows)
    assert best.scores == pytest.approx(scores, abs=1e-6)


@pytest.mark.slow
def test_memory_is_a_shard_and_a_gigabyte(tmp_path):
    """Shards of 300 MB in float32, mapped from files, a thousand queries: the peak of a process of its own."""
    code = f"""
import resource, sys
import numpy as np
from ltr.search.exact import search
rng = np.random.default_rng(0)
for i in range(3):
    np.save({str(tmp_path)!r} + f"/{{i}}.npy", rng.normal(size=(200_000, 384)).astype(np.float32))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
shards = [np.load({str(tmp_path)!r} + f"/{{i}}.npy", mmap_mode="r") for i in range(3)]
search(rng.normal(size=(1000, 384)).astype(np.float32), shards, 100)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - shards[0].nbytes)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**30 + 3 * 200_000 * 384 * 4
