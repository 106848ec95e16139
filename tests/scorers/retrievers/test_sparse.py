"""SPLADE vectors by their definition, their regulariser and its schedule, and sentence-transformers' folders both ways."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltr.batch import TwinLists
from ltr.errors import ConfigError
from ltr.losses import InfoNCE, MarginMSE
from ltr.scorers import Sparse, load_scorer
from ltr.scorers.retrievers.sparse import flops
from ltr.search.encoding import signature_of
from ltr.settings import TwinSettings
from ltr.training.costs import cost_of
from tests.tiny_model import save_mlm

TEXTS = ["how to join two paths", "sort", "read a file and write the list of paths, " * 4, "split the string"]
SETTINGS = TwinSettings(40, 30)


@pytest.fixture(scope="module")
def mlm(tmp_path_factory) -> str:
    return save_mlm(tmp_path_factory.mktemp("sparse"))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "mpnet", "modernbert"])
def test_weights_are_the_log_saturated_maxima_of_each_text_alone(tmp_path, kind):
    model = Sparse(save_mlm(tmp_path, kind), batch_tokens=30).eval()
    rows = model.reader(SETTINGS).docs(TEXTS)
    with torch.no_grad():
        found = model.encode_docs(rows)
        for i, text in enumerate(TEXTS):
            ids = rows.ids[None, rows.offsets[i] : rows.offsets[i + 1]]
            logits = model.network(input_ids=ids).logits[0]
            torch.testing.assert_close(found[i], logits.max(0).values.relu().log1p(), rtol=1e-5, atol=1e-5, msg=text)
    assert found.shape == (4, model.dim)
    assert (found == 0).any()


def test_sentence_transformers_opens_what_is_saved_and_the_other_way_round(mlm, tmp_path):
    theirs = pytest.importorskip("sentence_transformers")
    model = Sparse(mlm, query_prompt="what is ").eval()
    model.save(tmp_path / "own", SETTINGS)
    other = theirs.SparseEncoder(str(tmp_path / "own"), device="cpu")
    other.save(str(tmp_path / "theirs"))
    for folder in ("own", "theirs"):
        again = load_scorer(tmp_path / folder)
        assert isinstance(again, Sparse)
        assert again.prompts == ("what is ", "")
        reader = again.reader(SETTINGS)
        with torch.no_grad():
            queries, docs = again.encode_queries(reader.queries(TEXTS[:2])), again.encode_docs(reader.docs(TEXTS))
        np.testing.assert_allclose(queries, other.encode_query(TEXTS[:2]).to_dense(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(docs, other.encode_document(TEXTS).to_dense(), rtol=1e-5, atol=1e-5)


def test_only_the_heaviest_words_are_kept_where_sentence_transformers_keeps_them(mlm, tmp_path):
    """``max_active_dims`` of a folder holds in use, and for what is saved again; training sees all words."""
    theirs = pytest.importorskip("sentence_transformers", minversion="6", reason="older ones read no max_active_dims")
    Sparse(mlm).save(tmp_path / "own", SETTINGS)
    facts = tmp_path / "own" / "config_sentence_transformers.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"max_active_dims": 5}))
    model = load_scorer(tmp_path / "own")
    assert signature_of(model, SETTINGS) != signature_of(Sparse(mlm), SETTINGS)  # kept vectors are others
    model.save(tmp_path / "again", SETTINGS)
    for folder in ("own", "again"):
        opened = load_scorer(tmp_path / folder)
        rows = opened.reader(SETTINGS).docs(TEXTS)
        with torch.no_grad():
            found = opened.encode_docs(rows)
            wanted = theirs.SparseEncoder(str(tmp_path / folder), device="cpu").encode_document(TEXTS).to_dense()
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
            assert int((found > 0).sum(1).max()) == 5
            assert int((opened.train().encode_docs(rows) > 0).sum(1).max()) > 5


def test_flops_rise_with_the_square_of_the_steps(mlm):
    model = Sparse(mlm, query_flops=0.5, doc_flops=0.25, flops_warmup=0.5, dropout=0.0)
    queries, docs = torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([[4.0, 0.0]])
    assert (float(flops(queries)), float(flops(docs))) == (2**2 + 1, 16)
    for progress, share in ((0.0, 0.0), (0.25, 0.25), (0.5, 1.0), (0.9, 1.0)):
        assert float(model.penalty(queries, docs, progress)) == share * (0.5 * 5 + 0.25 * 16)
    reader = model.reader(SETTINGS)
    batch = TwinLists(
        torch.tensor([0, 1, 2]), torch.ones(2), rows=torch.tensor([0, 1]), queries=reader.queries(TEXTS[:2]),
        docs=reader.docs(TEXTS[2:]), keys=torch.tensor([0, 1]), relevant=torch.tensor([0, 1]),
        relevant_offsets=torch.tensor([0, 1, 2]), in_batch=True,
    )  # fmt: skip
    loss = InfoNCE(reduction="none")
    early, late = (cost_of(model, loss, batch, progress).total for progress in (0.0, 1.0))
    q, d = model.encode_queries(batch.queries), model.encode_docs(batch.docs)
    torch.testing.assert_close(late - early, 2 * (0.5 * flops(q) + 0.25 * flops(d)), rtol=1e-4, atol=1e-4)
    # of lists with a teacher's scores, too, by which most are trained
    taught = replace(batch, list_offsets=torch.tensor([0, 2, 4]), labels=torch.tensor([3.0, 1.0, 2.0, 5.0]),
                     rows=torch.tensor([0, 1, 1, 0]), in_batch=False)  # fmt: skip
    loss = MarginMSE(reduction="none")
    early, late = (cost_of(model, loss, taught, progress) for progress in (0.0, 1.0))
    assert late.count == 2
    torch.testing.assert_close(late.total - early.total, 2 * (0.5 * flops(q) + 0.25 * flops(d)), rtol=1e-4, atol=1e-3)


def test_what_is_no_sparse_encoder_is_refused(mlm, tmp_path, tiny_model):
    with pytest.raises(ConfigError, match=r"Sparse: .* has no masked-LM head"):
        Sparse(str(tiny_model))
    with pytest.raises(ConfigError, match="query_flops and doc_flops must be at least 0, and flops_warmup a share"):
        Sparse(mlm, flops_warmup=0.0)
    Sparse(mlm).save(tmp_path / "cosine", SETTINGS)
    facts = tmp_path / "cosine" / "config_sentence_transformers.json"
    facts.write_text(facts.read_text().replace('"dot"', '"cosine"'))
    with pytest.raises(ConfigError, match=r"compares its vectors by cos .similarity_fn_name., and an inverted"):
        Sparse(str(tmp_path / "cosine"))
    Sparse(mlm).save(tmp_path / "own", SETTINGS)
    config = tmp_path / "own" / "1_SpladePooling" / "config.json"
    config.write_text(config.read_text().replace('"max"', '"sum"'))
    with pytest.raises(ConfigError, match="pools by sum of relu; ltr pools by max of relu"):
        Sparse(str(tmp_path / "own"))
    modules = tmp_path / "own" / "modules.json"
    modules.write_text(modules.read_text().replace("models.SpladePooling", "models.SparseAutoEncoder"))
    with pytest.raises(ConfigError, match="has a module SparseAutoEncoder; a sparse encoder is a masked-LM"):
        Sparse(str(tmp_path / "own"))
