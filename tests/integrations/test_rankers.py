"""Every integration takes a folder, an address, or what is open already."""

import numpy as np
import pytest

from ltr.errors import ConfigError
from ltr.inference import RemoteReranker, Reranker
from ltr.integrations.rankers import ranker_of, scores_of, scores_of_rows

DOCS = ["sort a list", "join the paths", "open a file"]


def test_what_stands_for_a_model(model_folder, reranker, server):
    assert isinstance(ranker_of(str(model_folder)), Reranker)
    assert isinstance(ranker_of(model_folder), Reranker)
    assert isinstance(ranker_of(server.url), RemoteReranker)
    assert ranker_of(reranker) is reranker
    with pytest.raises(ConfigError, match=r"model must be a folder, a hub id, .* or a Reranker, got 3"):
        ranker_of(3)


def test_scores_come_in_the_order_of_the_input(reranker):
    queries, docs = ["join paths", "sort"], [DOCS, DOCS[:1]]
    wanted = [reranker.score([(q, d) for d in own]) for q, own in zip(queries, docs, strict=True)]
    for found, expected in zip(scores_of(reranker, queries, docs), wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_rows_of_one_query_need_not_stand_together(reranker):
    queries = ["join paths", "sort", "join paths"]
    found = scores_of_rows(reranker, queries, DOCS)
    np.testing.assert_allclose(found, reranker.score(list(zip(queries, DOCS, strict=True))), atol=1e-6)
    assert scores_of_rows(reranker, [], []).shape == (0,)
