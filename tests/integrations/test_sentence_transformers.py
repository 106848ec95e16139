"""The same answers as a CrossEncoder that opens the same folder."""

import numpy as np
import pytest
import torch

from ltr.integrations.sentence_transformers import LtrCrossEncoder

QUERY = "join two paths"
TEXTS = ["sort a list", "join the paths", "open a file, read text"]
PAIRS = [(QUERY, text) for text in TEXTS]


@pytest.fixture(scope="module")
def theirs(model_folder):
    module = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    return module.CrossEncoder(str(model_folder), device="cpu")


def test_predict_is_theirs(theirs, reranker):
    ours = LtrCrossEncoder(reranker)
    for given in (PAIRS, [list(pair) for pair in PAIRS], PAIRS[0]):
        wanted, found = theirs.predict(given), ours.predict(given)
        assert np.shape(found) == np.shape(wanted)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    tensor = ours.predict(PAIRS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_allclose(tensor, theirs.predict(PAIRS), atol=1e-5)
    assert ours.predict(PAIRS[0], convert_to_tensor=True).shape == ()
    assert ours.predict(PAIRS, convert_to_numpy=False) == ours.predict(PAIRS).tolist()
    assert len(ours.predict([])) == 0


def test_rank_is_theirs(theirs, reranker):
    wanted = theirs.rank(QUERY, TEXTS, top_k=2, return_documents=True)
    found = LtrCrossEncoder(reranker).rank(QUERY, TEXTS, top_k=2, return_documents=True)
    assert [(one["corpus_id"], one["text"]) for one in found] == [(one["corpus_id"], one["text"]) for one in wanted]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in wanted], atol=1e-5)
    assert [set(one) for one in LtrCrossEncoder(reranker).rank(QUERY, TEXTS)] == [{"corpus_id", "score"}] * 3


def test_a_server_answers_too(server):
    encoder = LtrCrossEncoder(server.url, probability=True)
    assert encoder.rank(QUERY, TEXTS)[0]["corpus_id"] == 1
    assert 0 < encoder.predict(PAIRS).min() < encoder.predict(PAIRS).max() < 1
    encoder.ranker.close()
