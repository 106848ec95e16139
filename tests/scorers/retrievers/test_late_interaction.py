"""MaxSim by its definition, mask tokens and skipped punctuation, and sentence-transformers' folders both ways."""

import numpy as np
import pytest
import torch
from torch import nn

from ltr.batch import TwinLists
from ltr.errors import ConfigError
from ltr.losses import InfoNCE
from ltr.scorers import BiEncoder, LateInteraction, load_scorer
from ltr.scorers.retrievers.late_interaction import maxsim
from ltr.settings import TwinSettings
from ltr.training.costs import cost_of
from ltr.training.in_batch import columns_of

QUERIES = ["how to join, two paths?", "sort"]  # whose punctuation counts
DOCS = ["join, two paths.", "sort the list!", "read a file and write the list of paths, " * 3, "split the string"]
SETTINGS = TwinSettings(40, 20)


def their_encoder() -> type:
    """sentence-transformers' own, which came with its version 6."""
    theirs = pytest.importorskip("sentence_transformers")
    if not hasattr(theirs, "MultiVectorEncoder"):
        pytest.skip("this sentence-transformers has no MultiVectorEncoder")
    return theirs.MultiVectorEncoder


def alone(model, rows, i) -> torch.Tensor:
    ids = rows.ids[None, rows.offsets[i] : rows.offsets[i + 1]]
    return nn.functional.normalize(model.projection(model.network(input_ids=ids).last_hidden_state[0]), dim=-1)


def test_scores_are_the_best_cosines_of_each_query_token(tiny_model):
    torch.manual_seed(0)
    model = LateInteraction(str(tiny_model), dim=8, query_length=12, batch_tokens=40).eval()
    reader = model.reader(SETTINGS)
    queries, docs = reader.queries(QUERIES), reader.docs(DOCS)
    batch = TwinLists(torch.tensor([0, 4, 6]), rows=torch.tensor([0, 1, 2, 3, 3, 0]), queries=queries, docs=docs)
    filled = model._filled(queries)
    assert filled.lengths.tolist() == [12, 12]
    assert (filled.ids == model.tokenizer.mask_token_id).sum() == 24 - queries.ids.numel()
    punctuation = {model.tokenizer.convert_tokens_to_ids(c) for c in ",.!?"} - {model.tokenizer.unk_token_id}
    with torch.no_grad():
        scores = model(batch)
        for i, columns in enumerate(([0, 1, 2, 3], [3, 0])):
            query = alone(model, filled, i)
            for j, row in enumerate(columns):
                ids = docs.ids[docs.offsets[row] : docs.offsets[row + 1]].tolist()
                kept = torch.tensor([one not in punctuation for one in ids])
                wanted = (query @ alone(model, docs, row)[kept].T).max(1).values.sum()
                torch.testing.assert_close(scores[i, j], wanted, rtol=1e-5, atol=1e-5)


def test_what_stands_behind_a_shorter_document_is_no_token_of_it():
    queries, docs = torch.eye(2)[None].expand(2, -1, -1), torch.zeros(2, 3, 2)
    docs[0, 0] = torch.tensor([-0.6, -0.8])
    docs[1] = torch.tensor([[-0.6, -0.8], [-0.8, -0.6], [-0.6, -0.8]])
    assert maxsim(queries, docs).tolist() == pytest.approx([-0.6 - 0.8, -0.6 - 0.6])


def test_sentence_transformers_opens_what_is_saved_and_the_other_way_round(tiny_model, tmp_path):
    encoder = their_encoder()
    torch.manual_seed(0)
    model = LateInteraction(str(tiny_model), dim=8, query_length=12, query_prompt="what is ").eval()
    model.save(tmp_path / "own", SETTINGS)
    other = encoder(str(tmp_path / "own"), device="cpu")
    other.save(str(tmp_path / "theirs"))
    for folder in ("own", "theirs"):
        again = load_scorer(tmp_path / folder)
        assert isinstance(again, LateInteraction)
        assert (again.dim, again.query_length, again.skip_punctuation) == (8, 12, True)
        reader = again.reader(SETTINGS)
        with torch.no_grad():
            queries, docs = again.encode_queries(reader.queries(QUERIES)), again.encode_docs(reader.docs(DOCS))
        for mine, given in ((queries, other.encode_query(QUERIES)), (docs, other.encode_document(DOCS))):
            for i, vectors in enumerate(given):
                np.testing.assert_allclose(mine[i, : len(vectors)], vectors, rtol=1e-5, atol=1e-5)
                assert not mine[i, len(vectors) :].any()


