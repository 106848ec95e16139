"""A model of responses reads prompts and responses in use as it read them in training: the same tokens, the same cuts."""

from __future__ import annotations

import json

import pytest
import torch

from ltr.data import PreferenceData
from ltr.data.preferences.reader import PromptReader
from ltr.data.tokens.reader import Texts
from ltr.errors import ConfigError, DataError
from ltr.inference import Reranker
from ltr.scorers import CausalScorer, CrossEncoder, PolicyRatio
from ltr.serving.problems import Problem
from ltr.serving.request import Request
from ltr.serving.work.models import Model
from ltr.settings import ModelSettings
from tests.data.preferences.chat import chat_tokenizer
from tests.scorers.causal.tiny import save_tiny_causal
from tests.tiny_model import save_tiny

PROMPT = "how to join two paths in a file and split the string of the paths"
RESPONSES = ["split the string", "no", "the file is a file"]
SAID = {"prompt_id": "p", "prompt": PROMPT}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    encoder = save_tiny(home / "encoder", head=True)
    return {"encoder": encoder, "causal": save_tiny_causal(home / "causal")}


def trained(kind, models, tmp_path, form=None, max_length=40):
    """(a scorer, the data that it is trained on)."""
    responses = [{"id": f"r{i}", "text": text, "score": float(i)} for i, text in enumerate(RESPONSES)]
    (tmp_path / "p.jsonl").write_text(json.dumps({**SAID, "responses": responses}))
    source = str(models["encoder" if kind is CrossEncoder else "causal"])
    scorer = CausalScorer(source, prompt=None) if kind is CausalScorer else kind(source)
    data = PreferenceData(dev=str(tmp_path / "p.jsonl"), tokenizer=source, form=form, max_length=max_length)
    return scorer.eval(), data


@pytest.mark.parametrize(
    ("kind", "form", "max_length"),
    [
        (CrossEncoder, None, 60),
        (CrossEncoder, None, 14),
        (CausalScorer, None, 100),
        (CausalScorer, None, 20),
        (CausalScorer, "plain", 12),
        (PolicyRatio, None, 20),
    ],
)
def test_a_saved_model_scores_texts_as_its_training_did(models, tmp_path, caplog, kind, form, max_length):
    scorer, data = trained(kind, models, tmp_path, form, max_length)
    (batch,) = list(data.val_dataloader())
    scorer.save(tmp_path / "saved", data.inputs)
    ranker = Reranker.load(tmp_path / "saved", "cpu", "32")
    (read,) = ranker.reader.batches([Texts("p", PROMPT, ["r0", "r1", "r2"], RESPONSES)])
    assert read.tokens.ids.tolist() == batch.tokens.ids.tolist()
    assert read.tokens.marks.tolist() == batch.tokens.marks.tolist()
    assert read.labels is None
    with torch.no_grad():
        expected = scorer(batch)[0].tolist()
    found = {one.id: one.score for one in ranker.rank(PROMPT, RESPONSES, ["r0", "r1", "r2"])}
    assert [found[f"r{i}"] for i in range(3)] == pytest.approx(expected, abs=1e-5)
    cut = max_length < 50 and not (kind is CrossEncoder and max_length == 60)
    assert ("prompts lose their beginning" in caplog.text) == cut


def test_served_as_it_was_trained(models, tmp_path):
    scorer, data = trained(CausalScorer, models, tmp_path, max_length=20)
    (batch,) = list(data.val_dataloader())
    scorer.save(tmp_path / "saved", data.inputs)
    model = Model.of("reward", "saved", [Reranker.load(tmp_path / "saved", "cpu", "32")])
    read = model.reading(Request((PROMPT,), (tuple(RESPONSES),)))
    assert read.batch.tokens.ids.tolist() == batch.tokens.ids.tolist()
    assert (read.cut_queries, read.cut.tolist(), read.costs.sum()) == (1, [False] * 3, len(batch.tokens.ids))
    for asked, said in (
        ({"max_tokens": 3}, "a response is read whole"),
        ({"from_end": True}, "a response is read whole"),
        ({"max_length": 6, "whole": True}, "document 0 is a response of more than the 6 tokens"),
        ({"max_length": 2}, "max_length must hold 3 tokens or more, got 2"),
    ):
        with pytest.raises(Problem, match=said):
            model.reading(Request((PROMPT,), (tuple(RESPONSES),), **asked))


def test_what_belongs_to_documents_is_refused(models, tmp_path):
    scorer, data = trained(CausalScorer, models, tmp_path)
    scorer.save(tmp_path / "saved", data.inputs)
    with pytest.raises(ConfigError, match="leave max_query_length out, got 8"):
        Reranker.load(tmp_path / "saved", max_query_length=8)
    with pytest.raises(ConfigError, match="which are read whole, and passages is 'max'"):
        Reranker.load(tmp_path / "saved", passages="max")
    with pytest.raises(DataError, match=r"prompt 0: it holds <\|im_start\|>, a mark of the chat template"):
        Reranker.load(tmp_path / "saved").rank("<|im_start|>user", ["a"], ["b"])


def test_many_lists_come_in_several_batches():
    reader = PromptReader(chat_tokenizer(), ModelSettings(40, 20, form="chat"))
    lists = [Texts(f"p{i}", "is", [str(j) for j in range(600)], ["a"] * 600) for i in range(3)]
    assert [len(batch) for batch in reader.batches(lists)] == [2, 1]
