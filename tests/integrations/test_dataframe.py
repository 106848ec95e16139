"""Columns of scores, and a function in SQL."""

import numpy as np
import pandas as pd
import pytest

from ltr.errors import DataError
from ltr.integrations.dataframe import add_to_duckdb, ranked, scored
from tests.rerank_server import overlap

ROWS = [("join paths", "sort a list"), ("sort", "sort"), ("join paths", "join the paths"), ("sort", "join")]


@pytest.fixture
def frame():
    return pd.DataFrame(ROWS, columns=["query", "text"], index=[7, 5, 3, 1]).assign(extra=range(4))


def test_rows_stay_where_they_are(frame, server):
    before = frame.copy()
    found = scored(frame, server.url)
    assert found["score"].tolist() == [overlap(*row) for row in ROWS]
    pd.testing.assert_frame_equal(found.drop(columns="score"), before)
    pd.testing.assert_frame_equal(frame, before)


def test_ranks_within_a_query(frame, server):
    found = ranked(frame, server.url)
    assert found.index.tolist() == [3, 7, 5, 1]
    assert found["rank"].tolist() == [1, 2, 1, 2]
    assert ranked(frame, server.url, top_k=1).index.tolist() == [3, 5]


def test_other_columns_and_empty_tables(frame, reranker):
    renamed = frame.rename(columns={"query": "q", "text": "body"})
    found = scored(renamed, reranker, "q", "body", "s", probability=True)
    np.testing.assert_allclose(found["s"], 1 / (1 + np.exp(-reranker.score(ROWS))), atol=1e-5)
    empty = ranked(frame.iloc[:0], reranker)
    assert list(empty.columns) == ["query", "text", "extra", "score", "rank"]
    assert not len(empty)


def test_what_cannot_be_scored_is_told(frame, reranker):
    with pytest.raises(DataError, match=r"no column 'txt' in the table; .*text"):
        scored(frame, reranker, text="txt")
    with pytest.raises(DataError, match="query of row 1 must be a text that is not empty, got ' '"):
        scored(frame.assign(query=["a", " ", "a", "a"]), reranker)
    with pytest.raises(DataError, match=r"must be a string, or a mapping .* got nan"):
        scored(frame.assign(text=["a", float("nan"), "a", "a"]), reranker)


def test_a_function_of_duckdb(reranker):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed: make test-integrations")
    with duckdb.connect() as connection:
        add_to_duckdb(connection, reranker)
        connection.execute("CREATE TABLE pairs(n INTEGER, query VARCHAR, body VARCHAR)")
        connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", [(i, *row) for i, row in enumerate(ROWS)])
        connection.execute("INSERT INTO pairs VALUES (9, 'join', NULL)")
        found = connection.execute("SELECT ltr_score(query, body) FROM pairs ORDER BY n").fetchall()
    np.testing.assert_allclose([score for (score,) in found[:4]], reranker.score(ROWS), atol=1e-6)
    assert found[4] == (None,)