def test_the_documents_of_a_batch_are_scored_for_every_query(tiny_model):
    torch.manual_seed(0)
    model = LateInteraction(str(tiny_model), dim=8, query_length=0, dropout=0.0)
    reader = model.reader(SETTINGS)
    batch = TwinLists(
        torch.tensor([0, 1, 2]), torch.ones(2), rows=torch.tensor([0, 1]), queries=reader.queries(QUERIES),
        docs=reader.docs(DOCS), keys=torch.arange(4), relevant=torch.tensor([0, 3, 1]),
        relevant_offsets=torch.tensor([0, 2, 3]), in_batch=True,
    )  # fmt: skip
    loss = InfoNCE(reduction="none")
    cost = cost_of(model, loss, batch)
    queries, docs = model.encode_queries(batch.queries), model.encode_docs(batch.docs)
    scores = torch.einsum("qid,njd->qnij", queries, docs)
    scores = scores.masked_fill(~docs.abs().sum(-1).bool()[None, :, None], -torch.inf).amax(-1).sum(-1)
    labels, mask = columns_of(batch, batch.keys).dense()
    assert mask.tolist() == [[True, True, True, False], [True] * 4]
    torch.testing.assert_close(cost.total, loss(scores, labels, mask).sum(), rtol=1e-5, atol=1e-5)
    cost.total.backward()
    assert model.projection.weight.grad.any()


def test_queries_and_documents_have_the_lengths_that_their_model_says(tiny_model, tmp_path):
    """Of a folder of sentence-transformers, which cuts both at lengths of their own: the same vectors of long texts."""
    encoder = their_encoder()
    LateInteraction(str(tiny_model), dim=8, query_length=0).save(tmp_path / "own", TwinSettings(9, 5))
    (tmp_path / "own" / "ltr.json").unlink()
    model = load_scorer(tmp_path / "own")
    settings = model.usual_settings()
    assert (settings.max_length, settings.max_query_length) == (9, 5)
    assert model.usual_settings(7).max_length == 7
    other = encoder(str(tmp_path / "own"), device="cpu")
    reader = model.reader(settings)
    with torch.no_grad():
        found = [model.encode_queries(reader.queries(DOCS[2:3]))[0], model.encode_docs(reader.docs(DOCS[2:3]))[0]]
    for mine, wanted in zip(found, (other.encode_query(DOCS[2]), other.encode_document(DOCS[2])), strict=True):
        torch.testing.assert_close(mine, torch.as_tensor(wanted), rtol=1e-4, atol=1e-5)


def test_a_bi_encoder_is_a_backbone_to_start_from(tiny_model, tmp_path):
    BiEncoder(str(tiny_model), query_prompt="what is ").save(tmp_path / "bi", SETTINGS)
    torch.manual_seed(0)
    model = LateInteraction(str(tmp_path / "bi"), dim=8).eval()
    assert (model.dim, model.query_length, model.skip_punctuation, model.prompts.query) == (8, 32, True, "what is ")
    torch.manual_seed(0)
    plain = LateInteraction(str(tiny_model), dim=8, query_prompt="what is ").eval()
    rows = plain.reader(SETTINGS).docs(DOCS)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_docs(rows), plain.encode_docs(rows))
    model.save(tmp_path / "tokens", SETTINGS)
    assert isinstance(load_scorer(tmp_path / "tokens"), LateInteraction)


def test_queries_that_are_cut_before_they_are_filled_are_told(tiny_model, caplog):
    model = LateInteraction(str(tiny_model), dim=8, query_length=12)
    for length, told in ((12, False), (20, False), (8, True)):
        model.fit_to(TwinSettings(40, length))
        assert ("queries are cut at max_query_length 8 and filled up to query_length 12" in caplog.text) is told


def test_what_cannot_be_is_refused(tiny_model, tmp_path):
    with pytest.raises(ConfigError, match="dim must be at least 1 and query_length at least 0, got 0"):
        LateInteraction(str(tiny_model), dim=0)
    LateInteraction(str(tiny_model), dim=8).save(tmp_path / "own", SETTINGS)
    with pytest.raises(ConfigError, match="has vectors of 8 numbers, got dim 16"):
        LateInteraction(str(tmp_path / "own"), dim=16)
    config = tmp_path / "own" / "2_MultiVectorMask" / "config.json"
    config.write_text(config.read_text().replace('"!"', '"the"'))
    with pytest.raises(ConfigError, match="skips 32 words in documents; ltr skips all punctuation, or nothing"):
        LateInteraction(str(tmp_path / "own"))
    lengths = tmp_path / "own" / "sentence_bert_config.json"
    lengths.write_text(lengths.read_text().replace('"attend": true', '"attend": false'))
    with pytest.raises(ConfigError, match=r"ltr fills them to a fixed length with .MASK. and lets all"):
        LateInteraction(str(tmp_path / "own"))
    modules = tmp_path / "own" / "modules.json"
    modules.write_text(modules.read_text().replace("dense.Dense", "pooling.Pooling"))
    with pytest.raises(ConfigError, match="has a module Pooling; a model of token vectors is"):
        LateInteraction(str(tmp_path / "own"))
